//! What is left when all is over, held against what clients and provisioners wrote down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tenure::check::{
    ClientLog, Entry, Finding, Histories, Seen, converge, durable, feed, feed_order, histories,
    legal, linearizable, no_ghost, once, verify_all,
};
use tenure::{Hash, Line, PageSize, Record, Revision, State, Store, TenantId};
use uuid::Uuid;

use super::clients::Written;

/// All that is known of a run.
pub(crate) struct Evidence {
    /// As the store has them.
    kept: Histories,
    /// The same, with each line of a client under the id of what the client wanted: the server
    /// gives an id of its own to each send.
    histories: Histories,
    log: ClientLog,
    /// What was found to have been carried out when it was sent again.
    replayed: BTreeSet<Uuid>,
    /// What the reader of the feed saw.
    read: Vec<Line>,
    records: Vec<Record>,
    /// What [`verify_all`] found.
    verified: Vec<Finding>,
    operations: Vec<String>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: usize = self.kept.values().map(Vec::len).sum();
        let living = self.records.iter().filter(|r| r.tenant.is_living()).count();
        let entries = self.log.entries();
        let repeated = entries.iter().filter(|e| is_repeat(entries, e)).count();
        let (sent, acknowledged) = (entries.len(), acknowledged(&self.log).count());
        write!(
            f,
            "{sent} requests, {repeated} of them repeats, {} answered before; {acknowledged} acknowledged \
             changes; {} tenants, {living} of them living, {lines} lines of history, {} operations",
            self.replayed.len(),
            self.records.len(),
            self.operations.len(),
        )
    }
}

impl Evidence {
    pub(crate) async fn gather(
        store: &dyn Store,
        writers: &[Written],
        read: Vec<Line>,
        operations: &str,
    ) -> Self {
        let kept = histories(store).await.unwrap();
        let histories = by_intent(&kept);
        let mut log = ClientLog::new();
        let mut replayed = BTreeSet::new();
        for writer in writers {
            let text = std::fs::read_to_string(&writer.log).unwrap();
            log.extend(ClientLog::from_json_lines(&text).unwrap());
            replayed.extend(&writer.replayed);
        }
        let ids: Vec<TenantId> = kept.keys().copied().collect();
        let mut records = Vec::new();
        for some in ids.chunks(usize::from(PageSize::MAX.get())) {
            records.extend(store.get_many(some).await.unwrap());
        }
        let mut verified = Vec::new();
        let all = verify_all(store, |progress| {
            verified.extend_from_slice(progress.findings);
        });
        all.await.unwrap();
        Self {
            log: resolved(&log, &replayed, &histories),
            replayed,
            kept,
            histories,
            read,
            records,
            verified,
            operations: operations.lines().map(str::to_owned).collect(),
        }
    }

    /// Checks that every promise was kept, and that there was an occasion to break one.
    pub(crate) fn check(&self) {
        let findings = self.findings();
        let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(words.is_empty(), "{words:#?}");
        self.check_operations();
        let entries = self.log.entries();
        assert!(acknowledged(&self.log).count() > 100, "{self}");
        assert!(
            entries.iter().any(|entry| is_repeat(entries, entry)),
            "nothing was lost: {self}"
        );
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.verified.clone();
        for lines in self.kept.values() {
            findings.extend(legal(lines));
        }
        findings.extend(durable(&self.log, &self.histories));
        findings.extend(once(&self.log, &self.histories));
        findings.extend(no_ghost(&self.log, &of_clients(&self.histories)));
        findings.extend(linearizable(&self.log, &self.histories));
        findings.extend(feed(&self.read, &self.kept, &BTreeMap::new()));
        let read: Vec<Line> = self.read.iter().map(with_intent).collect();
        findings.extend(feed_order(&read, &self.log));
        findings.extend(converge(&self.records));
        findings
    }

    /// What a tenant is said to be was made by the provisioner, and no attempt was made twice.
    fn check_operations(&self) {
        let operations: BTreeSet<&str> = self.operations.iter().map(String::as_str).collect();
        assert_eq!(
            operations.len(),
            self.operations.len(),
            "an attempt was made twice"
        );
        let made: BTreeSet<&str> = operations
            .iter()
            // What was made, without the fence and the word that follow.
            .filter_map(|operation| Some(operation.rsplit_once('/')?.0.rsplit_once('/')?.0))
            .collect();
        for (tenant, lines) in &self.kept {
            let reached = lines.iter().filter(|line| !is_of_client(line));
            let reached = reached.filter(|line| {
                let done = [State::Ready, State::Suspended, State::Deleted].contains(&line.to);
                done && line.from != Some(line.to)
            });
            for line in reached {
                let operation = format!("{tenant}/{}", line.observed_generation);
                let found = made.contains(operation.as_str());
                assert!(
                    found,
                    "{operation} is said to be reached, and was never made: {line:?}"
                );
            }
        }
    }

    /// Spoils the evidence, and checks that each fault is found.
    pub(crate) fn check_that_faults_would_be_found(&self) {
        let of_client = |(entry, revision): (&Entry, Revision)| (entry.tenant, revision);
        let (tenant, revision) = acknowledged(&self.log).map(of_client).last().unwrap();

        let mut lost = self.kept.clone();
        lost.get_mut(&tenant)
            .unwrap()
            .retain(|line| line.revision != revision);
        let found = rules(&durable(&self.log, &by_intent(&lost)));
        assert!(found.contains("durable"), "a lost line is found");
        let lines = lost.get(&tenant).unwrap();
        let is_last = lines.last().is_none_or(|line| line.revision < revision);
        let found = rules(&legal(lines));
        assert!(is_last || found.contains("gap"), "a gap is found");
        let found = rules(&feed(&self.read, &lost, &BTreeMap::new()));
        assert!(
            found.contains("feed"),
            "the feed knows more than the history"
        );

        let mut twice = self.histories.clone();
        let line = line_at(&twice, tenant, revision).unwrap().clone();
        let again = Line {
            revision: twice[&tenant].last().unwrap().revision.next(),
            ..line
        };
        twice.get_mut(&tenant).unwrap().push(again);
        let found = rules(&once(&self.log, &twice));
        assert!(found.contains("once"), "a second effect is found");

        let line = line_at(&self.histories, tenant, revision).unwrap();
        let mut unsent = ClientLog::new();
        let others = self.log.entries().iter();
        let others = others.filter(|entry| entry.request_id != line.request_id);
        others.for_each(|entry| unsent.push(entry.clone()));
        let found = rules(&no_ghost(&unsent, &of_clients(&self.histories)));
        assert!(found.contains("ghost"), "what nobody asked for is found");

        let mut behind = self.log.clone();
        behind.push(Entry {
            client: 0,
            tenant,
            request_id: Uuid::nil(),
            called: u64::MAX - 1,
            returned: Some(u64::MAX),
            outcome: Seen::Read {
                revision: Revision::new(0),
            },
        });
        let found = rules(&linearizable(&behind, &self.histories));
        assert!(found.contains("linearizable"), "a stale read is found");
    }
}

fn rules(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().map(|finding| finding.rule).collect()
}

fn is_of_client(line: &Line) -> bool {
    line.actor.as_str().starts_with("user:client-")
}

/// A client's line under the id that the client gave to what it wanted.
fn with_intent(line: &Line) -> Line {
    let mut line = line.clone();
    if is_of_client(&line) {
        line.request_id = line.message.as_str().parse().unwrap();
    }
    line
}

fn by_intent(histories: &Histories) -> Histories {
    let lines = |lines: &Vec<Line>| lines.iter().map(with_intent).collect();
    histories
        .iter()
        .map(|(id, all)| (*id, lines(all)))
        .collect()
}

/// The lines that clients asked for; workers ask for the others.
fn of_clients(histories: &Histories) -> Histories {
    let theirs = |lines: &Vec<Line>| lines.iter().filter(|l| is_of_client(l)).cloned().collect();
    histories
        .iter()
        .map(|(id, all)| (*id, theirs(all)))
        .collect()
}

fn line_at(histories: &Histories, tenant: TenantId, revision: Revision) -> Option<&Line> {
    let mut lines = histories.get(&tenant)?.iter();
    lines.find(|line| line.revision == revision)
}

fn acknowledged(log: &ClientLog) -> impl Iterator<Item = (&Entry, Revision)> {
    log.entries()
        .iter()
        .filter_map(|entry| match entry.outcome {
            Seen::Acknowledged { revision, .. } => Some((entry, revision)),
            _ => None,
        })
}

/// Whether the same was sent before.
fn is_repeat(entries: &[Entry], entry: &Entry) -> bool {
    let mut same = entries
        .iter()
        .filter(|other| other.request_id == entry.request_id);
    same.any(|other| other.called < entry.called)
}

/// The log, with what clients could not know when they wrote it down.
///
/// - An answer that was given before does not say whether it told of a change then. Where the line
///   that it shows is another's, all was as asked, back when it was sent first. The first send can
///   be answered so too: the server sends again by itself what its database may have lost.
/// - Which tenant a lost answer was about.
/// - What was refused in the end has had no effect at any of its sends.
fn resolved(log: &ClientLog, replayed: &BTreeSet<Uuid>, histories: &Histories) -> ClientLog {
    let mut made: BTreeMap<Uuid, &Line> = BTreeMap::new();
    for line in histories.values().flatten() {
        made.insert(line.request_id, line);
    }
    let mut first: BTreeMap<Uuid, u64> = BTreeMap::new();
    let mut last: BTreeMap<Uuid, &Entry> = BTreeMap::new();
    for entry in log.entries() {
        first.entry(entry.request_id).or_insert(entry.called);
        last.insert(entry.request_id, entry);
    }
    let mut resolved = ClientLog::new();
    for entry in log.entries() {
        let mut entry = entry.clone();
        let id = entry.request_id;
        match entry.outcome {
            Seen::Unknown if last[&id].outcome == Seen::Refused => entry.outcome = Seen::Refused,
            Seen::Unknown => {
                entry.tenant = made.get(&id).map_or(entry.tenant, |line| line.tenant);
            }
            Seen::Acknowledged { revision, hash }
                if replayed.contains(&id) && is_anothers(histories, &entry, (revision, hash)) =>
            {
                entry.outcome = Seen::Read { revision };
                entry.called = first[&id];
            }
            _ => {}
        }
        resolved.push(entry);
    }
    resolved
}

fn is_anothers(histories: &Histories, entry: &Entry, (revision, hash): (Revision, Hash)) -> bool {
    line_at(histories, entry.tenant, revision)
        .is_some_and(|line| line.hash == hash && line.request_id != entry.request_id)
}
