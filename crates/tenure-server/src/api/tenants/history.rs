//! A tenant's history.

use axum::extract::State;
use axum::response::Response;
use tenure::{Direction, HistoryQuery, Revision};

use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::wire::HistoryPage;
use super::{Who, json_answer, load};

/// Lists the history of a tenant: one line for every revision, oldest first (`order=desc`: newest
/// first).
///
/// `transitions_only=true` leaves only the lines that changed the state, `kind` (repeated, or a list with
/// commas) only those of these kinds. Send `next` as `after` for
/// the next page. Deleted tenants have their history still; ask for it by id.
pub(in super::super) async fn history(
    State(api): State<ApiState>,
    Who(who): Who,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let query = HistoryQuery {
        after: call.params.number("after")?.map(Revision::new),
        direction: call.params.order(Direction::Ascending)?,
        transitions_only: call.params.flag("transitions_only")?,
        kinds: call.params.list("kind")?.into_iter().collect(),
        limit: call.params.page_size()?,
    };
    call.params.finish()?;
    let tenant = load(&api, deadline, (&who, &call.principal)).await?.tenant;
    let items = api
        .read(deadline, api.engine().store().history(tenant.id, &query))
        .await?;
    let full = items.len() >= usize::from(query.limit.get());
    let end = match query.direction {
        Direction::Ascending => tenant.revision,
        Direction::Descending => Revision::new(1),
    };
    let next = items
        .last()
        .map(|line| line.revision)
        .filter(|last| full && *last != end);
    Ok(json_answer(&HistoryPage { items, next }))
}
