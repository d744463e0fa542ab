//! The pull transport: workers anywhere ask for the operations of their classes, and report.
//!
//! It is the reconciler's other half: what a record asks for, which correction is granted and what a
//! report does are the same code. Nothing of an operation is kept here between two calls of a worker.
//! A lease is the store's, and a worker that is lost costs its length.
//!
//! # Invariants
//!
//! - A worker sees only the classes that its credential names.
//! - A lease is renewed and reported under only by the worker that holds it, with its newest fence.
//! - No class waits for another to run dry, however few operations a worker takes at once.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tenure::{
    Actor, Attempt, ClassName, Clock, Context, Correction, Direction, Document, Engine,
    EngineError, Fence, Freshness, Generation, Hash, HistoryQuery, LEASES_MAX, Lease, Message,
    Operation, Outcome, PageSize, Policy, Record, RefusalCode, Report, Reported, Room, State,
    StoreError, Tenant, TenantId, TenantRef, Wake,
};

use self::told::{Told, failed, merged, outcome};
use crate::config::{Config, Transport, Worker};
use crate::ids::IdSource;
use crate::provisioner::remote::{Said, request, said};
use crate::provisioner::{Call, Failure, SecretSources};
use crate::reconciler::{Board, Corrections, Task, ended, is_newly_overdue, span_of, task};

/// The share of a claim that routine checks may take.
const ROUTINE_SHARE: u16 = 4;

/// Hands out work to those who ask for it.
#[derive(Debug)]
pub struct Pull {
    engine: Engine,
    classes: BTreeMap<ClassName, Class>,
    workers: BTreeMap<String, Worker>,
    /// How many claims got something.
    turns: AtomicU64,
    corrections: Corrections,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    board: Board,
}

/// What is known of a class whose work is pulled.
#[derive(Debug)]
struct Class {
    lease: Duration,
    policy: Policy,
    secrets: SecretSources,
    /// Its newest turn: the class with the oldest comes first.
    turn: AtomicU64,
}

/// A worker that showed its token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    name: String,
    actor: Actor,
    pub(crate) classes: Vec<ClassName>,
}

/// An operation to be done elsewhere. It has no `Debug`: the request holds secrets.
pub(crate) struct Job {
    pub(crate) lease: Lease,
    pub(crate) length: Duration,
    pub(crate) request: Value,
}

/// Why a worker's call has no effect.
#[derive(Debug)]
pub(crate) enum PullError {
    /// The lease ended, or is another's. The result is to be dropped.
    LeaseLost,
    /// What was said breaks the contract, and how. The lease goes on.
    AnswerInvalid(String),
    /// Trouble.
    Engine(EngineError),
}

impl From<EngineError> for PullError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for PullError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl Caller {
    /// A worker that holds leases under this name.
    pub(crate) fn new(
        name: String,
        actor: Actor,
        classes: impl IntoIterator<Item = ClassName>,
    ) -> Self {
        let classes = classes.into_iter().collect();
        Self {
            name,
            actor,
            classes,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn actor(&self) -> &Actor {
        &self.actor
    }
}

impl Pull {
    /// The classes with `pull = true`, for the workers of the configuration.
    ///
    /// # Errors
    ///
    /// [`Invalid`](tenure::Invalid) names what a class's `secrets` must be.
    pub fn new(
        engine: Engine,
        config: &Config,
        (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
        board: Board,
    ) -> Result<Self, tenure::Invalid> {
        let mut classes = BTreeMap::new();
        for (name, class) in &config.classes {
            if class.transport == Transport::Pull {
                let class = Class {
                    lease: class.lease,
                    policy: class.policy.clone(),
                    secrets: SecretSources::parse(&class.secrets)?,
                    turn: AtomicU64::new(0),
                };
                classes.insert(name.clone(), class);
            }
        }
        Ok(Self {
            engine,
            classes,
            workers: config.workers.clone(),
            turns: AtomicU64::new(0),
            corrections: Corrections::default(),
            clock,
            ids,
            board,
        })
    }

    /// Who shows this token. How long it takes tells nothing of any worker's.
    pub(crate) fn caller(&self, token: &str) -> Option<Caller> {
        let shown = Hash::of(token.as_bytes());
        let (name, worker) = self.workers.iter().fold(None, |found, known| {
            let is_it = is_same(&known.1.token, &shown);
            if is_it { Some(known) } else { found }
        })?;
        Some(Caller {
            actor: format!("worker:{name}").parse().ok()?,
            name: name.clone(),
            classes: worker.classes.iter().cloned().collect(),
        })
    }

    /// Claims what is due, at most `limit` of it.
    pub(crate) async fn claim(&self, caller: &Caller, limit: u16) -> Result<Vec<Job>, PullError> {
        let limit = limit.min(LEASES_MAX);
        let known = |name| self.classes.get_key_value(name);
        let mut named: Vec<_> = caller.classes.iter().filter_map(known).collect();
        let now = self.clock.now();
        for (name, _) in &named {
            self.board
                .update(name, |status| status.last_claim_at = Some(now));
        }
        // Others claim meanwhile, so each turn is read once.
        named.sort_by_cached_key(|(_, class)| class.turn.load(Ordering::Relaxed));
        let mut jobs = Vec::new();
        for (name, class) in named {
            let left = limit.saturating_sub(u16::try_from(jobs.len()).unwrap_or(u16::MAX));
            if left == 0 {
                break;
            }
            let room = Room {
                class: name.clone(),
                lease: class.lease,
                limit: left,
                routine: (left / ROUTINE_SHARE).max(1).min(left),
            };
            let leases = match self.engine.store().claim(&caller.name, &[room]).await {
                Ok(leases) => leases,
                Err(error) if jobs.is_empty() => return Err(error.into()),
                // What was claimed before is handed out.
                Err(_) => break,
            };
            if !leases.is_empty() {
                let turn = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
                class.turn.store(turn, Ordering::Relaxed);
            }
            for lease in leases {
                let tenant = lease.tenant;
                match self.begin(caller, lease).await {
                    Ok(job) => jobs.extend(job),
                    Err(error) => tracing::warn!(%tenant, ?error,
                        "claimed work could not be handed out; its lease ends by itself"),
                }
            }
        }
        Ok(jobs)
    }

    /// What a claimed tenant asks for, if it asks for something.
    async fn begin(&self, caller: &Caller, lease: Lease) -> Result<Option<Job>, PullError> {
        let who = TenantRef::Id(lease.tenant);
        let loaded = self.engine.store().load(&who, None).await?;
        let (Some(record), Some(class)) = (loaded.record, self.classes.get(&lease.class)) else {
            return self.let_go(&lease, Wake::Never).await;
        };
        let (mut tenant, now) = (record.tenant, self.clock.now());
        if is_newly_overdue(&tenant, &class.policy, now) {
            let report = report_of(class, (Operation::Apply, &tenant), Outcome::Waiting);
            self.send(caller, &lease, &report, false).await?;
        }
        let operation = match task(&tenant, &class.policy, now) {
            Task::Nothing => return self.let_go(&lease, Wake::Never).await,
            Task::Later(wake) => return self.let_go(&lease, wake).await,
            Task::Run(operation) => operation,
        };
        if tenant.state == State::Requested {
            let report = report_of(class, (operation, &tenant), Outcome::Started);
            match self.send(caller, &lease, &report, false).await? {
                Reported::Written(started) => tenant = *started,
                Reported::NoNews | Reported::CorrectionTaken => {}
                Reported::LeaseLost => return Ok(None),
            }
        }
        let call = Call {
            operation,
            tenant,
            fence: lease.fence,
        };
        match request(&call, &class.secrets).await {
            Ok(request) => Ok(Some(Job {
                length: class.lease,
                lease,
                request,
            })),
            Err(failure) => {
                let outcome = failed(failure, lease.attempt);
                let mut report = report_of(class, (operation, &call.tenant), outcome);
                self.settle(caller, &lease, &mut report).await?;
                Ok(None)
            }
        }
    }

    async fn let_go(&self, lease: &Lease, next: Wake) -> Result<Option<Job>, PullError> {
        let store = self.engine.store();
        // A lease that is gone meanwhile is as good as let go.
        store.release(lease, &Attempt::Returned, next).await?;
        Ok(None)
    }

    /// Makes a lease run for its whole length again, and says how long that is.
    pub(crate) async fn renew(
        &self,
        caller: &Caller,
        tenant: TenantId,
        fence: Fence,
    ) -> Result<Duration, PullError> {
        let (_, lease, class) = self.held(caller, tenant, fence).await?;
        let renewed = self.engine.store().renew(&lease, class.lease).await?;
        renewed.map(|_| class.lease).ok_or(PullError::LeaseLost)
    }

    /// Takes what a worker says of its operation, and says where the tenant stands then.
    pub(crate) async fn report(
        &self,
        caller: &Caller,
        (tenant, fence): (TenantId, Fence),
        answer: &Value,
    ) -> Result<State, PullError> {
        let (record, lease, class) = self.held(caller, tenant, fence).await?;
        let tenant = record.tenant;
        let told = Told::of(answer, &tenant, fence)?;
        let invalid = |failure: Failure| PullError::AnswerInvalid(failure.message.to_string());
        let desired = self.desired_of(&tenant, told.generation).await?;
        let read = said(told.id.clone(), &desired, &class.secrets, answer).await;
        let (outcome, steps) = match read.map_err(invalid)? {
            Said::Progress(progress) => {
                let steps = merged(&tenant.steps, progress.steps);
                let message = progress.message;
                (Outcome::Progressed { message }, steps)
            }
            Said::Answer(answer, steps) => {
                metrics::counter!("tenure_pull_reports_total",
                    "class" => tenant.class.to_string(), "outcome" => answer.as_str())
                .increment(1);
                (outcome(answer, lease.attempt), merged(&tenant.steps, steps))
            }
        };
        let goes_on = matches!(outcome, Outcome::Progressed { .. });
        let mut report = Report {
            generation: told.generation,
            // Of an older generation it is not known any more; then what may run is stopped.
            running: tenant.running || told.generation < tenant.generation,
            steps,
            ..report_of(class, (told.operation, &tenant), outcome)
        };
        if goes_on {
            return match self.send(caller, &lease, &report, false).await? {
                Reported::LeaseLost => Err(PullError::LeaseLost),
                Reported::Written(tenant) => Ok(tenant.state),
                Reported::NoNews | Reported::CorrectionTaken => Ok(tenant.state),
            };
        }
        let state = self.settle(caller, &lease, &mut report).await?;
        Ok(state.unwrap_or(tenant.state))
    }

    /// What was wanted of a tenant in a generation: what was sent with the request, so that its
    /// secrets are known when they come back.
    async fn desired_of(
        &self,
        tenant: &Tenant,
        generation: Generation,
    ) -> Result<Document, PullError> {
        if generation >= tenant.generation {
            return Ok(tenant.desired.clone());
        }
        let store = self.engine.store();
        let mut after = None;
        loop {
            let query = HistoryQuery {
                after,
                direction: Direction::Descending,
                transitions_only: false,
                kinds: BTreeSet::new(),
                limit: PageSize::default(),
            };
            let lines = store.history(tenant.id, &query).await?;
            let gone = || StoreError::Corrupt {
                what: format!(
                    "{} lacks what was wanted in generation {generation}",
                    tenant.id
                ),
            };
            after = Some(lines.last().ok_or_else(gone)?.revision);
            if let Some(line) = lines.iter().find(|line| line.generation <= generation) {
                let documents = store.documents(tenant.id, &[line.desired]).await?;
                return Ok(documents.into_iter().next().ok_or_else(gone)?);
            }
        }
    }

    /// Reports what came of an operation and ends its lease; the state after it, if that is news.
    async fn settle(
        &self,
        caller: &Caller,
        lease: &Lease,
        report: &mut Report,
    ) -> Result<Option<State>, PullError> {
        loop {
            let now = self.clock.now();
            let number = self.corrections.grant(report, &lease.class, now);
            match self.send(caller, lease, report, true).await {
                Ok(Reported::CorrectionTaken) => self.corrections.used(&lease.class, number),
                Ok(Reported::Written(tenant)) => {
                    if tenant.reason.as_str() == "DriftCorrection" {
                        self.corrections.used(&lease.class, number);
                    }
                    note(lease, report, Some(&tenant));
                    return Ok(Some(tenant.state));
                }
                Ok(Reported::NoNews) => {
                    note(lease, report, None);
                    return Ok(None);
                }
                Ok(Reported::LeaseLost) => return Err(PullError::LeaseLost),
                Err(EngineError::Refused(refusal)) if refusal.code == RefusalCode::Invalid => {
                    return Err(PullError::AnswerInvalid(refusal.to_string()));
                }
                // The tenant has moved on, so the result is of no use; what it needs is due now.
                Err(EngineError::Refused(_)) => {
                    self.let_go(lease, Wake::Now).await?;
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The record, lease and class of what this worker holds under this fence.
    async fn held(
        &self,
        caller: &Caller,
        tenant: TenantId,
        fence: Fence,
    ) -> Result<(Record, Lease, &Class), PullError> {
        let who = TenantRef::Id(tenant);
        let found = self.engine.store().get(&who, Freshness::Primary).await?;
        let record = found.ok_or(PullError::LeaseLost)?;
        let class = &record.tenant.class;
        let is_his = record.work.holder.as_ref() == Some(&caller.name)
            && record.work.fence == fence
            && caller.classes.contains(class);
        let known = self.classes.get(class).filter(|_| is_his);
        let (Some(known), Some(until)) = (known, record.work.lease_until) else {
            return Err(PullError::LeaseLost);
        };
        let lease = Lease {
            tenant,
            fence,
            attempt: record.work.attempts,
            until,
            class: class.clone(),
            routine: record.work.routine,
            taken_over: false,
        };
        Ok((record, lease, known))
    }

    async fn send(
        &self,
        caller: &Caller,
        lease: &Lease,
        report: &Report,
        release: bool,
    ) -> Result<Reported, EngineError> {
        let context = Context {
            at: self.clock.now(),
            actor: caller.actor.clone(),
            request_id: self.ids.fresh(),
            message: Message::none(),
        };
        self.engine.report(lease, report, &context, release).await
    }
}

/// Says in the log what came of an operation. How long it took only its worker knows.
fn note(lease: &Lease, report: &Report, after: Option<&Tenant>) {
    span_of(lease).in_scope(|| ended::note(report, after, lease.attempt, None));
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
fn is_same(one: &Hash, other: &Hash) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn report_of(class: &Class, (operation, tenant): (Operation, &Tenant), outcome: Outcome) -> Report {
    Report {
        operation,
        generation: tenant.generation,
        running: tenant.running,
        outcome,
        steps: Vec::new(),
        policy: class.policy.clone(),
        correction: Correction::None,
    }
}
