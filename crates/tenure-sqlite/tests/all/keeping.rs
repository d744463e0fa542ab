//! Copies, the log, damage, and closing.

use std::fs;
use std::sync::Arc;

use tenure::conformance::{Database as _, Setup, patch};
use tenure::{Commit, Freshness, PageSize, State, StoreError, TenantRef};
use tenure_sqlite::SqliteStore;

use crate::conformance::Files;
use crate::support::{On, Scratch};

#[tokio::test]
async fn a_backup_of_a_store_in_use_holds_what_was_acknowledged() {
    let scratch = Arc::new(Scratch::new());
    let store = SqliteStore::open(scratch.path(), scratch.options()).unwrap();
    let setup = Setup::new(&Files).await;
    let change = setup.creation(setup.wanted("acme"));
    tenure::Records::commit(&store, &change).await.unwrap();
    let end = tenure::Queries::changes_end(&store).await.unwrap();

    let other = Scratch::new();
    fs::write(other.path(), "an older backup").unwrap();
    store.backup(other.path()).await.unwrap();
    let copy = other.open().await.unwrap();
    let who = TenantRef::Id(change.tenant().id);
    let record = copy.get(&who, Freshness::Primary).await.unwrap().unwrap();
    assert_eq!(record.tenant, *change.tenant());
    // It will take other changes than the original: its feed is another.
    let expired = copy.changes(Some(&end), PageSize::MAX).await;
    assert!(
        matches!(expired, Err(StoreError::CursorExpired)),
        "{expired:?}"
    );
    let files = fs::read_dir(other.path().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(files.into_iter().all(|name| !name.contains("partial")));
}

#[tokio::test]
async fn p11_the_log_does_not_grow_with_what_is_written() {
    let scratch = Arc::new(Scratch::new());
    let mut options = scratch.options();
    options.checkpoint_pages = 100;
    let store = SqliteStore::open(scratch.path(), options).unwrap();
    let setup = Setup::new(&Files).await;
    let empty = fs::metadata(scratch.path()).unwrap().len();
    let mut tenant = setup.creation(setup.wanted("acme"));
    tenure::Records::commit(&store, &tenant).await.unwrap();
    for _ in 0..40 {
        let mut changes = Vec::new();
        for _ in 0..40 {
            let next = patch("blob", format!("{:08}", setup.tick()).repeat(1_000));
            tenant = setup.change(tenant.tenant(), &next);
            changes.push(tenant.clone());
        }
        for answer in tenure::Records::commit_many(&store, &changes).await {
            assert!(matches!(answer, Ok(Commit::Applied { .. })), "{answer:?}");
        }
    }
    let size = |path| fs::metadata(path).unwrap().len();
    let (file, log) = (
        size(scratch.path()),
        size(scratch.path().with_extension("db-wal")),
    );
    assert!(file > empty, "nothing was moved into the file");
    assert!(log < 8 * 1024 * 1024, "the log has {log} bytes");
}

#[tokio::test]
async fn p3_a_flipped_bit_in_a_document_is_named_and_never_served() {
    let scratch = Arc::new(Scratch::new());
    let setup = Setup::new(&On(Arc::clone(&scratch))).await;
    let tenant = setup
        .command(&setup.create("acme").await, &patch("plan", "gold"))
        .await;
    let flip = "UPDATE documents SET body = replace(body, 'gold', 'golf') WHERE body LIKE '%gold%'";
    assert_eq!(scratch.raw(flip).await, Some(Ok(1)));
    let who = TenantRef::Id(tenant.id);
    let errors = [
        setup.store.get(&who, Freshness::Primary).await.unwrap_err(),
        setup.store.load(&who, None).await.unwrap_err(),
        setup
            .store
            .documents(tenant.id, &[tenant.desired.hash()])
            .await
            .unwrap_err(),
        setup
            .store
            .as_of(tenant.id, tenure::AsOf::Revision(tenant.revision))
            .await
            .unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{text}");
        assert!(
            text.contains(&tenant.id.to_string()) && text.contains("altered"),
            "{text}"
        );
        assert!(!text.contains("golf"), "{text}");
    }
}

#[tokio::test]
async fn a_column_that_breaks_its_rule_is_named() {
    let scratch = Arc::new(Scratch::new());
    let setup = Setup::new(&On(Arc::clone(&scratch))).await;
    let tenant = setup.create("acme").await;
    // As a fault of the disk could leave it, past all guards.
    let shell = scratch.shell();
    shell
        .pragma_update(None, "ignore_check_constraints", true)
        .unwrap();
    shell
        .execute_batch("DROP TRIGGER tenants_changed_with_history")
        .unwrap();
    shell
        .execute_batch("UPDATE tenants SET state = 'confused', name = 'acme'")
        .unwrap();
    let error = setup
        .store
        .get(&TenantRef::Id(tenant.id), Freshness::Primary)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{text}");
    assert!(
        text.contains("tenants.state") && text.contains(&tenant.id.to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn p2_closing_writes_what_is_queued_and_refuses_what_comes() {
    let scratch = Arc::new(Scratch::new());
    let setup = Setup::new(&On(Arc::clone(&scratch))).await;
    let mut waiting = Vec::new();
    for number in 0..100 {
        let change = setup.creation(setup.wanted(&format!("t{number}")));
        let store = Arc::clone(&setup.store);
        waiting.push(tokio::spawn(async move {
            let answer = store.commit(&change).await;
            (change.tenant().id, answer)
        }));
        if number == 50 {
            tokio::task::yield_now().await;
        }
    }
    setup.store.close().await;
    setup.store.close().await;
    // A file that is closed is whole without its log.
    assert!(!scratch.path().with_extension("db-wal").exists());
    let mut answers = Vec::new();
    for answer in waiting {
        answers.push(answer.await.unwrap());
    }
    assert!(matches!(setup.store.now().await, Err(StoreError::Closed)));
    let setup = setup.reopen().await.unwrap();
    for (id, answer) in answers {
        let there = setup
            .store
            .get(&TenantRef::Id(id), Freshness::Primary)
            .await
            .unwrap()
            .is_some();
        match answer {
            Ok(_) => assert!(there),
            Err(StoreError::Closed) => assert!(!there),
            Err(other) => panic!("{other:?}"),
        }
    }
    setup.lead_to("after", State::Ready).await;
}

#[cfg(unix)]
#[tokio::test]
async fn p12_the_file_is_for_its_owner_alone_and_has_one_lock_by_any_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let store = scratch.open().await.unwrap();
    let mode = fs::metadata(scratch.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let link = scratch.path().with_file_name("link.db");
    std::os::unix::fs::symlink(scratch.path(), &link).unwrap();
    let error = SqliteStore::open(&link, scratch.options()).unwrap_err();
    assert!(
        matches!(error, tenure_sqlite::OpenError::InUse { .. }),
        "{error:?}"
    );
    store.close().await;
}
