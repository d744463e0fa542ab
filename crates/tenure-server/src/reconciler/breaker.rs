//! A breaker: stops asking a target that fails for everyone.
//!
//! One tenant that fails says nothing of the target: it has its own backoff. Failures of several
//! tenants in a row, without a success between, do. Then nothing more of the class is begun for a
//! while; after that a single operation tries, and its result closes the breaker or keeps it open.
//! What is not begun is not counted as an attempt, so no tenant's budget is spent on an outage.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure::{Message, Reason, TenantId};
use tokio::time::Instant;

/// How patient a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the configuration builds it field by field"
)]
pub struct BreakerPolicy {
    /// How many tenants must fail in a row.
    pub failures: u32,
    /// How long nothing is begun; twice as long with each probe that fails, up to ten times.
    pub cooldown: Duration,
}

impl Default for BreakerPolicy {
    /// Five tenants, 30 s.
    fn default() -> Self {
        Self {
            failures: 5,
            cooldown: Duration::from_secs(30),
        }
    }
}

/// The last failure, and since when it stops everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) reason: Reason,
    pub(super) message: Message,
}

#[derive(Debug)]
pub(super) struct Breaker {
    policy: BreakerPolicy,
    /// Who failed since the last success.
    failed: BTreeSet<TenantId>,
    stopped: Option<Stopped>,
    cooldown: Duration,
    /// A probe runs.
    probing: bool,
}

impl Breaker {
    pub(super) const fn new(policy: BreakerPolicy) -> Self {
        Self {
            cooldown: policy.cooldown,
            policy,
            failed: BTreeSet::new(),
            stopped: None,
            probing: false,
        }
    }

    /// How many operations may begin now, of as many as there is room for.
    pub(super) fn room(&self, most: u16, now: Instant) -> u16 {
        match &self.stopped {
            None => most,
            Some(stopped) if self.probing || now < stopped.until => 0,
            Some(_) => most.min(1),
        }
    }

    /// One has begun.
    pub(super) const fn begun(&mut self) {
        if self.stopped.is_some() {
            self.probing = true;
        }
    }

    /// One went well.
    pub(super) fn succeeded(&mut self) {
        self.failed.clear();
        self.stopped = None;
        self.cooldown = self.policy.cooldown;
        self.probing = false;
    }

    /// One failed in a way that may be the target's.
    pub(super) fn failed(&mut self, tenant: TenantId, why: (&Reason, &Message), now: Instant) {
        self.failed.insert(tenant);
        let probed = std::mem::take(&mut self.probing);
        let longest = self.policy.cooldown * 10;
        let stop = match &self.stopped {
            None => {
                self.failed.len() >= usize::try_from(self.policy.failures).unwrap_or(usize::MAX)
            }
            Some(stopped) => probed || now >= stopped.until,
        };
        if !stop {
            return;
        }
        let since = self.stopped.as_ref().map_or(now, |stopped| stopped.since);
        if self.stopped.is_some() {
            self.cooldown = (self.cooldown * 2).min(longest);
        }
        self.stopped = Some(Stopped {
            since,
            until: now + self.cooldown,
            reason: why.0.clone(),
            message: why.1.clone(),
        });
        // Bounded, whatever happens while it is open.
        self.failed.clear();
    }

    /// One ended without a word about the target.
    pub(super) const fn nothing_learnt(&mut self) {
        self.probing = false;
    }

    /// Why nothing is begun, if the breaker is open; after its end, a probe may begin.
    pub(super) const fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::new(uuid::Uuid::from_u128(number))
    }

    fn fail(breaker: &mut Breaker, number: u128, now: Instant) {
        let reason: Reason = "Unreachable".parse().unwrap();
        breaker.failed(tenant(number), (&reason, &Message::none()), now);
    }

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for number in 0..5 {
            assert_eq!(breaker.room(9, now), 9);
            fail(&mut breaker, number, now);
        }
        breaker
    }

    #[test]
    fn one_tenant_never_opens_it_and_a_success_between_neither() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for _ in 0..100 {
            fail(&mut breaker, 1, now);
        }
        assert_eq!(breaker.room(9, now), 9);
        for number in 0..20 {
            fail(&mut breaker, number, now);
            if number % 4 == 3 {
                breaker.succeeded();
            }
        }
        assert_eq!(breaker.room(9, now), 9);
    }

    #[test]
    fn failures_of_several_open_it_and_one_probe_closes_it() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert_eq!(breaker.room(9, now), 0);
        assert_eq!(breaker.stopped().unwrap().reason.as_str(), "Unreachable");
        let later = now + Duration::from_secs(30);
        assert_eq!(breaker.room(9, later), 1);
        breaker.begun();
        assert_eq!(breaker.room(9, later), 0, "one probe at a time");
        breaker.succeeded();
        assert_eq!(breaker.room(9, later), 9);
    }

    #[test]
    fn a_probe_that_fails_keeps_it_open_for_longer_up_to_a_cap() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        for seconds in [60, 120, 240, 300, 300] {
            now = breaker.stopped().unwrap().until;
            assert_eq!(breaker.room(9, now), 1);
            breaker.begun();
            fail(&mut breaker, 1, now);
            let wait = breaker.stopped().unwrap().until - now;
            assert_eq!(wait, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn what_began_before_it_opened_says_nothing_new_and_a_lost_probe_neither() {
        let now = Instant::now();
        let mut breaker = open(now);
        let until = breaker.stopped().unwrap().until;
        fail(&mut breaker, 7, now + Duration::from_secs(1));
        assert_eq!(breaker.stopped().unwrap().until, until);
        breaker.begun();
        breaker.nothing_learnt();
        assert_eq!(breaker.room(9, until), 1);
    }
}
