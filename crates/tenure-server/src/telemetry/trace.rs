//! Which trace a request belongs to, as W3C's `traceparent` tells it.

use axum::http::{HeaderMap, Method, StatusCode};
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

use super::otlp::is_tracing;

/// The span of a request, in its trace. Each line about the request has its fields, whatever is
/// logged: so it is of the highest level.
pub(crate) fn request_span(
    headers: &HeaderMap,
    request: Uuid,
    (method, route): (&Method, &str),
) -> Span {
    let trace = Trace::of(headers, request);
    if !is_tracing() {
        return tracing::error_span!("request", request_id = %request, trace_id = trace.id,
            %method, route, actor = field::Empty);
    }
    let span = tracing::error_span!("request", otel.kind = "server", request_id = %request,
        trace_id = field::Empty, %method, route, actor = field::Empty);
    if let Some(remote) = trace.remote() {
        // Fails only where no collector is told of the span.
        let _parted = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    let context = span.context();
    let told = context.span();
    told.update_name(format!("{method} {route}"));
    for (key, value) in [
        ("http.request.method", method.as_str()),
        ("http.route", route),
    ] {
        told.set_attribute(KeyValue::new(key, value.to_owned()));
    }
    let id = told.span_context().trace_id();
    if id == TraceId::INVALID {
        span.record("trace_id", trace.id);
    } else {
        span.record("trace_id", field::display(id));
    }
    span
}

/// Notes on a request's span how it was answered.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    if is_tracing() {
        let code = i64::from(status.as_u16());
        span.set_attribute("http.response.status_code", code);
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
    }
}

/// The trace of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trace {
    /// 32 hexadecimal digits.
    id: String,
    /// The span of the caller's that the request is a part of: 16 digits, and its flags.
    parent: Option<(String, u8)>,
}

impl Trace {
    /// The trace that the client names, if it names one properly; otherwise one of its own, of the
    /// request's id.
    fn of(headers: &HeaderMap, request: Uuid) -> Self {
        let own = || Self {
            id: request.simple().to_string(),
            parent: None,
        };
        let mut named = headers.get_all("traceparent").iter();
        match (named.next(), named.next()) {
            (Some(header), None) => header.to_str().ok().and_then(parse).unwrap_or_else(own),
            _ => own(),
        }
    }

    /// The caller's span.
    fn remote(&self) -> Option<SpanContext> {
        let (span, flags) = self.parent.as_ref()?;
        let (trace, span) = (
            TraceId::from_hex(&self.id).ok()?,
            SpanId::from_hex(span).ok()?,
        );
        let flags = TraceFlags::new(*flags);
        Some(SpanContext::new(
            trace,
            span,
            flags,
            true,
            TraceState::default(),
        ))
    }
}

/// Reads `version-trace-span-flags`. Later versions may say more behind that; `ff` is none.
fn parse(header: &str) -> Option<Trace> {
    let mut parts = header.split('-');
    let mut part = |length| hexadecimal(parts.next()?, length);
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let more = parts.next().is_some();
    let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    if version == "ff" || (version == "00" && more) || is_zero(trace) || is_zero(span) {
        return None;
    }
    Some(Trace {
        id: trace.to_owned(),
        parent: Some((span.to_owned(), u8::from_str_radix(flags, 16).ok()?)),
    })
}

fn hexadecimal(text: &str, length: usize) -> Option<&str> {
    let lower = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == length && text.bytes().all(lower)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", header.parse().unwrap());
        Trace::of(&headers, Uuid::from_u128(1))
    }

    #[test]
    fn what_is_named_properly_is_honoured_and_nothing_else() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (header, flags) in [
            (format!("00-{trace}-00f067aa0ba902b7-01"), 1),
            (format!("00-{trace}-00f067aa0ba902b7-00"), 0),
            (format!("cc-{trace}-00f067aa0ba902b7-01-more"), 1),
        ] {
            let parent = Some(("00f067aa0ba902b7".to_owned(), flags));
            let id = trace.to_owned();
            assert_eq!(of(&header), Trace { id, parent }, "{header}");
        }
        for bad in [
            String::new(),
            "00".to_owned(),
            trace.to_owned(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{trace}-00f067aa0ba902b7-1"),
            format!("00-{trace}-00f067aa0ba902b7-\u{7f}"),
        ] {
            if let Ok(_valid) = bad.parse::<http::HeaderValue>() {
                let own = of(&bad);
                assert_eq!(
                    (own.id.as_str(), own.parent),
                    ("00000000000000000000000000000001", None),
                    "{bad}"
                );
            }
        }
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            let header = format!("00-{trace}-00f067aa0ba902b7-01");
            twice.append("traceparent", header.parse().unwrap());
        }
        assert_eq!(Trace::of(&twice, Uuid::from_u128(1)).parent, None);
    }
}
