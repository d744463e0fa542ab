//! What came of the cases.

use std::time::Duration;

use serde::Serialize;

use super::bench::Ended;
use super::cases::Case;
use super::rules;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The provisioner keeps this part of the contract, as far as was tried.
    Ok,
    /// It breaks it.
    Failed,
    /// Something is missing that the case needs.
    Skipped,
}

impl Verdict {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// How the contract was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// What was asked of the provisioner.
    pub did: String,
    /// What came of it.
    pub came: String,
    /// What the contract says about it.
    pub contract: &'static str,
    /// The section of `docs/reference/provisioner.md` that says it.
    pub section: &'static str,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Which.
    pub case: Case,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took, in milliseconds, without the destroying at its end.
    pub duration_ms: u64,
    /// What else is worth knowing; empty if nothing is.
    pub note: String,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Breach>,
}

impl CaseReport {
    pub(super) fn new(
        case: Case,
        took: Duration,
        ended: Result<String, Ended>,
        left: &[String],
    ) -> Self {
        let (verdict, mut note, mut failure) = match ended {
            Ok(note) => (Verdict::Ok, note, None),
            Err(Ended::Skipped(why)) => (Verdict::Skipped, why, None),
            Err(Ended::Broke(breach)) => (Verdict::Failed, String::new(), Some(*breach)),
            Err(Ended::Stopped) => (Verdict::Skipped, "stopped".to_owned(), None),
        };
        if !left.is_empty() {
            let left = left.join("; ");
            failure.get_or_insert_with(|| {
                rules::ENDS.broken("destroy, to leave nothing behind".to_owned(), left.clone())
            });
            note = format!("left behind: {left}");
        }
        Self {
            case,
            verdict: if failure.is_some() {
                Verdict::Failed
            } else {
                verdict
            },
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            note,
            failure,
        }
    }
}

/// All cases that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The cases, in their order.
    pub cases: Vec<CaseReport>,
    /// How many ended well.
    pub ok: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were left out.
    pub skipped: usize,
    /// Whether none is missing because the kit was stopped.
    pub is_whole: bool,
    /// What could not be destroyed of a case that was stopped.
    pub left: Vec<String>,
}

impl Report {
    pub(super) fn push(&mut self, case: CaseReport) {
        match case.verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Skipped => self.skipped += 1,
        }
        self.cases.push(case);
    }
}
