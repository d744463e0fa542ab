//! The headers that the API reads and writes.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tenure::{Actor, Revision, TenantId};

use super::problem::Problem;

/// A client's name for one intent.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer that was given before.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// What a write did.
pub(crate) const TENURE_EFFECT: HeaderName = HeaderName::from_static("tenure-effect");
/// Who asks, as long as the server has no authentication and is reachable on this machine only.
pub(crate) const TENURE_ACTOR: HeaderName = HeaderName::from_static("tenure-actor");
/// The server's own id of the request, as in the history.
pub(crate) const TENURE_REQUEST_ID: HeaderName = HeaderName::from_static("tenure-request-id");
/// Where a stream of events was cut off.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The client's id of the request, for logs.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The value of a header that may stand once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::invalid(
            format!("header {name}"),
            "must stand once",
        ));
    }
    first
        .map(|value| {
            std::str::from_utf8(value.as_bytes())
                .map(str::trim)
                .map_err(|_| Problem::invalid(format!("header {name}"), "must be UTF-8"))
        })
        .transpose()
}

/// An `ETag`: `"3.tnt_…"`, the revision and whose it is. A name is free again after deletion, so the
/// revision alone could be that of the next tenant of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) revision: Revision,
    /// Whose; of anybody if a client states the revision only.
    pub(crate) id: Option<TenantId>,
}

impl Tag {
    pub(crate) const fn of(id: TenantId, revision: Revision) -> Self {
        let id = Some(id);
        Self { revision, id }
    }

    fn parse(text: &str) -> Option<Self> {
        let (digits, id) = match text.split_once('.') {
            Some((digits, id)) => (digits, Some(id.parse().ok()?)),
            None => (text, None),
        };
        let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let revision = digits?.parse().ok()?;
        let revision = (1..1 << 53)
            .contains(&revision)
            .then(|| Revision::new(revision))?;
        Some(Self { revision, id })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            None => write!(f, "\"{}\"", self.revision),
            Some(id) => write!(f, "\"{}.{id}\"", self.revision),
        }
    }
}

/// What the client saw, from `If-Match`.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Tag>, Problem> {
    let Some(text) = one(headers, &header::IF_MATCH)? else {
        return Ok(None);
    };
    match unquoted(text).and_then(Tag::parse) {
        Some(tag) => Ok(Some(tag)),
        None => Err(Problem::invalid(
            "header if-match",
            "must be what ETag gave, or one revision in quotes, such as \"3\"",
        )),
    }
}

/// What `If-None-Match` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfNoneMatch {
    /// Nothing.
    Absent,
    /// That there be none.
    Any,
    /// That it be none of these.
    Tags(Vec<Tag>),
}

pub(crate) fn if_none_match(headers: &HeaderMap) -> Result<IfNoneMatch, Problem> {
    let bad = || Problem::invalid("header if-none-match", "must be * or what ETag gave");
    match one(headers, &header::IF_NONE_MATCH)? {
        None => Ok(IfNoneMatch::Absent),
        Some("*") => Ok(IfNoneMatch::Any),
        Some(text) => {
            let tags = text.split(',').map(|tag| {
                let tag = tag.trim();
                unquoted(tag.strip_prefix("W/").unwrap_or(tag)).and_then(Tag::parse)
            });
            tags.collect::<Option<Vec<_>>>()
                .map(IfNoneMatch::Tags)
                .ok_or_else(bad)
        }
    }
}

fn unquoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('"')).then_some(inner)
}

/// The idempotency key: quoted as in RFC 8941, or bare.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = one(headers, &IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let bad = || {
        Problem::invalid(
            "header idempotency-key",
            "must be 1 to 255 bytes, bare or in quotes, without control characters",
        )
    };
    let key = match text.strip_prefix('"') {
        None => text.to_owned(),
        Some(rest) => unescaped(rest).ok_or_else(bad)?,
    };
    if key.is_empty() || key.len() > 255 || key.chars().any(char::is_control) {
        return Err(bad());
    }
    Ok(Some(key))
}

/// Where a client that follows the feed was cut off.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let last = one(headers, &LAST_EVENT_ID)?;
    Ok(last.filter(|id| !id.is_empty()).map(str::to_owned))
}

/// The inside of a quoted string whose first quote is gone.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(out),
            '\\' => out.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => out.push(c),
        }
    }
}

/// Who asks: what the client says, or somebody on this machine.
///
/// Nobody is authenticated on an open loopback listener, so a client may say which person it is, but
/// not that it is a worker or the system: history must not blame those for what people did.
pub(crate) fn actor(headers: &HeaderMap) -> Result<Actor, Problem> {
    let text = one(headers, &TENURE_ACTOR)?.unwrap_or("user:anonymous");
    if !text.starts_with("user:") {
        return Err(Problem::invalid(
            "header tenure-actor",
            "must be user: and a name",
        ));
    }
    text.parse()
        .map_err(|invalid: tenure::Invalid| Problem::invalid("header tenure-actor", invalid.rule()))
}

/// The client's own id of the request, if it is fit to be logged and sent back.
pub(crate) fn client_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(X_REQUEST_ID)?;
    let fit = (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    fit.then(|| value.clone())
}

/// Says which revision of whom an answer is.
pub(crate) fn put_etag(headers: &mut HeaderMap, tag: Tag) {
    if let Ok(value) = HeaderValue::try_from(tag.to_string()) {
        headers.insert(header::ETAG, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_key_is_quoted_or_bare() {
        for (text, key) in [
            ("abc", Some("abc")),
            ("\"abc\"", Some("abc")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            ("\"abc", None),
            ("\"a\"b", None),
            (r#""a\n""#, None),
            ("", None),
            ("\"\"", None),
            (&"x".repeat(255), Some(&*"x".repeat(255))),
            (&"x".repeat(256), None),
        ] {
            let read = idempotency_key(&with(IDEMPOTENCY_KEY, text));
            assert_eq!(read.ok().flatten().as_deref(), key, "{text}");
        }
    }

    #[test]
    fn if_match_is_one_revision() {
        let read = |text: &str| if_match(&with(header::IF_MATCH, text)).ok().flatten();
        let (id, revision) = ("tnt_01m83sbc00e008000000000001", Revision::new(3));
        assert_eq!(read("\"3\""), Some(Tag { revision, id: None }));
        let whole = Tag::of(id.parse().unwrap(), revision);
        assert_eq!(read(&format!("\"3.{id}\"")), Some(whole));
        let mut written = HeaderMap::new();
        put_etag(&mut written, whole);
        assert_eq!(read(written[header::ETAG].to_str().unwrap()), Some(whole));
        for bad in [
            "\"3.\"",
            "\"3.acme\"",
            "\".tnt_01m83sbc00e008000000000001\"",
            "3",
            "W/\"3\"",
            "*",
            "\"0\"",
            "\"+3\"",
            "\"3\", \"4\"",
            "\"x\"",
            "",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let read = |text| if_none_match(&with(header::IF_NONE_MATCH, text)).ok();
        assert_eq!(read("*"), Some(IfNoneMatch::Any));
        assert_eq!(
            read("W/\"3\", \"4\""),
            Some(IfNoneMatch::Tags(
                [3, 4]
                    .map(|n| Tag {
                        revision: Revision::new(n),
                        id: None
                    })
                    .into()
            ))
        );
        assert_eq!(read("3"), None);
    }
}
