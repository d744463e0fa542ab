//! What is counted of requests: by the pattern of their route, never by what a client wrote.

use std::time::Instant;

use axum::http::{Method, StatusCode};

/// One request, from its coming to its answer.
#[derive(Debug)]
pub(crate) struct Flight {
    method: &'static str,
    route: String,
    began: Instant,
    status: Option<StatusCode>,
}

impl Flight {
    /// A request came.
    pub(crate) fn begin(method: &Method, route: &str) -> Self {
        metrics::gauge!("tenure_http_requests_in_flight").increment(1);
        Self {
            method: word(method),
            route: route.to_owned(),
            began: Instant::now(),
            status: None,
        }
    }

    /// It is answered.
    pub(crate) fn land(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        metrics::gauge!("tenure_http_requests_in_flight").decrement(1);
        let route = std::mem::take(&mut self.route);
        let status = match &self.status {
            Some(status) => status.as_str().to_owned(),
            None => "gone".to_owned(),
        };
        let method = self.method;
        let took = self.began.elapsed();
        metrics::histogram!("tenure_http_request_duration_seconds",
            "method" => method, "route" => route.clone())
        .record(took);
        metrics::counter!("tenure_http_requests_total",
            "method" => method, "route" => route, "status" => status)
        .increment(1);
    }
}

/// A client may make methods up.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
