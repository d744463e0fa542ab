//! The states of a tenant and the ways between them. The table lives here and nowhere else.
//!
//! The SQL edge tables, the API's enum and the diagram in the docs are checked against it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Where a tenant stands in its lifecycle. Output only: commands and reports move it, no one sets it.
///
/// Words ending in `-ing` are active: they resolve by work. `ready` and `suspended` rest until
/// someone asks for something else. Failure is no state but a [condition](crate::Conditions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Asked for; no work has begun.
    Requested,
    /// Being made for the first time.
    Provisioning,
    /// As it was last asked for, and running.
    Ready,
    /// Being brought to a newer generation.
    Updating,
    /// Being stopped.
    Suspending,
    /// Stopped on request.
    Suspended,
    /// Being started again.
    Resuming,
    /// Being torn down.
    Deleting,
    /// Gone. Its record and history stay; its name is free.
    Deleted,
}

impl State {
    /// All states, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Requested,
        Self::Provisioning,
        Self::Ready,
        Self::Updating,
        Self::Suspending,
        Self::Suspended,
        Self::Resuming,
        Self::Deleting,
        Self::Deleted,
    ];

    /// The states that may come next. A tenant may always stay in its state.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Requested => &[Self::Provisioning, Self::Deleting],
            Self::Provisioning => &[
                Self::Ready,
                Self::Suspended,
                Self::Suspending,
                Self::Deleting,
            ],
            Self::Ready => &[Self::Updating, Self::Suspending, Self::Deleting],
            Self::Updating => &[
                Self::Ready,
                Self::Suspended,
                Self::Suspending,
                Self::Resuming,
                Self::Deleting,
            ],
            Self::Suspending => &[Self::Suspended, Self::Resuming, Self::Deleting],
            Self::Suspended => &[Self::Updating, Self::Resuming, Self::Deleting],
            Self::Resuming => &[Self::Ready, Self::Suspending, Self::Deleting],
            Self::Deleting => &[Self::Deleted],
            Self::Deleted => &[],
        }
    }

    /// Whether a change may leave a tenant that is in `self` in `to`.
    pub fn may_become(self, to: Self) -> bool {
        (self == to && self != Self::Deleted) || self.next().contains(&to)
    }

    /// Whether the tenant rests: nothing happens until someone asks, or the world drifts.
    pub const fn is_resting(self) -> bool {
        matches!(self, Self::Ready | Self::Suspended | Self::Deleted)
    }

    /// The word, as SQL, JSON and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Provisioning => "provisioning",
            Self::Ready => "ready",
            Self::Updating => "updating",
            Self::Suspending => "suspending",
            Self::Suspended => "suspended",
            Self::Resuming => "resuming",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let words = Self::ALL.map(Self::as_str).join(", ");
                Invalid::new("state", format!("must be one of {words}"))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn reachable(from: State) -> BTreeSet<State> {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(state) = open.pop() {
            open.extend(
                state
                    .next()
                    .iter()
                    .copied()
                    .filter(|next| seen.insert(*next)),
            );
        }
        seen
    }

    #[test]
    fn p8_every_state_reaches_deleted() {
        for state in State::ALL {
            assert!(reachable(state).contains(&State::Deleted), "{state}");
        }
    }

    #[test]
    fn no_state_is_unreachable() {
        assert_eq!(reachable(State::Requested), State::ALL.into());
    }

    #[test]
    fn nothing_leaves_deleted() {
        assert!(State::ALL.iter().all(|to| !State::Deleted.may_become(*to)));
    }

    #[test]
    fn words_round_trip() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert!("failed".parse::<State>().is_err());
    }
}
