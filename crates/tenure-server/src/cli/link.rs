//! How a request gets to the API: over the network, or to the same API in this process.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::anyhow;
use axum::Router;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use reqwest::{Certificate, Url, redirect};
use tower::ServiceExt as _;

use super::context::Target;
use super::error::{Exit, Failed};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Over the network.
    Server {
        /// `https://HOST:PORT`, without a path.
        base: String,
        http: reqwest::Client,
        /// `authorization`, if there is a token; and where it came from.
        token: Option<(HeaderValue, String)>,
    },
    /// In this process.
    Here(Router),
}

/// Why a request got no answer.
pub(super) enum Lost {
    /// The server was not reached: nothing was done.
    Unreached(anyhow::Error),
    /// It went out, and no answer came back.
    Unanswered(anyhow::Error),
}

/// An answer, of which only the head is read.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
}

/// A body, as it comes in.
pub(super) enum Incoming {
    Server(Box<reqwest::Response>),
    Here(Body),
}

impl Link {
    /// A link to a server.
    ///
    /// # Errors
    ///
    /// [`Failed`] if the URL can't be one, the certificates can't be read, or a token would go over
    /// the network in the clear.
    pub(super) fn server(target: &Target) -> Result<Self, Failed> {
        let usage = |why: &str| {
            let (url, origin) = (&target.url, &target.url_from);
            Failed::new(Exit::Usage, format!("the server {url} ({origin}) {why}"))
        };
        let shape = "must be https://HOST:PORT, or http://HOST:PORT, without a path or user name";
        let url = Url::parse(&target.url).map_err(|_| usage(shape))?;
        let plain = match url.scheme() {
            "http" => true,
            "https" => false,
            _ => return Err(usage(shape)),
        };
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(usage(shape));
        }
        let near = is_loopback(&url);
        let token = match &target.token {
            Some((_, origin)) if plain && !near => {
                return Err(usage(&format!(
                    "is reached by plain HTTP, where anyone on the way could read the token of \
                     {origin}, so nothing was sent; use https://, or a tunnel such as \
                     ssh -L 7310:127.0.0.1:7310 HOST"
                )));
            }
            Some((token, origin)) => Some((token.header(), origin.clone())),
            None => None,
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_MAX);
        if near {
            builder = builder.no_proxy();
        }
        if plain {
            // Plain HTTP must not fail for want of the system's certificates.
            builder = builder.tls_certs_only(Vec::<Certificate>::new());
        } else if let Some((path, origin)) = &target.ca_file {
            let usage = |why: String| {
                let path = path.display();
                let why =
                    format!("{path} ({origin}) must be a file of PEM certificates, but {why}");
                Failed::new(Exit::Usage, why)
            };
            let pem = std::fs::read(path).map_err(|error| usage(error.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| usage(cause(&error)))?;
            if certificates.is_empty() {
                return Err(usage("there is none in it".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| {
            usage(&format!(
                "can't be reached by TLS: {}; install the system's CA certificates, or name the \
                 server's with --ca-file",
                cause(&error)
            ))
        })?;
        Ok(Self::Server {
            base: target.url.trim_end_matches('/').to_owned(),
            http,
            token,
        })
    }

    /// Sends a request, whose URI is path and query, and reads the head of the answer.
    pub(super) async fn exchange(&self, request: Request<Bytes>) -> Result<Response, Lost> {
        match self {
            Self::Server { base, http, token } => {
                let (mut parts, body) = request.into_parts();
                let url = format!("{base}{}", parts.uri);
                if let Some((token, _)) = token {
                    parts.headers.insert(header::AUTHORIZATION, token.clone());
                }
                let request = http.request(parts.method, url).headers(parts.headers);
                let response = request.body(body).send().await.map_err(|error| {
                    if error.is_connect() {
                        Lost::Unreached(unreached(base, &error))
                    } else {
                        unanswered(&error)
                    }
                })?;
                Ok(Response {
                    status: response.status(),
                    headers: response.headers().clone(),
                    body: Incoming::Server(Box::new(response)),
                })
            }
            Self::Here(router) => {
                let Ok(response) = router.clone().oneshot(request.map(Body::from)).await;
                let (parts, body) = response.into_parts();
                Ok(Response {
                    status: parts.status,
                    headers: parts.headers,
                    body: Incoming::Here(body),
                })
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Server { base, .. } => base,
            Self::Here(_) => "the store",
        }
    }

    /// Where the token came from that it sends, if it sends one.
    pub(super) fn token_from(&self) -> Option<&str> {
        match self {
            Self::Server { token, .. } => token.as_ref().map(|(_, origin)| origin.as_str()),
            Self::Here(_) => None,
        }
    }
}

impl Incoming {
    /// The next piece; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Lost> {
        match self {
            Self::Server(response) => response.chunk().await.map_err(|error| unanswered(&error)),
            Self::Here(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(unanswered(&error)),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
        }
    }

    /// All of it, if it is not larger than that.
    pub(super) async fn whole(mut self, max: usize) -> Result<Bytes, Lost> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len().saturating_add(chunk.len()) > max {
                return Err(Lost::Unanswered(anyhow!(
                    "the answer is larger than {max} bytes; ask for less at once"
                )));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn unanswered(error: &(dyn std::error::Error + 'static)) -> Lost {
    Lost::Unanswered(anyhow!("the answer was lost: {}; try again", cause(error)))
}

fn unreached(base: &str, error: &reqwest::Error) -> anyhow::Error {
    let why = cause(error);
    if why.contains("CaUsedAsEndEntity") {
        return anyhow!(
            "the certificate of {base} is an authority's own, which no server may show; sign one for \
             the server with it, or make one of its own with basicConstraints=critical,CA:FALSE"
        );
    }
    if why.contains("certificate") {
        return anyhow!(
            "the certificate of {base} is not trusted ({why}); if it is yours, name the authority \
             that signed it with --ca-file, or `ca_file` of a context"
        );
    }
    if why.contains("corrupt message")
        && let Some(rest) = base.strip_prefix("https://")
    {
        return anyhow!("{base} does not speak TLS; if that is meant, try http://{rest}");
    }
    anyhow!(
        "no server answers at {base} ({why}); start one with `tenure serve`, name another with \
         --server, or go straight to a store with --store"
    )
}

/// The innermost cause: what the system said.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

/// A token, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(HeaderValue);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Takes a token as it stands in a file or a variable.
    ///
    /// # Errors
    ///
    /// Says where it came from, and nothing of what it is.
    pub(super) fn new(text: &str, origin: &str) -> anyhow::Result<Self> {
        let token = text.trim();
        let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = usable.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut header = header.flatten().ok_or_else(|| {
            let rule = "must hold one token, such as tnr_…, and nothing else";
            Failed::new(Exit::Usage, format!("{origin} {rule}"))
        })?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}
