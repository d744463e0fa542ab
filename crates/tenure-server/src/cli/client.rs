//! The API's client. It speaks to a server, or to the same API in this process, with one code path.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenure::{Actor, Revision, TenantRef};
use tower::ServiceExt as _;

use super::error::{Exit, Failed};
use crate::ids::{IdSource, SystemIds};

/// Most bytes of an answer: a page of large tenants fits many times.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// How often a request is sent again whose answer was lost, or that the server could not take.
const RESENDS_MAX: u32 = 4;

/// How long an answer may take: longer than the server gives itself.
const ANSWER_TIME: Duration = Duration::from_mins(1);

/// Speaks to the API. Cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    via: Via,
    actor: Actor,
    ids: Arc<dyn IdSource>,
}

#[derive(Clone, Debug)]
enum Via {
    /// Over the network.
    Server {
        base: String,
        http: HttpClient<HttpConnector, Full<Bytes>>,
    },
    /// In this process.
    Here(Router),
}

/// A request, to be sent as often as it takes: it has one effect.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    if_revision: Option<Revision>,
}

/// A good answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What a write did: created, changed, unchanged or replayed.
    pub(crate) effect: Option<String>,
    body: Bytes,
}

/// What is read of a problem.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

/// Why there is no good answer.
enum Miss {
    /// The server was not reached: nothing was done.
    Unreached(anyhow::Error),
    /// The answer was lost on the way, or the server could not take the request now.
    Again(anyhow::Error),
    /// It says no.
    Final(anyhow::Error),
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        let path = path.into();
        Self {
            method,
            path,
            query: Vec::new(),
            body: None,
            if_revision: None,
        }
    }

    /// Reads something of a tenant.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Adds a parameter, if it has a value.
    pub(crate) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query
            .extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) const fn if_revision(mut self, revision: Option<Revision>) -> Self {
        self.if_revision = revision;
        self
    }

    fn path_and_query(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.query)
            .finish();
        format!("{}?{query}", self.path)
    }
}

impl Answer {
    /// The body, as the API's reference describes it.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).context(
            "the server's answer is not what this program expects; use the same version of both",
        )
    }
}

impl Client {
    /// A client of a server.
    pub(crate) fn server(url: &str, actor: Actor) -> Result<Self, Failed> {
        let usage = |why: &str| Failed::new(Exit::Usage, format!("--server {url}: {why}"));
        let uri: Uri = url
            .parse()
            .map_err(|_| usage("must be a URL like http://127.0.0.1:7310"))?;
        match (
            uri.scheme_str(),
            uri.path_and_query().map_or("/", |path| path.as_str()),
        ) {
            (Some("http"), "/") => {}
            (Some("https"), _) => {
                return Err(usage(
                    "this client speaks plain HTTP; reach the server through a tunnel, such as \
                     ssh -L 7310:127.0.0.1:7310 HOST",
                ));
            }
            _ => return Err(usage("must be http://HOST:PORT without a path")),
        }
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self {
            via: Via::Server { base, http },
            actor,
            ids: Arc::new(SystemIds),
        })
    }

    /// A client of the API in this process.
    pub(crate) fn here(router: Router, actor: Actor) -> Self {
        Self {
            via: Via::Here(router),
            actor,
            ids: Arc::new(SystemIds),
        }
    }

    /// Sends a request and waits for a good answer.
    ///
    /// A request whose answer is lost is sent again under the same idempotency key, so it has one
    /// effect however often it arrives.
    pub(crate) async fn call(&self, call: &Call) -> anyhow::Result<Answer> {
        let key = self.ids.fresh().to_string();
        let mut wait = Duration::from_millis(100);
        let mut sent = 0;
        loop {
            let error = match self.send(call, &key).await {
                Ok(answer) => return Ok(answer),
                Err(Miss::Final(error)) => return Err(error),
                Err(Miss::Unreached(error)) if sent == 0 => return Err(error),
                Err(Miss::Unreached(error) | Miss::Again(error)) => error,
            };
            if sent == RESENDS_MAX {
                return Err(error);
            }
            tracing::debug!(%error, ?wait, "sending the request again");
            tokio::time::sleep(wait).await;
            sent += 1;
            wait *= 2;
        }
    }

    async fn send(&self, call: &Call, key: &str) -> Result<Answer, Miss> {
        let request = self.request(call, key).map_err(Miss::Final)?;
        let answer = tokio::time::timeout(ANSWER_TIME, self.exchange(request)).await;
        let (parts, body) = answer
            .unwrap_or_else(|_| {
                Err(Miss::Again(anyhow!(
                    "the server does not answer; try again"
                )))
            })?
            .into_parts();
        let effect = parts
            .headers
            .get("tenure-effect")
            .and_then(|value| value.to_str().ok());
        if parts.status.is_success() {
            return Ok(Answer {
                effect: effect.map(str::to_owned),
                body,
            });
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            return Err(Miss::Final(anyhow!(
                "{} answered {} and no problem that this program can read; is it a Tenure server?",
                self.name(),
                parts.status
            )));
        };
        Err(judge(parts.status.as_u16(), &problem))
    }

    fn request(&self, call: &Call, key: &str) -> anyhow::Result<Request<Full<Bytes>>> {
        let target = match &self.via {
            Via::Server { base, .. } => format!("{base}{}", call.path_and_query()),
            Via::Here(_) => call.path_and_query(),
        };
        let actor = http::HeaderValue::from_str(self.actor.as_str())
            .or_else(|_| http::HeaderValue::from_bytes(self.actor.as_str().as_bytes()))?;
        let mut request = Request::builder().method(&call.method).uri(target);
        request = request.header("tenure-actor", actor);
        if call.method != Method::GET {
            request = request.header("idempotency-key", key);
        }
        if let Some(revision) = call.if_revision {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        let body = match &call.body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                serde_json::to_vec(body)?.into()
            }
        };
        Ok(request.body(Full::new(body))?)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<http::Response<Bytes>, Miss> {
        let lost = |why: String| Miss::Again(anyhow!("the answer was lost: {why}; try again"));
        match &self.via {
            Via::Server { base, http } => {
                let response = http.request(request).await.map_err(|error| {
                    if error.is_connect() {
                        unreached(base, &error)
                    } else {
                        lost(cause(&error))
                    }
                })?;
                let (parts, body) = response.into_parts();
                let body = Limited::new(body, ANSWER_MAX).collect().await;
                let body = body.map_err(|error| lost(error.to_string()))?.to_bytes();
                Ok(http::Response::from_parts(parts, body))
            }
            Via::Here(router) => {
                let Ok(response) = router.clone().oneshot(request.map(Body::new)).await;
                let (parts, body) = response.into_parts();
                let body = body
                    .collect()
                    .await
                    .map_err(|error| lost(error.to_string()))?
                    .to_bytes();
                Ok(http::Response::from_parts(parts, body))
            }
        }
    }

    fn name(&self) -> &str {
        match &self.via {
            Via::Server { base, .. } => base,
            Via::Here(_) => "the store",
        }
    }
}

/// What a problem means for the command.
fn judge(status: u16, problem: &Problem) -> Miss {
    let exit = match status {
        404 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        _ => Exit::Error,
    };
    let error = anyhow!(Failed::new(
        exit,
        format!("{} ({})", problem.detail, problem.code)
    ));
    // The words for what is worth sending again: nothing was done, or it can be learnt what was.
    match problem.code.as_str() {
        "overloaded" | "store_unavailable" | "outcome_unknown" | "contended" => Miss::Again(error),
        _ => Miss::Final(error),
    }
}

fn unreached(base: &str, error: &hyper_util::client::legacy::Error) -> Miss {
    Miss::Unreached(anyhow!(
        "no server answers at {base} ({}); start one with `tenure serve`, name another with \
         --server, or go straight to a store with --store",
        cause(error)
    ))
}

/// The innermost cause: what the system said.
fn cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

/// The path of a tenant, or of something of it. Names and ids need no escaping.
pub(crate) fn path_of(who: &TenantRef, rest: &str) -> String {
    format!("/v1/tenants/{}{rest}", shown(who))
}

/// A tenant as it was named.
pub(crate) fn shown(who: &TenantRef) -> String {
    match who {
        TenantRef::Id(id) => id.to_string(),
        TenantRef::Name(name) => name.to_string(),
    }
}
