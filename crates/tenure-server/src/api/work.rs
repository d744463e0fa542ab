//! The pull transport: workers claim operations, renew their leases and report.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenure::{Fence, TenantId};
use tokio::time::Instant;

use super::access::{Pass, Principal};
use super::body::Json;
use super::code::Code;
use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;
use super::tenants::json_answer;
use crate::pull::{Caller, Pull, PullError};

/// Most operations of one claim.
const LIMIT_MAX: u16 = 100;

/// The longest that a claim may wait for work.
const WAIT_MAX: f64 = 25.0;

/// How long a claim waits before it looks again, without a hint.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimBody {
    #[serde(default = "one")]
    limit: u16,
    #[serde(default)]
    wait_seconds: f64,
}

const fn one() -> u16 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RenewBody {
    tenant: TenantId,
    fence: Fence,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportBody {
    tenant: TenantId,
    fence: Fence,
    answer: Value,
}

#[derive(Serialize)]
struct Claimed {
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    lease: ItemLease,
    request: Value,
}

#[derive(Serialize)]
struct ItemLease {
    tenant: TenantId,
    fence: Fence,
    seconds: f64,
}

/// Claims due operations of the worker's classes; waits for some if asked to, as long as its token is
/// good, and no longer than the request may take.
pub(super) async fn claim(
    State(api): State<ApiState>,
    Entered {
        deadline,
        pull,
        caller,
        mut pass,
    }: Entered,
    Json { value: body, .. }: Json<ClaimBody>,
) -> Result<Response, Problem> {
    if !(1..=LIMIT_MAX).contains(&body.limit) {
        return Err(Problem::invalid(
            "limit",
            format!("must be 1 to {LIMIT_MAX}"),
        ));
    }
    if !(0.0..=WAIT_MAX).contains(&body.wait_seconds) {
        let rule = format!("must be 0 to {WAIT_MAX}");
        return Err(Problem::invalid("wait_seconds", rule));
    }
    // With time left to answer: that there is no work is an answer too.
    let latest = deadline - api.options().limits.request / 10;
    let end = latest.min(Instant::now() + Duration::from_secs_f64(body.wait_seconds));
    let store = api.engine().shared_store();
    loop {
        pass.check().await?;
        let jobs = {
            let (pull, caller) = (Arc::clone(&pull), caller.clone());
            let work = async move { pull.claim(&caller, body.limit).await };
            api.write(deadline, work).await?
        };
        let left = end.saturating_duration_since(Instant::now());
        if !jobs.is_empty() || left.is_zero() || api.is_stopping() {
            let items = jobs.into_iter().map(|job| Item {
                lease: ItemLease {
                    tenant: job.lease.tenant,
                    fence: job.lease.fence,
                    seconds: job.length.as_secs_f64(),
                },
                request: job.request,
            });
            return Ok(json_answer(&Claimed {
                items: items.collect(),
            }));
        }
        // It holds no place of the API's meanwhile.
        let hint = store.idle(&caller.classes, left.min(LOOK_INTERVAL));
        tokio::select! {
            () = hint => {}
            () = pass.due() => {}
            () = api.stopped() => {}
        }
    }
}

/// Makes a lease run for its whole length again.
pub(super) async fn renew(
    State(api): State<ApiState>,
    Entered {
        deadline,
        pull,
        caller,
        ..
    }: Entered,
    Json { value: body, .. }: Json<RenewBody>,
) -> Result<Response, Problem> {
    let work = async move { pull.renew(&caller, body.tenant, body.fence).await };
    let length = api.write(deadline, work).await?;
    Ok(json_answer(&json!({"seconds": length.as_secs_f64()})))
}

/// Takes what a worker says of its operation: progress, or how it ended, which ends the lease.
pub(super) async fn report(
    State(api): State<ApiState>,
    Entered {
        deadline,
        pull,
        caller,
        ..
    }: Entered,
    Json { value: body, .. }: Json<ReportBody>,
) -> Result<Response, Problem> {
    let work = async move {
        let lease = (body.tenant, body.fence);
        pull.report(&caller, lease, &body.answer).await
    };
    let state = api.write(deadline, work).await?;
    Ok(json_answer(&json!({"state": state})))
}

/// Who may work, and on what.
pub(super) struct Entered {
    deadline: Instant,
    pull: Arc<Pull>,
    caller: Caller,
    /// What lets them go on waiting.
    pass: Pass,
}

impl FromRequestParts<ApiState> for Entered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let call = Call::from_request_parts(parts, api).await?;
        let deadline = call.deadline(api);
        let pass = Pass::new(api, &call.principal);
        let Principal {
            actor,
            classes,
            holder,
            ..
        } = call.principal;
        let (Some(pull), Some(holder)) = (api.options().pull.clone(), holder) else {
            return Err(Problem::new(
                Code::Forbidden,
                "no work of this server is pulled; give a class pull = true in its configuration",
            ));
        };
        call.params.finish()?;
        Ok(Self {
            deadline,
            pull,
            caller: Caller::new(holder, actor, classes),
            pass,
        })
    }
}

impl From<PullError> for Problem {
    fn from(error: PullError) -> Self {
        match error {
            PullError::LeaseLost => Self::new(
                Code::LeaseLost,
                "the lease has ended, or is another worker's; stop the operation and drop its result",
            ),
            PullError::AnswerInvalid(why) => Self::new(Code::AnswerInvalid, why),
            PullError::Engine(error) => error.into(),
        }
    }
}
