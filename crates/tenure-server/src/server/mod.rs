//! The HTTP server: accepts connections, bounds what each may take, and ends them in order.
//!
//! It has its own accept loop, because `axum::serve` has no timeout at all: a client that sends half
//! a header would hold its connection for ever.
//!
//! # Invariants
//!
//! - It listens on loopback addresses only, as long as there is no authentication.
//! - No connection waits for its client without a bound, whether idle, reading or writing.
//! - When it returns, no connection is left.

mod guarded;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use guarded::{Guarded, Turns};

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the configuration builds it field by field"
)]
pub struct ConnectionLimits {
    /// How long a client may take to send a header, from its first byte.
    pub header: Duration,
    /// How long a connection may rest between requests.
    pub idle: Duration,
    /// How long a client may not read a byte of its answer.
    pub write: Duration,
    /// How long requests may take to end after the server was asked to stop.
    pub drain: Duration,
    /// How many connections there may be; more wait to be accepted.
    pub connections: usize,
}

impl Default for ConnectionLimits {
    /// 10 s, 60 s, 30 s, 10 s, 1,024.
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            connections: 1024,
        }
    }
}

/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// Most bytes of a request's first line and headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// How long to wait after a connection could not be accepted, such as for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server can't listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address can be reached from other machines.
    #[error(
        "{0} can be reached from other machines, and no authentication is configured; \
         listen on 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// The system refuses it.
    #[error("can't listen on {address}: {why}; is another server running there?")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// The listener does not say where it listens.
    #[error("the listener has no address: {0}")]
    NoAddress(std::io::Error),
}

/// Listens on a loopback address.
///
/// # Errors
///
/// [`ListenError::NotLoopback`] for any other; [`ListenError::Refused`] if it is taken.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if !address.ip().is_loopback() {
        return Err(ListenError::NotLoopback(address));
    }
    TcpListener::bind(address)
        .await
        .map_err(|why| ListenError::Refused { address, why })
}

/// Serves until `shutdown`, then lets the requests that have begun end, up to [`ConnectionLimits::drain`].
///
/// Writes go on beyond that; wait for them with [`ApiState::finish`](crate::api::ApiState::finish).
///
/// # Errors
///
/// [`ListenError::NotLoopback`] at once, if the listener can be reached from other machines.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) -> Result<(), ListenError> {
    let address = listener.local_addr().map_err(ListenError::NoAddress)?;
    if !address.ip().is_loopback() {
        return Err(ListenError::NotLoopback(address));
    }
    let server = Server {
        router,
        limits,
        soft: shutdown,
        hard: CancellationToken::new(),
        connections: TaskTracker::new(),
    };
    server.accept(&listener).await;
    drop(listener);
    server.drain().await;
    Ok(())
}

struct Server {
    router: Router,
    limits: ConnectionLimits,
    /// Asks connections to end after the request that they are at.
    soft: CancellationToken,
    /// Ends them.
    hard: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    async fn accept(&self, listener: &TcpListener) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (listener.accept().await, slot)
            };
            let (accepted, slot) = tokio::select! {
                next = next => next,
                () = self.soft.cancelled() => return,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let connection = self.connection(stream);
                    self.connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection to its end.
    fn connection(&self, stream: TcpStream) -> impl Future<Output = ()> + Send + use<> {
        let (router, limits) = (self.router.clone(), self.limits);
        let (soft, hard) = (self.soft.clone(), self.hard.clone());
        async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection answers with delay");
            }
            let turns = Turns::default();
            let io = TokioIo::new(Guarded::new(stream, turns.clone(), limits));
            let service = service_fn(move |request: Request<Incoming>| {
                let turn = turns.begin();
                let answer = router.clone().oneshot(request.map(Body::new));
                async move {
                    let answer = answer.await;
                    drop(turn);
                    answer
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // Hyper counts from the end of the request before, so this bounds idling;
                // `Guarded` bounds the header itself.
                .header_read_timeout(limits.idle)
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(io, service);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = soft.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection => ended,
                        () = hard.cancelled() => Ok(()),
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended badly");
            }
        }
    }

    async fn drain(&self) {
        self.connections.close();
        if timeout(self.limits.drain, self.connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.connections.len(), "requests were cut off");
            self.hard.cancel();
            self.connections.wait().await;
        }
    }
}
