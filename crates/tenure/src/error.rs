//! What can go wrong between a caller and a store, and what the caller should do then.

use crate::Readiness;

/// The cause behind an error, for logs. Never shown to clients: it may name hosts or SQL.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Trouble with the store. Answers that a caller must expect, such as a lost race, are values of
/// [`Commit`](crate::Commit) and not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store can't be reached, or gave up before it wrote. Try again later.
    #[error("the store is unavailable; nothing was written")]
    Unavailable(#[source] Source),
    /// The reply was lost: the write may have happened. Send the same change again to learn.
    #[error("the outcome is unknown: the reply was lost; send the same request again")]
    OutcomeUnknown(#[source] Source),
    /// Too many callers wait, or the store's own limit was hit. Try again later, with backoff.
    #[error("the store is too busy; nothing was written")]
    Overloaded,
    /// The store takes no writes: a replica, a read-only file, or a file system mounted read-only.
    #[error("the store is read-only; nothing was written")]
    ReadOnly,
    /// The disk is full. Make room; nothing was written and nothing is damaged.
    #[error("the store's disk is full; nothing was written")]
    Full,
    /// The schema does not fit this binary, or is missing.
    #[error("the store is not ready: {0}")]
    NotReady(Readiness),
    /// The cursor is damaged, or belongs to another query.
    #[error("the cursor does not belong to this query; start again without one")]
    CursorInvalid,
    /// The feed no longer reaches back to this cursor, or is another feed.
    #[error("the cursor is older than the feed; list again, then follow from a new cursor")]
    CursorExpired,
    /// What is stored breaks its own rules. It is not served; see `doctor`.
    #[error("what is stored is damaged: {what}")]
    Corrupt {
        /// Which table, row and column, and what is wrong with it; no content.
        what: String,
    },
    /// The database's own guard refused the write: a bug in Tenure, or a foreign writer.
    #[error("the store's guard {rule} refused the write")]
    Rejected {
        /// The name of the guard.
        rule: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// An error that Tenure has no word for.
    #[error("the store failed in an unexpected way")]
    Backend(#[source] Source),
}

/// Whether a call that failed may have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing was written.
    No,
    /// It may have been.
    Unknown,
}

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Sending it again can't help; a person must act.
    GiveUp,
    /// Send it again later, waiting longer each time.
    Backoff,
    /// Send exactly the same again: at most one of the two takes effect, and the answer tells.
    Resolve,
    /// Start the walk again from the beginning.
    Restart,
}

impl StoreError {
    /// Whether the call may have written.
    pub const fn effect(&self) -> Written {
        match self {
            Self::OutcomeUnknown(_) => Written::Unknown,
            _ => Written::No,
        }
    }

    /// What the caller should do.
    pub const fn advice(&self) -> Advice {
        match self {
            Self::Unavailable(_) | Self::Overloaded | Self::ReadOnly | Self::Full => {
                Advice::Backoff
            }
            Self::NotReady(_) => Advice::Backoff,
            Self::OutcomeUnknown(_) => Advice::Resolve,
            Self::CursorInvalid | Self::CursorExpired => Advice::Restart,
            Self::Corrupt { .. } | Self::Rejected { .. } | Self::Closed | Self::Backend(_) => {
                Advice::GiveUp
            }
        }
    }

    /// A stable word for it, as the API and the logs spell it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "store_unavailable",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Overloaded => "overloaded",
            Self::ReadOnly => "store_read_only",
            Self::Full => "store_full",
            Self::NotReady(_) => "store_not_ready",
            Self::CursorInvalid => "cursor_invalid",
            Self::CursorExpired => "cursor_expired",
            Self::Corrupt { .. } => "store_corrupt",
            Self::Rejected { .. } => "store_rejected",
            Self::Closed => "store_closed",
            Self::Backend(_) => "store_error",
        }
    }
}
