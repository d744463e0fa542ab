//! Answers that go on: a body that a task writes to until it is done, its client has gone, or the
//! server stops.
//!
//! What breaks off without having ended is seen to: the connection is cut, so that nobody takes a
//! part for the whole.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use tokio::sync::OwnedSemaphorePermit;

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

/// A place among the answers that go on.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Where a task writes its answer.
pub(super) struct Output {
    sender: Sender<Bytes, io::Error>,
    _place: Place,
}

impl Place {
    /// A place, if one is free.
    ///
    /// # Errors
    ///
    /// [`Code::Overloaded`].
    pub(super) fn take(api: &ApiState) -> Result<Self, Problem> {
        let free = Arc::clone(api.places()).try_acquire_owned();
        free.map(|permit| Self { _permit: permit }).map_err(|_| {
            let detail = "as many follow and export as the server lets at once; try again later";
            Problem::new(Code::Overloaded, detail)
        })
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
    let (sender, body) = Channel::new(AHEAD);
    api.spawn(write(Output {
        sender,
        _place: place,
    }));
    // Whatever packs an answer may ask for more after its end, where this would panic.
    let mut response = Response::new(Body::new(body.fuse()));
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
