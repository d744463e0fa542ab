//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use tenure::{Clock, SystemClock};

/// How a store is opened. The defaults suit a server; change what you know better.
///
/// ```
/// let mut options = tenure_sqlite::Options::default();
/// options.deadline = std::time::Duration::from_secs(2);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How many reads run at once. Default 4.
    pub readers: u8,
    /// How many writes, and as many reads, may wait; one more is told that the store is busy.
    /// Default 1,024.
    pub queue: usize,
    /// How long a call may take, waiting included. A read that takes longer is given up; a write
    /// that takes longer has an unknown outcome. Default 5 s.
    pub deadline: Duration,
    /// The clock that leases, due times and keys live on. Default: the system's.
    pub clock: Arc<dyn Clock>,
    /// How many pages of 4 KiB the log may have before it is moved into the file, beside the
    /// writer. Default 2,000 (8 MiB).
    pub checkpoint_pages: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 4,
            queue: 1024,
            deadline: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
            checkpoint_pages: 2_000,
        }
    }
}
