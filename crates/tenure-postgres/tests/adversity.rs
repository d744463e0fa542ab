//! What happens when the database is slow, full of locks, read-only, restarted or killed: nothing
//! that was acknowledged is lost, and nothing is acknowledged that may be.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use std::sync::Arc;
use std::time::Duration;

use fleet::{Postgres, Way, connect};
use support::{Cluster, ClusterOptions};
use tenure::conformance::{Setup, patch};
use tenure::{
    Commit, Freshness, PageSize, Queries, Query, Readiness, Records, Revision, StoreError, Tenant,
    TenantRef, Upkeep,
};
use tenure_postgres::{MigrateOptions, Options, PostgresStore, migrate};
use tokio_postgres::Client;

const SECOND: Revision = Revision::new(2);

/// A tenant, a change of it, and a connection that holds the tenant's row.
struct Held {
    place: Postgres,
    tenant: Tenant,
    change: tenure::Change,
    holder: Client,
}

impl Held {
    async fn new() -> Self {
        // The setup's own database serves only to make decisions.
        let (place, setup) = (Way::Named.place().await, Setup::new(&Way::Named).await);
        let creation = setup.creation(setup.wanted("acme"));
        place.store(|_| ()).commit(&creation).await.unwrap();
        let tenant = creation.tenant().clone();
        let change = setup.change(&tenant, &patch("plan", "gold"));
        let holder = place.connect().await;
        holder
            .batch_execute("BEGIN; SELECT 1 FROM tenants FOR UPDATE")
            .await
            .unwrap();
        Self {
            place,
            tenant,
            change,
            holder,
        }
    }

    async fn let_go(&self) {
        self.holder.batch_execute("COMMIT").await.unwrap();
    }

    /// How many sessions wait for a lock here.
    async fn waiting(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.place
            .connect()
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }

    /// For sessions to come.
    async fn alter_database(&self, setting: &str) {
        let client = self.place.connect().await;
        let name = "SELECT current_database()";
        let name: String = client.query_one(name, &[]).await.unwrap().get(0);
        client
            .batch_execute("SET default_transaction_read_only = off")
            .await
            .unwrap();
        client
            .batch_execute(&format!("ALTER DATABASE {name} SET {setting}"))
            .await
            .unwrap();
    }

    async fn until_one_waits(&self) {
        while self.waiting().await == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn impatient(options: &mut Options) {
    options.deadline = Duration::from_millis(400);
    options.server_timeouts = false;
}

#[tokio::test]
async fn p2_a_write_that_meets_the_deadline_is_unknown_and_never_cancelled() {
    let held = Held::new().await;
    let store = held.place.store(impatient);
    let error = store.commit(&held.change).await.unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");
    assert_eq!(held.waiting().await, 1, "nobody told the server to give up");
    held.let_go().await;
    // The same change, sent again, is recognized whether it was written or not.
    let again = store.commit(&held.change).await.unwrap();
    assert_eq!(again, Commit::Applied { revision: SECOND });
    let record = store
        .get(&TenantRef::Id(held.tenant.id), Freshness::Primary)
        .await
        .unwrap();
    assert_eq!(record.unwrap().tenant.revision, SECOND);
}

#[tokio::test]
async fn an_earlier_send_that_is_still_under_way_is_recognized() {
    let held = Held::new().await;
    let store = held.place.store(|_| ());
    let (first, second) = (store.clone(), store.clone());
    let (one, two) = (held.change.clone(), held.change.clone());
    let first = tokio::spawn(async move { first.commit(&one).await });
    let second = tokio::spawn(async move { second.commit(&two).await });
    while held.waiting().await < 2 {
        tokio::task::yield_now().await;
    }
    held.let_go().await;
    let applied = Commit::Applied { revision: SECOND };
    assert_eq!(first.await.unwrap().unwrap(), applied);
    assert_eq!(second.await.unwrap().unwrap(), applied);
}

#[tokio::test]
async fn the_servers_own_timeout_leaves_nothing_written() {
    let held = Held::new().await;
    let store = held
        .place
        .store(|options| options.deadline = Duration::from_millis(800));
    let error = store.commit(&held.change).await.unwrap_err();
    assert!(matches!(error, StoreError::Overloaded), "{error:?}");
    held.let_go().await;
    assert_eq!(held.waiting().await, 0);
    let record = store
        .get(&TenantRef::Id(held.tenant.id), Freshness::Primary)
        .await
        .unwrap();
    assert_eq!(record.unwrap().tenant.revision, Revision::new(1));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cut_a_write_short() {
    let held = Held::new().await;
    // The server ends a statement whose socket is gone: so this one's must stay.
    held.alter_database("client_connection_check_interval = '10ms'")
        .await;
    let store = held.place.store(|_| ());
    let (caller, change) = (store.clone(), held.change.clone());
    let call = tokio::spawn(async move { caller.commit(&change).await });
    held.until_one_waits().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    for _ in 0..50 {
        assert_eq!(held.waiting().await, 1);
    }
    held.let_go().await;
    let who = TenantRef::Id(held.tenant.id);
    loop {
        let record = store.get(&who, Freshness::Primary).await.unwrap().unwrap();
        if record.tenant.revision == SECOND {
            break;
        }
    }
}

#[tokio::test]
async fn p11_callers_beyond_the_pool_wait_a_while_and_are_told_that_it_is_busy() {
    let held = Held::new().await;
    let store = held.place.store(|options| {
        options.pool_size = 1;
        options.pool_wait = Duration::from_millis(100);
    });
    let (caller, change) = (store.clone(), held.change.clone());
    let call = tokio::spawn(async move { caller.commit(&change).await });
    held.until_one_waits().await;
    let error = store.list(&Query::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Overloaded), "{error:?}");
    held.let_go().await;
    assert!(call.await.unwrap().is_ok());
    assert!(store.list(&Query::default()).await.is_ok());
}

#[tokio::test]
async fn p2_a_write_whose_session_is_ended_is_unknown() {
    let held = Held::new().await;
    let store = held.place.store(|_| ());
    let (caller, change) = (store.clone(), held.change.clone());
    let call = tokio::spawn(async move { caller.commit(&change).await });
    held.until_one_waits().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    held.place.connect().await.execute(end, &[]).await.unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");
    held.let_go().await;
    let again = store.commit(&held.change).await.unwrap();
    assert_eq!(again, Commit::Applied { revision: SECOND });
}

#[tokio::test]
async fn closing_lets_what_runs_finish() {
    let held = Held::new().await;
    let store = held.place.store(|_| ());
    let (caller, change) = (store.clone(), held.change.clone());
    let call = tokio::spawn(async move { caller.commit(&change).await });
    held.until_one_waits().await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert!(!closing.is_finished(), "a write still runs");
    }
    held.let_go().await;
    closing.await.unwrap();
    assert!(call.await.unwrap().is_ok());
    let error = store.list(&Query::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error:?}");
    store.close().await;
}

#[tokio::test]
async fn a_database_that_takes_no_writes_says_so_and_is_read() {
    let held = Held::new().await;
    held.let_go().await;
    held.alter_database("default_transaction_read_only = on")
        .await;
    let store = held
        .place
        .store(|options| options.readiness_ttl = Duration::ZERO);
    assert_eq!(store.readiness().await, Readiness::ReadOnly);
    let query = Query::default();
    let reads = tokio::join!(store.list(&query), store.list(&query), store.list(&query));
    assert_eq!(reads.0.unwrap().items.len(), 1);
    assert!(reads.1.is_ok() && reads.2.is_ok());
    let error = store.commit(&held.change).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly), "{error:?}");
    // All its connections are to the wrong node by now: none is used again.
    held.alter_database("default_transaction_read_only = off")
        .await;
    let applied = store.commit(&held.change).await.unwrap();
    assert_eq!(applied, Commit::Applied { revision: SECOND });
}

#[tokio::test]
async fn p2_a_database_that_acknowledges_too_early_is_not_written() {
    let held = Held::new().await;
    held.let_go().await;
    held.alter_database("synchronous_commit = off").await;
    let store = held
        .place
        .store(|options| options.readiness_ttl = Duration::ZERO);
    assert_eq!(store.readiness().await, Readiness::NotDurable);
    let error = store.commit(&held.change).await.unwrap_err();
    let refused = StoreError::NotReady(Readiness::NotDurable);
    assert_eq!(error.to_string(), refused.to_string());
    held.alter_database("synchronous_commit = on").await;
    let store = held.place.store(|_| ());
    let applied = store.commit(&held.change).await.unwrap();
    assert_eq!(applied, Commit::Applied { revision: SECOND });
}

#[tokio::test]
async fn a_statement_that_went_stale_is_prepared_anew() {
    let setup = Setup::new(&Way::Named).await;
    let tenant = setup.create("acme").await;
    let who = TenantRef::Id(tenant.id);
    setup
        .store
        .get(&who, Freshness::Primary)
        .await
        .unwrap()
        .unwrap();
    let alter = "ALTER TABLE work ALTER COLUMN last_error TYPE varchar(2000)";
    setup.raw(alter).await.unwrap().unwrap();
    setup
        .store
        .get(&who, Freshness::Primary)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_damaged_document_is_never_served() {
    let setup = Setup::new(&Way::Named).await;
    let tenant = setup.create("acme").await;
    let change = setup.change(&tenant, &patch("secret", "hunter2"));
    setup.write(&change).await;
    let damage = "UPDATE documents SET body = replace(body, 'hunter2', 'hunter3')";
    assert!(setup.raw(damage).await.unwrap().unwrap() > 0);
    let who = TenantRef::Id(tenant.id);
    let error = setup.store.get(&who, Freshness::Primary).await.unwrap_err();
    let StoreError::Corrupt { what } = &error else {
        panic!("{error:?}")
    };
    assert!(
        what.contains("tenants.desired_body") && what.contains(&tenant.id.to_string()),
        "{what}"
    );
    assert!(!what.contains("hunter"), "{what}");
    let hash = change.line().desired;
    let error = setup.store.documents(tenant.id, &[hash]).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    setup.raw("DELETE FROM documents").await.unwrap().unwrap();
    let error = setup.store.load(&who, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(
        setup
            .store
            .documents(tenant.id, &[hash])
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_not_named() {
    let url = "postgres://user:secret@127.0.0.1:1/db?deadline_ms=500";
    let store = PostgresStore::connect(url, Options::default()).unwrap();
    let readiness = store.readiness().await;
    let Readiness::Unreachable { why } = &readiness else {
        panic!("{readiness:?}")
    };
    assert!(
        !why.contains("127.0.0.1") && !why.contains("secret"),
        "{why}"
    );
    let error = store.list(&Query::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!error.to_string().contains("127.0.0.1"));
    assert!(!format!("{store:?}").contains("secret"));
}

/// A server of its own with a migrated database, a store on it, and decisions to send.
async fn own_server(options: &ClusterOptions) -> (Cluster, PostgresStore, Setup) {
    let cluster = Cluster::start(options).await;
    let url = cluster.url("postgres");
    migrate(&url, MigrateOptions::default()).await.unwrap();
    let store = PostgresStore::connect(&url, Options::default()).unwrap();
    (cluster, store, Setup::new(&Way::Named).await)
}

#[tokio::test]
async fn p2_a_commit_that_is_not_on_the_standby_is_not_acknowledged() {
    let (cluster, store, setup) = own_server(&ClusterOptions::default()).await;
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        .await
        .unwrap();
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    let creation = setup.creation(setup.wanted("acme"));
    let (caller, change) = (store.clone(), creation.clone());
    let call = tokio::spawn(async move { caller.commit(&change).await });
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while client.execute(cancel, &[]).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");

    // A strong read can't pass the barrier either, while a plain one shows what is here.
    let who = TenantRef::Id(creation.tenant().id);
    assert!(store.get(&who, Freshness::Primary).await.unwrap().is_some());
    let impatient = format!("{}?deadline_ms=300", cluster.url("postgres"));
    let strong = PostgresStore::connect(&impatient, Options::default()).unwrap();
    let error = strong.get(&who, Freshness::Strong).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");

    client
        .batch_execute("ALTER SYSTEM RESET synchronous_standby_names")
        .await
        .unwrap();
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    let again = store.commit(&creation).await.unwrap();
    assert_eq!(
        again,
        Commit::Applied {
            revision: Revision::new(1)
        }
    );
    assert!(store.get(&who, Freshness::Strong).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_what_was_acknowledged_survives_the_servers_death() {
    let (mut cluster, store, setup) = own_server(&ClusterOptions::default().durable()).await;
    let setup = Arc::new(setup);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, setup) = (store.clone(), Arc::clone(&setup));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let creation = setup.creation(setup.wanted(&format!("w{writer}-{n}")));
                    match store.commit(&creation).await {
                        Ok(_) => acknowledged.push(creation.tenant().id),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    while store
        .changes(None, PageSize::MAX)
        .await
        .unwrap()
        .lines
        .len()
        < 100
    {
        tokio::task::yield_now().await;
    }
    cluster.kill_9().await;
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    cluster.restart().await;
    assert!(acknowledged.len() >= 90, "{}", acknowledged.len());
    for ids in acknowledged.chunks(500) {
        let found = loop {
            match store.get_many(ids).await {
                Ok(found) => break found,
                Err(StoreError::Unavailable(_) | StoreError::Overloaded) => {}
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(found.len(), ids.len());
    }
}
