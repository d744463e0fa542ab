//! The API's client. It speaks to a server, or to the same API in this process, with one code path.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenure::{Actor, Revision, Tenant, TenantRef};

use super::context::Target;
use super::error::{Failed, Passing};
use super::link::{Incoming, Link, Lost, Response};
use super::refusal::Refused;
use crate::api::Tag;
use crate::ids::{IdSource, SystemIds};

/// Most bytes of an answer: a page of large tenants fits many times.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// How often a request is sent again whose answer was lost, or that the server could not take.
const RESENDS_MAX: u32 = 4;

/// How long to wait before a request is sent again, at first; each further wait is twice as long.
const RESEND_PAUSE: Duration = Duration::from_millis(100);

/// How long an answer may take: longer than the server gives itself.
const ANSWER_TIME: Duration = Duration::from_mins(1);

/// The longest that a server's `retry-after` is waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Speaks to the API. Cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    link: Link,
    actor: Actor,
    ids: Arc<dyn IdSource>,
}

/// A request, to be sent as often as it takes: it has one effect.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Content>,
    if_match: Option<Tag>,
}

#[derive(Clone, Debug)]
enum Content {
    Json(Value),
    Lines(Bytes),
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
    #[serde(default)]
    status: u16,
    code: String,
    detail: String,
}

/// Why there is no good answer.
enum Miss {
    /// The server was not reached: nothing was done.
    Unreached(anyhow::Error),
    /// The answer was lost on the way, or the server could not take the request now; it may have said
    /// when it can.
    Again(anyhow::Error, Option<Duration>),
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
            if_match: None,
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
        self.body = Some(Content::Json(body));
        self
    }

    /// Sends lines of JSON.
    pub(crate) fn with_lines(mut self, lines: Bytes) -> Self {
        self.body = Some(Content::Lines(lines));
        self
    }

    pub(crate) const fn if_revision(mut self, revision: Option<Revision>) -> Self {
        self.if_match = match revision {
            Some(revision) => Some(Tag { revision, id: None }),
            None => None,
        };
        self
    }

    /// Only if the tenant is the one, and at the revision, that was seen: another may have its name.
    pub(crate) const fn seen(mut self, tenant: &Tenant) -> Self {
        self.if_match = Some(Tag::of(tenant.id, tenant.revision));
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
    pub(super) fn server(target: &Target, actor: Actor) -> Result<Self, Failed> {
        Ok(Self::over(Link::server(target)?, actor))
    }

    /// A client of the API in this process.
    pub(crate) fn here(router: Router, actor: Actor) -> Self {
        Self::over(Link::Here(router), actor)
    }

    fn over(link: Link, actor: Actor) -> Self {
        Self {
            link,
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
        let mut tries = Tries::default();
        loop {
            match self.send(call, &key).await {
                Ok(answer) => return Ok(answer),
                Err(miss) => tries.pause(miss).await?,
            }
        }
    }

    /// Sends a request and gives the lines of a good answer as they come in.
    pub(crate) async fn lines(&self, call: &Call) -> anyhow::Result<Lines> {
        let key = self.ids.fresh().to_string();
        let mut tries = Tries::default();
        loop {
            match self.head(call, &key).await {
                Ok(Response { body, .. }) => {
                    let rest = BytesMut::new();
                    return Ok(Lines { body, rest });
                }
                Err(miss) => tries.pause(miss).await?,
            }
        }
    }

    async fn send(&self, call: &Call, key: &str) -> Result<Answer, Miss> {
        let whole = async {
            let response = self.head(call, key).await?;
            let effect = response.headers.get("tenure-effect");
            let effect = effect.and_then(|value| value.to_str().ok());
            Ok(Answer {
                effect: effect.map(str::to_owned),
                body: response.body.whole(ANSWER_MAX).await?,
            })
        };
        within_time(whole).await
    }

    /// The head of a good answer.
    async fn head(&self, call: &Call, key: &str) -> Result<Response, Miss> {
        let request = self.request(call, key).map_err(Miss::Final)?;
        let exchange = async { Ok(self.link.exchange(request).await?) };
        let begin = tokio::time::Instant::now();
        let answer = within_time(exchange).await;
        self.note(call, begin.elapsed(), answer.as_ref().ok());
        let response = answer?;
        if response.status.is_success() {
            return Ok(response);
        }
        let Response {
            status,
            headers,
            body,
        } = response;
        let body = within_time(async { Ok(body.whole(ANSWER_MAX).await?) }).await?;
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            let error = anyhow!(
                "{} answered {status} and no problem that this program can read; is it a Tenure \
                 server?",
                self.link.name(),
            );
            return Err(Miss::Final(passing(status.as_u16(), error)));
        };
        Err(self.judge(&call.path, (status.as_u16(), &headers), &problem))
    }

    /// Says with -v what was asked of a server; a store says so itself.
    fn note(&self, call: &Call, took: Duration, answer: Option<&Response>) {
        if let Link::Server { .. } = self.link {
            let status = answer.map_or_else(|| "no answer".into(), |a| a.status.to_string());
            let (method, path) = (&call.method, &call.path);
            tracing::info!("{method} {path}: {status} in {} ms", took.as_millis());
        }
    }

    /// Fails with what a line says that stands for all those that were to come.
    pub(crate) fn check_line(&self, line: &[u8]) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Last {
            problem: Problem,
        }
        // Other lines have other fields before it, if any.
        if !line.starts_with(b"{\"problem\"") {
            return Ok(());
        }
        let Ok(Last { problem }) = serde_json::from_slice(line) else {
            return Ok(());
        };
        match self.judge("", (problem.status, &HeaderMap::new()), &problem) {
            Miss::Final(error) | Miss::Again(error, _) | Miss::Unreached(error) => {
                Err(error.context("the answer ends before its end"))
            }
        }
    }

    fn request(&self, call: &Call, key: &str) -> anyhow::Result<Request<Bytes>> {
        let actor = http::HeaderValue::from_str(self.actor.as_str())
            .or_else(|_| http::HeaderValue::from_bytes(self.actor.as_str().as_bytes()))?;
        let request = Request::builder().method(&call.method);
        let mut request = request
            .uri(call.path_and_query())
            .header("tenure-actor", actor);
        if call.method != Method::GET {
            request = request.header("idempotency-key", key);
        }
        if let Some(tag) = call.if_match {
            request = request.header(header::IF_MATCH, tag.to_string());
        }
        let body = match &call.body {
            None => Bytes::new(),
            Some(Content::Json(body)) => {
                let kind = if call.method == Method::PATCH {
                    "application/merge-patch+json"
                } else {
                    "application/json"
                };
                request = request.header(header::CONTENT_TYPE, kind);
                serde_json::to_vec(body)?.into()
            }
            Some(Content::Lines(lines)) => {
                request = request.header(header::CONTENT_TYPE, "application/x-ndjson");
                lines.clone()
            }
        };
        Ok(request.body(body)?)
    }

    /// What a problem means for the command.
    fn judge(&self, path: &str, (status, headers): (u16, &HeaderMap), problem: &Problem) -> Miss {
        let refused = Refused {
            path,
            status,
            code: &problem.code,
            detail: &problem.detail,
            token_from: self.link.token_from(),
        };
        let error = anyhow!(refused.failed());
        // The words for what is worth sending again: nothing was done, or it can be learnt what was.
        match problem.code.as_str() {
            "overloaded" | "store_unavailable" | "outcome_unknown" | "contended" => {
                Miss::Again(error, retry_after(headers))
            }
            _ if status == 429 => Miss::Again(error, retry_after(headers)),
            _ => Miss::Final(passing(status, error)),
        }
    }
}

/// The error of a status; those of a server that ends, and of what stands before one, pass.
fn passing(status: u16, error: anyhow::Error) -> anyhow::Error {
    match status {
        502..=504 => Passing(error).into(),
        _ => error,
    }
}

/// How often a request was sent again.
#[derive(Debug, Default)]
struct Tries(u32);

impl Tries {
    /// Waits until the request may be sent again, or fails if it is of no use.
    async fn pause(&mut self, miss: Miss) -> anyhow::Result<()> {
        let (error, after) = match miss {
            Miss::Final(error) => return Err(error),
            Miss::Unreached(error) if self.0 == 0 => return Err(Passing(error).into()),
            Miss::Unreached(error) => (error, None),
            Miss::Again(error, after) => (error, after),
        };
        if self.0 == RESENDS_MAX {
            return Err(Passing(error).into());
        }
        let pause = after.unwrap_or_else(|| RESEND_PAUSE * 2_u32.pow(self.0));
        let pause = pause.min(RETRY_AFTER_MAX);
        tracing::debug!(%error, ?pause, "sending the request again");
        tokio::time::sleep(pause).await;
        self.0 += 1;
        Ok(())
    }
}

/// Lines of an answer, as they come in.
pub(crate) struct Lines {
    body: Incoming,
    rest: BytesMut,
}

impl Lines {
    /// The next line without its end; `None` when there are no more.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1).freeze();
                return Ok(Some(line.slice(..end)));
            }
            match self.body.chunk().await {
                Ok(Some(chunk)) => self.rest.extend_from_slice(&chunk),
                Ok(None) if self.rest.is_empty() => return Ok(None),
                Ok(None) => return Ok(Some(self.rest.split().freeze())),
                Err(Lost::Unreached(error) | Lost::Unanswered(error)) => {
                    return Err(Passing(error).into());
                }
            }
        }
    }
}

impl From<Lost> for Miss {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Unreached(error) => Self::Unreached(error),
            Lost::Unanswered(error) => Self::Again(error, None),
        }
    }
}

async fn within_time<T>(answer: impl Future<Output = Result<T, Miss>>) -> Result<T, Miss> {
    let answer = tokio::time::timeout(ANSWER_TIME, answer).await;
    answer.unwrap_or_else(|_| {
        let error = anyhow!("the server does not answer; try again");
        Err(Miss::Again(error, None))
    })
}

/// For how long the server asks to be left alone.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
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

#[cfg(test)]
mod tests {
    use super::super::error::{Exit, exit_of};
    use super::*;

    #[test]
    fn a_line_that_stands_for_all_that_were_to_come_is_an_error() {
        let client = Client::here(Router::new(), Actor::anonymous());
        let last = br#"{"problem":{"status":401,"code":"unauthorized","detail":"no more"}}"#;
        let error = client.check_line(last).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Denied);
        assert!(format!("{error:#}").contains("(unauthorized)"), "{error:#}");
        for line in [
            r#"{"line":1,"problem":{"status":422,"code":"invalid","detail":"x"}}"#,
            r#"{"name":"a","class":"default","desired":{}}"#,
            "",
        ] {
            assert!(client.check_line(line.as_bytes()).is_ok(), "{line}");
        }
    }
}
