//! How many requests each caller may make: by who they are, so that nobody pays for another.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota};
use tenure::Actor;

use crate::config::Rate;

/// After how many requests those who have rested are forgotten.
const SWEEP: u32 = 4_096;

/// What each caller has left.
pub(crate) struct Rates {
    left: DefaultKeyedRateLimiter<Actor>,
    asked: AtomicU32,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

impl Rates {
    pub(crate) fn new(rate: Rate) -> Self {
        let at_least_one = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(rate.per_second));
        Self {
            left: DefaultKeyedRateLimiter::keyed(quota.allow_burst(at_least_one(rate.burst))),
            asked: AtomicU32::new(0),
        }
    }

    /// Whether this caller may make one more request now; it counts if so.
    pub(crate) fn admits(&self, caller: &Actor) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.left.retain_recent();
        }
        self.left.check_key(caller).is_ok()
    }
}
