//! What lists select, and how many.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeMap;

use super::dice::Dice;
use super::fleet::{fleet, ids, walk};
use super::{Factory, Setup, report};
use crate::{
    Between, Command, Direction, Filter, Labels, Message, Operation, Outcome, PageSize, Query,
    Selector, State, Summary, Tenant, Wanted,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_filters {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases filters [
            filters_select_by_state_class_label_and_condition,
            filters_by_time_take_the_first_bound_and_leave_the_last,
            random_filters_select_what_the_rules_say,
            counts_are_those_of_the_list,
            the_deleted_are_hidden_unless_asked_for,
            labels_match_byte_by_byte,
        ] $($arg)* }
    };
}

/// The list of a filter, from its start.
fn of(filter: Filter) -> Query {
    Query {
        filter,
        ..Query::default()
    }
}

fn names(tenants: &[Summary]) -> Vec<&str> {
    let mut names: Vec<&str> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// A tenant whose last attempt failed.
async fn failing(setup: &Setup, name: &str) -> Tenant {
    let tenant = setup.lead_to(name, State::Provisioning).await;
    let failed = Outcome::Failed {
        reason: "Timeout".parse().unwrap(),
        message: Message::lossy("no answer"),
        permanent: false,
        retry_after: None,
        attempt: 1,
    };
    setup
        .report(&tenant, &report(&tenant, Operation::Apply, failed))
        .await
}

/// Tenants that differ in all that a filter can tell.
struct Cast {
    failed: Tenant,
    ready: Tenant,
    both: Tenant,
    held: Tenant,
    gone: Tenant,
}

async fn cast(setup: &Setup) -> Cast {
    let labelled = async |tenant: &Tenant, value: &str| {
        let labels = [("tier".to_owned(), Some(value.to_owned()))].into();
        let annotate = Command::Annotate {
            labels,
            annotations: [].into(),
        };
        setup.command(tenant, &annotate).await
    };
    let vip = Wanted {
        class: Some("vip".parse().unwrap()),
        ..setup.wanted("asked")
    };
    let asked = setup.write(&setup.creation(vip)).await;
    labelled(&asked, "gold").await;
    let failed = failing(setup, "failed").await;
    let ready = setup.lead_to("ready", State::Ready).await;
    let ready = labelled(&ready, "silver").await;
    let both = failing(setup, "both").await;
    let both = setup.command(&both, &Command::Hold).await;
    let held = setup.lead_to("held", State::Suspended).await;
    let held = setup.command(&held, &Command::Hold).await;
    let gone = setup.lead_to("gone", State::Deleted).await;
    Cast {
        failed,
        ready,
        both,
        held,
        gone,
    }
}

async fn check(setup: &Setup, rows: &[(Filter, &[&str])]) {
    for (filter, expected) in rows {
        let found = walk(&*setup.store, &of(filter.clone())).await;
        assert_eq!(names(&found), *expected, "{filter:?}");
    }
}

pub async fn filters_select_by_state_class_label_and_condition(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    cast(&setup).await;
    let all = Filter::default;
    let states = |states: &[State]| Filter {
        states: states.iter().copied().collect(),
        ..all()
    };
    let tier = |selector: &str| Filter {
        selector: selector.parse().unwrap(),
        ..all()
    };
    let conditions = |words: &[&str]| Filter {
        conditions: words.iter().map(|word| word.parse().unwrap()).collect(),
        ..all()
    };
    let class = Some("vip".parse().unwrap());
    let named = |prefix: &str| Filter {
        name_prefix: prefix.to_owned(),
        ..all()
    };
    let gold = tier("tier=gold");
    check(
        &setup,
        &[
            (all(), &["asked", "both", "failed", "held", "ready"]),
            (states(&[State::Ready]), &["ready"]),
            (
                states(&[State::Ready, State::Requested]),
                &["asked", "ready"],
            ),
            (states(&[State::Ready, State::Deleted]), &["gone", "ready"]),
            (states(&[State::Resuming]), &[]),
            (Filter { class, ..all() }, &["asked"]),
            (named("held"), &["held"]),
            (named("he"), &["held"]),
            (named("eld"), &[]),
            (named("held-"), &[]),
            (gold.clone(), &["asked"]),
            (tier("tier"), &["asked", "ready"]),
            (tier("!tier"), &["both", "failed", "held"]),
            (tier("tier!=gold"), &["both", "failed", "held", "ready"]),
            (tier("tier in (gold,silver)"), &["asked", "ready"]),
            (tier("tier,tier notin (gold)"), &["ready"]),
            (tier("tier=gold,tier=silver"), &[]),
            (conditions(&["failing"]), &["both", "failed"]),
            (conditions(&["held"]), &["both", "held"]),
            (conditions(&["held", "failing"]), &["both"]),
            (conditions(&["drifted"]), &[]),
            (
                Filter {
                    states: [State::Ready].into(),
                    ..gold
                },
                &[],
            ),
        ],
    )
    .await;
}

pub async fn filters_by_time_take_the_first_bound_and_leave_the_last(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let cast = cast(&setup).await;
    let all = Filter::default;
    let from = |from| Between {
        from: Some(from),
        until: None,
    };
    let until = |until| Between {
        from: None,
        until: Some(until),
    };
    let created = |created| Filter { created, ..all() };
    let updated = |updated| Filter { updated, ..all() };
    let since = |state_since| Filter {
        state_since,
        ..all()
    };
    let deleted = |deleted| Filter { deleted, ..all() };
    let between = Between {
        from: Some(cast.failed.created_at),
        until: Some(cast.both.created_at),
    };
    let gone_at = cast.gone.deleted_at.unwrap();
    let newest = updated(from(cast.held.updated_at));
    let rows: [(Filter, &[&str]); 10] = [
        (created(from(cast.both.created_at)), &["both", "held"]),
        (created(until(cast.ready.created_at)), &["asked", "failed"]),
        (created(between), &["failed", "ready"]),
        (updated(until(cast.failed.updated_at)), &["asked"]),
        (since(from(cast.held.state_since)), &["held"]),
        (since(until(cast.failed.state_since)), &["asked"]),
        (newest.clone(), &["held"]),
        (
            Filter {
                include_deleted: true,
                ..newest
            },
            &["gone", "held"],
        ),
        (deleted(from(gone_at)), &["gone"]),
        (deleted(until(gone_at)), &[]),
    ];
    check(&setup, &rows).await;
}

pub async fn random_filters_select_what_the_rules_say(factory: &dyn Factory) {
    for seed in [1, 2] {
        let setup = Setup::new(factory).await;
        let mut dice = Dice::new(seed);
        let mut tenants = fleet(&setup, &mut dice, 20).await;
        for round in 0..75 {
            let filter = dice.filter(&tenants);
            let direction = *dice.pick(&[Direction::Ascending, Direction::Descending]);
            tenants.sort_by_key(|tenant| tenant.id);
            if direction == Direction::Descending {
                tenants.reverse();
            }
            let limit = PageSize::new(*dice.pick(&[1, 2, 5, 50])).unwrap();
            let query = Query {
                filter: filter.clone(),
                direction,
                limit,
                after: None,
            };
            let expected: Vec<Summary> = tenants
                .iter()
                .filter(|tenant| filter.matches(tenant))
                .map(Summary::from)
                .collect();
            let walked = walk(&*setup.store, &query).await;
            assert_eq!(walked, expected, "seed {seed}, round {round}: {query:?}");
            let counted = setup.store.count(&filter).await.unwrap();
            assert_eq!(
                counted,
                counts(&expected),
                "seed {seed}, round {round}: {filter:?}"
            );
        }
        setup.store.close().await;
    }
}

/// How many there are in each state, every state present.
fn counts(tenants: &[Summary]) -> BTreeMap<State, u64> {
    let mut counts: BTreeMap<State, u64> = State::ALL.map(|state| (state, 0)).into();
    for tenant in tenants {
        *counts.entry(tenant.state).or_default() += 1;
    }
    counts
}

pub async fn counts_are_those_of_the_list(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    assert_eq!(
        setup.store.count(&Filter::default()).await.unwrap(),
        counts(&[])
    );
    for state in State::ALL {
        setup.lead_to(state.as_str(), state).await;
    }
    for include_deleted in [false, true] {
        let filter = Filter {
            include_deleted,
            ..Filter::default()
        };
        let listed = walk(&*setup.store, &of(filter.clone())).await;
        assert_eq!(listed.len(), 8 + usize::from(include_deleted));
        assert_eq!(setup.store.count(&filter).await.unwrap(), counts(&listed));
    }
}

pub async fn the_deleted_are_hidden_unless_asked_for(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let old = setup.lead_to("acme", State::Deleted).await;
    let new = setup.create("acme").await;
    let list = async |filter: Filter| ids(&walk(&*setup.store, &of(filter)).await);
    let all = Filter::default();
    assert_eq!(list(all.clone()).await, [new.id]);
    assert_eq!(
        list(Filter {
            include_deleted: true,
            ..all.clone()
        })
        .await,
        [old.id, new.id]
    );
    assert_eq!(
        list(Filter {
            states: [State::Deleted].into(),
            ..all.clone()
        })
        .await,
        [old.id]
    );
    let deleted = Between {
        from: old.deleted_at,
        until: None,
    };
    assert_eq!(list(Filter { deleted, ..all }).await, [old.id]);
}

pub async fn labels_match_byte_by_byte(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let values = ["a_b", "a.b", "aXb", "A_B", "a", "ab", ""];
    for (n, value) in values.into_iter().enumerate() {
        let labels = Labels::parse([("k_y".into(), value.into())].into()).unwrap();
        let wanted = Wanted {
            labels: Some(labels),
            ..setup.wanted(&format!("t{n}"))
        };
        setup.write(&setup.creation(wanted)).await;
    }
    for (n, value) in values.into_iter().enumerate() {
        let selector: Selector = format!("k_y={value}").parse().unwrap();
        let filter = Filter {
            selector,
            ..Filter::default()
        };
        let found = walk(&*setup.store, &of(filter)).await;
        assert_eq!(names(&found), [format!("t{n}")], "k_y={value}");
    }
    for other in ["kXy", "K_Y", "k.y", "k", "x.io/k_y"] {
        let filter = Filter {
            selector: other.parse().unwrap(),
            ..Filter::default()
        };
        assert_eq!(walk(&*setup.store, &of(filter)).await, [], "{other}");
    }
}
