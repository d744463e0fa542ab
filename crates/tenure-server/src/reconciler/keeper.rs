//! Runs a provisioner and keeps the lease meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tenure::{Operation, Outcome, Reported, State, Tenant, TenantRef};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument as _, Span, field};

use super::chain;
use super::worker::Worker;
use crate::provisioner::{Answer, Call, Fault, Progress};
use crate::telemetry::is_tracing;

/// How long progress must stand before it is history, and how soon a run is stopped that nobody
/// wants any more: short runs leave only their result.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How often a lease is renewed within its own length.
const RENEWALS: u32 = 3;

/// What came of a run.
pub(super) enum Run {
    /// It ended.
    Ended(Answer),
    /// It was killed, because something else is wanted now.
    Unwanted,
    /// It was killed, because the lease is lost, or may be.
    Lost,
}

impl Run {
    /// In a word, for the metrics.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Ended(answer) => answer.as_str(),
            Self::Unwanted => "unwanted",
            Self::Lost => "lease_lost",
        }
    }
}

/// Why a run must not go on.
enum Cut {
    Unwanted,
    Lost,
}

impl Worker {
    /// Runs the provisioner while it keeps the lease.
    pub(super) async fn run(&mut self, operation: Operation, tenant: &Tenant) -> Run {
        let began = Instant::now();
        let span = if is_tracing() {
            let (class, name) = (&self.lease.class, operation.as_str());
            tracing::debug_span!("provisioner", otel.name = format!("provisioner {name}"),
                otel.kind = "client", operation = name, %class, outcome = field::Empty)
        } else {
            Span::none()
        };
        let run = self
            .run_to_its_end(operation, tenant)
            .instrument(span.clone())
            .await;
        self.took = began.elapsed();
        span.record("outcome", run.as_str());
        metrics::histogram!("tenure_operation_duration_seconds",
            "class" => self.lease.class.to_string(), "operation" => operation.as_str(),
            "outcome" => run.as_str())
        .record(self.took);
        run
    }

    async fn run_to_its_end(&mut self, operation: Operation, tenant: &Tenant) -> Run {
        let call = Call {
            operation,
            tenant: tenant.clone(),
            fence: self.lease.fence,
        };
        let stop = self.shared.kill.child_token();
        let (progress, mut told) = watch::channel(Progress::default());
        let provisioner = Arc::clone(&self.place.gate().runner.provisioner);
        let mut run = {
            let stop = stop.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                provisioner.run(&call, &progress, &stop).await
            }))
        };
        let third = self.length / RENEWALS;
        let mut renewal = interval_at(Instant::now() + third, third);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval_at(Instant::now() + LOOK_INTERVAL, LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let cut = loop {
            let kept = tokio::select! {
                biased;
                ended = &mut run => {
                    self.steps.clone_from(&told.borrow().steps);
                    return Run::Ended(ended.unwrap_or_else(|crash| crashed(&crash)));
                }
                _ = renewal.tick() => self.renew().await,
                _ = look.tick() => self.look(operation, tenant, &mut told).await,
            };
            if let Err(cut) = kept {
                break cut;
            }
        };
        // Until nothing of it is left.
        stop.cancel();
        if let Err(crash) = run.await {
            tracing::error!(%crash, "a run crashed while it was killed");
        }
        match cut {
            Cut::Unwanted => Run::Unwanted,
            Cut::Lost => Run::Lost,
        }
    }

    /// Renews the lease, if it is not lost.
    async fn renew(&mut self) -> Result<(), Cut> {
        if self.keep().await {
            Ok(())
        } else {
            Err(Cut::Lost)
        }
    }

    /// Makes the lease run for its whole length again; `false` if it is lost, or may be.
    pub(super) async fn keep(&mut self) -> bool {
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

    /// Looks whether the run is still wanted, and tells how far it is.
    async fn look(
        &mut self,
        operation: Operation,
        tenant: &Tenant,
        told: &mut watch::Receiver<Progress>,
    ) -> Result<(), Cut> {
        let store = self.shared.engine.shared_store();
        let who = TenantRef::Id(tenant.id);
        match timeout_at(self.sure_until, store.load(&who, None)).await {
            Ok(Ok(loaded)) => {
                let Some(record) = loaded.record else {
                    return Err(Cut::Lost);
                };
                if record.work.fence != self.lease.fence {
                    return Err(Cut::Lost);
                }
                // What is to be torn down need not be made first. Any other change is applied next,
                // on what this run makes.
                let newer = record.tenant.generation > tenant.generation;
                let torn_down = record.tenant.state == State::Deleting;
                if newer && (torn_down || operation == Operation::Observe) {
                    return Err(Cut::Unwanted);
                }
                let overdue = self.is_newly_overdue(&record.tenant);
                self.tell(operation, tenant, told, overdue).await
            }
            // The next look, or the renewal, will tell.
            Ok(Err(_)) => Ok(()),
            Err(_elapsed) => Err(Cut::Lost),
        }
    }

    /// Tells how far the run is, if it has said something new, or has become overdue.
    async fn tell(
        &mut self,
        operation: Operation,
        tenant: &Tenant,
        told: &mut watch::Receiver<Progress>,
        overdue: bool,
    ) -> Result<(), Cut> {
        let outcome = if told.has_changed().unwrap_or(false) {
            let progress = told.borrow_and_update().clone();
            self.steps = progress.steps;
            Outcome::Progressed {
                message: progress.message,
            }
        } else if overdue {
            Outcome::Waiting
        } else {
            return Ok(());
        };
        let report = self.report_of(operation, tenant, outcome);
        match timeout_at(self.sure_until, self.send(&report, false)).await {
            Ok(Ok(Reported::LeaseLost)) | Err(_) => Err(Cut::Lost),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                // Progress that is not told is no loss; the run and its result go on.
                tracing::debug!(tenant = %tenant.id, error = %chain(&error), "progress not told");
                Ok(())
            }
        }
    }
}

/// The provisioner's side in this process has failed: a bug, which must not stop the tenant for ever.
fn crashed(crash: &tokio::task::JoinError) -> Answer {
    tracing::error!(%crash, "a run crashed");
    Answer::Failed(Fault::ProvisionerCrashed.failure(&format!(
        "running the provisioner failed inside of Tenure: {crash}; find it in the server's log"
    )))
}
