//! Lists, and the cursors that lead from page to page.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeSet;

use super::fleet::{crowd, ids, walk};
use super::{Factory, Setup, patch, succeeded};
use crate::check::pages;
use crate::{
    ClassName, Command, Cursor, Direction, Filter, Operation, PageSize, Query, State, StoreError,
    Tenant, TenantId, Wanted,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_cursors {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases cursors [
            p11_lists_go_by_id_in_both_directions,
            p11_a_walk_with_any_page_size_gives_each_tenant_once,
            p11_a_page_has_at_most_500_tenants,
            a_full_last_page_has_no_next,
            p10_a_walk_during_writes_neither_skips_nor_repeats,
            a_cursor_of_another_query_is_refused,
            a_tampered_cursor_is_refused,
            a_cursor_takes_any_page_size,
            a_cursor_survives_a_restart,
        ] $($arg)* }
    };
}

fn size(size: u64) -> PageSize {
    PageSize::new(size).unwrap()
}

/// Takes a tenant down to the end.
async fn remove(setup: &Setup, tenant: &Tenant) -> Tenant {
    let tenant = setup.command(tenant, &Command::Delete).await;
    setup
        .report(&tenant, &succeeded(&tenant, Operation::Destroy))
        .await
}

pub async fn p11_lists_go_by_id_in_both_directions(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut expected = crowd(&setup, 20).await;
    let list = async |direction| {
        let page = setup
            .store
            .list(&Query {
                direction,
                ..Query::default()
            })
            .await
            .unwrap();
        ids(&page.items)
    };
    assert_eq!(list(Direction::Ascending).await, expected);
    expected.reverse();
    assert_eq!(list(Direction::Descending).await, expected);
}

pub async fn p11_a_walk_with_any_page_size_gives_each_tenant_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut expected = crowd(&setup, 23).await;
    for direction in [Direction::Ascending, Direction::Descending] {
        for limit in (1..=24).chain([500]) {
            let query = Query {
                direction,
                limit: size(limit),
                ..Query::default()
            };
            let walked = walk(&*setup.store, &query).await;
            assert_eq!(ids(&walked), expected, "in pages of {limit}, {direction:?}");
        }
        expected.reverse();
    }
}

pub async fn p11_a_page_has_at_most_500_tenants(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let expected = crowd(&setup, 501).await;
    let query = Query {
        limit: PageSize::MAX,
        ..Query::default()
    };
    let page = setup.store.list(&query).await.unwrap();
    assert_eq!(ids(&page.items), expected[..500]);
    let query = Query {
        after: page.next,
        ..query
    };
    let page = setup.store.list(&query).await.unwrap();
    assert_eq!(
        (ids(&page.items), page.next),
        (expected[500..].to_vec(), None)
    );

    let changes = setup.store.changes(None, PageSize::MAX).await.unwrap();
    assert_eq!(changes.lines.len(), 500);
    assert!(PageSize::new(501).is_err() && PageSize::new(0).is_err());
}

pub async fn a_full_last_page_has_no_next(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let empty = setup.store.list(&Query::default()).await.unwrap();
    assert_eq!((empty.items.len(), empty.next), (0, None));
    crowd(&setup, 6).await;
    for limit in [1, 2, 3, 6] {
        let mut query = Query {
            limit: size(limit),
            ..Query::default()
        };
        for page in 1..=6 / limit {
            let answer = setup.store.list(&query).await.unwrap();
            assert_eq!(answer.items.len(), usize::try_from(limit).unwrap());
            assert_eq!(
                answer.next.is_none(),
                page == 6 / limit,
                "page {page} of {limit}"
            );
            query.after = answer.next;
        }
    }
}

pub async fn p10_a_walk_during_writes_neither_skips_nor_repeats(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    // Ids in reserve, so that tenants also come to be where the walk has been already.
    let reserve: Vec<Vec<TenantId>> = (0..10)
        .map(|_| (0..4).map(|_| setup.id()).collect())
        .collect();
    let create = async |id: TenantId| {
        let name = format!("n{}", setup.tick());
        setup
            .write(&setup.creation(Wanted {
                id,
                ..setup.wanted(&name)
            }))
            .await
    };
    let mut throughout = BTreeSet::new();
    let mut leaving = Vec::new();
    for ids in &reserve {
        throughout.insert(create(ids[0]).await.id);
        throughout.insert(create(ids[1]).await.id);
        leaving.push(create(ids[2]).await);
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        let mut query = Query {
            direction,
            limit: size(2),
            ..Query::default()
        };
        let mut walked = Vec::new();
        let mut newcomers = reserve.iter().map(|ids| ids[3]);
        loop {
            let page = setup.store.list(&query).await.unwrap();
            walked.extend(ids(&page.items));
            // Everything moves while the walk goes on.
            if let Some(tenant) = leaving.pop() {
                remove(&setup, &tenant).await;
            }
            if let Some(id) = newcomers
                .next()
                .filter(|_| direction == Direction::Ascending)
            {
                create(id).await;
            }
            for id in throughout.iter().step_by(5) {
                let tenant = setup.tenant(*id).await;
                setup.command(&tenant, &patch("n", setup.tick())).await;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        assert_eq!(pages(&walked, &throughout), [], "{direction:?}");
    }
}

/// A cursor in the middle of a list.
async fn halfway(setup: &Setup, query: &Query) -> Cursor {
    let query = Query {
        limit: size(2),
        after: None,
        ..query.clone()
    };
    setup.store.list(&query).await.unwrap().next.unwrap()
}

pub async fn a_cursor_of_another_query_is_refused(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    crowd(&setup, 5).await;
    let vip = Some("vip".parse::<ClassName>().unwrap());
    let all = Filter::default();
    let queries: Vec<Query> = [
        (all.clone(), Direction::Ascending),
        (all.clone(), Direction::Descending),
        (
            Filter {
                include_deleted: true,
                ..all.clone()
            },
            Direction::Ascending,
        ),
        (
            Filter {
                states: [State::Requested].into(),
                ..all.clone()
            },
            Direction::Ascending,
        ),
        (
            Filter {
                selector: "!tier".parse().unwrap(),
                ..all.clone()
            },
            Direction::Ascending,
        ),
    ]
    .map(|(filter, direction)| Query {
        filter,
        direction,
        ..Query::default()
    })
    .into();
    let another = Query {
        filter: Filter { class: vip, ..all },
        ..Query::default()
    };
    for (n, query) in queries.iter().enumerate() {
        let cursor = halfway(&setup, query).await;
        for (m, other) in queries.iter().chain([&another]).enumerate() {
            let other = Query {
                after: Some(cursor.clone()),
                ..other.clone()
            };
            let answer = setup.store.list(&other).await;
            match answer {
                Ok(page) => assert_eq!((n, page.items.len()), (m, 3)),
                Err(StoreError::CursorInvalid) => assert_ne!(n, m),
                Err(error) => panic!("{error}"),
            }
        }
        let feed = setup.store.changes(Some(&cursor), size(1)).await;
        assert!(matches!(feed, Err(StoreError::CursorInvalid)), "{feed:?}");
    }
    let after = Some(setup.store.changes_end().await.unwrap());
    let list = setup
        .store
        .list(&Query {
            after,
            ..Query::default()
        })
        .await;
    assert!(matches!(list, Err(StoreError::CursorInvalid)), "{list:?}");
}

pub async fn a_tampered_cursor_is_refused(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    crowd(&setup, 5).await;
    let cursor = halfway(&setup, &Query::default()).await.to_string();
    let mut read = 0;
    for at in 0..cursor.len() {
        for with in ["A", "_", ""] {
            let mut tampered = cursor.clone();
            tampered.replace_range(at..=at, with);
            // What is no cursor at all is refused before it comes to a store.
            let Ok(after) = tampered.parse::<Cursor>() else {
                continue;
            };
            if tampered != cursor {
                let query = Query {
                    after: Some(after.clone()),
                    ..Query::default()
                };
                let list = setup.store.list(&query).await;
                assert!(
                    matches!(list, Err(StoreError::CursorInvalid)),
                    "{tampered}: {list:?}"
                );
                let feed = setup.store.changes(Some(&after), size(1)).await;
                assert!(
                    matches!(feed, Err(StoreError::CursorInvalid)),
                    "{tampered}: {feed:?}"
                );
                read += 1;
            }
        }
    }
    assert!(read > cursor.len(), "only {read} of these were cursors");
}

pub async fn a_cursor_takes_any_page_size(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let expected = crowd(&setup, 9).await;
    let mut query = Query::default();
    let mut walked = Vec::new();
    for limit in [1, 3, 2, 500] {
        query.limit = size(limit);
        let page = setup.store.list(&query).await.unwrap();
        walked.extend(ids(&page.items));
        query.after = page.next;
    }
    assert_eq!((walked, query.after), (expected, None));
}

pub async fn a_cursor_survives_a_restart(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let expected = crowd(&setup, 5).await;
    let after = Some(halfway(&setup, &Query::default()).await);
    let feed = setup.store.changes(None, size(2)).await.unwrap().next;
    let Some(setup) = setup.reopen().await else {
        return;
    };
    let page = setup
        .store
        .list(&Query {
            after,
            ..Query::default()
        })
        .await
        .unwrap();
    assert_eq!(ids(&page.items), expected[2..]);
    let changes = setup
        .store
        .changes(Some(&feed), PageSize::MAX)
        .await
        .unwrap();
    assert_eq!(changes.lines.len(), 3);
}
