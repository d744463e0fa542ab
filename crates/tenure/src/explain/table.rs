//! What is said of a tenant, case by case: the exact summaries.

use std::time::Duration;

use serde_json::json;

use super::{Breaker, ClassStatus, ClassView, explain};
use crate::{
    Annotations, ClassName, ConditionKind, Conditions, Difference, Document, DriftMode,
    DriftPolicy, Drifted, Failing, Generation, Hash, Held, Labels, Message, Policy, Reason, Record,
    Revision, Since, State, Tenant, TenantId, Timestamp, Unknown, WorkFacts,
};

pub(super) const NOW: &str = "2026-11-22T20:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_micros(now().as_micros() - seconds * 1_000_000).unwrap()
}

fn soon(seconds: u64) -> Timestamp {
    now().plus(Duration::from_secs(seconds))
}

fn message(text: &str) -> Message {
    text.parse().unwrap()
}

/// A tenant in a state for 4 minutes, with nothing the matter and its work as the rules plan it.
pub(super) fn record_in(state: State) -> Record {
    let reached = u64::from(state.is_resting());
    let tenant = Tenant {
        id: TenantId::new(uuid::Uuid::from_u128(1)),
        name: "acme".parse().unwrap(),
        class: ClassName::default(),
        labels: Labels::default(),
        annotations: Annotations::default(),
        desired: Document::parse(r#"{"plan":"gold"}"#).unwrap(),
        running: true,
        generation: Generation::new(1),
        observed: None,
        observed_generation: Generation::new(reached),
        resources: Vec::new(),
        state,
        state_since: ago(240),
        reason: Reason::of("Provisioned"),
        message: Message::none(),
        conditions: Conditions::default(),
        steps: Vec::new(),
        waivers: Vec::new(),
        revision: Revision::new(1),
        created_at: ago(9_000),
        updated_at: ago(240),
        deleted_at: None,
        hash: Hash::new([0; 32]),
    };
    let due_at = match (state, state.is_resting()) {
        (State::Deleted, _) => None,
        (_, true) => Some(soon(1_200)),
        (_, false) => Some(ago(3)),
    };
    let work = WorkFacts {
        due_at,
        ..WorkFacts::default()
    };
    Record { tenant, work }
}

/// Adds a condition as the rules would have it.
pub(super) fn with_condition(tenant: &mut Tenant, kind: ConditionKind) {
    let conditions = &mut tenant.conditions;
    match kind {
        ConditionKind::Failing => {
            conditions.failing = Some(Failing {
                reason: Reason::of("QuotaExceeded"),
                message: message("no room\nleft"),
                since: ago(200),
                halted: false,
            });
        }
        ConditionKind::Drifted => {
            let difference = |path: &str| Difference {
                path: path.parse().unwrap(),
                wanted: json!(3),
                found: json!(5),
                since: ago(7_200),
            };
            conditions.drifted = Some(Drifted {
                paths: vec![difference("/limits/seats"), difference("/plan")],
                since: ago(7_200),
                budget_spent: false,
            });
        }
        ConditionKind::Held => {
            conditions.held = Some(Held {
                by: "user:maria".parse().unwrap(),
                message: message("migration"),
                since: ago(600),
            });
        }
        ConditionKind::Overdue => conditions.overdue = Some(Since { since: ago(60) }),
        ConditionKind::Unknown => {
            conditions.unknown = Some(Unknown {
                reason: Reason::of("TargetUnreachable"),
                message: message("no route"),
                since: ago(7_200),
            });
        }
    }
}

/// A class that has no place free, is throttled, whose breaker is open, and that nobody asks for.
pub(super) fn busy_class() -> ClassView {
    ClassView {
        policy: Policy::default(),
        status: ClassStatus {
            running: 8,
            concurrency: 8,
            breaker: Breaker::Open {
                since: ago(30),
                until: soon(90),
                reason: Reason::of("QuotaExceeded"),
                message: message("no room"),
            },
            throttled_until: Some(soon(40)),
            pull: true,
            last_claim_at: Some(ago(600)),
        },
    }
}

fn class(mode: DriftMode) -> ClassView {
    ClassView {
        policy: Policy {
            drift: DriftPolicy {
                mode,
                ..DriftPolicy::default()
            },
            ..Policy::default()
        },
        status: ClassStatus::default(),
    }
}

fn told(record: &Record, class: Option<&ClassView>) -> String {
    let it = explain(record, class, now());
    let mut blocks: Vec<&str> = it
        .blocked_by
        .iter()
        .map(|block| block.kind.as_str())
        .collect();
    if blocks.is_empty() {
        blocks.push("-");
    }
    let verb = |command: &str| command.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut verbs: Vec<String> = it.commands.iter().map(|help| verb(&help.command)).collect();
    if verbs.is_empty() {
        verbs.push("-".to_owned());
    }
    format!(
        "{} [{} | {}]",
        it.summary,
        blocks.join(" "),
        verbs.join(" ")
    )
}

/// Holds the lines against a file beside this one, which says what people are told.
#[track_caller]
fn assert_told(lines: &[String], expected: &str) {
    let real = format!("{}\n", lines.join("\n"));
    assert!(
        real == expected,
        "what is told is not what the file says:\n{real}"
    );
}

#[test]
fn p8_every_state_with_each_condition_is_explained() {
    let class = class(DriftMode::Observe);
    let mut lines = Vec::new();
    for state in State::ALL {
        lines.push(told(&record_in(state), Some(&class)));
        for kind in ConditionKind::ALL {
            let mut record = record_in(state);
            with_condition(&mut record.tenant, kind);
            if kind == ConditionKind::Failing {
                record.work.attempts = 3;
                record.work.due_at = Some(soon(32));
            }
            lines.push(format!("  {kind}: {}", told(&record, Some(&class))));
        }
    }
    assert_told(&lines, include_str!("states.txt"));
}

/// A tenant in a state, with some conditions, and more that is not as usual.
fn record_with(state: State, kinds: &[ConditionKind], change: impl FnOnce(&mut Record)) -> Record {
    let mut record = record_in(state);
    for kind in kinds {
        with_condition(&mut record.tenant, *kind);
    }
    change(&mut record);
    record
}

fn leased(record: &mut Record) {
    record.work.attempts = 3;
    record.work.holder = Some("host/7".to_owned());
    record.work.lease_until = Some(soon(20));
    record.work.due_at = Some(soon(20));
}

fn halted(record: &mut Record) {
    record.work.attempts = 20;
    record.work.due_at = None;
    record.work.last_error = Some(message("no room, still"));
    if let Some(failing) = record.tenant.conditions.failing.as_mut() {
        failing.halted = true;
    }
}

#[test]
fn p8_what_its_work_is_waiting_for_is_explained() {
    use ConditionKind::{Drifted, Failing, Held, Overdue, Unknown};
    use State::{Deleting, Provisioning, Ready, Updating};

    let cases: [(&str, Record); 15] = [
        ("at work", record_with(Provisioning, &[], leased)),
        (
            "at work again",
            record_with(Provisioning, &[Failing, Overdue], leased),
        ),
        ("at work, held", record_with(Updating, &[Held], leased)),
        ("correcting", record_with(Updating, &[Drifted], leased)),
        ("at a look", record_with(Ready, &[Unknown], leased)),
        (
            "lost",
            record_with(Provisioning, &[], |record| {
                leased(record);
                record.work.lease_until = Some(ago(5));
                record.work.due_at = Some(ago(5));
            }),
        ),
        ("halted", record_with(Provisioning, &[Failing], halted)),
        (
            "halted, overdue",
            record_with(Provisioning, &[Failing, Overdue], halted),
        ),
        ("halted, going", record_with(Deleting, &[Failing], halted)),
        (
            "halted, held",
            record_with(Updating, &[Failing, Held], halted),
        ),
        (
            "drifted, spent",
            record_with(Ready, &[Drifted], |record| {
                let drifted = record.tenant.conditions.drifted.as_mut();
                drifted.unwrap().budget_spent = true;
            }),
        ),
        (
            "drifted, unknown",
            record_with(Ready, &[Drifted, Unknown], |_| {}),
        ),
        (
            "unplanned",
            record_with(Updating, &[], |record| record.work.due_at = None),
        ),
        (
            "unplanned, failed",
            record_with(Updating, &[Failing], |record| record.work.due_at = None),
        ),
        (
            "unplanned, at rest",
            record_with(Ready, &[], |record| record.work.due_at = None),
        ),
    ];
    let class = class(DriftMode::Correct);
    let lines = cases.map(|(what, record)| format!("{what}: {}", told(&record, Some(&class))));
    assert_told(&lines, include_str!("work.txt"));
}

#[test]
fn p8_what_its_class_waits_for_is_explained() {
    let status = |change: fn(&mut ClassStatus)| {
        let mut class = class(DriftMode::Observe);
        change(&mut class.status);
        Some(class)
    };
    let cases: [(&str, Option<ClassView>); 12] = [
        ("not there", None),
        ("idle", status(|_| {})),
        ("drift off", Some(class(DriftMode::Off))),
        ("drift corrected", Some(class(DriftMode::Correct))),
        (
            "breaker open",
            status(|s| s.breaker = busy_class().status.breaker),
        ),
        (
            "breaker to be tried",
            status(|s| s.breaker = Breaker::HalfOpen),
        ),
        ("throttled", status(|s| s.throttled_until = Some(soon(40)))),
        ("full", status(|s| (s.running, s.concurrency) = (8, 8))),
        ("nobody asked", status(|s| s.pull = true)),
        (
            "nobody asks",
            status(|s| (s.pull, s.last_claim_at) = (true, Some(ago(600)))),
        ),
        (
            "someone asks",
            status(|s| (s.pull, s.last_claim_at) = (true, Some(ago(6)))),
        ),
        ("all of it", Some(busy_class())),
    ];
    let mut lines = Vec::new();
    for (what, class) in cases {
        for (state, due) in [(State::Updating, ago(3)), (State::Ready, soon(1_200))] {
            let record = record_with(state, &[], |record| record.work.due_at = Some(due));
            lines.push(format!("{what}: {}", told(&record, class.as_ref())));
        }
    }
    assert_told(&lines, include_str!("classes.txt"));
}
