//! Whether the process lives, and whether it can serve.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use tenure::{Breaker, ClassName, Message, Readiness, Reason, Store, Timestamp};
use tokio::time::Instant;

use super::code::Code;
use super::problem::Problem;
use super::request::Call;
use super::state::{ApiState, in_time};
use super::tenants::json_answer;

/// How long the store is not asked again once it was found ready.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A server that can serve, and what it leaves alone meanwhile.
#[derive(Serialize)]
struct Ready {
    #[serde(flatten)]
    readiness: Readiness,
    /// Whether the server stops. One that does answers 503, so this is always false here.
    draining: bool,
    /// The classes whose breaker is open on this server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breakers: Vec<OpenBreaker>,
}

#[derive(Serialize)]
struct OpenBreaker {
    class: ClassName,
    since: Timestamp,
    until: Timestamp,
    reason: Reason,
    /// What its provisioner said, which only this machine hears of a server that asks for tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

/// Says that the process lives. It asks nothing else: a database that is down is no reason to
/// restart the server.
pub(super) async fn livez(call: Call) -> Result<Response, Problem> {
    call.params.finish()?;
    Ok(json_answer(&json!({"alive": true})))
}

/// Says whether the server can serve: 200 with the level of the schema, or 503 with what to run, or with
/// `draining` while it stops.
///
/// A class whose target is in trouble is told, and no reason to take the server out of service. Neither
/// is that all its places are taken: it asks for none.
pub(super) async fn readyz(State(api): State<ApiState>, call: Call) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    call.params.finish()?;
    let draining = api.is_draining();
    let not_ready = |code, detail: String| Problem::new(code, detail).with_draining(draining);
    if draining {
        let detail =
            "the server stops: it serves on for a moment and finishes what runs; ask another";
        let problem = not_ready(Code::Draining, detail.to_owned());
        return Err(match api.lately().seen() {
            Some(readiness) => problem.with_readiness(readiness),
            None => problem,
        });
    }
    let asked = in_time(deadline, api.lately().ask(api.engine().store())).await;
    let readiness = asked.map_err(|problem| problem.with_draining(draining))?;
    if readiness.is_ready() {
        let breakers = open_breakers(&api);
        return Ok(json_answer(&Ready {
            readiness,
            draining,
            breakers,
        }));
    }
    let problem = not_ready(Code::StoreNotReady, readiness.to_string());
    Err(problem.with_readiness(readiness))
}

/// What the store said of itself a moment ago. However many ask, and who they are nobody asks, it costs
/// the store one question at a time.
#[derive(Debug, Default)]
pub(super) struct Lately {
    good: Mutex<Option<(Instant, Readiness)>>,
    asking: tokio::sync::Mutex<()>,
}

impl Lately {
    /// What the store says, or said when it was found ready less than [`GOOD_FOR`] ago.
    async fn ask(&self, store: &dyn Store) -> Readiness {
        let _asking = self.asking.lock().await;
        let fresh = |(at, _): &(Instant, Readiness)| at.elapsed() < GOOD_FOR;
        if let Some((_, readiness)) = self.good().clone().filter(fresh) {
            return readiness;
        }
        let at = Instant::now();
        let readiness = store.readiness().await;
        *self.good() = readiness.is_ready().then(|| (at, readiness.clone()));
        readiness
    }

    /// What it said when it was last found ready, unless it was found not to be since.
    fn seen(&self) -> Option<Readiness> {
        self.good().as_ref().map(|(_, readiness)| readiness.clone())
    }

    fn good(&self) -> MutexGuard<'_, Option<(Instant, Readiness)>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_breakers(api: &ApiState) -> Vec<OpenBreaker> {
    let open = |(class, view): (ClassName, tenure::ClassView)| match view.status.breaker {
        Breaker::Open {
            since,
            until,
            reason,
            message,
        } => Some(OpenBreaker {
            class,
            since,
            until,
            reason,
            message: (!api.options().auth_required).then_some(message),
        }),
        Breaker::Closed | Breaker::HalfOpen => None,
    };
    api.options()
        .board
        .all()
        .into_iter()
        .filter_map(open)
        .collect()
}
