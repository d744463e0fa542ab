//! Promise 8, tried: whatever a tenant has come to, there is a next step, or a command that makes one.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::table::{NOW, busy_class, record_in, with_condition};
use super::{BlockKind, Breaker, ClassStatus, ClassView, Explanation, explain};
use crate::{
    ConditionKind, DriftMode, DriftPolicy, Message, Policy, Reason, Record, State, Timestamp,
};

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let around = now().as_micros();
    let near = (-7_200_000_000_i64..7_200_000_000)
        .prop_map(move |offset| Timestamp::from_micros(around + offset).unwrap());
    proptest::option::of(prop_oneof![
        near,
        Just(now()),
        Just(Timestamp::EPOCH),
        Just(now().plus(Duration::MAX))
    ])
}

fn record() -> impl Strategy<Value = Record> {
    let conditions = subsequence(ConditionKind::ALL.to_vec(), 0..=5);
    let work = (time(), time(), time(), any::<bool>(), 0_u32..4);
    (
        select(State::ALL.to_vec()),
        conditions,
        any::<(bool, bool)>(),
        work,
    )
        .prop_map(
            |(state, kinds, (halted, spent), (due_at, lease_until, checked_at, held, attempts))| {
                let mut record = record_in(state);
                for kind in kinds {
                    with_condition(&mut record.tenant, kind);
                }
                if let Some(failing) = record.tenant.conditions.failing.as_mut() {
                    failing.halted = halted;
                }
                if let Some(drifted) = record.tenant.conditions.drifted.as_mut() {
                    drifted.budget_spent = spent;
                }
                record.work.due_at = due_at;
                record.work.lease_until = lease_until;
                record.work.checked_at = checked_at;
                record.work.holder = held.then(|| "worker:a".to_owned());
                record.work.attempts = attempts;
                record
            },
        )
}

/// Says of a failure that it is final, and of drift that its correction must wait.
fn mark(record: &mut Record, halted: bool, spent: bool) {
    if let Some(failing) = record.tenant.conditions.failing.as_mut() {
        failing.halted = halted;
    }
    if let Some(drifted) = record.tenant.conditions.drifted.as_mut() {
        drifted.budget_spent = spent;
    }
}

fn breaker() -> impl Strategy<Value = Breaker> {
    let open = (time(), time()).prop_map(|(since, until)| Breaker::Open {
        since: since.unwrap_or_else(now),
        until: until.unwrap_or_else(now),
        reason: Reason::of("QuotaExceeded"),
        message: Message::none(),
    });
    prop_oneof![Just(Breaker::Closed), Just(Breaker::HalfOpen), open]
}

fn class() -> impl Strategy<Value = Option<ClassView>> {
    let status = (breaker(), time(), time(), any::<bool>(), 0_u32..3, 0_u32..3);
    let class = (select(DriftMode::ALL.to_vec()), status).prop_map(
        |(mode, (breaker, throttled_until, last_claim_at, pull, running, concurrency))| ClassView {
            policy: Policy {
                drift: DriftPolicy {
                    mode,
                    ..DriftPolicy::default()
                },
                ..Policy::default()
            },
            status: ClassStatus {
                running,
                concurrency,
                breaker,
                throttled_until,
                pull,
                last_claim_at,
            },
        },
    );
    proptest::option::of(class)
}

fn suggests(explanation: &Explanation, verb: &str) -> bool {
    let word = format!("tenure {verb} ");
    explanation
        .commands
        .iter()
        .any(|help| help.command.starts_with(&word))
}

/// What is said of one case, held against the record that it was said of.
fn check(record: &Record, class: Option<&ClassView>) {
    let it = explain(record, class, now());
    let kinds: Vec<BlockKind> = it.blocked_by.iter().map(|block| block.kind).collect();
    let is = |kind| kinds.contains(&kind);
    assert!(
        !it.next.what.is_empty() && it.summary.ends_with('.'),
        "{it:?}"
    );
    assert!(it.summary.contains(&it.next.what), "{it:?}");
    assert!(it.blocked_by.iter().all(|block| !block.detail.is_empty()));
    let unique: std::collections::BTreeSet<_> = kinds.iter().collect();
    assert_eq!(unique.len(), kinds.len(), "{it:?}");
    if it.state == State::Deleted {
        assert!(kinds.is_empty() && suggests(&it, "apply"), "{it:?}");
        return;
    }
    assert!(!is(BlockKind::Hold) || suggests(&it, "release"), "{it:?}");
    assert!(!is(BlockKind::Halted) || suggests(&it, "retry"), "{it:?}");
    let shown = record.tenant.is_at_rest();
    if is(BlockKind::Budget) && shown {
        assert!(suggests(&it, "accept") && suggests(&it, "waive"), "{it:?}");
    }
    if is(BlockKind::NoClass) && it.next.operation.is_some() {
        assert!(it.next.what.contains("tenure.toml"), "{it:?}");
    }
    assert!(
        it.next.operation.is_some()
            || record.tenant.is_at_rest()
            || it
                .commands
                .iter()
                .any(|help| it.next.what.contains(&help.command)),
        "neither a step nor a command: {it:?}"
    );
    let text = serde_json::to_string(&it).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), it);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn p8_there_is_always_a_next_step_or_a_command_that_makes_one(
        record in record(),
        class in class(),
    ) {
        check(&record, class.as_ref());
    }
}

/// The same over every subset of conditions, so that nothing is left to chance.
#[test]
fn p8_no_state_with_any_conditions_is_a_dead_end() {
    let times = [None, Some(-60_000_000), Some(60_000_000)];
    for state in State::ALL {
        for subset in 0..1_u32 << ConditionKind::ALL.len() {
            for (due, leased) in times.iter().flat_map(|due| [(due, false), (due, true)]) {
                let mut record = record_in(state);
                for (bit, kind) in ConditionKind::ALL.into_iter().enumerate() {
                    if subset & (1 << bit) != 0 {
                        with_condition(&mut record.tenant, kind);
                    }
                }
                let at = |offset| Timestamp::from_micros(now().as_micros() + offset).unwrap();
                record.work.due_at = due.map(at);
                if leased {
                    record.work.holder = Some("worker:a".to_owned());
                    record.work.lease_until = due.map(at);
                }
                for class in [None, Some(ClassView::default()), Some(busy_class())] {
                    for worse in [false, true] {
                        mark(&mut record, worse, worse);
                        check(&record, class.as_ref());
                    }
                }
            }
        }
    }
}
