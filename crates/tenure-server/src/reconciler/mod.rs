//! The reconciler: brings each tenant from what it is to what it should be, and sees that it stays so.
//!
//! # What activates it
//!
//! Due work, and nothing else. A store knows for each tenant when someone should look at it: at once
//! after a command, later after a failure, and every so often while all is as it should be. The
//! reconciler claims what is due, and takes no other input: nobody hands it a tenant or an operation.
//! What it does with a claim follows from the record alone, so a wake-up that was lost, doubled or
//! late costs time and nothing else.
//!
//! # In which order
//!
//! It asks only for what it has room for, class by class: each class has its places, its rates and
//! its breaker ([`gate`]). Within a class, a change that somebody waits for goes ahead of a routine
//! check, and a check that has waited long goes ahead of a newer change; that order is the store's
//! ([`Room`]). Checks take at most a quarter of a class's places and begin at a bounded
//! rate, so a fleet whose checks have all come due meanwhile is looked at evenly, not all at once.
//!
//! # What it never does
//!
//! It never decides what a tenant should be, and never sets a state: it runs the provisioner of the
//! tenant's class and reports what came of it; the rules in `tenure` make of it what they will. It
//! never writes but under a live lease. It never retries by itself: a failure is reported, and the
//! record says when the work is due again, so a plan survives this process. It never takes silence
//! for an answer: a target that can't be looked at, or shows nothing, is unknown, and nothing is
//! repaired or torn down on that ground. And it never gives up: trouble with the store makes it
//! wait, longer each time, and try again.
//!
//! # Why it is safe to run twice
//!
//! Any number of reconcilers run side by side, without a leader. A claim is a lease that ends by itself
//! and carries a fence higher than any before it. A worker renews its lease while it works; if it finds
//! the lease lost, or can't reach the store until the lease has run out, it kills the run and drops
//! its result, and a report under an old fence is refused by the store anyway. A reconciler that dies
//! leaves nothing behind but leases that run out; whoever claims next does the operation again, which
//! the provisioner's contract makes harmless. What must be shared is in the store: due times, leases,
//! and the budget of corrections ([`corrections`]). Places, rates and breakers are each process's own.

mod backoff;
mod board;
mod breaker;
mod bucket;
mod corrections;
pub(crate) mod ended;
mod gate;
mod holder;
mod keeper;
mod reporter;
mod task;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenure::{Actor, ClassName, Clock, Engine, Lease, PageSize, Policy, Room, Sweep};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

pub use self::board::Board;
pub use self::breaker::BreakerPolicy;
pub(crate) use self::corrections::Corrections;
pub(crate) use self::task::{Task, is_newly_overdue, task};

use self::backoff::Backoff;
use self::gate::{Gate, soonest};
use self::worker::Worker;
use crate::ids::IdSource;
use crate::provisioner::Provisioner;

/// The longest wait for a hint that work is due: what other processes make due gives none.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// How long a claim waits for more room while nearly all places are taken: one statement for a few.
const BATCH_WAIT: Duration = Duration::from_millis(2);

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
    /// How much of it may run here.
    pub limits: ClassLimits,
}

/// How much of a class may run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// Most operations at once.
    pub concurrency: u16,
    /// Most operations that begin in a minute; `None` is no limit.
    pub per_minute: Option<u32>,
    /// Most routine checks that begin in a minute.
    pub checks_per_minute: u32,
    /// When to leave its target alone.
    pub breaker: BreakerPolicy,
}

impl Default for ClassLimits {
    /// 8 at once, 600 checks a minute.
    fn default() -> Self {
        Self {
            concurrency: 8,
            per_minute: None,
            checks_per_minute: 600,
            breaker: BreakerPolicy::default(),
        }
    }
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
    /// Where it tells how each class stands.
    pub board: Board,
}

/// Claims due work and does it, until it is stopped.
#[derive(Debug)]
pub struct Reconciler {
    shared: Arc<Shared>,
    gates: Vec<Arc<Gate>>,
    /// Told when a run ends.
    freed: Arc<Notify>,
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
    corrections: Corrections,
    /// Ends all runs at once.
    kill: CancellationToken,
}

impl Reconciler {
    /// A reconciler over an engine. Any number may run over the same store.
    pub fn new(engine: Engine, options: Options) -> Self {
        let holder = holder::name(options.ids.as_ref());
        let freed = Arc::new(Notify::new());
        let gate = |(name, runner): (&ClassName, &ClassRunner)| {
            Arc::new(Gate::new(name.clone(), runner.clone(), Arc::clone(&freed)))
        };
        Self {
            gates: options.classes.iter().map(gate).collect(),
            permits: Arc::new(Semaphore::new(options.concurrency)),
            runs: TaskTracker::new(),
            shared: Arc::new(Shared {
                actor: holder::actor(&holder),
                holder,
                engine,
                options,
                corrections: Corrections::default(),
                kill: CancellationToken::new(),
            }),
            freed,
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
        // Which class is asked first, and how many had nothing in a row.
        let (mut turn, mut empty) = (0, 0);
        let mut claimed_at = Instant::now();
        while !stop.is_cancelled() {
            self.tell(None);
            let again_at = claimed_at + BATCH_WAIT;
            if self.is_nearly_full() && Instant::now() < again_at {
                self.wait(sleep_until(again_at), stop).await;
                continue;
            }
            let (rooms, open) = self.rooms(turn);
            if rooms.is_empty() {
                let wait = soonest(&self.gates, Instant::now(), IDLE_MAX);
                self.wait(sleep(wait), stop).await;
                continue;
            }
            let store = self.shared.engine.shared_store();
            // Not cut short by `stop`: what was claimed unseen would wait for its lease to run out.
            claimed_at = Instant::now();
            match store.claim(&self.shared.holder, &rooms).await {
                Ok(leases) => {
                    backoff.reset();
                    self.tell(Some(&rooms));
                    turn += rooms.len();
                    empty = if leases.is_empty() {
                        empty + rooms.len()
                    } else {
                        0
                    };
                    for lease in leases {
                        self.begin(lease, claimed_at);
                    }
                    if empty >= open {
                        empty = 0;
                        self.idle(stop).await;
                    }
                }
                Err(error) => {
                    let wait = backoff.next();
                    tracing::warn!(error = %chain(&error), ?wait, "can't claim work; trying again");
                    self.wait(sleep(wait), stop).await;
                }
            }
        }
    }

    fn is_nearly_full(&self) -> bool {
        self.permits.available_permits() * 4 < self.shared.options.concurrency
    }

    /// What there is room for, fairly shared between classes; the class of `turn` comes first. Says
    /// too how many classes have room, of which some may have to wait for their turn.
    fn rooms(&self, turn: usize) -> (Vec<Room>, usize) {
        let now = Instant::now();
        let mut left = u16::try_from(self.permits.available_permits()).unwrap_or(u16::MAX);
        let count = self.gates.len();
        let rotated = self
            .gates
            .iter()
            .cycle()
            .skip(turn % count.max(1))
            .take(count);
        let open: Vec<_> = rotated
            .map(|gate| (gate, gate.room(left, now)))
            .filter(|(_, space)| space.limit > 0)
            .collect();
        let each = left
            .checked_div(u16::try_from(open.len()).unwrap_or(u16::MAX))
            .map_or(0, |each| each.max(1));
        let classes = open.len();
        let mut rooms = Vec::with_capacity(classes);
        for (gate, space) in open {
            let limit = space.limit.min(each).min(left);
            left -= limit;
            if limit > 0 {
                rooms.push(Room {
                    class: gate.name.clone(),
                    lease: gate.runner.lease,
                    limit,
                    routine: space.routine.min(limit),
                });
            }
        }
        (rooms, classes)
    }

    /// Tells how each class stands, and which were just asked for.
    fn tell(&self, claimed: Option<&[Room]>) {
        let (now, clock) = (Instant::now(), self.shared.options.clock.now());
        for gate in &self.gates {
            let asked = claimed.is_some_and(|rooms| rooms.iter().any(|r| r.class == gate.name));
            self.shared.options.board.update(&gate.name, |status| {
                gate.tell(status, now, clock);
                if asked {
                    status.last_claim_at = Some(clock);
                }
            });
        }
    }

    /// Sets to work on a claim.
    fn begin(&self, lease: Lease, claimed_at: Instant) {
        let gate = self.gates.iter().find(|gate| gate.name == lease.class);
        let Some(gate) = gate else {
            tracing::error!(tenant = %lease.tenant, "claimed what was not asked for");
            return;
        };
        // Only this loop takes permits, and it claims only what it has room for.
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        let place = gate.enter(&lease);
        let span = span_of(&lease);
        let worker = Worker::new(Arc::clone(&self.shared), place, lease, claimed_at);
        let run = async move {
            let place = worker.work().await;
            // The permit first: who is told of the free place must find it.
            drop(permit);
            drop(place);
        };
        self.runs.spawn(run.instrument(span));
    }

    /// Waits until work of a class with room may be due.
    async fn idle(&self, stop: &CancellationToken) {
        let now = Instant::now();
        // A class that may not check now would be told at once of checks that it can't take.
        let waiting: Vec<ClassName> = self
            .gates
            .iter()
            .filter(|gate| gate.room(1, now).routine > 0)
            .map(|gate| gate.name.clone())
            .collect();
        let at_most = soonest(&self.gates, now, IDLE_MAX);
        let store = self.shared.engine.shared_store();
        self.wait(store.idle(&waiting, at_most), stop).await;
    }

    /// Waits for something, or until a place is free, or until `stop`.
    async fn wait(&self, what: impl Future<Output = ()> + Send, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.freed.notified() => {}
            () = what => {}
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

/// What lines of the log about a claim are in, which says whose it is.
pub(crate) fn span_of(lease: &Lease) -> Span {
    tracing::error_span!("work", tenant = %lease.tenant, class = %lease.class, fence = %lease.fence)
}

/// An error and all its causes, for logs.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
