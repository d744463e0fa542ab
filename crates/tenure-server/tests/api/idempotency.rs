//! Repeats: one key, one effect, one answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::conformance::{Fault, Faulty};
use tenure_server::api::{ApiOptions, Limits};
use tenure_server::server::ConnectionLimits;

use super::stores::each_store;
use super::support::{Server, memory};

#[tokio::test]
async fn p5_a_repeat_of_what_found_all_as_asked_is_told_that_again() {
    each_store(async |server| {
        let body = json!({"desired": {"a": 1}});
        let path = "/v1/tenants/acme";
        server.put(path, body.clone()).await.expect(201);
        let same = json!({"name": "acme", "desired": {"a": 1}});
        for (method, path, body) in [("PUT", path, body), ("POST", "/v1/tenants", same)] {
            for replayed in ["", "true"] {
                let ask = server.ask(method, path).header("idempotency-key", method);
                let told = ask.json(body.clone()).send().await.expect(200);
                assert_eq!(told.header("idempotency-replayed"), replayed);
                assert_eq!(told.header("location"), "");
                assert_eq!(told.revision(), 1);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn p5_a_repeat_with_the_key_gives_the_first_answer() {
    each_store(async |server| {
        let create = |key: &str, body: serde_json::Value| {
            server
                .ask("POST", "/v1/tenants")
                .header("idempotency-key", key)
                .json(body)
                .send()
        };
        let body = json!({"name": "acme", "desired": {"a": 1, "b": 2}});
        let first = create("\"k1\"", body).await.expect(201);
        assert_eq!(first.header("idempotency-replayed"), "");
        server
            .patch("/v1/tenants/acme", json!({"desired": {"a": 2}}))
            .await
            .expect(200);

        // Bare or quoted, in any order and spelling, it is the same request.
        let ask = server
            .ask("POST", "/v1/tenants")
            .header("idempotency-key", "k1");
        let ask = ask.header("content-type", "application/json");
        let text = r#"{ "desired": {"b": 2.0, "a": 1}, "name": "acme" }"#;
        let again = ask.raw(text).send().await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.header("tenure-effect"), "replayed");
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.body, first.body);

        let other = json!({"name": "acme", "desired": {"a": 3}});
        create("k1", other.clone())
            .await
            .refused(422, "idempotency_key_reused");
        let elsewhere = server
            .ask("PUT", "/v1/tenants/acme")
            .header("idempotency-key", "k1");
        let elsewhere = elsewhere.json(json!({"desired": {}})).send().await;
        elsewhere.refused(422, "idempotency_key_reused");
        // Another actor's key is another key.
        let ask = server
            .ask("POST", "/v1/tenants")
            .header("idempotency-key", "k1")
            .json(other);
        let theirs = ask.header("tenure-actor", "user:other").send().await;
        theirs.refused(409, "tenant_exists");
    })
    .await;
}

#[tokio::test]
async fn p5_what_changed_nothing_is_remembered_too() {
    each_store(async |server| {
        server.create("acme").await;
        let resume = || {
            let ask = server.ask("POST", "/v1/tenants/acme/resume");
            ask.header("idempotency-key", "once").send()
        };
        assert_eq!(
            resume().await.expect(200).header("tenure-effect"),
            "unchanged"
        );
        server
            .post("/v1/tenants/acme/suspend", json!({}))
            .await
            .expect(200);
        // Without the key this would resume it.
        let again = resume().await.expect(200);
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.revision(), 1);
        assert_eq!(server.get("/v1/tenants/acme").await.body["running"], false);
    })
    .await;
}

#[tokio::test]
async fn p5_a_delete_is_repeated_by_name_after_the_name_is_gone() {
    each_store(async |server| {
        let id = server.create("acme").await.id();
        let delete = |path: &'static str| {
            server
                .ask("DELETE", path)
                .header("idempotency-key", "bye")
                .send()
        };
        let first = delete("/v1/tenants/acme?message=done").await.expect(200);
        server.work_off(id).await;
        let again = delete("/v1/tenants/acme?message=done").await.expect(200);
        assert_eq!(again.body, first.body);
        delete("/v1/tenants/acme?message=other")
            .await
            .refused(422, "idempotency_key_reused");
        server
            .ask("DELETE", "/v1/tenants/acme")
            .send()
            .await
            .refused(404, "tenant_not_found");
    })
    .await;
}

#[tokio::test]
async fn p5_a_dry_run_leaves_the_key_unused_and_says_what_it_was_used_for() {
    each_store(async |server| {
        for (path, status, effect) in [
            ("/v1/tenants?dry_run=true", 200, "created"),
            ("/v1/tenants", 201, "created"),
            ("/v1/tenants?dry_run=true", 200, "replayed"),
        ] {
            let ask = server.ask("POST", path).header("idempotency-key", "k");
            let reply = ask
                .json(json!({"name": "acme", "desired": {}}))
                .send()
                .await;
            assert_eq!(reply.expect(status).header("tenure-effect"), effect);
        }
    })
    .await;
}

#[tokio::test]
async fn p5_a_lost_reply_of_the_store_is_resolved_before_the_answer() {
    let store = Arc::new(Faulty::scripted(
        memory(),
        [Fault::LoseReply, Fault::LoseReply],
    ));
    let server = Server::start(store, ApiOptions::default(), ConnectionLimits::default()).await;
    let made = server.create("acme").await;
    assert_eq!(made.header("tenure-effect"), "created");
    let history = server.get("/v1/tenants/acme/history").await.expect(200);
    assert_eq!(history.items("revision"), ["1"]);
    server.stop().await;
}

#[tokio::test]
async fn p5_an_unknown_outcome_is_resolved_by_the_same_request() {
    let store = Arc::new(Faulty::scripted(memory(), [Fault::LoseReply; 3]));
    let limits = Limits {
        request: Duration::from_millis(100),
        ..Limits::default()
    };
    let options = ApiOptions {
        limits,
        ..ApiOptions::default()
    };
    let server = Server::start(store, options, ConnectionLimits::default()).await;
    let create = || {
        let ask = server
            .ask("POST", "/v1/tenants")
            .header("idempotency-key", "k");
        ask.json(json!({"name": "acme", "desired": {}})).send()
    };
    let unknown = create().await.refused(503, "outcome_unknown");
    assert_eq!(unknown.header("retry-after"), "1");
    assert!(
        unknown.text("detail").contains("same Idempotency-Key"),
        "{unknown:?}"
    );
    let known = create().await.expect(201);
    assert_eq!(known.header("idempotency-replayed"), "true");
    server.stop().await;
}

#[tokio::test]
async fn a_store_that_is_away_is_told_apart_from_an_unknown_outcome() {
    let store = Arc::new(Faulty::scripted(memory(), [Fault::FailBefore]));
    let server = Server::start(store, ApiOptions::default(), ConnectionLimits::default()).await;
    let body = json!({"name": "acme", "desired": {}});
    let away = server
        .post("/v1/tenants", body)
        .await
        .refused(503, "store_unavailable");
    assert_eq!(away.header("retry-after"), "5");
    assert!(
        away.text("detail").contains("nothing was written"),
        "{away:?}"
    );
    server.create("acme").await;
    server.stop().await;
}
