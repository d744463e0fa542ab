//! Running one statement: on a pooled connection, within the deadline, with every failure judged.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tenure::{Invalid, StoreError};
use tokio::sync::{Notify, RwLock};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use crate::error::{Cause, Failure, Sent, judge, lost, no_connection};
use crate::settings::{Options, Settings, Statements};
use crate::sql::{self, Statement};
use crate::{failpoint, pool};

/// A value to bind.
pub(crate) type Param<'a> = &'a (dyn ToSql + Sync);

/// What is to be run.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The method of the port, for fail points and logs.
    pub(crate) operation: &'static str,
    pub(crate) text: &'a str,
    pub(crate) types: &'a [Type],
    pub(crate) params: &'a [Param<'a>],
    /// Whether it writes: then a lost reply is an unknown outcome.
    pub(crate) writes: bool,
    /// Whether a barrier follows it in the same transaction.
    pub(crate) barrier: bool,
}

impl<'a> Call<'a> {
    pub(crate) const fn read(
        operation: &'static str,
        statement: &'a Statement,
        params: &'a [Param<'a>],
    ) -> Self {
        let (text, types) = (statement.text, statement.types);
        Self {
            operation,
            text,
            types,
            params,
            writes: false,
            barrier: false,
        }
    }

    pub(crate) const fn write(
        operation: &'static str,
        statement: &'a Statement,
        params: &'a [Param<'a>],
    ) -> Self {
        let (text, types) = (statement.text, statement.types);
        Self {
            operation,
            text,
            types,
            params,
            writes: true,
            barrier: false,
        }
    }
}

/// How often a statement that the database undid by itself is sent again.
const TRIES: u32 = 5;

/// Beyond this many prepared statements a connection keeps no more: lists have many shapes.
const PREPARED_MAX: usize = 256;

/// The database behind the store.
pub(crate) struct Database {
    pub(crate) pool: Pool,
    pub(crate) options: Options,
    /// When the schema was last found to fit.
    pub(crate) fits: Mutex<Option<Instant>>,
    closed: AtomicBool,
    /// Held by every call that runs; closing waits for all of them.
    running: RwLock<()>,
    /// Told when a commit of this process made work due.
    pub(crate) due: Notify,
}

impl Database {
    pub(crate) fn new(settings: Settings) -> Result<Self, Invalid> {
        Ok(Self {
            pool: pool::build(&settings)?,
            options: settings.options,
            fits: Mutex::new(None),
            closed: AtomicBool::new(false),
            running: RwLock::new(()),
            due: Notify::new(),
        })
    }

    /// Runs a statement, if the schema fits.
    pub(crate) async fn run(&self, call: Call<'_>) -> Result<Vec<Row>, Failure> {
        self.ensure_fits().await?;
        match self.run_unchecked(call).await {
            Err(Failure::Schema(error)) => Err(self.misfit(error).await.into()),
            result => result,
        }
    }

    /// Runs a statement, whatever the schema is.
    pub(crate) async fn run_unchecked(&self, call: Call<'_>) -> Result<Vec<Row>, Failure> {
        let _running = self.running.read().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed.into());
        }
        let until = Instant::now() + self.options.deadline;
        let mut stale = false;
        for attempt in 1.. {
            match self.once(call, until).await {
                Err(Failure::Again(_)) if attempt < TRIES && Instant::now() < until => {
                    tokio::time::sleep(pause(attempt)).await;
                }
                Err(Failure::Stale(_)) if !stale => stale = true,
                Err(Failure::Store(StoreError::ReadOnly)) => {
                    // The primary is another by now: every connection is to the wrong node.
                    self.pool.retain(|_, _| false);
                    return Err(StoreError::ReadOnly.into());
                }
                result => return result,
            }
        }
        Err(StoreError::Overloaded.into())
    }

    /// Lets no new call begin, waits for those that run, and closes the connections.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(self.running.write().await);
        self.pool.close();
    }

    async fn once(&self, call: Call<'_>, until: Instant) -> Result<Vec<Row>, Failure> {
        let mut lent = match timeout_at(until, self.pool.get()).await {
            Ok(Ok(object)) => Lent(Some(object)),
            Ok(Err(error)) => return Err(no_connection(&error).into()),
            Err(_) => return Err(StoreError::Overloaded.into()),
        };
        failpoint::before_send(call.operation)?;
        let Some(object) = lent.0.as_mut() else {
            return Err(StoreError::Overloaded.into());
        };
        let mut sent = Sent::Harmless;
        let outcome = timeout_at(until, self.send(object, call, &mut sent)).await;
        let failure = match outcome {
            Ok(Ok(rows)) => {
                lent.give_back();
                failpoint::after_reply(call.operation)?;
                return Ok(rows);
            }
            Ok(Err(error)) => judge(&error, sent),
            // Dropping the socket, and no cancel request: a write whose wait for the standby is
            // cancelled would be acknowledged without being safe.
            Err(_) => lost(sent, Cause::new("the deadline passed")).into(),
        };
        if let Failure::Stale(_) = failure
            && let Some(object) = &lent.0
        {
            object.statement_cache.clear();
        }
        let broken = matches!(
            failure,
            Failure::Store(
                StoreError::OutcomeUnknown(_) | StoreError::Unavailable(_) | StoreError::ReadOnly
            )
        );
        if !broken {
            lent.give_back();
        }
        Err(failure)
    }

    async fn send(
        &self,
        object: &mut Object,
        call: Call<'_>,
        sent: &mut Sent,
    ) -> Result<Vec<Row>, Error> {
        if call.barrier {
            return self.send_with_barrier(object, call).await;
        }
        let named = self.options.statements == Statements::Named
            && object.statement_cache.size() < PREPARED_MAX;
        if named {
            let statement = object.prepare_typed_cached(call.text, call.types).await?;
            if call.writes {
                *sent = Sent::Write;
            }
            return object.query(&statement, call.params).await;
        }
        if call.writes {
            *sent = Sent::Write;
        }
        object.query_typed(call.text, &typed(call)).await
    }

    /// Reads, then passes the barrier, in one transaction.
    async fn send_with_barrier(
        &self,
        object: &mut Object,
        call: Call<'_>,
    ) -> Result<Vec<Row>, Error> {
        let transaction = object.transaction().await?;
        let rows = transaction.query_typed(call.text, &typed(call)).await?;
        transaction.query_typed(sql::BARRIER.text, &[]).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// Runs in a task of its own what must not be cut short by a caller that goes away.
    pub(crate) async fn detached<T: Send + 'static>(
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match tokio::spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(lost(
                Sent::Write,
                Cause::new(format!("a task ended: {error}")),
            )),
        }
    }
}

fn typed(call: Call<'_>) -> Vec<(Param<'_>, Type)> {
    call.params
        .iter()
        .copied()
        .zip(call.types.iter().cloned())
        .collect()
}

/// Full jitter, so that those who met do not meet again.
fn pause(attempt: u32) -> Duration {
    let most = 5_u64 << attempt.min(6);
    Duration::from_millis(RandomState::new().build_hasher().finish() % most + 1)
}

/// A connection that is thrown away unless it is given back: with the reply to a call that was
/// given up still to come, it would keep the next caller waiting.
struct Lent(Option<Object>);

impl Lent {
    fn give_back(&mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
