//! The reconciler: brings each tenant from what it is to what it should be.
//!
//! # What activates it
//!
//! Due work, and nothing else. A store knows for each tenant when someone should look at it: at once
//! after a command, later after a failure, never while all is as it should be. The reconciler claims
//! what is due, and takes no other input: nobody hands it a tenant or an operation. What it does with a
//! claim follows from the record alone, so a wake-up that was lost, doubled or late costs time and
//! nothing else.
//!
//! # What it never does
//!
//! It never decides what a tenant should be, and never sets a state: it runs the provisioner of the
//! tenant's class and reports what came of it; the rules in `tenure` make of it what they will. It
//! never writes but under a live lease. It never retries by itself: a failure is reported, and the
//! record says when the work is due again, so a plan survives this process. And it never gives up:
//! trouble with the store makes it wait, longer each time, and try again.
//!
//! # Why it is safe to run twice
//!
//! Any number of reconcilers run side by side, without a leader. A claim is a lease that ends by itself
//! and carries a fence higher than any before it. A worker renews its lease while it works; if it finds
//! the lease lost, or can't reach the store until the lease has run out, it kills the run and drops
//! its result, and a report under an old fence is refused by the store anyway. A reconciler that dies
//! leaves nothing behind but leases that run out; whoever claims next does the operation again, which
//! the provisioner's contract makes harmless.

mod backoff;
mod board;
mod holder;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenure::{Actor, ClassName, Clock, Engine, PageSize, Policy, Sweep, SystemClock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::backoff::Backoff;
pub use self::board::Board;
use self::worker::Worker;
use crate::config::Config;
use crate::ids::{IdSource, SystemIds};
use crate::provisioner::{ExecProvisioner, Provisioner};

/// The longest wait for a hint that work is due: what is due by the passing of time gives none.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// How often expired idempotency keys and old feed entries are taken away.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// How long entries stay in the feed: a reader that was away for longer lists anew.
const FEED_RETENTION: Duration = Duration::from_hours(30 * 24);

/// How long runs that were killed may take to hand their work back.
const HAND_BACK_MAX: Duration = Duration::from_secs(5);

/// What makes tenants of a class.
#[derive(Clone, Debug)]
pub struct ClassRunner {
    /// What runs its operations.
    pub provisioner: Arc<dyn Provisioner>,
    /// How long a lease runs without being renewed.
    pub lease: Duration,
    /// How its tenants are treated.
    pub policy: Policy,
}

/// What a reconciler needs beside the engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// What makes tenants, by class.
    pub classes: BTreeMap<ClassName, ClassRunner>,
    /// How many operations run at once.
    pub concurrency: usize,
    /// How long runs may go on once it is asked to stop.
    pub grace: Duration,
    /// The time of every report.
    pub clock: Arc<dyn Clock>,
    /// The ids of reports.
    pub ids: Arc<dyn IdSource>,
}

impl From<&Config> for Options {
    fn from(config: &Config) -> Self {
        let runner = |class| ClassRunner {
            provisioner: Arc::new(ExecProvisioner::new(class)),
            lease: class.lease,
            policy: class.policy.clone(),
        };
        Self {
            classes: config
                .classes
                .iter()
                .map(|(name, c)| (name.clone(), runner(c)))
                .collect(),
            concurrency: config.concurrency,
            grace: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
        }
    }
}

/// Claims due work and does it, until it is stopped.
#[derive(Debug)]
pub struct Reconciler {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    runs: TaskTracker,
}

/// What all runs share.
#[derive(Debug)]
struct Shared {
    engine: Engine,
    options: Options,
    holder: String,
    actor: Actor,
    /// The longest lease of any class: what is claimed may be of each of them.
    lease: Duration,
    /// Ends all runs at once.
    kill: CancellationToken,
}

impl Reconciler {
    /// A reconciler over an engine. Any number may run over the same store.
    pub fn new(engine: Engine, options: Options) -> Self {
        let holder = holder::name(options.ids.as_ref());
        let lease = options.classes.values().map(|class| class.lease).max();
        Self {
            permits: Arc::new(Semaphore::new(options.concurrency)),
            runs: TaskTracker::new(),
            shared: Arc::new(Shared {
                actor: holder::actor(&holder),
                holder,
                lease: lease.unwrap_or(Duration::from_secs(30)),
                engine,
                options,
                kill: CancellationToken::new(),
            }),
        }
    }

    /// Runs until `stop`, then lets runs finish for a grace period and hands the rest back.
    pub async fn run(self, stop: CancellationToken) {
        tracing::info!(holder = self.shared.holder, "the reconciler runs");
        tokio::join!(self.claim_until(&stop), self.sweep_until(&stop));
        self.runs.close();
        if timeout(self.shared.options.grace, self.runs.wait())
            .await
            .is_err()
        {
            tracing::info!(
                runs = self.runs.len(),
                "handing back what did not finish in time"
            );
            self.shared.kill.cancel();
            if timeout(HAND_BACK_MAX, self.runs.wait()).await.is_err() {
                tracing::warn!("some work was not handed back; its leases end by themselves");
            }
        }
    }

    async fn claim_until(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                permit = Arc::clone(&self.permits).acquire_owned() => {
                    // The semaphore is never closed.
                    let Ok(permit) = permit else { break };
                    self.claim(permit, &mut backoff, stop).await;
                }
            }
        }
    }

    /// Claims as much as there is room for and sets to work on it; waits if there is nothing.
    async fn claim(
        &self,
        permit: OwnedSemaphorePermit,
        backoff: &mut Backoff,
        stop: &CancellationToken,
    ) {
        let room = self.permits.available_permits() + 1;
        let limit = PageSize::new(room.try_into().unwrap_or(u64::MAX)).unwrap_or(PageSize::MAX);
        let store = self.shared.engine.shared_store();
        // Not cut short by `stop`: what was claimed unseen would wait for its lease to run out.
        let at = Instant::now();
        let claimed = store
            .claim(&self.shared.holder, self.shared.lease, limit)
            .await;
        match claimed {
            Ok(leases) if leases.is_empty() => {
                drop(permit);
                backoff.reset();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = store.idle(IDLE_MAX) => {}
                }
            }
            Ok(leases) => {
                drop(permit);
                backoff.reset();
                for lease in leases {
                    // Only this loop takes permits, so there are as many as it counted.
                    let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                        return;
                    };
                    let worker = Worker::new(Arc::clone(&self.shared), lease, at);
                    self.runs.spawn(async move {
                        worker.work().await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                drop(permit);
                let wait = backoff.next();
                tracing::warn!(error = %chain(&error), ?wait, "can't claim work; trying again");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(wait) => {}
                }
            }
        }
    }

    async fn sweep_until(&self, stop: &CancellationToken) {
        let sweep = Sweep {
            batch: PageSize::MAX,
            feed_retention: Some(FEED_RETENTION),
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(SWEEP_INTERVAL) => {}
            }
            // Until nothing is left, or the store wants to be left alone.
            loop {
                match self.shared.engine.store().sweep(sweep).await {
                    Ok(0) => break,
                    Ok(rows) => tracing::debug!(rows, "swept"),
                    Err(error) => {
                        tracing::warn!(error = %chain(&error), "can't sweep; trying again later");
                        break;
                    }
                }
                if stop.is_cancelled() {
                    return;
                }
            }
        }
    }
}

/// An error and all its causes, for logs.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
