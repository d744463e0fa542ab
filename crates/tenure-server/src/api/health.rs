//! Whether the process lives, and whether it can serve.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::code::Code;
use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;
use super::tenants::json_answer;

/// Says that the process lives. It asks nothing else: a database that is down is no reason to
/// restart the server.
pub(super) async fn livez(call: Call) -> Result<Response, Problem> {
    call.params.finish()?;
    Ok(json_answer(&json!({"alive": true})))
}

/// Says whether the server can serve: 200 with the level of the schema, or 503 with what to run.
pub(super) async fn readyz(State(api): State<ApiState>, call: Call) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    call.params.finish()?;
    let ask = async { Ok::<_, Problem>(api.engine().store().readiness().await) };
    let readiness = api.read(deadline, ask).await?;
    if readiness.is_ready() {
        return Ok(json_answer(&readiness));
    }
    let detail = readiness.to_string();
    Ok(Problem::new(Code::StoreNotReady, detail)
        .with_readiness(readiness)
        .into_response())
}
