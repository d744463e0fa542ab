//! The port, method by method.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tenure::{
    AsOf, Attempt, Capabilities, Change, Changes, ClassName, Commit, Cursor, Document, Facets,
    Filter, Freshness, Hash, HistoryQuery, IdempotencyKey, Lease, Line, Loaded, Page, PageSize,
    Queries, Query, Readiness, Record, Records, Result, Revision, Room, State, StoreError, Summary,
    Sweep, Tenant, TenantId, TenantRef, Timestamp, Upkeep, Wake, Work,
};

use crate::readers::snapshot;
use crate::store::SqliteStore;
use crate::{commit, lease, list, migrate, read, upkeep};

impl SqliteStore {
    /// Tells idle workers that there may be work.
    fn hint(&self, change: &Change) {
        if change.wake() != Wake::Unchanged {
            self.due.notify_waiters();
        }
    }
}

#[async_trait]
impl Records for SqliteStore {
    async fn load(&self, who: &TenantRef, key: Option<(&str, &str)>) -> Result<Loaded> {
        let who = who.clone();
        let key = key.map(|(scope, key)| (scope.to_owned(), key.to_owned()));
        let now = self.clock.now();
        self.read(move |db| {
            let key = key
                .as_ref()
                .map(|(scope, key)| (scope.as_str(), key.as_str()));
            read::load(db, &who, key, now)
        })
        .await
    }

    async fn commit(&self, change: &Change) -> Result<Commit> {
        let copy = change.clone();
        let outcome = self
            .write(move |db, now| commit::commit(db, &copy, now))
            .await;
        self.hint(change);
        outcome
    }

    async fn commit_many(&self, changes: &[Change]) -> Vec<Result<Commit>> {
        // All are queued before the first answer is waited for, so that they share commits.
        let pending: Vec<_> = changes
            .iter()
            .cloned()
            .map(|change| self.push(move |db, now| commit::commit(db, &change, now)))
            .collect();
        let mut outcomes = Vec::with_capacity(pending.len());
        for (pending, change) in pending.into_iter().zip(changes) {
            outcomes.push(match pending {
                Ok(pending) => pending.answer().await,
                Err(error) => Err(error),
            });
            self.hint(change);
        }
        outcomes
    }

    async fn remember(
        &self,
        tenant: TenantId,
        revision: Revision,
        key: &IdempotencyKey,
    ) -> Result<Commit> {
        let key = key.clone();
        self.write(move |db, now| commit::remember(db, tenant, revision, &key, now))
            .await
    }
}

#[async_trait]
impl Queries for SqliteStore {
    async fn get(&self, who: &TenantRef, freshness: Freshness) -> Result<Option<Record>> {
        // There is one node, and a read begins after every commit that was acknowledged before it.
        let (Freshness::Primary | Freshness::Strong) = freshness;
        let who = who.clone();
        self.read(move |db| read::get(db, &who)).await
    }

    async fn get_many(&self, ids: &[TenantId]) -> Result<Vec<Record>> {
        let ids: Vec<TenantId> = ids
            .iter()
            .take(PageSize::MAX.get().into())
            .copied()
            .collect();
        self.read(move |db| read::get_many(db, &ids)).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Summary>> {
        let query = query.clone();
        self.read(move |db| snapshot(db, || list::list(db, &query, list::SCAN_MAX)))
            .await
    }

    async fn count(&self, filter: &Filter) -> Result<BTreeMap<State, u64>> {
        let filter = filter.clone();
        let counted = self.read(move |db| list::count(db, &filter)).await?;
        let mut counts: BTreeMap<State, u64> = State::ALL.map(|state| (state, 0)).into();
        counts.extend(counted);
        Ok(counts)
    }

    async fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Result<Vec<Line>> {
        let query = query.clone();
        self.read(move |db| read::history(db, tenant, &query)).await
    }

    async fn as_of(&self, tenant: TenantId, point: AsOf) -> Result<Option<Tenant>> {
        self.read(move |db| read::as_of(db, tenant, point)).await
    }

    async fn documents(&self, tenant: TenantId, hashes: &[Hash]) -> Result<Vec<Document>> {
        let hashes = hashes.to_vec();
        self.read(move |db| read::documents(db, tenant, &hashes))
            .await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: PageSize) -> Result<Changes> {
        let after = after.cloned();
        self.read(move |db| snapshot(db, || read::changes(db, after.as_ref(), limit)))
            .await
    }

    async fn changes_end(&self) -> Result<Cursor> {
        self.read(read::changes_end).await
    }
}

#[async_trait]
impl Work for SqliteStore {
    async fn claim(&self, holder: &str, rooms: &[Room]) -> Result<Vec<Lease>> {
        let (holder, rooms) = (holder.to_owned(), Room::usable(rooms));
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |db, now| lease::claim(db, &holder, &rooms, now))
            .await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Option<Lease>> {
        let lease = lease.clone();
        self.write(move |db, now| lease::renew(db, &lease, length, now))
            .await
    }

    async fn release(&self, lease: &Lease, attempt: &Attempt, next: Wake) -> Result<bool> {
        let (lease, attempt) = (lease.clone(), attempt.clone());
        let released = self
            .write(move |db, now| lease::release(db, &lease, &attempt, next, now))
            .await;
        self.due.notify_waiters();
        released
    }

    async fn idle(&self, classes: &[ClassName], at_most: Duration) {
        let hint = self.due.notified();
        tokio::pin!(hint);
        // Listening before looking: a change in between is not missed.
        hint.as_mut().enable();
        let due = if classes.is_empty() {
            None
        } else {
            let classes = classes.to_vec();
            let next = self.read(move |db| lease::next_due(db, &classes));
            next.await.unwrap_or_default()
        };
        // A hint and the end of the wait are the same to the caller: look again.
        drop(tokio::time::timeout(self.until(due, at_most), hint).await);
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            multi_process: false,
            multi_node: false,
        }
    }

    async fn readiness(&self) -> Readiness {
        let standing = self.standing();
        if !standing.is_ready() {
            return standing;
        }
        match self.read(upkeep::levels).await {
            Ok(Some(levels)) => migrate::judge(levels),
            Ok(None) => Readiness::NotMigrated,
            Err(StoreError::NotReady(readiness)) => readiness,
            Err(error) => Readiness::Unreachable {
                why: error.to_string(),
            },
        }
    }

    async fn now(&self) -> Result<Timestamp> {
        self.read(|_| Ok(())).await?;
        Ok(self.clock.now())
    }

    async fn sweep(&self, sweep: Sweep) -> Result<u64> {
        self.write(move |db, now| upkeep::sweep(db, sweep, now))
            .await
    }

    async fn facets(&self, tenant: TenantId) -> Result<Facets> {
        self.read(move |db| snapshot(db, || upkeep::facets(db, tenant)))
            .await
    }

    async fn standing(&self) -> Result<tenure::Standing> {
        let now = self.clock.now();
        self.read(move |db| upkeep::counted(db, now)).await
    }

    async fn close(&self) {
        self.shut().await;
    }
}
