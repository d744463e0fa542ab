//! What is left of a request's body once its answer is ready: read if it is little, or else said.
//!
//! The next request on a connection begins where this one's body ends. Who is refused before their
//! body was read must hear that the connection closes, or they would go on writing to it in vain.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::timeout;

use super::state::ApiState;

/// Most bytes that are read so that the connection can go on, and how long they may take.
const LITTLE: (usize, Duration) = (64 * 1024, Duration::from_millis(100));

/// The same so that a client that still writes gets to read its answer before it is cut off.
const LINGER: (usize, Duration) = (1024 * 1024, Duration::from_secs(1));

/// What is left of a body.
pub(super) struct Unread {
    left: Arc<Mutex<Option<Body>>>,
    /// Whether the client waits to be asked for it.
    waits: bool,
}

/// Gives a request's body away so that what is left of it comes back.
pub(super) fn lend(request: Request) -> (Request, Unread) {
    let unread = Unread {
        left: Arc::default(),
        waits: request.headers().contains_key(header::EXPECT),
    };
    if request.body().is_end_stream() {
        return (request, unread);
    }
    let left = Arc::clone(&unread.left);
    let request = request.map(|body| {
        Body::new(Lent {
            body: Some(body),
            left,
        })
    });
    (request, unread)
}

impl Unread {
    /// Reads what is left if it is little; else tells the client that the connection closes.
    pub(super) async fn settle(self, api: &ApiState, response: &mut Response) {
        let left = self.left.lock().ok().and_then(|mut left| left.take());
        let Some(mut body) = left else {
            return;
        };
        if !self.waits && has_ended(&mut body, LITTLE).await {
            return;
        }
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        if !self.waits {
            api.spawn(async move {
                has_ended(&mut body, LINGER).await;
            });
        }
    }
}

/// Reads no more than so much for no longer than this; whether that was all.
async fn has_ended(body: &mut Body, (most, limit): (usize, Duration)) -> bool {
    let read = async {
        let mut read = 0;
        while read <= most {
            match body.frame().await {
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    };
    timeout(limit, read).await.unwrap_or(false)
}

/// A body that comes back when it is dropped before its end.
struct Lent {
    body: Option<Body>,
    left: Arc<Mutex<Option<Body>>>,
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream())
            && let Ok(mut left) = self.left.lock()
        {
            *left = Some(body);
        }
    }
}
