//! One claim: load the record, see what it asks for, do that.

use std::sync::Arc;
use std::time::Duration;

use tenure::{
    Attempt, EngineError, Lease, Operation, Outcome, Policy, Reported, State, Step, Tenant,
    TenantRef, Wake,
};
use tokio::time::Instant;

use super::gate::Place;
use super::keeper::Run;
use super::task::{Task, is_newly_overdue, task};
use super::{Shared, chain};

/// Works on one claim.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Place,
    pub(super) lease: Lease,
    /// How long the lease runs without being renewed.
    pub(super) length: Duration,
    /// Until when the lease surely runs, by this process's clock: it was claimed or renewed no later
    /// than its length before.
    pub(super) sure_until: Instant,
    /// The steps that the provisioner told of last.
    pub(super) steps: Vec<Step>,
    /// How long the run took.
    pub(super) took: Duration,
}

/// Why a claim is over.
pub(super) enum Over {
    /// It is another's now, or will be. What was done is not told to anyone.
    Lost,
    /// It ended as it should.
    Done,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        place: Place,
        lease: Lease,
        claimed_at: Instant,
    ) -> Self {
        let length = place.gate().runner.lease;
        Self {
            shared,
            place,
            lease,
            length,
            sure_until: claimed_at + length,
            steps: Vec::new(),
            took: Duration::ZERO,
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.place.gate().runner.policy
    }

    /// Does the work, or hands it back. Whatever happens, the lease ends by itself at the latest.
    pub(super) async fn work(mut self) -> Place {
        match self.attempt().await {
            Ok(Over::Done) => {}
            Ok(Over::Lost) => {
                let class = self.lease.class.to_string();
                metrics::counter!("tenure_leases_lost_total", "class" => class).increment(1);
                tracing::info!(tenant = %self.lease.tenant, fence = %self.lease.fence,
                    "the lease was lost; the run was killed and its result dropped");
            }
            Err(error) => {
                tracing::warn!(tenant = %self.lease.tenant, error = %chain(&error),
                    "the work is left to its lease, which ends by itself");
            }
        }
        self.place
    }

    async fn attempt(&mut self) -> Result<Over, EngineError> {
        let who = TenantRef::Id(self.lease.tenant);
        let loaded = self.shared.engine.store().load(&who, None).await?;
        let Some(record) = loaded.record else {
            return self.release(&Attempt::Returned, Wake::Never).await;
        };
        let tenant = record.tenant;
        if self.is_newly_overdue(&tenant) {
            let report = self.report_of(Operation::Apply, &tenant, Outcome::Waiting);
            if self.send(&report, false).await? == Reported::LeaseLost {
                return Ok(Over::Lost);
            }
        }
        let now = self.shared.options.clock.now();
        match task(&tenant, self.policy(), now) {
            Task::Nothing => self.release(&Attempt::Returned, Wake::Never).await,
            Task::Later(wake) => self.release(&Attempt::Returned, wake).await,
            Task::Run(operation) => self.operate(operation, tenant).await,
        }
    }

    /// Whether the tenant has passed the deadline of its state and nobody said so yet.
    pub(super) fn is_newly_overdue(&self, tenant: &Tenant) -> bool {
        is_newly_overdue(tenant, self.policy(), self.shared.options.clock.now())
    }

    async fn operate(&mut self, operation: Operation, tenant: Tenant) -> Result<Over, EngineError> {
        let Some(tenant) = self.start(operation, tenant).await? else {
            return Ok(Over::Lost);
        };
        // This process may have been paused since the claim; then another works on the tenant.
        if Instant::now() >= self.sure_until {
            return Ok(Over::Lost);
        }
        match self.run(operation, &tenant).await {
            Run::Ended(answer) => self.report(operation, &tenant, answer).await,
            Run::Unwanted => self.release(&Attempt::Returned, Wake::Now).await,
            Run::Lost => Ok(Over::Lost),
        }
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
        let report = self.report_of(operation, &tenant, Outcome::Started);
        match self.send(&report, false).await? {
            Reported::Written(tenant) => Ok(Some(*tenant)),
            Reported::NoNews | Reported::CorrectionTaken => Ok(Some(tenant)),
            Reported::LeaseLost => Ok(None),
        }
    }
}
