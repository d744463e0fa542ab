//! Request bodies: the right media type, not too large, not too slow, and exactly what is known.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout_at;

use super::code::Code;
use super::problem::Problem;
use super::request;
use super::state::{ApiState, BODY_BYTES_MAX};

/// Most bytes of a body of many lines: 16 MiB.
const BULK_BYTES_MAX: usize = 16 * 1024 * 1024;

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

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        check_type(request.headers(), JSON)?;
        let text = read(request, api, BODY_BYTES_MAX).await?;
        whole(text)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<ApiState> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let typed = check_type(request.headers(), JSON);
        let text = read(request, api, BODY_BYTES_MAX).await?;
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
        let text = read(request, api, BODY_BYTES_MAX).await?;
        whole(text).map(Self)
    }
}

/// Lines of JSON, each to be read by itself.
#[derive(Debug)]
pub(crate) struct Lines(pub(crate) Bytes);

impl FromRequest<ApiState> for Lines {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        check_type(request.headers(), super::stream::LINES)?;
        read(request, api, BULK_BYTES_MAX).await.map(Self)
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

async fn read(request: Request, api: &ApiState, max: usize) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let deadline = request::body_deadline(&parts, api);
    match timeout_at(deadline, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            Code::BodyTooLarge,
            format!("the body has at most {max} bytes; nothing was done"),
        )),
        Ok(Err(error)) => Err(Problem::new(
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
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice(text) {
        Ok(value) => Ok(value),
        Err(error) if error.classify() == Category::Data => Err(Problem::new(
            Code::Invalid,
            format!("the body is refused: {error}"),
        )),
        Err(error) => Err(Problem::new(
            Code::InvalidJson,
            format!("the body must be JSON: {error}"),
        )),
    }
}
