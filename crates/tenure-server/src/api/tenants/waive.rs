//! Waives drift.

use axum::extract::State;
use axum::response::Response;
use tenure::Command;

use super::super::body::Json;
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::Who;
use super::wire::WaiveBody;
use super::write::carry_out;

/// Lets drift of a tenant at a path, with all below it, not count until a time. A time that is over
/// ends the waiver.
pub(in super::super) async fn waive(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    Json { value, text }: Json<WaiveBody>,
) -> Result<Response, Problem> {
    let WaiveBody {
        path,
        until,
        message,
    } = value;
    let context = call.context(&api, message);
    carry_out(
        &api,
        call,
        (who, Command::Waive { path, until }),
        context,
        text,
    )
    .await
}
