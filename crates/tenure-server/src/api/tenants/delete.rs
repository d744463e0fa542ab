//! Deletes a tenant.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tenure::Command;

use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::Who;
use super::write::carry_out;

/// Asks for a tenant to be torn down. Its record and history stay, and answer to its id.
///
/// 200 with the tenant, which is `deleting` from now on and `deleted` when its provisioner is done;
/// then its name is free again. `message=` says why. Asking again changes nothing.
pub(in super::super) async fn delete(
    State(api): State<ApiState>,
    Who(who): Who,
    mut call: Call,
) -> Result<Response, Problem> {
    let message: tenure::Message = call.params.one("message")?.unwrap_or_default();
    let text = Bytes::from(json!({"message": message}).to_string());
    let context = call.context(&api, message);
    carry_out(&api, call, (who, Command::Delete), context, text).await
}
