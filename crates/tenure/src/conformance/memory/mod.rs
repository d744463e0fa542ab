//! The port in memory: its documentation as code, and the oracle of the model cases.
//!
//! Everything is a map behind one lock, and every call holds that lock from beginning to end, so
//! that what the port promises about atomicity and order holds for free. It is meant to be
//! obviously right and not to be fast. Nothing survives the process.
//!
//! # Invariants
//!
//! - [`data`] writes, [`queries`] reads, and neither knows what a rule of the lifecycle is: a store
//!   only guards that no change breaks the lifecycle's table.
//! - While work is leased, it is due when the lease ends. So what is claimable is exactly what is
//!   due, and a lease that ends needs nobody to end it.

mod data;
mod leases;
mod queries;
mod tokens;

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Database, Factory, ManualClock, start};
use crate::store::Result;
use crate::{
    Attempt, Capabilities, Change, ClassName, Clock, Commit, Facets, IdempotencyKey, Lease, Loaded,
    Readiness, Records, Revision, Room, Standing, Store, StoreError, Sweep, TenantId, TenantRef,
    Timestamp, Upkeep, Wake, Work,
};
use data::Data;

/// A store in memory.
///
/// ```
/// use std::sync::Arc;
/// use tenure::conformance::MemoryStore;
/// use tenure::{Engine, SystemClock};
/// let engine = Engine::new(Arc::new(MemoryStore::new(Arc::new(SystemClock))));
/// # let _ = engine;
/// ```
pub struct MemoryStore {
    shared: Arc<Shared>,
    closed: AtomicBool,
}

/// What all stores on one database have in common.
struct Shared {
    data: Mutex<Data>,
    clock: Arc<dyn Clock>,
    woken: Notify,
}

impl MemoryStore {
    /// An empty store whose leases and keys go by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            data: Mutex::new(Data::new()),
            clock,
            woken: Notify::new(),
        };
        Self::on(Arc::new(shared))
    }

    const fn on(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            closed: AtomicBool::new(false),
        }
    }

    /// Does something with the data at the present time, while nobody else does.
    fn with<T>(&self, call: impl FnOnce(&mut Data, Timestamp) -> T) -> Result<T> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let mut data = self
            .shared
            .data
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(call(&mut data, self.shared.clock.now()))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Records for MemoryStore {
    async fn load(&self, who: &TenantRef, key: Option<(&str, &str)>) -> Result<Loaded> {
        self.with(|data, now| Loaded {
            record: data.record(who),
            prior: key.and_then(|key| data.prior(key, now)),
        })
    }

    async fn commit(&self, change: &Change) -> Result<Commit> {
        let answer = self.with(|data, now| data.commit(change, now))?;
        self.shared.woken.notify_waiters();
        answer
    }

    async fn commit_many(&self, changes: &[Change]) -> Vec<Result<Commit>> {
        let mut answers = Vec::new();
        for change in changes {
            answers.push(self.commit(change).await);
        }
        answers
    }

    async fn remember(
        &self,
        tenant: TenantId,
        revision: Revision,
        key: &IdempotencyKey,
    ) -> Result<Commit> {
        self.with(|data, now| data.remember(tenant, revision, key, now))
    }
}

#[async_trait]
impl Work for MemoryStore {
    async fn claim(&self, holder: &str, rooms: &[Room]) -> Result<Vec<Lease>> {
        let rooms = Room::usable(rooms);
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        self.with(|data, now| data.claim(holder, rooms, now))
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Option<Lease>> {
        self.with(|data, now| data.renew(lease, length, now))
    }

    async fn release(&self, lease: &Lease, attempt: &Attempt, next: Wake) -> Result<bool> {
        let released = self.with(|data, now| data.release(lease, attempt, next, now))?;
        self.shared.woken.notify_waiters();
        Ok(released)
    }

    async fn idle(&self, classes: &[ClassName], at_most: Duration) {
        // Listens before it looks, so that no wake-up falls between the two.
        let mut woken = pin!(self.shared.woken.notified());
        woken.as_mut().enable();
        let due = self
            .with(|data, now| data.due_in(classes, now))
            .ok()
            .flatten();
        let wait = due.map_or(at_most, |due| due.min(at_most));
        drop(tokio::time::timeout(wait, woken).await);
    }
}

#[async_trait]
impl Upkeep for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            multi_process: true,
            multi_node: false,
        }
    }

    async fn readiness(&self) -> Readiness {
        match self.with(|_, _| ()) {
            Ok(()) => Readiness::Ready { schema: 1 },
            Err(error) => Readiness::Unreachable {
                why: error.to_string(),
            },
        }
    }

    async fn now(&self) -> Result<Timestamp> {
        self.with(|_, now| now)
    }

    async fn sweep(&self, sweep: Sweep) -> Result<u64> {
        self.with(|data, now| data.sweep(sweep, now))
    }

    async fn facets(&self, tenant: TenantId) -> Result<Facets> {
        self.with(|data, _| data.facets(tenant))
    }

    async fn standing(&self) -> Result<Standing> {
        self.with(|data, now| data.standing(now))
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.shared.woken.notify_waiters();
    }
}

/// A database in memory, for the suite: any number of stores on the same data.
#[derive(Clone)]
pub struct MemoryDatabase {
    shared: Arc<Shared>,
    clock: ManualClock,
}

impl MemoryDatabase {
    /// An empty one, whose clock stands at the [`start`] of every case.
    pub fn new() -> Self {
        let clock = ManualClock::new(start());
        let store = MemoryStore::new(Arc::new(clock.clone()));
        Self {
            shared: store.shared,
            clock,
        }
    }

    /// Its clock.
    pub const fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// A store on it.
    pub fn store(&self) -> MemoryStore {
        MemoryStore::on(Arc::clone(&self.shared))
    }
}

impl Default for MemoryDatabase {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDatabase")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Database for MemoryDatabase {
    async fn open(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.store()))
    }

    async fn second(&self) -> Option<Arc<dyn Store>> {
        self.open().await
    }

    async fn advance(&self, by: Duration) -> Option<()> {
        self.clock.advance(by);
        self.shared.woken.notify_waiters();
        Some(())
    }
}

/// Gives databases in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFactory;

#[async_trait]
impl Factory for MemoryFactory {
    async fn fresh(&self) -> Arc<dyn Database> {
        Arc::new(MemoryDatabase::new())
    }
}
