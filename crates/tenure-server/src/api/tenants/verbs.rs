//! The verbs: suspend, resume, retry, hold, release, accept.

use axum::extract::State;
use axum::response::Response;
use tenure::Command;

use super::super::body::{Json, MaybeJson};
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::Who;
use super::wire::VerbBody;
use super::write::carry_out;

/// Asks for a tenant to stop. What it holds stays. The body may say why: `{"message": …}`.
pub(in super::super) async fn suspend(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    MaybeJson(body): MaybeJson<VerbBody>,
) -> Result<Response, Problem> {
    verb(api, (Who(who), Command::Suspend), call, body).await
}

/// Asks for a suspended tenant to run again.
pub(in super::super) async fn resume(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    MaybeJson(body): MaybeJson<VerbBody>,
) -> Result<Response, Problem> {
    verb(api, (Who(who), Command::Resume), call, body).await
}

/// Asks for a failing tenant to be tried again now, with its attempts counted from zero.
pub(in super::super) async fn retry(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    MaybeJson(body): MaybeJson<VerbBody>,
) -> Result<Response, Problem> {
    verb(api, (Who(who), Command::Retry), call, body).await
}

/// Pauses reconciliation of a tenant: nothing is done to it until `release`. Say why.
pub(in super::super) async fn hold(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    MaybeJson(body): MaybeJson<VerbBody>,
) -> Result<Response, Problem> {
    verb(api, (Who(who), Command::Hold), call, body).await
}

/// Lets reconciliation of a held tenant go on.
pub(in super::super) async fn release(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    MaybeJson(body): MaybeJson<VerbBody>,
) -> Result<Response, Problem> {
    verb(api, (Who(who), Command::Release), call, body).await
}

/// Takes what was found where a tenant has drifted over into what is wanted of it.
pub(in super::super) async fn accept(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    MaybeJson(body): MaybeJson<VerbBody>,
) -> Result<Response, Problem> {
    verb(api, (Who(who), Command::Accept), call, body).await
}

async fn verb(
    api: ApiState,
    (Who(who), command): (Who, Command),
    call: Call,
    Json { value, text }: Json<VerbBody>,
) -> Result<Response, Problem> {
    let context = call.context(&api, value.message);
    carry_out(&api, call, (who, command), context, text).await
}
