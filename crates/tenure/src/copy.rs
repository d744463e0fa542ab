//! Moving a fleet from one store to another, with its whole history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::check::{Fold, FoldError};
use crate::store::Result as StoreResult;
use crate::{
    Advice, Change, Commit, Direction, Document, Filter, Freshness, Hash, HistoryQuery, Line,
    PageSize, Query, Record, State, Store, StoreError, Summary, Tenant, TenantId, TenantName,
    TenantRef, Timestamp, Wake,
};

/// Most changes that are handed to the target at once.
const BATCH_MAX: usize = 256;

/// How often a batch is sent that meets a store in trouble.
const SENDS_MAX: u32 = 5;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Tenants, the deleted too.
    pub tenants: u64,
    /// Lines of history.
    pub lines: u64,
    /// Tokens.
    pub tokens: u64,
}

/// Why a fleet could not be copied. What was copied before stays; copying again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// One of the stores failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody works on the source.
    #[error("{0} operations run on the source; stop its servers and workers, and copy again")]
    InUse(u64),
    /// The source changed while it was copied.
    #[error("the source changed while it was copied; stop what writes to it, and copy again")]
    Moved,
    /// The target holds something that the source does not.
    #[error("the target has {what} that the source does not have so; copy to an empty store")]
    Foreign {
        /// What.
        what: String,
    },
    /// A history of the source does not add up.
    #[error(
        "the history of {tenant} does not add up at revision {revision}: {why}; \
         `tenure doctor` says more"
    )]
    Unsound {
        /// Whose.
        tenant: TenantId,
        /// Where.
        revision: u64,
        /// What was found.
        why: String,
    },
}

/// Copies every tenant with its whole history, and every token, from one store to another.
///
/// Each change is written as it was: same time, actor, reason and hash, so the chain of hashes and
/// an export of the target are byte-equal to those of the source. Work is planned as it was
/// planned; attempts count from zero. Left behind are what is not of the record: idempotency keys,
/// leases, and the places of readers in the change feed, which is a new one.
///
/// A copy that was interrupted is taken up by copying again: what is written is recognised. Nothing
/// may write to either store meanwhile; if something did to the source, the copy says so.
///
/// `progress` is told of each tenant that is being copied.
///
/// # Errors
///
/// [`CopyError`] says what to do. The source is never changed.
pub async fn copy<F>(from: &dyn Store, to: &dyn Store, progress: F) -> Result<Copied, CopyError>
where
    F: FnMut(&TenantName) + Send + Sync,
{
    let running: u64 = from.standing().await?.leased.values().sum();
    if running > 0 {
        return Err(CopyError::InUse(running));
    }
    let mut run = Run {
        from,
        to,
        batch: Vec::new(),
        copied: Copied::default(),
        progress,
    };
    run.refuse_foreign().await?;
    // A name is free again after deletion, so those who had it go first, each to its end.
    for deleted in [true, false] {
        run.tenants(deleted).await?;
    }
    run.tokens().await?;
    run.refuse_moved().await?;
    Ok(run.copied)
}

struct Run<'a, F> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    /// Changes that wait to be written together. No two tenants in it have the same name.
    batch: Vec<Change>,
    copied: Copied,
    progress: F,
}

impl<F: FnMut(&TenantName) + Send + Sync> Run<'_, F> {
    /// The target may hold what an earlier copy wrote, and nothing else.
    async fn refuse_foreign(&self) -> Result<(), CopyError> {
        let mut query = everything();
        loop {
            let page = self.to.list(&query).await?;
            for there in page.items {
                let who = TenantRef::Id(there.id);
                let here = self.from.get(&who, Freshness::Primary).await?;
                let known = here.is_some_and(|here| {
                    here.tenant.name == there.name && here.tenant.revision >= there.revision
                });
                if !known {
                    let what = format!("the tenant {} ({})", there.name, there.id);
                    return Err(CopyError::Foreign { what });
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Both must now have the same tenants at the same revisions.
    async fn refuse_moved(&self) -> Result<(), CopyError> {
        let (mut here, mut there) = (everything(), everything());
        loop {
            let (from, to) = (self.from.list(&here).await?, self.to.list(&there).await?);
            let heads = |items: &[Summary]| -> Vec<_> {
                items.iter().map(|one| (one.id, one.revision)).collect()
            };
            if heads(&from.items) != heads(&to.items) {
                return Err(CopyError::Moved);
            }
            match (from.next, to.next) {
                (Some(from), Some(to)) => (here.after, there.after) = (Some(from), Some(to)),
                (None, None) => return Ok(()),
                _ => return Err(CopyError::Moved),
            }
        }
    }

    async fn tenants(&mut self, deleted: bool) -> Result<(), CopyError> {
        let mut query = everything();
        loop {
            let page = self.from.list(&query).await?;
            let now = self.from.now().await?;
            let asked = |summary: &&Summary| (summary.state == State::Deleted) == deleted;
            let ids: Vec<TenantId> = page.items.iter().filter(asked).map(|s| s.id).collect();
            for record in self.from.get_many(&ids).await? {
                self.tenant(&record, now).await?;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return self.flush().await,
            }
        }
    }

    /// Copies one tenant: each revision as the change that made it.
    async fn tenant(&mut self, record: &Record, now: Timestamp) -> Result<(), CopyError> {
        let head = &record.tenant;
        (self.progress)(&head.name);
        if self
            .batch
            .iter()
            .any(|change| change.tenant().name == head.name)
        {
            self.flush().await?;
        }
        let mut fold = Fold::new(head.name.clone(), head.class.clone());
        let mut before: Option<Tenant> = None;
        let mut documents: BTreeMap<Hash, Document> = BTreeMap::new();
        let mut query = HistoryQuery {
            after: None,
            direction: Direction::Ascending,
            transitions_only: false,
            kinds: BTreeSet::new(),
            limit: PageSize::MAX,
        };
        loop {
            let lines = self.from.history(head.id, &query).await?;
            let Some(last) = lines.last() else { break };
            query.after = Some(last.revision);
            for line in &lines {
                fold.push(line);
                self.fetch(head.id, &fold, &mut documents).await?;
                let known: Vec<Document> = fold
                    .needs()
                    .iter()
                    .filter_map(|hash| documents.get(hash).cloned())
                    .collect();
                let after = fold.tenant(&known).map_err(|error| unsound(line, &error))?;
                let after = after.ok_or(StoreError::Closed)?;
                let change = Change::copied(before.as_ref(), after.clone(), line)
                    .map_err(|why| unsound_because(line, why))?;
                let newest = line.revision == head.revision;
                let wake = if newest {
                    planned(record, now)
                } else {
                    Wake::Never
                };
                self.batch.push(change.with_wake(wake));
                before = Some(after);
                if self.batch.len() >= BATCH_MAX {
                    self.flush().await?;
                }
            }
            // Only what the newest line names can be named again without being fetched.
            documents.retain(|hash, _| fold.needs().contains(hash));
        }
        if before.as_ref().map(|tenant| tenant.hash) != Some(head.hash) {
            return Err(CopyError::Moved);
        }
        self.copied.tenants += 1;
        Ok(())
    }

    /// Fetches the documents that the newest line names and that are not at hand.
    async fn fetch(
        &self,
        tenant: TenantId,
        fold: &Fold,
        documents: &mut BTreeMap<Hash, Document>,
    ) -> StoreResult<()> {
        let mut missing = fold.needs();
        missing.retain(|hash| !documents.contains_key(hash));
        if !missing.is_empty() {
            let found = self.from.documents(tenant, &missing).await?;
            documents.extend(
                found
                    .into_iter()
                    .map(|document| (document.hash(), document)),
            );
        }
        Ok(())
    }

    /// Writes the batch; what was written before by an earlier send or copy is recognised.
    async fn flush(&mut self) -> Result<(), CopyError> {
        let batch = std::mem::take(&mut self.batch);
        let mut answers = self.to.commit_many(&batch).await;
        for send in 1..SENDS_MAX {
            let passing =
                |error: &StoreError| matches!(error.advice(), Advice::Backoff | Advice::Resolve);
            let mut errors = answers.iter().filter_map(|answer| answer.as_ref().err());
            if !errors.any(passing) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50 << send)).await;
            answers = self.to.commit_many(&batch).await;
        }
        for (change, answer) in batch.iter().zip(answers) {
            match answer? {
                Commit::Applied { .. } => self.copied.lines += 1,
                other => {
                    let tenant = change.tenant();
                    let what = format!(
                        "another revision {} of {} ({other:?})",
                        tenant.revision, tenant.name
                    );
                    return Err(CopyError::Foreign { what });
                }
            }
        }
        Ok(())
    }

    async fn tokens(&mut self) -> Result<(), CopyError> {
        let mut after = None;
        loop {
            let page = self.from.tokens(after.as_ref(), PageSize::MAX).await?;
            for token in &page {
                let added = self.to.add_token(token).await?;
                if !added && self.to.token(&token.name).await?.as_ref() != Some(token) {
                    let what = format!("another token {}", token.name);
                    return Err(CopyError::Foreign { what });
                }
                self.copied.tokens += 1;
            }
            match page.last() {
                Some(last) => after = Some(last.name.clone()),
                None => return Ok(()),
            }
        }
    }
}

/// When the work of a copied tenant is due: as it was planned, or at once if that is past.
fn planned(record: &Record, now: Timestamp) -> Wake {
    match record.work.due_at {
        None => Wake::Never,
        Some(due) if record.work.routine => Wake::Check(due.since(now)),
        Some(due) => Wake::After(due.since(now)),
    }
}

fn everything() -> Query {
    Query {
        filter: Filter {
            include_deleted: true,
            ..Filter::default()
        },
        limit: PageSize::MAX,
        ..Query::default()
    }
}

fn unsound(line: &Line, error: &FoldError) -> CopyError {
    unsound_because(line, error.to_string())
}

fn unsound_because(line: &Line, why: impl Into<String>) -> CopyError {
    CopyError::Unsound {
        tenant: line.tenant,
        revision: line.revision.get(),
        why: why.into(),
    }
}
