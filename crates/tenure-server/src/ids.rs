//! Where new ids come from: the one place that makes them.

use std::fmt;

use uuid::Uuid;

/// Gives ids that were never given before, in the order in which they are asked for.
pub trait IdSource: Send + Sync + fmt::Debug {
    /// A new id, a `UUIDv7`.
    fn fresh(&self) -> Uuid;
}

/// Ids from the system's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn fresh(&self) -> Uuid {
        Uuid::now_v7()
    }
}
