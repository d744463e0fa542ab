//! A store that fails on a schedule, over any other.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::store::Result;
use crate::{
    AsOf, Attempt, Capabilities, Change, Changes, ClassName, Commit, Cursor, Document, Facets,
    Filter, Freshness, Hash, HistoryQuery, IdempotencyKey, Lease, Line, Loaded, Page, PageSize,
    PoolUse, Queries, Query, Readiness, Record, Records, Revision, Revoked, Room, Standing, State,
    Store, StoreError, Summary, Sweep, Tenant, TenantId, TenantRef, Timestamp, Token, Tokens,
    Upkeep, Wake, Work,
};

/// What happens to one call of a [`Faulty`] store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it goes through.
    Pass,
    /// It fails before it reaches the store: [`StoreError::Unavailable`].
    FailBefore,
    /// It is carried out, and the reply is lost: [`StoreError::OutcomeUnknown`]. A read, which has
    /// no outcome, fails with [`StoreError::Unavailable`].
    LoseReply,
    /// Others get their turn first, then it goes through.
    Delay,
    /// It reaches the store twice, and the second answer is the one that arrives. A read or a claim
    /// goes through once.
    Duplicate,
}

/// A store that fails on a schedule: it stands before another store and does what a bad network
/// does.
///
/// The schedule is a function of the seed and the number of the call alone, so a run with one
/// caller can be repeated exactly. [`Upkeep::readiness`], [`Upkeep::close`] and [`Work::idle`]
/// never fail.
///
/// ```
/// use std::sync::Arc;
/// use tenure::conformance::{Fault, Faulty, MemoryDatabase};
/// let store = Arc::new(MemoryDatabase::new().store());
/// // One call of ten fails, in one of four ways.
/// let flaky = Faulty::seeded(store.clone(), 42, 10);
/// // The first write is done, but its reply is lost; all else goes through.
/// let once = Faulty::scripted(store, [Fault::LoseReply]);
/// # let _ = (flaky, once);
/// ```
pub struct Faulty {
    inner: Arc<dyn Store>,
    schedule: Schedule,
    calls: AtomicU64,
    faults: AtomicU64,
}

enum Schedule {
    Seeded { seed: u64, percent: u8 },
    Scripted(Mutex<VecDeque<Fault>>),
    Always(Trouble),
}

/// What is the matter with every call of a [`Faulty`] store.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// It fails with this error.
    Fails(fn() -> StoreError),
    /// It is never answered.
    Hangs,
    /// Others are always quicker: each change finds the tenant at another revision. All else goes
    /// through.
    LosesRaces,
}

/// Stands behind an error that was made on purpose.
#[derive(Debug, thiserror::Error)]
#[error("a fault on purpose: {0}")]
struct OnPurpose(&'static str);

fn unavailable() -> StoreError {
    StoreError::Unavailable(Box::new(OnPurpose("failed before")))
}

fn unknown() -> StoreError {
    StoreError::OutcomeUnknown(Box::new(OnPurpose("did it, lost the reply")))
}

impl Faulty {
    /// Lets this share of all calls fail, in percent, in every way in turn.
    pub fn seeded(inner: Arc<dyn Store>, seed: u64, percent: u8) -> Self {
        Self::scheduled(inner, Schedule::Seeded { seed, percent })
    }

    /// Gives each write the next of these faults; once they are used up, and for reads, all passes.
    pub fn scripted(inner: Arc<dyn Store>, faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = Mutex::new(faults.into_iter().collect());
        Self::scheduled(inner, Schedule::Scripted(faults))
    }

    /// Gives every call the same trouble.
    pub fn always(inner: Arc<dyn Store>, trouble: Trouble) -> Self {
        Self::scheduled(inner, Schedule::Always(trouble))
    }

    const fn scheduled(inner: Arc<dyn Store>, schedule: Schedule) -> Self {
        Self {
            inner,
            schedule,
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }

    /// How many calls did not simply go through.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::SeqCst)
    }

    fn next(&self, is_write: bool) -> Fault {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = match &self.schedule {
            Schedule::Seeded { seed, percent } => seeded(*seed, *percent, call),
            Schedule::Scripted(faults) if is_write => {
                let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                faults.pop_front().unwrap_or(Fault::Pass)
            }
            Schedule::Scripted(_) | Schedule::Always(_) => Fault::Pass,
        };
        if fault != Fault::Pass {
            self.faults.fetch_add(1, Ordering::SeqCst);
        }
        fault
    }

    /// The trouble that every call has.
    async fn trouble(&self) -> Result<()> {
        match self.schedule {
            Schedule::Always(Trouble::Fails(error)) => Err(error()),
            Schedule::Always(Trouble::Hangs) => std::future::pending().await,
            _ => Ok(()),
        }
    }

    async fn read<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.trouble().await?;
        match self.next(false) {
            Fault::Pass | Fault::Duplicate => call.await,
            Fault::Delay => {
                stand_back().await;
                call.await
            }
            Fault::FailBefore | Fault::LoseReply => Err(unavailable()),
        }
    }

    async fn write<T, F, R>(&self, call: F) -> Result<T>
    where
        T: Send,
        F: Fn() -> R + Send + Sync,
        R: Future<Output = Result<T>> + Send,
    {
        self.trouble().await?;
        match self.next(true) {
            Fault::Pass => call().await,
            Fault::FailBefore => Err(unavailable()),
            Fault::LoseReply => match call().await {
                Ok(_) => Err(unknown()),
                Err(error) => Err(error),
            },
            Fault::Delay => {
                stand_back().await;
                call().await
            }
            Fault::Duplicate => {
                drop(call().await);
                call().await
            }
        }
    }
}

/// The fault of one call of a seeded schedule.
fn seeded(seed: u64, percent: u8, call: u64) -> Fault {
    let hash = Hash::of(format!("{seed}/{call}").as_bytes());
    let [whether, which, ..] = *hash.as_bytes();
    // One byte of hash as a share of 256, compared without rounding.
    if u16::from(whether) * 100 >= u16::from(percent) * 256 {
        return Fault::Pass;
    }
    match which % 4 {
        0 => Fault::FailBefore,
        1 => Fault::LoseReply,
        2 => Fault::Delay,
        _ => Fault::Duplicate,
    }
}

/// Lets whoever else is ready go first.
async fn stand_back() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Records for Faulty {
    async fn load(&self, who: &TenantRef, key: Option<(&str, &str)>) -> Result<Loaded> {
        self.read(self.inner.load(who, key)).await
    }

    async fn commit(&self, change: &Change) -> Result<Commit> {
        if let Schedule::Always(Trouble::LosesRaces) = self.schedule {
            let actual = change.tenant().revision;
            return Ok(Commit::Conflict { actual });
        }
        self.write(|| self.inner.commit(change)).await
    }

    async fn commit_many(&self, changes: &[Change]) -> Vec<Result<Commit>> {
        let all = || async { Ok(self.inner.commit_many(changes).await) };
        match self.write(all).await {
            Ok(answers) => answers,
            Err(StoreError::OutcomeUnknown(_)) => changes.iter().map(|_| Err(unknown())).collect(),
            Err(_) => changes.iter().map(|_| Err(unavailable())).collect(),
        }
    }

    async fn remember(
        &self,
        tenant: TenantId,
        revision: Revision,
        key: &IdempotencyKey,
    ) -> Result<Commit> {
        self.write(|| self.inner.remember(tenant, revision, key))
            .await
    }
}

#[async_trait]
impl Queries for Faulty {
    async fn get(&self, who: &TenantRef, freshness: Freshness) -> Result<Option<Record>> {
        self.read(self.inner.get(who, freshness)).await
    }

    async fn get_many(&self, ids: &[TenantId]) -> Result<Vec<Record>> {
        self.read(self.inner.get_many(ids)).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Summary>> {
        self.read(self.inner.list(query)).await
    }

    async fn count(&self, filter: &Filter) -> Result<BTreeMap<State, u64>> {
        self.read(self.inner.count(filter)).await
    }

    async fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Result<Vec<Line>> {
        self.read(self.inner.history(tenant, query)).await
    }

    async fn as_of(&self, tenant: TenantId, point: AsOf) -> Result<Option<Tenant>> {
        self.read(self.inner.as_of(tenant, point)).await
    }

    async fn documents(&self, tenant: TenantId, hashes: &[Hash]) -> Result<Vec<Document>> {
        self.read(self.inner.documents(tenant, hashes)).await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: PageSize) -> Result<Changes> {
        self.read(self.inner.changes(after, limit)).await
    }

    async fn changes_end(&self) -> Result<Cursor> {
        self.read(self.inner.changes_end()).await
    }
}

#[async_trait]
impl Work for Faulty {
    async fn claim(&self, holder: &str, rooms: &[Room]) -> Result<Vec<Lease>> {
        // A claim that arrives twice claims different work, so the first answer would be lost work
        // and not a repeat.
        self.trouble().await?;
        match self.next(true) {
            Fault::FailBefore => return Err(unavailable()),
            Fault::Delay => stand_back().await,
            Fault::LoseReply => {
                self.inner.claim(holder, rooms).await?;
                return Err(unknown());
            }
            Fault::Pass | Fault::Duplicate => {}
        }
        self.inner.claim(holder, rooms).await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Option<Lease>> {
        self.write(|| self.inner.renew(lease, length)).await
    }

    async fn release(&self, lease: &Lease, attempt: &Attempt, next: Wake) -> Result<bool> {
        self.write(|| self.inner.release(lease, attempt, next))
            .await
    }

    async fn idle(&self, classes: &[ClassName], at_most: Duration) {
        self.inner.idle(classes, at_most).await;
    }
}

#[async_trait]
impl Upkeep for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn pool(&self) -> Option<PoolUse> {
        self.inner.pool()
    }

    async fn readiness(&self) -> Readiness {
        self.inner.readiness().await
    }

    async fn now(&self) -> Result<Timestamp> {
        self.read(self.inner.now()).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<u64> {
        self.write(|| self.inner.sweep(sweep)).await
    }

    async fn facets(&self, tenant: TenantId) -> Result<Facets> {
        self.read(self.inner.facets(tenant)).await
    }

    async fn standing(&self) -> Result<Standing> {
        self.read(self.inner.standing()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Tokens for Faulty {
    async fn add_token(&self, token: &Token) -> Result<bool> {
        self.write(|| self.inner.add_token(token)).await
    }

    async fn token(&self, name: &ClassName) -> Result<Option<Token>> {
        self.read(self.inner.token(name)).await
    }

    async fn token_of(&self, hash: &Hash) -> Result<Option<Token>> {
        self.read(self.inner.token_of(hash)).await
    }

    async fn tokens(&self, after: Option<&ClassName>, limit: PageSize) -> Result<Vec<Token>> {
        self.read(self.inner.tokens(after, limit)).await
    }

    async fn rotate_token(
        &self,
        name: &ClassName,
        (seen, hash): (&Hash, &Hash),
        previous_until: Option<Timestamp>,
    ) -> Result<Option<Token>> {
        self.write(|| self.inner.rotate_token(name, (seen, hash), previous_until))
            .await
    }

    async fn revoke_token(&self, name: &ClassName, revoked: &Revoked) -> Result<Option<Token>> {
        self.write(|| self.inner.revoke_token(name, revoked)).await
    }

    async fn note_token_uses(&self, uses: &[(ClassName, Timestamp)]) -> Result<()> {
        self.write(|| self.inner.note_token_uses(uses)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{MemoryFactory, Setup};

    #[test]
    fn a_schedule_depends_on_its_seed_alone_and_keeps_its_share() {
        let schedule = |seed| {
            (0..10_000)
                .map(|call| seeded(seed, 10, call))
                .collect::<Vec<_>>()
        };
        assert_eq!(schedule(1), schedule(1));
        assert_ne!(schedule(1), schedule(2));
        let faults = schedule(1)
            .iter()
            .filter(|fault| **fault != Fault::Pass)
            .count();
        assert!((800..1_200).contains(&faults), "{faults} of 10,000");
        for percent in [0, 100] {
            let never = (0..1_000).all(|call| seeded(1, percent, call) == Fault::Pass);
            assert_eq!(never, percent == 0);
        }
    }

    #[tokio::test]
    async fn a_lost_reply_is_done_and_a_failure_before_is_not() {
        let setup = Setup::new(&MemoryFactory).await;
        let store = Arc::clone(&setup.store);
        let faulty = Faulty::scripted(store, [Fault::FailBefore, Fault::LoseReply]);
        let change = setup.creation(setup.wanted("acme"));
        let id = change.tenant().id;
        let is_there = async || setup.store.facets(id).await.unwrap().feed.0 == 1;

        assert!(matches!(
            faulty.commit(&change).await,
            Err(StoreError::Unavailable(_))
        ));
        assert!(!is_there().await);
        assert!(matches!(
            faulty.commit(&change).await,
            Err(StoreError::OutcomeUnknown(_))
        ));
        assert!(is_there().await);
        assert!(matches!(
            faulty.commit(&change).await,
            Ok(Commit::Applied { .. })
        ));
        assert_eq!(faulty.faults(), 2);
    }
}
