//! Gets a tenant, as it is or as it was.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tenure::{AsOf, Revision, Tenant, TenantRef, Timestamp};
use tokio::time::Instant;

use super::super::access::Principal;
use super::super::code::Code;
use super::super::headers::{self, IfNoneMatch, Tag};
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::wire::TenantView;
use super::{Who, json_answer, load};

/// Gets a tenant by its id, or by the name of a living one.
///
/// `revision=` or `at=` give it as it was after that revision, or at that time. `ETag` is the
/// revision and the id of the record; `If-None-Match` with it answers 304 while the record is the same. What
/// `work` counts is no part of the record.
pub(in super::super) async fn get(
    State(api): State<ApiState>,
    Who(who): Who,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let revision = call.params.number("revision")?;
    let at: Option<Timestamp> = call.params.one("at")?;
    let known = headers::if_none_match(&call.headers)?;
    call.params.finish()?;
    let seen = (&who, &call.principal);
    let view = match (revision, at) {
        (None, None) => load(&api, deadline, seen).await?.into(),
        (Some(revision), None) => past(
            &api,
            deadline,
            seen,
            AsOf::Revision(Revision::new(revision)),
        )
        .await?
        .into(),
        (None, Some(at)) => past(&api, deadline, seen, AsOf::Time(at)).await?.into(),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid(
                "at",
                "must be absent where revision is given",
            ));
        }
    };
    Ok(worded(&view, &known))
}

async fn past(
    api: &ApiState,
    deadline: Instant,
    seen: (&TenantRef, &Principal),
    point: AsOf,
) -> Result<Tenant, Problem> {
    let now = load(api, deadline, seen).await?.tenant;
    let then = api
        .read(deadline, api.engine().store().as_of(now.id, point))
        .await?;
    then.ok_or_else(|| {
        Problem::new(
            Code::RevisionNotFound,
            format!(
                "{} has the revisions 1 to {} and was created at {}",
                now.name, now.revision, now.created_at
            ),
        )
    })
}

fn worded(view: &TenantView, known: &IfNoneMatch) -> Response {
    let tag = Tag::of(view.tenant.id, view.tenant.revision);
    let same = match known {
        IfNoneMatch::Absent => false,
        IfNoneMatch::Any => true,
        IfNoneMatch::Tags(tags) => tags.contains(&tag),
    };
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json_answer(view)
    };
    headers::put_etag(response.headers_mut(), tag);
    response
}
