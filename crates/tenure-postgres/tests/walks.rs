//! Walks through lists and the feed: bounded, complete, and in order.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use fleet::Way;
use tenure::conformance::Setup;
use tenure::{Direction, Filter, PageSize, Queries, Query, Records, State};

#[tokio::test]
async fn p11_a_page_that_finds_too_little_ends_and_goes_on() {
    let place = Way::Named.place().await;
    let client = place.connect().await;
    let seed = include_str!("seed.sql").replace("1, 2000", "1, 12000");
    let seed = format!("SET session_replication_role = replica; {seed}; ANALYZE");
    client.batch_execute(&seed).await.unwrap();
    let rare = "UPDATE tenants SET class = 'rare', revision = revision WHERE name ~ '-(7|11501)$'";
    assert_eq!(client.execute(rare, &[]).await.unwrap(), 2);

    let store = place.store(|_| ());
    for direction in [Direction::Ascending, Direction::Descending] {
        for states in [BTreeSet::new(), [State::Ready].into()] {
            let class = Some("rare".parse().unwrap());
            let filter = Filter {
                class,
                states,
                ..Filter::default()
            };
            let mut query = Query {
                filter,
                direction,
                ..Query::default()
            };
            let first = store.list(&query).await.unwrap();
            assert_eq!(first.items.len(), 1, "the scan ends before the other");
            query.after = first.next;
            assert!(query.after.is_some());
            let second = store.list(&query).await.unwrap();
            assert_eq!((second.items.len(), second.next), (1, None));
            assert_ne!(first.items, second.items);
        }
    }
    // What fills a page is no different for it.
    let query = Query {
        limit: PageSize::MAX,
        ..Query::default()
    };
    let page = store.list(&query).await.unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (500, true));
}

#[tokio::test]
async fn p10_a_change_that_commits_late_is_not_skipped() {
    let (place, setup) = (Way::Named.place().await, Setup::new(&Way::Named).await);
    let store = place.store(|options| options.feed_wait = Duration::ZERO);
    let late = setup.creation(setup.wanted("late"));
    store.commit(&late).await.unwrap();
    let start = store.changes_end().await.unwrap();

    // An entry is taken out and put in again by a transaction that takes its time.
    let slow = place.connect().await;
    slow.batch_execute(
        "BEGIN; CREATE TEMP TABLE entry ON COMMIT DROP AS SELECT tenant_id, revision FROM feed; \
         DELETE FROM feed; INSERT INTO feed (tenant_id, revision) SELECT tenant_id, revision FROM entry",
    )
    .await
    .unwrap();
    let quick = setup.creation(setup.wanted("quick"));
    store.commit(&quick).await.unwrap();

    let seen = store.changes(Some(&start), PageSize::MAX).await.unwrap();
    assert_eq!(
        seen.lines,
        [],
        "nothing is served while something may still come before it"
    );
    slow.batch_execute("COMMIT").await.unwrap();
    let patient = place.store(|_| ());
    let seen = patient
        .changes(Some(&seen.next), PageSize::MAX)
        .await
        .unwrap();
    let tenants: Vec<_> = seen.lines.iter().map(|line| line.tenant).collect();
    assert_eq!(tenants, [late.tenant().id, quick.tenant().id]);
}
