//! The contract `tenure.provisioner/v1`: what goes to a provisioner.

use serde::Serialize;
use serde_json::Value;
use tenure::{
    Annotations, ClassName, Document, Fence, Generation, Labels, Operation, TenantId, TenantName,
};

use super::Call;

/// The name of the contract, in every request and every line of an answer.
pub const CONTRACT: &str = "tenure.provisioner/v1";

/// The JSON Schema of a request.
pub const REQUEST_SCHEMA: &str =
    include_str!("../../../../docs/reference/provisioner.request.schema.json");

/// The JSON Schema of one line of an answer.
pub const ANSWER_SCHEMA: &str =
    include_str!("../../../../docs/reference/provisioner.answer.schema.json");

#[derive(Serialize)]
struct Request<'a> {
    contract: &'static str,
    operation: Operation,
    operation_id: String,
    tenant: RequestTenant<'a>,
    generation: Generation,
    fence: Fence,
    desired: &'a Value,
    running: bool,
    observed: Option<&'a Document>,
    resources: &'a [String],
}

#[derive(Serialize)]
struct RequestTenant<'a> {
    id: TenantId,
    name: &'a TenantName,
    class: &'a ClassName,
    labels: &'a Labels,
    annotations: &'a Annotations,
}

/// The request, as one line. `desired` is the tenant's, with its secrets in place.
pub(crate) fn request(call: &Call, desired: &Value) -> Result<Vec<u8>, serde_json::Error> {
    let tenant = &call.tenant;
    let mut line = serde_json::to_vec(&Request {
        contract: CONTRACT,
        operation: call.operation,
        operation_id: call.operation_id(),
        tenant: RequestTenant {
            id: tenant.id,
            name: &tenant.name,
            class: &tenant.class,
            labels: &tenant.labels,
            annotations: &tenant.annotations,
        },
        generation: tenant.generation,
        fence: call.fence,
        desired,
        running: tenant.running,
        observed: tenant.observed.as_ref(),
        resources: &tenant.resources,
    })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jsonschema::Validator;
    use serde_json::json;
    use tenure::{
        Change, Clock as _, Command, Context, Decision, Message, SystemClock, Tenant, Wanted,
        decide,
    };
    use uuid::Uuid;

    use super::*;
    use crate::provisioner::reading::Reading;

    fn validator(schema: &str) -> Validator {
        let schema = serde_json::from_str(schema).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{e}"));
        jsonschema::draft202012::new(&schema).unwrap()
    }

    fn tenant(wanted: &Value) -> Tenant {
        let context = Context {
            at: SystemClock.now(),
            actor: "user:test".parse().unwrap(),
            request_id: Uuid::from_u128(1),
            message: Message::none(),
        };
        let texts = |key: &str| serde_json::from_value(wanted[key].clone()).ok();
        let wanted = Wanted {
            id: TenantId::new(Uuid::from_u128(7)),
            name: wanted["name"].as_str().unwrap().parse().unwrap(),
            class: wanted["class"].as_str().map(|class| class.parse().unwrap()),
            labels: serde_json::from_value(wanted["labels"].clone()).ok(),
            annotations: texts("annotations"),
            desired: Document::from_value(&wanted["desired"]).unwrap(),
            running: wanted["running"].as_bool(),
        };
        let Decision::Change(change) = decide(None, &Command::Create(wanted), &context) else {
            panic!("a tenant can be created")
        };
        Change::tenant(&change).clone()
    }

    #[test]
    fn each_request_keeps_its_schema() {
        let schema = validator(REQUEST_SCHEMA);
        let mut seen = 0;
        for wanted in [
            json!({"name": "a", "desired": {}}),
            json!({"name": "a-1", "class": "x", "labels": {"a.b/c": "d"}, "desired": {"p": "q"}}),
            json!({"name": "9".repeat(63), "annotations": {"n": "\n é"}, "desired": {"l": [1, null]}, "running": false}),
            json!({"name": "b", "desired": {"p": {"secret_ref": "env:X"}, "deep": [{"a": 1.5}]}}),
        ] {
            let mut tenant = tenant(&wanted);
            for (observed, resources) in [
                (None, vec![]),
                (Some(Document::empty()), vec!["db:é".to_owned()]),
            ] {
                tenant.observed = observed;
                tenant.resources = resources;
                for operation in [Operation::Apply, Operation::Observe, Operation::Destroy] {
                    let call = Call {
                        operation,
                        tenant: tenant.clone(),
                        fence: Fence::new(1),
                    };
                    let mut resolved = wanted["desired"].clone();
                    if let Some(secret) = resolved.get_mut("p") {
                        *secret = json!("a secret's text");
                    }
                    let request = request(&call, &resolved).unwrap();
                    let request: Value = serde_json::from_slice(&request).unwrap();
                    assert_eq!(request["desired"], resolved);
                    schema
                        .validate(&request)
                        .unwrap_or_else(|e| panic!("{e}: {request}"));
                    seen += 1;
                    for field in request.as_object().unwrap().keys() {
                        let mut less = request.clone();
                        less.as_object_mut().unwrap().remove(field);
                        assert!(!schema.is_valid(&less), "{field} may be missing");
                    }
                }
            }
        }
        assert_eq!(seen, 24);
    }

    fn is_taken(line: &str) -> bool {
        Reading::new("op".to_owned(), Arc::default())
            .line(line.as_bytes())
            .is_ok()
    }

    /// Lines of answers without their head, and whether they are good.
    const LINES: [(&str, bool); 42] = [
        (r#""result":"progress""#, true),
        (r#""result":"progress","message":"m""#, true),
        (r#""result":"progress","message":null,"steps":null"#, true),
        (r#""result":"progress","steps":[]"#, true),
        (
            r#""result":"progress","steps":[{"name":"a","state":"pending"},{"name":"b","state":"skipped","message":"m","percent":100}]"#,
            true,
        ),
        (
            r#""result":"progress","steps":[{"name":"a","state":"running","message":null,"percent":null,"new":1}],"new":{}"#,
            true,
        ),
        (
            r#""result":"progress","observed":3,"resources":3,"reason":3"#,
            true,
        ),
        (r#""result":"done""#, true),
        (
            r#""result":"done","observed":null,"resources":null,"message":null,"steps":null"#,
            true,
        ),
        (
            r#""result":"done","observed":{"a":{"b":[1]}},"resources":["x"],"message":"m","steps":[{"name":"a","state":"done"}]"#,
            true,
        ),
        (r#""result":"done","observd":3,"permanent":"x""#, true),
        (r#""result":"failed","reason":"Full","message":"""#, true),
        (
            r#""result":"failed","reason":"A1b","message":"m","permanent":true,"retry_after_seconds":0"#,
            true,
        ),
        (
            r#""result":"failed","reason":"Full","message":"m","retry_after_seconds":null,"observed":3,"steps":[{"name":"a","state":"failed"}]"#,
            true,
        ),
        (r#""results":"done""#, false),
        (r#""result":null"#, false),
        (r#""result":"ok""#, false),
        (r#""result":"progress","message":3"#, false),
        (r#""result":"progress","steps":{}"#, false),
        (r#""result":"progress","steps":["a"]"#, false),
        (r#""result":"progress","steps":[{"state":"done"}]"#, false),
        (r#""result":"progress","steps":[{"name":"a"}]"#, false),
        (
            r#""result":"progress","steps":[{"name":"","state":"done"}]"#,
            false,
        ),
        (
            r#""result":"progress","steps":[{"name":"a\nb","state":"done"}]"#,
            false,
        ),
        (
            r#""result":"progress","steps":[{"name":"a\u0085b","state":"done"}]"#,
            false,
        ),
        (
            r#""result":"progress","steps":[{"name":"a","state":"Done"}]"#,
            false,
        ),
        (
            r#""result":"progress","steps":[{"name":"a","state":"done","percent":101}]"#,
            false,
        ),
        (
            r#""result":"progress","steps":[{"name":"a","state":"done","percent":-1}]"#,
            false,
        ),
        (
            r#""result":"progress","steps":[{"name":"a","state":"done","percent":1.5}]"#,
            false,
        ),
        (
            r#""result":"progress","steps":[{"name":"a","state":"done","message":[]}]"#,
            false,
        ),
        (r#""result":"done","observed":[]"#, false),
        (r#""result":"done","observed":"x""#, false),
        (r#""result":"done","resources":["a",1]"#, false),
        (r#""result":"done","resources":{}"#, false),
        (r#""result":"done","steps":3"#, false),
        (r#""result":"failed","message":"m""#, false),
        (r#""result":"failed","reason":"Full""#, false),
        (r#""result":"failed","reason":"Full","message":null"#, false),
        (r#""result":"failed","reason":"full","message":"m""#, false),
        (
            r#""result":"failed","reason":"No Word","message":"m""#,
            false,
        ),
        (
            r#""result":"failed","reason":"Full","message":"m","permanent":null"#,
            false,
        ),
        (
            r#""result":"failed","reason":"Full","message":"m","retry_after_seconds":-1"#,
            false,
        ),
    ];

    #[test]
    fn parser_and_schema_take_the_same_lines() {
        let schema = validator(ANSWER_SCHEMA);
        for (fields, good) in LINES {
            let line = format!(r#"{{"contract":"{CONTRACT}","operation_id":"op",{fields}}}"#);
            let value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (is_taken(&line), schema.is_valid(&value)),
                (good, good),
                "{line}"
            );
        }
        let name = |length: usize| {
            format!(
                r#"{{"contract":"{CONTRACT}","operation_id":"op","result":"progress","steps":[{{"name":"{}","state":"done"}}]}}"#,
                "x".repeat(length)
            )
        };
        for (line, good) in [
            (name(100), true),
            (name(101), false),
            (r#"{"operation_id":"op","result":"done"}"#.to_owned(), false),
            (
                r#"{"contract":"tenure.provisioner/v2","operation_id":"op","result":"done"}"#
                    .to_owned(),
                false,
            ),
            (
                format!(r#"{{"contract":"{CONTRACT}","result":"done"}}"#),
                false,
            ),
            (
                format!(r#"{{"contract":"{CONTRACT}","operation_id":1,"result":"done"}}"#),
                false,
            ),
            ("[]".to_owned(), false),
            ("3".to_owned(), false),
        ] {
            let value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (is_taken(&line), schema.is_valid(&value)),
                (good, good),
                "{line}"
            );
        }
    }

    #[test]
    fn the_examples_of_the_reference_are_answers() {
        let schema = validator(ANSWER_SCHEMA);
        let reference = include_str!("../../../../docs/reference/provisioner.md");
        let mut seen = 0;
        for example in reference.split("```json\n").skip(1) {
            let (example, _) = example.split_once("```").unwrap();
            for line in example.lines().filter(|line| line.contains("\"contract\"")) {
                let value = serde_json::from_str(line).unwrap();
                schema
                    .validate(&value)
                    .unwrap_or_else(|e| panic!("{e}: {line}"));
                assert!(is_taken(&line.replace('…', "op")), "{line}");
                seen += 1;
            }
        }
        assert_eq!(seen, 3);
    }
}
