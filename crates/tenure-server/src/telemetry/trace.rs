//! Which trace a request belongs to, as W3C's `traceparent` tells it.

use axum::http::HeaderMap;
use uuid::Uuid;

/// The trace of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// 32 hexadecimal digits.
    pub(crate) id: String,
    /// The span of the caller's that the request is a part of: 16 digits, and its flags.
    pub(crate) parent: Option<(String, u8)>,
}

impl Trace {
    /// The trace that the client names, if it names one properly; otherwise one of its own, of the
    /// request's id.
    pub(crate) fn of(headers: &HeaderMap, request: Uuid) -> Self {
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
            if let Ok(_valid) = bad.parse::<axum::http::HeaderValue>() {
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
