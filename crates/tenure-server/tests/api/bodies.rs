//! Bodies: how many are kept at once, how they may be sent, and what becomes of those that nobody reads.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::support::Server;
use super::tokens::{bearer, closed, make};

/// Far longer than anything here takes: a test that needs this long has hung.
const FOR_EVER: Duration = Duration::from_secs(20);

/// A request whose body is to come.
async fn begin(server: &Server, request: &str, headers: &str) -> TcpStream {
    let mut stream = server.connect().await;
    let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The next answer, head and body, of which the length must be known.
async fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("there is an answer"));
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    };
    timeout(FOR_EVER, read).await.expect("it is answered")
}

#[tokio::test]
async fn p11_an_import_takes_its_place_before_its_body() {
    let server = closed().await;
    let token = make(&server, json!({"name": "it", "role": "operator"})).await;
    let headers = format!(
        "authorization: {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: 15000000",
        bearer(&token)
    );
    let go_on = format!("{headers}\r\nexpect: 100-continue");
    let mut sending = Vec::new();
    for _ in 0..16 {
        let mut stream = begin(&server, "POST /v1/import", &go_on).await;
        let (head, _) = answer(&mut stream).await;
        assert!(
            head.starts_with("HTTP/1.1 100 "),
            "its body is awaited: {head}"
        );
        sending.push(stream);
    }
    let mut more = begin(&server, "POST /v1/import", &headers).await;
    let (head, body) = answer(&mut more).await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    assert!(body.contains("as many as one may"), "{body}");
    drop(sending);
    server.stop().await;
}

#[tokio::test]
async fn p11_bodies_take_no_more_room_than_there_is() {
    const LENGTH: usize = 2 * 1024 * 1024;
    let server = Server::usual().await;
    let mut sending = JoinSet::new();
    let headers = format!("content-type: application/json\r\ncontent-length: {LENGTH}");
    for _ in 0..33 {
        let mut stream = begin(&server, "POST /v1/tenants", &headers).await;
        sending.spawn(async move {
            // All but the end, for which the server waits.
            let _sent = stream.write_all(&vec![b' '; LENGTH - 1]).await;
            answer(&mut stream).await
        });
    }
    let (head, body) = sending.join_next().await.unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(body.contains("\"code\":\"overloaded\""), "{body}");
    // Who has gone needs no room, and what has been done none either.
    sending.shutdown().await;
    for _ in 0..40 {
        let large = json!({"desired": {"x": "y".repeat(1_000_000)}});
        let path = "/v1/tenants/acme?dry_run=true";
        let tried = async {
            loop {
                let reply = server.put(path, large.clone()).await;
                if reply.status != 503 {
                    return reply;
                }
            }
        };
        let done = timeout(FOR_EVER, tried).await;
        done.expect("there is room again").expect(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn who_is_refused_before_their_body_was_read_hears_that_the_connection_closes() {
    let server = Server::usual().await;
    let long = "content-type: text/plain\r\ncontent-length: 1000000";
    let mut stream = begin(&server, "POST /v1/tenants", long).await;
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 415 "), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert!(body.contains("unsupported_media_type"), "{body}");

    // Who still writes gets to read the answer.
    let mut stream = begin(&server, "POST /v1/tenants", long).await;
    stream.write_all(&vec![b' '; 900_000]).await.unwrap();
    let (head, _) = answer(&mut stream).await;
    assert!(head.contains("connection: close\r\n"), "{head}");

    // Who waits to be asked for it is not asked.
    let waits = format!("{long}\r\nexpect: 100-continue");
    let mut stream = begin(&server, "POST /v1/tenants", &waits).await;
    let (head, _) = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 415 "), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    assert_eq!(timeout(FOR_EVER, read).await.unwrap().unwrap(), 0);

    // Of a little body the end is soon found, and the next request is behind it.
    let mut stream = begin(
        &server,
        "POST /v1/tenants",
        "content-type: text/plain\r\ncontent-length: 5\r\n\r\n12345GET /livez HTTP/1.1\r\nhost: localhost",
    )
    .await;
    let (head, _) = answer(&mut stream).await;
    assert!(
        head.starts_with("HTTP/1.1 415 ") && !head.contains("connection"),
        "{head}"
    );
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "{\"alive\":true}");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_packed_is_refused() {
    let server = Server::usual().await;
    for (coding, status) in [("gzip", 415), ("gzip, identity", 415), ("Identity", 201)] {
        for (method, path, body) in [
            ("POST", "/v1/tenants", json!({"name": "a", "desired": {}})),
            ("PUT", "/v1/tenants/b", json!({"desired": {}})),
        ] {
            let ask = server.ask(method, path).header("content-encoding", coding);
            let reply = ask.json(body).send().await.expect(status);
            if status == 415 {
                assert_eq!(reply.code(), "unsupported_media_type");
                assert_eq!(reply.header("accept-encoding"), "identity");
            }
        }
    }
    let ask = server
        .ask("POST", "/v1/import")
        .header("content-encoding", "gzip");
    let ask = ask.header("content-type", "application/x-ndjson");
    ask.raw("x")
        .send()
        .await
        .refused(415, "unsupported_media_type");
    server.stop().await;
}

#[tokio::test]
async fn a_deletion_says_why_in_its_body_or_in_its_address() {
    let server = Server::usual().await;
    let message = async |name: &str| {
        let path = format!("/v1/tenants/{name}/history?order=desc&page_size=1");
        let history = server.get(&path).await.expect(200).body;
        history["items"][0]["message"].clone()
    };
    for name in ["a", "b", "c"] {
        server.create(name).await;
    }
    let delete = async |path: &str, body: Value| {
        let ask = server.ask("DELETE", &format!("/v1/tenants/{path}"));
        ask.json(body).send().await
    };
    delete("a", json!({"message": "left us"})).await.expect(200);
    assert_eq!(message("a").await, "left us");
    delete("b?message=moved", json!({})).await.expect(200);
    assert_eq!(message("b").await, "moved");
    let both = delete("c?message=moved", json!({"message": "left us"})).await;
    let both = both.refused(422, "invalid");
    assert!(
        both.text("detail").contains("where the body has one"),
        "{both:?}"
    );
    let unknown = delete("c", json!({"reason": "left us"})).await;
    unknown.refused(422, "invalid");
    let ask = server.ask("DELETE", "/v1/tenants/c");
    ask.raw("because")
        .send()
        .await
        .refused(415, "unsupported_media_type");
    assert_eq!(server.get("/v1/tenants/c").await.body["state"], "requested");
    server.stop().await;
}
