//! Answers that go on: a body that a task writes to until it is done, its client has gone, or the
//! server stops.
//!
//! What breaks off without having ended is seen to: the connection is cut, so that nobody takes a
//! part for the whole.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::Fuse;
use hyper::body::Frame;
use tenure::Actor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::Principal;
use super::code::Code;
use super::problem::Problem;
use super::state::ApiState;

/// Lines of JSON.
pub(super) const LINES: &str = "application/x-ndjson";

/// Server-sent events.
pub(super) const EVENTS: &str = "text/event-stream";

/// Asks proxies not to hold the answer back until it is whole.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Pieces that may wait for a slow client before whoever writes them waits too.
const AHEAD: usize = 2;

/// How many answers may go on at once: those who follow the feed, exports and imports.
const PLACES: usize = 128;

/// How many of them one caller may have, so that nobody takes all.
const PLACES_OF_ONE: usize = PLACES / 8;

/// The places of answers that go on.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<BTreeMap<Actor, usize>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(PLACES)),
            taken: Arc::default(),
        }
    }
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, BTreeMap<Actor, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the answers that go on.
#[derive(Debug)]
pub(super) struct Place {
    _free: OwnedSemaphorePermit,
    _share: Option<Share>,
}

/// What one caller has of the places, one less when it is dropped.
#[derive(Debug)]
struct Share(Places, Actor);

/// Where a task writes its answer.
pub(super) struct Output {
    sender: Sender<Bytes, io::Error>,
    _place: Place,
}

impl Place {
    /// A place, if one is free for this caller.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`] if they have as many as one may; [`Code::Overloaded`].
    pub(super) fn take(api: &ApiState, principal: &Principal) -> Result<Self, Problem> {
        let places = api.places();
        // Who is not known can't be told from the next one.
        let share = if principal.anonymous {
            None
        } else {
            Some(Share::take(places, &principal.actor)?)
        };
        let free = Arc::clone(&places.free).try_acquire_owned();
        let free = free.map_err(|_| {
            let detail = "as many follow and export as the server lets at once; try again later";
            Problem::new(Code::Overloaded, detail)
        })?;
        Ok(Self {
            _free: free,
            _share: share,
        })
    }
}

impl Share {
    fn take(places: &Places, whose: &Actor) -> Result<Self, Problem> {
        let mut taken = places.taken();
        let count = taken.entry(whose.clone()).or_default();
        if *count >= PLACES_OF_ONE {
            let detail = format!(
                "{whose} has {PLACES_OF_ONE} answers that go on (streams, exports, imports, waiting \
                 pages), as many as one may; nothing was done; end one of them first"
            );
            return Err(Problem::new(Code::RateLimited, detail));
        }
        *count += 1;
        drop(taken);
        Ok(Self(places.clone(), whose.clone()))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Self(places, whose) = self;
        let mut taken = places.taken();
        if let Some(count) = taken.get_mut(whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(whose);
            }
        }
    }
}

impl Output {
    /// Sends a piece; `false` if the client has gone, and nothing more is of use.
    pub(super) async fn send(&mut self, piece: impl Into<Bytes>) -> bool {
        self.sender.send_data(piece.into()).await.is_ok()
    }

    /// Cuts the answer off where it is.
    pub(super) fn cut(self) {
        self.sender.abort(io::Error::other("cut off"));
    }
}

/// The body that a client reads. With it goes whatever writes it.
struct Told {
    pieces: Fuse<Channel<Bytes, io::Error>>,
    /// Why it is cut off.
    broken: Option<io::Error>,
    _listens: DropGuard,
}

impl hyper::body::Body for Told {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(&mut self.pieces).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                // Once later, so that what was told before is sent before the connection is cut.
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }
}

/// An answer of 200 with a body of this type, which `write` writes.
///
/// The server waits for `write` when it stops: it must end soon once [`ApiState::stopped`].
pub(super) fn answer<F, Fut>(
    api: &ApiState,
    place: Place,
    media: &'static str,
    write: F,
) -> Response
where
    F: FnOnce(Output) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sender, pieces) = Channel::new(AHEAD);
    let gone = CancellationToken::new();
    let listens = gone.clone().drop_guard();
    let write = write(Output {
        sender,
        _place: place,
    });
    api.spawn(async move {
        tokio::select! {
            () = write => {}
            () = gone.cancelled() => {}
        }
    });
    let mut response = Response::new(Body::new(Told {
        // Whatever packs an answer may ask for more after its end, where this would panic.
        pieces: pieces.fuse(),
        broken: None,
        _listens: listens,
    }));
    let head = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "no-store"),
        (X_ACCEL_BUFFERING, "no"),
    ] {
        head.insert(name, HeaderValue::from_static(value));
    }
    response
}
