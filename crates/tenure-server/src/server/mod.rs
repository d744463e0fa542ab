//! The HTTP server: accepts connections, bounds what each may take, and ends them in order.
//!
//! It has its own accept loop, because `axum::serve` has no timeout at all: a client that sends half
//! a header would hold its connection for ever.
//!
//! # Invariants
//!
//! - It listens on loopback addresses only, unless [`Exposure`] allows more: that takes authentication, and
//!   TLS here or before it.
//! - No connection waits for its client without a bound, whether idle, reading or writing.
//! - When it returns, no connection is left.

mod guarded;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::api::ClientAddress;
use crate::config::Config;
use guarded::{Guarded, Turns};

pub use tls::{ServerTls, TlsError};

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the configuration builds it field by field"
)]
pub struct ConnectionLimits {
    /// How long a client may take to send a header, from its first byte; the first, from the start.
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

/// Most headers of a request: more than the API takes, so that it can say so.
const HEADERS_MAX: usize = 4 * crate::api::HEADERS_MAX;

/// Most bytes of a request's first line and headers, likewise.
const HEADER_BYTES_MAX: usize = 2 * crate::api::HEADER_BYTES_MAX;

/// How long to wait after a connection could not be accepted, such as for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server can't listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address can be reached from other machines, and nobody would have to say who they are.
    #[error(
        "{0} can be reached from other machines, and no authentication is configured; listen on \
         127.0.0.1, or set auth.required = true, with [tls] or behind_proxy = true"
    )]
    NotLoopback(SocketAddr),
    /// The address can be reached from other machines, and tokens would cross the network in clear.
    #[error(
        "{0} can be reached from other machines, and tokens would be sent in clear; set \
         tls.cert_file and tls.key_file, or behind_proxy = true if a proxy ends TLS"
    )]
    NotEncrypted(SocketAddr),
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

/// From where a server may be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// From this machine.
    #[default]
    Loopback,
    /// From anywhere, but nothing keeps tokens from being read on the way.
    Clear,
    /// From anywhere: whoever comes must say who they are, and nobody can listen in.
    Anywhere,
}

impl Exposure {
    /// What a configuration allows.
    pub const fn of(config: &Config) -> Self {
        match (
            config.auth.required,
            config.tls.is_some() || config.behind_proxy,
        ) {
            (false, _) => Self::Loopback,
            (true, false) => Self::Clear,
            (true, true) => Self::Anywhere,
        }
    }

    /// Whether a server may listen there.
    pub(crate) const fn check(self, address: SocketAddr) -> Result<(), ListenError> {
        match self {
            _ if address.ip().is_loopback() => Ok(()),
            Self::Anywhere => Ok(()),
            Self::Clear => Err(ListenError::NotEncrypted(address)),
            Self::Loopback => Err(ListenError::NotLoopback(address)),
        }
    }
}

/// How connections are served.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the configuration builds it field by field"
)]
pub struct Terms {
    /// What they may take.
    pub limits: ConnectionLimits,
    /// From where they may come.
    pub exposure: Exposure,
    /// TLS, if it ends here.
    pub tls: Option<ServerTls>,
    /// Whether the last hop of `X-Forwarded-For` says who the peer is: a proxy wrote it.
    pub behind_proxy: bool,
}

impl From<ConnectionLimits> for Terms {
    /// On loopback, without TLS.
    fn from(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

/// Listens on a loopback address, or on any if `exposure` allows it.
///
/// # Errors
///
/// [`ListenError::NotLoopback`] and [`ListenError::NotEncrypted`] say what to configure;
/// [`ListenError::Refused`] if it is taken.
pub async fn listen(address: SocketAddr, exposure: Exposure) -> Result<TcpListener, ListenError> {
    exposure.check(address)?;
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
/// As [`listen`], at once, if the listener can be reached from where it may not.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    terms: impl Into<Terms> + Send,
    shutdown: CancellationToken,
) -> Result<(), ListenError> {
    let terms = terms.into();
    let address = listener.local_addr().map_err(ListenError::NoAddress)?;
    terms.exposure.check(address)?;
    let server = Server {
        router,
        terms,
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
    terms: Terms,
    /// Asks connections to end after the request that they are at.
    soft: CancellationToken,
    /// Ends them.
    hard: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    async fn accept(&self, listener: &TcpListener) {
        let slots = Arc::new(Semaphore::new(self.terms.limits.connections));
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
                Ok((stream, peer)) => {
                    let connection = self.connection(stream, ClientAddress(peer.ip()));
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

    /// Serves one connection to its end, with TLS first if it ends here.
    fn connection(
        &self,
        stream: TcpStream,
        peer: ClientAddress,
    ) -> impl Future<Output = ()> + Send + use<> {
        let line = Line {
            router: self.router.clone(),
            limits: self.terms.limits,
            behind_proxy: self.terms.behind_proxy,
            peer,
            soft: self.soft.clone(),
            hard: self.hard.clone(),
        };
        let acceptor = self.terms.tls.as_ref().map(ServerTls::acceptor);
        async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection answers with delay");
            }
            let Some(acceptor) = acceptor else {
                return line.serve(stream).await;
            };
            // A handshake is as slow as its client, so it has the time of a header.
            let handshake = timeout(line.limits.header, acceptor.accept(stream));
            let soft = line.soft.clone();
            let shaken = tokio::select! {
                shaken = handshake => shaken,
                () = soft.cancelled() => return,
            };
            match shaken {
                Ok(Ok(stream)) => line.serve(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }

    async fn drain(&self) {
        self.connections.close();
        if timeout(self.terms.limits.drain, self.connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.connections.len(), "requests were cut off");
            self.hard.cancel();
            self.connections.wait().await;
        }
    }
}

/// What is served on one connection.
struct Line {
    router: Router,
    limits: ConnectionLimits,
    behind_proxy: bool,
    peer: ClientAddress,
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Line {
    async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S) {
        let Self {
            router,
            limits,
            behind_proxy,
            peer,
            soft,
            hard,
        } = self;
        let turns = Turns::default();
        let io = TokioIo::new(Guarded::new(stream, turns.clone(), limits));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let turn = turns.begin();
            let forwarded = behind_proxy
                .then(|| forwarded_for(request.headers()))
                .flatten();
            request.extensions_mut().insert(forwarded.unwrap_or(peer));
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

/// The last hop of `X-Forwarded-For`: what the proxy itself saw. Those before it, anyone can write.
fn forwarded_for(headers: &HeaderMap) -> Option<ClientAddress> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let hop = last.to_str().ok()?.rsplit(',').next()?.trim();
    hop.parse().ok().map(ClientAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_only_the_proxys_own_word_of_the_peer_counts() {
        let peer = |lines: &[&str]| {
            let lines = lines
                .iter()
                .map(|line| ("x-forwarded-for".parse().unwrap(), line.parse().unwrap()));
            forwarded_for(&lines.collect()).map(|peer| peer.0.to_string())
        };
        assert_eq!(peer(&["6.6.6.6, 10.0.0.1"]).as_deref(), Some("10.0.0.1"));
        assert_eq!(peer(&["6.6.6.6", "::1"]).as_deref(), Some("::1"));
        assert_eq!(peer(&["10.0.0.1, nobody"]), None);
        assert_eq!(peer(&[]), None);
    }

    #[test]
    fn p12_beyond_loopback_nobody_listens_without_authentication_and_encryption() {
        let outside: SocketAddr = "10.0.0.1:7310".parse().unwrap();
        let inside: SocketAddr = "[::1]:7310".parse().unwrap();
        let mut config = Config::default();
        let check = |config: &Config, address| Exposure::of(config).check(address);
        assert!(check(&config, inside).is_ok());
        assert!(matches!(
            check(&config, outside),
            Err(ListenError::NotLoopback(_))
        ));
        config.behind_proxy = true;
        assert!(matches!(
            check(&config, outside),
            Err(ListenError::NotLoopback(_))
        ));
        config.auth.required = true;
        assert!(check(&config, outside).is_ok());
        config.behind_proxy = false;
        assert!(matches!(
            check(&config, outside),
            Err(ListenError::NotEncrypted(_))
        ));
        config.tls = Some(crate::config::Tls {
            cert_file: "cert.pem".into(),
            key_file: "key.pem".into(),
            client_ca_file: None,
        });
        assert!(check(&config, outside).is_ok());
    }
}
