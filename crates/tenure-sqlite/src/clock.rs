//! The store's clock: the one that leases, due times and keys live on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tenure::{Clock, Timestamp};

/// A clock that never goes back while the process lives, whatever happens to the one behind it.
#[derive(Debug)]
pub(crate) struct StoreClock {
    behind: Arc<dyn Clock>,
    latest: AtomicI64,
}

impl StoreClock {
    pub(crate) fn new(behind: Arc<dyn Clock>) -> Self {
        Self {
            behind,
            latest: AtomicI64::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let read = self.behind.now();
        let before = self.latest.fetch_max(read.as_micros(), Ordering::AcqRel);
        if before > read.as_micros() {
            Timestamp::from_micros(before).unwrap_or(read)
        } else {
            read
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Falling(AtomicI64);

    impl Clock for Falling {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.fetch_sub(1, Ordering::Relaxed)).unwrap()
        }
    }

    #[test]
    fn the_stores_clock_never_goes_back() {
        let clock = StoreClock::new(Arc::new(Falling(AtomicI64::new(10))));
        let times: Vec<i64> = (0..3).map(|_| clock.now().as_micros()).collect();
        assert_eq!(times, [10, 10, 10]);
    }
}
