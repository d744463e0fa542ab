//! What all writes have in common: preconditions, idempotency, dry runs, and the answer.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use tenure::{
    Answer, Command, Context, Effect, Hash, IdempotencyKey, Request, Revision, TenantId, TenantRef,
};

use super::super::code::Code;
use super::super::headers::{self, IfNoneMatch, Tag};
use super::super::problem::Problem;
use super::super::request::Call;
use super::super::state::ApiState;
use super::json_answer;
use super::wire::TenantView;

/// Carries a command out and answers with the tenant as it left it.
///
/// `text` is what the client sent beside method and path: it tells one request from another.
pub(super) async fn carry_out(
    api: &ApiState,
    mut call: Call,
    (who, command): (TenantRef, Command),
    context: Context,
    text: Bytes,
) -> Result<Response, Problem> {
    let dry_run = call.params.flag("dry_run")?;
    let deadline = call.deadline(api);
    let (if_revision, if_id) = precondition(api, &call, &command)?;
    let key = key(api, &call, &context, &text)?;
    call.params.finish()?;
    let request = Request {
        who,
        command,
        context,
        if_revision,
        if_id,
        scope: call.principal.scope.clone(),
        key,
        dry_run,
    };
    let engine = api.engine().clone();
    let answer = api
        .write(deadline, async move { engine.execute(&request).await })
        .await?;
    Ok(worded(answer, dry_run))
}

/// The revision that the tenant must be at, 0 if there must be none, and which one it must be.
type Seen = (Option<Revision>, Option<TenantId>);

/// What must hold of the tenant.
fn precondition(api: &ApiState, call: &Call, command: &Command) -> Result<Seen, Problem> {
    let seen = stated(call, command)?;
    let makes = matches!(command, Command::Create(_));
    if seen.0.is_none() && !makes && api.options().require_if_match {
        let detail = "this server takes no change of a tenant whose revision was not seen: get the \
                      tenant, and send its ETag as If-Match, or If-None-Match: * with PUT if there \
                      must be none";
        return Err(Problem::new(Code::PreconditionRequired, detail));
    }
    Ok(seen)
}

/// What the headers say about it.
fn stated(call: &Call, command: &Command) -> Result<Seen, Problem> {
    let if_match = headers::if_match(&call.headers)?;
    match (headers::if_none_match(&call.headers)?, command) {
        (IfNoneMatch::Absent, _) => Ok(match if_match {
            Some(Tag { revision, id }) => (Some(revision), id),
            None => (None, None),
        }),
        (IfNoneMatch::Any, Command::Create(_) | Command::Apply(_)) if if_match.is_none() => {
            Ok((Some(Revision::new(0)), None))
        }
        _ => Err(Problem::invalid(
            "header if-none-match",
            "must be absent, or * when a tenant is created or applied, without if-match",
        )),
    }
}

/// The client's name for this request, which is only ever its own.
fn key(
    api: &ApiState,
    call: &Call,
    context: &Context,
    text: &Bytes,
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(key) = headers::idempotency_key(&call.headers)? else {
        return Ok(None);
    };
    let fingerprint = fingerprint(call, text)?;
    let ttl = api.options().limits.key_ttl;
    Ok(Some(IdempotencyKey::new(
        context.actor.as_str(),
        key,
        fingerprint,
        ttl,
    )?))
}

/// The hash of the request: equal for bodies that say the same in another order or spelling.
pub(in super::super) fn fingerprint(call: &Call, text: &[u8]) -> Result<Hash, Problem> {
    let body: Value = match text {
        b"" => Value::Null,
        text => serde_json::from_slice(text)
            .map_err(|error| Problem::invalid("body", format!("must be JSON: {error}")))?,
    };
    let whole = serde_json::json!([call.method.as_str(), call.path, body]);
    let canonical = serde_json_canonicalizer::to_string(&whole)
        .map_err(|error| Problem::invalid("body", format!("must be plain JSON: {error}")))?;
    Ok(Hash::of(canonical.as_bytes()))
}

/// What a request did, in a word.
pub(in super::super) const fn effect_word(answer: &Answer) -> &'static str {
    match answer.effect {
        _ if answer.replayed => "replayed",
        Effect::Created => "created",
        Effect::Changed => "changed",
        Effect::Unchanged => "unchanged",
    }
}

/// The tenant, with what the request did in the headers.
fn worded(answer: Answer, dry_run: bool) -> Response {
    let word = HeaderValue::from_static(effect_word(&answer));
    let Answer {
        tenant,
        effect,
        replayed,
    } = answer;
    let (revision, id) = (tenant.revision, tenant.id);
    let mut response = json_answer(&TenantView::from(tenant));
    let created = effect == Effect::Created && !dry_run;
    if created {
        *response.status_mut() = StatusCode::CREATED;
    }
    let head = response.headers_mut();
    if created && let Ok(location) = HeaderValue::try_from(format!("/v1/tenants/{id}")) {
        head.insert(header::LOCATION, location);
    }
    if !dry_run {
        headers::put_etag(head, Tag::of(id, revision));
    }
    head.insert(headers::TENURE_EFFECT, word);
    if replayed {
        head.insert(
            headers::IDEMPOTENCY_REPLAYED,
            HeaderValue::from_static("true"),
        );
    }
    response
}
