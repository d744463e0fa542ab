//! Databases on real files, each in a directory of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tenure::Store;
use tenure::conformance::{Database, Factory, ManualClock, start};
use tenure_sqlite::{Options, SqliteStore};

/// Gives each case a file of its own.
#[derive(Debug)]
pub(crate) struct Files;

/// A file, and the clock of the store that is open on it.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    clock: ManualClock,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            directory,
            clock: ManualClock::new(start()),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("tenure.db")
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        options.clock = Arc::new(self.clock.clone());
        options
    }

    /// A connection beside the store's, as another program would have it.
    pub(crate) fn shell(&self) -> rusqlite::Connection {
        let shell = rusqlite::Connection::open(self.path()).unwrap();
        shell.busy_timeout(Duration::from_secs(5)).unwrap();
        shell
    }
}

/// Gives this one file, to those who want to look at it beside the port.
#[derive(Debug)]
pub(crate) struct On(pub(crate) Arc<Scratch>);

#[async_trait]
impl Factory for On {
    async fn fresh(&self) -> Arc<dyn Database> {
        let database: Arc<Scratch> = Arc::clone(&self.0);
        database
    }
}

#[async_trait]
impl Factory for Files {
    async fn fresh(&self) -> Arc<dyn Database> {
        Arc::new(Scratch::new())
    }
}

#[async_trait]
impl Database for Scratch {
    async fn open(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(
            SqliteStore::open(self.path(), self.options()).unwrap(),
        ))
    }

    async fn raw(&self, sql: &str) -> Option<Result<u64, String>> {
        let touched = self
            .shell()
            .execute(sql, [])
            .map_err(|error| error.to_string());
        Some(touched.map(|rows| u64::try_from(rows).unwrap()))
    }

    async fn advance(&self, by: Duration) -> Option<()> {
        self.clock.advance(by);
        Some(())
    }
}
