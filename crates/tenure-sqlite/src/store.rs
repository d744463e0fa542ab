//! The store: what is open, and how it ends.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tenure::{Readiness, Result, Source, StoreError, Timestamp};
use tokio::sync::Notify;

use crate::clock::StoreClock;
use crate::connect::{Role, connect};
use crate::copy::{Failed, copy, private};
use crate::error::store_error;
use crate::open::OpenError;
use crate::options::Options;
use crate::place::{Lock, check_local, check_sqlite};
use crate::readers::Readers;
use crate::writer::{Pending, Queue};
use crate::{checkpoint, lease, migrate, writer};

type Opened<T> = std::result::Result<T, OpenError>;

/// A record of tenants in one SQLite file, of which this process is the only user.
///
/// Everything it does goes through the traits of the [storage port](tenure::Store). Dropping it
/// writes what is queued and closes the file, like [`close`](tenure::Upkeep::close).
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    readiness: Readiness,
    pub(crate) clock: Arc<StoreClock>,
    pub(crate) due: Arc<Notify>,
    closed: AtomicBool,
    queue: RwLock<Option<Queue>>,
    readers: Option<Arc<Readers>>,
    ending: Mutex<Option<Ending>>,
}

/// What ends with the store, in this order.
#[derive(Debug)]
struct Ending {
    /// The writer, and the thread that moves the log and gives its connection back.
    threads: Option<(JoinHandle<()>, JoinHandle<Connection>)>,
    lock: Lock,
}

impl Ending {
    /// Waits for the last write, then lets the file go.
    fn run(self) {
        if let Some((writer, log)) = self.threads {
            // A thread that panicked has nothing more to end.
            drop(writer.join());
            // The last connection that closes moves the log into the file, if it closes alone.
            drop(log.join());
        }
        drop(self.lock);
    }
}

impl SqliteStore {
    /// Opens a database, and makes it if there is none. Brings its schema up to date, after copying
    /// the file to `<path>.before-v<level>`. Frees what another process had leased when it ended: that
    /// work is due at once.
    ///
    /// A database whose schema is too new for this program opens, but is not
    /// [ready](tenure::Upkeep::readiness), and refuses every call. Blocks; call it at the start.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is in the way and what to do. The file is as it was.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "nobody needs them afterwards"
    )]
    pub fn open(path: impl AsRef<Path>, options: Options) -> std::result::Result<Self, OpenError> {
        check_sqlite()?;
        let path = settle(path.as_ref())?;
        check_local(&path)?;
        let lock = Lock::take(&path)?;
        // Refuses a file that can't be written, before SQLite opens it read-only in silence.
        private(&path).map_err(|error| OpenError::from_io(&path, error))?;
        let failed = |error| OpenError::from_sqlite(&path, error);
        let mut db = connect(&path, Role::Writer).map_err(failed)?;
        check_header(&db, &path)?;
        let readiness = migrate::migrate(&mut db, &path)?;
        let mut store = Self {
            readiness,
            clock: Arc::new(StoreClock::new(Arc::clone(&options.clock))),
            due: Arc::new(Notify::new()),
            closed: AtomicBool::new(false),
            queue: RwLock::new(None),
            readers: None,
            ending: Mutex::new(Some(Ending {
                threads: None,
                lock,
            })),
            path,
        };
        if store.readiness.is_ready() {
            store.start(db, &options)?;
        }
        Ok(store)
    }

    fn start(&mut self, mut db: Connection, options: &Options) -> Opened<()> {
        // Nobody else can hold a lease: the file's lock is ours.
        lease::free(&db, self.clock.now())
            .map_err(|error| OpenError::from_sqlite(&self.path, error))?;
        let failed = |source: Source| OpenError::Other {
            path: self.path.clone(),
            source,
        };
        let log = checkpoint::start(&self.path, &mut db, options.checkpoint_pages);
        let log = log.map_err(failed)?;
        let clock = Arc::clone(&self.clock);
        let started = writer::start(db, clock, options.queue.max(1), options.deadline);
        let (queue, thread) = started.map_err(|error| OpenError::from_io(&self.path, error))?;
        let readers = Readers::open(
            &self.path,
            options.readers,
            options.queue.max(1),
            options.deadline,
        )
        .map_err(|error| OpenError::from_sqlite(&self.path, error))?;
        self.queue = RwLock::new(Some(queue));
        self.readers = Some(readers);
        if let Some(ending) = self
            .ending
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
        {
            ending.threads = Some((thread, log));
        }
        Ok(())
    }

    /// The path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the database into a file while it is in use, over a file that is there.
    ///
    /// The copy holds all that was acknowledged before the call, is a database like the original,
    /// and opens as one. Its change feed is another one: cursors of the original expire there.
    /// Takes as long as it takes, beside readers and the writer.
    ///
    /// # Errors
    ///
    /// As the error's advice says; then there is no new file under this name.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<()> {
        self.check()?;
        let (from, to) = (self.path.clone(), to.into());
        let copied =
            tokio::task::spawn_blocking(move || copy(&connect(&from, Role::Checkpointer)?, &to));
        match copied.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failed::Sqlite(error))) => Err(store_error(error)),
            Ok(Err(Failed::Io(error))) if error.kind() == ErrorKind::StorageFull => {
                Err(StoreError::Full)
            }
            Ok(Err(Failed::Io(error))) => Err(StoreError::Backend(Box::new(error))),
            Err(error) => Err(StoreError::Backend(Box::new(error))),
        }
    }

    fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        if self.readiness.is_ready() {
            Ok(())
        } else {
            Err(StoreError::NotReady(self.readiness.clone()))
        }
    }

    /// Queues a write.
    pub(crate) fn push<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<Pending<T>> {
        self.check()?;
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().ok_or(StoreError::Closed)?.push(work)
    }

    /// Writes, and waits for the answer.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.push(work)?.answer().await
    }

    /// Reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check()?;
        let readers = self.readers.as_ref().ok_or(StoreError::Closed)?;
        readers.read(work).await
    }

    /// Whether it can serve, as far as that shows without asking the database.
    pub(crate) fn standing(&self) -> Readiness {
        match self.trouble() {
            Some(why) => Readiness::Unreachable {
                why: why.to_owned(),
            },
            None => self.readiness.clone(),
        }
    }

    fn trouble(&self) -> Option<&'static str> {
        if self.closed.load(Ordering::Acquire) {
            return Some("it was closed");
        }
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().and_then(Queue::trouble)
    }

    /// Refuses what comes, lets the writer come to its end, and takes what ends with it, once.
    fn end(&self) -> Option<Ending> {
        self.closed.store(true, Ordering::Release);
        self.due.notify_waiters();
        // Without the queue, the writer ends when it has written what is queued.
        drop(
            self.queue
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.ending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(crate) async fn shut(&self) {
        let ending = self.end();
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        let ended = tokio::task::spawn_blocking(move || ending.map(Ending::run)).await;
        // It only fails with the runtime, and then everything ends.
        drop(ended);
    }

    /// How long `idle` waits at most for work that is planned.
    pub(crate) fn until(&self, due: Option<Timestamp>, at_most: Duration) -> Duration {
        due.map_or(at_most, |due| due.since(self.clock.now()).min(at_most))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let ending = self.end();
        self.readers = None;
        if let Some(ending) = ending {
            ending.run();
        }
    }
}

/// The path without links, so that one file has one lock whatever it is called.
fn settle(path: &Path) -> Opened<PathBuf> {
    let failed = |error| OpenError::from_io(path, error);
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(settled), ..) => Ok(settled),
        (Err(error), Some(parent), Some(name)) if error.kind() == ErrorKind::NotFound => {
            let here = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            here.canonicalize()
                .map(|directory| directory.join(name))
                .map_err(failed)
        }
        (Err(error), ..) => Err(failed(error)),
    }
}

/// Reads the header and the schema, so that a file that is none is found out now.
fn check_header(db: &Connection, path: &Path) -> Opened<()> {
    let count: rusqlite::Result<i64> =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
    count
        .map(drop)
        .map_err(|error| OpenError::from_sqlite(path, error))
}
