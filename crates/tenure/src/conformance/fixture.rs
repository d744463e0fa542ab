//! What the cases share: a store on a fresh database, and short ways to bring tenants about.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::{Database, Factory, skip};
use crate::history::Draft;
use crate::store::Result as StoreResult;
use crate::{
    AsOf, Change, ClassName, Command, Commit, Context, Decision, Direction, Document, Engine, Hash,
    HistoryQuery, IdempotencyKey, Kind, LEASES_MAX, Lease, Line, Message, Operation, Outcome,
    PageSize, Reason, Record, Report, Request, Revision, Room, State, Store, Tenant, TenantId,
    TenantRef, Timestamp, Wanted, WorkFacts, decide, decide_report,
};

/// When the first thing happens in a case: 2026-11-22 20:00 UTC, on whatever day it runs.
pub fn start() -> Timestamp {
    Timestamp::from_micros(1_795_377_600_000_000).expect("a time in 2026")
}

/// The change of a decision that is one.
pub fn change(decision: Decision) -> Change {
    match decision {
        Decision::Change(change) => *change,
        other => panic!("this should lead to a change and not to {other:?}"),
    }
}

/// The revision of a commit that was applied.
pub fn applied(answer: StoreResult<Commit>) -> Revision {
    match answer {
        Ok(Commit::Applied { revision }) => revision,
        other => panic!("this should have been applied; the answer is {other:?}"),
    }
}

/// A report on a tenant as it is: of its generation, and running as it should.
pub fn report(tenant: &Tenant, operation: Operation, outcome: Outcome) -> Report {
    Report {
        operation,
        generation: tenant.generation,
        running: tenant.running,
        outcome,
        steps: Vec::new(),
        policy: crate::Policy::default(),
        correction: crate::Correction::None,
    }
}

/// The report that an operation is done and nothing new was seen.
pub fn succeeded(tenant: &Tenant, operation: Operation) -> Report {
    let message = Message::none();
    report(
        tenant,
        operation,
        Outcome::Succeeded {
            observed: None,
            resources: None,
            message,
        },
    )
}

/// The command that sets one field of `desired`.
pub fn patch(field: &str, value: impl Into<serde_json::Value>) -> Command {
    Command::Patch([(field.to_owned(), value.into())].into_iter().collect())
}

/// A request hash, for idempotency keys.
pub fn fingerprint(of: &str) -> Hash {
    Hash::of(of.as_bytes())
}

/// How long keys are remembered if a case does not care.
pub const DAY: Duration = Duration::from_hours(24);

/// An idempotency key of the scope `conformance` that lasts a day.
pub fn key(name: &str, request: &str) -> IdempotencyKey {
    IdempotencyKey::new("conformance", name, fingerprint(request), DAY).expect("a good key")
}

/// Room for everything of the class `default`.
pub fn room(lease: Duration) -> Room {
    Room {
        class: ClassName::default(),
        lease,
        limit: LEASES_MAX,
        routine: LEASES_MAX,
    }
}

/// Runs all of these at once, and gives their answers in order.
pub async fn together<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in running {
        answers.push(task.await.expect("a task of this case should not panic"));
    }
    answers
}

/// A fresh database, the store that is open on it, and an engine over that.
pub struct Setup {
    /// The database.
    pub database: Arc<dyn Database>,
    /// The store on it.
    pub store: Arc<dyn Store>,
    /// An engine over that store.
    pub engine: Engine,
    ticks: AtomicU64,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl Setup {
    /// Takes a fresh database and opens it.
    pub async fn new(factory: &dyn Factory) -> Self {
        let database = factory.fresh().await;
        let store = database
            .open()
            .await
            .expect("the first open of a database must succeed");
        let engine = Engine::new(Arc::clone(&store));
        Self {
            database,
            store,
            engine,
            ticks: AtomicU64::new(0),
        }
    }

    /// Closes the store and opens its database again; `None`, and said so, where that can't be.
    pub async fn reopen(self) -> Option<Self> {
        self.store.close().await;
        let Some(store) = self.database.open().await else {
            skip("this database can't be opened again");
            return None;
        };
        let engine = Engine::new(Arc::clone(&store));
        Some(Self {
            store,
            engine,
            ..self
        })
    }

    /// A second store on the same database; `None`, and said so, where there can be only one.
    pub async fn second(&self) -> Option<Arc<dyn Store>> {
        let second = self.database.second().await;
        if second.is_none() {
            skip("this adapter opens a database only once at a time");
        }
        second
    }

    /// The store, and a second one on the same database where there can be one.
    pub async fn stores(&self) -> Vec<Arc<dyn Store>> {
        let second = self.database.second().await;
        std::iter::once(Arc::clone(&self.store))
            .chain(second)
            .collect()
    }

    /// Runs SQL beside the port; `None`, and said so, where there is none.
    pub async fn raw(&self, sql: &str) -> Option<Result<u64, String>> {
        let answer = self.database.raw(sql).await;
        if answer.is_none() {
            skip("this database takes no SQL beside the port");
        }
        answer
    }

    /// How long a lease or a key must last in a case that sees it end: a minute where the clock can
    /// be moved, and a second where it must be waited for.
    pub async fn short(&self) -> Duration {
        match self.database.advance(Duration::ZERO).await {
            Some(()) => Duration::from_mins(1),
            None => Duration::from_secs(1),
        }
    }

    /// Lets time go by on the store's clock: moves it, or waits where it can't be moved.
    pub async fn pass(&self, time: Duration) {
        // A millisecond more, so that what ends at that moment has ended.
        let time = time.saturating_add(Duration::from_millis(1));
        if self.database.advance(time).await.is_none() {
            tokio::time::sleep(time).await;
        }
    }

    /// A number that was not given before, from 1.
    pub fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The context of something new: a second after the one before, under a new request id.
    pub fn context(&self) -> Context {
        let tick = self.tick();
        Context {
            at: start().plus(Duration::from_secs(tick)),
            actor: "user:conformance".parse().expect("a good actor"),
            request_id: Uuid::from_u128(tick.into()),
            message: Message::none(),
        }
    }

    /// An id that no other tenant has, greater than all before.
    pub fn id(&self) -> TenantId {
        let millis = u64::try_from(start().as_micros() / 1000).unwrap_or(0) + self.tick();
        TenantId::new(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }

    /// A tenant of this name as one could want it: of the class `default`, with an empty `desired`.
    pub fn wanted(&self, name: &str) -> Wanted {
        Wanted {
            id: self.id(),
            name: name.parse().expect("a good name"),
            class: None,
            labels: None,
            annotations: None,
            desired: Document::empty(),
            running: None,
        }
    }

    /// The change that creates this tenant.
    pub fn creation(&self, wanted: Wanted) -> Change {
        change(decide(None, &Command::Create(wanted), &self.context()))
    }

    /// The change that a command makes to a tenant.
    pub fn change(&self, tenant: &Tenant, command: &Command) -> Change {
        change(decide(Some(tenant), command, &self.context()))
    }

    /// The change that a report makes to a tenant, under no lease.
    pub fn reported(&self, tenant: &Tenant, report: &Report) -> Change {
        change(decide_report(tenant, report, &self.context()))
    }

    /// A change that no rule would make: `change` says how the tenant is after it.
    ///
    /// It is sound in all that is left alone, so that what refuses it is the guard in question.
    pub(super) fn forged(&self, before: &Tenant, change: impl FnOnce(&mut Tenant)) -> Change {
        let context = self.context();
        let mut after = before.clone();
        after.revision = before.revision.next();
        after.updated_at = context.at;
        change(&mut after);
        if after.state != before.state {
            after.state_since = after.updated_at;
        }
        if after.state == State::Deleted {
            after.deleted_at = Some(after.updated_at);
        }
        after.reason = Reason::of("Forged");
        after.message = Message::none();
        let draft = Draft {
            kind: Kind::State,
            reason: Reason::of("Forged"),
            message: Message::none(),
            actor: &context.actor,
            request_id: context.request_id,
        };
        Change::build(Some(before), after, draft).expect("a forged change is small enough")
    }

    /// Commits a change, which must be applied, and gives the tenant as it is then.
    pub async fn write(&self, change: &Change) -> Tenant {
        let revision = applied(self.store.commit(change).await);
        assert_eq!(
            revision,
            change.line().revision,
            "the revision that a commit answers"
        );
        change.tenant().clone()
    }

    /// Creates a tenant of this name.
    pub async fn create(&self, name: &str) -> Tenant {
        self.write(&self.creation(self.wanted(name))).await
    }

    /// Carries out a command on a tenant as it is.
    pub async fn command(&self, tenant: &Tenant, command: &Command) -> Tenant {
        self.write(&self.change(tenant, command)).await
    }

    /// Carries out a report on a tenant as it is, under no lease.
    pub async fn report(&self, tenant: &Tenant, report: &Report) -> Tenant {
        self.write(&self.reported(tenant, report)).await
    }

    /// Creates a tenant of this name and leads it to a state, under no lease: its work stays due.
    pub async fn lead_to(&self, name: &str, state: State) -> Tenant {
        let mut tenant = self.create(name).await;
        for step in way_to(state) {
            tenant = match step {
                Step::Command(command) => self.command(&tenant, &command).await,
                Step::Started => {
                    let started = report(&tenant, Operation::Apply, Outcome::Started);
                    self.report(&tenant, &started).await
                }
                Step::Done(operation) => self.report(&tenant, &succeeded(&tenant, operation)).await,
            };
        }
        assert_eq!(tenant.state, state, "where {name} was led");
        tenant
    }

    /// A request of the engine for a tenant by its id or name.
    pub fn request(&self, who: TenantRef, command: Command) -> Request {
        Request {
            who,
            command,
            context: self.context(),
            if_revision: None,
            if_id: None,
            scope: crate::Selector::default(),
            key: None,
            dry_run: false,
        }
    }

    /// The record of a tenant that is there.
    pub async fn record(&self, id: TenantId) -> Record {
        let loaded = self
            .store
            .load(&TenantRef::Id(id), None)
            .await
            .expect("loading works");
        loaded
            .record
            .unwrap_or_else(|| panic!("there should be a tenant {id}"))
    }

    /// A tenant that is there.
    pub async fn tenant(&self, id: TenantId) -> Tenant {
        self.record(id).await.tenant
    }

    /// What is counted for a tenant that is there.
    pub async fn work(&self, id: TenantId) -> WorkFacts {
        self.record(id).await.work
    }

    /// A tenant's whole history, oldest first.
    pub async fn history(&self, id: TenantId) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        loop {
            let query = HistoryQuery {
                after: lines.last().map(|line| line.revision),
                direction: Direction::Ascending,
                transitions_only: false,
                kinds: BTreeSet::new(),
                limit: PageSize::MAX,
            };
            let page = self
                .store
                .history(id, &query)
                .await
                .expect("reading history works");
            let Some(first) = page.first() else {
                return lines;
            };
            // A store that reads on where it should not would be asked for ever.
            assert!(
                query.after < Some(first.revision),
                "history goes back to {first:?}"
            );
            lines.extend(page);
        }
    }

    /// The tenant as it was at each of its revisions, oldest first.
    pub async fn past(&self, id: TenantId) -> Vec<Tenant> {
        let mut past = Vec::new();
        for n in 1..=self.tenant(id).await.revision.get() {
            let point = AsOf::Revision(Revision::new(n));
            let image = self
                .store
                .as_of(id, point)
                .await
                .expect("reading the past works");
            past.push(image.unwrap_or_else(|| panic!("{id} has no revision {n}")));
        }
        past
    }

    /// The whole change feed.
    pub async fn feed(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut after = None;
        loop {
            let changes = self.store.changes(after.as_ref(), PageSize::MAX).await;
            let changes = changes.expect("reading the feed works");
            if changes.lines.is_empty() {
                return lines;
            }
            assert_ne!(after.as_ref(), Some(&changes.next), "the feed stands still");
            lines.extend(changes.lines);
            after = Some(changes.next);
        }
    }

    /// Claims everything of the class `default` that is due.
    pub async fn claim(&self, holder: &str, length: Duration) -> Vec<Lease> {
        self.store
            .claim(holder, &[room(length)])
            .await
            .expect("claiming works")
    }

    /// Claims the work of this tenant, which must be the only one that is due.
    pub async fn claim_one(&self, tenant: TenantId, length: Duration) -> Lease {
        let leases = self.claim("worker-1", length).await;
        let [lease] = leases.as_slice() else {
            panic!("exactly one tenant should be due, and these are: {leases:?}")
        };
        assert_eq!(lease.tenant, tenant, "whose work was claimed");
        lease.clone()
    }

    /// Everything that can be seen of a tenant through the port. Equal before and after a call
    /// that wrote nothing.
    pub async fn everything(&self, id: TenantId) -> Everything {
        let loaded = self
            .store
            .load(&TenantRef::Id(id), None)
            .await
            .expect("loading works");
        Everything {
            record: loaded.record,
            history: self.history(id).await,
            facets: self.store.facets(id).await.expect("reading facets works"),
            feed: self.feed().await,
        }
    }
}

/// What [`Setup::everything`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Everything {
    /// The record.
    pub record: Option<Record>,
    /// Its history.
    pub history: Vec<Line>,
    /// The copies beside it.
    pub facets: crate::Facets,
    /// The feed of all tenants.
    pub feed: Vec<Line>,
}

enum Step {
    Command(Command),
    Started,
    Done(Operation),
}

/// The shortest life that leads to a state.
fn way_to(state: State) -> Vec<Step> {
    use Operation::{Apply, Destroy};
    let with = |before: State, step: Step| {
        let mut way = way_to(before);
        way.push(step);
        way
    };
    match state {
        State::Requested => Vec::new(),
        State::Provisioning => vec![Step::Started],
        State::Ready => with(State::Provisioning, Step::Done(Apply)),
        State::Updating => with(State::Ready, Step::Command(patch("updated", true))),
        State::Suspending => with(State::Ready, Step::Command(Command::Suspend)),
        State::Suspended => with(State::Suspending, Step::Done(Apply)),
        State::Resuming => with(State::Suspended, Step::Command(Command::Resume)),
        State::Deleting => with(State::Ready, Step::Command(Command::Delete)),
        State::Deleted => with(State::Deleting, Step::Done(Destroy)),
    }
}
