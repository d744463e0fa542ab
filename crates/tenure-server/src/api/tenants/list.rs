//! Lists tenants.

use axum::extract::State;
use axum::response::Response;
use tenure::{Direction, Query};

use super::super::changes::cursor;
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::wire::TenantPage;
use super::{filter, json_answer};

/// Lists tenants, a page at a time, in the order of their creation (`order=desc`: newest first).
///
/// All filters must hold: `state` and `condition` (repeated, or lists with commas), `class`,
/// `name_prefix`, `selector` (labels, as in Kubernetes), and `created_`, `updated_`, `state_since_` and `deleted_`,
/// each with `from` and `until`. Deleted tenants are left out unless a filter names them or
/// `include_deleted=true`. Send `next` as `page_token` with the same filters for the next page; a
/// page may come short, even empty, and still have one.
pub(in super::super) async fn list(
    State(api): State<ApiState>,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let filter = filter(&mut call.params, &call.principal)?;
    let direction = call.params.order(Direction::Ascending)?;
    let limit = call.params.page_size()?;
    let after = call.params.text("page_token")?;
    call.params.finish()?;
    let after = after.as_deref().map(cursor).transpose()?;
    let query = Query {
        filter,
        direction,
        after,
        limit,
    };
    let page = api
        .read(deadline, api.engine().store().list(&query))
        .await?;
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(json_answer(&TenantPage {
        items: page.items,
        next,
    }))
}
