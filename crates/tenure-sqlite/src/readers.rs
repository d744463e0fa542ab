//! Readers: a few connections that can't write, each used by one call at a time.
//!
//! # Invariants
//!
//! - A read ends by its deadline: SQLite itself asks every few thousand steps whether to go on.
//! - A reader comes back to the pool however its call ended, even if nobody waits for it any more.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Params, Row};
use tenure::{Result, Source, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connect::{Role, connect};
use crate::error::store_error;

/// How many steps of its machine SQLite takes between two looks at the deadline: about 50 µs.
const STEPS: i32 = 4_000;

struct Reader {
    db: Connection,
    until: Arc<Mutex<Option<Instant>>>,
}

impl Reader {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let mut db = connect(path, Role::Reader)?;
        let until = Arc::new(Mutex::new(None::<Instant>));
        let seen = Arc::clone(&until);
        let late = move || {
            let until = *seen.lock().unwrap_or_else(PoisonError::into_inner);
            until.is_some_and(|until| Instant::now() >= until)
        };
        db.progress_handler(STEPS, Some(late))?;
        Ok(Self { db, until })
    }

    fn set_deadline(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// The pool.
pub(crate) struct Readers {
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    size: u32,
    waiting: AtomicUsize,
    waiting_max: usize,
    deadline: Duration,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A reader in use. It goes back before its permit does.
struct Borrowed {
    reader: Option<Reader>,
    pool: Arc<Readers>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(reader);
        }
        self.permit.take();
    }
}

impl Readers {
    /// Opens `size` readers of a database that is there already.
    pub(crate) fn open(
        path: &Path,
        size: u8,
        waiting_max: usize,
        deadline: Duration,
    ) -> rusqlite::Result<Arc<Self>> {
        let size = size.max(1);
        let idle = (0..size)
            .map(|_| Reader::open(path))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Arc::new(Self {
            idle: Mutex::new(idle),
            permits: Arc::new(Semaphore::new(size.into())),
            size: size.into(),
            waiting: AtomicUsize::new(0),
            waiting_max,
            deadline,
        }))
    }

    /// Runs a read on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let until = Instant::now() + self.deadline;
        let borrowed = tokio::time::timeout_at(until.into(), self.borrow())
            .await
            .map_err(|_| StoreError::Overloaded)??;
        let job = tokio::task::spawn_blocking(move || {
            let reader = borrowed.reader.as_ref();
            let reader = reader.ok_or_else(|| unavailable("no reader is left"))?;
            reader.set_deadline(Some(until));
            let outcome = work(&reader.db);
            reader.set_deadline(None);
            drop(borrowed);
            outcome
        });
        match tokio::time::timeout_at(until.into(), job).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the read was given up")),
            Err(_) => Err(unavailable("the read took longer than it may")),
        }
    }

    async fn borrow(self: &Arc<Self>) -> Result<Borrowed> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.waiting_max {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(StoreError::Overloaded);
        }
        let _waits = Waits(&self.waiting);
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let reader = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Ok(Borrowed {
            reader,
            pool: Arc::clone(self),
            permit: Some(permit),
        })
    }

    /// Waits for the reads that run, then closes the connections.
    pub(crate) async fn close(&self) {
        let all = self.permits.acquire_many(self.size).await;
        self.permits.close();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        drop(all);
    }
}

/// Counts a waiting caller, also one that gives up waiting.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(Source::from(why))
}

/// Reads the one row that a statement gives, if it gives one.
pub(crate) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = db.prepare_cached(sql).map_err(store_error)?;
    let row = statement.query_row(params, |row| Ok(read(row))).optional();
    row.map_err(store_error)?.transpose()
}

/// Reads all rows that a statement gives.
pub(crate) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql).map_err(store_error)?;
    let mut rows = statement.query(params).map_err(store_error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Runs several statements on one snapshot.
pub(crate) fn snapshot<T>(db: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let whole = db.unchecked_transaction().map_err(store_error)?;
    let outcome = work();
    whole.finish().map_err(store_error)?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(size: u8, waiting: usize, deadline: Duration) -> (tempfile::TempDir, Arc<Readers>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenure.db");
        drop(connect(&path, Role::Writer).unwrap());
        let readers = Readers::open(&path, size, waiting, deadline).unwrap();
        (directory, readers)
    }

    fn endless(db: &Connection) -> Result<i64> {
        let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT count(*) FROM n";
        Ok(one(db, sql, [], |row| Ok(row.get(0).unwrap()))?.unwrap())
    }

    fn answer(db: &Connection) -> Result<i64> {
        Ok(one(db, "SELECT 42", [], |row| Ok(row.get(0).unwrap()))?.unwrap())
    }

    #[tokio::test]
    async fn p11_a_read_beyond_its_deadline_is_stopped_and_its_reader_comes_back() {
        let (_directory, readers) = pool(1, 8, Duration::from_millis(100));
        for _ in 0..3 {
            let error = readers.read(endless).await.unwrap_err();
            assert!(matches!(
                error,
                StoreError::Unavailable(_) | StoreError::Overloaded
            ));
        }
        // It stops by itself, not because someone waits for it: all permits come back.
        drop(readers.permits.acquire().await.unwrap());
        assert_eq!(readers.read(answer).await.unwrap(), 42);
    }

    #[tokio::test]
    async fn p11_one_reader_more_than_may_wait_is_told_so() {
        let (_directory, readers) = pool(1, 1, Duration::from_secs(5));
        let held = readers.permits.acquire().await.unwrap();
        let waits = tokio::spawn({
            let readers = Arc::clone(&readers);
            async move { readers.read(answer).await }
        });
        while readers.waiting.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            readers.read(answer).await,
            Err(StoreError::Overloaded)
        ));
        drop(held);
        assert_eq!(waits.await.unwrap().unwrap(), 42);
        assert_eq!(readers.read(answer).await.unwrap(), 42);
    }

    #[tokio::test]
    async fn a_reader_can_not_write() {
        let (_directory, readers) = pool(1, 1, Duration::from_secs(5));
        let write = |db: &Connection| {
            Ok(one(db, "CREATE TABLE x (y)", [], |_| Ok(()))
                .unwrap_err()
                .code())
        };
        assert_eq!(readers.read(write).await.unwrap(), "store_read_only");
    }

    #[tokio::test]
    async fn closing_waits_for_what_runs_and_refuses_what_comes() {
        let (_directory, readers) = pool(2, 8, Duration::from_secs(5));
        let runs = tokio::spawn({
            let readers = Arc::clone(&readers);
            async move { readers.read(answer).await }
        });
        tokio::task::yield_now().await;
        readers.close().await;
        assert!(matches!(
            runs.await.unwrap(),
            Ok(42) | Err(StoreError::Closed)
        ));
        assert!(matches!(
            readers.read(answer).await,
            Err(StoreError::Closed)
        ));
        assert!(readers.idle.lock().unwrap().is_empty());
    }
}
