//! Databases on real files, each in a directory of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tenure::Store;
use tenure::conformance::{Database, Factory, ManualClock, start};
use tenure_sqlite::{Options, SqliteStore};

/// A file, and the clock of the store that is open on it.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: PathBuf,
    clock: ManualClock,
    /// Taken away with everything in it, unless the directory is someone else's.
    own: Option<TempDir>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        let mut scratch = Self::at(own.path());
        scratch.own = Some(own);
        scratch
    }

    /// One in a directory of someone else's.
    pub(crate) fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            clock: ManualClock::new(start()),
            own: None,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("tenure.db")
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        options.clock = Arc::new(self.clock.clone());
        // A machine that is busy with other things must not fail a case.
        options.deadline = Duration::from_mins(1);
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

impl Scratch {
    /// All that the database holds, as text.
    pub(crate) fn dump(&self) -> Vec<String> {
        let shell = self.shell();
        let mut tables = shell
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap();
        let names: Vec<String> = tables
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        names.iter().flat_map(|name| rows(&shell, name)).collect()
    }
}

fn rows(shell: &rusqlite::Connection, table: &str) -> Vec<String> {
    let mut all = shell.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = all.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let values = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap()));
        Ok(format!(
            "{table}: {}",
            values.collect::<Vec<_>>().join(", ")
        ))
    };
    all.query_map([], row)
        .unwrap()
        .map(Result::unwrap)
        .collect()
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
