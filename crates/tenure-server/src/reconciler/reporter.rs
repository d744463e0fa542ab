//! Reports what came of a run, and ends the lease with it.

use tenure::{
    Attempt, Context, Correction, EngineError, Message, Operation, Outcome, RefusalCode, Report,
    Reported, StoreError, Tenant, Wake,
};
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::chain;
use super::ended;
use super::gate::Ended;
use super::worker::{Over, Worker};
use crate::provisioner::{Answer, Failure, Fault};

impl Worker {
    /// Reports what came of the run and ends the lease with it.
    pub(super) async fn report(
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
            } => {
                self.place.ended(Ended::Well);
                Outcome::Succeeded {
                    observed,
                    resources,
                    message,
                }
            }
            Answer::Failed(failure) => self.failed(failure),
        };
        let mut report = self.report_of(operation, tenant, outcome);
        loop {
            let now = self.shared.options.clock.now();
            let granted = self
                .shared
                .corrections
                .grant(&mut report, &tenant.class, now);
            match self.send_while_it_lasts(&report).await {
                Ok(Reported::CorrectionTaken) => {
                    self.shared.corrections.used(&tenant.class, granted);
                }
                Ok(Reported::Written(after)) => {
                    if after.reason.as_str() == "DriftCorrection" {
                        self.shared.corrections.used(&tenant.class, granted);
                    }
                    self.note(&report, Some(&after));
                    return Ok(Over::Done);
                }
                Ok(Reported::NoNews) => {
                    self.note(&report, None);
                    return Ok(Over::Done);
                }
                Ok(Reported::LeaseLost) => return Ok(Over::Lost),
                Err(EngineError::Refused(refusal)) if refusal.code == RefusalCode::Invalid => {
                    return self.refused(operation, tenant, &refusal.to_string()).await;
                }
                // The tenant has moved on, so the result is of no use; what it needs is due now.
                Err(EngineError::Refused(refusal)) => {
                    tracing::info!(tenant = %tenant.id, %refusal, "a result came out of order");
                    return self.release(&Attempt::Returned, Wake::Now).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A result that breaks a rule must not be sent for ever: it is a failure with a name.
    async fn refused(
        &mut self,
        operation: Operation,
        tenant: &Tenant,
        why: &str,
    ) -> Result<Over, EngineError> {
        let failure = Fault::AnswerRefused.failure(&format!(
            "what the provisioner answered can't be recorded: {why}; correct the provisioner"
        ));
        self.steps = Vec::new();
        let outcome = self.failed(failure);
        let report = self.report_of(operation, tenant, outcome);
        match self.send_while_it_lasts(&report).await? {
            Reported::LeaseLost => Ok(Over::Lost),
            Reported::Written(after) => {
                self.note(&report, Some(&after));
                Ok(Over::Done)
            }
            Reported::NoNews | Reported::CorrectionTaken => {
                self.note(&report, None);
                Ok(Over::Done)
            }
        }
    }

    /// Says in the log what came of the run.
    fn note(&self, report: &Report, after: Option<&Tenant>) {
        ended::note(report, after, self.lease.attempt, Some(self.took));
    }

    /// A failure, told to the breaker and as it is reported.
    fn failed(&mut self, failure: Failure) -> Outcome {
        let Failure {
            reason,
            message,
            permanent,
            retry_after,
        } = failure;
        // What can't be helped by trying again is the tenant's own.
        self.place.ended(if permanent {
            Ended::Neither
        } else {
            Ended::Badly {
                reason: reason.clone(),
                message: message.clone(),
            }
        });
        Outcome::Failed {
            reason,
            message,
            permanent,
            retry_after,
            attempt: self.lease.attempt,
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

    /// Ends the lease without a report, and plans the work.
    pub(super) async fn release(
        &mut self,
        attempt: &Attempt,
        next: Wake,
    ) -> Result<Over, EngineError> {
        let mut backoff = Backoff::default();
        loop {
            let store = self.shared.engine.shared_store();
            match store.release(&self.lease, attempt, next).await {
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
        if self.sure_until - Instant::now() < self.length / 2 && !self.keep().await {
            return Err(error.into());
        }
        Ok(())
    }

    /// A report of this worker on a tenant as it was loaded.
    pub(super) fn report_of(
        &self,
        operation: Operation,
        tenant: &Tenant,
        outcome: Outcome,
    ) -> Report {
        Report {
            operation,
            generation: tenant.generation,
            running: tenant.running,
            outcome,
            steps: self.steps.clone(),
            policy: self.policy().clone(),
            correction: Correction::None,
        }
    }

    /// Each send of a report has a time and an id of its own: only the state that it leads to counts,
    /// and the engine sends one change again by itself when its outcome is unknown.
    pub(super) async fn send(
        &self,
        report: &Report,
        release: bool,
    ) -> Result<Reported, EngineError> {
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
}
