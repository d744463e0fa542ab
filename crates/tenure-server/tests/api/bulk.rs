//! Many tenants at once: out, and in.

use serde_json::{Value, json};

use super::stores::each_store;
use super::support::{Server, memory};
use tenure_server::api::{ApiOptions, Limits};
use tenure_server::server::ConnectionLimits;

/// Sends lines to be imported.
async fn import(server: &Server, query: &str, key: &str, lines: &str) -> Vec<Value> {
    let ask = server
        .ask("POST", &format!("/v1/import{query}"))
        .header("content-type", "application/x-ndjson");
    let ask = if key.is_empty() {
        ask
    } else {
        ask.header("idempotency-key", key)
    };
    ask.raw(lines).lines().await
}

fn effects(answer: &[Value]) -> Vec<&str> {
    let lines = answer.iter().take(answer.len() - 1);
    lines
        .map(|line| match &line["problem"]["code"] {
            Value::String(code) => code.as_str(),
            _ => line["effect"].as_str().unwrap(),
        })
        .collect()
}

#[tokio::test]
async fn what_was_exported_can_be_imported_elsewhere() {
    each_store(async |server| {
        let first = json!({"name": "acme", "labels": {"tier": "gold"}, "annotations": {"crm": "7"},
            "desired": {"plan": "gold", "seats": 3}, "running": false});
        server.post("/v1/tenants", first).await.expect(201);
        let id = server.create("beta").await.id();
        server.work_off(id).await;
        let gone = server.create("gone").await.id();
        server
            .ask("DELETE", "/v1/tenants/gone")
            .send()
            .await
            .expect(200);
        server.work_off(gone).await;
        let lines = server.ask("GET", "/v1/export").lines().await;
        let names: Vec<_> = lines
            .iter()
            .map(|line| line["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["acme", "beta"]);
        assert_eq!(lines[1]["status"]["state"], "ready");
        assert_eq!(lines[1]["status"]["id"], id.to_string());
        assert_eq!(lines[0]["desired"], json!({"plan": "gold", "seats": 3}));

        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        let elsewhere = Server::usual().await;
        let answer = import(&elsewhere, "", "", &text).await;
        assert_eq!(effects(&answer), ["created", "created"]);
        assert_eq!(answer[2]["summary"]["created"], 2);
        let again = import(&elsewhere, "", "", &text).await;
        assert_eq!(effects(&again), ["unchanged", "unchanged"]);
        let copied = elsewhere.ask("GET", "/v1/export").lines().await;
        for (was, is) in lines.iter().zip(&copied) {
            for field in [
                "name",
                "class",
                "labels",
                "annotations",
                "desired",
                "running",
            ] {
                assert_eq!(was[field], is[field], "{field}");
            }
        }
        elsewhere.stop().await;

        // A deleted one is exported if asked for, and can't be wanted anew by mistake.
        let all = server
            .ask("GET", "/v1/export?include_deleted=true&name_prefix=go")
            .lines()
            .await;
        let back = import(server, "", "", &all[0].to_string()).await;
        assert_eq!(effects(&back), ["invalid"]);
    })
    .await;
}

#[tokio::test]
async fn p5_each_line_is_carried_out_by_itself_and_never_twice() {
    each_store(async |server| {
        server.create("old").await;
        let lines = "{\"name\":\"a\",\"desired\":{}}\n\n\
                     {\"name\":\"B\",\"desired\":{}}\n\
                     {\"name\":\"c\",\"desired\":\n\
                     {\"name\":\"a\",\"desired\":{\"x\":1}}\n\
                     {\"name\":\"old\",\"desired\":{\"plan\":\"gold\"}}\n\
                     {\"name\":\"old2\",\"desired\":{},\"if_revision\":3}\n\
                     {\"name\":\"d\",\"desired\":{},\"state\":\"ready\"}\n\
                     {\"name\":\"e\",\"desired\":{},\"message\":\"from the old system\"}";
        let expected = [
            "created",
            "invalid",
            "invalid_json",
            "invalid",
            "unchanged",
            "revision_conflict",
            "invalid",
            "created",
        ];
        let tried = import(server, "?dry_run=true", "k", lines).await;
        assert_eq!(effects(&tried), expected);
        server.get("/v1/tenants/a").await.refused(404, "tenant_not_found");

        let answer = import(server, "", "k", lines).await;
        assert_eq!(effects(&answer), expected);
        let numbers: Vec<_> = answer.iter().filter_map(|line| line["line"].as_u64()).collect();
        assert_eq!(numbers, [1, 3, 4, 5, 6, 7, 8, 9]);
        let summary = json!({"lines": 8, "created": 2, "changed": 0, "unchanged": 1, "replayed": 0, "refused": 5});
        assert_eq!(answer.last().unwrap()["summary"], summary);
        let history = server.get("/v1/tenants/e/history").await.body;
        assert_eq!(history["items"][0]["message"], "from the old system");

        server.patch("/v1/tenants/a", json!({"desired": {"y": 1}})).await.expect(200);
        let again = import(server, "", "k", lines).await;
        assert_eq!(effects(&again)[0], "replayed");
        let reply = server.get("/v1/tenants/a").await;
        assert_eq!(reply.body["desired"], json!({"y": 1}), "a repeat undoes nothing");
        let other = import(server, "", "k", "{\"name\":\"a\",\"desired\":{\"z\":1}}").await;
        assert_eq!(effects(&other), ["idempotency_key_reused"]);
    })
    .await;
}

#[tokio::test]
async fn a_whole_fleet_goes_through_page_by_page() {
    // An import waits for its turn where requests would be turned away.
    let limits = Limits {
        in_flight: 2,
        ..Limits::default()
    };
    let options = ApiOptions {
        limits,
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    let line = |number| format!("{{\"name\":\"t{number}\",\"desired\":{{}}}}");
    let text = (0..1_200).map(line).collect::<Vec<_>>().join("\n");
    let answer = import(&server, "", "", &text).await;
    assert_eq!(answer.last().unwrap()["summary"]["created"], 1_200);
    let lines = server.ask("GET", "/v1/export").lines().await;
    assert_eq!(lines.len(), 1_200);
    let ask = server
        .ask("GET", "/v1/export")
        .header("accept-encoding", "gzip");
    let (headers, body) = ask.packed().await;
    assert_eq!(headers["content-encoding"], "gzip");
    let plain: usize = lines.iter().map(|line| line.to_string().len() + 1).sum();
    assert!(body.len() < plain / 5, "{} of {plain}", body.len());
    let page = server
        .get("/v1/tenants?view=full&page_size=2&name_prefix=t119")
        .await
        .expect(200);
    assert_eq!(page.items("desired"), ["{}", "{}"]);
    assert_eq!(page.items("name"), ["t119", "t1190"]);
    let next = page.text("next");
    let path = format!("/v1/tenants?view=full&page_size=2&name_prefix=t119&page_token={next}");
    assert_eq!(server.get(&path).await.items("name"), ["t1191", "t1192"]);
    server.stop().await;
}

#[tokio::test]
async fn p5_the_keys_of_lines_are_of_any_length_and_nobody_elses() {
    let server = Server::usual().await;
    let line = "{\"name\":\"a\",\"desired\":{}}";
    for key in ["k".repeat(255), "kk".to_owned()] {
        let first = import(&server, "", &key, line).await;
        assert!(
            ["created", "unchanged"].contains(&effects(&first)[0]),
            "{first:?}"
        );
    }
    for key in ["kk:1", "kk"] {
        let ask = server
            .ask("PUT", "/v1/tenants/b")
            .header("idempotency-key", key);
        let plain = ask.json(json!({"desired": {}})).send().await;
        assert!(plain.status < 300, "{plain:?}");
    }
    let changed = json!({"desired": {"y": 1}});
    server.patch("/v1/tenants/a", changed).await.expect(200);
    let again = import(&server, "", &"k".repeat(255), line).await;
    assert_eq!(effects(&again), ["replayed"]);
    server.stop().await;
}

#[tokio::test]
async fn a_line_that_is_refused_is_named_and_stands_in_no_others_way() {
    let server = Server::usual().await;
    let lines = "{\"name\":\"a\",\"desired\":{},\"status\":{\"state\":\"deleting\"}}\n\
                 {\"name\":\"a\",\"desired\":{}}\n\
                 {\"name\":\"a\",\"desired\":{}}\n\n\
                 {\"name\":\"b\",\"desired\":\n\
                 {\"name\":\"b\",\"wanted\":{}}";
    let answer = import(&server, "", "", lines).await;
    let expected = ["invalid", "created", "invalid", "invalid_json", "invalid"];
    assert_eq!(effects(&answer), expected);
    for (at, says) in [
        (0, "neither deleting nor deleted"),
        (2, "it stands in line 2 already"),
        (
            3,
            "the line must be JSON: EOF while parsing a value at line 5 column 22",
        ),
        (4, "at line 6 column 20"),
    ] {
        let detail = answer[at]["problem"]["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_import_that_can_not_be_read_does_nothing() {
    let server = Server::usual().await;
    let ask = server.ask("POST", "/v1/import").json(json!({}));
    let refused = ask.send().await.refused(415, "unsupported_media_type");
    assert_eq!(refused.header("accept"), "application/x-ndjson");
    let ask = server
        .ask("POST", "/v1/import")
        .header("content-type", "application/x-ndjson");
    let large = vec![b'\n'; 17 * 1024 * 1024];
    ask.raw(large).send().await.refused(413, "body_too_large");
    let ask = server
        .ask("POST", "/v1/import")
        .header("content-type", "application/x-ndjson");
    let conditional = ask
        .header("if-match", "\"1\"")
        .raw("{\"name\":\"a\",\"desired\":{}}");
    conditional.send().await.refused(422, "invalid");
    assert_eq!(import(&server, "", "", "").await[0]["summary"]["lines"], 0);
    server.stop().await;
}
