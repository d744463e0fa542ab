//! Commands: what they answer, and what they write.

use serde_json::json;

use super::stores::each_store;

#[tokio::test]
async fn a_tenant_is_created_once_and_found_by_name_and_id() {
    each_store(async |server| {
        let body = json!({
            "name": "acme", "desired": {"plan": "gold", "seats": 10}, "labels": {"tier": "a"},
            "annotations": {"note": "first"}, "running": true, "message": "signed today",
        });
        let ask = server.ask("POST", "/v1/tenants").json(body.clone());
        let made = ask
            .header("tenure-actor", "user:maria")
            .send()
            .await
            .expect(201);
        assert_eq!(made.header("tenure-effect"), "created");
        assert_eq!(made.revision(), 1);
        assert_eq!(
            made.header("location"),
            format!("/v1/tenants/{}", made.id())
        );
        assert_eq!(made.text("state"), "requested");
        assert_eq!(made.body["labels"], json!({"tier": "a"}));

        for path in [made.header("location"), "/v1/tenants/acme"] {
            let got = server.get(path).await.expect(200);
            assert_eq!(got.body["desired"], json!({"plan": "gold", "seats": 10}));
            assert_eq!(got.body["hash"], made.body["hash"]);
            assert!(got.body["work"]["due_at"].is_string(), "{got:?}");
        }
        let history = server.get("/v1/tenants/acme/history").await.expect(200);
        let line = &history.body["items"][0];
        assert_eq!(line["actor"], "user:maria");
        assert_eq!(line["message"], "signed today");
        assert_eq!(line["request_id"], made.header("tenure-request-id"));

        let again = server.post("/v1/tenants", body).await.expect(200);
        assert_eq!(again.header("tenure-effect"), "unchanged");
        assert_eq!(again.body, made.body);
        let other = json!({"name": "acme", "desired": {"plan": "silver"}});
        let refused = server
            .post("/v1/tenants", other)
            .await
            .refused(409, "tenant_exists");
        assert_eq!(refused.body["state"], "requested");
        assert!(
            refused.body["allowed"]
                .as_array()
                .unwrap()
                .contains(&json!("apply"))
        );
    })
    .await;
}

#[tokio::test]
async fn applying_creates_changes_or_does_nothing() {
    each_store(async |server| {
        let path = "/v1/tenants/acme";
        let one = json!({"desired": {"a": 1}, "labels": {"k": "v"}});
        let made = server.put(path, one.clone()).await.expect(201);
        assert_eq!(
            made.header("location"),
            format!("/v1/tenants/{}", made.id())
        );
        let same = server.put(path, one).await.expect(200);
        assert_eq!(
            (same.header("tenure-effect"), same.revision()),
            ("unchanged", 1)
        );
        let two = server
            .put(path, json!({"desired": {"a": 2}}))
            .await
            .expect(200);
        assert_eq!(
            (two.header("tenure-effect"), two.revision()),
            ("changed", 2)
        );
        assert_eq!(two.body["generation"], 2);
        assert_eq!(
            two.body["labels"],
            json!({"k": "v"}),
            "what is not said stays"
        );
        let other = json!({"desired": {"a": 2}, "class": "other"});
        server.put(path, other).await.refused(409, "class_fixed");
    })
    .await;
}

#[tokio::test]
async fn a_patch_says_one_thing() {
    each_store(async |server| {
        let path = format!("/v1/tenants/{}", server.create("acme").await.id());
        let patched = server
            .patch(&path, json!({"desired": {"plan": null, "x": {"y": 1}}}))
            .await;
        assert_eq!(patched.expect(200).body["desired"], json!({"x": {"y": 1}}));
        let body = json!({"labels": {"a": "1", "b": "2"}, "annotations": {"n": "t"}});
        let labelled = server.patch(&path, body).await.expect(200);
        assert_eq!(labelled.body["labels"], json!({"a": "1", "b": "2"}));
        let labelled = server
            .patch(&path, json!({"labels": {"a": null}}))
            .await
            .expect(200);
        assert_eq!(labelled.body["labels"], json!({"b": "2"}));
        assert_eq!(labelled.body["annotations"], json!({"n": "t"}));
        let stopped = server
            .patch(&path, json!({"running": false}))
            .await
            .expect(200);
        assert_eq!(stopped.body["running"], false);
        let same = server
            .patch(&path, json!({"running": false}))
            .await
            .expect(200);
        assert_eq!(same.header("tenure-effect"), "unchanged");
        for two in [
            json!({"desired": {"a": 1}, "labels": {"a": "1"}}),
            json!({"running": true, "desired": {}}),
            json!({"message": "nothing"}),
            json!({}),
        ] {
            let refused = server.patch(&path, two).await.refused(422, "invalid");
            assert!(
                refused.text("detail").contains("exactly one of"),
                "{refused:?}"
            );
        }
        server
            .patch("/v1/tenants/nobody", json!({"running": true}))
            .await
            .refused(404, "tenant_not_found");
    })
    .await;
}

#[tokio::test]
async fn p8_a_tenant_lives_through_its_verbs_and_is_deleted() {
    each_store(async |server| {
        let id = server.create("acme").await.id();
        assert_eq!(server.work_off(id).await.state.as_str(), "ready");
        let verb = async |verb: &str| {
            server
                .post(
                    &format!("/v1/tenants/acme/{verb}"),
                    json!({"message": "why"}),
                )
                .await
        };
        assert_eq!(
            verb("suspend").await.expect(200).text("state"),
            "suspending"
        );
        assert_eq!(server.work_off(id).await.state.as_str(), "suspended");
        assert_eq!(verb("resume").await.expect(200).text("state"), "resuming");
        assert_eq!(server.work_off(id).await.state.as_str(), "ready");
        let held = verb("hold").await.expect(200);
        assert_eq!(held.body["conditions"]["held"]["message"], "why");
        let released = verb("release").await.expect(200);
        assert_eq!(released.body["conditions"], json!({}));
        assert_eq!(
            verb("retry").await.expect(200).header("tenure-effect"),
            "unchanged"
        );
        // A verb needs no body.
        let bare = server
            .ask("POST", "/v1/tenants/acme/resume")
            .send()
            .await
            .expect(200);
        assert_eq!(bare.header("tenure-effect"), "unchanged");

        let gone = server
            .ask("DELETE", "/v1/tenants/acme?message=contract%20ended")
            .send()
            .await;
        assert_eq!(gone.expect(200).text("state"), "deleting");
        verb("suspend").await.refused(409, "tenant_deleting");
        assert_eq!(server.work_off(id).await.state.as_str(), "deleted");
        server
            .get("/v1/tenants/acme")
            .await
            .refused(404, "tenant_not_found");
        let by_id = format!("/v1/tenants/{id}");
        assert_eq!(
            server.get(&by_id).await.expect(200).text("state"),
            "deleted"
        );
        let again = server.ask("DELETE", &by_id).send().await.expect(200);
        assert_eq!(again.header("tenure-effect"), "unchanged");
        let late = server.ask("POST", &format!("{by_id}/resume")).send().await;
        late.refused(409, "tenant_deleted");
        let history = server
            .get(&format!("{by_id}/history?order=desc"))
            .await
            .expect(200);
        assert_eq!(history.items("to")[0], "deleted");
        let reasons: Vec<_> = history.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| line["reason"] == "DeleteRequested")
            .collect();
        assert_eq!(reasons[0]["message"], "contract ended");
        // The name is free again.
        assert_ne!(server.create("acme").await.id(), id);
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_decides_and_writes_nothing() {
    each_store(async |server| {
        let body = json!({"name": "acme", "desired": {}});
        let dry = server
            .post("/v1/tenants?dry_run=true", body)
            .await
            .expect(200);
        assert_eq!(
            (dry.header("tenure-effect"), dry.header("location")),
            ("created", "")
        );
        server
            .get("/v1/tenants/acme")
            .await
            .refused(404, "tenant_not_found");
        server.create("acme").await;
        let dry = server
            .ask("DELETE", "/v1/tenants/acme?dry_run=true")
            .send()
            .await
            .expect(200);
        assert_eq!(dry.text("state"), "deleting");
        assert_eq!(
            server.get("/v1/tenants/acme").await.expect(200).revision(),
            1
        );
        let body = json!({"name": "acme", "desired": {"other": 1}});
        server
            .post("/v1/tenants?dry_run=true", body)
            .await
            .refused(409, "tenant_exists");
    })
    .await;
}

#[tokio::test]
async fn a_client_may_choose_the_id() {
    each_store(async |server| {
        let id = server.create("first").await.id();
        let body = json!({"name": "second", "desired": {}, "id": id});
        for path in ["/v1/tenants", "/v1/tenants?dry_run=true"] {
            let taken = server.post(path, body.clone()).await;
            taken.refused(409, "id_taken");
        }
        let mine = "tnt_01h455vb4pex5vsknk084sn02q";
        let body = json!({"name": "second", "desired": {}, "id": mine});
        assert_eq!(
            server
                .post("/v1/tenants", body)
                .await
                .expect(201)
                .text("id"),
            mine
        );
        let random = "tnt_7zzzzzzzzzzzzzzzzzzzzzzzzz";
        let body = json!({"name": "third", "desired": {}, "id": random});
        server
            .post("/v1/tenants", body)
            .await
            .refused(422, "invalid");
    })
    .await;
}
