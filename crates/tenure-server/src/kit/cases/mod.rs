//! The cases: what a provisioner is put through, each with tenants of its own.

mod fences;
mod kills;
mod looks;
mod repeats;
mod tolerance;

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use super::bench::{Bench, Ended};

/// A case, by the name that `--only` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// A tenant is made, and what is said of it holds.
    Apply,
    /// The same again changes nothing.
    ApplyAgain,
    /// A new generation is put in force.
    Change,
    /// Looking changes nothing.
    Observe,
    /// What was altered behind the provisioner's back is seen, and put right.
    Tamper,
    /// Killed at any moment, the next apply makes it whole.
    Killed,
    /// Killed right after a line that it said, the same.
    KilledAfterLine,
    /// An older apply or destroy is refused.
    StaleFence,
    /// A late apply does not bring back what was destroyed.
    LateApply,
    /// Suspended, and resumed.
    Suspend,
    /// Destroyed twice, and destroyed though it never was.
    Destroy,
    /// Unknown fields are passed over, and an unknown contract is refused.
    Tolerance,
    /// Of two at once, the higher fence wins.
    TwoAtOnce,
}

impl Case {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 13] = [
        Self::Apply,
        Self::ApplyAgain,
        Self::Change,
        Self::Observe,
        Self::Tamper,
        Self::Killed,
        Self::KilledAfterLine,
        Self::StaleFence,
        Self::LateApply,
        Self::Suspend,
        Self::Destroy,
        Self::Tolerance,
        Self::TwoAtOnce,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::ApplyAgain => "apply-again",
            Self::Change => "change",
            Self::Observe => "observe",
            Self::Tamper => "tamper",
            Self::Killed => "killed",
            Self::KilledAfterLine => "killed-after-line",
            Self::StaleFence => "stale-fence",
            Self::LateApply => "late-apply",
            Self::Suspend => "suspend",
            Self::Destroy => "destroy",
            Self::Tolerance => "tolerance",
            Self::TwoAtOnce => "two-at-once",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Runs a case; if it ends well, with what else is worth knowing.
pub(super) async fn run(case: Case, bench: &Bench<'_>) -> Result<String, Ended> {
    match case {
        Case::Apply => repeats::apply(bench).await,
        Case::ApplyAgain => repeats::apply_again(bench).await,
        Case::Change => repeats::change(bench).await,
        Case::Observe => looks::observe(bench).await,
        Case::Tamper => looks::tamper(bench).await,
        Case::Killed => kills::at_moments(bench).await,
        Case::KilledAfterLine => kills::after_lines(bench).await,
        Case::StaleFence => fences::stale(bench).await,
        Case::LateApply => fences::late(bench).await,
        Case::Suspend => repeats::suspend(bench).await,
        Case::Destroy => repeats::destroy(bench).await,
        Case::Tolerance => tolerance::run(bench).await,
        Case::TwoAtOnce => fences::two_at_once(bench).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_one_name() {
        for case in Case::ALL {
            let typed = case.to_possible_value().unwrap();
            assert_eq!(typed.get_name(), case.as_str());
            assert_eq!(serde_json::to_value(case).unwrap(), case.as_str());
        }
        assert_eq!(Case::value_variants(), Case::ALL);
    }
}
