//! What is left when all is over, held against what clients and provisioner wrote down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use serde_json::json;
use tenure::check::{Histories, converge, histories, legal, verify_all};
use tenure::{Line, PageSize, Record, State, Store, TenantId};
use uuid::Uuid;

use super::clients::Written;
use super::journal::{Journal, Run, number};

/// How long a claim that came while its server was stopped may take to become a run, once the
/// server goes on.
const SPAWN_MAX: f64 = 1.0;

/// How long a run may go on after its server, having been stopped, can find that its lease is lost.
const CUT_MAX: f64 = 1.5;

/// All that is known of a run of the test.
pub(crate) struct Evidence {
    histories: Histories,
    records: BTreeMap<TenantId, Record>,
    /// What the store's own check found.
    verified: Vec<String>,
    journal: Journal,
    written: Vec<Written>,
    worlds: PathBuf,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = || self.journal.runs.values().flatten();
        let ended = |how: &str| runs().filter(|r| r.end.as_deref() == Some(how)).count();
        let routine = runs().filter(|run| run.kind == "observe").count();
        let orphans: Vec<_> = self
            .journal
            .runs
            .values()
            .flat_map(|r| meetings(r))
            .collect();
        let late = orphans
            .iter()
            .filter(|(older, newer)| older.began > newer.began);
        let repeats: u64 = self.written.iter().map(|written| written.repeats).sum();
        let lines: usize = self.histories.values().map(Vec::len).sum();
        let Journal { kills, stops, .. } = self.journal;
        let most = self.journal.most();
        write!(
            f,
            "{} tenants, {lines} lines of history, {} of them under a fence, {repeats} requests repeated, {} runs ({routine} checks, \
             {} failed, {} refused by fence, {} cut short), at most {most} at once, {kills} kills, {stops} \
             stops, {} overlaps of orphans ({} began late)",
            self.records.len(),
            self.fenced(),
            runs().count(),
            ended("failed"),
            ended("stale"),
            runs().filter(|run| run.end.is_none()).count(),
            orphans.len(),
            late.count(),
        )
    }
}

impl Evidence {
    pub(crate) async fn gather(store: &dyn Store, written: Vec<Written>, folder: &Path) -> Self {
        let histories = histories(store).await.unwrap();
        let ids: Vec<TenantId> = histories.keys().copied().collect();
        let mut records = BTreeMap::new();
        for some in ids.chunks(usize::from(PageSize::MAX.get())) {
            let some = store.get_many(some).await.unwrap().into_iter();
            records.extend(some.map(|record| (record.tenant.id, record)));
        }
        let mut verified = Vec::new();
        let all = verify_all(store, |progress| {
            verified.extend(progress.findings.iter().map(ToString::to_string));
        });
        all.await.unwrap();
        Self {
            histories,
            records,
            verified,
            journal: Journal::read(folder),
            written,
            worlds: folder.join("worlds"),
        }
    }

    /// Checks that every promise was kept, and that there was an occasion to break one.
    pub(crate) fn check(&self) {
        let mut found = self.verified.clone();
        let legal = self.histories.values().flat_map(|lines| legal(lines));
        found.extend(legal.map(|finding| finding.to_string()));
        let records: Vec<Record> = self.records.values().cloned().collect();
        found.extend(converge(&records).iter().map(ToString::to_string));
        for (tenant, runs) in &self.journal.runs {
            let mut all = self.overlaps(runs);
            all.extend(self.writes(runs, &self.histories[tenant]));
            all.extend(self.effects(*tenant));
            found.extend(all.into_iter().map(|what| format!("{tenant}: {what}")));
        }
        found.extend(self.wanted());
        found.extend(self.acknowledged());
        assert!(found.is_empty(), "{found:#?}");
        let Journal { kills, stops, .. } = self.journal;
        let most = self.journal.most();
        assert!(kills > 0 && stops > 0 && most >= 4, "{self}");
        assert!(self.fenced() > self.records.len(), "{self}");
    }

    /// Promise 6, as the target sees it: two runs of one tenant meet only if the server of the older
    /// one was killed or stopped before it could end it, and it is cut when that server goes on.
    fn overlaps(&self, runs: &[Run]) -> Vec<String> {
        let mut found = Vec::new();
        for (older, newer) in meetings(runs) {
            let mut pauses = self.journal.pauses.iter();
            let excused = !self.journal.servers.contains(&older.server)
                || pauses.any(|pause| {
                    let claimed =
                        pause.to > older.began || older.began_at < pause.to_at + SPAWN_MAX;
                    pause.server == older.server && pause.from < newer.began && claimed
                });
            if !excused {
                found.push(format!("undisturbed, {older:?} meets {newer:?}"));
            }
            let mut pauses = self.journal.pauses.iter();
            let last =
                pauses.rfind(|pause| pause.server == older.server && pause.from < older.last);
            if last.is_some_and(|pause| older.last_at > pause.to_at + CUT_MAX) {
                found.push(format!(
                    "{older:?} goes on without a lease, beside {newer:?}"
                ));
            }
        }
        found
    }

    /// Promise 6, as the record sees it: what a worker wrote, it wrote while its lease was live, so
    /// before the next claim.
    fn writes(&self, runs: &[Run], lines: &[Line]) -> Vec<String> {
        let by_fence: BTreeMap<u64, &Run> = runs.iter().map(|run| (run.fence, run)).collect();
        let mut found = Vec::new();
        let mut highest = 0;
        for line in lines.iter().filter(|line| is_of_worker(line)) {
            let Some(fence) = fence_of(line) else {
                continue;
            };
            if fence < highest {
                found.push(format!("after fence {highest} came {line:?}"));
            }
            highest = highest.max(fence);
            let Some(run) = by_fence.get(&fence) else {
                found.push(format!("no run led to {line:?}"));
                continue;
            };
            let holder = format!("-{}-", run.server);
            let known = self.journal.servers.contains(&run.server);
            if !known || !line.actor.as_str().contains(&holder) {
                found.push(format!("{run:?} was not of who wrote {line:?}"));
            }
            let reached = line.from != Some(line.to);
            if reached && run.end.as_deref() != Some("done") {
                found.push(format!("{run:?} did not lead to {line:?}"));
            }
            if run.kind == "apply" && run.end.as_deref() == Some("done") {
                // Whoever claimed later has read what it wrote.
                let later = runs.iter().filter(|later| later.fence > fence);
                let blind = later.filter(|later| later.known < fence);
                found.extend(blind.map(|later| format!("{later:?} was claimed before {line:?}")));
            }
        }
        found
    }

    /// How many lines say under which fence they were written.
    fn fenced(&self) -> usize {
        let lines = self.histories.values().flatten();
        lines.filter(|line| fence_of(line).is_some()).count()
    }

    /// No stale run has changed the target.
    fn effects(&self, tenant: TenantId) -> Vec<String> {
        let world = self.world(tenant);
        let fences = world.iter().map(|line| number(&line[0]));
        let fences: Vec<u64> = fences.collect();
        let stale = fences.windows(2).filter(|pair| pair[0] > pair[1]);
        stale
            .map(|pair| format!("fence {} acted after fence {}", pair[1], pair[0]))
            .collect()
    }

    /// The target of a tenant, as lines of words.
    fn world(&self, tenant: TenantId) -> Vec<Vec<String>> {
        let text = read_to_string(self.worlds.join(tenant.to_string())).unwrap_or_default();
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        text.lines().map(words).collect()
    }

    /// Promises 7 and 8: each tenant is what was wanted of it last, and so is its target.
    fn wanted(&self) -> Vec<String> {
        let mut found = Vec::new();
        let wanted = self.written.iter().flat_map(|written| &written.wanted);
        for wanted in wanted {
            let tenant = &self.records[&wanted.tenant].tenant;
            let world = self.world(wanted.tenant);
            let made = world.iter().rfind(|line| line[1] != "begins");
            let made = made.map_or_else(Vec::new, |line| line[1..].to_vec());
            let agrees = match &wanted.plan {
                Some(plan) => {
                    tenant.state == State::Ready
                        && tenant.desired.to_value() == json!({"plan": plan})
                        && made == [plan, "true"]
                }
                None => tenant.state == State::Deleted && made.first().is_some_and(|m| m == "gone"),
            };
            if !agrees {
                found.push(format!("{wanted:?} is {made:?} and {tenant:?}"));
            }
            let drifted = |line: &&Line| line.reason.as_str().contains("Drift");
            let drifted = self.histories[&wanted.tenant].iter().find(drifted);
            found.extend(drifted.map(|line| format!("the target was not what was made: {line:?}")));
        }
        found
    }

    /// What was acknowledged is in the history once, and nothing else of clients is.
    fn acknowledged(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut unseen = BTreeSet::new();
        for told in self.written.iter().flat_map(|written| &written.told) {
            let lines = &self.histories[&told.tenant];
            let message = told.intent.to_string();
            let made = lines.iter().filter(|line| line.message.as_str() == message);
            let made: Vec<_> = made.map(|line| line.revision).collect();
            if made != [told.revision] {
                found.push(format!("{told:?} made the revisions {made:?}"));
            }
            unseen.insert(told.intent);
        }
        let lines = self.histories.values().flatten();
        for line in lines.filter(|line| !is_of_worker(line)) {
            let intent: Option<Uuid> = line.message.as_str().parse().ok();
            if !intent.is_some_and(|intent| unseen.remove(&intent)) {
                found.push(format!("nobody asked for {line:?}"));
            }
        }
        found
    }
}

fn is_of_worker(line: &Line) -> bool {
    line.actor.as_str().starts_with("worker:")
}

/// The fence that a provisioner said it ran under.
fn fence_of(line: &Line) -> Option<u64> {
    let fence = line.message.as_str().strip_prefix("under fence ")?;
    Some(number(fence))
}

/// The pairs of runs of one tenant that overlap, or of which the one with the lower fence began
/// last; the one with the lower fence first.
fn meetings(runs: &[Run]) -> Vec<(&Run, &Run)> {
    let mut meetings = Vec::new();
    for (place, first) in runs.iter().enumerate() {
        for second in runs.iter().skip(place + 1) {
            if first.fence > second.fence {
                meetings.push((second, first));
            } else if first.last > second.began {
                meetings.push((first, second));
            }
        }
    }
    meetings
}
