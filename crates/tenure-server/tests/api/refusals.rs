//! Everything that a client can get wrong.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tenure::Engine;
use tenure_server::api::{self, ApiOptions, ApiState, Limits};
use tenure_server::server::{self, ConnectionLimits, Exposure};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::support::{Server, memory};

/// What is asked, the code that it is refused with, and what the detail says.
const REQUESTS: &str = r#"
GET /v1/tenants?stat=ready | invalid | "stat" is unknown here; known are: class
GET /v1/tenants?state=failed | invalid | state must be one of requested
GET /v1/tenants?condition=sad | invalid | condition must be one of failing
GET /v1/tenants?selector=a+like+b | invalid | selector must consist of
GET /v1/tenants?created_from=today | invalid | created_from must be RFC 3339
GET /v1/tenants?page_size=0 | invalid | page_size must be 1 to 500
GET /v1/tenants?page_size=501 | invalid | page_size must be 1 to 500
GET /v1/tenants?page_size=x | invalid | page_size must be a whole number
GET /v1/tenants?order=up | invalid | order must be asc or desc
GET /v1/tenants?class=a&class=b | invalid | class must stand once
GET /v1/tenants?include_deleted=1 | invalid | must be true or false
GET /v1/tenants?class=A | invalid | class must be 1 to 63
GET /v1/counts?page_size=1 | invalid | "page_size" is unknown here
GET /v1/changes?state=ready | invalid | "state" is unknown here
GET /v1/tenants/acme?revision=%2B1 | invalid | revision must be a whole number
GET /v1/tenants/acme?revision=-1 | invalid | revision must be a whole number
GET /v1/tenants/acme?revision=9007199254740992 | invalid | below 2^53
GET /v1/tenants/acme?at=noon | invalid | at must be RFC 3339
GET /v1/tenants/acme?dry_run=true | invalid | "dry_run" is unknown here
GET /v1/tenants/acme/history?after=x | invalid | after must be a whole number
GET /v1/tenants/Acme | invalid | name must be 1 to 63 characters
GET /v1/tenants/tnt_1 | invalid | id must be tnt_ and 26 characters
GET /v1/tenants/%FF | invalid | path must be UTF-8
GET /livez?verbose | invalid | known are: none
DELETE /v1/tenants/acme?force=true | invalid | "force" is unknown here
DELETE /v1/tenants/acme?dry_run=yes | invalid | dry_run must be true or false
POST /v1/tenants/acme/suspend?message=x | invalid | "message" is unknown here
GET /v1/tenants/nobody | tenant_not_found | a deleted one answers to its id
GET /v1/tenants/nobody/history | tenant_not_found | no such tenant
GET /v2/tenants | route_not_found | /v1/tenants
POST /v1/tenants/acme/destroy | route_not_found | /v1/tenants
"#;

/// What is sent, the status and code that it is refused with, and what the detail says.
const BODIES: &str = r#"
{'name'} | 400 | invalid_json | line 1 column 2
{"name":"a","desired":{}} x | 400 | invalid_json | trailing characters
[] | 422 | invalid | invalid
{"name":"a"} | 422 | invalid | missing field `desired`
{"name":"a","desired":{},"lables":{}} | 422 | invalid | unknown field `lables`
{"name":"a","name":"b","desired":{}} | 422 | invalid | duplicate field `name`
{"name":"a","desired":{"x":1,"x":2}} | 422 | invalid | stands twice
{"name":"a","desired":{},"labels":{"x":"","x":""}} | 422 | invalid | twice
{"name":"a","desired":{},"labels":{"x y":""}} | 422 | invalid | labels has the key
{"name":"a","desired":{},"labels":{"x":1}} | 422 | invalid | expected a string
{"name":"a","desired":{"x":"\u0000"}} | 422 | invalid | U+0000
{"name":"a","desired":{"x":9007199254740992}} | 422 | invalid | 2^53
{"name":"a","desired":"x"} | 422 | invalid | must be a JSON object
{"name":"A","desired":{}} | 422 | invalid | name must be
{"name":"a","desired":{},"id":"x"} | 422 | invalid | id must be tnt_
{"name":"a","desired":{},"message":"a\u0007"} | 422 | invalid | message must be
{"name":"a","desired":{},"state":"ready"} | 422 | invalid | unknown field `state`
"#;

/// A row of such a table.
fn columns<const N: usize>(row: &str) -> [&str; N] {
    row.split(" | ").collect::<Vec<_>>().try_into().unwrap()
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let server = Server::usual().await;
    server.create("acme").await;
    for row in REQUESTS.trim().lines() {
        let [ask, code, says] = columns(row);
        let (method, path) = ask.split_once(' ').unwrap();
        let reply = server.ask(method, path).send().await;
        assert_eq!(reply.code(), code, "{method} {path}: {reply:?}");
        assert!(
            reply.text("detail").contains(says),
            "{method} {path}: {reply:?}"
        );
    }
    assert_eq!(server.get("/v1/tenants/acme").await.revision(), 1);
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_exactly_what_is_known() {
    let server = Server::usual().await;
    let nested = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    let long = "x".repeat(1024 * 1024);
    let extremes = [
        (String::new(), "400 | invalid_json | line 1 column 0"),
        (
            "{\n  \"name\": ".to_owned(),
            "400 | invalid_json | line 2 column",
        ),
        (
            format!(r#"{{"name":"a","desired":{nested}}}"#),
            "422 | invalid | 64 levels",
        ),
        (
            format!(r#"{{"name":"a","desired":{{"x":"{long}"}}}}"#),
            "422 | invalid | 1 MiB",
        ),
        (
            format!(r#"{{"name":"{long}{long}"}}"#),
            "413 | body_too_large | 2097152 bytes",
        ),
    ];
    let rows = BODIES
        .trim()
        .lines()
        .filter_map(|row| row.split_once(" | "));
    let extremes = extremes.iter().map(|(text, row)| (text.as_str(), *row));
    for (text, row) in rows.chain(extremes) {
        let [status, code, says] = columns(row);
        let status = status.parse().unwrap();
        let ask = server
            .ask("POST", "/v1/tenants")
            .header("content-type", "application/json");
        let reply = ask.raw(text.to_owned()).send().await.refused(status, code);
        assert!(reply.text("detail").contains(says), "{reply:?}");
    }
    let ask = server
        .ask("POST", "/v1/tenants")
        .header("content-type", "application/json");
    ask.raw([b'"', 0xff, b'"'])
        .send()
        .await
        .refused(400, "invalid_json");
    assert_eq!(
        server.get("/v1/counts?include_deleted=true").await.body["total"],
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn other_media_types_and_methods_are_told_what_would_do() {
    let server = Server::usual().await;
    server.create("acme").await;
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        let ask = server
            .ask("POST", "/v1/tenants")
            .header("content-type", media);
        let reply = ask
            .raw("{}")
            .send()
            .await
            .refused(415, "unsupported_media_type");
        assert_eq!(reply.header("accept"), "application/json");
        let ask = server
            .ask("POST", "/v1/tenants/acme/hold")
            .header("content-type", media);
        ask.raw("{}")
            .send()
            .await
            .refused(415, "unsupported_media_type");
    }
    let ask = server
        .ask("PATCH", "/v1/tenants/acme")
        .header("content-type", "application/json");
    let reply = ask
        .raw("{}")
        .send()
        .await
        .refused(415, "unsupported_media_type");
    assert_eq!(reply.header("accept-patch"), "application/merge-patch+json");
    let ask = server.ask("POST", "/v1/tenants");
    let ask = ask.header("content-type", "Application/JSON; charset=utf-8");
    ask.raw(r#"{"name":"b","desired":{}}"#)
        .send()
        .await
        .expect(201);

    for (method, path, allow) in [
        ("POST", "/v1/tenants/acme", "GET,HEAD,PUT,PATCH,DELETE"),
        ("DELETE", "/v1/tenants", "GET,HEAD,POST"),
        ("GET", "/v1/tenants/acme/suspend", "POST"),
        ("PUT", "/livez", "GET,HEAD"),
    ] {
        let reply = server
            .ask(method, path)
            .send()
            .await
            .refused(405, "method_not_allowed");
        let mut given: Vec<_> = reply.header("allow").split(',').collect();
        let mut wanted: Vec<_> = allow.split(',').collect();
        given.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(given, wanted, "{method} {path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn headers_that_do_not_fit_are_refused_by_name() {
    let server = Server::usual().await;
    server.create("acme").await;
    let long = "k".repeat(256);
    for (name, value) in [
        ("if-match", "1"),
        ("if-match", "*"),
        ("if-match", "W/\"1\""),
        ("if-match", "\"1\", \"2\""),
        ("if-none-match", "\"1\""),
        ("idempotency-key", ""),
        ("idempotency-key", "\"open"),
        ("idempotency-key", long.as_str()),
        ("tenure-actor", "maria"),
        ("tenure-actor", "root:maria"),
        ("tenure-actor", "user:"),
    ] {
        let ask = server
            .ask("POST", "/v1/tenants/acme/hold")
            .header(name, value);
        let reply = ask.send().await.refused(422, "invalid");
        assert!(reply.text("detail").contains(name), "{name}: {reply:?}");
    }
    assert_eq!(server.get("/v1/tenants/acme").await.revision(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_clients_request_id_is_echoed_and_never_becomes_the_historys() {
    let server = Server::usual().await;
    let mine = "0190a0b0-0000-7000-8000-000000000000";
    let ask = server
        .ask("PUT", "/v1/tenants/acme")
        .header("x-request-id", mine);
    let reply = ask.json(json!({"desired": {}})).send().await.expect(201);
    assert_eq!(reply.header("x-request-id"), mine);
    assert_ne!(reply.header("tenure-request-id"), mine);
    let line = &server.get("/v1/tenants/acme/history").await.body["items"][0];
    assert_eq!(line["request_id"], reply.header("tenure-request-id"));
    assert_eq!(line["actor"], "user:anonymous");
    let long = "x".repeat(129);
    for unfit in ["", "with space", long.as_str()] {
        let reply = server
            .ask("GET", "/livez")
            .header("x-request-id", unfit)
            .send()
            .await;
        assert_eq!(reply.expect(200).header("x-request-id"), "");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_class_that_nothing_provisions_is_refused() {
    let classes = ["gold", "tin"].map(|class| class.parse().unwrap()).into();
    let store = memory();
    let unbound = Server::start(Arc::clone(&store), ApiOptions::default(), usual()).await;
    unbound.create("old").await; // of class `default`, while that was known
    let options = ApiOptions {
        classes,
        ..ApiOptions::default()
    };
    let server = Server::start(store, options, usual()).await;
    for body in [
        json!({"name": "a", "desired": {}}),
        json!({"name": "a", "desired": {}, "class": "silver"}),
    ] {
        let reply = server
            .post("/v1/tenants", body)
            .await
            .refused(422, "unknown_class");
        assert!(reply.text("detail").contains("gold, tin"), "{reply:?}");
    }
    server
        .put("/v1/tenants/a", json!({"desired": {}}))
        .await
        .refused(422, "unknown_class");
    server
        .put("/v1/tenants/a", json!({"desired": {}, "class": "tin"}))
        .await
        .expect(201);
    server
        .put("/v1/tenants/a", json!({"desired": {"x": 1}}))
        .await
        .expect(200);
    server
        .put("/v1/tenants/old", json!({"desired": {"x": 1}}))
        .await
        .expect(200);
    server.get("/v1/tenants?class=silver").await.expect(200);
    server.stop().await;
}

fn usual() -> ConnectionLimits {
    ConnectionLimits::default()
}

#[tokio::test]
async fn p12_pages_of_other_sites_and_other_hosts_are_refused() {
    let server = Server::usual().await;
    server.create("acme").await;
    for (name, value, status, code) in [
        ("host", "evil.example", 421, "host_not_allowed"),
        ("origin", "http://evil.example", 403, "origin_not_allowed"),
        ("origin", "null", 403, "origin_not_allowed"),
    ] {
        let ask = server
            .ask("POST", "/v1/tenants/acme/suspend")
            .header(name, value);
        ask.send().await.refused(status, code);
        server
            .ask("GET", "/nowhere")
            .header(name, value)
            .send()
            .await
            .refused(status, code);
    }
    assert_eq!(server.get("/v1/tenants/acme").await.revision(), 1);
    server.stop().await;
}

#[tokio::test]
async fn p12_an_address_that_others_can_reach_is_not_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070"] {
        let error = server::listen(address.parse().unwrap(), Exposure::Loopback)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("no authentication is configured"), "{error}");
        assert!(error.contains("listen on 127.0.0.1"), "{error}");
    }
    let open = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let api = ApiState::new(Engine::new(memory()), ApiOptions::default());
    let serving = server::serve(open, api::router(api), usual(), CancellationToken::new()).await;
    assert!(serving.is_err());
}

#[tokio::test]
async fn p11_more_than_the_server_may_work_on_is_turned_away() {
    let limits = Limits {
        in_flight: 0,
        ..Limits::default()
    };
    let options = ApiOptions {
        limits,
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, usual()).await;
    let body = json!({"name": "a", "desired": {}});
    let busy = server
        .post("/v1/tenants", body)
        .await
        .refused(503, "overloaded");
    assert_eq!(busy.header("retry-after"), "1");
    server.get("/v1/tenants").await.refused(503, "overloaded");
    server.get("/livez").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn the_api_is_called_in_process_too() {
    let api = ApiState::new(Engine::new(memory()), ApiOptions::default());
    let request = Request::put("/v1/tenants/acme").header("content-type", "application/json");
    let request = request.body(Body::from(r#"{"desired": {}}"#)).unwrap();
    let response = api::router(api).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 201);
}
