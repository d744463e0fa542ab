//! Migrated databases for tests, and the ways to reach them.

#![allow(dead_code, reason = "each test binary uses another part of this")]

use std::sync::Arc;
use std::time::Duration;

use super::support::{PgBouncer, TestCluster, TestDatabase};
use async_trait::async_trait;
use tenure::Store;
use tenure::conformance::{Database, Factory};
use tenure_postgres::{MigrateOptions, Options, PostgresStore, Statements, migrate};
use tokio_postgres::{Client, NoTls};

/// Functions that go before the database's own, so that its clock can be moved.
const CLOCK: &str = "
    CREATE TABLE test_clock (ahead interval NOT NULL);
    INSERT INTO test_clock (ahead) VALUES ('0');
    CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + c.ahead FROM public.test_clock AS c';
    CREATE FUNCTION statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.statement_timestamp() + c.ahead FROM public.test_clock AS c';";

/// How a store of the suite reaches its database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Named,
    Unnamed,
    PgBouncer,
}

#[derive(Debug)]
pub(crate) struct Postgres {
    way: Way,
    bouncer: Option<PgBouncer>,
    database: TestDatabase,
}

#[async_trait]
impl Factory for Way {
    async fn fresh(&self) -> Arc<dyn Database> {
        Arc::new(self.place().await)
    }
}

impl Way {
    /// A migrated database of its own.
    pub(crate) async fn place(self) -> Postgres {
        let cluster = TestCluster::shared().await;
        let template = cluster
            .template("conformance", async |url: String| {
                connect(&url).await.batch_execute(CLOCK).await.unwrap();
                put_our_clock_first(&url).await;
                migrate(&url, MigrateOptions::default()).await.unwrap();
            })
            .await;
        let database = cluster.database(&template).await;
        put_our_clock_first(database.url()).await;
        let bouncer = match self {
            Self::PgBouncer => {
                Some(PgBouncer::start(database.url(), &["default_pool_size = 2"]).await)
            }
            Self::Named | Self::Unnamed => None,
        };
        Postgres {
            way: self,
            bouncer,
            database,
        }
    }
}

/// For connections to come. A clone does not inherit it.
async fn put_our_clock_first(url: &str) {
    let client = connect(url).await;
    let name: String = client
        .query_one("SELECT current_database()", &[])
        .await
        .unwrap()
        .get(0);
    let set = format!("ALTER DATABASE {name} SET search_path = public, pg_catalog");
    client.batch_execute(&set).await.unwrap();
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Postgres {
    /// The URL that leads straight to it.
    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// A plain connection to it.
    pub(crate) async fn connect(&self) -> Client {
        connect(self.url()).await
    }

    /// A store on it, with options changed.
    pub(crate) fn store(&self, change: impl FnOnce(&mut Options)) -> PostgresStore {
        let mut options = Options::default();
        options.pool_size = 4;
        // Other cases share the server, and their transactions keep back this one's feed.
        options.feed_wait = Duration::from_secs(10);
        if !matches!(self.way, Way::Named) {
            options.statements = Statements::Unnamed;
        }
        let url = match &self.bouncer {
            Some(bouncer) => bouncer.url(self.database.name()),
            None => self.database.url().to_owned(),
        };
        change(&mut options);
        PostgresStore::connect(&url, options).unwrap()
    }
}

#[async_trait]
impl Database for Postgres {
    async fn open(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.store(|_| ())))
    }

    async fn second(&self) -> Option<Arc<dyn Store>> {
        self.open().await
    }

    async fn raw(&self, sql: &str) -> Option<Result<u64, String>> {
        let client = connect(self.database.url()).await;
        Some(
            client
                .execute(sql, &[])
                .await
                .map_err(|error| format!("{error:?}")),
        )
    }

    async fn advance(&self, by: Duration) -> Option<()> {
        let client = connect(self.database.url()).await;
        let micros = i64::try_from(by.as_micros()).unwrap();
        client
            .execute(
                "UPDATE test_clock SET ahead = ahead + $1::bigint * interval '1 microsecond'",
                &[&micros],
            )
            .await
            .unwrap();
        Some(())
    }
}
