//! Every pair of state and command, and of state and report, in one table each.

use std::fmt::Write;
use std::time::Duration;

use super::*;
use crate::{Difference, Drifted, Hash};

/// A tenant in each state, got there by commands and reports alone.
pub(super) fn tenant_in(state: State) -> Tenant {
    let ready = || succeed(&step(&new_tenant(), &start(1)), 1);
    let suspending = || order(&ready(), &Command::Suspend);
    let suspended = || succeed(&suspending(), 2);
    match state {
        State::Requested => new_tenant(),
        State::Provisioning => step(&new_tenant(), &start(1)),
        State::Ready => ready(),
        State::Updating => order(&ready(), &Command::Patch(patch("plan", "silver"))),
        State::Suspending => suspending(),
        State::Suspended => suspended(),
        State::Resuming => order(&suspended(), &Command::Resume),
        State::Deleting => order(&ready(), &Command::Delete),
        State::Deleted => {
            let deleting = order(&ready(), &Command::Delete);
            step(&deleting, &report(Operation::Destroy, 2, done()))
        }
    }
}

pub(super) fn context() -> Context {
    Context {
        at: "2026-11-22T20:00:00Z".parse().unwrap(),
        actor: "user:test".parse().unwrap(),
        request_id: Uuid::from_u128(1),
        message: Message::none(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        id: TenantId::new(Uuid::from_u128(7)),
        name: "acme".parse().unwrap(),
        class: None,
        labels: None,
        annotations: None,
        desired: Document::parse(r#"{"plan":"gold"}"#).unwrap(),
        running: None,
    }
}

pub(super) fn changed(decision: Decision) -> Change {
    match decision {
        Decision::Change(change) => *change,
        other => panic!("expected a change, got {other:?}"),
    }
}

fn new_tenant() -> Tenant {
    changed(decide(None, &Command::Create(wanted()), &context()))
        .tenant()
        .clone()
}

pub(super) fn order(tenant: &Tenant, command: &Command) -> Tenant {
    changed(decide(Some(tenant), command, &context()))
        .tenant()
        .clone()
}

fn step(tenant: &Tenant, report: &Report) -> Tenant {
    changed(decide_report(tenant, report, &context()))
        .tenant()
        .clone()
}

pub(super) fn report(operation: Operation, generation: u64, outcome: Outcome) -> Report {
    Report {
        operation,
        generation: Generation::new(generation),
        running: true,
        outcome,
        steps: Vec::new(),
        policy: Policy::default(),
        correction: Correction::None,
    }
}

fn start(generation: u64) -> Report {
    report(Operation::Apply, generation, Outcome::Started)
}

pub(super) fn done() -> Outcome {
    let observed = Some(Document::parse(r#"{"plan":"gold","seen":true}"#).unwrap());
    let resources = Some(vec!["db:1".to_owned()]);
    Outcome::Succeeded {
        observed,
        resources,
        message: Message::none(),
    }
}

pub(super) fn fail(permanent: bool) -> Outcome {
    Outcome::Failed {
        reason: Reason::of("NoRoom"),
        message: "make room".parse().unwrap(),
        permanent,
        retry_after: None,
        attempt: 1,
    }
}

fn succeed(tenant: &Tenant, generation: u64) -> Tenant {
    step(tenant, &report(Operation::Apply, generation, done()))
}

fn patch(key: &str, value: &str) -> Map<String, Value> {
    [(key.to_owned(), value.into())].into_iter().collect()
}

/// A decision in a word: the state it leads to (`+` if the generation grew), `so`, or the refusal.
fn word(before: &Tenant, decision: &Decision) -> String {
    match decision {
        Decision::AlreadySo { .. } => "so".to_owned(),
        Decision::Refused(refusal) => refusal.code.as_str().to_owned(),
        Decision::Change(change) => {
            let after = change.tenant();
            assert_eq!(after.revision, before.revision.next());
            assert!(
                before.state.may_become(after.state),
                "{} → {}",
                before.state,
                after.state
            );
            assert_eq!(change.line().from, Some(before.state));
            assert_eq!(change.line().to, after.state);
            let grew = if after.generation > before.generation {
                "+"
            } else {
                ""
            };
            format!("{}{grew}", after.state)
        }
    }
}

/// The same, with other than what is wanted observed.
fn drifted(tenant: &Tenant) -> Tenant {
    let mut drifted = tenant.clone();
    drifted.observed = Some(Document::parse(r#"{"plan":"found"}"#).unwrap());
    drifted.conditions.drifted = Some(Drifted {
        paths: vec![Difference {
            path: "/plan".parse().unwrap(),
            wanted: "gold".into(),
            found: "found".into(),
            since: tenant.updated_at,
        }],
        since: tenant.updated_at,
        budget_spent: false,
    });
    drifted
}

#[test]
fn every_state_meets_every_command() {
    let failing = |tenant: &Tenant| match tenant.state {
        State::Deleted => tenant.clone(),
        _ => step(
            tenant,
            &report(Operation::Apply, tenant.generation.get(), fail(true)),
        ),
    };
    let held = |tenant: &Tenant| match tenant.state {
        State::Deleted => tenant.clone(),
        _ => order(tenant, &Command::Hold),
    };
    let waive = || Command::Waive {
        path: "/plan".parse().unwrap(),
        until: context().at.plus(Duration::from_hours(1)),
    };
    let label = || Command::Annotate {
        labels: [("tier".to_owned(), Some("gold".to_owned()))].into(),
        annotations: BTreeMap::new(),
    };
    let other = || Wanted {
        desired: Document::parse(r#"{"plan":"x"}"#).unwrap(),
        ..wanted()
    };
    let mut table = String::new();
    for state in State::ALL {
        let tenant = tenant_in(state);
        assert_eq!(tenant.state, state);
        let judge = |before: &Tenant, command: Command| {
            let decision = decide(Some(before), &command, &context());
            let refused = matches!(&decision, Decision::Refused(_));
            let allowed = allowed_commands(Some(state)).contains(&command.as_str());
            // Create is never offered where a tenant is, but says `so` to the very same request.
            assert!(
                refused != allowed || command.as_str() == "create",
                "{state} {command:?}"
            );
            word(before, &decision)
        };
        let row = [
            judge(&tenant, Command::Create(other())),
            judge(&tenant, Command::Apply(other())),
            judge(&tenant, Command::Patch(patch("plan", "bronze"))),
            judge(&tenant, label()),
            judge(&tenant, Command::Suspend),
            judge(&tenant, Command::Resume),
            judge(&tenant, Command::Delete),
            judge(&failing(&tenant), Command::Retry),
            judge(&tenant, Command::Hold),
            judge(&held(&tenant), Command::Release),
            judge(&drifted(&tenant), Command::Accept),
            judge(&tenant, waive()),
        ];
        writeln!(table, "{state}: {}", row.join(" ")).unwrap();
    }
    // create apply patch annotate suspend resume delete retry hold release accept waive
    let expected = "\
requested: tenant_exists requested+ requested+ requested requested+ so deleting+ requested requested requested requested+ requested
provisioning: tenant_exists provisioning+ provisioning+ provisioning provisioning+ so deleting+ provisioning provisioning provisioning provisioning+ provisioning
ready: tenant_exists updating+ updating+ ready suspending+ so deleting+ ready ready ready updating+ ready
updating: tenant_exists updating+ updating+ updating suspending+ so deleting+ updating updating updating updating+ updating
suspending: tenant_exists suspending+ suspending+ suspending so resuming+ deleting+ suspending suspending suspending suspending+ suspending
suspended: tenant_exists updating+ updating+ suspended so resuming+ deleting+ suspended suspended suspended updating+ suspended
resuming: tenant_exists resuming+ resuming+ resuming suspending+ so deleting+ resuming resuming resuming resuming+ resuming
deleting: tenant_exists tenant_deleting tenant_deleting deleting tenant_deleting tenant_deleting so deleting deleting deleting tenant_deleting deleting
deleted: tenant_exists tenant_deleted tenant_deleted tenant_deleted tenant_deleted tenant_deleted so tenant_deleted tenant_deleted tenant_deleted tenant_deleted tenant_deleted
";
    assert_eq!(table, expected);
}

#[test]
fn a_tenant_that_is_not_there_meets_every_command() {
    let refused = |command: Command| match decide(None, &command, &context()) {
        Decision::Refused(refusal) => {
            // Nobody makes a tenant in order to delete it.
            let advises = refusal.detail.contains("create it first");
            assert_eq!(advises, !matches!(command, Command::Delete), "{refusal:?}");
            refusal.code == RefusalCode::TenantNotFound
        }
        _ => false,
    };
    assert!(!refused(Command::Create(wanted())));
    assert!(!refused(Command::Apply(wanted())));
    for command in [
        Command::Patch(Map::new()),
        Command::Annotate {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        },
        Command::Suspend,
        Command::Resume,
        Command::Delete,
        Command::Retry,
        Command::Hold,
        Command::Release,
        Command::Accept,
        Command::Waive {
            path: "/plan".parse().unwrap(),
            until: context().at,
        },
    ] {
        assert!(refused(command.clone()), "{command:?}");
    }
}

#[test]
fn every_state_meets_every_report() {
    let mut table = String::new();
    for state in State::ALL {
        let tenant = tenant_in(state);
        let now = tenant.generation.get();
        let judge = |generation: u64, operation: Operation, outcome: Outcome| {
            let report = report(operation, generation, outcome);
            word(&tenant, &decide_report(&tenant, &report, &context()))
        };
        let progress = Outcome::Progressed {
            message: "half way".parse().unwrap(),
        };
        let row = [
            judge(now, Operation::Apply, Outcome::Started),
            judge(now, Operation::Apply, progress),
            judge(now, Operation::Apply, done()),
            judge(now - 1, Operation::Apply, done()),
            judge(now, Operation::Observe, done()),
            judge(now, Operation::Destroy, done()),
            judge(now, Operation::Apply, fail(false)),
            judge(now - 1, Operation::Apply, fail(false)),
            judge(now + 1, Operation::Apply, done()),
        ];
        let row: Vec<_> = row
            .iter()
            .map(|w| w.replace("report_out_of_order", "refused"))
            .collect();
        writeln!(table, "{state}: {}", row.join(" ")).unwrap();
    }
    // started progressed applied applied-older observed destroyed failed failed-older from-the-future
    let expected = "\
requested: provisioning requested refused refused requested refused requested so refused
provisioning: so provisioning ready provisioning provisioning refused provisioning so refused
ready: so ready so so so refused ready so refused
updating: so updating ready so so refused updating so refused
suspending: so suspending suspended so so refused suspending so refused
suspended: so suspended so so so refused suspended so refused
resuming: so resuming ready so so refused resuming so refused
deleting: so deleting so so so deleted deleting so refused
deleted: refused refused refused refused refused refused refused refused refused
";
    assert_eq!(table, expected);
}

#[test]
fn p7_a_result_of_an_older_generation_never_makes_ready() {
    let provisioning = tenant_in(State::Provisioning);
    let newer = order(&provisioning, &Command::Patch(patch("plan", "silver")));
    let after = succeed(&newer, 1);
    assert_eq!(
        (after.state, after.observed_generation.get()),
        (State::Provisioning, 1)
    );
    assert_eq!(succeed(&after, 2).state, State::Ready);
}

#[test]
fn what_runs_although_it_should_not_is_suspended() {
    let provisioning = tenant_in(State::Provisioning);
    let unwanted = order(&provisioning, &Command::Suspend);
    assert_eq!(unwanted.state, State::Provisioning);
    let ran = succeed(&unwanted, 1);
    assert_eq!(ran.state, State::Suspending);
    assert_eq!(succeed(&ran, 2).state, State::Suspended);
    // Provisioned at once for the newest generation, it never runs at all.
    assert_eq!(succeed(&unwanted, 2).state, State::Suspended);
}

#[test]
fn a_suspended_tenant_is_updated_without_being_resumed() {
    let suspended = tenant_in(State::Suspended);
    let updating = order(
        &suspended,
        &Command::Apply(Wanted {
            running: None,
            ..wanted_silver()
        }),
    );
    assert_eq!((updating.state, updating.running), (State::Updating, false));
    assert_eq!(succeed(&updating, 3).state, State::Suspended);
}

fn wanted_silver() -> Wanted {
    Wanted {
        desired: Document::parse(r#"{"plan":"silver"}"#).unwrap(),
        ..wanted()
    }
}

#[test]
fn p5_asking_for_what_is_so_makes_no_revision() {
    let ready = tenant_in(State::Ready);
    for command in [
        Command::Create(wanted()),
        Command::Apply(wanted()),
        Command::Patch(patch("plan", "gold")),
        Command::Annotate {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        },
        Command::Resume,
        Command::Retry,
        Command::Release,
        Command::Accept,
        Command::Waive {
            path: "/plan".parse().unwrap(),
            until: context().at,
        },
    ] {
        let decision = decide(Some(&ready), &command, &context());
        assert!(
            matches!(decision, Decision::AlreadySo { .. }),
            "{command:?}: {decision:?}"
        );
    }
}

#[test]
fn a_class_is_fixed() {
    let ready = tenant_in(State::Ready);
    let other = Wanted {
        class: Some("dedicated".parse().unwrap()),
        ..wanted()
    };
    let Decision::Refused(refusal) = decide(Some(&ready), &Command::Apply(other), &context())
    else {
        panic!("a class changed")
    };
    assert_eq!(refusal.code, RefusalCode::ClassFixed);
}

#[test]
fn a_failure_is_history_once_and_then_counted() {
    let provisioning = tenant_in(State::Provisioning);
    let first = changed(decide_report(
        &provisioning,
        &report(Operation::Apply, 1, fail(false)),
        &context(),
    ));
    assert_eq!(first.line().kind, Kind::Condition);
    assert_eq!(first.line().reason.as_str(), "NoRoom");
    assert!(matches!(first.wake(), Wake::After(_)));
    let again = decide_report(
        first.tenant(),
        &report(Operation::Apply, 1, fail(false)),
        &context(),
    );
    assert!(matches!(
        again,
        Decision::AlreadySo {
            wake: Wake::After(_)
        }
    ));
    let halted = step(first.tenant(), &report(Operation::Apply, 1, fail(true)));
    let failing = halted.conditions.failing.unwrap();
    assert!(failing.halted);
    assert_eq!(
        failing.since,
        first.tenant().conditions.failing.clone().unwrap().since
    );
}

#[test]
fn p8_a_halted_tenant_goes_on_by_retry_or_by_a_new_generation() {
    let provisioning = tenant_in(State::Provisioning);
    let halted = changed(decide_report(
        &provisioning,
        &report(Operation::Apply, 1, fail(true)),
        &context(),
    ));
    // Nobody tries again, but someone is to say when the deadline has passed.
    assert_eq!(halted.wake(), Wake::Check(Duration::from_hours(1)));
    for command in [
        Command::Retry,
        Command::Patch(patch("plan", "x")),
        Command::Delete,
    ] {
        let change = changed(decide(Some(halted.tenant()), &command, &context()));
        assert_eq!(
            (change.wake(), change.attempts_reset()),
            (Wake::Now, true),
            "{command:?}"
        );
        let failing = change.tenant().conditions.failing.as_ref();
        assert!(failing.is_none_or(|failing| !failing.halted), "{command:?}");
    }
}

#[test]
fn a_held_tenant_is_not_woken_until_it_is_released() {
    let held = order(&tenant_in(State::Ready), &Command::Hold);
    let asked = changed(decide(Some(&held), &Command::Suspend, &context()));
    assert_eq!(asked.wake(), Wake::Never);
    let released = changed(decide(Some(asked.tenant()), &Command::Release, &context()));
    assert_eq!(released.wake(), Wake::Now);
}

#[test]
fn a_clock_that_went_back_does_not_turn_history_around() {
    let mut ready = tenant_in(State::Ready);
    ready.updated_at = ready.updated_at.plus(Duration::from_hours(1));
    let change = changed(decide(Some(&ready), &Command::Suspend, &context()));
    assert_eq!(change.line().at, ready.updated_at);
    assert_eq!(change.tenant().state_since, ready.updated_at);
}

#[test]
fn labels_and_seeing_leave_the_reason_of_the_state() {
    let ready = tenant_in(State::Ready);
    let labels = [("a".to_owned(), Some("b".to_owned()))].into();
    let command = Command::Annotate {
        labels,
        annotations: BTreeMap::new(),
    };
    let change = changed(decide(Some(&ready), &command, &context()));
    assert_eq!(change.tenant().reason, ready.reason);
    assert_eq!(change.line().reason.as_str(), "MetadataChanged");
    assert_eq!(change.labels_set(), [("a".to_owned(), "b".to_owned())]);
}

#[test]
fn a_change_carries_only_the_documents_that_are_new() {
    let created = changed(decide(None, &Command::Create(wanted()), &context()));
    assert_eq!(created.documents().len(), 1);
    let started = changed(decide_report(created.tenant(), &start(1), &context()));
    assert_eq!(started.documents().len(), 0);
    assert_ne!(started.line().hash, Hash::new([0; 32]));
    assert_eq!(started.tenant().hash, started.line().hash);
}
