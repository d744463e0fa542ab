//! Lists agree with the rule that says what a filter selects, whichever index they go by.

use tenure::conformance::{MemoryFactory, Setup};
use tenure::{
    Between, Command, ConditionKind, Direction, Filter, PageSize, Query, Selector, State, Store,
    Summary,
};

use crate::conformance::Files;

/// Two stores with the same tenants: many states, labels, classes and conditions.
async fn twins() -> (Setup, Setup) {
    let (files, memory) = (Setup::new(&Files).await, Setup::new(&MemoryFactory).await);
    for setup in [&files, &memory] {
        for number in 0..48_u64 {
            let mut wanted = setup.wanted(&format!("t{number}"));
            let tier = ["gold", "silver", "bronze"][usize::try_from(number % 3).unwrap()];
            let mut labels =
                std::collections::BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
            if number % 4 == 0 {
                labels.insert("region".to_owned(), "eu".to_owned());
            }
            wanted.labels = Some(tenure::Labels::parse(labels).unwrap());
            wanted.class = (number % 5 == 0).then(|| "gpu".parse().unwrap());
            let tenant = setup.write(&setup.creation(wanted)).await;
            let commands: &[Command] = match number % 6 {
                0 => &[],
                1 => &[Command::Hold],
                2 => &[Command::Delete],
                3 => &[Command::Suspend, Command::Hold],
                4 => &[Command::Resume],
                _ => &[Command::Hold, Command::Release],
            };
            let mut tenant = tenant;
            for command in commands {
                if let tenure::Decision::Change(change) =
                    tenure::decide(Some(&tenant), command, &setup.context())
                {
                    tenant = setup.write(&change).await;
                }
            }
        }
        for (name, state) in [
            ("r", State::Ready),
            ("s", State::Suspended),
            ("d", State::Deleted),
        ] {
            for number in 0..5 {
                setup.lead_to(&format!("{name}{number}"), state).await;
            }
        }
    }
    (files, memory)
}

async fn walk(
    store: &dyn Store,
    filter: &Filter,
    direction: Direction,
    limit: u64,
) -> Vec<Summary> {
    let limit = PageSize::new(limit).unwrap();
    let mut query = Query {
        filter: filter.clone(),
        direction,
        after: None,
        limit,
    };
    let mut all = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        assert!(page.items.len() <= usize::from(limit.get()));
        all.extend(page.items);
        if page.next.is_none() {
            return all;
        }
        query.after = page.next;
    }
}

const SELECTORS: [&str; 12] = [
    "",
    "tier=gold",
    "tier in (gold, silver)",
    "tier!=gold",
    "tier notin (gold, bronze)",
    "region",
    "!region",
    "region=eu,tier=gold",
    "tier=gold,tier=silver",
    "nothing=here",
    "tier in (gold),region notin (eu)",
    "tier in (silver, gold), tier in (gold, bronze)",
];

const CONDITIONS: [&[ConditionKind]; 3] = [
    &[],
    &[ConditionKind::Held],
    &[ConditionKind::Held, ConditionKind::Failing],
];

const STATES: [&[State]; 4] = [
    &[],
    &[State::Ready],
    &[State::Deleting, State::Requested, State::Suspended],
    &[State::Deleted, State::Ready],
];

/// Every pairing of selectors, conditions and states, each with every other part of a filter.
fn filters(seen: &[Summary]) -> Vec<Filter> {
    let middle = seen[seen.len() / 2].created_at;
    let from = Between {
        from: Some(middle),
        until: None,
    };
    let until = Between {
        from: None,
        until: Some(middle),
    };
    let mut all = Vec::new();
    for selector in SELECTORS {
        let selector: Selector = selector.parse().unwrap();
        for (conditions, states) in CONDITIONS
            .iter()
            .flat_map(|kinds| STATES.map(|states| (kinds, states)))
        {
            let filter = Filter {
                selector: selector.clone(),
                conditions: conditions.iter().copied().collect(),
                states: states.iter().copied().collect(),
                ..Filter::default()
            };
            all.push(Filter {
                include_deleted: true,
                ..filter.clone()
            });
            all.push(Filter {
                class: Some("gpu".parse().unwrap()),
                ..filter.clone()
            });
            all.push(Filter {
                created: from,
                updated: from,
                ..filter.clone()
            });
            all.push(Filter {
                deleted: until,
                ..filter.clone()
            });
            all.push(Filter {
                state_since: until,
                ..filter.clone()
            });
            all.push(filter);
        }
    }
    all
}

#[tokio::test]
async fn p9_every_filter_selects_what_the_rule_says() {
    let (files, memory) = twins().await;
    let everything = Filter {
        include_deleted: true,
        ..Filter::default()
    };
    let seen = walk(&*memory.store, &everything, Direction::Ascending, 500).await;
    for filter in filters(&seen) {
        for (direction, limit) in [(Direction::Ascending, 7), (Direction::Descending, 500)] {
            let ours = walk(&*files.store, &filter, direction, limit).await;
            let model = walk(&*memory.store, &filter, direction, limit).await;
            assert_eq!(ours, model, "{filter:?} {direction:?}");
        }
        let ours = files.store.count(&filter).await.unwrap();
        assert_eq!(
            ours,
            memory.store.count(&filter).await.unwrap(),
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn a_label_with_very_many_values_is_still_a_filter() {
    let (files, memory) = twins().await;
    let values: Vec<String> = (0..500).map(|number| format!("v{number}")).collect();
    let selector = format!("tier in (gold, {})", values.join(", "));
    let filter = Filter {
        selector: selector.parse().unwrap(),
        ..Filter::default()
    };
    let ours = walk(&*files.store, &filter, Direction::Ascending, 50).await;
    assert!(!ours.is_empty());
    assert_eq!(
        ours,
        walk(&*memory.store, &filter, Direction::Ascending, 50).await
    );
}
