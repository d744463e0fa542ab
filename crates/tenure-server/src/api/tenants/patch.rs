//! Changes a part of what is wanted.

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use tenure::Command;

use super::super::body::{Json, MergePatch};
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::Who;
use super::wire::{Pairs, PatchBody};
use super::write::carry_out;

/// Changes a part of what is wanted of a tenant, by JSON merge patch (RFC 7396).
///
/// A patch is one command and one line of history, so it says one thing: `desired`, or `labels` and
/// `annotations`, or `running`. To change more in one step, PUT the whole.
pub(in super::super) async fn patch(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
    MergePatch(Json { value, text }): MergePatch<PatchBody>,
) -> Result<Response, Problem> {
    let context = call.context(&api, value.message.clone());
    let command = command(value)?;
    carry_out(&api, call, (who, command), context, text).await
}

fn command(body: PatchBody) -> Result<Command, Problem> {
    let PatchBody {
        desired,
        labels,
        annotations,
        running,
        ..
    } = body;
    match (desired, running, (labels, annotations)) {
        (Some(desired), None, (None, None)) => match desired.to_value() {
            Value::Object(patch) => Ok(Command::Patch(patch)),
            _ => Err(Problem::invalid("desired", "must be a JSON object")),
        },
        (None, Some(true), (None, None)) => Ok(Command::Resume),
        (None, Some(false), (None, None)) => Ok(Command::Suspend),
        (None, None, (labels, annotations)) if labels.is_some() || annotations.is_some() => {
            let pairs = |pairs: Option<Pairs<_>>| pairs.map(|Pairs(map)| map).unwrap_or_default();
            Ok(Command::Annotate {
                labels: pairs(labels),
                annotations: pairs(annotations),
            })
        }
        _ => Err(Problem::invalid(
            "body",
            "must say exactly one of: desired; labels and annotations; running. \
             PUT the whole tenant to change more in one step",
        )),
    }
}
