//! Committing many changes: side by side, but one after the other for each tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenure::{Change, Commit, Result, StoreError, TenantId};
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
    let mut answers: Vec<Option<Result<Commit>>> = changes.iter().map(|_| None).collect();
    let mut tasks = JoinSet::new();
    let mut rows = by_tenant(changes).into_values();
    loop {
        while tasks.len() < SIDE_BY_SIDE
            && let Some(row) = rows.next()
        {
            tasks.spawn(commit_row(Arc::clone(database), row));
        }
        match tasks.join_next().await {
            None => break,
            Some(Err(_)) => {}
            Some(Ok(done)) => {
                for (place, answer) in done {
                    if let Some(slot) = answers.get_mut(place) {
                        *slot = Some(answer);
                    }
                }
            }
        }
    }
    answers
        .into_iter()
        .map(|answer| answer.unwrap_or_else(|| Err(ended())))
        .collect()
}

fn ended() -> StoreError {
    lost(Sent::Write, Cause::new("a task ended before its answer"))
}

type Row = Vec<(usize, Change)>;

fn by_tenant(changes: &[Change]) -> BTreeMap<TenantId, Row> {
    let mut rows: BTreeMap<TenantId, Row> = BTreeMap::new();
    for (place, change) in changes.iter().enumerate() {
        rows.entry(change.tenant().id)
            .or_default()
            .push((place, change.clone()));
    }
    rows
}

async fn commit_row(database: Arc<Database>, row: Row) -> Vec<(usize, Result<Commit>)> {
    let mut answers = Vec::with_capacity(row.len());
    for (place, change) in row {
        answers.push((place, commit_here(&database, &change).await));
    }
    answers
}
