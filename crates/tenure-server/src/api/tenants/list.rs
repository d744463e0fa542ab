//! Lists tenants.

use axum::extract::State;
use axum::response::Response;
use tenure::{Direction, Query};

use super::super::changes::cursor;
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::wire::{FullTenantPage, TenantPage, TenantView};
use super::{filter, full, json_answer};

/// Lists tenants, a page at a time, in the order of their creation (`order=desc`: newest first).
///
/// All filters must hold: `state` and `condition` (repeated, or lists with commas), `class`,
/// `name_prefix`, `selector` (labels, as in Kubernetes), and `created_`, `updated_`, `state_since_` and `deleted_`,
/// each with `from` and `until`. Deleted tenants are left out unless a filter names them or
/// `include_deleted=true`. `view=full` gives each tenant whole, with its documents, as it is a moment
/// after the page was found. Send `next` as `page_token` with the same filters for the next page; a
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
    let view = view(&mut call)?;
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
    if view == View::Full {
        let records = full(&api, deadline, &page.items, &call.principal).await?;
        let items = records.into_iter().map(TenantView::from).collect();
        return Ok(json_answer(&FullTenantPage { items, next }));
    }
    Ok(json_answer(&TenantPage {
        items: page.items,
        next,
    }))
}

/// How much of each tenant is listed (AIP-157).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// Without documents.
    Basic,
    /// All of it.
    Full,
}

fn view(call: &mut Call) -> Result<View, Problem> {
    match call.params.text("view")?.as_deref() {
        None | Some("basic") => Ok(View::Basic),
        Some("full") => Ok(View::Full),
        Some(_) => Err(Problem::invalid("view", "must be basic or full")),
    }
}
