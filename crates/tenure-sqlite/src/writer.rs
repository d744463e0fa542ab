//! The writer: one thread, one connection, many changes in one commit.
//!
//! Callers queue jobs. The thread takes what has queued up while it was busy, never waiting for
//! more, and writes it in one transaction: one wait for the disk serves all of them. A job that
//! fails is undone by itself; if it brings the transaction down, the others are run again alone.
//!
//! # Invariants
//!
//! - A job is answered only after the commit that holds it, or after its rollback.
//! - A job that its caller gave up on before it began is not run.
//! - Jobs run in the order in which they were queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tenure::{Result, Source, StoreError, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::clock::StoreClock;
use crate::error::{commit_error, store_error};
use crate::failpoint::failpoint;

/// Most jobs that share one commit: beyond it, one fsync more is noise beside the work.
const GROUP_MAX: usize = 64;

/// Something to write, whose answer waits for the commit.
trait Job: Send {
    /// Claims it for running; false if its caller gave up.
    fn begin(&self) -> bool;
    /// Runs it within a transaction; false if that must be undone.
    fn run(&mut self, db: &Connection, now: Timestamp) -> bool;
    /// Answers: with its own outcome, or with the trouble that the commit met.
    fn settle(self: Box<Self>, trouble: Option<StoreError>);
}

struct Call<T, F> {
    work: F,
    outcome: Option<Result<T>>,
    begun: Arc<AtomicBool>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnMut(&Connection, Timestamp) -> Result<T> + Send,
{
    fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::AcqRel)
    }

    fn run(&mut self, db: &Connection, now: Timestamp) -> bool {
        let outcome = (self.work)(db, now);
        self.outcome.insert(outcome).is_ok()
    }

    fn settle(self: Box<Self>, trouble: Option<StoreError>) {
        let answer = match (self.outcome, trouble) {
            // What failed by itself did so whatever became of the commit.
            (Some(Err(own)), _) => Err(own),
            (_, Some(trouble)) => Err(trouble),
            (Some(Ok(answer)), None) => Ok(answer),
            (None, None) => Err(StoreError::Unavailable(Source::from("the job was not run"))),
        };
        // A caller that went away has no use for the answer.
        drop(self.reply.send(answer));
    }
}

/// The callers' side of the queue.
#[derive(Debug)]
pub(crate) struct Queue {
    jobs: mpsc::Sender<Envelope>,
    deadline: Duration,
    progress: Arc<Progress>,
}

/// A job on its way.
struct Envelope(Box<dyn Job>);

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Envelope")
    }
}

/// Since when the writer is busy with one group, so that a stalled disk shows.
#[derive(Debug)]
struct Progress {
    epoch: Instant,
    busy_since: AtomicI64,
}

impl Progress {
    const IDLE: i64 = -1;

    fn millis(&self) -> i64 {
        i64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// An answer that is being waited for.
pub(crate) struct Pending<T> {
    reply: oneshot::Receiver<Result<T>>,
    begun: Arc<AtomicBool>,
    until: tokio::time::Instant,
}

impl<T> Pending<T> {
    /// Waits for the answer until the deadline.
    pub(crate) async fn answer(self) -> Result<T> {
        match tokio::time::timeout_at(self.until, self.reply).await {
            Ok(Ok(answer)) => answer,
            // The writer ended. What it had not begun went with the queue.
            Ok(Err(_)) if !self.begun.swap(true, Ordering::AcqRel) => {
                Err(StoreError::Unavailable(Source::from("the writer ended")))
            }
            Ok(Err(_)) => Err(StoreError::OutcomeUnknown(Source::from("the writer ended"))),
            // Whoever sets the flag first decides: a job that has not begun never will.
            Err(_) if !self.begun.swap(true, Ordering::AcqRel) => Err(StoreError::Overloaded),
            Err(late) => Err(StoreError::OutcomeUnknown(Box::new(late))),
        }
    }
}

impl Queue {
    /// Queues a piece of work. It may run twice if a neighbour brings down the first transaction,
    /// so all that it does must be in the database.
    pub(crate) fn push<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<Pending<T>> {
        let (reply, receiver) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let until = tokio::time::Instant::now() + self.deadline;
        let call = Call {
            work,
            outcome: None,
            begun: Arc::clone(&begun),
            reply,
        };
        match self.jobs.try_send(Envelope(Box::new(call))) {
            Ok(()) => Ok(Pending {
                reply: receiver,
                begun,
                until,
            }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(StoreError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                Err(StoreError::Unavailable(Source::from("the writer ended")))
            }
        }
    }

    /// What keeps writes from coming to their end, if anything does.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        if self.jobs.is_closed() {
            Some("its writer ended; start the program again")
        } else if self.is_stalled() {
            Some("a write does not come to its end; check the disk")
        } else {
            None
        }
    }

    /// Whether the writer has been busy with one group for longer than a call may take.
    pub(crate) fn is_stalled(&self) -> bool {
        let since = self.progress.busy_since.load(Ordering::Acquire);
        let limit = i64::try_from(self.deadline.as_millis()).unwrap_or(i64::MAX);
        since != Progress::IDLE && self.progress.millis().saturating_sub(since) > limit
    }
}

/// Starts the writer on a thread of its own. It ends when the queue is dropped and empty.
pub(crate) fn start(
    db: Connection,
    clock: Arc<StoreClock>,
    length: usize,
    deadline: Duration,
) -> std::io::Result<(Queue, thread::JoinHandle<()>)> {
    let (jobs, mut waiting) = mpsc::channel::<Envelope>(length);
    let progress = Arc::new(Progress {
        epoch: Instant::now(),
        busy_since: AtomicI64::new(Progress::IDLE),
    });
    let seen = Arc::clone(&progress);
    let thread = thread::Builder::new()
        .name("tenure-sqlite-writer".to_owned())
        .spawn(move || {
            while let Some(first) = waiting.blocking_recv() {
                let mut group = vec![first.0];
                while group.len() < GROUP_MAX {
                    let Ok(next) = waiting.try_recv() else { break };
                    group.push(next.0);
                }
                group.retain(|job| job.begin());
                seen.busy_since.store(seen.millis(), Ordering::Release);
                write(&db, &clock, group);
                seen.busy_since.store(Progress::IDLE, Ordering::Release);
            }
        })?;
    Ok((
        Queue {
            jobs,
            deadline,
            progress,
        },
        thread,
    ))
}

/// How writing a group ended.
enum End {
    /// Whatever the jobs said is so.
    Committed,
    /// The transaction could not begin: nothing was written.
    NotBegun(rusqlite::Error),
    /// A job took the transaction down with it.
    Broken,
    /// The commit failed.
    CommitFailed(rusqlite::Error),
    /// A failing point of a test.
    #[cfg_attr(
        not(feature = "failpoints"),
        expect(dead_code, reason = "only points make it")
    )]
    Failed(fn() -> StoreError),
}

/// Writes a group and answers each of its jobs.
fn write(db: &Connection, clock: &StoreClock, mut group: Vec<Box<dyn Job>>) {
    if group.is_empty() {
        return;
    }
    let end = attempt(db, clock.now(), &mut group);
    if !db.is_autocommit() {
        // If this fails as well, the next BEGIN does and says so.
        drop(db.execute_batch("ROLLBACK"));
    }
    let alone = group.len() == 1;
    let trouble: &dyn Fn() -> Option<StoreError> = match &end {
        End::Committed => &|| None,
        End::NotBegun(error) => &|| {
            Some(match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => StoreError::Full,
                Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
                _ => StoreError::Unavailable(Source::from(error.to_string())),
            })
        },
        End::CommitFailed(error) if alone || is_unknown(error) => &|| Some(commit_error(error)),
        End::Broken if alone => &|| Some(StoreError::Unavailable(Source::from("rolled back"))),
        End::Failed(failure) => &|| Some(failure()),
        // Nothing of it was written, and the fault of one must not be that of all.
        End::Broken | End::CommitFailed(_) => {
            for job in group {
                write(db, clock, vec![job]);
            }
            return;
        }
    };
    for job in group {
        job.settle(trouble());
    }
}

fn is_unknown(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

fn attempt(db: &Connection, now: Timestamp, group: &mut [Box<dyn Job>]) -> End {
    failpoint!(
        "sqlite::before_commit",
        End::Failed(|| StoreError::Unavailable(Source::from("sqlite::before_commit")))
    );
    if let Err(error) = run(db, "BEGIN IMMEDIATE") {
        return End::NotBegun(error);
    }
    if let [only] = group {
        if !only.run(db, now) {
            return if run(db, "ROLLBACK").is_ok() {
                End::Committed
            } else {
                End::Broken
            };
        }
    } else {
        for job in group {
            if !step(db, now, job.as_mut()) {
                return End::Broken;
            }
        }
    }
    if let Err(error) = run(db, "COMMIT") {
        return End::CommitFailed(error);
    }
    failpoint!(
        "sqlite::after_commit",
        End::Failed(|| StoreError::OutcomeUnknown(Source::from("sqlite::after_commit")))
    );
    failpoint!(
        "sqlite::after_commit_report_failed",
        End::Failed(|| {
            StoreError::OutcomeUnknown(Source::from("sqlite::after_commit_report_failed"))
        })
    );
    End::Committed
}

/// Runs one job of several; false if the transaction is gone.
fn step(db: &Connection, now: Timestamp, job: &mut dyn Job) -> bool {
    let whole = || -> rusqlite::Result<()> {
        run(db, "SAVEPOINT job")?;
        if !job.run(db, now) {
            run(db, "ROLLBACK TO job")?;
        }
        run(db, "RELEASE job")
    };
    let mut whole = whole;
    whole().is_ok() && !db.is_autocommit()
}

fn run(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}

/// Runs a statement that is kept prepared; how many rows it wrote.
pub(crate) fn execute(
    db: &Connection,
    sql: &'static str,
    params: impl rusqlite::Params,
) -> Result<usize> {
    db.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map_err(store_error)
}
