//! How much may begin within a minute: a bucket that fills evenly, with time passed in.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: f64 = 60.0;

/// What a full bucket holds, as a share of what a minute brings: short bursts pass, long ones don't.
const FULL: f64 = 1.0 / 30.0;

/// A bucket that a minute brings so many tokens.
#[derive(Debug)]
pub(super) struct Bucket {
    per_minute: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let per_minute = f64::from(per_minute);
        Self {
            per_minute,
            tokens: Self::size(per_minute),
            filled_at: now,
        }
    }

    fn size(per_minute: f64) -> f64 {
        (per_minute * FULL).max(1.0)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (passed / MINUTE)
            .mul_add(self.per_minute, self.tokens)
            .min(Self::size(self.per_minute));
        self.filled_at = now;
    }

    /// How many may begin now, at most `most`.
    pub(super) fn room(&mut self, most: u16, now: Instant) -> u16 {
        self.fill(now);
        let holds = |count: &u16| f64::from(*count) <= self.tokens;
        (0..=most).rev().find(holds).unwrap_or(0)
    }

    /// One has begun.
    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }

    /// When the next may begin, if none may now.
    pub(super) fn next_at(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        let lacking = 1.0 - self.tokens;
        (lacking > 0.0).then(|| now + Duration::from_secs_f64(lacking / self.per_minute * MINUTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_brings_more_than_it_may() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(60, now);
        let mut begun = 0;
        for _ in 0..600 {
            while bucket.room(5, now) > 0 {
                bucket.take();
                begun += 1;
            }
            now = bucket
                .next_at(now)
                .unwrap()
                .min(now + Duration::from_millis(100));
        }
        assert!((58..=62).contains(&begun), "{begun} in a minute");
    }

    #[test]
    fn a_bucket_that_rested_is_full_and_no_more() {
        let now = Instant::now();
        let mut bucket = Bucket::new(600, now);
        let later = now + Duration::from_hours(1);
        assert_eq!(bucket.room(100, later), 20);
        assert_eq!(bucket.next_at(later), None);
    }
}
