//! What has begun ends when the token does that it was begun with; and what one caller may have going on.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tenure::{Clock, Engine, Filter, SystemClock};
use tenure_server::api::{ApiOptions, ApiState};
use tenure_server::server::ConnectionLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::feed::Events;
use super::support::{Reply, Server};
use super::tokens::{bearer, closed, make};

/// Far longer than anything here takes: a test that needs this long has hung.
const FOR_EVER: Duration = Duration::from_secs(20);

/// Less than the time between two signs of life of a stream.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A server with an admin's token and another one of this role.
async fn with_token(role: &str) -> (Server, String, String) {
    let server = closed().await;
    let admin = make(&server, json!({"name": "root", "role": "admin"})).await;
    let mut body = json!({"name": "it", "role": role});
    if role == "provisioner" {
        body["classes"] = json!(["default"]);
    }
    let token = make(&server, body).await;
    (server, admin, token)
}

async fn revoke(server: &Server, admin: &str) {
    let ask = server.ask("POST", "/v1/tokens/it/revoke");
    let ask = ask.header("authorization", &bearer(admin));
    ask.send().await.expect(200);
}

async fn follow(server: &Server, token: &str) -> Result<Events, String> {
    let header = format!("authorization: {}", bearer(token));
    Events::try_open(server, "", &header).await
}

/// The event that a stream ends with.
pub(crate) async fn last(mut events: Events) -> Value {
    loop {
        let (kind, data, _) = events.next().await.expect("it says why it ends");
        if kind == "problem" {
            assert!(events.next().await.is_none(), "and it ends");
            return data;
        }
    }
}

async fn as_json(server: &Server, token: &str, path: &str, body: Value) -> Reply {
    let ask = server.ask("POST", path);
    let ask = ask.header("authorization", &bearer(token));
    ask.json(body).send().await
}

#[tokio::test]
async fn p12_a_stream_ends_with_its_token() {
    let (server, admin, token) = with_token("viewer").await;
    let mut events = follow(&server, &token).await.unwrap();
    events.next().await.unwrap();
    revoke(&server, &admin).await;
    let problem = timeout(AT_ONCE, last(events)).await.expect("at once");
    assert_eq!(problem["code"], "unauthorized");
    assert!(problem["instance"].is_string(), "{problem}");

    let soon = SystemClock.now().plus(Duration::from_millis(300));
    let body = json!({"name": "short", "role": "viewer", "expires_at": soon});
    let short = make(&server, body).await;
    let events = follow(&server, &short).await.unwrap();
    let problem = timeout(AT_ONCE, last(events)).await.expect("to the moment");
    assert_eq!(problem["code"], "unauthorized");
    assert!(SystemClock.now() >= soon);
    server.stop().await;
}

#[tokio::test]
async fn p12_a_stream_of_another_server_ends_within_five_seconds() {
    let (server, admin, token) = with_token("viewer").await;
    let options = ApiOptions {
        auth_required: true,
        ..ApiOptions::default()
    };
    let engine = Engine::new(std::sync::Arc::clone(&server.store));
    let other = ApiState::new(engine, options);
    let store = std::sync::Arc::clone(&server.store);
    let other = Server::start_with(store, other, ConnectionLimits::default()).await;
    let events = follow(&other, &token).await.unwrap();
    revoke(&server, &admin).await;
    let limit = Duration::from_secs(6);
    let problem = timeout(limit, last(events)).await.expect("five and a bit");
    assert_eq!(problem["code"], "unauthorized");
    other.shutdown.cancel();
    other.served.await.unwrap().unwrap();
    other.api.finish().await;
    server.stop().await;
}

/// Returns once a request of the token was let in.
async fn let_in(server: &Server) {
    let name = "it".parse().unwrap();
    let used = async {
        loop {
            let token = server.store.token(&name).await.unwrap().unwrap();
            if token.last_used_at.is_some() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(FOR_EVER, used).await.expect("it asks");
}

#[tokio::test]
async fn p12_who_waits_for_changes_gets_none_after_a_revocation() {
    let (server, admin, token) = with_token("viewer").await;
    let ask = server.ask("GET", "/v1/changes?after=now&wait=60");
    let page = ask.header("authorization", &bearer(&token)).send();
    let ending = async {
        let_in(&server).await;
        revoke(&server, &admin).await;
    };
    let both = async { tokio::join!(page, ending) };
    let (page, ()) = timeout(AT_ONCE, both).await.expect("at once");
    page.refused(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn p12_who_waits_for_work_gets_none_after_a_revocation() {
    let (server, admin, token) = with_token("provisioner").await;
    let body = json!({"wait_seconds": 20});
    let claim = as_json(&server, &token, "/v1/work/claim", body);
    let ending = async {
        let_in(&server).await;
        revoke(&server, &admin).await;
        let body = json!({"name": "acme", "desired": {}});
        let made = as_json(&server, &admin, "/v1/tenants", body).await;
        made.expect(201);
    };
    let both = async { tokio::join!(claim, ending) };
    let (claimed, ()) = timeout(AT_ONCE, both).await.expect("at once");
    claimed.refused(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn p12_an_import_ends_with_its_token_and_says_so() {
    const LINES: u64 = 4_000;
    let (server, admin, token) = with_token("operator").await;
    let line = |number| format!("{{\"name\":\"t{number}\",\"desired\":{{}}}}\n");
    let text: String = (0..LINES).map(line).collect();
    let request = Request::post(format!("http://{}/v1/import", server.address))
        .header("content-type", "application/x-ndjson")
        .header("authorization", bearer(&token));
    let request = request.body(Body::from(text)).unwrap();
    let mut answer = server.client.request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.frame().await.unwrap().unwrap();
    revoke(&server, &admin).await;
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    let last = rest.trim_ascii().rsplit(|byte| *byte == b'\n').next();
    let last: Value = serde_json::from_slice(last.unwrap()).unwrap();
    assert_eq!(last["problem"]["code"], "unauthorized", "{last}");
    assert_eq!(
        (&last["line"], &last["summary"]),
        (&Value::Null, &Value::Null)
    );
    let counts = server.store.count(&Filter::default()).await.unwrap();
    assert!(counts.values().sum::<u64>() < LINES / 2, "{counts:?}");
    server.stop().await;
}

#[tokio::test]
async fn p12_an_export_is_cut_off_with_its_token_and_says_so() {
    let (server, admin, token) = with_token("viewer").await;
    let large = json!({"x": "y".repeat(60_000)});
    for number in 0..400 {
        let body = json!({"name": format!("t{number}"), "desired": large});
        as_json(&server, &admin, "/v1/tenants", body)
            .await
            .expect(201);
    }
    // With little room on the way, the server waits for its client before the last pages.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let head = format!(
        "GET /v1/export HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n",
        bearer(&token)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 15];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    revoke(&server, &admin).await;
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    let _read = timeout(FOR_EVER, read).await.expect("it ends");
    let rest = String::from_utf8(rest).unwrap();
    let last = rest.trim_end().lines().last().unwrap();
    let last: Value = serde_json::from_str(last).expect("and no end of its chunks");
    assert_eq!(last["problem"]["code"], "unauthorized", "{last}");
    server.stop().await;
}

#[tokio::test]
async fn p11_one_caller_does_not_take_the_places_of_all() {
    let (server, admin, token) = with_token("viewer").await;
    let other = make(&server, json!({"name": "other", "role": "viewer"})).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(follow(&server, &token).await.unwrap());
    }
    let more = server.ask("GET", "/v1/export");
    let more = more.header("authorization", &bearer(&token)).send().await;
    let more = more.refused(429, "rate_limited");
    assert!(more.text("detail").contains("16 answers"), "{more:?}");
    drop(follow(&server, &other).await.unwrap());
    drop(follow(&server, &admin).await.unwrap());

    // Who hangs up gives their place back at once, not at the next sign of life.
    open.pop();
    let again = async { while follow(&server, &token).await.is_err() {} };
    timeout(AT_ONCE, again).await.expect("at once");
    drop(open);
    server.stop().await;
}
