//! Drift: where it is, and what can be done about it.

use serde_json::{Value, json};
use tenure::Correction;

use super::stores::each_store;
use super::support::{Reply, Server};

/// Makes a tenant that has reached what is wanted, and then looks otherwise.
async fn drifted(server: &Server, name: &str, seen: Value) -> Reply {
    let body = json!({
        "name": name,
        "desired": {"plan": "gold", "limits": {"seats": 3}},
        "labels": {"tier": name},
    });
    let id = server.post("/v1/tenants", body).await.expect(201).id();
    server.work_off(id).await;
    let tenant = server.look(id, seen, Correction::None).await;
    assert!(tenant.conditions.drifted.is_some(), "{tenant:?}");
    server.get(&format!("/v1/tenants/{id}")).await.expect(200)
}

#[tokio::test]
async fn drift_is_listed_with_what_is_wanted_and_what_was_found() {
    each_store(async |server| {
        let seen = json!({"plan": "silver", "limits": {"seats": 5}});
        let one = drifted(server, "acme", seen).await;
        drifted(server, "globex", json!({"plan": "gold"})).await;
        let fine = server.create("initech").await.id();
        server.work_off(fine).await;

        let page = server.get("/v1/drift").await.expect(200);
        assert_eq!(page.items("name"), ["acme", "globex"]);
        assert_eq!(page.body["next"], Value::Null);
        let item = &page.body["items"][0];
        let since = &one.body["conditions"]["drifted"]["since"];
        let path = |path: &str, wanted: Value, found: Value| json!({"path": path, "wanted": wanted, "found": found, "since": since});
        assert_eq!(
            item,
            &json!({
                "id": one.body["id"],
                "name": "acme",
                "class": "default",
                "state": "ready",
                "revision": one.body["revision"],
                "since": since,
                "last_seen": one.body["work"]["checked_at"],
                "budget_spent": false,
                "paths": [
                    path("/limits/seats", 3.into(), 5.into()),
                    path("/plan", "gold".into(), "silver".into()),
                ],
                "waivers": [],
            })
        );
        assert_eq!(page.body["items"][1]["paths"][0]["found"], Value::Null);

        let tier = server.get("/v1/drift?selector=tier%3Dglobex").await;
        assert_eq!(tier.items("name"), ["globex"]);
        let other = server.get("/v1/drift?class=other").await.expect(200);
        assert!(other.items("name").is_empty());
        let mut names = Vec::new();
        let mut path = "/v1/drift?page_size=1&order=desc".to_owned();
        while let Some(next) = {
            let page = server.get(&path).await.expect(200);
            names.extend(page.items("name"));
            page.body["next"].as_str().map(str::to_owned)
        } {
            path = format!("/v1/drift?page_size=1&order=desc&page_token={next}");
        }
        assert_eq!(names, ["globex", "acme"]);
        let foreign = server.get("/v1/tenants?page_size=1").await;
        let foreign = format!("/v1/drift?page_token={}", foreign.text("next"));
        server.get(&foreign).await.refused(400, "cursor_invalid");
        server.get("/v1/drift?state=ready").await.refused(422, "invalid");
    })
    .await;
}

#[tokio::test]
async fn accept_takes_over_what_was_found() {
    each_store(async |server| {
        let seen = json!({"plan": "gold", "limits": {"seats": 5}});
        let id = drifted(server, "acme", seen).await.id();
        let accept = || {
            let ask = server.ask("POST", "/v1/tenants/acme/accept");
            ask.header("idempotency-key", "once")
                .json(json!({"message": "sold more"}))
        };
        let accepted = accept().send().await.expect(200);
        assert_eq!(accepted.header("tenure-effect"), "changed");
        assert_eq!(accepted.body["desired"]["limits"]["seats"], 5);
        assert_eq!(accepted.text("state"), "updating");
        assert_eq!(
            accept().send().await.expect(200).header("tenure-effect"),
            "replayed"
        );
        assert_eq!(server.work_off(id).await.state, tenure::State::Ready);
        assert!(server.get("/v1/drift").await.items("name").is_empty());
        // Nothing has drifted, so all is accepted already.
        let again = server.ask("POST", "/v1/tenants/acme/accept").send().await;
        assert_eq!(again.expect(200).header("tenure-effect"), "unchanged");
        let path = "/v1/tenants/acme/accept";
        let odd = server.post(path, json!({"path": "/plan"})).await;
        odd.refused(422, "invalid");
    })
    .await;
}

#[tokio::test]
async fn a_waiver_lets_drift_not_count_until_it_ends() {
    each_store(async |server| {
        let seen = json!({"plan": "gold", "limits": {"seats": 5}});
        let id = drifted(server, "acme", seen.clone()).await.id();
        let path = "/v1/tenants/acme/waive";
        let until = "2999-12-01T00:00:00.000000Z";
        let body = json!({"path": "/limits", "until": until, "message": "trial"});
        let waived = server.post(path, body.clone()).await.expect(200);
        assert_eq!(waived.header("tenure-effect"), "changed");
        assert_eq!(waived.body["conditions"], json!({}));
        let told = &waived.body["waivers"][0];
        assert_eq!(
            (&told["path"], &told["until"]),
            (&body["path"], &body["until"])
        );
        assert_eq!(told["message"], "trial");
        let again = server.post(path, body).await.expect(200);
        assert_eq!(again.header("tenure-effect"), "unchanged");
        let tenant = server.look(id, seen.clone(), Correction::None).await;
        assert!(tenant.conditions.is_empty(), "{tenant:?}");

        let end = json!({"path": "/limits", "until": "1970-01-01T00:00:00Z"});
        let ended = server.post(path, end).await.expect(200);
        assert_eq!(ended.body["waivers"], Value::Null);
        let tenant = server.look(id, seen, Correction::None).await;
        assert!(tenant.conditions.drifted.is_some(), "{tenant:?}");
    })
    .await;
}

#[tokio::test]
async fn a_waiver_that_says_too_little_or_too_much_is_refused() {
    let server = Server::usual().await;
    server.create("acme").await;
    for (body, says) in [
        (json!({"path": "/plan"}), "missing field `until`"),
        (
            json!({"until": "2999-12-01T00:00:00Z"}),
            "missing field `path`",
        ),
        (
            json!({"path": "plan", "until": "2999-12-01T00:00:00Z"}),
            "path must be a JSON Pointer",
        ),
        (
            json!({"path": "/plan", "until": "tomorrow"}),
            "time must be RFC 3339",
        ),
        (
            json!({"path": "/plan", "until": "2999-12-01T00:00:00Z", "why": "x"}),
            "unknown field `why`",
        ),
    ] {
        let refused = server.post("/v1/tenants/acme/waive", body.clone()).await;
        let refused = refused.refused(422, "invalid");
        assert!(refused.text("detail").contains(says), "{body}: {refused:?}");
    }
    let bare = server.ask("POST", "/v1/tenants/acme/waive").send().await;
    bare.refused(415, "unsupported_media_type");
    server
        .ask("DELETE", "/v1/tenants/acme")
        .send()
        .await
        .expect(200);
    let gone = server.ask("POST", "/v1/tenants/acme/accept").send().await;
    gone.refused(409, "tenant_deleting");
    server.stop().await;
}
