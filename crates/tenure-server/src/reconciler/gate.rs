//! How much of a class may run here, and what keeps it: its places, its rates, and its breaker.
//!
//! Everything here is this process's own and may be lost: it only decides what is claimed next. What
//! is due, and who has it, stands in the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure::{ClassName, ClassStatus, Lease, Message, Reason, TenantId, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ClassRunner;
use super::breaker::Breaker;
use super::bucket::Bucket;

/// The share of a class's places that routine checks may take.
const ROUTINE_SHARE: u16 = 4;

/// One class, as this reconciler runs it.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) name: ClassName,
    pub(super) runner: ClassRunner,
    /// Told when a run ends: there may be room again.
    freed: Arc<Notify>,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    running: u16,
    routine: u16,
    all: Option<Bucket>,
    checks: Bucket,
    breaker: Breaker,
}

/// How many operations of a class may begin now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) limit: u16,
    pub(super) routine: u16,
}

/// How one ended, as far as it says something about the target.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// The target did what it was asked.
    Well,
    /// It did not, and may not for others either.
    Badly { reason: Reason, message: Message },
    /// It was stopped, or the fault is the tenant's own.
    Neither,
}

/// A place that a run takes until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    tenant: TenantId,
    routine: bool,
    ended: Option<Ended>,
}

impl Gate {
    pub(super) fn new(name: ClassName, runner: ClassRunner, freed: Arc<Notify>) -> Self {
        let (now, limits) = (Instant::now(), runner.limits);
        let inside = Inside {
            running: 0,
            routine: 0,
            all: limits.per_minute.map(|rate| Bucket::new(rate, now)),
            checks: Bucket::new(limits.checks_per_minute, now),
            breaker: Breaker::new(limits.breaker),
        };
        Self {
            name,
            runner,
            freed,
            inside: Mutex::new(inside),
        }
    }

    /// What a panic in a run left behind is still a count.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may begin now, at most `most`.
    pub(super) fn room(&self, most: u16, now: Instant) -> Space {
        let mut inside = self.inside();
        let places = self
            .runner
            .limits
            .concurrency
            .saturating_sub(inside.running);
        let mut limit = inside.breaker.room(places.min(most), now);
        if let Some(all) = &mut inside.all {
            limit = all.room(limit, now);
        }
        let share = (self.runner.limits.concurrency / ROUTINE_SHARE).max(1);
        let routine = share.saturating_sub(inside.routine).min(limit);
        let routine = inside.checks.room(routine, now);
        drop(inside);
        Space { limit, routine }
    }

    /// When there may be room again that a rate or the breaker denies now.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        let mut inside = self.inside();
        let stopped = inside.breaker.stopped().map(|stopped| stopped.until);
        let throttled = [
            inside.all.as_mut().and_then(|all| all.next_at(now)),
            inside.checks.next_at(now),
        ];
        drop(inside);
        let after_now = stopped.filter(|until| *until > now);
        after_now
            .into_iter()
            .chain(throttled.into_iter().flatten())
            .min()
    }

    /// Takes a place for what was claimed.
    pub(super) fn enter(self: &Arc<Self>, lease: &Lease) -> Place {
        let mut inside = self.inside();
        inside.running += 1;
        inside.breaker.begun();
        if let Some(all) = &mut inside.all {
            all.take();
        }
        if lease.routine {
            inside.routine += 1;
            inside.checks.take();
        }
        drop(inside);
        Place {
            gate: Arc::clone(self),
            tenant: lease.tenant,
            routine: lease.routine,
            ended: None,
        }
    }

    /// Writes to a status how the class stands. `clock` says what time it is `now`.
    pub(super) fn tell(&self, status: &mut ClassStatus, now: Instant, clock: Timestamp) {
        let time_of = |at: Instant| match at.checked_duration_since(now) {
            Some(ahead) => clock.plus(ahead),
            None => clock.minus(now.saturating_duration_since(at)),
        };
        let mut inside = self.inside();
        status.running = inside.running.into();
        status.throttled_until = inside
            .all
            .as_mut()
            .and_then(|all| all.next_at(now))
            .map(time_of);
        status.breaker = match inside.breaker.stopped() {
            None => tenure::Breaker::Closed,
            Some(stopped) if stopped.until <= now => tenure::Breaker::HalfOpen,
            Some(stopped) => tenure::Breaker::Open {
                since: time_of(stopped.since),
                until: time_of(stopped.until),
                reason: stopped.reason.clone(),
                message: stopped.message.clone(),
            },
        };
    }
}

impl Place {
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Notes how the run ended; the place is free once this is dropped.
    pub(super) fn ended(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        inside.running = inside.running.saturating_sub(1);
        if self.routine {
            inside.routine = inside.routine.saturating_sub(1);
        }
        let was_open = inside.breaker.stopped().is_some();
        match self.ended.take() {
            Some(Ended::Well) => inside.breaker.succeeded(),
            Some(Ended::Badly { reason, message }) => {
                inside
                    .breaker
                    .failed(self.tenant, (&reason, &message), Instant::now());
            }
            Some(Ended::Neither) | None => inside.breaker.nothing_learnt(),
        }
        let stopped = inside.breaker.stopped().cloned();
        drop(inside);
        let class = &self.gate.name;
        match stopped {
            Some(stopped) if !was_open => {
                let reason = stopped.reason.as_str();
                let pause_seconds = (stopped.until - stopped.since).as_secs();
                tracing::warn!(%class, reason, pause_seconds,
                    "the breaker has opened: no operation of the class is begun for now");
            }
            None if was_open => tracing::info!(%class, "the breaker has closed"),
            Some(_) | None => {}
        }
        self.gate.freed.notify_one();
    }
}

/// The soonest of all gates' openings, or `at_most` from now.
pub(super) fn soonest(gates: &[Arc<Gate>], now: Instant, at_most: Duration) -> Duration {
    let opening = gates.iter().filter_map(|gate| gate.opens_at(now)).min();
    opening.map_or(at_most, |at| at.saturating_duration_since(now).min(at_most))
}
