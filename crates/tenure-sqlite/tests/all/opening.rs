//! What stands in the way of opening a file, how it is said, and that nothing is lost by it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tenure::conformance::{Database as _, Setup, patch, room};
use tenure::{
    Attempt, Filter, Freshness, HistoryQuery, PageSize, Query, Readiness, State, StoreError, Sweep,
    TenantRef, Wake,
};
use tenure_sqlite::{OpenError, Options, SqliteStore};

use crate::mount::Mount;
use crate::support::{On, Scratch};

/// A closed database with one tenant.
async fn closed() -> (Setup, Arc<Scratch>) {
    let scratch = Arc::new(Scratch::new());
    let setup = Setup::new(&On(Arc::clone(&scratch))).await;
    setup.lead_to("acme", State::Ready).await;
    setup.store.close().await;
    (setup, scratch)
}

fn refused(path: &Path) -> OpenError {
    SqliteStore::open(path, Options::default()).expect_err("it must not open")
}

/// Asserts that an error says these words to a person.
fn says(error: &OpenError, words: &[&str]) {
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[tokio::test]
async fn a_file_in_use_is_refused_and_free_after_its_owner_closed_or_went() {
    let scratch = Scratch::new();
    let store = scratch.open().await.unwrap();
    let error = refused(&scratch.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    says(&error, &["tenure.db", "stop that process"]);
    store.close().await;
    let again = SqliteStore::open(scratch.path(), scratch.options()).unwrap();
    drop(again);
    drop(SqliteStore::open(scratch.path(), scratch.options()).unwrap());
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let letter = "Dear Sir or Madam, ".repeat(500);
    fs::write(scratch.path(), &letter).unwrap();
    let error = refused(&scratch.path());
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    says(&error, &["not an SQLite database", "check the path"]);
    assert_eq!(fs::read_to_string(scratch.path()).unwrap(), letter);
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    scratch
        .shell()
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .unwrap();
    let error = refused(&scratch.path());
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    says(&error, &["another program", "check the path"]);
    let tables: i64 = scratch
        .shell()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let (_setup, scratch) = closed().await;
    let mut bytes = fs::read(scratch.path()).unwrap();
    bytes
        .iter_mut()
        .skip(100)
        .take(200)
        .for_each(|byte| *byte = 0xff);
    fs::write(scratch.path(), &bytes).unwrap();
    let error = refused(&scratch.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    says(&error, &["damaged", "restore a backup"]);
    assert!(fs::read(scratch.path()).unwrap() == bytes);
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let scratch = Scratch::new();
    let error = refused(&scratch.path().join("deeper/tenure.db"));
    assert!(matches!(error, OpenError::NoDirectory { .. }), "{error:?}");
    says(&error, &["directory does not exist", "make the directory"]);
}

#[tokio::test]
async fn a_file_that_takes_no_writes_is_refused_and_left_alone() {
    let Some(mount) = Mount::of("8m") else { return };
    let path = mount.path().join("tenure.db");
    drop(SqliteStore::open(&path, Options::default()).unwrap());
    let before = fs::read(&path).unwrap();
    mount.remount("ro");
    let error = refused(&path);
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    says(&error, &["can't be written", "read-only"]);
    mount.remount("rw");
    assert!(fs::read(&path).unwrap() == before);
    drop(SqliteStore::open(&path, Options::default()).unwrap());
}

#[tokio::test]
async fn a_full_disk_refuses_to_open_and_says_so() {
    let Some(mount) = Mount::of("64k") else {
        return;
    };
    let error = refused(&mount.path().join("tenure.db"));
    assert!(matches!(error, OpenError::Full { .. }), "{error:?}");
    says(&error, &["full", "make room"]);
}

#[tokio::test]
async fn p2_a_full_disk_loses_nothing_and_room_makes_the_store_work_again() {
    let Some(mount) = Mount::of("3m") else { return };
    let scratch = Arc::new(Scratch::at(mount.path()));
    let setup = Setup::new(&On(Arc::clone(&scratch))).await;
    let first = setup.create("first").await;
    let ballast = mount.fill();
    let mut acknowledged = vec![first.id];
    let error = loop {
        let wanted = setup.wanted(&format!("t{}", setup.tick()));
        let change = setup.creation(wanted);
        match setup.store.commit(&change).await {
            Ok(_) => acknowledged.push(change.tenant().id),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert_eq!(setup.feed().await.len(), acknowledged.len());
    fs::remove_file(ballast).unwrap();
    acknowledged.push(setup.create("last").await.id);
    let setup = setup.reopen().await.unwrap();
    assert_eq!(setup.feed().await.len(), acknowledged.len());
    for id in acknowledged {
        setup.tenant(id).await;
    }
}

#[tokio::test]
async fn a_schema_that_is_too_new_opens_unready_and_refuses_every_call() {
    let (setup, scratch) = closed().await;
    let newer = "UPDATE store_meta SET schema_level = 9, min_reader = 9, min_writer = 9";
    scratch.shell().execute_batch(newer).unwrap();
    let before = scratch.dump();
    let store = scratch.open().await.unwrap();
    let told = Readiness::TooNew {
        needed: 9,
        known: 1,
    };
    assert_eq!(store.readiness().await, told);
    let nobody: TenantRef = "acme".parse().unwrap();
    let change = setup.creation(setup.wanted("new"));
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: None,
    };
    let history = HistoryQuery {
        after: None,
        direction: tenure::Direction::Ascending,
        transitions_only: false,
        kinds: BTreeSet::new(),
        limit: PageSize::MAX,
    };
    let lease = tenure::Lease {
        tenant: change.tenant().id,
        class: change.tenant().class.clone(),
        routine: false,
        fence: tenure::Fence::new(1),
        attempt: 1,
        until: change.at(),
        taken_over: false,
    };
    let id = change.tenant().id;
    let refusals = [
        store.load(&nobody, None).await.err(),
        store.commit(&change).await.err(),
        store.get(&nobody, Freshness::Strong).await.err(),
        store.list(&Query::default()).await.err(),
        store.count(&Filter::default()).await.err(),
        store.history(id, &history).await.err(),
        store.changes(None, PageSize::MAX).await.err(),
        store
            .claim("w", &[room(Duration::from_secs(1))])
            .await
            .err(),
        store
            .release(&lease, &Attempt::Clean, Wake::Now)
            .await
            .err(),
        store.sweep(sweep).await.err(),
        store.now().await.err(),
    ];
    for refusal in refusals {
        let is_told =
            matches!(&refusal, Some(StoreError::NotReady(readiness)) if *readiness == told);
        assert!(is_told, "{refusal:?}");
    }
    store.close().await;
    assert_eq!(scratch.dump(), before);
}

#[tokio::test]
async fn a_newer_schema_that_still_allows_this_program_is_used() {
    let (_setup, scratch) = closed().await;
    scratch
        .shell()
        .execute_batch("UPDATE store_meta SET schema_level = 9")
        .unwrap();
    let store = scratch.open().await.unwrap();
    assert_eq!(store.readiness().await, Readiness::Ready { schema: 9 });
    assert!(
        store
            .get(&"acme".parse().unwrap(), Freshness::Primary)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn p6_opening_frees_the_leases_of_a_process_that_is_gone() {
    let scratch = Arc::new(Scratch::new());
    let hour = Duration::from_hours(1);
    let setup = Setup::new(&On(Arc::clone(&scratch))).await;
    let later = setup.create("later").await;
    let lease = setup.claim_one(later.id, hour).await;
    let next = Wake::After(hour);
    let released = setup.store.release(&lease, &Attempt::Clean, next).await;
    assert!(released.unwrap());
    let check = setup.create("check").await;
    let lease = setup.claim_one(check.id, hour).await;
    let next = Wake::Check(Duration::ZERO);
    let released = setup.store.release(&lease, &Attempt::Clean, next).await;
    assert!(released.unwrap());
    let held = setup.claim_one(check.id, hour).await;
    let changed = setup.create("changed").await;
    let other = setup.claim_one(changed.id, hour).await;
    setup.command(&changed, &patch("n", 1)).await;
    let planned = setup.work(later.id).await;

    let setup = setup.reopen().await.unwrap();
    assert_eq!(setup.work(later.id).await, planned, "it had no lease");
    let now = setup.store.now().await.unwrap();
    let work = setup.work(check.id).await;
    assert_eq!((work.holder, work.lease_until), (None, None));
    assert_eq!((work.due_at, work.routine), (Some(now), true));
    assert_eq!((work.attempts, work.fence), (1, held.fence));
    let late = setup.store.release(&held, &Attempt::Clean, Wake::Never);
    assert!(!late.await.unwrap(), "a late report is refused");
    let leases = setup.claim("w", hour).await;
    let found = leases.iter().map(|lease| (lease.tenant, lease.routine));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [(changed.id, false), (check.id, true)]
    );
    assert_eq!(leases[1].fence, held.fence.next());
    assert_eq!(leases[0].fence, other.fence.next());
    let late = setup
        .change(&check, &patch("late", true))
        .under(tenure::Under {
            fence: held.fence,
            release: true,
        });
    let answer = setup.store.commit(&late).await.unwrap();
    assert_eq!(answer, tenure::Commit::LeaseLost);
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    let (_setup, scratch) = closed().await;
    let before = scratch.dump();
    for _ in 0..3 {
        scratch.open().await.unwrap().close().await;
    }
    assert_eq!(scratch.dump(), before);
}
