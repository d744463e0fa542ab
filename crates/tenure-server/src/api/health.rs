//! Whether the process lives, and whether it can serve.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tenure::{Breaker, ClassName, Message, Readiness, Reason, Timestamp};

use super::code::Code;
use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;
use super::tenants::json_answer;

/// A server that can serve, and what it leaves alone meanwhile.
#[derive(Serialize)]
struct Ready {
    #[serde(flatten)]
    readiness: Readiness,
    /// Whether the server stops. One that does answers 503, so this is always false here.
    draining: bool,
    /// The classes whose breaker is open on this server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breakers: Vec<OpenBreaker>,
}

#[derive(Serialize)]
struct OpenBreaker {
    class: ClassName,
    since: Timestamp,
    until: Timestamp,
    reason: Reason,
    /// What its provisioner said, which only this machine hears of a server that asks for tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

/// Says that the process lives. It asks nothing else: a database that is down is no reason to
/// restart the server.
pub(super) async fn livez(call: Call) -> Result<Response, Problem> {
    call.params.finish()?;
    Ok(json_answer(&json!({"alive": true})))
}

/// Says whether the server can serve: 200 with the level of the schema, or 503 with what to run, or with
/// `draining` while it stops.
///
/// A class whose target is in trouble is told, and no reason to take the server out of service.
pub(super) async fn readyz(State(api): State<ApiState>, call: Call) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    call.params.finish()?;
    if api.is_draining() {
        let detail = "the server stops: it finishes what runs and takes nothing new; ask another";
        return Err(Problem::new(Code::Draining, detail));
    }
    let ask = async { Ok::<_, Problem>(api.engine().store().readiness().await) };
    let readiness = api.read(deadline, ask).await?;
    if readiness.is_ready() {
        let breakers = open_breakers(&api);
        return Ok(json_answer(&Ready {
            readiness,
            draining: false,
            breakers,
        }));
    }
    let detail = readiness.to_string();
    Ok(Problem::new(Code::StoreNotReady, detail)
        .with_readiness(readiness)
        .into_response())
}

fn open_breakers(api: &ApiState) -> Vec<OpenBreaker> {
    let open = |(class, view): (ClassName, tenure::ClassView)| match view.status.breaker {
        Breaker::Open {
            since,
            until,
            reason,
            message,
        } => Some(OpenBreaker {
            class,
            since,
            until,
            reason,
            message: (!api.options().auth_required).then_some(message),
        }),
        Breaker::Closed | Breaker::HalfOpen => None,
    };
    api.options()
        .board
        .all()
        .into_iter()
        .filter_map(open)
        .collect()
}
