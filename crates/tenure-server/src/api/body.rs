//! Request bodies: the right media type, not too large, not too slow, and exactly what is known.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::access::Principal;
use super::code::Code;
use super::problem::Problem;
use super::request::{self, nobody_was_asked};
use super::state::{ApiState, BODY_BYTES_MAX};
use super::stream::Place;

/// Most bytes of a body of many lines: 16 MiB.
const BULK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many bodies of the greatest length may be kept at once, or more that are shorter.
const BODIES_MAX: usize = 32;

/// The same for bodies of many lines, which are kept for longer.
const BULK_BODIES_MAX: usize = 8;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// A JSON body, with its text for the idempotency fingerprint.
#[derive(Debug)]
pub(crate) struct Json<T> {
    pub(crate) value: T,
    pub(crate) text: Bytes,
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct MaybeJson<T>(pub(crate) Json<T>);

/// A merge patch (RFC 7396).
#[derive(Debug)]
pub(crate) struct MergePatch<T>(pub(crate) Json<T>);

/// Room for the bodies that are kept at once, in bytes.
#[derive(Clone, Debug)]
pub(super) struct BodyRoom {
    usual: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

impl Default for BodyRoom {
    fn default() -> Self {
        Self {
            usual: Arc::new(Semaphore::new(BODIES_MAX * BODY_BYTES_MAX)),
            bulk: Arc::new(Semaphore::new(BULK_BODIES_MAX * BULK_BYTES_MAX)),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        check_type(request.headers(), JSON)?;
        let text = read(request, api, (BODY_BYTES_MAX, &api.body_room().usual)).await?;
        whole(text)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<ApiState> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let typed = check_type(request.headers(), JSON);
        let text = read(request, api, (BODY_BYTES_MAX, &api.body_room().usual)).await?;
        if text.is_empty() {
            return Ok(Self(Json {
                value: T::default(),
                text,
            }));
        }
        typed?;
        whole(text).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<ApiState> for MergePatch<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        check_type(request.headers(), MERGE_PATCH)?;
        let text = read(request, api, (BODY_BYTES_MAX, &api.body_room().usual)).await?;
        whole(text).map(Self)
    }
}

/// Lines of JSON, each to be read by itself, and the place that whoever sent them has.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) text: Bytes,
    pub(crate) place: Place,
}

impl FromRequest<ApiState> for Lines {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        check_type(request.headers(), super::stream::LINES)?;
        // Before anything is read: so many lines are kept only for as many as have a place.
        let principal = request.extensions().get::<Principal>();
        let place = Place::take(api, principal.ok_or_else(nobody_was_asked)?)?;
        let text = read(request, api, (BULK_BYTES_MAX, &api.body_room().bulk)).await?;
        Ok(Self { text, place })
    }
}

/// Asking for the type also keeps forms of other sites out: they can't send it unasked.
fn check_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let bare = given
        .and_then(|given| given.split(';').next())
        .map(str::trim);
    if bare.is_some_and(|bare| bare.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let given = given.unwrap_or("absent");
    let accept = if wanted == MERGE_PATCH {
        ACCEPT_PATCH
    } else {
        header::ACCEPT
    };
    let detail = format!("the content-type must be {wanted}; it is {given}");
    Err(Problem::new(Code::UnsupportedMediaType, detail).with_accept(accept, wanted))
}

/// Refuses what would have to be unpacked first.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if codings.all(identity) {
        return Ok(());
    }
    let detail = "bodies are taken as they are: send it without content-encoding";
    let problem = Problem::new(Code::UnsupportedMediaType, detail);
    Err(problem.with_accept(header::ACCEPT_ENCODING, "identity"))
}

/// What is kept of a body, and its room, which is free again when the last copy is gone.
struct Kept {
    text: BytesMut,
    room: Option<OwnedSemaphorePermit>,
}

impl Kept {
    fn add(&mut self, data: &[u8], room: &Arc<Semaphore>) -> Result<(), Unread> {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(room).try_acquire_many_owned(length) else {
            return Err(Unread::NoRoom);
        };
        // One for all: a body may come in pieces of a byte.
        if let Some(room) = &mut self.room {
            room.merge(more);
        } else {
            self.room = Some(more);
        }
        self.text.extend_from_slice(data);
        Ok(())
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Why a body was not read to its end.
enum Unread {
    NoRoom,
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

/// Reads a body for which there is room. Only what has come takes any.
async fn keep(mut body: Limited<Body>, room: &Arc<Semaphore>) -> Result<Bytes, Unread> {
    let mut kept = Kept {
        text: BytesMut::new(),
        room: None,
    };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Unread::Broken)?.into_data() else {
            continue;
        };
        kept.add(&data, room)?;
    }
    Ok(Bytes::from_owner(kept))
}

async fn read(
    request: Request,
    api: &ApiState,
    (max, room): (usize, &Arc<Semaphore>),
) -> Result<Bytes, Problem> {
    check_coding(request.headers())?;
    let (parts, body) = request.into_parts();
    let deadline = request::body_deadline(&parts, api);
    match timeout_at(deadline, keep(Limited::new(body, max), room)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Unread::NoRoom)) => Err(Problem::new(
            Code::Overloaded,
            "the server keeps as many bodies as it has room for; nothing was done; try again later",
        )),
        Ok(Err(Unread::Broken(error))) if error.is::<LengthLimitError>() => Err(Problem::new(
            Code::BodyTooLarge,
            format!("the body has at most {max} bytes; nothing was done"),
        )),
        Ok(Err(Unread::Broken(error))) => Err(Problem::new(
            Code::InvalidJson,
            "the body broke off before its end; nothing was done; send it again",
        )
        .caused_by(error.to_string())),
        Err(_elapsed) => Err(Problem::new(
            Code::RequestTimeout,
            format!(
                "the body did not come within {} s; nothing was done; send it again",
                api.options().limits.body.as_secs_f32()
            ),
        )),
    }
}

fn whole<T: DeserializeOwned>(text: Bytes) -> Result<Json<T>, Problem> {
    let value = parse(&text)?;
    Ok(Json { value, text })
}

/// Reads JSON, and says where it is none.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| unfit("body", &error, &error.to_string()))
}

/// Reads one line of many, and says where in all of them it is not as it must be.
pub(super) fn parse_line<T: DeserializeOwned>(text: &[u8], number: usize) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| {
        let (why, column) = (error.to_string(), error.column());
        // By itself it is the first.
        let place = format!(" at line {} column {column}", error.line());
        let why = match why.strip_suffix(&place) {
            Some(why) => format!("{why} at line {number} column {column}"),
            None => why,
        };
        unfit("line", &error, &why)
    })
}

fn unfit(what: &str, error: &serde_json::Error, why: &str) -> Problem {
    if error.classify() == Category::Data {
        return Problem::new(Code::Invalid, format!("the {what} is refused: {why}"));
    }
    Problem::new(Code::InvalidJson, format!("the {what} must be JSON: {why}"))
}
