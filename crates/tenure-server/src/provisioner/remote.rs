//! Provisioners that ask for their work: the request goes out with one call of theirs, the answer
//! comes back with others, and nothing of it is kept here between.

use std::sync::Arc;

use serde_json::Value;
use tenure::{Document, Step};

use super::reading::Reading;
use super::secrets::{redactor, resolve_document};
use super::{Answer, Call, Failure, Fault, Progress, SecretSources, contract};

/// What was said of an operation, in one line of the contract.
#[derive(Debug)]
pub(crate) enum Said {
    /// It goes on.
    Progress(Progress),
    /// It ended, with these steps told along.
    Answer(Answer, Vec<Step>),
}

/// The request of a call, with the secrets in place that `desired` refers to.
///
/// # Errors
///
/// A secret that can't be had, as a failure of the operation.
pub(crate) async fn request(call: &Call, secrets: &SecretSources) -> Result<Value, Failure> {
    let resolved = resolve_document(&call.tenant.desired, secrets).await?;
    let refused = |e: serde_json::Error| Fault::AnswerRefused.failure(&e.to_string());
    let text = contract::request(call, &resolved.desired).map_err(refused)?;
    serde_json::from_slice(&text).map_err(refused)
}

/// Holds what was said of an operation to the contract, and takes the secrets out of it that were in
/// the request. `desired` is that of the request, which may not be wanted any more.
///
/// # Errors
///
/// How it breaks the contract.
pub(crate) async fn said(
    operation_id: String,
    desired: &Document,
    secrets: &SecretSources,
    answer: &Value,
) -> Result<Said, Failure> {
    let redactor = redactor(desired, secrets).await?;
    let mut reading = Reading::new(operation_id, Arc::new(redactor));
    reading.line(answer.to_string().as_bytes())?;
    let progress = reading.progress().clone();
    Ok(match reading.take_answer() {
        Some(answer) => Said::Answer(answer, progress.steps),
        None => Said::Progress(progress),
    })
}
