//! What workers' reports do.

use std::time::Duration;

use super::{
    Context, Decision, Operation, Outcome, RefusalCode, Report, Step, at_once, at_rest, looks,
    refuse,
};
use crate::{Conditions, Failing, Kind, Message, Since, State, Tenant, TenantName, Wake};

/// Decides what a worker's report does to a tenant.
///
/// A report of an older generation never makes a tenant `ready`: what was seen is noted, and the
/// work is due again for what is wanted now. Made under a lease, the change is written only while
/// that lease is live, which [`Records::commit`](crate::Records::commit) checks.
///
/// A failed look at a tenant that rests makes it `unknown`, never `failing`: what is wanted of it was
/// reached, and nothing says that it is gone.
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
        Outcome::Waiting => waiting(tenant, report, context),
        Outcome::Progressed { message } => progressed(tenant, report, message, context),
        Outcome::Succeeded { .. } => succeeded(tenant, report, context),
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

fn already(wake: Wake) -> Decision {
    Decision::AlreadySo { wake }
}

fn started(tenant: &Tenant, report: &Report, context: &Context) -> Decision {
    if tenant.state != State::Requested || report.operation != Operation::Apply {
        return already(Wake::Unchanged);
    }
    let mut after = tenant.clone();
    after.state = State::Provisioning;
    Step::new(Kind::State, "ProvisioningStarted", &Message::none()).lead(tenant, after, context)
}

/// Says of a tenant that is past its deadline that it is.
fn waiting(tenant: &Tenant, report: &Report, context: &Context) -> Decision {
    let mut after = tenant.clone();
    let Some(message) = mark_overdue(&mut after, report, context) else {
        return already(Wake::Unchanged);
    };
    Step::new(Kind::Condition, "Overdue", &message).lead(tenant, after, context)
}

/// Marks a tenant that has become overdue, and says so in a sentence.
fn mark_overdue(after: &mut Tenant, report: &Report, context: &Context) -> Option<Message> {
    let deadlines = &report.policy.deadlines;
    if deadlines.left(after, context.at) != Some(Duration::ZERO) {
        return None;
    }
    let deadline = deadlines.of(after.state)?;
    let now = context.at.max(after.updated_at);
    after.conditions.overdue = Some(Since { since: now });
    Some(Message::lossy(&format!(
        "{} for more than the {} s that its class gives it",
        after.state,
        deadline.as_secs()
    )))
}

fn progressed(tenant: &Tenant, report: &Report, message: &Message, context: &Context) -> Decision {
    let mut after = with_steps(tenant, report);
    let told = in_steps(&after.steps);
    // Where the provisioner says nothing else, its steps say how far it is.
    let message = if message.is_empty() { &told } else { message };
    if tenant.message == *message && after.steps == tenant.steps {
        return already(Wake::Unchanged);
    }
    // Its line says both, should it become overdue just now.
    mark_overdue(&mut after, report, context);
    Step::new(Kind::State, "InProgress", message).lead(tenant, after, context)
}

/// How far an operation is, by its steps: `2 of 5 steps done; copy files running (40 %)`.
fn in_steps(steps: &[crate::Step]) -> Message {
    use crate::StepState::{Done, Running, Skipped};
    if steps.is_empty() {
        return Message::none();
    }
    let over = steps
        .iter()
        .filter(|step| matches!(step.state, Done | Skipped))
        .count();
    let mut text = format!("{over} of {} steps done", steps.len());
    if let Some(step) = steps.iter().find(|step| step.state == Running) {
        text = format!("{text}; {} running", step.name);
        if let Some(percent) = step.percent {
            text = format!("{text} ({percent} %)");
        }
    }
    Message::lossy(&text)
}

/// The tenant with the steps that a report brings, if it is about what is wanted now.
fn with_steps(tenant: &Tenant, report: &Report) -> Tenant {
    let mut after = tenant.clone();
    if !report.steps.is_empty() && report.generation == tenant.generation {
        after.steps.clone_from(&report.steps);
    }
    after
}

fn succeeded(tenant: &Tenant, report: &Report, context: &Context) -> Decision {
    let Outcome::Succeeded {
        observed,
        resources,
        message,
    } = &report.outcome
    else {
        return already(Wake::Unchanged);
    };
    let mut after = with_steps(tenant, report);
    if report.operation == Operation::Observe {
        return looks::seen(tenant, report, context);
    }
    after.observed = observed.clone().or(after.observed);
    after.resources = resources.clone().unwrap_or(after.resources);
    match (report.operation, tenant.state) {
        (Operation::Destroy, State::Deleting) => destroyed(tenant, after, message, context),
        (Operation::Destroy, _) => out_of_order(tenant, "is not being deleted; drop the result"),
        (_, State::Requested) => {
            out_of_order(tenant, "was not reported as started; report that first")
        }
        // What an apply made before it was overtaken by a delete is what the destroy must find.
        (_, State::Deleting) => noted(
            tenant,
            after,
            "ObservedWhileDeleting",
            at_once(tenant),
            context,
        ),
        _ => applied(tenant, after, report, message, context),
    }
}

fn destroyed(tenant: &Tenant, mut after: Tenant, message: &Message, context: &Context) -> Decision {
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
    looks::compare_applied(tenant, &mut after, report, context);
    after.state = if tenant.running {
        State::Ready
    } else {
        State::Suspended
    };
    let wake = at_rest(tenant, &report.policy, context.at);
    if tenant.state == after.state {
        return noted(tenant, after, "Observed", wake, context);
    }
    let reason = match tenant.state {
        State::Provisioning => "Provisioned",
        State::Suspending => "Suspended",
        State::Resuming => "Resumed",
        _ => "Updated",
    };
    Step::new(Kind::State, reason, message)
        .wake(wake)
        .attempts_reset()
        .lead(tenant, after, context)
}

/// Notes what was seen, if it is news.
pub(super) fn noted(
    tenant: &Tenant,
    after: Tenant,
    reason: &'static str,
    wake: Wake,
    context: &Context,
) -> Decision {
    if after == *tenant {
        return already(wake);
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
        return already(Wake::Unchanged);
    };
    if report.generation < tenant.generation {
        // What failed is no longer wanted.
        return already(at_once(tenant));
    }
    let policy = &report.policy;
    let wait = policy.retry.wait(tenant.id, tenant.generation, *attempt);
    let wait = retry_after.unwrap_or(wait).max(wait);
    if report.operation == Operation::Observe {
        return looks::missed(tenant, report, (reason, message), wait, context);
    }
    let left = policy.deadlines.left(tenant, context.at);
    let left = left.filter(|left| !left.is_zero());
    let halted = *permanent || *attempt >= policy.retry.attempts_max;
    let wake = match (halted, tenant.conditions.held.is_some()) {
        (_, true) => Wake::Never,
        // Nobody tries again, but someone must say so when the deadline has passed.
        (true, false) => left.map_or(Wake::Never, Wake::Check),
        (false, false) => Wake::After(wait),
    };
    let mut after = with_steps(tenant, report);
    let overdue = mark_overdue(&mut after, report, context).is_some();
    let old = tenant.conditions.failing.as_ref();
    let same_steps = || {
        let shape = |tenant: &Tenant| -> Vec<_> {
            let steps = tenant.steps.iter();
            steps.map(|step| (step.name.clone(), step.state)).collect()
        };
        shape(&after) == shape(tenant)
    };
    if !overdue
        && old.is_some_and(|old| old.reason == *reason && old.halted == halted)
        && same_steps()
    {
        return already(wake);
    }
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
