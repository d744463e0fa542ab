//! Bringing a database's schema up to what this binary knows.

use std::time::Duration;

use refinery::{Migration, Runner};
use tenure::Invalid;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::error::{Cause, cause};
use crate::settings::{Options, Settings};
use crate::{grants, ready};

/// How a migration is run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigrateOptions {
    /// The role that the server connects as, if it is not the one that migrates. It is granted what
    /// the server needs and nothing that could rewrite history.
    pub app_role: Option<String>,
    /// How long to wait for another migration to end.
    pub wait: Duration,
}

impl Default for MigrateOptions {
    fn default() -> Self {
        Self {
            app_role: None,
            wait: Duration::from_secs(30),
        }
    }
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The names of the migrations that were applied, in order; none if all were applied before.
    pub applied: Vec<String>,
    /// The level of the schema now.
    pub level: u32,
}

/// Why a migration did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The URL can't be used.
    #[error(transparent)]
    Url(#[from] Invalid),
    /// The database can't be reached.
    #[error("the database can't be reached")]
    Unreachable(#[source] tenure::Source),
    /// Another migration runs, and did not end in time.
    #[error("another migration is running; wait for it to end and try again")]
    Locked,
    /// The database stores text in another encoding, in which hashes could not be kept.
    #[error("the database's encoding is {found} and must be UTF8; create it anew")]
    Encoding {
        /// Its encoding.
        found: String,
    },
    /// The role does not exist.
    #[error("there is no role {role}; create it first")]
    NoSuchRole {
        /// Its name.
        role: String,
    },
    /// A step failed and was undone; those before it stand.
    #[error("a step of the migration failed and was undone")]
    Failed(#[source] tenure::Source),
}

impl MigrateError {
    pub(crate) fn failed(error: &tokio_postgres::Error) -> Self {
        Self::Failed(Box::new(cause(error)))
    }
}

/// All migrations there are. Released ones never change.
const MIGRATIONS: &[(&str, &str)] = &[("V1__record", include_str!("../migrations/V1__record.sql"))];

/// Keeps two migrations of one database apart.
const LOCK: i64 = 0x7465_6e75_7265;

/// Applies the migrations that are missing, and grants the application's role what it needs.
///
/// Connects directly, as a role that may create tables: the lock is the session's, so this does not
/// work through a pooler. Running it again is harmless, and right after a dump was restored: it
/// then also begins a new change feed, because the old one's places mean nothing here.
///
/// # Errors
///
/// [`MigrateError`]; each step is applied whole or not at all.
pub async fn migrate(url: &str, options: MigrateOptions) -> Result<Migrated, MigrateError> {
    let connect = Options {
        server_timeouts: false,
        ..Options::default()
    };
    let settings = Settings::parse(url, connect)?;
    let tls = settings.trust.connector()?;
    let (mut client, connection) = settings
        .config
        .connect(tls)
        .await
        .map_err(|error| MigrateError::Unreachable(Box::new(cause(&error))))?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %cause(&error), "the migration's connection broke");
        }
    });
    let result = migrate_with(&mut client, &options).await;
    // The lock ends with the session, whatever happened.
    drop(client);
    drop(driver.await);
    result
}

async fn migrate_with(
    client: &mut Client,
    options: &MigrateOptions,
) -> Result<Migrated, MigrateError> {
    check_encoding(client).await?;
    lock(client, options.wait).await?;
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = '10s'")
        .await
        .map_err(|error| MigrateError::failed(&error))?;
    let applied = apply(client).await?;
    forget_foreign_feed(client).await?;
    if let Some(role) = &options.app_role {
        grants::grant(client, role).await?;
    }
    let level = client
        .query_one("SELECT schema_level FROM store_meta", &[])
        .await
        .and_then(|row| row.try_get::<_, i32>(0))
        .map_err(|error| MigrateError::failed(&error))?;
    Ok(Migrated {
        applied,
        level: u32::try_from(level).unwrap_or(ready::HIGHEST),
    })
}

async fn check_encoding(client: &Client) -> Result<(), MigrateError> {
    let found: String = client
        .query_one("SELECT current_setting('server_encoding')", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| MigrateError::failed(&error))?;
    if found == "UTF8" {
        Ok(())
    } else {
        Err(MigrateError::Encoding { found })
    }
}

/// Takes the lock by asking again and again: waiting inside the database would hold a snapshot.
async fn lock(client: &Client, wait: Duration) -> Result<(), MigrateError> {
    let until = Instant::now() + wait;
    loop {
        let taken: bool = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| MigrateError::failed(&error))?;
        if taken {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(MigrateError::Locked);
        }
        sleep(Duration::from_millis(250)).await;
    }
}

async fn apply(client: &mut Client) -> Result<Vec<String>, MigrateError> {
    let failed = |error: refinery::Error| MigrateError::Failed(Box::new(plain(&error)));
    let migrations: Vec<Migration> = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let mut runner = Runner::new(&migrations)
        // A newer binary may have gone further; the handshake says whether we can still serve.
        .set_abort_missing(false);
    runner.set_migration_table_name("tenure_migrations");
    let report = runner.run_async(client).await.map_err(failed)?;
    Ok(report
        .applied_migrations()
        .iter()
        .map(ToString::to_string)
        .collect())
}

/// The words of a failed step, with the database's own behind them.
fn plain(error: &refinery::Error) -> Cause {
    let mut source = std::error::Error::source(error);
    let mut words = error.to_string();
    while let Some(inner) = source {
        words = match inner.downcast_ref::<tokio_postgres::Error>() {
            Some(driver) => format!("{words}: {}", cause(driver)),
            None => words,
        };
        source = inner.source();
    }
    Cause::new(words)
}

/// After a dump was restored into another cluster, the feed's entries carry transaction ids of the
/// old one, which are in the future here: they would appear once this cluster gets there.
async fn forget_foreign_feed(client: &Client) -> Result<(), MigrateError> {
    client
        .execute(
            "WITH gone AS ( \
                 DELETE FROM feed WHERE xact >= pg_snapshot_xmax(pg_current_snapshot()) RETURNING 1 \
             ) \
             UPDATE store_meta SET feed_epoch = gen_random_uuid(), feed_floor_xact = '0', \
                 feed_floor_seq = 0 \
             WHERE EXISTS (SELECT 1 FROM gone) \
                 OR feed_floor_xact >= pg_snapshot_xmax(pg_current_snapshot())",
            &[],
        )
        .await
        .map(|_| ())
        .map_err(|error| MigrateError::failed(&error))
}
