//! Clients that are slow, rude, or gone.

use std::time::Duration;

use serde_json::json;
use tenure::{Filter, Freshness, TenantRef};
use tenure_server::api::{ApiOptions, Limits};
use tenure_server::server::ConnectionLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::stores::each_store;
use super::support::{Server, memory};

/// Far longer than any of the limits here: a test that needs this long has hung.
const FOR_EVER: Duration = Duration::from_secs(20);

const SHORT: Duration = Duration::from_millis(50);

async fn server(limits: ConnectionLimits) -> Server {
    Server::start(memory(), ApiOptions::default(), limits).await
}

/// Everything that a connection gives until the server closes it.
async fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    // A connection that is reset is closed as well.
    let _read = timeout(FOR_EVER, stream.read_to_end(&mut all))
        .await
        .expect("it is closed");
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn p11_half_a_header_is_not_waited_for() {
    let server = server(ConnectionLimits {
        header: SHORT,
        ..ConnectionLimits::default()
    })
    .await;
    for half in ["G", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx-half: "] {
        let mut stream = server.connect().await;
        stream.write_all(half.as_bytes()).await.unwrap();
        assert_eq!(rest(stream).await, "");
    }
    // The same after a whole request on the same connection.
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream.write_all(b"GET /livez").await.unwrap();
    assert!(rest(stream).await.ends_with("{\"alive\":true}"));
    server.stop().await;
}

#[tokio::test]
async fn p11_a_connection_may_rest_between_requests_but_not_for_ever() {
    let limits = ConnectionLimits {
        header: SHORT,
        idle: 5 * SHORT,
        ..ConnectionLimits::default()
    };
    let server = server(limits).await;
    let mut stream = server.connect().await;
    let ask = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let began = Instant::now();
    assert!(rest(stream).await.starts_with("HTTP/1.1 200"));
    assert!(
        began.elapsed() >= 4 * SHORT,
        "the limit of a header is not that of a rest"
    );
    server.stop().await;
}

#[tokio::test]
async fn p11_who_connects_and_says_nothing_is_let_go_as_soon_as_a_slow_header() {
    let limits = ConnectionLimits {
        header: SHORT,
        connections: 1,
        ..ConnectionLimits::default()
    };
    let server = server(limits).await;
    let began = Instant::now();
    let silent = server.connect().await;
    server.get("/livez").await.expect(200);
    assert_eq!(rest(silent).await, "");
    assert!(began.elapsed() < FOR_EVER, "not the limit of a rest");
    server.stop().await;
}

#[tokio::test]
async fn p11_half_a_body_is_a_problem_and_writes_nothing() {
    let limits = Limits {
        body: SHORT,
        ..Limits::default()
    };
    let options = ApiOptions {
        limits,
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    let mut stream = server.connect().await;
    let head = "PUT /v1/tenants/acme HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/json\r\ncontent-length: 14\r\n\r\n{\"desired\":";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    server
        .get("/v1/tenants/acme")
        .await
        .refused(404, "tenant_not_found");
    server.stop().await;
}

#[tokio::test]
async fn p11_a_client_that_does_not_take_its_answers_is_let_go() {
    let limits = ConnectionLimits {
        write: SHORT,
        drain: FOR_EVER,
        ..ConnectionLimits::default()
    };
    let server = server(limits).await;
    let body = json!({"name": "acme", "desired": {"x": "y".repeat(1_000_000)}});
    server.post("/v1/tenants", body).await.expect(201);
    let mut stream = server.connect().await;
    let ask = "GET /v1/tenants/acme HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64);
    stream.write_all(ask.as_bytes()).await.unwrap();
    // No socket holds 64 MB, so the answers are stuck; the server lets go all the same.
    timeout(FOR_EVER, server.stop())
        .await
        .expect("no connection is left");
    drop(stream);
}

#[tokio::test]
async fn p11_connections_beyond_the_limit_wait() {
    let server = server(ConnectionLimits {
        connections: 1,
        ..ConnectionLimits::default()
    })
    .await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    let ask = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    second.write_all(ask).await.unwrap();
    let mut second = Box::pin(rest(second));
    assert!(
        timeout(2 * SHORT, second.as_mut()).await.is_err(),
        "one at a time"
    );
    first.write_all(ask).await.unwrap();
    assert!(rest(first).await.starts_with("HTTP/1.1 200"));
    assert!(second.await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_before_the_server_stops() {
    let server = server(ConnectionLimits {
        drain: FOR_EVER,
        ..ConnectionLimits::default()
    })
    .await;
    let mut stream = server.connect().await;
    let head = "PUT /v1/tenants/acme HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
                content-type: application/json\r\ncontent-length: 14\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(
        &go_on, b"HTTP/1.1 100 Continue\r\n\r\n",
        "the handler waits for the body"
    );
    server.shutdown.cancel();
    stream.write_all(b"{\"desired\":{}}").await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_ends_does_not_keep_the_server() {
    let server = server(ConnectionLimits {
        drain: SHORT,
        ..ConnectionLimits::default()
    })
    .await;
    let mut stream = server.connect().await;
    let head = "PUT /v1/tenants/acme HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
                content-type: application/json\r\ncontent-length: 14\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    timeout(FOR_EVER, server.stop())
        .await
        .expect("the server stops");
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn p1_a_client_that_hangs_up_leaves_a_whole_write_or_none() {
    each_store(async |server| {
        let body = json!({"desired": {"x": "y".repeat(1000)}, "labels": {"a": "b"}}).to_string();
        for n in 0..40 {
            let mut stream = server.connect().await;
            let head = format!(
                "PUT /v1/tenants/t{n} HTTP/1.1\r\nhost: localhost\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            // Every other client goes before its request is whole.
            let sent = if n % 2 == 0 {
                body.len()
            } else {
                body.len() - 1
            };
            stream.write_all(&body.as_bytes()[..sent]).await.unwrap();
            drop(stream);
        }
        // Another request of the same kind, to know that the server is past all of them.
        server
            .put("/v1/tenants/last", json!({"desired": {}}))
            .await
            .expect(201);
        for n in (1..40).step_by(2) {
            let who: TenantRef = format!("t{n}").parse().unwrap();
            let found = server.store.get(&who, Freshness::Primary).await.unwrap();
            assert_eq!(found, None, "a request that was cut in half");
        }
        let counts = server.store.count(&Filter::default()).await.unwrap();
        assert!(counts.values().sum::<u64>() <= 21, "{counts:?}");
        // When the server stops, every tenant is checked: history, documents, copies.
    })
    .await;
}
