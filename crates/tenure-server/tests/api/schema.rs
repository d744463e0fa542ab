//! Schemas and defaults of classes: what they refuse, and what they leave alone.

use std::sync::Arc;

use serde_json::{Value, json};
use tenure::{ClassName, Document, Engine, Store};
use tenure_server::api::{ApiOptions, ApiState};
use tenure_server::classes::{Classes, Schema};
use tenure_server::server::ConnectionLimits;

use crate::support::{Server, memory};

/// A schema, by way of a file, as the configuration has it.
fn schema(text: &Value) -> Schema {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text.to_string()).unwrap();
    Schema::read(file.path()).unwrap()
}

fn shop() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["plan", "seats"],
        "properties": {
            "plan": {"enum": ["free", "gold"]},
            "seats": {"type": "integer", "minimum": 1},
            "mail": {"type": "string", "format": "email", "maxLength": 40},
            "password": {"type": "string", "pattern": "^[0-9]{8}$", "minLength": 8},
            "token": {"oneOf": [{"type": "string", "minLength": 90}, {"type": "boolean"}]},
            "kind": {"const": "shop"},
            "hosts": {"type": "array", "items": {"type": "string"}, "uniqueItems": true}
        }
    })
}

/// A server with the classes `default` and `shop`; only `shop` asks for anything.
async fn serve(store: Arc<dyn Store>, shop: &Value, defaults: &Value) -> Server {
    let (plain, named): (ClassName, ClassName) = (ClassName::default(), "shop".parse().unwrap());
    let defaults = Document::from_value(defaults).unwrap();
    let classes = Classes::new([
        (plain.clone(), None, Document::empty()),
        (named.clone(), Some(schema(shop)), defaults),
    ]);
    let options = ApiOptions {
        classes: [plain, named].into(),
        ..ApiOptions::default()
    };
    let engine = Engine::with_rules(Arc::clone(&store), Arc::new(classes));
    let api = ApiState::new(engine, options);
    Server::start_with(store, api, ConnectionLimits::default()).await
}

async fn usual() -> Server {
    serve(memory(), &shop(), &json!({"plan": "free"})).await
}

fn wanted(desired: &Value) -> Value {
    json!({"class": "shop", "desired": desired})
}

#[tokio::test]
async fn what_breaks_the_schema_is_refused_by_place_and_rule_and_never_with_its_value() {
    let server = usual().await;
    for (desired, says) in [
        (
            json!({"seats": "hunter2"}),
            "/seats must be of type integer",
        ),
        (json!({"seats": 0}), "/seats must be at least 1"),
        (
            json!({"plan": "hunter2", "seats": 1}),
            r#"/plan must be one of ["free","gold"]"#,
        ),
        (json!({}), "/seats is missing"),
        (
            json!({"seats": 1, "x/y": "hunter2"}),
            "/x~1y is not a property of this class",
        ),
        (
            json!({"seats": 1, "mail": "hunter2"}),
            "/mail must be of the format email",
        ),
        (
            json!({"seats": 1, "password": "hunter2"}),
            "/password must have at least 8 characters; /password must match the pattern ^[0-9]{8}$",
        ),
        (
            json!({"seats": 1, "token": "hunter2"}),
            "/token satisfies none of oneOf",
        ),
        (
            json!({"seats": 1, "kind": "hunter2"}),
            r#"/kind must be "shop""#,
        ),
        (
            json!({"seats": 1, "hosts": ["a", 7]}),
            "/hosts/1 must be of type string",
        ),
        (
            json!({"seats": 1, "hosts": ["hunter2", "hunter2"]}),
            "/hosts must not have two items that are equal",
        ),
    ] {
        for path in ["/v1/tenants/acme", "/v1/tenants/acme?dry_run=true"] {
            let refused = server.put(path, wanted(&desired)).await;
            let refused = refused.refused(422, "schema_violation");
            let detail = refused.text("detail");
            assert!(detail.contains("does not satisfy the schema of class shop"));
            assert!(detail.contains(says), "{desired}: {detail}");
            assert!(!refused.body.to_string().contains("hunter2"), "{detail}");
        }
        let mut body = wanted(&desired);
        body["name"] = "acme".into();
        let refused = server.post("/v1/tenants", body).await;
        refused.refused(422, "schema_violation");
    }
    let listed = server.get("/v1/tenants").await.expect(200);
    assert!(listed.items("name").is_empty(), "something was written");
    server.stop().await;
}

#[tokio::test]
async fn ten_places_are_named_and_the_rest_is_counted() {
    let server = usual().await;
    let mut desired: Value = (0..14).map(|n| (format!("k{n:02}"), json!(n))).collect();
    desired["seats"] = 1.into();
    let refused = server.put("/v1/tenants/a", wanted(&desired)).await;
    let refused = refused.refused(422, "schema_violation");
    let detail = refused.text("detail");
    assert!(
        detail.contains("/k09 is not") && detail.ends_with("; and 4 more"),
        "{detail}"
    );
    assert!(!detail.contains("/k10"), "{detail}");
    server.stop().await;
}

#[tokio::test]
async fn a_patch_is_checked_as_what_it_leads_to() {
    let server = usual().await;
    let made = server
        .put("/v1/tenants/acme", wanted(&json!({"seats": 1})))
        .await
        .expect(201);
    for (patch, says) in [
        (json!({"seats": 0}), "/seats must be at least 1"),
        (json!({"plan": null}), "/plan is missing"),
        (json!({"more": 1}), "/more is not a property"),
    ] {
        for path in ["/v1/tenants/acme", "/v1/tenants/acme?dry_run=true"] {
            let refused = server.patch(path, json!({"desired": patch})).await;
            let refused = refused.refused(422, "schema_violation");
            assert!(refused.text("detail").contains(says), "{refused:?}");
            assert_eq!(refused.body["state"], "requested");
            assert!(
                refused.body["allowed"]
                    .as_array()
                    .unwrap()
                    .contains(&"patch".into())
            );
        }
    }
    let good = json!({"desired": {"seats": 2}});
    let changed = server.patch("/v1/tenants/acme", good).await.expect(200);
    assert_eq!(changed.body["desired"], json!({"plan": "free", "seats": 2}));
    assert_eq!(changed.body["revision"], 2);
    // What says nothing of `desired` is not checked.
    let labels = json!({"labels": {"tier": "gold"}});
    server.patch("/v1/tenants/acme", labels).await.expect(200);
    server.work_off(made.id()).await;
    server.stop().await;
}

#[tokio::test]
async fn defaults_are_recorded_and_applying_the_same_again_is_unchanged() {
    let server = serve(
        memory(),
        &json!({}),
        &json!({"plan": "free", "limits": {"gb": 1}}),
    )
    .await;
    let body = wanted(&json!({"limits": {"seats": 3}}));
    let preview = server
        .put("/v1/tenants/acme?dry_run=true", body.clone())
        .await;
    let made = server
        .put("/v1/tenants/acme", body.clone())
        .await
        .expect(201);
    let whole = json!({"plan": "free", "limits": {"gb": 1, "seats": 3}});
    assert_eq!(
        (&preview.body["desired"], &made.body["desired"]),
        (&whole, &whole)
    );
    // With its class, and without: then it is the class that it has.
    for body in [body.clone(), json!({"desired": {"limits": {"seats": 3}}})] {
        let again = server.put("/v1/tenants/acme", body).await.expect(200);
        assert_eq!(again.header("tenure-effect"), "unchanged");
        assert_eq!(again.body["revision"], 1);
    }
    let mut create = body;
    create["name"] = "acme".into();
    let again = server.post("/v1/tenants", create).await.expect(200);
    assert_eq!(again.header("tenure-effect"), "unchanged");
    // A tenant of another class has none of them.
    let plain = server.create("plain").await;
    assert_eq!(plain.body["desired"], json!({"plan": "gold"}));
    server.stop().await;
}

#[tokio::test]
async fn a_class_that_is_not_configured_is_refused_still() {
    let server = usual().await;
    let body = json!({"class": "shops", "desired": {}});
    let refused = server.put("/v1/tenants/acme", body).await;
    let refused = refused.refused(422, "unknown_class");
    assert!(refused.text("detail").contains("default, shop"));
    server.stop().await;
}

#[tokio::test]
async fn of_a_secret_only_the_type_is_checked() {
    let server = usual().await;
    let secret = json!({"secret_ref": "env:P"});
    let desired = json!({
        "seats": 1, "mail": secret, "password": secret, "token": secret, "kind": secret,
        "plan": secret, "hosts": [{"secret_ref": "env:A"}, {"secret_ref": "env:B"}]
    });
    server
        .put("/v1/tenants/acme", wanted(&desired))
        .await
        .expect(201);
    for (desired, says) in [
        (json!({"seats": secret}), "/seats must be of type integer"),
        (
            json!({"seats": 1, "password": {"secret_ref": "env:P", "more": 1}}),
            "/password must be of type string",
        ),
        (
            json!({"seats": 1, "password": {"secret_ref": 7}}),
            "/password must be of type string",
        ),
        (
            json!({"seats": 1, "nobody": secret}),
            "/nobody is not a property",
        ),
        (
            json!({"seats": 1, "hosts": secret}),
            "/hosts must be of type array",
        ),
    ] {
        let refused = server.put("/v1/tenants/acme", wanted(&desired)).await;
        let refused = refused.refused(422, "schema_violation");
        assert!(refused.text("detail").contains(says), "{refused:?}");
        assert!(!refused.body.to_string().contains("env:P"), "{refused:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_schema_that_changed_breaks_no_tenant_that_is_stored() {
    let store = memory();
    let server = serve(Arc::clone(&store), &json!({}), &json!({})).await;
    let body = wanted(&json!({"plan": "silver"}));
    let id = server
        .put("/v1/tenants/acme", body.clone())
        .await
        .expect(201)
        .id();
    server.work_off(id).await;
    server
        .post("/v1/tenants/acme/suspend", json!({}))
        .await
        .expect(200);
    server.work_off(id).await;

    let strict = serve(store, &shop(), &json!({})).await;
    let found = strict.get("/v1/tenants/acme").await.expect(200);
    assert_eq!(found.body["state"], "suspended");
    // Asking for what is already so writes nothing, so nothing is checked.
    strict.put("/v1/tenants/acme", body).await.expect(200);
    let changed = wanted(&json!({"plan": "bronze"}));
    let refused = strict.put("/v1/tenants/acme", changed).await;
    refused.refused(422, "schema_violation");
    strict
        .post("/v1/tenants/acme/resume", json!({}))
        .await
        .expect(200);
    assert_eq!(strict.work_off(id).await.state, tenure::State::Ready);
    for verb in ["hold", "release", "retry"] {
        let path = format!("/v1/tenants/acme/{verb}");
        strict.post(&path, json!({})).await.expect(200);
    }
    let mended = wanted(&json!({"plan": "gold", "seats": 3}));
    strict.put("/v1/tenants/acme", mended).await.expect(200);
    strict
        .ask("DELETE", "/v1/tenants/acme")
        .send()
        .await
        .expect(200);
    assert_eq!(strict.work_off(id).await.state, tenure::State::Deleted);
    drop(server);
    strict.stop().await;
}
