//! Conditions: what is the matter with a tenant, beside the state that it is in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Actor, Difference, Invalid, Message, Reason, Timestamp};

/// The kinds of condition, as lists filter by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// The last attempt failed.
    Failing,
    /// What was observed contradicts what is wanted.
    Drifted,
    /// Reconciliation is paused on purpose.
    Held,
    /// The state has lasted longer than its class allows.
    Overdue,
    /// The last observation can't be trusted: since then, looking failed or saw nothing.
    Unknown,
}

impl ConditionKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Failing,
        Self::Drifted,
        Self::Held,
        Self::Overdue,
        Self::Unknown,
    ];

    /// The word, as SQL, JSON and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Drifted => "drifted",
            Self::Held => "held",
            Self::Overdue => "overdue",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ConditionKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                let words = Self::ALL.map(Self::as_str).join(", ");
                Invalid::new("condition", format!("must be one of {words}"))
            })
    }
}

/// The last attempt failed. Attempts are counted and retries planned in the tenant's
/// [work](crate::WorkFacts); here is what changes seldom enough to be history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// Why, as the provisioner or the reconciler named it.
    pub reason: Reason,
    /// What happened, and what to do about it.
    pub message: Message,
    /// Since when attempts fail without a success between.
    pub since: Timestamp,
    /// No more attempts are made until `retry` or a new generation.
    pub halted: bool,
}

/// What was observed contradicts what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drifted {
    /// Where, with both values, sorted by path; at most
    /// [`DIFFERENCES_MAX`](crate::drift::DIFFERENCES_MAX).
    pub paths: Vec<Difference>,
    /// Since when there was some drift without an observation in order between.
    pub since: Timestamp,
    /// It would have been corrected, but the class had no correction left in that hour.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub budget_spent: bool,
}

/// What is observed can't be trusted: the target could not be looked at, or nothing was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    /// Why, as the provisioner or the reconciler named it.
    pub reason: Reason,
    /// What happened, and what to do about it.
    pub message: Message,
    /// Since when.
    pub since: Timestamp,
}

/// Reconciliation is paused on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Who paused it.
    pub by: Actor,
    /// Why, in their words.
    pub message: Message,
    /// Since when.
    pub since: Timestamp,
}

/// A condition that only has a beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// Since when.
    pub since: Timestamp,
}

/// What is the matter with a tenant. A key is present only while it is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// The last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// What was observed contradicts what is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted: Option<Drifted>,
    /// Reconciliation is paused on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The state has lasted longer than its class allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Since>,
    /// The last observation can't be trusted: since then, looking failed or saw nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
}

impl Conditions {
    /// The kinds that are present, in their fixed order.
    pub fn kinds(&self) -> Vec<ConditionKind> {
        let present = |kind: &ConditionKind| match kind {
            ConditionKind::Failing => self.failing.is_some(),
            ConditionKind::Drifted => self.drifted.is_some(),
            ConditionKind::Held => self.held.is_some(),
            ConditionKind::Overdue => self.overdue.is_some(),
            ConditionKind::Unknown => self.unknown.is_some(),
        };
        ConditionKind::ALL.into_iter().filter(present).collect()
    }

    /// Whether nothing is the matter.
    pub fn is_empty(&self) -> bool {
        self.kinds().is_empty()
    }
}
