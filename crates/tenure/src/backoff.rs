//! When to try again: a pure function, so that a plan survives any restart.

use std::time::Duration;

use crate::{Generation, Hash, TenantId};

/// How often, and how soon, a failed attempt is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait after the first failure; it doubles with each further one.
    pub base: Duration,
    /// The longest wait at all.
    pub cap: Duration,
    /// After this many attempts the tenant is halted until `retry` or a new generation.
    pub attempts_max: u32,
}

impl Default for RetryPolicy {
    /// 1 s, doubling to 5 min, 20 attempts.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_mins(5),
            attempts_max: 20,
        }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt`, counted from 1.
    ///
    /// Exponential with full jitter: anywhere between nothing and the cap of that attempt, spread
    /// by hashing tenant, generation and attempt. Equal arguments give an equal wait, so nothing
    /// random needs to be stored.
    pub fn wait(&self, tenant: TenantId, generation: Generation, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let longest = self.base.saturating_mul(1 << doublings).min(self.cap);
        longest.mul_f64(share(&format!("{tenant}/{generation}/{attempt}")))
    }
}

/// A number from 0 to 1 that a text stands for, spread evenly over texts.
pub(crate) fn share(text: &str) -> f64 {
    let [a, b, c, d, ..] = *Hash::of(text.as_bytes()).as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId::new(uuid::Uuid::from_u128(1));

    #[test]
    fn a_wait_never_exceeds_the_cap_of_its_attempt() {
        let policy = RetryPolicy::default();
        for attempt in 1..100 {
            let wait = policy.wait(TENANT, Generation::new(1), attempt);
            assert!(wait <= policy.cap);
            assert!(wait <= policy.base.saturating_mul(1 << (attempt - 1).min(31)));
        }
    }

    #[test]
    fn waits_spread_over_tenants() {
        let policy = RetryPolicy::default();
        let wait = |n| {
            policy.wait(
                TenantId::new(uuid::Uuid::from_u128(n)),
                Generation::new(1),
                12,
            )
        };
        let early = (0..1000).filter(|n| wait(*n) < policy.cap / 2).count();
        assert!(
            (400..600).contains(&early),
            "{early} of 1000 in the first half"
        );
    }

    #[test]
    fn equal_arguments_give_an_equal_wait() {
        let wait = || RetryPolicy::default().wait(TENANT, Generation::new(3), 4);
        assert_eq!(wait(), wait());
    }
}
