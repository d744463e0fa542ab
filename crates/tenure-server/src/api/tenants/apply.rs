//! Makes a tenant as it is described.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use tenure::{ClassName, Command, Freshness, TenantId, TenantName, TenantRef, Wanted};
use tokio::time::Instant;

use super::super::body::Json;
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::wire::{ApplyBody, Pairs};
use super::write::carry_out;

/// The name in a path. An id won't do: the tenant may have to be created.
#[derive(Debug)]
pub(in super::super) struct Name(TenantName);

impl FromRequestParts<ApiState> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        Ok(Self(super::segment(parts, api).await?.parse()?))
    }
}

/// Creates the tenant, or changes what is wanted of it to exactly this.
///
/// 201 if it was created, otherwise 200; asking for what is already so changes nothing. `If-Match`
/// makes it conditional on the revision that you saw, `If-None-Match: *` on there being no tenant of
/// the name; if that does not hold, 412 `revision_conflict` says the revision. Labels, annotations
/// and `running` stay as they are where the body does not say them. The defaults of the class stand
/// under `desired`; what then breaks its schema is refused with 422 `schema_violation`.
pub(in super::super) async fn apply(
    State(api): State<ApiState>,
    Name(name): Name,
    call: Call,
    Json { value, text }: Json<ApplyBody>,
) -> Result<Response, Problem> {
    let ApplyBody {
        class,
        labels,
        annotations,
        desired,
        running,
        message,
    } = value;
    check_class_of(&api, call.deadline(&api), &name, class.as_ref()).await?;
    let context = call.context(&api, message);
    let wanted = Wanted {
        id: TenantId::new(api.options().ids.fresh()),
        name: name.clone(),
        class,
        labels: labels.map(Pairs::labels).transpose()?,
        annotations: annotations.map(Pairs::annotations).transpose()?,
        desired,
        running,
    };
    let command = Command::Apply(wanted);
    carry_out(&api, call, (TenantRef::Name(name), command), context, text).await
}

/// Without a class in the body, only a tenant that is yet to be made needs the default one.
pub(in super::super) async fn check_class_of(
    api: &ApiState,
    deadline: Instant,
    name: &TenantName,
    class: Option<&ClassName>,
) -> Result<(), Problem> {
    let default = ClassName::default();
    let checked = super::check_class(api, class.unwrap_or(&default));
    if class.is_some() || checked.is_ok() {
        return checked;
    }
    let who = TenantRef::Name(name.clone());
    let get = api.engine().get(&who, Freshness::Primary);
    match api.read(deadline, get).await? {
        Some(_) => Ok(()),
        None => checked,
    }
}
