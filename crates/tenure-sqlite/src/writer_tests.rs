//! How the writer groups, isolates, bounds and gives up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, params};
use tempfile::TempDir;
use tenure::{Result, StoreError, SystemClock, Timestamp};

use crate::clock::StoreClock;
use crate::connect::{Role, connect};
use crate::migrate;
use crate::writer::{Pending, Queue, execute, start};

struct Rig {
    _directory: TempDir,
    queue: Option<Queue>,
    thread: Option<JoinHandle<()>>,
    beside: Connection,
    commits: Arc<AtomicU32>,
}

impl Rig {
    fn new(length: usize, deadline: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenure.db");
        let mut db = connect(&path, Role::Writer).unwrap();
        migrate::migrate(&mut db, &path).unwrap();
        db.execute_batch("CREATE TABLE notes (note TEXT UNIQUE) STRICT")
            .unwrap();
        let commits = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&commits);
        let counted = move || {
            count.fetch_add(1, Ordering::AcqRel);
            false
        };
        db.commit_hook(Some(counted)).unwrap();
        let beside = connect(&path, Role::Reader).unwrap();
        let clock = Arc::new(StoreClock::new(Arc::new(SystemClock)));
        let (queue, thread) = start(db, clock, length, deadline).unwrap();
        Self {
            _directory: directory,
            queue: Some(queue),
            thread: Some(thread),
            beside,
            commits,
        }
    }

    fn push<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<Pending<T>> {
        self.queue.as_ref().unwrap().push(work)
    }

    /// Occupies the writer until the sender that it gives is used; it is busy once this returns.
    fn occupy(&self) -> (Pending<()>, mpsc::Sender<()>) {
        let (go, wait) = mpsc::channel();
        let (tell, busy) = mpsc::channel();
        let work = move |_: &Connection, _| {
            tell.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        };
        let pending = self.push(work).unwrap();
        busy.recv().unwrap();
        (pending, go)
    }

    fn notes(&self) -> Vec<String> {
        let mut all = self
            .beside
            .prepare("SELECT note FROM notes ORDER BY rowid")
            .unwrap();
        all.query_map([], |row| row.get(0))
            .unwrap()
            .map(std::result::Result::unwrap)
            .collect()
    }

    fn end(&mut self) {
        drop(self.queue.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn note(text: &'static str) -> impl FnMut(&Connection, Timestamp) -> Result<()> + Send + 'static {
    move |db, _| execute(db, "INSERT INTO notes VALUES (?1)", params![text]).map(drop)
}

/// Breaks a deferred foreign key, which shows only at the commit: a line of nobody's history.
fn orphan(db: &Connection, _now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO history VALUES (randomblob(16), 1, 1, 'user:x', 'created', NULL,
               'requested', 'Requested', '', 1, 1, 0, zeroblob(32), NULL, NULL, NULL,
               zeroblob(16), zeroblob(32))";
    execute(db, sql, []).map(drop)
}

#[tokio::test]
async fn what_queues_up_is_written_in_one_commit() {
    let rig = Rig::new(64, Duration::from_secs(5));
    let (first, go) = rig.occupy();
    let texts = ["a", "b", "c", "d"];
    let pending: Vec<_> = texts
        .into_iter()
        .map(|text| rig.push(note(text)).unwrap())
        .collect();
    go.send(()).unwrap();
    first.answer().await.unwrap();
    for answer in pending {
        answer.answer().await.unwrap();
    }
    assert_eq!(rig.notes(), texts);
    // The one that kept the writer busy wrote nothing, but its transaction ended as well.
    assert_eq!(rig.commits.load(Ordering::Acquire), 2);
}

#[tokio::test]
async fn a_job_that_fails_spoils_no_other() {
    let rig = Rig::new(64, Duration::from_secs(5));
    let (first, go) = rig.occupy();
    let good = rig.push(note("a")).unwrap();
    let twice = rig.push(note("a")).unwrap();
    let refused = rig
        .push(|db, _| {
            execute(db, "INSERT INTO notes VALUES ('half')", [])?;
            Err::<(), _>(StoreError::Overloaded)
        })
        .unwrap();
    let last = rig.push(note("b")).unwrap();
    go.send(()).unwrap();
    first.answer().await.unwrap();
    good.answer().await.unwrap();
    let error = twice.answer().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Rejected { rule } if rule == "notes.note"),
        "{error:?}"
    );
    assert!(matches!(
        refused.answer().await,
        Err(StoreError::Overloaded)
    ));
    last.answer().await.unwrap();
    assert_eq!(rig.notes(), ["a", "b"]);
}

#[tokio::test]
async fn a_job_that_fails_only_at_the_commit_spoils_no_other() {
    let rig = Rig::new(64, Duration::from_secs(5));
    let (first, go) = rig.occupy();
    let good = rig.push(note("a")).unwrap();
    let bad = rig.push(orphan).unwrap();
    let last = rig.push(note("b")).unwrap();
    go.send(()).unwrap();
    first.answer().await.unwrap();
    good.answer().await.unwrap();
    let error = bad.answer().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Rejected { rule } if rule == "foreign_key"),
        "{error:?}"
    );
    last.answer().await.unwrap();
    assert_eq!(rig.notes(), ["a", "b"]);
}

#[tokio::test]
async fn a_job_that_ends_the_transaction_spoils_no_other() {
    let rig = Rig::new(64, Duration::from_secs(5));
    let (first, go) = rig.occupy();
    let good = rig.push(note("a")).unwrap();
    let bad = rig
        .push(|db, _| execute(db, "ROLLBACK", []).map(drop))
        .unwrap();
    let last = rig.push(note("b")).unwrap();
    go.send(()).unwrap();
    first.answer().await.unwrap();
    good.answer().await.unwrap();
    assert!(bad.answer().await.is_err());
    last.answer().await.unwrap();
    assert_eq!(rig.notes(), ["a", "b"]);
}

#[tokio::test]
async fn p11_one_job_more_than_may_wait_is_told_so() {
    let rig = Rig::new(2, Duration::from_secs(5));
    let (first, go) = rig.occupy();
    let waiting = [rig.push(note("a")).unwrap(), rig.push(note("b")).unwrap()];
    assert!(matches!(rig.push(note("c")), Err(StoreError::Overloaded)));
    go.send(()).unwrap();
    first.answer().await.unwrap();
    for answer in waiting {
        answer.answer().await.unwrap();
    }
    assert_eq!(rig.notes(), ["a", "b"]);
}

#[tokio::test]
async fn a_job_whose_caller_gave_up_before_it_began_is_never_run() {
    let rig = Rig::new(8, Duration::from_millis(20));
    let (first, go) = rig.occupy();
    let never = rig.push(note("never")).unwrap();
    let error = never.answer().await.unwrap_err();
    assert!(matches!(error, StoreError::Overloaded), "{error:?}");
    assert!(matches!(
        first.answer().await,
        Err(StoreError::OutcomeUnknown(_))
    ));
    let trouble = rig.queue.as_ref().unwrap().trouble();
    assert!(
        trouble.is_some_and(|trouble| trouble.contains("check the disk")),
        "{trouble:?}"
    );
    go.send(()).unwrap();
    let mut rig = rig;
    rig.end();
    assert!(rig.notes().is_empty());
}

#[tokio::test]
async fn p5_a_late_answer_is_an_unknown_outcome_and_the_job_happens_whole() {
    let mut rig = Rig::new(8, Duration::from_millis(20));
    let (go, wait) = mpsc::channel::<()>();
    let mut once = Some(wait);
    let late = rig.push(move |db, now| {
        once.take().unwrap().recv().unwrap();
        note("late")(db, now)
    });
    let error = late.unwrap().answer().await.unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");
    go.send(()).unwrap();
    rig.end();
    assert_eq!(rig.notes(), ["late"]);
}

#[tokio::test]
async fn what_is_queued_is_written_before_the_writer_ends() {
    let mut rig = Rig::new(64, Duration::from_secs(5));
    let (first, go) = rig.occupy();
    let pending = rig.push(note("a")).unwrap();
    drop(rig.queue.take());
    go.send(()).unwrap();
    first.answer().await.unwrap();
    pending.answer().await.unwrap();
    rig.thread.take().unwrap().join().unwrap();
    assert_eq!(rig.notes(), ["a"]);
}

#[tokio::test]
async fn what_a_writer_that_dies_had_not_begun_is_not_written_and_said_so() {
    let mut rig = Rig::new(8, Duration::from_secs(5));
    let (first, go) = rig.occupy();
    let queued = rig.push(note("queued")).unwrap();
    // The occupant panics when its channel is gone.
    drop(go);
    assert!(matches!(
        first.answer().await,
        Err(StoreError::OutcomeUnknown(_))
    ));
    assert!(matches!(
        queued.answer().await,
        Err(StoreError::Unavailable(_))
    ));
    drop(rig.thread.take().unwrap().join());
    assert!(
        rig.queue
            .as_ref()
            .unwrap()
            .trouble()
            .unwrap()
            .contains("writer ended")
    );
    assert!(matches!(
        rig.push(note("late")),
        Err(StoreError::Unavailable(_))
    ));
    assert!(rig.notes().is_empty());
}
