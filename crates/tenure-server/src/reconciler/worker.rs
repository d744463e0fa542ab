//! One claim: load, run the provisioner, keep the lease, report.

use std::sync::Arc;
use std::time::Duration;

use tenure::{
    Attempt, Context, EngineError, Lease, Message, Operation, Outcome, Policy, RefusalCode, Report,
    Reported, State, Store, StoreError, Tenant, TenantRef, Wake,
};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::backoff::Backoff;
use super::{ClassRunner, Shared, chain};
use crate::provisioner::{Answer, Call, Failure, Fault};

/// How long a progress message must stand before it is history: short runs leave only their result.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// How often a lease is renewed within its own length.
const RENEWALS: u32 = 3;

/// Works on one claim.
pub(super) struct Worker {
    shared: Arc<Shared>,
    lease: Lease,
    length: Duration,
    policy: Policy,
    /// Until when the lease surely runs, by this process's clock: it was claimed or renewed no later
    /// than its length before.
    sure_until: Instant,
}

/// Why a claim is over without a report.
enum Over {
    /// It is another's now, or will be. What was done is not told to anyone.
    Lost,
    /// It ended as it should.
    Done,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, lease: Lease, claimed_at: Instant) -> Self {
        let length = shared.lease;
        Self {
            shared,
            lease,
            length,
            policy: Policy::default(),
            sure_until: claimed_at + length,
        }
    }

    /// Does the work, or hands it back. Whatever happens, the lease ends by itself at the latest.
    pub(super) async fn work(mut self) {
        match self.attempt().await {
            Ok(Over::Done) => {}
            Ok(Over::Lost) => {
                tracing::info!(tenant = %self.lease.tenant, fence = %self.lease.fence,
                    "the lease was lost; the run was killed and its result dropped");
            }
            Err(error) => {
                tracing::warn!(tenant = %self.lease.tenant, error = %chain(&error),
                    "the work is left to its lease, which ends by itself");
            }
        }
    }

    async fn attempt(&mut self) -> Result<Over, EngineError> {
        let who = TenantRef::Id(self.lease.tenant);
        let loaded = self.store().load(&who, None).await?;
        let Some(record) = loaded.record else {
            return self.release(&Attempt::Returned, Wake::Never).await;
        };
        let tenant = record.tenant;
        let halted = tenant
            .conditions
            .failing
            .as_ref()
            .is_some_and(|failing| failing.halted);
        if tenant.conditions.held.is_some() || halted {
            return self.release(&Attempt::Returned, Wake::Never).await;
        }
        if tenant.is_at_rest() {
            return self.release(&Attempt::Clean, Wake::Never).await;
        }
        let operation = match tenant.state {
            State::Deleting => Operation::Destroy,
            _ => Operation::Apply,
        };
        if let Some(class) = self.shared.options.classes.get(&tenant.class) {
            self.policy = class.policy.clone();
        }
        let Some(tenant) = self.start(operation, tenant).await? else {
            return Ok(Over::Lost);
        };
        let Some(class) = self.shared.options.classes.get(&tenant.class).cloned() else {
            let failure = Fault::UnknownClass.failure(&format!(
                "no class {} is configured on {}; add it to tenure.toml, restart the server, then \
                 retry the tenant",
                tenant.class, self.shared.holder
            ));
            return self
                .report(operation, &tenant, Answer::Failed(failure))
                .await;
        };
        let Some(answer) = self.run(operation, &tenant, &class).await else {
            return Ok(Over::Lost);
        };
        self.report(operation, &tenant, answer).await
    }

    /// Tells that the first operation of a tenant begins; `None` if the lease is lost.
    async fn start(
        &self,
        operation: Operation,
        tenant: Tenant,
    ) -> Result<Option<Tenant>, EngineError> {
        if tenant.state != State::Requested {
            return Ok(Some(tenant));
        }
        let report = report_of(operation, &tenant, Outcome::Started, &self.policy);
        match self.send(&report, false).await? {
            Reported::Written(tenant) => Ok(Some(*tenant)),
            Reported::NoNews => Ok(Some(tenant)),
            // This worker asks for no correction, so none can be taken.
            Reported::LeaseLost | Reported::CorrectionTaken => Ok(None),
        }
    }

    /// Runs the provisioner while it keeps the lease; `None` if the lease is lost.
    async fn run(
        &mut self,
        operation: Operation,
        tenant: &Tenant,
        class: &ClassRunner,
    ) -> Option<Answer> {
        let call = Call {
            operation,
            tenant: tenant.clone(),
            fence: self.lease.fence,
        };
        let stop = self.shared.kill.child_token();
        let (progress, mut told) = watch::channel(Message::none());
        let provisioner = Arc::clone(&class.provisioner);
        let mut run = {
            let stop = stop.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                provisioner.run(&call, &progress, &stop).await
            }))
        };
        // From here on the class is known, and its own length counts.
        self.length = class.lease;
        let third = self.length / RENEWALS;
        let mut renewal = interval_at(Instant::now() + third, third);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news = interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
        news.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let kept = tokio::select! {
                biased;
                ended = &mut run => return Some(ended.unwrap_or_else(|crash| crashed(&crash))),
                _ = renewal.tick() => self.renew().await,
                _ = news.tick() => self.tell(operation, tenant, &mut told).await,
            };
            if !kept {
                return end(&stop, run).await;
            }
        }
    }

    /// Renews the lease; `false` if it is lost, or may be.
    async fn renew(&mut self) -> bool {
        let sent = Instant::now();
        let store = self.shared.engine.shared_store();
        match timeout_at(self.sure_until, store.renew(&self.lease, self.length)).await {
            Ok(Ok(Some(lease))) => {
                self.lease = lease;
                self.sure_until = sent + self.length;
                true
            }
            Ok(Ok(None)) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::warn!(tenant = %self.lease.tenant, error = %chain(&error),
                    "can't renew the lease; trying again while it lasts");
                Instant::now() + self.length / RENEWALS < self.sure_until
            }
        }
    }

    /// Tells how far the run is, if it has said something new; `false` if the lease is lost.
    async fn tell(
        &self,
        operation: Operation,
        tenant: &Tenant,
        told: &mut watch::Receiver<Message>,
    ) -> bool {
        if !told.has_changed().unwrap_or(false) {
            return true;
        }
        let message = told.borrow_and_update().clone();
        let report = report_of(
            operation,
            tenant,
            Outcome::Progressed { message },
            &self.policy,
        );
        match timeout_at(self.sure_until, self.send(&report, false)).await {
            Ok(Ok(Reported::LeaseLost)) => false,
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                // Progress that is not told is no loss; the run and its result go on.
                tracing::debug!(tenant = %tenant.id, error = %chain(&error), "progress not told");
                true
            }
            Err(_elapsed) => false,
        }
    }

    /// Reports what came of the run and ends the lease with it.
    async fn report(
        &mut self,
        operation: Operation,
        tenant: &Tenant,
        answer: Answer,
    ) -> Result<Over, EngineError> {
        let outcome = match answer {
            Answer::Stopped => return self.release(&Attempt::Returned, Wake::Now).await,
            Answer::Done {
                observed,
                resources,
                message,
            } => Outcome::Succeeded {
                observed,
                resources,
                message,
            },
            Answer::Failed(failure) => self.failed(failure),
        };
        let report = report_of(operation, tenant, outcome, &self.policy);
        match self.send_while_it_lasts(&report).await {
            Ok(Reported::Written(_) | Reported::NoNews) => Ok(Over::Done),
            Ok(Reported::LeaseLost | Reported::CorrectionTaken) => Ok(Over::Lost),
            // A result that breaks a rule must not be sent for ever: it is a failure with a name.
            Err(EngineError::Refused(refusal)) if refusal.code == RefusalCode::Invalid => {
                let failure = Fault::AnswerRefused.failure(&format!(
                    "what the provisioner answered can't be recorded: {refusal}; correct the \
                     provisioner"
                ));
                let report = report_of(operation, tenant, self.failed(failure), &self.policy);
                match self.send_while_it_lasts(&report).await? {
                    Reported::LeaseLost | Reported::CorrectionTaken => Ok(Over::Lost),
                    Reported::Written(_) | Reported::NoNews => Ok(Over::Done),
                }
            }
            // The tenant has moved on, so the result is of no use; what it needs now is due now.
            Err(EngineError::Refused(refusal)) => {
                tracing::info!(tenant = %tenant.id, %refusal, "a result came out of order");
                self.release(&Attempt::Returned, Wake::Now).await
            }
            Err(error) => Err(error),
        }
    }

    fn failed(&self, failure: Failure) -> Outcome {
        let Failure {
            reason,
            message,
            permanent,
            retry_after,
        } = failure;
        let attempt = self.lease.attempt;
        Outcome::Failed {
            reason,
            message,
            permanent,
            retry_after,
            attempt,
        }
    }

    /// Sends a final report, and again while the store is in trouble and the lease lasts.
    async fn send_while_it_lasts(&mut self, report: &Report) -> Result<Reported, EngineError> {
        let mut backoff = Backoff::default();
        loop {
            match self.send(report, true).await {
                Err(EngineError::Store(error)) => self.wait_out(error, &mut backoff).await?,
                other => return other,
            }
        }
    }

    async fn release(&mut self, attempt: &Attempt, next: Wake) -> Result<Over, EngineError> {
        let mut backoff = Backoff::default();
        loop {
            match self.store().release(&self.lease, attempt, next).await {
                Ok(true) => return Ok(Over::Done),
                Ok(false) => return Ok(Over::Lost),
                Err(error) => self.wait_out(error, &mut backoff).await?,
            }
        }
    }

    /// Waits before the next try, or gives the error back if the lease won't last that long.
    async fn wait_out(
        &mut self,
        error: StoreError,
        backoff: &mut Backoff,
    ) -> Result<(), EngineError> {
        let wait = backoff.next();
        if Instant::now() + wait >= self.sure_until || self.shared.kill.is_cancelled() {
            return Err(error.into());
        }
        tracing::debug!(tenant = %self.lease.tenant, error = %chain(&error), "trying again");
        sleep(wait).await;
        if self.sure_until - Instant::now() < self.length / 2 && !self.renew().await {
            return Err(error.into());
        }
        Ok(())
    }

    /// Each send of a report has a time and an id of its own: only the state that it leads to counts,
    /// and the engine sends one change again by itself when its outcome is unknown.
    async fn send(&self, report: &Report, release: bool) -> Result<Reported, EngineError> {
        let context = Context {
            at: self.shared.options.clock.now(),
            actor: self.shared.actor.clone(),
            request_id: self.shared.options.ids.fresh(),
            message: Message::none(),
        };
        self.shared
            .engine
            .report(&self.lease, report, &context, release)
            .await
    }

    fn store(&self) -> &dyn Store {
        self.shared.engine.store()
    }
}

fn report_of(operation: Operation, tenant: &Tenant, outcome: Outcome, policy: &Policy) -> Report {
    Report {
        operation,
        generation: tenant.generation,
        running: tenant.running,
        outcome,
        steps: Vec::new(),
        policy: policy.clone(),
        correction: tenure::Correction::None,
    }
}

/// Kills a run whose lease is lost, and waits until nothing of it is left.
async fn end(stop: &CancellationToken, run: AbortOnDropHandle<Answer>) -> Option<Answer> {
    stop.cancel();
    if let Err(crash) = run.await {
        tracing::error!(%crash, "a run crashed while it was killed");
    }
    None
}

/// The provisioner's side in this process has failed: a bug, which must not stop the tenant for ever.
fn crashed(crash: &tokio::task::JoinError) -> Answer {
    tracing::error!(%crash, "a run crashed");
    Answer::Failed(Fault::ProvisionerCrashed.failure(&format!(
        "running the provisioner failed inside of Tenure: {crash}; find it in the server's log"
    )))
}
