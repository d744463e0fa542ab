//! Following the change feed.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::dice::Dice;
use super::fleet::{fleet, walk};
use super::{Factory, Setup, applied, patch, together};
use crate::check::{Finding, feed, feed_resumes, histories};
use crate::{
    Command, Commit, Cursor, Engine, Fence, Line, PageSize, Query, Revision, Store, StoreError,
    Sweep, TenantId, TenantRef, Under,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_feed {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases feed [
            p10_every_change_comes_once_and_in_order,
            p10_the_feed_can_be_resumed_behind_every_change,
            p10_a_reader_beside_many_writers_misses_nothing,
            p10_listing_and_then_following_misses_nothing,
            p10_what_was_not_written_is_not_in_the_feed,
            the_end_of_the_feed_leads_on,
            a_pruned_feed_says_so_and_never_skips,
            a_cursor_of_another_feed_is_expired,
            p10_all_stores_on_one_database_tell_the_same_feed,
        ] $($arg)* }
    };
}

/// How long a reader waits for changes that are committed but not served yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads on from a cursor in pages of this size, until `enough` is true of what was read.
async fn follow(
    store: &dyn Store,
    mut after: Option<Cursor>,
    limit: u64,
    enough: impl Fn(&[Line]) -> bool + Send + Sync,
) -> (Vec<Line>, Option<Cursor>) {
    let mut read = Vec::new();
    let reading = async {
        while !enough(&read) {
            let changes = store
                .changes(after.as_ref(), PageSize::new(limit).unwrap())
                .await;
            let changes = changes.unwrap();
            assert!(
                changes.lines.len() <= usize::try_from(limit).unwrap(),
                "a page too large"
            );
            if changes.lines.is_empty() {
                store.idle(&[], Duration::from_millis(5)).await;
            }
            read.extend(changes.lines);
            after = Some(changes.next);
        }
    };
    // Without an end in sight, what was read so far says best what is missing.
    drop(tokio::time::timeout(PATIENCE, reading).await);
    (read, after)
}

/// What a whole feed, read as this, gets wrong.
async fn wrong(store: &dyn Store, read: &[Line]) -> Vec<Finding> {
    feed(read, &histories(store).await.unwrap(), &BTreeMap::new())
}

pub async fn p10_every_change_comes_once_and_in_order(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenants = fleet(&setup, &mut Dice::new(3), 12).await;
    let total: u64 = tenants.iter().map(|tenant| tenant.revision.get()).sum();
    let total = usize::try_from(total).unwrap();
    let (whole, _) = follow(&*setup.store, None, 500, |read| read.len() >= total).await;
    assert_eq!(wrong(&*setup.store, &whole).await, []);
    for limit in [1, 2, 7] {
        let (read, end) = follow(&*setup.store, None, limit, |read| read.len() >= total).await;
        assert_eq!(read, whole, "in pages of {limit}");
        let rest = setup
            .store
            .changes(end.as_ref(), PageSize::MAX)
            .await
            .unwrap();
        assert_eq!(rest.lines, []);
    }
}

pub async fn p10_the_feed_can_be_resumed_behind_every_change(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenants = [setup.create("a").await, setup.create("b").await];
    for n in 0..8 {
        let at = usize::from(n % 3 == 0);
        tenants[at] = setup.command(&tenants[at], &patch("n", n)).await;
    }
    let (whole, _) = follow(&*setup.store, None, 500, |read| read.len() >= 10).await;
    let mut cursor = None;
    for behind in 0..=10 {
        let enough = |read: &[Line]| read.len() >= 10 - behind;
        let (rest, _) = follow(&*setup.store, cursor.clone(), 500, enough).await;
        assert_eq!(
            feed_resumes(&whole, behind, &rest),
            [],
            "behind {behind} changes"
        );
        let one = setup
            .store
            .changes(cursor.as_ref(), PageSize::new(1).unwrap())
            .await
            .unwrap();
        cursor = Some(one.next.to_string().parse().unwrap());
    }
}

/// Writers that change their tenants, all at once, and how many changes they make in all.
async fn writers(setup: &Setup, many: u64, changes: u64) -> (impl Future<Output = ()>, usize) {
    let mut tasks = Vec::new();
    for n in 0..many {
        let tenant = setup.create(&format!("w{n}")).await.id;
        let requests: Vec<_> = (0..changes)
            .map(|change| setup.request(TenantRef::Id(tenant), patch("n", change)))
            .collect();
        let engine = Engine::new(Arc::clone(&setup.store));
        tasks.push(async move {
            for request in requests {
                engine.execute(&request).await.unwrap();
            }
        });
    }
    let all = async { drop(together(tasks).await) };
    (all, usize::try_from(many * (changes + 1)).unwrap())
}

pub async fn p10_a_reader_beside_many_writers_misses_nothing(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let (writing, total) = writers(&setup, 8, 25).await;
    let reading = follow(&*setup.store, None, 3, |read| read.len() >= total);
    let ((), (read, end)) = tokio::join!(writing, reading);
    assert_eq!(wrong(&*setup.store, &read).await, []);
    let (again, _) = follow(&*setup.store, None, 500, |read| read.len() >= total).await;
    assert_eq!(read, again, "the feed says later what it said before");
    assert_eq!(
        setup
            .store
            .changes(end.as_ref(), PageSize::MAX)
            .await
            .unwrap()
            .lines,
        []
    );
}

pub async fn p10_listing_and_then_following_misses_nothing(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let (writing, _) = writers(&setup, 6, 30).await;
    let watching = async {
        // Some of the writing is done before, some during, some after the list.
        tokio::task::yield_now().await;
        let end = setup.store.changes_end().await.unwrap();
        (
            end,
            walk(
                &*setup.store,
                &Query {
                    limit: PageSize::new(2).unwrap(),
                    ..Query::default()
                },
            )
            .await,
        )
    };
    let ((), (end, listed)) = tokio::join!(writing, watching);
    let known: BTreeMap<TenantId, Revision> = listed.iter().map(|t| (t.id, t.revision)).collect();
    let histories = histories(&*setup.store).await.unwrap();
    let complete = |read: &[Line]| feed(read, &histories, &known).is_empty();
    let (read, _) = follow(&*setup.store, Some(end), 500, complete).await;
    assert_eq!(feed(&read, &histories, &known), []);
}

pub async fn p10_what_was_not_written_is_not_in_the_feed(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let stale = setup.change(&tenant, &Command::Suspend);
    let tenant = setup.command(&tenant, &patch("n", 1)).await;
    let nobody = Under {
        fence: Fence::new(9),
        release: true,
    };
    let unknown = setup.creation(setup.wanted("never"));
    let unknown = setup.change(unknown.tenant(), &Command::Suspend);
    for (change, expected) in [
        (
            stale,
            Commit::Conflict {
                actual: tenant.revision,
            },
        ),
        (setup.creation(setup.wanted("acme")), Commit::NameTaken),
        (
            setup.change(&tenant, &Command::Suspend).under(nobody),
            Commit::LeaseLost,
        ),
        (unknown, Commit::NotFound),
    ] {
        assert_eq!(setup.store.commit(&change).await.unwrap(), expected);
    }
    let last = setup.change(&tenant, &Command::Delete);
    applied(setup.store.commit(&last).await);
    applied(setup.store.commit(&last).await);
    let (read, _) = follow(&*setup.store, None, 500, |read| read.len() >= 3).await;
    assert_eq!(read.len(), 3);
    assert_eq!(wrong(&*setup.store, &read).await, []);
}

pub async fn the_end_of_the_feed_leads_on(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let nothing = setup.store.changes(None, PageSize::MAX).await.unwrap();
    assert_eq!(nothing.lines, []);
    let start = setup.store.changes_end().await.unwrap();
    let first = setup.create("first").await;
    for cursor in [None, Some(nothing.next), Some(start)] {
        let (read, end) = follow(&*setup.store, cursor, 500, |read| !read.is_empty()).await;
        assert_eq!(
            read.iter().map(|line| line.tenant).collect::<Vec<_>>(),
            [first.id]
        );
        let rest = setup
            .store
            .changes(end.as_ref(), PageSize::MAX)
            .await
            .unwrap();
        assert_eq!(rest.lines, []);
    }
    let end = setup.store.changes_end().await.unwrap();
    let second = setup.create("second").await;
    let (read, _) = follow(&*setup.store, Some(end), 500, |read| !read.is_empty()).await;
    assert_eq!(
        read.iter().map(|line| line.tenant).collect::<Vec<_>>(),
        [second.id]
    );
}

/// Takes away all feed entries that are older than this.
async fn prune(setup: &Setup, older_than: Duration) {
    let batch = PageSize::new(1).unwrap();
    let sweep = Sweep {
        batch,
        feed_retention: Some(older_than),
    };
    while setup.store.sweep(sweep).await.unwrap() > 0 {}
}

pub async fn a_pruned_feed_says_so_and_never_skips(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let tenant = setup.command(&tenant, &patch("n", 1)).await;
    let (_, behind_one) = follow(&*setup.store, None, 1, |read| !read.is_empty()).await;
    let (_, behind_two) = follow(&*setup.store, None, 1, |read| read.len() == 2).await;
    let keeping = Sweep {
        batch: PageSize::MAX,
        feed_retention: None,
    };
    setup.store.sweep(keeping).await.unwrap();
    let (kept, _) = follow(&*setup.store, None, 500, |read| read.len() >= 2).await;
    assert_eq!(kept.len(), 2, "a sweep without retention keeps the feed");

    let while_ago = setup.short().await;
    setup.pass(while_ago).await;
    setup.command(&tenant, &patch("n", 2)).await;
    prune(&setup, while_ago / 2).await;

    let expired = setup
        .store
        .changes(behind_one.as_ref(), PageSize::MAX)
        .await;
    assert!(
        matches!(expired, Err(StoreError::CursorExpired)),
        "{expired:?}"
    );
    for cursor in [behind_two, None] {
        let (read, _) = follow(&*setup.store, cursor, 500, |read| !read.is_empty()).await;
        assert_eq!(
            read.iter()
                .map(|line| line.revision.get())
                .collect::<Vec<_>>(),
            [3]
        );
    }
    // The history keeps what the feed gave up.
    assert_eq!(setup.history(tenant.id).await.len(), 3);
}

pub async fn a_cursor_of_another_feed_is_expired(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.create("acme").await;
    let (epoch, position) = setup.store.changes_end().await.unwrap().as_feed().unwrap();
    let another = Uuid::from_u128(epoch.as_u128() ^ 1);
    for position in [(0, 0), position] {
        let cursor = Cursor::feed(another, position);
        let answer = setup.store.changes(Some(&cursor), PageSize::MAX).await;
        assert!(
            matches!(answer, Err(StoreError::CursorExpired)),
            "{answer:?}"
        );
    }
}

pub async fn p10_all_stores_on_one_database_tell_the_same_feed(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let Some(second) = setup.second().await else {
        return;
    };
    let tenant = setup.create("acme").await;
    applied(
        second
            .commit(&setup.change(&tenant, &Command::Suspend))
            .await,
    );
    applied(second.commit(&setup.creation(setup.wanted("other"))).await);
    let (read, _) = follow(&*setup.store, None, 500, |read| read.len() >= 3).await;
    assert_eq!(wrong(&*setup.store, &read).await, []);
    let (other, _) = follow(&*second, None, 1, |read| read.len() >= 3).await;
    assert_eq!(other, read);
    second.close().await;
}
