//! What people's commands do.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Command, Context, Decision, RefusalCode, Step, Wanted, at_once, refuse, refuse_invalid,
};
use crate::{
    Conditions, Generation, Hash, Held, Kind, Message, Pointer, Reason, Revision, State, Tenant,
    Timestamp, Waiver, Wake,
};

/// Most waivers that one tenant may have.
const WAIVERS_MAX: usize = 100;

/// Decides what a command does to a tenant, or to the lack of one.
///
/// ```
/// use tenure::{Command, Context, Decision, Document, Message, SystemClock, Clock, Wanted};
/// let context = Context {
///     at: SystemClock.now(),
///     actor: "user:maria".parse()?,
///     request_id: uuid::Uuid::from_u128(1),
///     message: Message::none(),
/// };
/// let wanted = Wanted {
///     id: tenure::TenantId::new(uuid::Uuid::from_u128(2)),
///     name: "acme".parse()?,
///     class: None,
///     labels: None,
///     annotations: None,
///     desired: Document::parse(r#"{"plan": "gold"}"#)?,
///     running: None,
/// };
/// let Decision::Change(change) = tenure::decide(None, &Command::Create(wanted), &context) else {
///     unreachable!()
/// };
/// assert_eq!(change.tenant().state, tenure::State::Requested);
/// assert_eq!(change.line().revision.get(), 1);
/// # Ok::<(), tenure::Invalid>(())
/// ```
pub fn decide(tenant: Option<&Tenant>, command: &Command, context: &Context) -> Decision {
    let Some(tenant) = tenant else {
        return match command {
            Command::Create(wanted) | Command::Apply(wanted) => create(wanted, context),
            other => {
                // Making what is to be deleted is no advice.
                let help = match other {
                    Command::Delete => "",
                    _ => "; create it first",
                };
                let detail = format!("there is no such tenant to {}{help}", other.as_str());
                refuse(RefusalCode::TenantNotFound, None, detail)
            }
        };
    };
    match (tenant.state, command) {
        (_, Command::Create(wanted)) => create_again(tenant, wanted),
        (State::Deleting | State::Deleted, Command::Delete) => Decision::AlreadySo {
            wake: Wake::Unchanged,
        },
        (State::Deleted, other) => refuse(
            RefusalCode::TenantDeleted,
            Some(tenant),
            format!(
                "{} is deleted, so it can't {}; its name is free",
                tenant.name,
                other.as_str()
            ),
        ),
        (
            State::Deleting,
            Command::Apply(_)
            | Command::Patch(_)
            | Command::Suspend
            | Command::Resume
            | Command::Accept,
        ) => refuse(
            RefusalCode::TenantDeleting,
            Some(tenant),
            format!(
                "{} is being deleted, so it can't {}; wait until it is gone, then create it anew",
                tenant.name,
                command.as_str()
            ),
        ),
        (_, Command::Apply(wanted)) => apply(tenant, wanted, context),
        (_, Command::Patch(patch)) => patch_desired(tenant, patch, context),
        (
            _,
            Command::Annotate {
                labels,
                annotations,
            },
        ) => annotate_with(tenant, labels, annotations, context),
        (_, Command::Suspend) => run(tenant, false, "SuspendRequested", context),
        (_, Command::Resume) => run(tenant, true, "ResumeRequested", context),
        (_, Command::Delete) => delete(tenant, context),
        (_, Command::Retry) => retry(tenant, context),
        (_, Command::Hold) => hold(tenant, context),
        (_, Command::Release) => release(tenant, context),
        (_, Command::Accept) => accept(tenant, context),
        (_, Command::Waive { path, until }) => waive(tenant, path, *until, context),
    }
}

fn create(wanted: &Wanted, context: &Context) -> Decision {
    let tenant = Tenant {
        id: wanted.id,
        name: wanted.name.clone(),
        class: wanted.class.clone().unwrap_or_default(),
        labels: wanted.labels.clone().unwrap_or_default(),
        annotations: wanted.annotations.clone().unwrap_or_default(),
        desired: wanted.desired.clone(),
        running: wanted.running.unwrap_or(true),
        generation: Generation::new(1),
        observed: None,
        observed_generation: Generation::new(0),
        resources: Vec::new(),
        state: State::Requested,
        state_since: context.at,
        reason: Reason::of("Requested"),
        message: Message::none(),
        conditions: Conditions::default(),
        steps: Vec::new(),
        waivers: Vec::new(),
        revision: Revision::new(1),
        created_at: context.at,
        updated_at: context.at,
        deleted_at: None,
        hash: Hash::new([0; 32]),
    };
    Step::new(Kind::Created, "Requested", &context.message)
        .wake(Wake::Now)
        .write(None, tenant, context)
}

/// Asking again for a tenant that is as it was asked for is no mistake: the reply may have been lost.
fn create_again(tenant: &Tenant, wanted: &Wanted) -> Decision {
    if tenant.is_living() && is_as_wanted(tenant, wanted) {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    }
    let detail = format!("{} exists already; apply changes it", tenant.name);
    refuse(RefusalCode::TenantExists, Some(tenant), detail)
}

fn is_as_wanted(tenant: &Tenant, wanted: &Wanted) -> bool {
    wanted
        .class
        .as_ref()
        .is_none_or(|class| *class == tenant.class)
        && wanted
            .labels
            .as_ref()
            .is_none_or(|labels| *labels == tenant.labels)
        && wanted
            .annotations
            .as_ref()
            .is_none_or(|a| *a == tenant.annotations)
        && wanted.desired.hash() == tenant.desired.hash()
        && wanted
            .running
            .is_none_or(|running| running == tenant.running)
}

fn apply(tenant: &Tenant, wanted: &Wanted, context: &Context) -> Decision {
    if wanted
        .class
        .as_ref()
        .is_some_and(|class| *class != tenant.class)
    {
        let detail = format!(
            "{} is of class {} for ever; delete it and create it anew to change that",
            tenant.name, tenant.class
        );
        return refuse(RefusalCode::ClassFixed, Some(tenant), detail);
    }
    let mut after = tenant.clone();
    after.labels = wanted.labels.clone().unwrap_or(after.labels);
    after.annotations = wanted.annotations.clone().unwrap_or(after.annotations);
    after.desired = wanted.desired.clone();
    after.running = wanted.running.unwrap_or(after.running);
    want(tenant, after, "DesiredChanged", context)
}

fn patch_desired(tenant: &Tenant, patch: &Map<String, Value>, context: &Context) -> Decision {
    let mut after = tenant.clone();
    match tenant.desired.merge(patch) {
        Ok(desired) => after.desired = desired,
        Err(invalid) => return refuse_invalid(Some(tenant), &invalid),
    }
    want(tenant, after, "DesiredChanged", context)
}

fn run(tenant: &Tenant, running: bool, reason: &'static str, context: &Context) -> Decision {
    let mut after = tenant.clone();
    after.running = running;
    want(tenant, after, reason, context)
}

/// Asks for a tenant that differs from the old in what is wanted of it, if it differs.
fn want(tenant: &Tenant, mut after: Tenant, reason: &'static str, context: &Context) -> Decision {
    if after.desired.hash() == tenant.desired.hash() && after.running == tenant.running {
        return annotate(tenant, after, context);
    }
    after.generation = tenant.generation.next();
    after.state = wanted_state(tenant, after.running);
    after.conditions.failing = None;
    // They were about what was wanted before.
    after.conditions.drifted = None;
    after.steps = Vec::new();
    Step::new(Kind::Desired, reason, &context.message)
        .wake(at_once(&after))
        .attempts_reset()
        .lead(tenant, after, context)
}

/// The state of a tenant once something new is wanted of it.
fn wanted_state(tenant: &Tenant, running: bool) -> State {
    match (tenant.state, running) {
        // What is not there yet is made as it is wanted now, running or not.
        (State::Requested, _) => State::Requested,
        (State::Provisioning, _) => State::Provisioning,
        (State::Ready, true) | (State::Suspended, false) => State::Updating,
        (State::Updating, running) if running == tenant.running => State::Updating,
        (State::Updating | State::Suspending | State::Suspended | State::Resuming, true) => {
            State::Resuming
        }
        (State::Ready | State::Updating | State::Suspending | State::Resuming, false) => {
            State::Suspending
        }
        (State::Deleting | State::Deleted, _) => tenant.state,
    }
}

fn annotate_with(
    tenant: &Tenant,
    labels: &BTreeMap<String, Option<String>>,
    annotations: &BTreeMap<String, Option<String>>,
    context: &Context,
) -> Decision {
    let after = || {
        let mut after = tenant.clone();
        after.labels = tenant.labels.merge(labels)?;
        after.annotations = tenant.annotations.merge(annotations)?;
        Ok(after)
    };
    match after() {
        Ok(after) => annotate(tenant, after, context),
        Err(invalid) => refuse_invalid(Some(tenant), &invalid),
    }
}

fn annotate(tenant: &Tenant, after: Tenant, context: &Context) -> Decision {
    if after.labels == tenant.labels && after.annotations == tenant.annotations {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    }
    Step::new(Kind::Metadata, "MetadataChanged", &context.message).lead(tenant, after, context)
}

fn delete(tenant: &Tenant, context: &Context) -> Decision {
    let mut after = tenant.clone();
    after.generation = tenant.generation.next();
    after.state = State::Deleting;
    after.conditions = Conditions {
        held: tenant.conditions.held.clone(),
        ..Default::default()
    };
    after.steps = Vec::new();
    after.waivers = Vec::new();
    Step::new(Kind::Desired, "DeleteRequested", &context.message)
        .wake(at_once(&after))
        .attempts_reset()
        .lead(tenant, after, context)
}

fn retry(tenant: &Tenant, context: &Context) -> Decision {
    let mut after = tenant.clone();
    let doubted = tenant.conditions.drifted.is_some() || tenant.conditions.unknown.is_some();
    let kind = if let Some(failing) = after.conditions.failing.as_mut() {
        failing.halted = false;
        Kind::Condition
    } else if tenant.is_at_rest() && doubted {
        after.state = State::Updating;
        Kind::State
    } else {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    };
    Step::new(kind, "RetryRequested", &context.message)
        .wake(at_once(tenant))
        .attempts_reset()
        .lead(tenant, after, context)
}

fn hold(tenant: &Tenant, context: &Context) -> Decision {
    if tenant.conditions.held.is_some() {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    }
    let mut after = tenant.clone();
    after.conditions.held = Some(Held {
        by: context.actor.clone(),
        message: context.message.clone(),
        since: context.at.max(tenant.updated_at),
    });
    Step::new(Kind::Condition, "Held", &context.message).lead(tenant, after, context)
}

fn release(tenant: &Tenant, context: &Context) -> Decision {
    if tenant.conditions.held.is_none() {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    }
    let mut after = tenant.clone();
    after.conditions.held = None;
    let halted = tenant
        .conditions
        .failing
        .as_ref()
        .is_some_and(|failing| failing.halted);
    let wake = if halted { Wake::Unchanged } else { Wake::Now };
    Step::new(Kind::Condition, "Released", &context.message)
        .wake(wake)
        .lead(tenant, after, context)
}

/// Where nothing has drifted, or only from what has no value, all is accepted already.
fn accept(tenant: &Tenant, context: &Context) -> Decision {
    let mut after = tenant.clone();
    let Value::Object(mut desired) = tenant.desired.to_value() else {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    };
    let observed = tenant.observed.as_ref().map(crate::Document::to_value);
    for difference in tenant.conditions.drifted.iter().flat_map(|d| &d.paths) {
        let found = observed.as_ref().and_then(|o| difference.path.find(o));
        difference.path.set(&mut desired, found.cloned());
    }
    match crate::Document::from_value(&Value::Object(desired)) {
        Ok(desired) => after.desired = desired,
        Err(invalid) => return refuse_invalid(Some(tenant), &invalid),
    }
    want(tenant, after, "DriftAccepted", context)
}

fn waive(tenant: &Tenant, path: &Pointer, until: Timestamp, context: &Context) -> Decision {
    let now = context.at.max(tenant.updated_at);
    let mut after = tenant.clone();
    let old = tenant.waivers.iter().find(|waiver| waiver.path == *path);
    if old.is_some_and(|old| old.until == until) || (old.is_none() && until <= now) {
        return Decision::AlreadySo {
            wake: Wake::Unchanged,
        };
    }
    after
        .waivers
        .retain(|waiver| waiver.path != *path && waiver.until > now);
    let reason = if until > now {
        after.waivers.push(Waiver {
            path: path.clone(),
            until,
            by: context.actor.clone(),
            message: context.message.clone(),
        });
        "DriftWaived"
    } else {
        "WaiverEnded"
    };
    if after.waivers.len() > WAIVERS_MAX {
        let detail = format!("{} has {WAIVERS_MAX} waivers already; end one", tenant.name);
        return refuse(RefusalCode::Invalid, Some(tenant), detail);
    }
    if let Some(mut drifted) = after.conditions.drifted.take() {
        drifted
            .paths
            .retain(|difference| until <= now || !path.covers(&difference.path));
        after.conditions.drifted = (!drifted.paths.is_empty()).then_some(drifted);
    }
    Step::new(Kind::Condition, reason, &context.message).lead(tenant, after, context)
}
