//! Deletes a tenant.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tenure::Command;

use super::super::body::{Json, MaybeJson};
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::Who;
use super::wire::VerbBody;
use super::write::carry_out;

/// Asks for a tenant to be torn down. Its record and history stay, and answer to its id.
///
/// 200 with the tenant, which is `deleting` from now on and `deleted` when its provisioner is done;
/// then its name is free again. The body says why, `{"message": …}`, or `message=` does, for those who
/// can't send one. Asking again changes nothing.
pub(in super::super) async fn delete(
    State(api): State<ApiState>,
    Who(who): Who,
    mut call: Call,
    MaybeJson(Json { value: body, .. }): MaybeJson<VerbBody>,
) -> Result<Response, Problem> {
    let message = match call.params.one("message")? {
        None => body.message,
        Some(message) if body.message.as_str().is_empty() => message,
        Some(_) => {
            let rule = "must be absent where the body has one";
            return Err(Problem::invalid("message", rule));
        }
    };
    let text = Bytes::from(json!({"message": message}).to_string());
    let context = call.context(&api, message);
    carry_out(&api, call, (who, Command::Delete), context, text).await
}
