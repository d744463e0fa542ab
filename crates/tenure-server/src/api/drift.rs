//! What has drifted.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenure::{
    ClassName, ConditionKind, Difference, Direction, Filter, Query, Record, Revision, Selector,
    State as TenantState, StoreError, TenantId, TenantName, Timestamp, Waiver,
};

use super::changes::cursor;
use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;
use super::tenants::json_answer;

/// A tenant that has drifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct DriftView {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: TenantName,
    /// Its class.
    pub class: ClassName,
    /// Where it stands.
    pub state: TenantState,
    /// Counts all changes: send it as `If-Match` with what is done about the drift.
    pub revision: Revision,
    /// Since when there was some drift.
    pub since: Timestamp,
    /// When it was last seen, by the store's clock.
    pub last_seen: Option<Timestamp>,
    /// It would have been corrected, but its class had no correction left.
    pub budget_spent: bool,
    /// Where, with what is wanted and what was found.
    pub paths: Vec<Difference>,
    /// The paths whose drift does not count for a time.
    pub waivers: Vec<Waiver>,
}

/// A page of tenants that have drifted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct DriftPage {
    /// The tenants, in the order of their creation. A page may come short and still have a next.
    pub items: Vec<DriftView>,
    /// Send it as `page_token` for the next page; `null` at the end.
    pub next: Option<String>,
}

/// Lists the tenants that have drifted, a page at a time, with what is wanted and what was found.
///
/// Takes the filters `class` and `selector` and the paging of the list of tenants.
pub(super) async fn drift(
    State(api): State<ApiState>,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let selector: Selector = call.params.one("selector")?.unwrap_or_default();
    let filter = Filter {
        class: call.params.one("class")?,
        selector: selector.and(&call.principal.scope)?,
        conditions: BTreeSet::from([ConditionKind::Drifted]),
        ..Filter::default()
    };
    let direction = call.params.order(Direction::Ascending)?;
    let limit = call.params.page_size()?;
    let after = call.params.text("page_token")?;
    call.params.finish()?;
    let principal = call.principal;
    let query = Query {
        filter,
        direction,
        after: after.as_deref().map(cursor).transpose()?,
        limit,
    };
    let store = api.engine().store();
    let read = async {
        let page = store.list(&query).await?;
        let ids: Vec<TenantId> = page.items.iter().map(|tenant| tenant.id).collect();
        let records = if ids.is_empty() {
            Vec::new()
        } else {
            store.get_many(&ids).await?
        };
        Ok::<_, StoreError>((records, page.next))
    };
    let (records, next) = api.read(deadline, read).await?;
    Ok(json_answer(&DriftPage {
        // A tenant may have left the scope since the list was made.
        items: records
            .into_iter()
            .filter(|record| principal.sees(&record.tenant.labels))
            .filter_map(view)
            .collect(),
        next: next.map(|cursor| cursor.to_string()),
    }))
}

/// The drift of a tenant, unless it was put right since the list was made.
fn view(record: Record) -> Option<DriftView> {
    let Record { tenant, work } = record;
    let drifted = tenant.conditions.drifted?;
    Some(DriftView {
        id: tenant.id,
        name: tenant.name,
        class: tenant.class,
        state: tenant.state,
        revision: tenant.revision,
        since: drifted.since,
        last_seen: work.checked_at,
        budget_spent: drifted.budget_spent,
        paths: drifted.paths,
        waivers: tenant.waivers,
    })
}
