//! `ETag`, `If-Match` and `If-None-Match`.

use serde_json::json;

use super::stores::each_store;

#[tokio::test]
async fn p4_a_write_that_saw_another_revision_is_refused_with_the_one_that_is() {
    each_store(async |server| {
        server.create("acme").await;
        let path = "/v1/tenants/acme";
        let write = |etag: &str, seats: u32| {
            let body = json!({"desired": {"seats": seats}});
            server
                .ask("PATCH", path)
                .header("if-match", etag)
                .json(body)
        };
        assert_eq!(write("\"1\"", 1).send().await.expect(200).revision(), 2);
        let stale = write("\"1\"", 2)
            .send()
            .await
            .refused(412, "revision_conflict");
        assert_eq!(stale.body["revision"], 2);
        assert_eq!(server.get(path).await.body["desired"]["seats"], 1);
        for verb in ["suspend", "resume", "retry", "hold", "release", "accept"] {
            let ask = server.ask("POST", &format!("{path}/{verb}"));
            ask.header("if-match", "\"1\"")
                .send()
                .await
                .refused(412, "revision_conflict");
        }
        let ask = server.ask("POST", &format!("{path}/waive"));
        let body = json!({"path": "/seats", "until": "2999-01-01T00:00:00Z"});
        let ask = ask.header("if-match", "\"1\"").json(body);
        ask.send().await.refused(412, "revision_conflict");
        let ask = server.ask("DELETE", path).header("if-match", "\"1\"");
        ask.send().await.refused(412, "revision_conflict");
        let ask = server
            .ask("PUT", path)
            .header("if-match", "\"7\"")
            .json(json!({"desired": {}}));
        ask.send().await.refused(412, "revision_conflict");
        let ask = server
            .ask("PUT", "/v1/tenants/none")
            .header("if-match", "\"7\"");
        let absent = ask.json(json!({"desired": {}})).send().await;
        assert_eq!(absent.refused(412, "revision_conflict").body["revision"], 0);
        // Also a command that would change nothing, and a dry run, say what they saw.
        let ask = server.ask("DELETE", &format!("{path}?dry_run=true"));
        ask.header("if-match", "\"1\"")
            .send()
            .await
            .refused(412, "revision_conflict");
        let ask = server.ask("DELETE", path).header("if-match", "\"2\"");
        assert_eq!(ask.send().await.expect(200).text("state"), "deleting");
    })
    .await;
}

#[tokio::test]
async fn if_none_match_asks_for_news_or_for_absence() {
    each_store(async |server| {
        let path = "/v1/tenants/acme";
        let put = || {
            let ask = server.ask("PUT", path).header("if-none-match", "*");
            ask.json(json!({"desired": {"a": 1}}))
        };
        assert_eq!(put().send().await.expect(201).revision(), 1);
        let exists = put().send().await.refused(412, "revision_conflict");
        assert_eq!(exists.body["revision"], 1);
        assert!(
            exists.text("detail").contains("asks for none"),
            "{exists:?}"
        );
        let one = server.get(path).await.expect(200).header("etag").to_owned();
        let weak = format!("W/{one}");
        for (tag, status) in [
            (&*one, 304),
            (&*weak, 304),
            ("*", 304),
            (&*one.replace("1.", "2."), 200),
            // Whose revision that is, it doesn't say.
            ("\"1\"", 200),
        ] {
            let got = server
                .ask("GET", path)
                .header("if-none-match", tag)
                .send()
                .await;
            assert_eq!(got.expect(status).revision(), 1);
        }
        let both = put().header("if-match", "\"1\"").send().await;
        both.refused(422, "invalid");
        let verb = server
            .ask("POST", &format!("{path}/hold"))
            .header("if-none-match", "*");
        verb.send().await.refused(422, "invalid");
    })
    .await;
}

#[tokio::test]
async fn p4_what_was_seen_of_one_tenant_says_nothing_of_the_next_of_its_name() {
    each_store(async |server| {
        let path = "/v1/tenants/acme";
        let old = server.create("acme").await;
        let seen = old.header("etag").to_owned();
        server.ask("DELETE", path).send().await.expect(200);
        server.work_off(old.id()).await;
        let new = server.create("acme").await;
        assert_eq!((new.revision(), old.revision()), (1, 1));
        let body = json!({"desired": {"seats": 9}});
        let verb = format!("{path}/hold");
        for ask in [
            server.ask("DELETE", path),
            server.ask("PUT", path).json(body.clone()),
            server.ask("PATCH", path).json(body),
            server.ask("POST", &verb),
        ] {
            let stale = ask.header("if-match", &seen).send().await;
            let stale = stale.refused(412, "revision_conflict");
            assert!(
                stale.text("detail").contains("does not have the name"),
                "{stale:?}"
            );
            assert_eq!(stale.body["revision"], 1);
        }
        let ask = server.ask("GET", path).header("if-none-match", &seen);
        assert_eq!(ask.send().await.expect(200).id(), new.id());
        let ask = server.ask("POST", &verb);
        let held = ask.header("if-match", new.header("etag")).send().await;
        assert_eq!(held.expect(200).revision(), 2);
    })
    .await;
}

#[tokio::test]
async fn p4_of_many_who_saw_the_same_revision_one_wins() {
    each_store(async |server| {
        server.create("acme").await;
        let write = |n: u32| {
            let ask = server
                .ask("PATCH", "/v1/tenants/acme")
                .header("if-match", "\"1\"");
            ask.json(json!({"desired": {"winner": n}})).send()
        };
        let (a, b, c, d) = tokio::join!(write(1), write(2), write(3), write(4));
        let mut statuses = [a.status, b.status, c.status, d.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412]);
    })
    .await;
}
