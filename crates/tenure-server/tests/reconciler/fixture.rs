//! A store in memory, reconcilers over it, and provisioners that do what a test tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure::conformance::MemoryStore;
use tenure::{
    Clock, Command, Context, Document, Engine, Freshness, HistoryQuery, Line, Message, PageSize,
    Policy, Record, Request, RetryPolicy, Room, Store, SystemClock, Tenant, TenantId, TenantRef,
    Wanted,
};
use tenure_server::ids::{IdSource as _, SystemIds};
use tenure_server::provisioner::{Answer, Call, Progress, Provisioner};
use tenure_server::reconciler::{Board, ClassLimits, ClassRunner, Options, Reconciler};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Retries so soon that a test need not wait for them.
pub(crate) const SOON: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(1),
    cap: Duration::from_millis(20),
    attempts_max: 1_000,
};

type Run = dyn Fn(Call, watch::Sender<Progress>, CancellationToken) -> Running + Send + Sync;
type Running = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A provisioner that is a function.
pub(crate) struct Scripted(Box<Run>);

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl Provisioner for Scripted {
    async fn run(
        &self,
        call: &Call,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer {
        (self.0)(call.clone(), progress.clone(), stop.clone()).await
    }
}

/// Waits for what must happen, and fails the test if it does not.
pub(crate) async fn happens(what: &tokio::sync::Notify) {
    let happened = tokio::time::timeout(PATIENCE, what.notified()).await;
    happened.expect("it never happened");
}

/// Makes a provisioner of a function.
pub(crate) fn scripted<F, R>(run: F) -> Arc<dyn Provisioner>
where
    F: Fn(Call, watch::Sender<Progress>, CancellationToken) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    Arc::new(Scripted(Box::new(move |call, progress, stop| {
        Box::pin(run(call, progress, stop))
    })))
}

/// The answer of a provisioner that did what it was asked.
pub(crate) fn done(call: &Call) -> Answer {
    Answer::Done {
        observed: Some(call.tenant.desired.clone()),
        resources: Some(vec![format!("made:{}", call.tenant.name)]),
        message: Message::none(),
    }
}

/// A provisioner that does what it is asked, at once.
pub(crate) fn willing() -> Arc<dyn Provisioner> {
    scripted(|call, _, _| async move { done(&call) })
}

/// Room for all of a class.
pub(crate) fn all_of(class: &str, lease: Duration) -> Room {
    Room {
        class: class.parse().unwrap(),
        lease,
        limit: 500,
        routine: 500,
    }
}

/// The store, and what a test does to it.
pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) lease: Duration,
    pub(crate) policy: Policy,
    pub(crate) limits: ClassLimits,
    pub(crate) concurrency: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) grace: Duration,
}

/// A reconciler at work.
pub(crate) struct Reconciling {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reconciling {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new(Arc::new(SystemClock))))
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        Self {
            engine: Engine::new(store),
            lease: Duration::from_secs(30),
            policy: Policy {
                retry: SOON,
                ..Policy::default()
            },
            limits: ClassLimits::default(),
            concurrency: 4,
            clock: Arc::new(SystemClock),
            grace: Duration::from_secs(10),
        }
    }

    /// Runs a reconciler that has one class, `default`.
    pub(crate) fn reconcile(&self, provisioner: Arc<dyn Provisioner>) -> Reconciling {
        self.reconcile_classes([("default", provisioner)])
    }

    pub(crate) fn reconcile_classes<const N: usize>(
        &self,
        classes: [(&str, Arc<dyn Provisioner>); N],
    ) -> Reconciling {
        let runner = |provisioner| ClassRunner {
            provisioner,
            lease: self.lease,
            policy: self.policy.clone(),
            limits: self.limits,
        };
        let classes =
            classes.map(|(name, provisioner)| (name.parse().unwrap(), runner(provisioner)));
        let options = Options {
            classes: BTreeMap::from(classes),
            concurrency: self.concurrency,
            grace: self.grace,
            clock: Arc::clone(&self.clock),
            ids: Arc::new(SystemIds),
            board: Board::default(),
        };
        let stop = CancellationToken::new();
        let reconciler = Reconciler::new(self.engine.clone(), options);
        let task = tokio::spawn(reconciler.run(stop.clone()));
        Reconciling { stop, task }
    }

    pub(crate) async fn create(&self, name: &str) -> TenantId {
        self.create_of("default", name).await
    }

    pub(crate) async fn create_of(&self, class: &str, name: &str) -> TenantId {
        let wanted = Wanted {
            id: TenantId::new(SystemIds.fresh()),
            name: name.parse().unwrap(),
            class: Some(class.parse().unwrap()),
            labels: None,
            annotations: None,
            desired: Document::parse(r#"{"plan":"gold"}"#).unwrap(),
            running: None,
        };
        let id = wanted.id;
        self.command_of(
            TenantRef::Name(wanted.name.clone()),
            Command::Create(wanted),
        )
        .await;
        id
    }

    pub(crate) async fn command(&self, id: TenantId, command: Command) -> Tenant {
        self.command_of(TenantRef::Id(id), command).await
    }

    /// Sends a command as a client does: again, if a store in trouble could not take it.
    async fn command_of(&self, who: TenantRef, command: Command) -> Tenant {
        let context = Context {
            at: SystemClock.now(),
            actor: "user:test".parse().unwrap(),
            request_id: SystemIds.fresh(),
            message: Message::none(),
        };
        let request = Request {
            who,
            command,
            context,
            if_revision: None,
            if_id: None,
            scope: tenure::Selector::default(),
            key: None,
            dry_run: false,
        };
        let end = Instant::now() + PATIENCE;
        loop {
            match self.engine.execute(&request).await {
                Ok(answer) => return answer.tenant,
                Err(tenure::EngineError::Store(_)) if Instant::now() < end => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The record, asked for again while the store is in trouble.
    pub(crate) async fn record(&self, id: TenantId) -> Record {
        let end = Instant::now() + PATIENCE;
        loop {
            match self
                .engine
                .get(&TenantRef::Id(id), Freshness::Primary)
                .await
            {
                Ok(record) => return record.unwrap(),
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        }
    }

    /// Looks at the tenant until it is so.
    pub(crate) async fn until(&self, id: TenantId, so: impl Fn(&Record) -> bool) -> Tenant {
        let end = Instant::now() + PATIENCE;
        loop {
            let record = self.record(id).await;
            if so(&record) {
                return record.tenant;
            }
            assert!(Instant::now() < end, "it never became so: {record:#?}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn at_rest(&self, id: TenantId) -> Tenant {
        self.until(id, |record| record.tenant.is_at_rest()).await
    }

    pub(crate) async fn history(&self, id: TenantId) -> Vec<Line> {
        let query = HistoryQuery {
            after: None,
            direction: tenure::Direction::Ascending,
            transitions_only: false,
            kinds: BTreeSet::new(),
            limit: PageSize::MAX,
        };
        self.engine.store().history(id, &query).await.unwrap()
    }

    pub(crate) async fn reasons(&self, id: TenantId) -> Vec<String> {
        self.history(id)
            .await
            .iter()
            .map(|line| line.reason.to_string())
            .collect()
    }
}
