//! What looking at a tenant does: drift, and not knowing.

use std::time::Duration;

use super::reports::noted;
use super::{Context, Correction, Decision, Outcome, Report, Step, at_once, at_rest};
use crate::drift::{Comparison, compare};
use crate::{
    Difference, Document, DriftMode, Drifted, Kind, Message, Pointer, Reason, State, Tenant,
    Timestamp, Unknown, Wake,
};

/// The longest list of paths that a message names.
const NAMED_MAX: usize = 5;

/// What a look at the tenant does that saw something, or nothing.
pub(super) fn seen(tenant: &Tenant, report: &Report, context: &Context) -> Decision {
    let Outcome::Succeeded {
        observed,
        resources,
        ..
    } = &report.outcome
    else {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    };
    let now = context.at.max(tenant.updated_at);
    let mut after = tenant.clone();
    if !tenant.is_at_rest() || report.generation < tenant.generation {
        after.observed = observed.clone().or(after.observed);
        after.resources = resources.clone().unwrap_or(after.resources);
        return noted(tenant, after, "Observed", at_once(tenant), context);
    }
    let wake = at_rest(tenant, &report.policy, context.at);
    after.waivers.retain(|waiver| waiver.until > now);
    match compared(&after, observed.as_ref(), report, now) {
        Comparison::Blind => {
            let message = Message::lossy(
                "none of the wanted paths was observed, which says nothing about them; see that the \
                 provisioner still reaches its target; if the tenant is gone, `tenure retry` makes it \
                 anew",
            );
            not_known(
                tenant,
                after,
                (&Reason::of("NothingObserved"), &message),
                wake,
                context,
            )
        }
        Comparison::InOrder => {
            after.observed = observed.clone().or(after.observed);
            after.resources = resources.clone().unwrap_or(after.resources);
            after.conditions.unknown = None;
            let reason = if after.conditions.drifted.take().is_some() {
                "DriftGone"
            } else {
                "Observed"
            };
            noted(tenant, after, reason, wake, context)
        }
        Comparison::Drifted(differences) => {
            after.observed = observed.clone().or(after.observed);
            after.resources = resources.clone().unwrap_or(after.resources);
            after.conditions.unknown = None;
            drifted(tenant, after, differences, report, context)
        }
    }
}

/// What a look at the tenant does that failed.
pub(super) fn missed(
    tenant: &Tenant,
    report: &Report,
    why: (&Reason, &Message),
    wait: Duration,
    context: &Context,
) -> Decision {
    if !tenant.is_at_rest() {
        return Decision::AlreadySo {
            wake: at_once(tenant),
        };
    }
    let wake = match at_rest(tenant, &report.policy, context.at) {
        Wake::Check(next) => Wake::Check(next.min(wait)),
        other => other,
    };
    not_known(tenant, tenant.clone(), why, wake, context)
}

fn not_known(
    tenant: &Tenant,
    mut after: Tenant,
    (reason, message): (&Reason, &Message),
    wake: Wake,
    context: &Context,
) -> Decision {
    let old = tenant.conditions.unknown.as_ref();
    if old.is_some_and(|old| old.reason == *reason) {
        return Decision::AlreadySo { wake };
    }
    let now = context.at.max(tenant.updated_at);
    after.conditions.unknown = Some(Unknown {
        reason: reason.clone(),
        message: message.clone(),
        since: old.map_or(now, |old| old.since),
    });
    let mut step = Step::new(Kind::Condition, "Unknown", message).wake(wake);
    step.reason = reason.clone();
    step.lead(tenant, after, context)
}

fn drifted(
    tenant: &Tenant,
    mut after: Tenant,
    differences: Vec<Difference>,
    report: &Report,
    context: &Context,
) -> Decision {
    let corrects = report.policy.drift.mode == DriftMode::Correct;
    let budget_spent = corrects && report.correction == Correction::Spent;
    let now = context.at.max(tenant.updated_at);
    let found = with_drift(tenant, differences, budget_spent, now);
    let message = in_a_sentence(&found);
    after.conditions.drifted = Some(found);
    if let (true, Correction::Granted(key)) = (corrects, &report.correction) {
        after.state = State::Updating;
        let decision = Step::new(Kind::State, "DriftCorrection", &message)
            .wake(at_once(tenant))
            .attempts_reset()
            .lead(tenant, after, context);
        return match decision {
            Decision::Change(change) => {
                Decision::Change(Box::new(change.with_key(Some(key.clone()))))
            }
            other => other,
        };
    }
    let wake = at_rest(tenant, &report.policy, context.at);
    if after == *tenant {
        return Decision::AlreadySo { wake };
    }
    let (kind, reason) = match (after.conditions == tenant.conditions, budget_spent) {
        (true, _) => (Kind::Observed, "Observed"),
        (false, true) => (Kind::Condition, "CorrectionBudgetSpent"),
        (false, false) => (Kind::Condition, "DriftObserved"),
    };
    Step::new(kind, reason, &message)
        .wake(wake)
        .attempts_reset()
        .lead(tenant, after, context)
}

/// Notes whether what an apply reports differs from what it was asked for.
pub(super) fn compare_applied(
    tenant: &Tenant,
    after: &mut Tenant,
    report: &Report,
    context: &Context,
) {
    let now = context.at.max(tenant.updated_at);
    let observed = match &report.outcome {
        Outcome::Succeeded { observed, .. } => observed.as_ref(),
        _ => None,
    };
    after.waivers.retain(|waiver| waiver.until > now);
    after.conditions.drifted = match compared(after, observed, report, now) {
        Comparison::Drifted(differences) => Some(with_drift(tenant, differences, false, now)),
        // An apply that reports nothing to compare says by its success that all is as asked.
        Comparison::InOrder | Comparison::Blind => None,
    };
}

fn compared(
    tenant: &Tenant,
    observed: Option<&Document>,
    report: &Report,
    now: Timestamp,
) -> Comparison {
    let policy = &report.policy.drift;
    if policy.mode == DriftMode::Off {
        return Comparison::InOrder;
    }
    let waived: Vec<&Pointer> = tenant.waivers.iter().map(|waiver| &waiver.path).collect();
    let observed = observed.map(Document::to_value);
    compare(
        &tenant.desired.to_value(),
        observed.as_ref(),
        policy,
        &waived,
        now,
    )
}

/// The condition, with what is known already since the time when it was first seen.
fn with_drift(
    tenant: &Tenant,
    mut differences: Vec<Difference>,
    budget_spent: bool,
    now: Timestamp,
) -> Drifted {
    let old = tenant.conditions.drifted.as_ref();
    for difference in &mut differences {
        let known = old.and_then(|old| old.paths.iter().find(|d| d.path == difference.path));
        difference.since = known.map_or(difference.since, |known| known.since);
    }
    Drifted {
        paths: differences,
        since: old.map_or(now, |old| old.since),
        budget_spent,
    }
}

fn in_a_sentence(drifted: &Drifted) -> Message {
    let paths = drifted.paths.iter().take(NAMED_MAX);
    let named: Vec<_> = paths.map(|difference| difference.path.as_str()).collect();
    let more = drifted.paths.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Message::lossy(&format!("not as wanted: {}{more}", named.join(", ")))
}
