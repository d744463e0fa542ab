//! The description of the API, as OpenAPI 3.1, and the page that shows it to people.
//!
//! It is put together from [`operations`], one row for each route, and `components.json`. Tests
//! hold it to what is so: every rule has a row and every row a rule, and each answer of the tests of the
//! API, good or bad, must be as the document says. `examples.json` is what a server answered.
//!
//! For a new route, add a row to [`operations::OPERATIONS`], its parameters and
//! schemas to `components.json`, and a request to `tests/api/openapi.rs`; then run the tests with
//! `UPDATE_SNAPSHOTS=1`.

mod operation;
mod operations;
mod page;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use self::operation::{Body, Content, Operation};
use self::operations::OPERATIONS;
use super::access::{Permission, RULES};
use super::code::Code;
use super::problem::Problem;
use super::problems::explained;
use super::request::Call;
use super::stream;
use super::tenants::json_answer;

/// Parameters and headers that many routes have, and what the types of the answers look like.
const COMPONENTS: &str = include_str!("components.json");

/// Answers that a server gave, by operation and status.
const EXAMPLES: &str = include_str!("examples.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// Gives the document.
pub(super) async fn openapi(call: Call) -> Result<Response, Problem> {
    call.params.finish()?;
    Ok(json_answer(&*DOCUMENT))
}

/// Shows the document to people.
pub(super) async fn docs(call: Call) -> Result<Response, Problem> {
    static PAGE: LazyLock<String> = LazyLock::new(|| page::page(&DOCUMENT));
    call.params.finish()?;
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                  form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    Ok((headers, PAGE.as_str()).into_response())
}

/// The document.
pub fn document() -> Value {
    let mut components: Value = serde_json::from_str(COMPONENTS).unwrap_or_default();
    components["schemas"]["Code"] = json!({
        "description": "The kind of an error, in a stable word; programs compare it.",
        "enum": Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>(),
    });
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            let method = operation.method.to_ascii_lowercase();
            methods.insert(method, described(operation, &examples));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tenure",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The record of a product's tenants, and what drives each to what it should be.",
            "description": "Names of living tenants and ids of any lead to the same routes. Every \
                error is a problem (RFC 9457); programs compare its `code`. Every write of tenants takes \
                `dry_run=true`, and may be sent again under the same `Idempotency-Key`.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that gave this document."}],
        "security": [{"bearer": []}, {}],
        "tags": [
            {"name": "tenants", "description": "What tenants should be, and what they are."},
            {"name": "fleet", "description": "All tenants at once."},
            {"name": "work", "description": "For workers that pull."},
            {"name": "access", "description": "Who may come in."},
            {"name": "server", "description": "The server itself."},
        ],
        "paths": paths,
        "components": components,
    })
}

fn tag(path: &str) -> &'static str {
    match path.strip_prefix("/v1/") {
        None => "server",
        Some(path) if path.starts_with("tenants") => "tenants",
        Some(path) if path.starts_with("work") => "work",
        Some(path) if path.starts_with("tokens") || path == "whoami" => "access",
        Some(_) => "fleet",
    }
}

fn permission(operation: &Operation) -> Permission {
    let rule = RULES
        .iter()
        .find(|rule| (rule.method, rule.path) == (operation.method, operation.path));
    rule.map_or(Permission::Open, |rule| rule.permission)
}

fn described(operation: &Operation, examples: &Value) -> Value {
    let permission = permission(operation);
    let parameters = operation.parameters.iter();
    let mut parameters: Vec<Value> = parameters
        .map(|name| json!({"$ref": format!("#/components/parameters/{name}")}))
        .collect();
    if operation.method != "GET" && operation.path.starts_with("/v1/tenants") {
        parameters.push(json!({"$ref": "#/components/parameters/tenure_actor"}));
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [tag(operation.path)],
        "summary": operation.summary,
        "description": format!("For those who may {}.", permission.as_str()),
        "parameters": parameters,
        "responses": responses(operation, examples),
    });
    let Value::Object(members) = &mut described else {
        return described;
    };
    if permission == Permission::Open {
        members.insert("security".to_owned(), json!([]));
    }
    if let Some(body) = body(operation.body) {
        members.insert("requestBody".to_owned(), body);
    }
    described
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn body(body: Body) -> Option<Value> {
    let (media, name, required) = match body {
        Body::None => return None,
        Body::Json(name) => ("application/json", name, true),
        Body::MaybeJson(name) => ("application/json", name, false),
        Body::Patch(name) => ("application/merge-patch+json", name, true),
        Body::Lines(name) => (stream::LINES, name, true),
    };
    let content = match body {
        // OpenAPI 3.1 has no word for a body of many; each line is one of these.
        Body::Lines(_) => json!({"x-item-schema": schema(name), "schema": {"type": "string"}}),
        _ => json!({"schema": schema(name)}),
    };
    Some(json!({"required": required, "content": {media: content}}))
}

fn responses(operation: &Operation, examples: &Value) -> Value {
    let mut responses = Map::new();
    for (status, content) in operation.answers {
        let answer = answer(operation, *status, *content, examples);
        responses.insert(status.to_string(), answer);
    }
    let mut problems: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes(operation) {
        problems
            .entry(code.status().as_u16())
            .or_default()
            .push(code);
    }
    for (status, codes) in problems {
        responses.insert(status.to_string(), refusal(&codes));
    }
    Value::Object(responses)
}

/// What may come instead of a good answer.
fn codes(operation: &Operation) -> Vec<Code> {
    let mut codes = operation.refusals.to_vec();
    codes.extend([
        Code::UriTooLong,
        Code::HeadersTooLarge,
        Code::HostNotAllowed,
        Code::OriginNotAllowed,
        Code::Internal,
    ]);
    if operation.body_is_some() {
        codes.extend([Code::BodyTooLarge, Code::RequestTimeout]);
    }
    if permission(operation) != Permission::Open {
        codes.extend([Code::Unauthorized, Code::Forbidden, Code::RateLimited]);
    }
    if operation.path == "/readyz" {
        codes.extend([Code::DeadlineExceeded, Code::StoreNotReady]);
    }
    if operation.path.starts_with("/v1") {
        codes.extend([
            Code::Overloaded,
            Code::DeadlineExceeded,
            Code::StoreUnavailable,
            Code::StoreNotReady,
            Code::StoreClosed,
            Code::StoreCorrupt,
            Code::StoreError,
        ]);
    }
    if operation.method != "GET" {
        codes.extend([
            Code::Contended,
            Code::OutcomeUnknown,
            Code::StoreReadOnly,
            Code::StoreFull,
            Code::StoreRejected,
        ]);
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn refusal(codes: &[Code]) -> Value {
    let lines = codes
        .iter()
        .map(|code| format!("`{}`: {}.", code.as_str(), code.title()));
    let example = |code: &Code| {
        let (detail, _) = explained(*code).unwrap_or_default();
        let instance = "urn:uuid:019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";
        let value = json!({
            "type": format!("/problems/{}", code.as_str()),
            "code": code.as_str(),
            "title": code.title(),
            "status": code.status().as_u16(),
            "detail": detail,
            "instance": instance,
        });
        (code.as_str().to_owned(), json!({"value": value}))
    };
    let examples: Map<String, Value> = codes.iter().map(example).collect();
    let mut headers =
        json!({"tenure-request-id": {"$ref": "#/components/headers/tenure_request_id"}});
    if codes.iter().any(|code| code.retry_after().is_some())
        && let Value::Object(headers) = &mut headers
    {
        let retry = json!({"$ref": "#/components/headers/retry_after"});
        headers.insert("retry-after".to_owned(), retry);
    }
    json!({
        "description": lines.collect::<Vec<_>>().join(" "),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema("Problem"), "examples": examples}},
    })
}

fn answer(operation: &Operation, status: u16, content: Content, examples: &Value) -> Value {
    let example = examples.get(format!("{} {status}", operation.id));
    let mut headers =
        json!({"tenure-request-id": {"$ref": "#/components/headers/tenure_request_id"}});
    let is_tenant = matches!(content, Content::Json("Tenant")) || status == 304;
    if is_tenant && let Value::Object(headers) = &mut headers {
        headers.insert(
            "etag".to_owned(),
            json!({"$ref": "#/components/headers/etag"}),
        );
        if operation.method != "GET" {
            for (name, part) in [
                ("tenure-effect", "tenure_effect"),
                ("idempotency-replayed", "idempotency_replayed"),
            ] {
                let part = json!({"$ref": format!("#/components/headers/{part}")});
                headers.insert(name.to_owned(), part);
            }
        }
        if status == 201 {
            headers.insert(
                "location".to_owned(),
                json!({"$ref": "#/components/headers/location"}),
            );
        }
    }
    let with_example = |mut media: Value| {
        if let (Value::Object(media), Some(example)) = (&mut media, example) {
            media.insert("example".to_owned(), example.clone());
        }
        media
    };
    let json_of =
        |schema: Value| json!({"application/json": with_example(json!({"schema": schema}))});
    let lines =
        |name| with_example(json!({"schema": {"type": "string"}, "x-item-schema": schema(name)}));
    let content = match content {
        Content::None => json!({}),
        Content::Json(name) => json_of(schema(name)),
        Content::Either(one, other) => json_of(json!({"anyOf": [schema(one), schema(other)]})),
        Content::Document => json_of(json!({"type": "object"})),
        Content::Lines(name) => json!({stream::LINES: lines(name)}),
        Content::Events(name) => json!({
            "application/json": with_example(json!({"schema": schema(name)})),
            stream::EVENTS: {
                "schema": {"type": "string"},
                "example": examples.get(format!("{} {status} events", operation.id)),
            },
        }),
        Content::Text => json!({"text/plain": with_example(json!({"schema": {"type": "string"}}))}),
        Content::Page => json!({"text/html": {"schema": {"type": "string"}}}),
    };
    let mut answer = json!({"description": said(status), "headers": headers});
    if let Value::Object(members) = &mut answer
        && content != json!({})
    {
        members.insert("content".to_owned(), content);
    }
    if let (Value::Object(members), Some(links)) = (&mut answer, links(operation, status)) {
        members.insert("links".to_owned(), links);
    }
    answer
}

const fn said(status: u16) -> &'static str {
    match status {
        201 => "It was made.",
        304 => "It is the same still.",
        _ => "It is so.",
    }
}

/// What can be done next with what was just made.
fn links(operation: &Operation, status: u16) -> Option<Value> {
    let (parameter, field, place) = match (operation.id, status) {
        ("createTenant", 201) => ("tenant", "id", "/v1/tenants/{tenant}"),
        ("createToken", 201) => ("name", "name", "/v1/tokens/{name}"),
        _ => return None,
    };
    let next = OPERATIONS.iter().filter(|next| {
        let rest = next.path.strip_prefix(place);
        // A tenant is applied by its name, and drift needs some first.
        rest.is_some() && !["applyTenant", "waiveDrift"].contains(&next.id)
    });
    let links: Map<String, Value> = next
        .map(|next| {
            let parameters = json!({parameter: format!("$response.body#/{field}")});
            let link = json!({"operationId": next.id, "parameters": parameters});
            (next.id.to_owned(), link)
        })
        .collect();
    Some(Value::Object(links))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let described: BTreeSet<_> = OPERATIONS
            .iter()
            .map(|row| (row.method, row.path))
            .collect();
        let ruled: BTreeSet<_> = RULES.iter().map(|rule| (rule.method, rule.path)).collect();
        assert_eq!(described, ruled);
        let ids: BTreeSet<_> = OPERATIONS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len(), "each has an id of its own");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_part_is_used() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(target)) = members.get("$ref") {
                        found.insert(target.clone());
                    }
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let mut parts = BTreeSet::new();
        for kind in ["schemas", "parameters", "headers"] {
            let names = document["components"][kind].as_object().unwrap().keys();
            parts.extend(names.map(|name| format!("#/components/{kind}/{name}")));
        }
        assert_eq!(found, parts);
    }
}
