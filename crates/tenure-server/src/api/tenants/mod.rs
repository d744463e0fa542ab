//! Tenants over HTTP: one operation a file.

mod apply;
mod create;
mod delete;
mod explain;
mod filter;
mod get;
mod history;
mod list;
mod patch;
mod verbs;
mod waive;
pub mod wire;
mod write;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenure::{ClassName, Freshness, Record, Summary, TenantId, TenantRef};
use tokio::time::Instant;

pub(super) use apply::{apply, check_class_of};
pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use explain::explain;
pub(super) use filter::filter;
pub(super) use get::get;
pub(super) use history::history;
pub(super) use list::list;
pub(super) use patch::patch;
pub(super) use verbs::{accept, hold, release, resume, retry, suspend};
pub(super) use waive::waive;
pub(super) use write::{effect_word, fingerprint};

use super::access::Principal;
use super::code::Code;
use super::problem::Problem;
use super::state::ApiState;

/// Which tenant a path names: `tnt_…` is an id, anything else the name of a living one.
#[derive(Clone, Debug)]
pub(super) struct Who(TenantRef);

impl FromRequestParts<ApiState> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        Ok(Self(segment(parts, api).await?.parse()?))
    }
}

/// The part of a path that names a tenant.
async fn segment(parts: &mut Parts, api: &ApiState) -> Result<String, Problem> {
    match Path::<String>::from_request_parts(parts, api).await {
        Ok(Path(segment)) => Ok(segment),
        Err(_) => Err(Problem::invalid("path", "must be UTF-8")),
    }
}

/// The tenant with what is counted for it, or a problem that says how deleted ones are found.
///
/// One outside of the scope of who asks is not there.
async fn load(
    api: &ApiState,
    deadline: Instant,
    (who, principal): (&TenantRef, &Principal),
) -> Result<Record, Problem> {
    let found = api
        .read(deadline, api.engine().get(who, Freshness::Primary))
        .await?;
    found
        .filter(|record| principal.sees(&record.tenant.labels))
        .ok_or_else(Problem::tenant_not_found)
}

/// The records of what was listed, in its order, without those that have left the scope meanwhile.
pub(super) async fn full(
    api: &ApiState,
    deadline: Instant,
    listed: &[Summary],
    principal: &Principal,
) -> Result<Vec<Record>, Problem> {
    let ids: Vec<TenantId> = listed.iter().map(|item| item.id).collect();
    let found = api
        .read(deadline, api.engine().store().get_many(&ids))
        .await?;
    let mut found: BTreeMap<TenantId, Record> = found
        .into_iter()
        .filter(|record| principal.sees(&record.tenant.labels))
        .map(|record| (record.tenant.id, record))
        .collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Refuses a class that nothing provisions: its tenants would wait for ever.
fn check_class(api: &ApiState, class: &ClassName) -> Result<(), Problem> {
    let classes = &api.options().classes;
    if classes.is_empty() || classes.contains(class) {
        return Ok(());
    }
    let known = classes
        .iter()
        .map(ClassName::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    Err(Problem::new(
        Code::UnknownClass,
        format!("there is no class {class}; name one of {known}, or add it to the configuration"),
    ))
}

/// An answer of 200 with a JSON body.
pub(super) fn json_answer(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(error) => Problem::new(
            Code::Internal,
            "the server failed; find this request in its log",
        )
        .caused_by(error.to_string())
        .into_response(),
    }
}
