//! The change feed.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenure::{Cursor, Line};

use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;
use super::tenants::json_answer;

/// A stretch of the change feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct ChangesPage {
    /// The changes of all tenants, in the order of their commits.
    pub items: Vec<Line>,
    /// Where to read on: send it as `after`. It is given also when there is nothing new yet.
    pub next: String,
}

/// Lists the changes of all tenants in the order in which they were committed, after a cursor.
///
/// Without `after` it starts at the oldest change that is kept. Send `next` as `after` to read on;
/// nothing is ever skipped. 410 `cursor_expired` means that the feed no longer reaches back so far:
/// list the tenants, then follow anew.
pub(super) async fn changes(
    State(api): State<ApiState>,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let after = call.params.text("after")?;
    let limit = call.params.page_size()?;
    call.params.finish()?;
    let after = after.as_deref().map(cursor).transpose()?;
    let page = api
        .read(
            deadline,
            api.engine().store().changes(after.as_ref(), limit),
        )
        .await?;
    Ok(json_answer(&ChangesPage {
        items: page.lines,
        next: page.next.to_string(),
    }))
}

/// A cursor, which must be as it was given.
pub(super) fn cursor(text: &str) -> Result<Cursor, Problem> {
    text.parse()
        .map_err(|_: tenure::Invalid| tenure::StoreError::CursorInvalid.into())
}
