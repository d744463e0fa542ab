//! What workers' reports do.

use super::{Context, Decision, Operation, Outcome, RefusalCode, Report, Step, at_once, refuse};
use crate::{Conditions, Failing, Kind, Message, State, Tenant, TenantName, Wake};

/// Decides what a worker's report does to a tenant.
///
/// A report of an older generation never makes a tenant `ready`: what was seen is noted, and the
/// work is due again for what is wanted now. Made under a lease, the change is written only while
/// that lease is live, which [`Records::commit`](crate::Records::commit) checks.
pub fn decide_report(tenant: &Tenant, report: &Report, context: &Context) -> Decision {
    if tenant.state == State::Deleted {
        return out_of_order(tenant, "is deleted; drop the result");
    }
    if report.generation > tenant.generation {
        return out_of_order(
            tenant,
            "was never asked for at this generation; drop the result",
        );
    }
    match &report.outcome {
        Outcome::Started => started(tenant, report, context),
        Outcome::Progressed { message } => progressed(tenant, message, context),
        Outcome::Succeeded {
            observed,
            resources,
            message,
        } => {
            let mut after = tenant.clone();
            after.observed = observed.clone().or(after.observed);
            after.resources = resources.clone().unwrap_or(after.resources);
            succeeded(tenant, after, report, message, context)
        }
        Outcome::Failed { .. } => failed(tenant, report, context),
    }
}

fn out_of_order(tenant: &Tenant, why: &str) -> Decision {
    let name: &TenantName = &tenant.name;
    refuse(
        RefusalCode::ReportOutOfOrder,
        Some(tenant),
        format!("{name} {why}"),
    )
}

fn started(tenant: &Tenant, report: &Report, context: &Context) -> Decision {
    if tenant.state != State::Requested || report.operation != Operation::Apply {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    }
    let mut after = tenant.clone();
    after.state = State::Provisioning;
    Step::new(Kind::State, "ProvisioningStarted", &Message::none()).lead(tenant, after, context)
}

fn progressed(tenant: &Tenant, message: &Message, context: &Context) -> Decision {
    if tenant.message == *message {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    }
    Step::new(Kind::State, "InProgress", message).lead(tenant, tenant.clone(), context)
}

fn succeeded(
    tenant: &Tenant,
    after: Tenant,
    report: &Report,
    message: &Message,
    context: &Context,
) -> Decision {
    match (report.operation, tenant.state) {
        (Operation::Destroy, State::Deleting) => destroyed(tenant, message, context),
        (Operation::Destroy, _) => out_of_order(tenant, "is not being deleted; drop the result"),
        (Operation::Apply, State::Requested) => {
            out_of_order(tenant, "was not reported as started; report that first")
        }
        // What an apply made before it was overtaken by a delete is what the destroy must find.
        (Operation::Apply, State::Deleting) => noted(
            tenant,
            after,
            "ObservedWhileDeleting",
            at_once(tenant),
            context,
        ),
        (Operation::Apply, _) => applied(tenant, after, report, message, context),
        (Operation::Observe, _) => observed(tenant, after, context),
    }
}

fn destroyed(tenant: &Tenant, message: &Message, context: &Context) -> Decision {
    let mut after = tenant.clone();
    after.state = State::Deleted;
    after.observed = None;
    after.resources = Vec::new();
    after.observed_generation = tenant.generation;
    after.conditions = Conditions::default();
    Step::new(Kind::State, "Deleted", message)
        .wake(Wake::Never)
        .attempts_reset()
        .lead(tenant, after, context)
}

fn applied(
    tenant: &Tenant,
    mut after: Tenant,
    report: &Report,
    message: &Message,
    context: &Context,
) -> Decision {
    after.observed_generation = tenant.observed_generation.max(report.generation);
    after.conditions.failing = None;
    after.conditions.overdue = None;
    after.conditions.unknown = None;
    if report.generation < tenant.generation {
        // Something newer is wanted. What runs although it should not is stopped from here on.
        if tenant.state == State::Provisioning && report.running && !tenant.running {
            after.state = State::Suspending;
            return Step::new(Kind::State, "SuspendRequested", message)
                .wake(at_once(tenant))
                .attempts_reset()
                .lead(tenant, after, context);
        }
        return noted(
            tenant,
            after,
            "OlderGenerationReached",
            at_once(tenant),
            context,
        );
    }
    after.state = if tenant.running {
        State::Ready
    } else {
        State::Suspended
    };
    if tenant.state == after.state {
        return noted(tenant, after, "Observed", Wake::Never, context);
    }
    let reason = match tenant.state {
        State::Provisioning => "Provisioned",
        State::Suspending => "Suspended",
        State::Resuming => "Resumed",
        _ => "Updated",
    };
    Step::new(Kind::State, reason, message)
        .wake(Wake::Never)
        .attempts_reset()
        .lead(tenant, after, context)
}

fn observed(tenant: &Tenant, mut after: Tenant, context: &Context) -> Decision {
    after.conditions.unknown = None;
    let wake = if tenant.is_at_rest() {
        Wake::Never
    } else {
        at_once(tenant)
    };
    noted(tenant, after, "Observed", wake, context)
}

/// Notes what was seen, if it is news.
fn noted(
    tenant: &Tenant,
    after: Tenant,
    reason: &'static str,
    wake: Wake,
    context: &Context,
) -> Decision {
    if after == *tenant {
        return Decision::AlreadySo { wake };
    }
    let kind = if after.conditions == tenant.conditions {
        Kind::Observed
    } else {
        Kind::Condition
    };
    Step::new(kind, reason, &Message::none())
        .wake(wake)
        .attempts_reset()
        .lead(tenant, after, context)
}

fn failed(tenant: &Tenant, report: &Report, context: &Context) -> Decision {
    let Outcome::Failed {
        reason,
        message,
        permanent,
        retry_after,
        attempt,
    } = &report.outcome
    else {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    };
    let policy = &report.policy.retry;
    if report.generation < tenant.generation {
        // What failed is no longer wanted.
        return Decision::AlreadySo {
            wake: at_once(tenant),
        };
    }
    let halted = *permanent || *attempt >= policy.attempts_max;
    let wait = policy.wait(tenant.id, tenant.generation, *attempt);
    let wake = match (halted, tenant.conditions.held.is_some()) {
        (true, _) | (_, true) => Wake::Never,
        (false, false) => Wake::After(retry_after.unwrap_or(wait).max(wait)),
    };
    let old = tenant.conditions.failing.as_ref();
    if old.is_some_and(|old| old.reason == *reason && old.halted == halted) {
        return Decision::AlreadySo { wake };
    }
    let mut after = tenant.clone();
    after.conditions.failing = Some(Failing {
        reason: reason.clone(),
        message: message.clone(),
        since: old.map_or_else(|| context.at.max(tenant.updated_at), |old| old.since),
        halted,
    });
    let mut step = Step::new(Kind::Condition, "Failing", message).wake(wake);
    step.reason = reason.clone();
    step.lead(tenant, after, context)
}
