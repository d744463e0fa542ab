//! Every error of the reference, as a client meets it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::conformance::{Faulty, Trouble};
use tenure::{Readiness, Source, StoreError};
use tenure_server::api::{ApiOptions, Code, Limits};
use tenure_server::config::Rate;
use tenure_server::server::ConnectionLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Server, memory};

/// A server whose store has a trouble that does not end.
async fn troubled(trouble: Trouble, request: Duration) -> Server {
    let store = Arc::new(Faulty::always(memory(), trouble));
    let limits = Limits {
        request,
        ..Limits::default()
    };
    let options = ApiOptions {
        limits,
        ..ApiOptions::default()
    };
    let server = Server::start(store, options, ConnectionLimits::default()).await;
    Server {
        broken: true,
        ..server
    }
}

/// Stops a server whose store answers nobody.
async fn end(server: Server) {
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    server.api.finish().await;
}

fn why() -> Source {
    Box::new(io::Error::other("a secret of the store's"))
}

#[tokio::test]
async fn every_trouble_of_a_store_has_its_code_and_tells_no_more() {
    type Row = (fn() -> StoreError, u16, &'static str);
    let troubles: [Row; 12] = [
        (|| StoreError::Unavailable(why()), 503, "store_unavailable"),
        (|| StoreError::OutcomeUnknown(why()), 503, "outcome_unknown"),
        (|| StoreError::Overloaded, 503, "overloaded"),
        (|| StoreError::ReadOnly, 503, "store_read_only"),
        (|| StoreError::Full, 507, "store_full"),
        (
            || StoreError::NotReady(Readiness::NotMigrated),
            503,
            "store_not_ready",
        ),
        (|| StoreError::CursorInvalid, 400, "cursor_invalid"),
        (|| StoreError::CursorExpired, 410, "cursor_expired"),
        (
            || StoreError::Corrupt { what: "x".into() },
            500,
            "store_corrupt",
        ),
        (
            || StoreError::Rejected { rule: "x".into() },
            500,
            "store_rejected",
        ),
        (|| StoreError::Closed, 503, "store_closed"),
        (|| StoreError::Backend(why()), 500, "store_error"),
    ];
    for (error, status, code) in troubles {
        let server = troubled(Trouble::Fails(error), Duration::from_secs(30)).await;
        let read = server.get("/v1/tenants").await.refused(status, code);
        assert!(!read.body.to_string().contains("secret"), "{read:?}");
        assert_eq!(read.header("retry-after").is_empty(), status != 503);
        let events = server
            .ask("GET", "/v1/changes")
            .header("accept", "text/event-stream");
        events.send().await.refused(status, code);
        server.get("/v1/export").await.refused(status, code);
        end(server).await;
    }
}

#[tokio::test]
async fn a_store_that_answers_nobody_and_a_race_that_is_never_won_have_codes() {
    let server = troubled(Trouble::Hangs, Duration::from_millis(50)).await;
    let read = server.get("/v1/counts").await;
    assert_eq!(
        read.refused(503, "deadline_exceeded").header("retry-after"),
        "5"
    );
    end(server).await;

    let server = troubled(Trouble::LosesRaces, Duration::from_secs(30)).await;
    let body = json!({"name": "acme", "desired": {}});
    let lost = server.post("/v1/tenants", body).await;
    assert_eq!(lost.refused(503, "contended").header("retry-after"), "1");
    end(server).await;

    let server = troubled(
        Trouble::Fails(|| panic!("a secret")),
        Duration::from_secs(30),
    )
    .await;
    let crashed = server.get("/v1/counts").await.refused(500, "internal");
    assert!(!crashed.body.to_string().contains("secret"), "{crashed:?}");
    end(server).await;
}

#[tokio::test]
async fn p11_what_is_longer_than_anything_that_is_taken_is_refused() {
    let server = Server::usual().await;
    let long = "x".repeat(9 * 1024);
    let path = format!("/v1/tenants?selector={long}");
    server.get(&path).await.refused(414, "uri_too_long");
    let ask = server.ask("GET", "/livez");
    let ask = ["a", "b", "c", "d"]
        .into_iter()
        .fold(ask, |ask, name| ask.header(name, &long));
    ask.send().await.refused(431, "headers_too_large");
    let mut stream = server.connect().await;
    let many: Vec<String> = (0..65).map(|number| format!("x-{number}: 1")).collect();
    let ask = many.join("\r\n");
    let ask =
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{ask}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(answer.contains("headers_too_large"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn p4_a_strict_server_takes_no_change_of_what_was_not_seen() {
    let options = ApiOptions {
        require_if_match: true,
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    server.create("acme").await;
    let blind = [
        ("PUT", "/v1/tenants/acme", json!({"desired": {}})),
        ("PUT", "/v1/tenants/new", json!({"desired": {}})),
        ("PATCH", "/v1/tenants/acme", json!({"desired": {}})),
        ("POST", "/v1/tenants/acme/hold", json!({})),
    ];
    for (method, path, body) in blind {
        let reply = server.ask(method, path).json(body).send().await;
        reply.refused(428, "precondition_required");
    }
    let delete = server.ask("DELETE", "/v1/tenants/acme");
    delete.send().await.refused(428, "precondition_required");
    let line = r#"{"name": "acme", "desired": {}}"#;
    let ask = server
        .ask("POST", "/v1/import")
        .header("content-type", "application/x-ndjson");
    let lines = ask.raw(line).lines().await;
    assert_eq!(lines[0]["problem"]["code"], "precondition_required");
    assert_eq!(server.get("/v1/tenants/acme").await.revision(), 1);

    let put = server
        .ask("PUT", "/v1/tenants/new")
        .header("if-none-match", "*");
    put.json(json!({"desired": {}})).send().await.expect(201);
    let hold = server
        .ask("POST", "/v1/tenants/acme/hold")
        .header("if-match", "\"1\"");
    hold.send().await.expect(200);
    let line = r#"{"name": "acme", "desired": {}, "if_revision": 2}"#;
    let ask = server
        .ask("POST", "/v1/import")
        .header("content-type", "application/x-ndjson");
    assert_eq!(ask.raw(line).lines().await[0]["effect"], "changed");
    server.stop().await;
}

#[tokio::test]
async fn p12_a_caller_that_asks_too_much_is_turned_away_and_nobody_else() {
    let limits = Limits {
        rate: Rate {
            per_second: 1,
            burst: 3,
        },
        ..Limits::default()
    };
    let options = ApiOptions {
        limits,
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    let mut tokens = Vec::new();
    for name in ["one", "two"] {
        let body = json!({"name": name, "role": "viewer"});
        let made = server.post("/v1/tokens", body).await.expect(201);
        tokens.push(format!("Bearer {}", made.text("token")));
    }
    let asks = |token: &str| {
        server
            .ask("GET", "/v1/counts")
            .header("authorization", token)
            .send()
    };
    // However slow this test runs: a fifth can come only after two seconds.
    let mut refused = None;
    for _ in 0..100 {
        let reply = asks(&tokens[0]).await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("a caller that never stops is turned away");
    assert_eq!(
        refused.refused(429, "rate_limited").header("retry-after"),
        "1"
    );
    asks(&tokens[1]).await.expect(200);
    server.get("/v1/counts").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_says_that_it_is_not_ready_and_that_it_lives() {
    let options = ApiOptions::default();
    let drain = options.drain.clone();
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    let ready = server.get("/readyz").await.expect(200);
    assert_eq!(ready.body["draining"], false);
    drain.cancel();
    let refused = server.get("/readyz").await.refused(503, "draining");
    for member in ["readiness", "schema"] {
        assert_eq!(refused.body[member], ready.body[member], "{member}");
    }
    assert_eq!(refused.body["draining"], true);
    assert_eq!(refused.header("retry-after"), "5");
    server.get("/livez").await.expect(200);
    let scraped = server.get("/metrics").await.expect(200);
    assert!(
        scraped
            .body
            .as_str()
            .unwrap()
            .contains("\ntenure_draining 1\n")
    );
    server.stop().await;
}

#[tokio::test]
async fn p11_a_server_whose_places_are_all_taken_is_ready_and_lives() {
    let store = Arc::new(Faulty::always(memory(), Trouble::Hangs));
    let options = ApiOptions {
        limits: Limits {
            in_flight: 1,
            ..Limits::default()
        },
        ..ApiOptions::default()
    };
    let server = Server::start(store, options, ConnectionLimits::default()).await;
    let (one, other) = (server.get("/v1/counts"), server.get("/v1/counts"));
    tokio::pin!(one, other);
    // One has the place, and waits for ever; so it is the other that is answered.
    let turned_away = tokio::select! {
        reply = &mut one => reply,
        reply = &mut other => reply,
    };
    turned_away.refused(503, "overloaded");
    server.get("/readyz").await.expect(200);
    server.get("/livez").await.expect(200);
    server.get("/metrics").await.expect(200);
}

/// All that these tests say.
fn sources() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        all.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    all
}

#[tokio::test]
async fn every_code_has_been_met_by_a_client_and_has_a_page() {
    let sources = sources();
    let server = Server::usual().await;
    for code in Code::ALL {
        let word = code.as_str();
        if code == Code::ReportOutOfOrder {
            continue; // For those who embed the library: of a server's worker the lease is lost first.
        }
        let met = [
            format!("\"{word}\""),
            format!("\\\"{word}\\\""),
            format!("| {word} |"),
        ];
        let met = met.iter().any(|said| sources.contains(said));
        assert!(met, "no test has a client meet {word}");
        let (status, page) = server.ask("GET", &format!("/problems/{word}")).page().await;
        assert_eq!(status, 200, "{word}");
        assert!(page.contains(code.title()) && page.contains(word), "{page}");
    }
    server
        .get("/problems/nothing")
        .await
        .refused(404, "route_not_found");
    let refused = server.get("/v1/tenants/nobody").await;
    let page = server.ask("GET", refused.text("type")).page().await;
    assert_eq!(page.0, 200);
    server.stop().await;
}
