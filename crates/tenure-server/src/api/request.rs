//! What goes around every request: its id, its deadline, its line in the log, and the wording of
//! whatever goes wrong.

use std::any::Any;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tenure::{Context, Message};
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use super::access::Principal;
use super::code::Code;
use super::params::Params;
use super::problem::Problem;
use super::state::ApiState;
use super::{guard, headers, unread};
use crate::telemetry::{self, Flight};

/// What is known of a request before anything of it is read.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    id: Uuid,
    started: Instant,
}

/// Gives the request its id, refuses what was not meant for this server, and finishes the answer:
/// every error leaves as a problem, whoever made it.
pub(super) async fn finish(
    State(api): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let ticket = Ticket {
        id: api.options().ids.fresh(),
        started: Instant::now(),
    };
    request.extensions_mut().insert(ticket);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let client_id = headers::client_request_id(request.headers());
    let pattern = route.as_ref().map_or("none", MatchedPath::as_str);
    let flight = Flight::begin(&method, pattern);
    let span = telemetry::request_span(request.headers(), ticket.id, (&method, pattern));
    let (request, unread) = unread::lend(request);
    let mut response = answer(&api, request, next).instrument(span.clone()).await;
    response = worded(response, ticket.id);
    unread.settle(&api, &mut response).await;
    let head = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(ticket.id.to_string()) {
        head.insert(headers::TENURE_REQUEST_ID, id);
    }
    let line = LogLine {
        ticket,
        method,
        route: pattern,
        client_id: client_id.as_ref(),
    };
    span.in_scope(|| line.write(&response));
    telemetry::answered(&span, response.status());
    flight.land(response.status());
    if let Some(id) = client_id {
        response.headers_mut().insert(headers::X_REQUEST_ID, id);
    }
    response
}

async fn answer(api: &ApiState, request: Request, next: Next) -> Response {
    let guarded = if api.options().auth_required {
        Ok(())
    } else {
        guard::check(request.uri(), request.headers())
    };
    let guarded = guarded.and_then(|()| guard::bound(request.uri(), request.headers()));
    match guarded {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Writes the body of a problem, and makes one of an error that has none.
fn worded(mut response: Response, id: Uuid) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    let status = response.status();
    if problem.is_none() && !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = problem.unwrap_or_else(|| Problem::of_status(status));
    let mut answer = problem.clone().answer(id);
    // The router says which methods a route has.
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer.extensions_mut().insert(problem);
    answer
}

struct LogLine<'a> {
    ticket: Ticket,
    method: Method,
    route: &'a str,
    client_id: Option<&'a HeaderValue>,
}

impl LogLine<'_> {
    /// One line a request; its span says which. What only people can mend is an error, what may mend
    /// itself a warning; of the rest, what changes something is told, and reading is for those who ask.
    fn write(&self, response: &Response) {
        let status = response.status().as_u16();
        let took_ms = self.ticket.started.elapsed().as_micros();
        let took_ms = f64::from(u32::try_from(took_ms).unwrap_or(u32::MAX)) / 1000.0;
        let client_id = self.client_id.and_then(|id| id.to_str().ok());
        let problem = response.extensions().get::<Problem>();
        let code = problem.map(|problem| problem.code().as_str());
        let cause = problem.and_then(Problem::cause);
        // Workers ask all the time.
        let reads = self.method.is_safe() || self.route.starts_with("/v1/work/");
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(status, code, cause, client_id, took_ms, "request")
            };
        }
        match status {
            500 => line!(error),
            501.. => line!(warn),
            // Whoever turns people away tells of it, and of many not each.
            401 | 429 => line!(debug),
            _ if reads => line!(debug),
            _ => line!(info),
        }
    }
}

/// What a handler that panicked answers.
#[expect(clippy::needless_pass_by_value, reason = "the layer gives it away")]
pub(super) fn panicked(crash: Box<dyn Any + Send>) -> Response {
    let said = crash
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| crash.downcast_ref::<&'static str>().copied())
        .unwrap_or("no message");
    Problem::new(
        Code::Internal,
        "the server failed; find this request in its log",
    )
    .caused_by(format!("panic: {said}"))
    .into_response()
}

/// One request, as handlers see it.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its query parameters. Each handler takes what it knows and refuses the rest.
    pub(crate) params: Params,
    pub(crate) headers: HeaderMap,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Who asks.
    pub(crate) principal: Principal,
    id: Uuid,
    started: Instant,
}

impl Call {
    /// When the request must be answered.
    pub(crate) fn deadline(&self, api: &ApiState) -> Instant {
        self.started + api.options().limits.request
    }

    /// A problem of a part of the request, which tells of the request that it is of.
    pub(crate) fn signed(&self, problem: Problem) -> Problem {
        problem.of_request(self.id)
    }

    /// When, by whom, why: what every command is written with.
    pub(crate) fn context(&self, api: &ApiState, message: Message) -> Context {
        Context {
            at: api.options().clock.now(),
            actor: self.principal.actor.clone(),
            request_id: self.id,
            message,
        }
    }
}

impl FromRequestParts<ApiState> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let ticket = ticket(parts, api);
        let principal = parts.extensions.get::<Principal>().cloned();
        Ok(Self {
            principal: principal.ok_or_else(nobody_was_asked)?,
            params: Params::parse(parts.uri.query()),
            headers: parts.headers.clone(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            id: ticket.id,
            started: ticket.started,
        })
    }
}

/// What a route without a rule would answer.
pub(super) fn nobody_was_asked() -> Problem {
    Problem::new(Code::Forbidden, "nobody was asked who may use this route")
}

/// When the body must have come.
pub(crate) fn body_deadline(parts: &Parts, api: &ApiState) -> Instant {
    ticket(parts, api).started + api.options().limits.body
}

fn ticket(parts: &Parts, api: &ApiState) -> Ticket {
    parts.extensions.get().copied().unwrap_or_else(|| Ticket {
        id: api.options().ids.fresh(),
        started: Instant::now(),
    })
}
