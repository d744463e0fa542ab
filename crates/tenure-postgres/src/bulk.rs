//! Committing many changes: side by side, but those that may meet one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenure::{Change, Commit, Result, StoreError};
use tokio::task::JoinSet;

use crate::commit::commit_here;
use crate::error::{Cause, Sent, lost};
use crate::session::Database;

/// Most commits that run side by side for one call, so that others get connections too.
const SIDE_BY_SIDE: usize = 8;

/// Commits changes; answers are in order, and one that fails spoils no other.
pub(crate) async fn commit_many(
    database: &Arc<Database>,
    changes: &[Change],
) -> Vec<Result<Commit>> {
    let count = changes.len();
    let (database, lanes) = (Arc::clone(database), lanes(changes));
    // A task of its own: a caller who goes away must not stop it half way.
    let answers = tokio::spawn(commit_lanes(database, lanes))
        .await
        .unwrap_or_default();
    let mut answers: BTreeMap<usize, Result<Commit>> = answers.into_iter().collect();
    (0..count)
        .map(|place| answers.remove(&place).unwrap_or_else(|| Err(ended())))
        .collect()
}

fn ended() -> StoreError {
    lost(Sent::Write, Cause::new("a task ended before its answer"))
}

/// Changes that are written one after the other, each with its place among all.
type Lane = Vec<(usize, Change)>;

/// Parts changes so that those of one tenant, one name or one key are in the same lane, in the order
/// given: which of them comes first decides the answers.
fn lanes(changes: &[Change]) -> Vec<Lane> {
    let mut lane_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut lanes: BTreeMap<usize, Lane> = BTreeMap::new();
    for (place, change) in changes.iter().enumerate() {
        let marks = marks(change);
        let met: Vec<usize> = marks
            .iter()
            .filter_map(|mark| lane_of.get(mark).copied())
            .collect();
        let mut lane = vec![(place, change.clone())];
        for other in &met {
            lane.extend(lanes.remove(other).unwrap_or_default());
        }
        if !met.is_empty() {
            let merged = lane_of.values_mut().filter(|of| met.contains(of));
            merged.for_each(|of| *of = place);
        }
        lane_of.extend(marks.into_iter().map(|mark| (mark, place)));
        lane.sort_by_key(|(place, _)| *place);
        lanes.insert(place, lane);
    }
    lanes.into_values().collect()
}

/// What two changes have in common that may meet in the database.
fn marks(change: &Change) -> Vec<String> {
    let tenant = change.tenant();
    let key = change
        .key()
        .map(|key| format!("key {} {}", key.scope, key.key));
    let fixed = [format!("id {}", tenant.id), format!("name {}", tenant.name)];
    fixed.into_iter().chain(key).collect()
}

async fn commit_lanes(database: Arc<Database>, lanes: Vec<Lane>) -> Vec<(usize, Result<Commit>)> {
    let mut lanes = lanes.into_iter();
    let mut tasks = JoinSet::new();
    let mut answers = Vec::new();
    loop {
        while tasks.len() < SIDE_BY_SIDE
            && let Some(lane) = lanes.next()
        {
            tasks.spawn(commit_lane(Arc::clone(&database), lane));
        }
        match tasks.join_next().await {
            None => return answers,
            Some(done) => answers.extend(done.unwrap_or_default()),
        }
    }
}

async fn commit_lane(database: Arc<Database>, lane: Lane) -> Vec<(usize, Result<Commit>)> {
    let mut answers = Vec::with_capacity(lane.len());
    for (place, change) in lane {
        answers.push((place, commit_here(&database, &change).await));
    }
    answers
}
