//! What every handler shares, and how it runs work: admitted, tracked, within a deadline.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tenure::{ClassName, Clock, Engine, SystemClock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::access::{Known, Rates, Strangers, Verifier};
use super::body::BodyRoom;
use super::code::Code;
use super::health::Lately;
use super::problem::Problem;
use super::pulse::Pulse;
use super::stream::Places;
use crate::config::Rate;
use crate::ids::{IdSource, SystemIds};
use crate::pull::Pull;
use crate::reconciler::Board;
use crate::telemetry::Exposition;

/// Most bytes of a request's body: 2 MiB.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What the API may spend on one request, and on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the configuration builds it field by field"
)]
pub struct Limits {
    /// How long a client may take to send a body.
    pub body: Duration,
    /// How long a request may take in all.
    pub request: Duration,
    /// How many requests may be at work in the store at once; more are turned away.
    pub in_flight: usize,
    /// How long an idempotency key is remembered.
    pub key_ttl: Duration,
    /// How many requests one principal may make.
    pub rate: Rate,
}

impl Default for Limits {
    /// 20 s, 30 s, 256, 24 h, 200 a second.
    fn default() -> Self {
        Self {
            body: Duration::from_secs(20),
            request: Duration::from_secs(30),
            in_flight: 256,
            key_ttl: Duration::from_hours(24),
            rate: Rate::default(),
        }
    }
}

/// What the API needs beside the engine.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the configuration builds it field by field"
)]
pub struct ApiOptions {
    /// The classes that there are; empty means that any may be named.
    pub classes: BTreeSet<ClassName>,
    /// What requests may take.
    pub limits: Limits,
    /// What hands out work to workers that ask for it, if any may.
    pub pull: Option<Arc<Pull>>,
    /// Cancelled when the server is about to stop: it says so, and serves on.
    pub drain: CancellationToken,
    /// Cancelled when the server stops: what waits for something to happen waits no longer.
    pub stop: CancellationToken,
    /// The time of every change.
    pub clock: Arc<dyn Clock>,
    /// The ids of requests and tenants.
    pub ids: Arc<dyn IdSource>,
    /// How each class stands on this server.
    pub board: Board,
    /// Whether requests must say who they are. If not, everybody is an admin.
    pub auth_required: bool,
    /// What verifies bearer tokens that Tenure did not make, if any are taken.
    pub verifier: Option<Verifier>,
    /// Whether changes of a tenant must say which revision they saw.
    pub require_if_match: bool,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            classes: BTreeSet::new(),
            limits: Limits::default(),
            pull: None,
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            board: Board::default(),
            auth_required: false,
            verifier: None,
            require_if_match: false,
        }
    }
}

/// What every handler shares. Cloning it is cheap and shares it.
#[derive(Clone, Debug)]
pub struct ApiState {
    engine: Engine,
    options: Arc<ApiOptions>,
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    known: Arc<Known>,
    rates: Arc<Rates>,
    strangers: Arc<Strangers>,
    pulse: Arc<Pulse>,
    places: Places,
    body_room: BodyRoom,
    finishing: CancellationToken,
    exposition: Arc<Exposition>,
    lately: Arc<Lately>,
}

impl ApiState {
    /// An API over an engine.
    pub fn new(engine: Engine, options: ApiOptions) -> Self {
        Self {
            engine,
            permits: Arc::new(Semaphore::new(options.limits.in_flight)),
            rates: Arc::new(Rates::new(options.limits.rate)),
            options: Arc::new(options),
            tasks: TaskTracker::new(),
            known: Arc::default(),
            strangers: Arc::default(),
            pulse: Arc::default(),
            places: Places::default(),
            body_room: BodyRoom::default(),
            finishing: CancellationToken::new(),
            exposition: Arc::default(),
            lately: Arc::default(),
        }
    }

    /// Waits until the writes are done whose clients have gone. Call it when no new request can come.
    pub async fn finish(&self) {
        self.finishing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What answers for the metrics.
    pub(crate) fn exposition(&self) -> &Exposition {
        &self.exposition
    }

    /// What the store said of itself.
    pub(super) fn lately(&self) -> &Lately {
        &self.lately
    }

    /// What is remembered of tokens.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// What is remembered of tokens that are none.
    pub(super) fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// What tells that the feed has moved.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The places of answers that go on.
    pub(super) const fn places(&self) -> &Places {
        &self.places
    }

    /// The room for bodies.
    pub(super) const fn body_room(&self) -> &BodyRoom {
        &self.body_room
    }

    /// What each caller may ask still.
    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Runs something that [`Self::finish`] waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Returns when no new request can come.
    pub(crate) async fn finishing(&self) {
        self.finishing.cancelled().await;
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns when the server stops.
    pub(crate) async fn stopped(&self) {
        self.options.stop.cancelled().await;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.options.stop.is_cancelled()
    }

    /// Whether the server stops, or is about to.
    pub(crate) fn is_draining(&self) -> bool {
        self.options.drain.is_cancelled() || self.is_stopping()
    }

    pub(crate) fn options(&self) -> &ApiOptions {
        &self.options
    }

    /// Runs a write to its end, whether or not the client waits for it: hanging up can't cut it in
    /// half. It holds its permit until then, so clients that hang up can't pile up work.
    ///
    /// # Errors
    ///
    /// The work's own; [`Code::Overloaded`] and [`Code::DeadlineExceeded`] before it began;
    /// [`Code::OutcomeUnknown`] if it goes on past the deadline.
    pub(crate) async fn write<T, E, F>(&self, deadline: Instant, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let permit = self.admit()?;
        self.finish_write(deadline, permit, work).await
    }

    /// The same for work that waits for its turn rather than to be turned away.
    ///
    /// # Errors
    ///
    /// As [`Self::write`]; [`Code::Overloaded`] if its turn did not come in time.
    pub(crate) async fn write_in_turn<T, E, F>(
        &self,
        deadline: Instant,
        work: F,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let permit = self.turn(deadline).await?;
        self.finish_write(deadline, permit, work).await
    }

    async fn finish_write<T, E, F>(
        &self,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
        work: F,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let work = async move {
            let done = work.await;
            drop(permit);
            done
        };
        if Instant::now() >= deadline {
            return Err(Problem::new(
                Code::DeadlineExceeded,
                "the request's deadline was over before the write could begin; nothing was done; try \
                 again later",
            ));
        }
        let task = self.tasks.spawn(work.in_current_span());
        match timeout_at(deadline, task).await {
            Ok(Ok(done)) => done.map_err(Into::into),
            Ok(Err(crash)) => Err(Problem::new(
                Code::Internal,
                "the server failed; get the tenant to see what was written, \
                 and find this request in the server's log",
            )
            .caused_by(crash.to_string())),
            Err(_elapsed) => Err(Problem::new(
                Code::OutcomeUnknown,
                "it takes longer than the request's deadline and goes on; send the same request \
                 again, with the same Idempotency-Key if it had one, to learn what became of it",
            )),
        }
    }

    /// Runs a read, which may be dropped at any time.
    ///
    /// # Errors
    ///
    /// The work's own; [`Code::Overloaded`]; [`Code::DeadlineExceeded`].
    pub(crate) async fn read<T, E, F>(&self, deadline: Instant, work: F) -> Result<T, Problem>
    where
        T: Send,
        E: Into<Problem> + Send,
        F: Future<Output = Result<T, E>> + Send,
    {
        let _permit = self.admit()?;
        in_time(deadline, work).await?.map_err(Into::into)
    }

    /// The same for a read that waits for its turn rather than to be turned away.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]; [`Code::Overloaded`] if its turn did not come in time.
    pub(crate) async fn read_in_turn<T, E, F>(
        &self,
        deadline: Instant,
        work: F,
    ) -> Result<T, Problem>
    where
        T: Send,
        E: Into<Problem> + Send,
        F: Future<Output = Result<T, E>> + Send,
    {
        let _permit = self.turn(deadline).await?;
        in_time(deadline, work).await?.map_err(Into::into)
    }

    async fn turn(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(overloaded)
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| overloaded())
    }
}

/// Waits for the store, but not beyond the deadline.
///
/// # Errors
///
/// [`Code::DeadlineExceeded`].
pub(super) async fn in_time<T: Send>(
    deadline: Instant,
    work: impl Future<Output = T> + Send,
) -> Result<T, Problem> {
    timeout_at(deadline, work).await.map_err(|_elapsed| {
        Problem::new(
            Code::DeadlineExceeded,
            "the store did not answer within the request's deadline; try again later, \
             or ask for a smaller page",
        )
    })
}

fn overloaded() -> Problem {
    Problem::new(
        Code::Overloaded,
        "the server works on as many requests as it may; nothing was done; try again later",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tenure::conformance::MemoryStore;
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    fn api() -> ApiState {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let limits = Limits {
            in_flight: 1,
            ..Limits::default()
        };
        let options = ApiOptions {
            limits,
            ..ApiOptions::default()
        };
        ApiState::new(Engine::new(Arc::new(store)), options)
    }

    #[tokio::test]
    async fn p1_a_write_goes_on_when_its_client_has_gone_and_keeps_its_place() {
        let (api, begun, go_on) = (api(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let done = Arc::new(AtomicBool::new(false));
        let deadline = Instant::now() + Duration::from_mins(1);
        let work = {
            let (begun, go_on, done) = (Arc::clone(&begun), Arc::clone(&go_on), Arc::clone(&done));
            async move {
                begun.notify_one();
                go_on.notified().await;
                done.store(true, Ordering::SeqCst);
                Ok::<_, Problem>(())
            }
        };
        tokio::select! {
            _ = api.write(deadline, work) => unreachable!("it waits"),
            () = begun.notified() => {} // and the client hangs up
        }
        let next = api.read(deadline, async { Ok::<_, Problem>(()) }).await;
        assert_eq!(next.unwrap_err().code(), Code::Overloaded);
        go_on.notify_one();
        timeout(Duration::from_mins(1), api.finish()).await.unwrap();
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn p11_what_takes_too_long_is_told_apart() {
        let api = api();
        let never = || std::future::pending::<Result<(), Problem>>();
        let read = api.read(Instant::now(), never()).await.unwrap_err();
        assert_eq!(read.code(), Code::DeadlineExceeded);
        let soon = Instant::now() + Duration::from_secs(1);
        let write = api.write(soon, never()).await.unwrap_err();
        assert_eq!(write.code(), Code::OutcomeUnknown);
    }

    #[tokio::test]
    async fn p11_past_its_deadline_no_write_is_begun() {
        let (api, begun) = (api(), Arc::new(AtomicBool::new(false)));
        let noted = Arc::clone(&begun);
        let work = async move {
            noted.store(true, Ordering::SeqCst);
            Ok::<_, Problem>(())
        };
        let late = api.write(Instant::now(), work).await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        timeout(Duration::from_mins(1), api.finish()).await.unwrap();
        assert!(!begun.load(Ordering::SeqCst));
    }
}
