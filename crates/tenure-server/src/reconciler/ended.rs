//! The line that each run leaves in the log when it has ended. What its provisioner said is not in it:
//! that may hold what is secret, and stands in the tenant's history.

use std::time::Duration;

use tenure::{Outcome, Report, Tenant};

/// Says what came of a run, once its report is written. The span that it is called in says whose run it
/// was: tenant, class and fence.
///
/// `after` is the tenant as the report made it, if that was news; `took` how long the run took, if it ran
/// here.
pub(crate) fn note(report: &Report, after: Option<&Tenant>, attempt: u32, took: Option<Duration>) {
    let operation = report.operation.as_str();
    let took_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    match &report.outcome {
        Outcome::Succeeded { .. } => {
            let reason = after.map(|tenant| tenant.reason.as_str());
            tracing::info!(
                operation,
                outcome = "done",
                reason,
                attempt,
                took_ms,
                "an operation has ended"
            );
        }
        Outcome::Failed { reason, .. } => {
            let failing = after.and_then(|tenant| tenant.conditions.failing.as_ref());
            let halted = failing.is_some_and(|failing| failing.halted);
            tracing::warn!(
                operation,
                outcome = if halted { "halted" } else { "failed" },
                reason = reason.as_str(),
                attempt,
                took_ms,
                "an operation has ended"
            );
        }
        // It goes on.
        Outcome::Started | Outcome::Waiting | Outcome::Progressed { .. } => {}
    }
}
