//! What a record asks for, whoever works on it and whatever woke them.

use std::time::Duration;

use tenure::{DriftMode, Operation, Policy, State, Tenant, Timestamp, Wake};

/// What a record asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing, until something wakes it.
    Nothing,
    /// Nothing for now; this is when to look again.
    Later(Wake),
    /// This operation.
    Run(Operation),
}

/// What a tenant asks for at a time.
pub(crate) fn task(tenant: &Tenant, policy: &Policy, now: Timestamp) -> Task {
    let conditions = &tenant.conditions;
    if conditions.held.is_some() || tenant.state == State::Deleted {
        return Task::Nothing;
    }
    if conditions
        .failing
        .as_ref()
        .is_some_and(|failing| failing.halted)
    {
        let left = policy.deadlines.left(tenant, now);
        return left.map_or(Task::Nothing, |left| Task::Later(Wake::Check(left)));
    }
    if tenant.is_at_rest() {
        return match policy.drift.mode {
            DriftMode::Off => Task::Later(Wake::Check(policy.drift.wait(tenant.id, now))),
            DriftMode::Observe | DriftMode::Correct => Task::Run(Operation::Observe),
        };
    }
    Task::Run(match tenant.state {
        State::Deleting => Operation::Destroy,
        _ => Operation::Apply,
    })
}

/// Whether a tenant has passed the deadline of its state and nobody said so yet.
pub(crate) fn is_newly_overdue(tenant: &Tenant, policy: &Policy, now: Timestamp) -> bool {
    policy.deadlines.left(tenant, now) == Some(Duration::ZERO)
}
