//! The storage port: everything that Tenure asks of a database, in small traits.
//!
//! An adapter implements [`Records`], [`Queries`], [`Work`], [`Upkeep`] and
//! [`Tokens`](crate::Tokens) and has [`Store`] for free. It holds no rule of its own: [`decide`](crate::decide) decides, the store writes what was
//! decided, whole or not at all. The `conformance` feature proves an adapter against the rules
//! that are written here.
//!
//! # Invariants
//!
//! - There is no method that writes a state without its line of history, its place in the feed,
//!   the wake-up of its work and its idempotency key: [`Records::commit`] writes them all.
//! - A lost race is a value of [`Commit`], never an error, and never an overwrite.
//! - No transaction, driver type or HTTP type crosses the port.
//! - Leases live on the store's clock; every other time comes with the change.
//! - Every call ends within the adapter's deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Change, ClassName, Cursor, Direction, Document, Fence, Filter, Hash, IdempotencyKey, Kind,
    Line, Message, Page, PageSize, Query, Revision, State, StoreError, Summary, Tenant, TenantId,
    TenantName, Timestamp, Tokens, Upkeep, Wake,
};

/// A result of the port.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Which tenant is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantRef {
    /// The tenant of this id, deleted or not.
    Id(TenantId),
    /// The living tenant of this name.
    Name(TenantName),
}

impl std::str::FromStr for TenantRef {
    type Err = crate::Invalid;

    /// Reads an id (`tnt_…`) or a name; no name contains `_`, so the two can't be confused.
    fn from_str(text: &str) -> std::result::Result<Self, crate::Invalid> {
        if text.starts_with("tnt_") {
            text.parse().map(Self::Id)
        } else {
            text.parse().map(Self::Name)
        }
    }
}

/// What is counted and planned for a tenant, rather than recorded: never in history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkFacts {
    /// When its work is due, by the store's clock; while it is leased, when the lease ends. `None`
    /// if nothing is planned.
    pub due_at: Option<Timestamp>,
    /// Whether what is planned is routine: nobody waits for it.
    pub routine: bool,
    /// Claims since the last success, retry, or change of what is wanted.
    pub attempts: u32,
    /// What the last failed attempt said, until one is in order.
    pub last_error: Option<Message>,
    /// When an attempt was last in order, by the store's clock.
    pub checked_at: Option<Timestamp>,
    /// Who has its lease; after `lease_until`, who had it, until someone else claims it.
    pub holder: Option<String>,
    /// Until when that lease runs, by the store's clock.
    pub lease_until: Option<Timestamp>,
    /// The newest fence that was given out.
    pub fence: Fence,
}

/// A tenant with what is counted for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The record.
    pub tenant: Tenant,
    /// Its work.
    pub work: WorkFacts,
}

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// The tenant that the request was about.
    pub tenant: TenantId,
    /// The revision that answered it.
    pub revision: Revision,
    /// Whether the request wrote that revision; otherwise it found all as asked.
    pub wrote: bool,
    /// The hash of the request.
    pub fingerprint: Hash,
}

/// All that a decision needs, from one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The tenant, if there is one.
    pub record: Option<Record>,
    /// What the idempotency key stands for, if it was used and has not expired.
    pub prior: Option<Prior>,
}

/// What became of a change. Only `Applied` wrote anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is written, now or by an earlier send of the same change, and survives any crash.
    Applied {
        /// The revision that it made.
        revision: Revision,
    },
    /// The tenant moved on. Load it, decide again.
    Conflict {
        /// Its revision now.
        actual: Revision,
    },
    /// There is no such tenant.
    NotFound,
    /// A living tenant has the name.
    NameTaken,
    /// Another tenant has the id.
    IdTaken,
    /// The lease under which the report was made has ended or moved. Drop the result.
    LeaseLost,
    /// The idempotency key was used before. Load it to learn what for.
    KeyUsed,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// What the primary says. During a split brain, a deposed primary may say something old.
    #[default]
    Primary,
    /// Nothing older than the last acknowledged write, proven by a barrier that a deposed primary
    /// can't pass. Costs a replicated round trip.
    Strong,
}

/// A point in a tenant's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// As it was after this revision.
    Revision(Revision),
    /// As it was at this time: after the newest revision that is not later.
    Time(Timestamp),
}

/// Which lines of a tenant's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Lines beyond this revision, in the direction of reading; `None` starts at the end.
    pub after: Option<Revision>,
    /// Oldest first or newest first.
    pub direction: Direction,
    /// Only the lines that changed the state.
    pub transitions_only: bool,
    /// Only lines of these kinds; of any if empty.
    pub kinds: BTreeSet<Kind>,
    /// How many at most.
    pub limit: PageSize,
}

impl HistoryQuery {
    /// Whether no line is left out.
    pub fn selects_all(&self) -> bool {
        !self.transitions_only && self.kinds.is_empty()
    }

    /// The kinds of lines that it selects: all, if it names none.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let named = |kind: &Kind| self.kinds.is_empty() || self.kinds.contains(kind);
        Kind::ALL.into_iter().filter(named)
    }
}

/// A stretch of the change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The changes, in the order of their commits.
    pub lines: Vec<Line>,
    /// Where to read on, also when there is nothing new yet.
    pub next: Cursor,
}

/// How much longer routine work waits than work that somebody waits for, before it goes first.
pub const ROUTINE_PATIENCE: Duration = Duration::from_mins(5);

/// The most leases that one call of [`Work::claim`] gives.
pub const LEASES_MAX: u16 = 500;

/// What a worker has room for, of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The class.
    pub class: ClassName,
    /// How long each lease runs.
    pub lease: Duration,
    /// How many leases at most.
    pub limit: u16,
    /// How many of them may be routine.
    pub routine: u16,
}

impl Room {
    /// The rooms that count in one claim, for adapters: without the empty ones, of each class the
    /// first, and none for more than [`LEASES_MAX`] leases or more routine ones than leases.
    pub fn usable(rooms: &[Self]) -> Vec<Self> {
        let mut seen = BTreeSet::new();
        let counts = |room: &&Self| room.limit > 0 && seen.insert(room.class.clone());
        let mut usable: Vec<Self> = rooms.iter().filter(counts).cloned().collect();
        for room in &mut usable {
            room.limit = room.limit.min(LEASES_MAX);
            room.routine = room.routine.min(room.limit);
        }
        usable
    }
}

/// A claim on a tenant's work that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose work.
    pub tenant: TenantId,
    /// The tenant's class.
    pub class: ClassName,
    /// Whether it was claimed as routine.
    pub routine: bool,
    /// What proves the claim. A report under it counts only while the lease is live.
    pub fence: Fence,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Until when, by the store's clock.
    pub until: Timestamp,
    /// Whether whoever had it before let it run out.
    pub taken_over: bool,
}

/// How an attempt ended that changed nothing of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was in order. Attempts count from zero again.
    Clean,
    /// It failed as it failed before. The attempt stays counted.
    Failed {
        /// What it said.
        error: Message,
    },
    /// It was not made. The attempt is not counted.
    Returned,
}

/// Loading and writing records.
#[async_trait]
pub trait Records: Send + Sync {
    /// Loads a tenant and what an idempotency key (scope, key) stands for, from one snapshot.
    ///
    /// Reads the primary. An expired key is as good as unknown.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] rather than a damaged document; otherwise as its advice says.
    async fn load(&self, who: &TenantRef, key: Option<(&str, &str)>) -> Result<Loaded>;

    /// Writes a change, its line of history, feed entry, wake-up and idempotency key: all or none.
    ///
    /// Compares first: the tenant must be at [`Change::expected`] (or absent, if it creates), the
    /// lease of [`Change::lease`] live by the store's clock, and the key unused. If the tenant is
    /// beyond it and the line at `expected + 1` has the hash of this change's line, this very
    /// change was written before: the answer is `Applied` again, whatever became of lease and key.
    ///
    /// If more than one thing is in the way, the first of these is the answer. For a creation: the
    /// id ([`Commit::IdTaken`]), the name, the key. For a change: [`Commit::NotFound`], the
    /// revision ([`Commit::Conflict`]), the lease, the key.
    ///
    /// With a lease: `release` ends it and plans the work as [`Change::wake`] says, or at once if
    /// it is dirty; otherwise the lease goes on. Without one: a wake-up ([`Wake::Now`] or
    /// [`Wake::After`]) makes the work due no later than planned, or marks it dirty while it is
    /// leased. So a change that comes in while someone works is worked on as soon as that ends.
    ///
    /// Work that [`Wake::Check`] plans is routine; what other wake-ups plan, and what is due
    /// because it was dirty, is not. Without a lease, a wake-up that asks for it at once, or for
    /// sooner than planned, ends the routine; a check makes routine only what was not planned.
    ///
    /// A commit that releases its lease counts as an attempt in order if it resets the attempts
    /// ([`WorkFacts::checked_at`]); otherwise [`Change::last_error`] is kept, if it has one.
    ///
    /// After `Applied`, the change survives a crash of this process and of the store. Dropping the
    /// future does not cut the write in half: it happens whole or not at all.
    ///
    /// # Errors
    ///
    /// - [`StoreError::OutcomeUnknown`]: it may have been written. Send the same change again.
    /// - Any other: nothing was written; do as [`StoreError::advice`] says.
    async fn commit(&self, change: &Change) -> Result<Commit>;

    /// Commits independent changes; answers are in order, and one that fails spoils no other.
    ///
    /// Two changes of one tenant are written one after the other, in the order given.
    async fn commit_many(&self, changes: &[Change]) -> Vec<Result<Commit>>;

    /// Records an idempotency key for a command that found all as it asked, and nothing else.
    ///
    /// It stands for the tenant's `revision`, which must exist, so that a repeat is answered alike.
    /// Answers `Applied`, `NotFound`, or `KeyUsed`: then load it to learn what for.
    ///
    /// # Errors
    ///
    /// As [`Records::commit`].
    async fn remember(
        &self,
        tenant: TenantId,
        revision: Revision,
        key: &IdempotencyKey,
    ) -> Result<Commit>;
}

/// Asking questions.
#[async_trait]
pub trait Queries: Send + Sync {
    /// The tenant, deleted ones by id only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] rather than a damaged document; otherwise as its advice says.
    async fn get(&self, who: &TenantRef, freshness: Freshness) -> Result<Option<Record>>;

    /// The tenants of these ids, in the order of the ids given; those that do not exist are left
    /// out. At most 500 ids.
    ///
    /// # Errors
    ///
    /// As [`Queries::get`].
    async fn get_many(&self, ids: &[TenantId]) -> Result<Vec<Record>>;

    /// A page of tenants in the order of their ids, which is that of their creation.
    ///
    /// Touches an amount of rows that does not grow with the number of tenants: where no index
    /// serves the filter, a page may come short, even empty, and still have a next cursor. A walk
    /// to the end gives each tenant that was there throughout, once.
    ///
    /// # Errors
    ///
    /// [`StoreError::CursorInvalid`] for a cursor that this query did not give.
    async fn list(&self, query: &Query) -> Result<Page<Summary>>;

    /// How many tenants match, by state; every state is present. Costs a scan.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn count(&self, filter: &Filter) -> Result<BTreeMap<State, u64>>;

    /// Lines of one tenant's history. An unknown tenant has none.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Result<Vec<Line>>;

    /// The record as it was; `None` before the tenant's creation or beyond its newest revision.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if a document is damaged or was erased.
    async fn as_of(&self, tenant: TenantId, point: AsOf) -> Result<Option<Tenant>>;

    /// Documents of a tenant by hash; those that it does not have are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if one is damaged.
    async fn documents(&self, tenant: TenantId, hashes: &[Hash]) -> Result<Vec<Document>>;

    /// The changes of all tenants after a cursor, in the order of their commits; without a cursor,
    /// from the oldest that is kept.
    ///
    /// Never skips a change that commits late: what is not final yet is not served yet, nor is
    /// anything after it. Each tenant's changes come densely and in the order of its revisions.
    ///
    /// # Errors
    ///
    /// - [`StoreError::CursorExpired`]: the feed no longer reaches back that far, or this is another
    ///   feed: after a restore, or a failover that gave the store a new timeline. List again.
    /// - [`StoreError::CursorInvalid`]: it is no feed cursor.
    async fn changes(&self, after: Option<&Cursor>, limit: PageSize) -> Result<Changes>;

    /// A cursor at the feed's end now. Take it before listing, then follow from it.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn changes_end(&self) -> Result<Cursor>;
}

/// Handing out work.
#[async_trait]
pub trait Work: Send + Sync {
    /// Claims due work of the classes that there is room for, each tenant by one worker at a time.
    ///
    /// Longest due first, and routine work as if it were due [`ROUTINE_PATIENCE`] later; then by
    /// id. The answer is in that order. So what somebody waits for goes ahead, and neither starves.
    /// [`Room::usable`] says which rooms count; at most [`LEASES_MAX`] leases in all, the first in
    /// that order. Without a usable room, the answer is empty and the database is not asked.
    ///
    /// A lease ends by itself after its room's `lease`, by the store's clock; then the work is due
    /// again, as routine as it was. Its fence is higher than any before it. The attempt is counted.
    ///
    /// Touches about as many rows as there is room for, whatever is due beside that.
    ///
    /// # Errors
    ///
    /// As its advice says; a claim whose reply was lost ends by itself.
    async fn claim(&self, holder: &str, rooms: &[Room]) -> Result<Vec<Lease>>;

    /// Makes a live lease run for `lease` from now; `None` if it has ended or moved.
    ///
    /// # Errors
    ///
    /// As its advice says; the worker must stop when it can't renew in time.
    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Option<Lease>>;

    /// Ends a live lease after an attempt that changed nothing of the record, and plans the next;
    /// `false` if it had ended or moved already.
    ///
    /// The work is due at once instead, and not as routine, if someone else woke it while the
    /// lease was held. A [`Attempt::Clean`] attempt sets [`WorkFacts::checked_at`].
    ///
    /// # Errors
    ///
    /// As its advice says; a lease that could not be released ends by itself.
    async fn release(&self, lease: &Lease, attempt: &Attempt, next: Wake) -> Result<bool>;

    /// Returns when work of one of these classes may be due, or after `at_most`; without classes,
    /// after `at_most` or at a hint. A hint: losing all hints costs only time.
    ///
    /// It returns as good as at once while work of them is due, claimable or not: name only classes
    /// that there is room for.
    async fn idle(&self, classes: &[ClassName], at_most: Duration);
}

/// A store: all of the port. Use it as `Arc<dyn Store>`.
pub trait Store: Records + Queries + Work + Upkeep + Tokens + fmt::Debug {}

impl<T: Records + Queries + Work + Upkeep + Tokens + fmt::Debug> Store for T {}

const _: fn(&dyn Store) = |_| {};
