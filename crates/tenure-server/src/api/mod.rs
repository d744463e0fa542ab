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

mod access;
mod body;
mod bulk;
mod changes;
mod code;
mod counts;
mod drift;
mod guard;
mod headers;
mod health;
mod metrics;
mod openapi;
mod params;
mod problem;
mod problems;
mod pulse;
mod request;
mod state;
mod stream;
pub mod tenants;
mod tokens;
mod unread;
mod work;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use access::{
    ClientAddress, Identity, Permission, RULES, Refused, Rule, Verifier,
    reference as rules_reference,
};
pub use bulk::{ExportLine, ImportLine, ImportResult, ImportSummary, Was};
pub use changes::ChangesPage;
pub use code::Code;
pub use counts::Counts;
pub use drift::{DriftPage, DriftView};
pub(crate) use guard::{HEADER_BYTES_MAX, HEADERS_MAX};
pub(crate) use headers::Tag;
pub use openapi::document as openapi_document;
pub use problem::Problem;
pub use state::{ApiOptions, ApiState, BODY_BYTES_MAX, Limits};
pub use tokens::{TokenPage, TokenView, WhoAmI};

/// The whole API, to be called in this process only: nobody is asked for a token.
pub(crate) fn local_router(api: ApiState) -> Router {
    router(api).layer(axum::Extension(access::InProcess))
}

/// The whole API, to be served, or to be called in process.
pub fn router(api: ApiState) -> Router {
    let tenant = get(tenants::get)
        .put(tenants::apply)
        .patch(tenants::patch)
        .delete(tenants::delete);
    let routes = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .route("/docs", get(openapi::docs))
        .route("/problems/{code}", get(problems::problem))
        .route("/v1/changes", get(changes::changes))
        .route("/v1/counts", get(counts::counts))
        .route("/v1/drift", get(drift::drift))
        .route("/v1/export", get(bulk::export))
        .route("/v1/import", post(bulk::import))
        .route("/v1/whoami", get(tokens::whoami))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{name}", get(tokens::get))
        .route("/v1/tokens/{name}/rotate", post(tokens::rotate))
        .route("/v1/tokens/{name}/revoke", post(tokens::revoke))
        .route("/v1/work/claim", post(work::claim))
        .route("/v1/work/renew", post(work::renew))
        .route("/v1/work/report", post(work::report))
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{tenant}", tenant)
        .route("/v1/tenants/{tenant}/history", get(tenants::history))
        .route("/v1/tenants/{tenant}/explain", get(tenants::explain))
        .route("/v1/tenants/{tenant}/suspend", post(tenants::suspend))
        .route("/v1/tenants/{tenant}/resume", post(tenants::resume))
        .route("/v1/tenants/{tenant}/retry", post(tenants::retry))
        .route("/v1/tenants/{tenant}/hold", post(tenants::hold))
        .route("/v1/tenants/{tenant}/release", post(tenants::release))
        .route("/v1/tenants/{tenant}/accept", post(tenants::accept))
        .route("/v1/tenants/{tenant}/waive", post(tenants::waive));
    // Inside of what words refusals, and outside of whatever reads a body.
    let guarded = routes.layer(from_fn_with_state(api.clone(), access::enter));
    around(guarded, api)
}

/// Puts around the routes what every request goes through.
fn around(routes: Router<ApiState>, api: ApiState) -> Router {
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(request::panicked))
        .layer(from_fn_with_state(api.clone(), request::finish))
        .layer(CompressionLayer::new())
        .with_state(api)
}

async fn no_route() -> Problem {
    Problem::new(
        Code::RouteNotFound,
        "there is no such route; tenants are under /v1/tenants, changes at /v1/changes, drift at \
         /v1/drift",
    )
}

async fn no_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "the route does not have this method; the allow header says which it has",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use tenure::conformance::MemoryStore;
    use tenure::{Engine, SystemClock};
    use tower::ServiceExt;

    use super::*;

    async fn ask(routes: Router<ApiState>) -> (u16, serde_json::Value) {
        let store = MemoryStore::new(Arc::new(SystemClock));
        let api = ApiState::new(Engine::new(Arc::new(store)), ApiOptions::default());
        let request = Request::get("/it").body(Body::empty()).unwrap();
        let response = around(routes, api).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_problem_that_tells_nothing() {
        async fn crash() -> StatusCode {
            panic!("secret")
        }
        let (status, body) = ask(Router::new().route("/it", get(crash))).await;
        assert_eq!((status, &body["code"]), (500, &"internal".into()));
        assert!(!body.to_string().contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn an_error_without_a_problem_becomes_one() {
        for (status, code) in [
            (StatusCode::NOT_FOUND, "route_not_found"),
            (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            (StatusCode::BAD_REQUEST, "invalid"),
            (StatusCode::BAD_GATEWAY, "internal"),
        ] {
            let routes = Router::new().route("/it", get(move || async move { status }));
            assert_eq!(ask(routes).await.1["code"], code);
        }
    }
}
