//! What a monitoring system reads of the server.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::code::Code;
use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;

/// Prometheus's text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics. The fleet is counted at most every ten seconds, however often it is asked for.
pub(super) async fn metrics(State(api): State<ApiState>, call: Call) -> Result<Response, Problem> {
    call.params.finish()?;
    let (store, board) = (api.engine().store(), &api.options().board);
    let text = api.exposition().text(store, board, api.is_draining());
    match text.await {
        Some(text) => Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response()),
        None => Err(Problem::new(
            Code::RouteNotFound,
            "the program that this server runs in records metrics elsewhere; ask it",
        )),
    }
}
