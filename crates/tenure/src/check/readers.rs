//! What readers and workers saw, held against what the store has.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::log::line_at;
use super::{ClientLog, Finding, Histories, Seen, SinkEntry};
use crate::{Fence, Line, Record, Revision, TenantId};

/// Checks what a reader of the feed saw, from where it began to the feed's end: each tenant's
/// changes densely, in order, once, as the history has them, and none left out.
///
/// `known` is what the reader knew of each tenant when it began, such as from a list that it took
/// after its first cursor; the feed may tell it some of that again. A reader from the beginning of
/// an unpruned feed knew nothing.
pub fn feed(
    read: &[Line],
    histories: &Histories,
    known: &BTreeMap<TenantId, Revision>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reached: BTreeMap<TenantId, Revision> = BTreeMap::new();
    for line in read {
        let mut find = |detail: &str| {
            findings.push(Finding::new(
                line.tenant,
                Some(line.revision),
                "feed",
                detail,
            ));
        };
        let start = known.get(&line.tenant).copied().unwrap_or_default();
        match reached.get(&line.tenant) {
            None if line.revision > start.next() => find("the changes before it were skipped"),
            Some(last) if line.revision > last.next() => find("the changes before it were skipped"),
            Some(last) if line.revision <= *last => find("it came twice, or out of order"),
            None | Some(_) => {}
        }
        let last = reached.entry(line.tenant).or_default();
        *last = line.revision.max(*last);
        match line_at(histories, line.tenant, line.revision) {
            None => find("the history does not have it"),
            Some(kept) if kept != line => find("the history has another content"),
            Some(_) => {}
        }
    }
    for (tenant, lines) in histories {
        let Some(newest) = lines.last().map(|line| line.revision) else {
            continue;
        };
        let start = known.get(tenant).copied().unwrap_or_default();
        let last = reached.get(tenant).copied().unwrap_or_default().max(start);
        if last < newest {
            let detail = format!("the feed ended for it at {last}");
            findings.push(Finding::new(*tenant, Some(newest), "feed", detail));
        }
    }
    findings
}

/// Checks that a reader which resumed behind the first `after` changes saw exactly the rest.
pub fn feed_resumes(whole: &[Line], after: usize, resumed: &[Line]) -> Vec<Finding> {
    let rest = whole.get(after..).unwrap_or_default();
    let expected = rest.iter().map(Some).chain(std::iter::repeat(None));
    let seen = resumed.iter().map(Some).chain(std::iter::repeat(None));
    let longest = rest.len().max(resumed.len());
    let differs = expected
        .zip(seen)
        .take(longest)
        .find(|(expected, seen)| expected != seen);
    let (line, detail) = match differs {
        Some((Some(expected), None)) => (expected, "a resumed reader did not see it"),
        Some((_, Some(seen))) => (seen, "a resumed reader saw it out of its place"),
        None | Some((None, None)) => return Vec::new(),
    };
    vec![Finding::new(
        line.tenant,
        Some(line.revision),
        "feed",
        detail,
    )]
}

/// Checks that the feed's order is possible, across tenants: a change that was acknowledged before
/// another was sent comes before it.
pub fn feed_order(read: &[Line], log: &ClientLog) -> Vec<Finding> {
    let mut first_called: BTreeMap<Uuid, u64> = BTreeMap::new();
    let mut first_returned: BTreeMap<Uuid, u64> = BTreeMap::new();
    for entry in log.entries() {
        let called = first_called.entry(entry.request_id).or_insert(entry.called);
        *called = entry.called.min(*called);
        if let (Seen::Acknowledged { .. }, Some(at)) = (entry.outcome, entry.returned) {
            let returned = first_returned.entry(entry.request_id).or_insert(at);
            *returned = at.min(*returned);
        }
    }
    let mut findings = Vec::new();
    // From the end: what comes later in the feed must not have been over before this was sent.
    let mut earliest: Option<u64> = None;
    for line in read.iter().rev() {
        let called = first_called.get(&line.request_id);
        if called
            .zip(earliest)
            .is_some_and(|(called, earliest)| earliest < *called)
        {
            let detail = "it comes before a change that was over when it was sent";
            findings.push(Finding::new(
                line.tenant,
                Some(line.revision),
                "feed",
                detail,
            ));
        }
        let returned = first_returned.get(&line.request_id).copied();
        earliest = [earliest, returned].into_iter().flatten().min();
    }
    findings
}

/// Checks what reached the outside world, in the order in which it came: what had an effect never
/// bears an older fence than what had one before it, and one fence stands for one operation.
pub fn fences(sink: &[SinkEntry]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut newest: BTreeMap<TenantId, (Fence, Uuid)> = BTreeMap::new();
    for entry in sink.iter().filter(|entry| entry.accepted) {
        let this = (entry.fence, entry.operation);
        let (fence, operation) = *newest.entry(entry.tenant).or_insert(this);
        if entry.fence < fence {
            let detail = format!("fence {} had an effect after fence {fence}", entry.fence);
            findings.push(Finding::new(entry.tenant, None, "fence", detail));
            continue;
        }
        if entry.fence == fence && entry.operation != operation {
            let detail = format!("two operations had an effect under fence {fence}");
            findings.push(Finding::new(entry.tenant, None, "fence", detail));
        }
        newest.insert(entry.tenant, this);
    }
    findings
}

/// Checks a walk over the pages of a list, made while others wrote: each tenant that matched
/// `throughout` the walk comes once, and nothing comes twice.
pub fn pages(walk: &[TenantId], throughout: &BTreeSet<TenantId>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for tenant in walk {
        if !seen.insert(*tenant) {
            findings.push(Finding::new(*tenant, None, "pages", "it came twice"));
        }
    }
    for tenant in throughout.difference(&seen) {
        findings.push(Finding::new(*tenant, None, "pages", "it was skipped"));
    }
    findings
}

/// Checks that work came to its end: every tenant rests, or is held or halted, which it says of
/// itself. Of each other one it says what there is to say of why not.
pub fn converge(records: &[Record]) -> Vec<Finding> {
    records.iter().filter_map(unfinished).collect()
}

fn unfinished(record: &Record) -> Option<Finding> {
    let Record { tenant, work } = record;
    let halted = tenant
        .conditions
        .failing
        .as_ref()
        .is_some_and(|failing| failing.halted);
    if tenant.is_at_rest() || tenant.conditions.held.is_some() || halted {
        return None;
    }
    let next = match (&work.holder, work.due_at) {
        (Some(holder), _) => format!("{holder} works on it"),
        (None, Some(due_at)) => format!("it is due at {due_at}"),
        (None, None) => "nothing is planned for it".to_owned(),
    };
    let error = work
        .last_error
        .as_ref()
        .map_or_else(String::new, |e| format!(": {}", e.as_str()));
    let detail = format!(
        "still {} ({}) after {} attempts, and {next}{error}",
        tenant.state, tenant.reason, work.attempts
    );
    Some(Finding::new(
        tenant.id,
        Some(tenant.revision),
        "converge",
        detail,
    ))
}
