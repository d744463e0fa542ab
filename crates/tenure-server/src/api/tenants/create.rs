//! Creates a tenant.

use axum::extract::State;
use axum::response::Response;
use tenure::{Command, TenantId, TenantRef, Wanted};
use uuid::Version;

use super::super::body::Json;
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::wire::{CreateBody, Pairs};
use super::write::carry_out;

/// Creates a tenant. Its work begins at once; watch `state`.
///
/// 201 with the tenant and its `Location`. A living tenant of the name answers 409 `tenant_exists`,
/// or 200 if it is exactly as asked for: the first answer may have been lost. With `dry_run=true`
/// everything is checked and nothing is written.
pub(in super::super) async fn create(
    State(api): State<ApiState>,
    call: Call,
    Json { value, text }: Json<CreateBody>,
) -> Result<Response, Problem> {
    let CreateBody {
        name,
        class,
        labels,
        annotations,
        desired,
        running,
        id,
        message,
    } = value;
    super::check_class(&api, &class.clone().unwrap_or_default())?;
    check_id(id)?;
    let context = call.context(&api, message);
    // After the time of the change: no tenant's id is older than its creation.
    let wanted = Wanted {
        id: id.unwrap_or_else(|| TenantId::new(api.options().ids.fresh())),
        name: name.clone(),
        class,
        labels: labels.map(Pairs::labels).transpose()?,
        annotations: annotations.map(Pairs::annotations).transpose()?,
        desired,
        running,
    };
    let command = Command::Create(wanted);
    carry_out(&api, call, (TenantRef::Name(name), command), context, text).await
}

/// Lists go by id, so ids must sort by time.
fn check_id(id: Option<TenantId>) -> Result<(), Problem> {
    match id {
        Some(id) if id.as_uuid().get_version() != Some(Version::SortRand) => Err(Problem::invalid(
            "id",
            "must be a UUIDv7; leave it out to be given one",
        )),
        _ => Ok(()),
    }
}
