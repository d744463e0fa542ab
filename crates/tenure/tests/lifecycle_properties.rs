//! What holds of every life, however commands and reports are mixed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tenure::{
    Command, Context, Correction, Deadlines, Decision, Document, DriftMode, DriftPolicy,
    Generation, Hash, IdempotencyKey, Message, Operation, Outcome, Policy, Report, State, Tenant,
    TenantId, Timestamp, Wake, Wanted, decide, decide_report,
};

#[derive(Clone, Debug)]
enum Act {
    Order(Command),
    Report {
        operation: Operation,
        behind: u64,
        outcome: Outcome,
        drift: DriftMode,
        granted: bool,
    },
}

/// A report of the newest generation, of a class that only observes.
fn report(operation: Operation, outcome: Outcome) -> Act {
    Act::Report {
        operation,
        behind: 0,
        outcome,
        drift: DriftMode::Observe,
        granted: false,
    }
}

fn desired(n: u8) -> Document {
    Document::parse(&format!(r#"{{"seats":{n}}}"#)).unwrap()
}

fn wanted(n: u8, running: Option<bool>) -> Wanted {
    Wanted {
        id: TenantId::new(uuid::Uuid::from_u128(1)),
        name: "acme".parse().unwrap(),
        class: None,
        labels: None,
        annotations: None,
        desired: desired(n),
        running,
    }
}

fn command() -> impl Strategy<Value = Command> {
    let label = |(key, value): (&str, Option<&str>)| Command::Annotate {
        labels: [(key.to_owned(), value.map(str::to_owned))].into(),
        annotations: [(key.to_owned(), value.map(str::to_owned))].into(),
    };
    prop_oneof![
        (0..3_u8, select(vec![None, Some(true), Some(false)]))
            .prop_map(|(n, running)| Command::Apply(wanted(n, running))),
        (0..3_u8).prop_map(|n| {
            Command::Patch([("seats".to_owned(), n.into())].into_iter().collect())
        }),
        (
            select(vec!["a", "b"]),
            select(vec![None, Some("x"), Some("y")])
        )
            .prop_map(label),
        select(vec![
            Command::Suspend,
            Command::Resume,
            Command::Delete,
            Command::Retry,
            Command::Hold,
            Command::Release,
            Command::Accept,
        ]),
        (select(vec!["", "/seats", "/other"]), 0..60_u64).prop_map(|(path, second)| {
            Command::Waive {
                path: path.parse().unwrap(),
                until: Timestamp::EPOCH.plus(Duration::from_secs(second)),
            }
        }),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Started),
        Just(Outcome::Waiting),
        select(vec!["1 of 2", "2 of 2"]).prop_map(|m| Outcome::Progressed {
            message: m.parse().unwrap()
        }),
        (0..3_u8).prop_map(|n| Outcome::Succeeded {
            observed: Some(desired(n)),
            resources: Some(vec![format!("db:{n}")]),
            message: Message::none(),
        }),
        (any::<bool>(), 1..30_u32, select(vec!["NoRoom", "NoRoute"])).prop_map(
            |(permanent, attempt, reason)| Outcome::Failed {
                reason: reason.parse().unwrap(),
                message: Message::none(),
                permanent,
                retry_after: None,
                attempt,
            }
        ),
    ]
}

fn done() -> Outcome {
    Outcome::Succeeded {
        observed: None,
        resources: None,
        message: Message::none(),
    }
}

fn act() -> impl Strategy<Value = Act> {
    let operation = select(vec![
        Operation::Apply,
        Operation::Observe,
        Operation::Destroy,
    ]);
    prop_oneof![
        command().prop_map(Act::Order),
        (
            operation,
            0..2_u64,
            outcome(),
            select(DriftMode::ALL.to_vec()),
            any::<bool>()
        )
            .prop_map(|(operation, behind, outcome, drift, granted)| Act::Report {
                operation,
                behind,
                outcome,
                drift,
                granted,
            }),
    ]
}

fn context(second: u64) -> Context {
    Context {
        at: Timestamp::EPOCH.plus(Duration::from_secs(second)),
        actor: "user:test".parse().unwrap(),
        request_id: uuid::Uuid::from_u128(u128::from(second)),
        message: Message::none(),
    }
}

fn decided(tenant: &Tenant, act: &Act, context: &Context) -> Decision {
    match act {
        Act::Order(command) => decide(Some(tenant), command, context),
        Act::Report {
            operation,
            behind,
            outcome,
            drift,
            granted,
        } => {
            let generation = Generation::new(tenant.generation.get().saturating_sub(*behind));
            let report = Report {
                operation: *operation,
                generation,
                running: tenant.running,
                outcome: outcome.clone(),
                steps: Vec::new(),
                policy: Policy {
                    drift: DriftPolicy {
                        mode: *drift,
                        ..DriftPolicy::default()
                    },
                    deadlines: Deadlines::new(State::ALL.map(|s| (s, Duration::from_secs(20)))),
                    ..Policy::default()
                },
                correction: if *granted {
                    Correction::Granted(
                        IdempotencyKey::new("drift", "1", Hash::of(b""), Duration::ZERO).unwrap(),
                    )
                } else {
                    Correction::Spent
                },
            };
            decide_report(tenant, &report, context)
        }
    }
}

fn created() -> Tenant {
    match decide(None, &Command::Create(wanted(0, None)), &context(0)) {
        Decision::Change(change) => change.tenant().clone(),
        other => panic!("{other:?}"),
    }
}

/// What must hold of every tenant at every moment.
fn check(tenant: &Tenant) {
    let reached = tenant.observed_generation == tenant.generation;
    match tenant.state {
        State::Ready => assert!(reached && tenant.running),
        State::Suspended => assert!(reached && !tenant.running),
        State::Suspending => assert!(!tenant.running),
        State::Resuming => assert!(tenant.running),
        State::Deleted => assert!(tenant.deleted_at.is_some() && tenant.conditions.is_empty()),
        State::Requested | State::Provisioning | State::Updating | State::Deleting => {}
    }
    assert!(tenant.observed_generation <= tenant.generation);
    assert!(tenant.created_at <= tenant.state_since && tenant.state_since <= tenant.updated_at);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn p3_p7_every_step_of_every_life_keeps_the_rules(
        acts in proptest::collection::vec(act(), 1..40),
        jumps in proptest::collection::vec(0..5_u64, 40),
    ) {
        let mut tenant = created();
        let mut second = 10;
        for (act, jump) in acts.iter().zip(jumps) {
            // The clock may stand still and even go back.
            second = (second + jump).saturating_sub(if jump == 4 { 6 } else { 0 });
            let Decision::Change(change) = decided(&tenant, act, &context(second)) else { continue };
            let after = change.tenant();
            prop_assert_eq!(after.revision, tenant.revision.next());
            prop_assert_eq!(change.expected(), Some(tenant.revision));
            let grew = after.generation != tenant.generation;
            prop_assert!(!grew || matches!(act, Act::Order(_)));
            prop_assert!(!grew || after.generation == tenant.generation.next());
            let wants_anew = after.desired.hash() != tenant.desired.hash()
                || after.running != tenant.running
                || (after.state == State::Deleting && tenant.state != State::Deleting);
            prop_assert_eq!(grew, wants_anew);
            prop_assert!(tenant.state.may_become(after.state));
            prop_assert!(after.updated_at >= tenant.updated_at);
            prop_assert_eq!(change.line().hash, change.line().digest(Some(tenant.hash), None));
            check(after);
            tenant = after.clone();
        }
    }

    #[test]
    fn p8_from_wherever_a_life_stands_it_can_be_ended(
        acts in proptest::collection::vec(act(), 0..40),
    ) {
        let mut tenant = created();
        let ending = [
            Act::Order(Command::Release),
            Act::Order(Command::Delete),
            report(Operation::Destroy, done()),
        ];
        for (n, act) in acts.iter().chain(&ending).enumerate() {
            let n = u64::try_from(n).unwrap();
            if let Decision::Change(change) = decided(&tenant, act, &context(n)) {
                tenant = change.tenant().clone();
            }
        }
        prop_assert_eq!(tenant.state, State::Deleted);
    }

    #[test]
    fn p8_work_that_succeeds_at_last_brings_every_life_to_rest(
        acts in proptest::collection::vec(act(), 0..40),
    ) {
        let mut tenant = created();
        for (n, act) in acts.iter().chain([&Act::Order(Command::Release)]).enumerate() {
            let n = u64::try_from(n).unwrap();
            if let Decision::Change(change) = decided(&tenant, act, &context(n)) {
                tenant = change.tenant().clone();
            }
        }
        for n in 100..104 {
            if tenant.is_at_rest() {
                break;
            }
            let operation = match tenant.state {
                State::Deleting => Operation::Destroy,
                _ => Operation::Apply,
            };
            for outcome in [Outcome::Started, done()] {
                let act = report(operation, outcome);
                if let Decision::Change(change) = decided(&tenant, &act, &context(n)) {
                    tenant = change.tenant().clone();
                }
            }
        }
        prop_assert!(tenant.is_at_rest(), "{:?}", tenant);
    }
    /// What a store makes of the wake-ups of a life: nothing that could go on is ever forgotten, and
    /// what rests is looked at again.
    #[test]
    fn p8_what_could_go_on_is_always_due(acts in proptest::collection::vec(act(), 0..60)) {
        let mut tenant = created();
        let mut due = true;
        for (n, act) in acts.iter().enumerate() {
            let n = u64::try_from(n).unwrap();
            let by_worker = matches!(act, Act::Report { .. });
            // Workers come only to what is due, and leave alone what is held or halted.
            let halted = |tenant: &Tenant| tenant.conditions.failing.as_ref().is_some_and(|f| f.halted);
            if by_worker && (!due || tenant.conditions.held.is_some() || halted(&tenant)) {
                continue;
            }
            let wake = match decided(&tenant, act, &context(n)) {
                Decision::Change(change) => {
                    tenant = change.tenant().clone();
                    change.wake()
                }
                Decision::AlreadySo { wake } => wake,
                Decision::Refused(_) => continue,
            };
            due = match wake {
                Wake::Now | Wake::After(_) | Wake::Check(_) => true,
                Wake::Never => due && !by_worker,
                Wake::Unchanged => due,
            };
            let blocked = tenant.conditions.held.is_some() || halted(&tenant);
            prop_assert!(due || blocked || !tenant.is_living(), "after {:?}: {:?}", act, tenant);
        }
    }
}
