//! Holds every answer of these tests to the document that describes the API.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use axum::http::{HeaderMap, Method};
use jsonschema::Validator;
use serde_json::{Value, json};
use tenure_server::api::openapi_document;

/// The document, in which no object may have a field that is not described.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = openapi_document();
    close(&mut document["components"]["schemas"]);
    document
});

static VALIDATORS: LazyLock<Mutex<BTreeMap<String, &'static Validator>>> =
    LazyLock::new(Mutex::default);

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The operation that a request is for, if it is described.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap();
    let fits = |template: &str| {
        let (parts, named) = (path.split('/'), template.split('/'));
        parts.clone().count() == named.clone().count()
            && parts
                .zip(named)
                .all(|(part, name)| part == name || (name.starts_with('{') && !part.is_empty()))
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let (_, methods) = paths.iter().find(|(template, _)| fits(template))?;
    methods.get(method.as_str().to_ascii_lowercase())
}

/// What is wrong with a value, by a schema of the document.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut validators = VALIDATORS.lock().unwrap();
    let validator = *validators.entry(schema.to_string()).or_insert_with(|| {
        let whole = json!({"allOf": [schema], "components": DOCUMENT["components"]});
        Box::leak(Box::new(jsonschema::validator_for(&whole).unwrap()))
    });
    drop(validators);
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// What was asked, and of whom.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    /// Whether the store is broken on purpose: then it says what no store would in its place.
    pub(crate) broken: bool,
}

/// Fails if an answer is not as the document says.
pub(crate) fn check(asked: &Asked<'_>, status: u16, headers: &HeaderMap, body: &[u8]) {
    let Asked {
        method,
        path,
        broken,
    } = *asked;
    let Some(operation) = operation(method, path) else {
        return;
    };
    let what = format!("{method} {path} answers {status}");
    let answer = &operation["responses"][status.to_string()];
    if broken && !answer.is_object() {
        return;
    }
    assert!(answer.is_object(), "{what}, which is not described");
    let media = headers
        .get("content-type")
        .map_or("", |value| value.to_str().unwrap());
    let media = media.split(';').next().unwrap();
    if body.is_empty() && answer.get("content").is_none() {
        return;
    }
    let content = &answer["content"][media];
    assert!(
        content.is_object(),
        "{what} with {media}, which is not described"
    );
    for name in answer["headers"].as_object().unwrap().keys() {
        let optional = ["retry-after", "idempotency-replayed", "etag"].contains(&name.as_str());
        assert!(
            optional || headers.contains_key(name),
            "{what} without {name}"
        );
    }
    let values: Vec<(&Value, Value)> = if let Some(schema) = content.get("x-item-schema") {
        let lines = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| (schema, serde_json::from_slice(line).unwrap()))
            .collect()
    } else if media.ends_with("json") {
        vec![(&content["schema"], serde_json::from_slice(body).unwrap())]
    } else {
        Vec::new()
    };
    for (schema, value) in values {
        let faults = faults(schema, &value);
        assert!(
            faults.is_empty(),
            "{what}, not as described: {faults:#?}\n{value:#}"
        );
    }
    if status >= 400 && media == "application/problem+json" {
        let problem: Value = serde_json::from_slice(body).unwrap();
        let code = problem["code"].as_str().unwrap();
        let known = broken || content["examples"].get(code).is_some();
        assert!(known, "{what} with {code}, which is not described");
    }
}
