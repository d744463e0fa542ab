//! What was told to clients, held against what the store has.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::log::line_at;
use super::{ClientLog, Entry, Finding, Histories, Seen};
use crate::{Hash, Line, Revision, TenantId};

/// Checks that every acknowledged change is in the history: of its tenant, at its revision, by its
/// request, with its hash.
pub fn durable(log: &ClientLog, histories: &Histories) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (entry, revision, hash) in acknowledged(log) {
        let detail = match line_at(histories, entry.tenant, revision) {
            None => format!(
                "{} was acknowledged, but its line is lost",
                entry.request_id
            ),
            Some(line) if line.request_id != entry.request_id => format!(
                "{} was acknowledged, but the line is of {}",
                entry.request_id, line.request_id
            ),
            Some(line) if line.hash != hash => {
                format!("{} was acknowledged with another content", entry.request_id)
            }
            Some(_) => continue,
        };
        findings.push(Finding::new(
            entry.tenant,
            Some(revision),
            "durable",
            detail,
        ));
    }
    findings
}

/// Checks that a request had one effect at most, that all its answers agree, and that no two
/// requests were given one effect as theirs.
pub fn once(log: &ClientLog, histories: &Histories) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut lines_of: BTreeMap<Uuid, (TenantId, Revision)> = BTreeMap::new();
    for line in histories.values().flatten() {
        let this = (line.tenant, line.revision);
        let first = *lines_of.entry(line.request_id).or_insert(this);
        if first != this {
            let (tenant, revision) = first;
            let detail = format!(
                "{} had an effect already: {tenant} at revision {revision}",
                line.request_id
            );
            findings.push(Finding::new(
                line.tenant,
                Some(line.revision),
                "once",
                detail,
            ));
        }
    }
    let mut answers: BTreeMap<Uuid, (TenantId, Revision, Hash)> = BTreeMap::new();
    let mut owners: BTreeMap<(TenantId, Revision), Uuid> = BTreeMap::new();
    for (entry, revision, hash) in acknowledged(log) {
        let answer = (entry.tenant, revision, hash);
        if *answers.entry(entry.request_id).or_insert(answer) != answer {
            let detail = format!("{} was answered in two ways", entry.request_id);
            findings.push(Finding::new(entry.tenant, Some(revision), "once", detail));
        }
        let owner = *owners
            .entry((entry.tenant, revision))
            .or_insert(entry.request_id);
        if owner != entry.request_id {
            let detail = format!("acknowledged to both {owner} and {}", entry.request_id);
            findings.push(Finding::new(entry.tenant, Some(revision), "once", detail));
        }
    }
    findings
}

/// Checks that every line was asked for by someone, and that what was refused each time it was
/// sent, or only read, left no line.
pub fn no_ghost(log: &ClientLog, histories: &Histories) -> Vec<Finding> {
    let mut sent: BTreeMap<Uuid, bool> = BTreeMap::new();
    for entry in log.entries() {
        let may_write = matches!(entry.outcome, Seen::Acknowledged { .. } | Seen::Unknown);
        *sent.entry(entry.request_id).or_default() |= may_write;
    }
    let ghost = |line: &Line| {
        let detail = match sent.get(&line.request_id) {
            None => format!("no client sent {}", line.request_id),
            Some(false) => format!("{} was refused, but left a line", line.request_id),
            Some(true) => return None,
        };
        Some(Finding::new(
            line.tenant,
            Some(line.revision),
            "ghost",
            detail,
        ))
    };
    histories.values().flatten().filter_map(ghost).collect()
}

/// A point of the run at which a client knew, or came to know, a revision.
#[derive(Clone, Copy)]
struct Point {
    called: u64,
    /// When its answer was known; never, if it never came.
    returned: Option<u64>,
    revision: Revision,
    /// The request, if it made the revision; a read made none.
    made_by: Option<Uuid>,
}

/// Checks, tenant by tenant, that the run could have happened one call after the other: what was
/// known before a call was sent is seen by it, and nothing is seen that nobody had sent yet.
///
/// Every write tells its revision, so this is a walk in the order of time, not a search. Writes
/// whose answer was lost are placed by their lines.
pub fn linearizable(log: &ClientLog, histories: &Histories) -> Vec<Finding> {
    let mut made: BTreeMap<Uuid, Revision> = BTreeMap::new();
    for line in histories.values().flatten() {
        made.entry(line.request_id).or_insert(line.revision);
    }
    let mut points: BTreeMap<TenantId, Vec<Point>> = BTreeMap::new();
    for entry in log.entries() {
        let (returned, revision, made_by) = match entry.outcome {
            Seen::Acknowledged { revision, .. } => {
                (entry.returned, revision, Some(entry.request_id))
            }
            Seen::Read { revision } => (entry.returned, revision, None),
            Seen::Refused => continue,
            Seen::Unknown => match made.get(&entry.request_id) {
                Some(revision) => (None, *revision, Some(entry.request_id)),
                None => continue,
            },
        };
        let point = Point {
            called: entry.called,
            returned,
            revision,
            made_by,
        };
        points.entry(entry.tenant).or_default().push(point);
    }
    let mut findings = Vec::new();
    for (tenant, mut points) in points {
        points.sort_by_key(|point| point.called);
        stale(tenant, &points, &mut findings);
        early(tenant, &points, &mut findings);
    }
    findings
}

/// Nothing may fall behind what was known when it was sent.
fn stale(tenant: TenantId, points: &[Point], findings: &mut Vec<Finding>) {
    let mut returns: Vec<&Point> = points.iter().filter(|p| p.returned.is_some()).collect();
    returns.sort_by_key(|point| point.returned);
    let mut returns = returns.into_iter().peekable();
    let mut newest = Revision::new(0);
    let mut sent_before = BTreeSet::new();
    for point in points {
        while let Some(known) = returns.next_if(|known| known.returned < Some(point.called)) {
            newest = newest.max(known.revision);
        }
        let behind = match point.made_by {
            // What is sent again is answered as before, though others may have followed.
            Some(request) => sent_before.insert(request) && point.revision <= newest,
            None => point.revision < newest,
        };
        if behind {
            let what = if point.made_by.is_some() {
                "a write made"
            } else {
                "a read saw"
            };
            let detail = format!("{what} it, although {newest} was known before it was sent");
            findings.push(Finding::new(
                tenant,
                Some(point.revision),
                "linearizable",
                detail,
            ));
        }
    }
}

/// Nothing may be seen before it was sent.
fn early(tenant: TenantId, points: &[Point], findings: &mut Vec<Finding>) {
    let mut sent: BTreeMap<Revision, u64> = BTreeMap::new();
    for point in points.iter().filter(|point| point.made_by.is_some()) {
        let first = sent.entry(point.revision).or_insert(point.called);
        *first = point.called.min(*first);
    }
    for point in points.iter().filter(|point| point.made_by.is_none()) {
        let called = sent.get(&point.revision).copied();
        if called
            .zip(point.returned)
            .is_some_and(|(called, returned)| called > returned)
        {
            let detail = "a read saw it before it was sent";
            findings.push(Finding::new(
                tenant,
                Some(point.revision),
                "linearizable",
                detail,
            ));
        }
    }
}

fn acknowledged(log: &ClientLog) -> impl Iterator<Item = (&Entry, Revision, Hash)> {
    log.entries()
        .iter()
        .filter_map(|entry| match entry.outcome {
            Seen::Acknowledged { revision, hash } => Some((entry, revision, hash)),
            Seen::Read { .. } | Seen::Refused | Seen::Unknown => None,
        })
}
