//! Lists, counts, history, the past, and the change feed.

use std::collections::BTreeSet;

use serde_json::json;

use tenure_server::api::ApiOptions;
use tenure_server::server::ConnectionLimits;

use super::stores::{bare_database, each_store};
use super::support::Server;

/// Walks a list to its end.
async fn walk(server: &Server, path: &str, with: char, token: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut next = path.to_owned();
    for _ in 0..100 {
        let page = server.get(&next).await.expect(200);
        seen.extend(page.items(if token == "page_token" {
            "name"
        } else {
            "revision"
        }));
        match &page.body["next"] {
            serde_json::Value::Null => return seen,
            serde_json::Value::String(cursor) => next = format!("{path}{with}{token}={cursor}"),
            number => next = format!("{path}{with}{token}={number}"),
        }
    }
    panic!("the walk over {path} does not end");
}

#[tokio::test]
async fn p11_lists_are_pages_that_add_up() {
    each_store(async |server| {
        let names = ["a", "b", "c", "d", "e"];
        for name in names {
            server.create(name).await;
        }
        assert_eq!(
            walk(server, "/v1/tenants?page_size=2", '&', "page_token").await,
            names
        );
        let newest = walk(
            server,
            "/v1/tenants?page_size=2&order=desc",
            '&',
            "page_token",
        )
        .await;
        assert_eq!(newest, ["e", "d", "c", "b", "a"]);
        let page = server.get("/v1/tenants?page_size=2").await.expect(200);
        let cursor = page.text("next");
        for bad in [
            format!("/v1/tenants?order=desc&page_token={cursor}"),
            format!("/v1/tenants?state=ready&page_token={cursor}"),
            format!("/v1/tenants?page_token={cursor}x"),
            "/v1/tenants?page_token=".to_owned(),
            "/v1/tenants?page_token=%00".to_owned(),
            format!("/v1/changes?after={cursor}"),
        ] {
            server.get(&bad).await.refused(400, "cursor_invalid");
        }
    })
    .await;
}

#[tokio::test]
async fn lists_and_counts_take_the_same_filters() {
    each_store(async |server| {
        for (name, tier) in [("a", "gold"), ("b", "gold"), ("c", "tin"), ("d", "tin")] {
            let body = json!({"name": name, "desired": {}, "labels": {"tier": tier}});
            server.post("/v1/tenants", body).await.expect(201);
        }
        let id = server.get("/v1/tenants/a").await.id();
        server.work_off(id).await; // all of them
        let gone = server.get("/v1/tenants/d").await.id();
        server
            .ask("DELETE", "/v1/tenants/d")
            .send()
            .await
            .expect(200);
        server.work_off(gone).await;
        server
            .post("/v1/tenants/b/hold", json!({}))
            .await
            .expect(200);
        server
            .post("/v1/tenants/c/suspend", json!({}))
            .await
            .expect(200);
        for (filter, names) in [
            ("", "a b c"),
            ("state=ready", "a b"),
            ("state=ready,suspending", "a b c"),
            ("state=suspending&state=deleted", "c d"),
            ("state=deleted", "d"),
            ("include_deleted=true", "a b c d"),
            ("deleted_from=2020-01-01T00:00:00Z", "d"),
            ("selector=tier%3Dgold", "a b"),
            ("selector=tier+notin+(gold)", "c"),
            ("condition=held", "b"),
            ("condition=held,failing", ""),
            ("class=default", "a b c"),
            ("class=other", ""),
            ("created_from=2020-01-01T00:00:00Z", "a b c"),
            ("created_until=2020-01-01T00:00:00Z", ""),
            ("updated_from=2020-01-01T00:00:00%2B01:00", "a b c"),
            ("state_since_until=2020-01-01T00:00:00Z", ""),
            ("state=ready&selector=tier", "a b"),
        ] {
            let seen = walk(server, &format!("/v1/tenants?{filter}"), '&', "page_token").await;
            assert_eq!(seen.join(" "), names, "{filter}");
            let counts = server
                .get(&format!("/v1/counts?{filter}"))
                .await
                .expect(200);
            assert_eq!(counts.body["total"], seen.len(), "{filter}");
            assert_eq!(counts.body["states"].as_object().unwrap().len(), 9);
        }
    })
    .await;
}

#[tokio::test]
async fn p3_history_is_whole_page_by_page() {
    each_store(async |server| {
        let id = server.create("acme").await.id();
        server.work_off(id).await;
        for seats in 0..4 {
            server
                .patch("/v1/tenants/acme", json!({"desired": {"seats": seats}}))
                .await
                .expect(200);
        }
        let path = "/v1/tenants/acme/history?page_size=2";
        let all = walk(server, path, '&', "after").await;
        let newest = server.get("/v1/tenants/acme").await.body["revision"]
            .as_u64()
            .unwrap();
        let revisions: Vec<String> = (1..=newest).map(|n| n.to_string()).collect();
        assert_eq!(all, revisions);
        let mut back = walk(server, &format!("{path}&order=desc"), '&', "after").await;
        back.reverse();
        assert_eq!(back, revisions);
        let moves = server
            .get("/v1/tenants/acme/history?transitions_only=true")
            .await
            .expect(200);
        assert_eq!(
            moves.items("to"),
            ["requested", "provisioning", "ready", "updating"]
        );
    })
    .await;
}

#[tokio::test]
async fn p3_the_past_is_served_as_it_was() {
    each_store(async |server| {
        let first = server.create("acme").await;
        server
            .patch("/v1/tenants/acme", json!({"desired": {"plan": "tin"}}))
            .await
            .expect(200);
        let then = server.get("/v1/tenants/acme?revision=1").await.expect(200);
        assert_eq!(then.body, first.body);
        assert_eq!(then.revision(), 1);
        let at = first.text("updated_at");
        let then = server
            .get(&format!("/v1/tenants/acme?at={at}"))
            .await
            .expect(200);
        assert_eq!(then.body, first.body);
        for never in ["revision=0", "revision=3", "at=2020-01-01T00:00:00Z"] {
            let reply = server.get(&format!("/v1/tenants/acme?{never}")).await;
            let refused = reply.refused(404, "revision_not_found");
            assert!(
                refused.text("detail").contains("revisions 1 to 2"),
                "{refused:?}"
            );
        }
        server
            .get("/v1/tenants/none?revision=1")
            .await
            .refused(404, "tenant_not_found");
        let both = format!("/v1/tenants/acme?revision=1&at={at}");
        server.get(&both).await.refused(422, "invalid");
    })
    .await;
}

#[tokio::test]
async fn p10_the_feed_gives_every_change_once() {
    each_store(async |server| {
        for name in ["a", "b", "c"] {
            let id = server.create(name).await.id();
            server.work_off(id).await;
        }
        let mut seen = Vec::new();
        let mut path = "/v1/changes?page_size=2".to_owned();
        loop {
            let page = server.get(&path).await.expect(200);
            let lines = page.items("tenant").into_iter().zip(page.items("revision"));
            let before = seen.len();
            seen.extend(lines);
            path = format!("/v1/changes?page_size=2&after={}", page.text("next"));
            if seen.len() == before {
                break;
            }
        }
        let all = seen.iter().collect::<BTreeSet<_>>();
        assert_eq!(
            (all.len(), seen.len()),
            (9, 9),
            "three lines of each of three: {seen:?}"
        );
        server.create("d").await;
        assert_eq!(server.get(&path).await.expect(200).items("revision"), ["1"]);
        server
            .get("/v1/changes?after=garbage")
            .await
            .refused(400, "cursor_invalid");
    })
    .await;
}

#[tokio::test]
async fn a_server_says_whether_it_lives_and_can_serve() {
    each_store(async |server| {
        assert_eq!(
            server.get("/livez").await.expect(200).body,
            json!({"alive": true})
        );
        let ready = server.get("/readyz").await.expect(200);
        assert_eq!(ready.body["readiness"], "ready", "{ready:?}");
        assert!(ready.body["schema"].is_u64(), "{ready:?}");
    })
    .await;
}

#[tokio::test]
async fn a_server_without_a_schema_says_what_to_run() {
    let (database, store) = bare_database().await;
    let server = Server::start(store, ApiOptions::default(), ConnectionLimits::default()).await;
    server.get("/livez").await.expect(200);
    let reply = server.get("/readyz").await.refused(503, "store_not_ready");
    assert_eq!(reply.body["readiness"], "not_migrated");
    assert_eq!(reply.body["draining"], false);
    for reply in [reply, server.get("/v1/tenants").await] {
        let reply = reply.refused(503, "store_not_ready");
        assert!(
            reply.text("detail").contains("run `tenure migrate`"),
            "{reply:?}"
        );
    }
    let body = json!({"name": "acme", "desired": {}});
    server
        .post("/v1/tenants", body)
        .await
        .refused(503, "store_not_ready");
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    drop(database);
}
