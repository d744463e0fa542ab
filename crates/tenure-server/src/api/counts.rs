//! How many tenants there are.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenure::State as TenantState;

use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;
use super::tenants::{filter, json_answer};

/// How many tenants match, by state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct Counts {
    /// In all.
    pub total: u64,
    /// In each state; every state is there.
    pub states: BTreeMap<TenantState, u64>,
}

/// Counts the tenants that match, by state. Takes the filters of the list; costs a scan.
pub(super) async fn counts(
    State(api): State<ApiState>,
    mut call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let filter = filter(&mut call.params, &call.principal)?;
    call.params.finish()?;
    let states = api
        .read(deadline, api.engine().store().count(&filter))
        .await?;
    Ok(json_answer(&Counts {
        total: states.values().sum(),
        states,
    }))
}
