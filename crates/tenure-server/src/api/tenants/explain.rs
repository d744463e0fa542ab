//! Explains a tenant.

use axum::extract::State;
use axum::response::Response;
use tenure::{Freshness, StoreError};

use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::{Who, json_answer};

/// Explains why a tenant stands where it stands, what blocks it, and what comes next.
///
/// What lies in its class (places, the breaker, workers) is said as this server knows it. Nothing of
/// it is for programs to act on but `kind`, `operation` and the times.
pub(in super::super) async fn explain(
    State(api): State<ApiState>,
    Who(who): Who,
    call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    call.params.finish()?;
    let read = async {
        let found = api.engine().get(&who, Freshness::Primary).await?;
        // Asked for last, so that no lease looks longer than it is.
        let now = api.engine().store().now().await?;
        Ok::<_, StoreError>((found, now))
    };
    let (found, now) = api.read(deadline, read).await?;
    let seen = found.filter(|record| call.principal.sees(&record.tenant.labels));
    let record = seen.ok_or_else(Problem::tenant_not_found)?;
    let class = api.options().board.of(&record.tenant.class);
    Ok(json_answer(&tenure::explain(&record, class.as_ref(), now)))
}
