//! Making the schema, fitting it, and what the application's role may do with it.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use std::sync::Arc;
use std::time::Duration;

use fleet::{Way, connect};
use support::TestCluster;
use tenure::conformance::{Setup, patch, room};
use tenure::{
    Attempt, PageSize, Queries, Query, Readiness, Records, State, Store, StoreError, Sweep,
    TenantRef, Upkeep, Wake,
};
use tenure_postgres::{MigrateError, MigrateOptions, Options, PostgresStore, migrate};

fn store(url: &str) -> PostgresStore {
    let mut options = Options::default();
    options.readiness_ttl = Duration::ZERO;
    PostgresStore::connect(url, options).unwrap()
}

#[tokio::test]
async fn a_store_says_what_to_run_on_an_empty_database() {
    let database = TestCluster::shared().await.empty_database().await;
    let store = store(database.url());
    assert_eq!(store.readiness().await, Readiness::NotMigrated);
    let error = store.list(&Query::default()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::NotReady(Readiness::NotMigrated)),
        "{error:?}"
    );

    let migrated = migrate(database.url(), MigrateOptions::default())
        .await
        .unwrap();
    assert_eq!(migrated.applied.len(), 1);
    assert_eq!(store.readiness().await, Readiness::Ready { schema: 1 });
    assert!(
        store
            .list(&Query::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let place = Way::Named.place().await;
    let identity = "SELECT store_id::text || feed_epoch::text FROM store_meta";
    let client = place.connect().await;
    let before: String = client.query_one(identity, &[]).await.unwrap().get(0);
    let again = migrate(place.url(), MigrateOptions::default())
        .await
        .unwrap();
    assert_eq!((again.applied, again.level), (Vec::new(), 1));
    let after: String = client.query_one(identity, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn of_migrations_at_the_same_time_one_does_the_work() {
    let database = TestCluster::shared().await.empty_database().await;
    let run = || migrate(database.url(), MigrateOptions::default());
    let (a, b, c) = tokio::join!(run(), run(), run());
    let applied: usize = [a, b, c]
        .into_iter()
        .map(|done| done.unwrap().applied.len())
        .sum();
    assert_eq!(applied, 1);
}

#[tokio::test]
async fn a_migration_does_not_wait_for_ever_for_another() {
    let place = Way::Named.place().await;
    let client = place.connect().await;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&0x7465_6e75_7265_i64])
        .await
        .unwrap();
    let mut options = MigrateOptions::default();
    options.wait = Duration::ZERO;
    let error = migrate(place.url(), options).await.unwrap_err();
    assert!(matches!(error, MigrateError::Locked), "{error:?}");
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let place = Way::Named.place().await;
    let client = place.connect().await;
    let name: String = client
        .query_one("SELECT current_database()", &[])
        .await
        .unwrap()
        .get(0);
    let latin = format!("{name}_latin");
    client
        .batch_execute(&format!(
            "CREATE DATABASE {latin} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        ))
        .await
        .unwrap();
    let url = place.url().replace(&name, &latin);
    let error = migrate(&url, MigrateOptions::default()).await.unwrap_err();
    client
        .batch_execute(&format!("DROP DATABASE {latin}"))
        .await
        .unwrap();
    assert!(matches!(error, MigrateError::Encoding { .. }), "{error:?}");
}

#[tokio::test]
async fn a_schema_that_this_binary_does_not_know_is_not_touched() {
    let setup = Setup::new(&Way::Named).await;
    let tenant = setup.create("acme").await;
    let change = setup.change(&tenant, &patch("plan", "gold"));
    for (levels, expected) in [
        ("schema_level = 2", Readiness::Ready { schema: 2 }),
        (
            "schema_level = 9, min_writer = 9",
            Readiness::TooNew {
                needed: 9,
                known: 1,
            },
        ),
    ] {
        setup
            .raw(&format!("UPDATE store_meta SET {levels}"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(setup.store.readiness().await, expected);
    }
    let error = setup.store.commit(&change).await.unwrap_err();
    assert!(
        matches!(error, StoreError::NotReady(Readiness::TooNew { .. })),
        "{error:?}"
    );
    setup
        .raw("UPDATE store_meta SET min_writer = 1")
        .await
        .unwrap()
        .unwrap();
    assert!(setup.store.commit(&change).await.is_ok());
}

#[tokio::test]
async fn a_schema_that_lost_a_table_makes_the_store_not_ready() {
    let setup = Setup::new(&Way::Named).await;
    setup.create("acme").await;
    setup.raw("DROP TABLE store_meta").await.unwrap().unwrap();
    setup
        .raw("ALTER TABLE tenants RENAME TO lost")
        .await
        .unwrap()
        .unwrap();
    let error = setup.store.list(&Query::default()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::NotReady(Readiness::NotMigrated)),
        "{error:?}"
    );
}

/// A database whose application connects as a role of its own, and the URL for that.
async fn with_role() -> (fleet::Postgres, String) {
    let place = Way::Named.place().await;
    let client = place.connect().await;
    let name: String = client
        .query_one("SELECT current_database()", &[])
        .await
        .unwrap()
        .get(0);
    let role = format!("app_{name}");
    client
        .batch_execute(&format!("CREATE ROLE {role} LOGIN"))
        .await
        .unwrap();
    // The suite's own clock reads a table of its own.
    client
        .batch_execute("GRANT SELECT ON test_clock TO PUBLIC")
        .await
        .unwrap();
    let mut options = MigrateOptions::default();
    options.app_role = Some(role.clone());
    for _ in 0..2 {
        migrate(place.url(), options.clone()).await.unwrap();
    }
    let url = place.url().replace("://postgres@", &format!("://{role}@"));
    assert_ne!(url, place.url());
    (place, url)
}

#[tokio::test]
async fn p12_the_application_role_can_do_all_that_the_store_does() {
    let (_place, url) = with_role().await;
    let setup = Setup::new(&Way::Named).await; // for its decisions only
    let store: Arc<dyn Store> = Arc::new(store(&url));
    let mut wanted = setup.wanted("acme");
    wanted.labels = Some(tenure::Labels::parse([("tier".into(), "gold".into())].into()).unwrap());
    let creation = setup.creation(wanted);
    let key = tenure::conformance::key("k", "request");
    let creation = creation.with_key(Some(key.clone()));
    assert!(matches!(
        store.commit(&creation).await,
        Ok(tenure::Commit::Applied { .. })
    ));
    let mut tenant = creation.tenant().clone();
    for command in [
        patch("plan", "gold"),
        tenure::Command::Annotate {
            labels: [
                ("tier".to_owned(), None),
                ("cell".to_owned(), Some("7".to_owned())),
            ]
            .into(),
            annotations: [].into(),
        },
        tenure::Command::Hold,
        tenure::Command::Release,
    ] {
        let change = setup.change(&tenant, &command);
        assert!(matches!(
            store.commit(&change).await,
            Ok(tenure::Commit::Applied { .. })
        ));
        tenant = change.tenant().clone();
    }
    let other = tenure::conformance::key("other", "request");
    let remembered = store.remember(tenant.id, tenant.revision, &other).await;
    assert!(
        matches!(remembered, Ok(tenure::Commit::Applied { .. })),
        "{remembered:?}"
    );
    let who = TenantRef::Id(tenant.id);
    store
        .load(&who, Some((&key.scope, &key.key)))
        .await
        .unwrap()
        .record
        .unwrap();
    store
        .get(&who, tenure::Freshness::Strong)
        .await
        .unwrap()
        .unwrap();
    store.list(&Query::default()).await.unwrap();
    store.changes(None, PageSize::MAX).await.unwrap();
    store.changes_end().await.unwrap();
    store.facets(tenant.id).await.unwrap();
    works_and_sweeps(&store).await;
}

async fn works_and_sweeps(store: &Arc<dyn Store>) {
    let leases = store
        .claim("worker", &[room(Duration::from_mins(1))])
        .await
        .unwrap();
    let lease = store
        .renew(&leases[0], Duration::from_mins(1))
        .await
        .unwrap()
        .unwrap();
    assert!(
        store
            .release(&lease, &Attempt::Clean, Wake::Never)
            .await
            .unwrap()
    );
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: Some(Duration::ZERO),
    };
    assert!(store.sweep(sweep).await.unwrap() > 0);
}

#[tokio::test]
async fn p12_the_application_role_can_not_rewrite_history() {
    let (place, url) = with_role().await;
    let setup = Setup::new(&Way::Named).await;
    let store = store(&url);
    let creation = setup.creation(setup.wanted("acme"));
    store.commit(&creation).await.unwrap();
    let client = connect(&url).await;
    for statement in [
        "UPDATE history SET message = 'it was not me'",
        "DELETE FROM history",
        "TRUNCATE history CASCADE",
        "UPDATE documents SET body = '{}'",
        "DELETE FROM documents",
        "DELETE FROM tenants",
        "UPDATE tenants SET name = 'other'",
        "ALTER TABLE history DISABLE TRIGGER ALL",
        "DROP TRIGGER history_append_only ON history",
        "DROP TABLE history",
        "UPDATE store_meta SET min_writer = 9",
        "UPDATE state_edges SET to_state = 'ready'",
        "DELETE FROM work",
        "SET session_replication_role = replica",
    ] {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(
            error.code().unwrap().code(),
            "42501",
            "{statement}: {error:?}"
        );
    }
    drop(place);
}

#[tokio::test]
async fn a_role_that_is_not_there_is_named() {
    let place = Way::Named.place().await;
    let mut options = MigrateOptions::default();
    options.app_role = Some("nobody; DROP TABLE tenants".to_owned());
    let error = migrate(place.url(), options).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::NoSuchRole { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_feed_of_another_cluster_is_forgotten() {
    let setup = Setup::new(&Way::Named).await;
    let tenant = setup.lead_to("acme", State::Ready).await;
    let cursor = setup
        .store
        .changes(None, PageSize::default())
        .await
        .unwrap()
        .next;
    // As after a dump of a cluster that was further on was restored here.
    setup.raw("DELETE FROM feed").await.unwrap().unwrap();
    let foreign = "INSERT INTO feed (xact, tenant_id, revision) \
        SELECT '9000000000', tenant_id, revision FROM tenants";
    setup.raw(foreign).await.unwrap().unwrap();
    assert!(
        setup
            .store
            .changes(None, PageSize::MAX)
            .await
            .unwrap()
            .lines
            .is_empty()
    );
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: None,
    };
    assert_eq!(setup.store.sweep(sweep).await.unwrap(), 1);
    assert_eq!(setup.store.facets(tenant.id).await.unwrap().feed, (0, None));
    setup
        .raw("UPDATE store_meta SET feed_epoch = gen_random_uuid()")
        .await
        .unwrap()
        .unwrap();
    let error = setup
        .store
        .changes(Some(&cursor), PageSize::MAX)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::CursorExpired), "{error:?}");
}

#[tokio::test]
async fn p10_a_copy_in_the_same_cluster_is_another_feed() {
    // Of one template: what stands in their tables is the same, as after a dump was restored.
    let (one, copy) = (Way::Named.place().await, Way::Named.place().await);
    let identity = "SELECT store_id::text || feed_epoch::text FROM store_meta";
    let mut identities = Vec::new();
    for place in [&one, &copy] {
        let row = place.connect().await.query_one(identity, &[]).await;
        identities.push(row.unwrap().get::<_, String>(0));
    }
    assert_eq!(identities[0], identities[1]);
    let cursor = one.store(|_| ()).changes_end().await.unwrap();
    let goes_on = one
        .store(|_| ())
        .changes(Some(&cursor), PageSize::MAX)
        .await;
    assert!(goes_on.is_ok(), "{goes_on:?}");
    let error = copy
        .store(|_| ())
        .changes(Some(&cursor), PageSize::MAX)
        .await;
    assert!(matches!(error, Err(StoreError::CursorExpired)), "{error:?}");
}
