//! What looking at a tenant leads to, case by case.

use std::time::Duration;

use super::table::{changed, context, done, fail, order, report, tenant_in};
use super::*;
use crate::{DriftMode, DriftPolicy, Hash};

const HOUR: Duration = Duration::from_hours(1);

fn policy(mode: DriftMode) -> Policy {
    Policy {
        drift: DriftPolicy {
            mode,
            ..DriftPolicy::default()
        },
        ..Policy::default()
    }
}

fn look(tenant: &Tenant, observed: Option<&str>, mode: DriftMode) -> Report {
    let outcome = Outcome::Succeeded {
        observed: observed.map(|text| Document::parse(text).unwrap()),
        resources: None,
        message: Message::none(),
    };
    Report {
        policy: policy(mode),
        running: tenant.running,
        ..report(Operation::Observe, tenant.generation.get(), outcome)
    }
}

fn later(hours: u64) -> Context {
    Context {
        at: context().at.plus(HOUR * u32::try_from(hours).unwrap()),
        ..context()
    }
}

fn seen(tenant: &Tenant, observed: &str) -> Change {
    let report = look(tenant, Some(observed), DriftMode::Observe);
    changed(decide_report(tenant, &report, &later(1)))
}

fn is_check(wake: Wake) -> bool {
    matches!(wake, Wake::Check(after) if after >= HOUR.mul_f64(0.8) && after <= HOUR.mul_f64(1.2))
}

#[test]
fn drift_is_history_once_with_both_values_and_the_time_of_its_first_sight() {
    for state in [State::Ready, State::Suspended] {
        let tenant = tenant_in(state);
        let first = seen(&tenant, r#"{"plan":"silver"}"#);
        assert_eq!(first.line().reason.as_str(), "DriftObserved");
        assert_eq!(first.line().message.as_str(), "not as wanted: /plan");
        assert!(is_check(first.wake()));
        let drifted = first.tenant().conditions.drifted.clone().unwrap();
        assert_eq!(
            (&drifted.paths[0].wanted, &drifted.paths[0].found),
            (&"gold".into(), &"silver".into())
        );
        let again = look(
            first.tenant(),
            Some(r#"{"plan":"silver"}"#),
            DriftMode::Observe,
        );
        let again = decide_report(first.tenant(), &again, &later(2));
        assert!(matches!(again, Decision::AlreadySo { wake } if is_check(wake)));
        let other = seen(first.tenant(), r#"{"plan":"bronze"}"#);
        let other = other.tenant().conditions.drifted.clone().unwrap();
        assert_eq!(
            (other.since, other.paths[0].since),
            (drifted.since, drifted.since)
        );
        let gone = seen(first.tenant(), r#"{"plan":"gold"}"#);
        assert_eq!(gone.line().reason.as_str(), "DriftGone");
        assert_eq!(gone.tenant().conditions.drifted, None);
        assert_eq!(gone.tenant().state, state);
    }
}

#[test]
fn seeing_nothing_is_unknown_and_keeps_what_was_known() {
    let ready = tenant_in(State::Ready);
    let drifted = seen(&ready, r#"{"plan":"silver"}"#);
    for observed in [None, Some("{}"), Some(r#"{"plan":null}"#)] {
        for mode in [DriftMode::Observe, DriftMode::Correct] {
            let mut report = look(drifted.tenant(), observed, mode);
            report.correction = Correction::Granted(key());
            let change = changed(decide_report(drifted.tenant(), &report, &later(2)));
            let after = change.tenant();
            assert_eq!(change.line().reason.as_str(), "NothingObserved");
            assert_eq!(after.state, State::Ready);
            assert_eq!(after.observed, drifted.tenant().observed);
            assert_eq!(
                after.conditions.drifted,
                drifted.tenant().conditions.drifted
            );
            assert!(after.conditions.unknown.is_some() && change.key().is_none());
            let back = seen(after, r#"{"plan":"gold"}"#);
            assert!(back.tenant().conditions.is_empty());
        }
    }
}

#[test]
fn a_look_that_fails_is_unknown_and_never_failing() {
    for state in [State::Ready, State::Suspended] {
        let tenant = tenant_in(state);
        let report = report(Operation::Observe, tenant.generation.get(), fail(true));
        let change = changed(decide_report(&tenant, &report, &later(1)));
        let after = change.tenant();
        let unknown = after.conditions.unknown.clone().unwrap();
        assert_eq!((after.state, unknown.reason.as_str()), (state, "NoRoom"));
        assert_eq!(after.conditions.failing, None);
        assert!(matches!(change.wake(), Wake::Check(after) if after <= HOUR));
        let again = decide_report(after, &report, &later(2));
        assert!(matches!(
            again,
            Decision::AlreadySo {
                wake: Wake::Check(_)
            }
        ));
    }
    // A tenant that does not rest is at work, and a failed look says nothing new of it.
    let updating = tenant_in(State::Updating);
    let report = report(Operation::Observe, updating.generation.get(), fail(true));
    let decision = decide_report(&updating, &report, &context());
    assert!(matches!(decision, Decision::AlreadySo { wake: Wake::Now }));
}

fn key() -> IdempotencyKey {
    IdempotencyKey::new("system:drift/default", "1/1", Hash::of(b"1"), HOUR).unwrap()
}

#[test]
fn drift_is_corrected_only_by_a_class_that_corrects_and_within_its_budget() {
    let ready = tenant_in(State::Ready);
    let judge = |mode: DriftMode, correction: Correction| {
        let mut report = look(&ready, Some(r#"{"plan":"silver"}"#), mode);
        report.correction = correction;
        changed(decide_report(&ready, &report, &later(1)))
    };
    let observed = judge(DriftMode::Observe, Correction::Granted(key()));
    assert_eq!(
        (observed.tenant().state, observed.key()),
        (State::Ready, None)
    );
    let spent = judge(DriftMode::Correct, Correction::Spent);
    assert_eq!(spent.line().reason.as_str(), "CorrectionBudgetSpent");
    let drifted = spent.tenant().conditions.drifted.clone().unwrap();
    assert!(drifted.budget_spent && spent.tenant().state == State::Ready);
    let corrected = judge(DriftMode::Correct, Correction::Granted(key()));
    assert_eq!(corrected.tenant().state, State::Updating);
    assert_eq!(corrected.line().reason.as_str(), "DriftCorrection");
    assert_eq!(
        (corrected.key(), corrected.wake()),
        (Some(&key()), Wake::Now)
    );
    assert!(corrected.tenant().conditions.drifted.is_some());
    let generation = ready.generation;
    assert_eq!(corrected.tenant().generation, generation);
    let done = Outcome::Succeeded {
        observed: Some(Document::parse(r#"{"plan":"gold"}"#).unwrap()),
        resources: None,
        message: Message::none(),
    };
    let done = report(Operation::Apply, generation.get(), done);
    let after = changed(decide_report(corrected.tenant(), &done, &later(2)));
    assert_eq!(after.tenant().state, State::Ready);
    assert!(after.tenant().conditions.is_empty() && is_check(after.wake()));
}

#[test]
fn a_class_that_does_not_look_for_drift_has_none() {
    let ready = tenant_in(State::Ready);
    let report = look(&ready, Some(r#"{"plan":"silver"}"#), DriftMode::Off);
    let change = changed(decide_report(&ready, &report, &later(1)));
    assert_eq!(change.line().kind, Kind::Observed);
    assert!(change.tenant().conditions.is_empty());
}

#[test]
fn p8_retry_brings_what_has_drifted_or_is_unknown_to_what_is_wanted() {
    let ready = tenant_in(State::Ready);
    let drifted = seen(&ready, r#"{"plan":"silver"}"#);
    let unknown = seen(&ready, "{}");
    for tenant in [drifted.tenant(), unknown.tenant()] {
        let change = changed(decide(Some(tenant), &Command::Retry, &later(2)));
        let after = change.tenant();
        assert_eq!((after.state, change.wake()), (State::Updating, Wake::Now));
        assert_eq!(after.generation, ready.generation);
    }
}

#[test]
fn accepting_takes_over_what_was_found_and_nothing_else() {
    let mut ready = tenant_in(State::Ready);
    let text = r#"{"plan":"gold","seats":3,"limits":{"a":1}}"#;
    ready.desired = Document::parse(text).unwrap();
    let drifted = seen(
        &ready,
        r#"{"plan":"silver","limits":{"a":1,"b":2},"other":1}"#,
    );
    let change = changed(decide(Some(drifted.tenant()), &Command::Accept, &later(2)));
    let after = change.tenant();
    assert_eq!(
        after.desired.as_str(),
        r#"{"limits":{"a":1},"plan":"silver"}"#
    );
    assert_eq!(
        (after.state, after.generation),
        (State::Updating, ready.generation.next())
    );
    assert_eq!(change.line().reason.as_str(), "DriftAccepted");
    assert_eq!(after.conditions.drifted, None);
}

#[test]
fn a_waived_path_counts_again_when_its_time_is_over() {
    let ready = tenant_in(State::Ready);
    let drifted = seen(&ready, r#"{"plan":"silver"}"#);
    let until = later(4).at;
    let waive = |until| Command::Waive {
        path: "/plan".parse().unwrap(),
        until,
    };
    let waived = order(drifted.tenant(), &waive(until));
    assert_eq!(waived.conditions.drifted, None);
    assert_eq!((waived.waivers.len(), waived.state), (1, State::Ready));
    let report = look(&waived, Some(r#"{"plan":"silver"}"#), DriftMode::Correct);
    let during = decide_report(&waived, &report, &later(3));
    assert!(matches!(during, Decision::AlreadySo { .. }), "{during:?}");
    let over = changed(decide_report(&waived, &report, &later(5)));
    assert!(over.tenant().conditions.drifted.is_some());
    assert!(over.tenant().waivers.is_empty());
    assert!(order(&waived, &waive(context().at)).waivers.is_empty());
}

#[test]
fn a_tenant_past_its_deadline_is_overdue_until_its_state_changes() {
    let provisioning = tenant_in(State::Provisioning);
    let waiting = report(Operation::Apply, 1, Outcome::Waiting);
    let soon = decide_report(&provisioning, &waiting, &context());
    assert!(matches!(soon, Decision::AlreadySo { .. }));
    let overdue = changed(decide_report(&provisioning, &waiting, &later(1)));
    assert_eq!(overdue.line().reason.as_str(), "Overdue");
    assert_eq!(
        overdue.tenant().conditions.overdue.as_ref().unwrap().since,
        later(1).at
    );
    let again = decide_report(overdue.tenant(), &waiting, &later(2));
    assert!(matches!(again, Decision::AlreadySo { .. }));
    // A failure that is told late says both.
    let failed = report(Operation::Apply, 1, fail(false));
    let both = changed(decide_report(&provisioning, &failed, &later(1)));
    assert_eq!(both.tenant().conditions.kinds().len(), 2);
    let deleted = order(overdue.tenant(), &Command::Delete);
    assert_eq!(deleted.conditions.overdue, None);
}

#[test]
fn steps_stay_when_their_operation_ends_and_go_with_a_new_generation() {
    let step = |state| crate::Step::new("copy", state, Message::none(), None).unwrap();
    let provisioning = tenant_in(State::Provisioning);
    let with = |steps: Vec<crate::Step>, outcome| Report {
        steps,
        ..report(Operation::Apply, 1, outcome)
    };
    let told = with(
        vec![step(crate::StepState::Running)],
        Outcome::Progressed {
            message: Message::none(),
        },
    );
    let told = changed(decide_report(&provisioning, &told, &context()));
    assert_eq!(told.tenant().steps[0].state, crate::StepState::Running);
    assert_eq!(
        told.line().message.as_str(),
        "0 of 1 steps done; copy running"
    );
    let failed = with(vec![step(crate::StepState::Failed)], fail(false));
    let failed = changed(decide_report(told.tenant(), &failed, &context()));
    assert_eq!(failed.tenant().steps[0].state, crate::StepState::Failed);
    let same = with(vec![step(crate::StepState::Failed)], fail(false));
    let same = decide_report(failed.tenant(), &same, &context());
    assert!(matches!(same, Decision::AlreadySo { .. }));
    let ready = changed(decide_report(
        failed.tenant(),
        &report(Operation::Apply, 1, done()),
        &context(),
    ));
    assert_eq!(ready.tenant().steps.len(), 1);
    assert!(order(ready.tenant(), &Command::Suspend).steps.is_empty());
}
