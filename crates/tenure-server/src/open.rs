//! From a URL to a store: the one place where adapters are named.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenure::{Invalid, Readiness, Store, Upkeep};
use tenure_postgres::{MigrateError, MigrateOptions, Migrated, PostgresStore};
use tenure_sqlite::SqliteStore;
use tokio::task::{JoinError, spawn_blocking};

/// Why a store can't be opened or migrated, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL names no store that there is.
    #[error("the store's URL {0}")]
    Url(&'static str),
    /// The URL of a PostgreSQL database can't be used.
    #[error(transparent)]
    Postgres(#[from] Invalid),
    /// The SQLite file can't be opened.
    #[error(transparent)]
    Sqlite(#[from] tenure_sqlite::OpenError),
    /// The PostgreSQL database can't be migrated.
    #[error("the database can't be migrated")]
    Migrate(#[from] MigrateError),
    /// A role was named for a store that has none.
    #[error("a SQLite file has no roles; leave --app-role out")]
    NoRoles,
    /// A database has tools of its own for that.
    #[error("a PostgreSQL database is backed up with its own tools, such as pg_dump")]
    NotEmbedded,
    /// The copy could not be made.
    #[error("the backup failed")]
    Backup(#[from] tenure::StoreError),
    /// The schema can't be brought to what this program needs.
    #[error("{0}")]
    NotReady(Readiness),
    /// The thread that opened it died.
    #[error("opening the store failed")]
    Crashed(#[from] JoinError),
}

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    File(PathBuf),
    Server(&'a str),
}

/// Reads a URL. Its text is in no error: it may hold a password.
fn place(url: &str) -> Result<Place<'_>, OpenError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Place::Server(url));
    }
    let Some(path) = url.strip_prefix("sqlite:") else {
        return Err(OpenError::Url(
            "must be sqlite:PATH or postgres://user@host/database",
        ));
    };
    match path {
        "" => Err(OpenError::Url("must name a file, such as sqlite:tenure.db")),
        ":memory:" => Err(OpenError::Url(
            "must name a file: what is in memory only survives nothing",
        )),
        path if path.contains('?') => Err(OpenError::Url(
            "must be sqlite:PATH without parameters; there are none",
        )),
        path if path.starts_with("//") && !path.starts_with("///") => Err(OpenError::Url(
            "names a host where there is none; write sqlite:PATH, such as sqlite:/var/lib/tenure.db",
        )),
        path => Ok(Place::File(PathBuf::from(path))),
    }
}

/// Whether a URL can be one of a store, as far as can be said without going there.
///
/// # Errors
///
/// What it must be, after "must". Nothing of the URL is said: it may hold a password.
pub(crate) fn check(url: &str) -> Result<(), String> {
    let checked = place(url).and_then(|place| match place {
        Place::File(_) => Ok(()),
        // It connects when it is first used, and not before.
        Place::Server(url) => {
            drop(PostgresStore::connect(
                url,
                tenure_postgres::Options::default(),
            )?);
            Ok(())
        }
    });
    checked.map_err(|error| match error {
        OpenError::Url(rule) => rule.to_owned(),
        OpenError::Postgres(invalid) => invalid.rule().to_owned(),
        other => other.to_string(),
    })
}

/// Opens the store that a URL names: `sqlite:PATH`, or `postgres://user@host/database`.
///
/// A SQLite file is made if there is none, and brought up to date. A PostgreSQL database is connected
/// to when it is first used, and never migrated here: ask its readiness.
///
/// # Errors
///
/// [`OpenError`] says what to do.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, OpenError> {
    match place(url)? {
        Place::File(path) => Ok(Arc::new(open_file(path).await?)),
        Place::Server(url) => {
            let options = tenure_postgres::Options::default();
            Ok(Arc::new(PostgresStore::connect(url, options)?))
        }
    }
}

async fn open_file(path: PathBuf) -> Result<SqliteStore, OpenError> {
    let options = tenure_sqlite::Options::default();
    Ok(spawn_blocking(move || SqliteStore::open(path, options)).await??)
}

/// Copies the SQLite file that a URL names into another: whole, on the disk, with a feed of its own.
/// A file that is there is written over.
///
/// # Errors
///
/// [`OpenError`] says what to do; then there is no copy.
pub async fn backup(url: &str, to: &Path) -> Result<(), OpenError> {
    let Place::File(path) = place(url)? else {
        return Err(OpenError::NotEmbedded);
    };
    let store = open_file(path).await?;
    let done = store.backup(to).await;
    store.close().await;
    Ok(done?)
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    applied: Vec<String>,
    level: u32,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the schema is at level {}", self.level)?;
        match self.applied.as_slice() {
            [] => Ok(()),
            applied => write!(f, "; applied {}", applied.join(", ")),
        }
    }
}

/// Brings the schema of the store that a URL names up to what this program knows.
///
/// `app_role` is the role that servers connect as, if it is not the one that migrates.
///
/// # Errors
///
/// [`OpenError`] says what to do. Each step is applied whole or not at all.
pub async fn migrate(url: &str, app_role: Option<&str>) -> Result<Migration, OpenError> {
    match place(url)? {
        Place::File(_) if app_role.is_some() => Err(OpenError::NoRoles),
        Place::File(path) => {
            let store = open_file(path).await?;
            let readiness = store.readiness().await;
            store.close().await;
            match readiness {
                Readiness::Ready { schema: level } => Ok(Migration {
                    applied: Vec::new(),
                    level,
                }),
                not => Err(OpenError::NotReady(not)),
            }
        }
        Place::Server(url) => {
            let mut options = MigrateOptions::default();
            options.app_role = app_role.map(str::to_owned);
            let Migrated { applied, level, .. } = tenure_postgres::migrate(url, options).await?;
            Ok(Migration { applied, level })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_names_nothing_says_what_to_write_and_never_itself() {
        for bad in [
            "mysql://root:hunter2@db/x",
            "hunter2.db",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:hunter2.db?mode=ro",
            "sqlite://hunter2/x.db",
        ] {
            let error = place(bad).unwrap_err().to_string();
            assert!(
                error.contains("sqlite:") || error.contains("a file"),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(
            place("sqlite:///a/b.db").unwrap(),
            Place::File("/a/b.db".into())
        );
        assert_eq!(place("sqlite:b.db").unwrap(), Place::File("b.db".into()));
    }

    #[tokio::test]
    async fn a_file_is_made_migrated_and_opened() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/t.db", folder.path().display());
        let done = migrate(&url, None).await.unwrap();
        assert!(
            done.to_string().starts_with("the schema is at level "),
            "{done}"
        );
        assert!(migrate(&url, Some("app")).await.is_err());
        let store = open(&url).await.unwrap();
        assert!(store.readiness().await.is_ready());
        let second = open(&url).await.unwrap_err().to_string();
        assert!(second.contains("in use"), "{second}");
        store.close().await;
    }
}
