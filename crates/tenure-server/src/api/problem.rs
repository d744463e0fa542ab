//! Errors, as RFC 9457 tells them.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenure::{Advice, EngineError, Invalid, Readiness, Refusal, Revision, State, StoreError};
use uuid::Uuid;

use super::code::Code;

/// What every error of the API looks like: `application/problem+json`.
///
/// `code` is for programs, `detail` for people: it says what is wrong and what to do.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Members>);

#[derive(Clone, Debug, Serialize)]
struct Members {
    /// Where this server explains the code: `/problems/` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// A stable word.
    code: &'static str,
    /// The same for every problem of this code.
    title: &'static str,
    /// The status, as in the answer's first line.
    status: u16,
    /// What is wrong here, and what to do.
    detail: String,
    /// The request's own id, as in the logs and in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Where the tenant stands, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// The commands that are possible instead.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed: &'static [&'static str],
    /// The revision that the tenant is at; 0 if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    /// What the store says about itself, if that is why.
    #[serde(flatten)]
    readiness: Option<Readiness>,
    /// Whether the server stops, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    draining: Option<bool>,
    #[serde(skip)]
    word: Code,
    /// A header that says what would be accepted.
    #[serde(skip)]
    accept: Option<(HeaderName, &'static str)>,
    /// The chain of causes, for logs only: it may name hosts or SQL.
    #[serde(skip)]
    cause: Option<String>,
}

impl Problem {
    /// A problem of a code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Members {
            kind: super::problems::page_of(code),
            code: code.as_str(),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            instance: None,
            state: None,
            allowed: &[],
            revision: None,
            readiness: None,
            draining: None,
            word: code,
            accept: None,
            cause: None,
        }))
    }

    /// A value that breaks a rule: "field must be …".
    pub(crate) fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Invalid::new(field, rule).into()
    }

    /// No tenant answers to this.
    pub(crate) fn tenant_not_found() -> Self {
        Self::new(
            Code::TenantNotFound,
            "there is no such tenant; a deleted one answers to its id only, \
             and GET /v1/tenants?include_deleted=true lists those too",
        )
    }

    /// What can go wrong without a word of its own, such as a rejection of the framework.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => Code::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
            StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
            StatusCode::URI_TOO_LONG => Code::UriTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::HeadersTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            status if status.is_client_error() => Code::Invalid,
            _ => Code::Internal,
        };
        Self::new(code, code.title())
    }

    pub(crate) fn with_readiness(mut self, readiness: Readiness) -> Self {
        self.0.readiness = Some(readiness);
        self
    }

    pub(crate) fn with_draining(mut self, draining: bool) -> Self {
        self.0.draining = Some(draining);
        self
    }

    pub(crate) fn with_accept(mut self, name: HeaderName, accepted: &'static str) -> Self {
        self.0.accept = Some((name, accepted));
        self
    }

    /// Notes for the logs what it came from.
    pub(crate) fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The code.
    pub const fn code(&self) -> Code {
        self.0.word
    }

    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The same, with the id of its request.
    pub(crate) fn of_request(mut self, request_id: Uuid) -> Self {
        self.0.instance = Some(format!("urn:uuid:{request_id}"));
        self
    }

    /// The answer, once the request's id is known.
    pub(crate) fn answer(self, request_id: Uuid) -> Response {
        let body = serde_json::to_vec(&self.clone().of_request(request_id)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.code().status();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.code().retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if let Some((name, accepted)) = self.0.accept {
            headers.insert(name, HeaderValue::from_static(accepted));
        }
        response
    }
}

/// An answer without a body, which [`finish`](super::request::finish) writes: only there is the
/// request's id known.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code().status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(Code::Invalid, invalid.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = Code::of(refusal.code.as_str()).unwrap_or(Code::Internal);
        let mut problem = Self::new(code, refusal.detail);
        problem.0.state = refusal.state;
        problem.0.allowed = refusal.allowed;
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = Code::of(error.code()).unwrap_or(Code::StoreError);
        let todo = match (&error, error.advice()) {
            (StoreError::Full, _) => "; make room on its disk",
            (StoreError::ReadOnly, _) => "; connect the server to the primary",
            // These say themselves what to run.
            (StoreError::NotReady(_), _) | (_, Advice::Restart) => "",
            (StoreError::Closed, _) => "; the server is stopping: ask again once it is back",
            (_, Advice::Backoff) => "; try again later",
            (_, Advice::Resolve) => {
                ", with the same Idempotency-Key if it had one, to learn what became of it"
            }
            (_, Advice::GiveUp) => {
                "; trying again will not help: find this request in the server's log"
            }
        };
        let problem = Self::new(code, format!("{error}{todo}")).caused_by(chain(&error));
        match error {
            StoreError::NotReady(readiness) => problem.with_readiness(readiness),
            _ => problem,
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(refusal) => refusal.into(),
            EngineError::Store(error) => error.into(),
            EngineError::RevisionConflict { expected, actual } => conflict(expected, actual),
            EngineError::OtherTenant { actual, .. } => {
                let mut problem = Self::new(Code::RevisionConflict, error.to_string());
                problem.0.revision = Some(actual);
                problem
            }
            EngineError::OutOfScope { .. } => Self::new(Code::Forbidden, error.to_string()),
            EngineError::NameTaken => Self::new(Code::NameTaken, error.to_string()),
            EngineError::IdTaken => Self::new(
                Code::IdTaken,
                format!("{error}; leave `id` out to be given one"),
            ),
            EngineError::KeyReused => Self::new(Code::IdempotencyKeyReused, error.to_string()),
            EngineError::Contended => Self::new(Code::Contended, error.to_string()),
            other => Self::new(
                Code::Internal,
                "the server failed; find this request in its log",
            )
            .caused_by(chain(&other)),
        }
    }
}

fn conflict(expected: Revision, actual: Revision) -> Problem {
    let detail = match (expected.get(), actual.get()) {
        (0, _) => format!(
            "the tenant exists, at revision {actual}, and If-None-Match: * asks for none; \
             send If-Match: \"{actual}\" to change it"
        ),
        (_, 0) => format!("there is no such tenant, so it is not at revision {expected}"),
        _ => format!(
            "the tenant is at revision {actual} and not at {expected}; get it and decide again"
        ),
    };
    let mut problem = Problem::new(Code::RevisionConflict, detail);
    problem.0.revision = Some(actual);
    problem
}

/// An error and all its causes, for logs.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string can't fail.
        let _written = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
