//! What is said of a tenant, case by case: the exact summaries.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
    let reached = if state.is_resting() { 1 } else { 0 };
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

#[test]
fn p8_every_state_with_each_condition_is_explained() {
    let mut lines = Vec::new();
    for state in State::ALL {
        let mut plain = record_in(state);
        plain.work.attempts = 0;
        lines.push(told(&plain, Some(&class(DriftMode::Observe))));
        for kind in ConditionKind::ALL {
            let mut record = record_in(state);
            with_condition(&mut record.tenant, kind);
            if kind == ConditionKind::Failing {
                record.work.attempts = 3;
                record.work.due_at = Some(soon(32));
            }
            lines.push(format!(
                "  {kind}: {}",
                told(&record, Some(&class(DriftMode::Observe)))
            ));
        }
    }
    let expected = include_str!("table.txt");
    let real = format!("{}\n", lines.join("\n"));
    assert_eq!(real, expected, "\n{real}");
}
