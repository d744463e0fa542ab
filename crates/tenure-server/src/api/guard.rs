//! Keeps the pages of other sites away from a server that knows no authentication.
//!
//! A server on the loopback address is reachable from every page in a browser on the same machine:
//! by a name of the attacker's that resolves to 127.0.0.1 (then `Host` gives it away), or by a form
//! that is sent across sites (then `Origin` does).

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use super::code::Code;
use super::problem::Problem;

/// Most headers of a request.
pub(crate) const HEADERS_MAX: usize = 64;

/// Most bytes of all headers of a request, names and values.
pub(crate) const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Most bytes of the address that is asked for.
const URI_BYTES_MAX: usize = 8 * 1024;

/// Refuses an address and headers that are longer than anything that the API takes.
pub(crate) fn bound(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let address = uri.path().len() + uri.query().unwrap_or_default().len();
    if address > URI_BYTES_MAX {
        let detail = format!("path and query have at most {URI_BYTES_MAX} bytes; nothing was done");
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    let lengths = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    if headers.len() > HEADERS_MAX || lengths.sum::<usize>() > HEADER_BYTES_MAX {
        let detail = format!(
            "there are at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes in all; nothing was \
             done"
        );
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

/// Refuses a request that was not meant for this server, or that another site's page makes.
pub(crate) fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers
        .get(header::HOST)
        .map(|value| value.to_str().unwrap_or("?"));
    // In-process callers name no host at all.
    let mut hosts = uri
        .authority()
        .map(Authority::as_str)
        .into_iter()
        .chain(host);
    if let Some(other) = hosts.find(|host| !is_loopback(host)) {
        return Err(Problem::new(
            Code::HostNotAllowed,
            format!(
                "the request is for {other:?}, and a server without authentication answers to \
                 127.0.0.1, [::1] and localhost only"
            ),
        ));
    }
    let origin = headers
        .get(header::ORIGIN)
        .map(|value| value.to_str().unwrap_or("?"));
    match origin {
        None => Ok(()),
        Some(origin) if host.is_some_and(|host| origin.strip_prefix("http://") == Some(host)) => {
            Ok(())
        }
        Some(origin) => Err(Problem::new(
            Code::OriginNotAllowed,
            format!("a page of {origin:?} may not use this server; only its own pages may"),
        )),
    }
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    if authority.as_str().contains('@') {
        return false;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, origin: Option<&str>) -> Option<Code> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(&Uri::from_static("/v1/tenants"), &headers)
            .err()
            .map(|problem| problem.code())
    }

    #[test]
    fn p12_only_loopback_names_are_answered() {
        for good in [
            "localhost",
            "LOCALHOST:7070",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:7070",
        ] {
            assert_eq!(ask(good, None), None, "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "a@127.0.0.1",
            "",
            "a b",
        ] {
            assert_eq!(ask(bad, None), Some(Code::HostNotAllowed), "{bad}");
        }
    }

    #[test]
    fn p12_pages_of_other_sites_are_refused() {
        assert_eq!(ask("127.0.0.1:7070", Some("http://127.0.0.1:7070")), None);
        for bad in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:8080",
            "https://127.0.0.1:7070",
        ] {
            assert_eq!(
                ask("127.0.0.1:7070", Some(bad)),
                Some(Code::OriginNotAllowed),
                "{bad}"
            );
        }
    }
}
