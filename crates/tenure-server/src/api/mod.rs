//! The HTTP API: `/v1`, over an [`Engine`](tenure::Engine).
//!
//! Each operation is a file; [`request`] goes around all of them. The API holds no rule of its own:
//! it reads a request, has the engine carry it out, and words the answer.
//!
//! # Invariants
//!
//! - Every error that a handler or the router can give is a [`Problem`], with a [`Code`] of the
//!   reference.
//! - Nothing that a client sends is ignored: an unknown field, parameter or precondition is refused.
//! - A write runs to its end once it has begun, whether or not its client waits.

mod body;
mod changes;
mod code;
mod counts;
mod guard;
mod headers;
mod health;
mod params;
mod problem;
mod request;
mod state;
pub mod tenants;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub use changes::ChangesPage;
pub use code::Code;
pub use counts::Counts;
pub use problem::Problem;
pub use state::{ApiOptions, ApiState, BODY_BYTES_MAX, Limits};

/// The whole API, to be served, or to be called in process.
pub fn router(api: ApiState) -> Router {
    let tenant = get(tenants::get)
        .put(tenants::apply)
        .patch(tenants::patch)
        .delete(tenants::delete);
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/v1/changes", get(changes::changes))
        .route("/v1/counts", get(counts::counts))
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{tenant}", tenant)
        .route("/v1/tenants/{tenant}/history", get(tenants::history))
        .route("/v1/tenants/{tenant}/suspend", post(tenants::suspend))
        .route("/v1/tenants/{tenant}/resume", post(tenants::resume))
        .route("/v1/tenants/{tenant}/retry", post(tenants::retry))
        .route("/v1/tenants/{tenant}/hold", post(tenants::hold))
        .route("/v1/tenants/{tenant}/release", post(tenants::release))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(request::panicked))
        .layer(from_fn_with_state(api.clone(), request::finish))
        .with_state(api)
}

async fn no_route() -> Problem {
    Problem::new(
        Code::RouteNotFound,
        "there is no such route; tenants are under /v1/tenants, changes at /v1/changes",
    )
}

async fn no_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "the route does not have this method; the allow header says which it has",
    )
}
