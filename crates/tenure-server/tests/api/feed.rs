//! Following the change feed: pages that wait, and events.

use std::time::Duration;

use serde_json::Value;
use tenure_server::api::ApiOptions;
use tenure_server::server::ConnectionLimits;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::stores::each_store;
use super::support::{Server, memory};

/// Far longer than anything here takes: a test that needs this long has hung.
const FOR_EVER: Duration = Duration::from_secs(20);

/// Events, as they come in.
pub(crate) struct Events(Lines<BufReader<TcpStream>>);

/// An event: its type, its data, and the id that the client notes with it.
pub(crate) type Event = (String, Value, Option<String>);

impl Events {
    async fn open(server: &Server, query: &str, last: &str) -> Self {
        let header = format!("last-event-id: {last}");
        let events = Self::try_open(server, query, &header).await;
        events.expect("the stream begins")
    }

    /// The same with a header; or the line that it is refused with.
    pub(crate) async fn try_open(
        server: &Server,
        query: &str,
        header: &str,
    ) -> Result<Self, String> {
        let mut stream = server.connect().await;
        let head = format!(
            "GET /v1/changes{query} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\
             {header}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut events = Self(BufReader::new(stream).lines());
        let status = events.line().await.unwrap();
        if status != "HTTP/1.1 200 OK" {
            return Err(status);
        }
        while !events.line().await.unwrap().is_empty() {}
        Ok(events)
    }

    /// A line; nothing at the end.
    async fn line(&mut self) -> Option<String> {
        let line = timeout(FOR_EVER, self.0.next_line()).await;
        line.expect("it goes on").ok().flatten()
    }

    /// The next event, or the next id without one; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let (mut kind, mut data, mut id) = (String::new(), Value::Null, None);
        loop {
            let line = self.line().await?;
            // The lengths of chunks stand on lines of their own; after that of none there is no more.
            if line == "0" {
                return None;
            }
            match line.split_once(": ") {
                Some(("event", word)) => word.clone_into(&mut kind),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                Some(("id", text)) => id = Some(text.to_owned()),
                _ if line.is_empty() && (id.is_some() || !kind.is_empty()) => {
                    return Some((kind, data, id));
                }
                _ => {}
            }
        }
    }

    async fn change(&mut self) -> (String, u64) {
        loop {
            let (kind, line, _) = self.next().await.unwrap();
            if kind == "change" {
                let tenant = line["tenant"].as_str().unwrap().to_owned();
                return (tenant, line["revision"].as_u64().unwrap());
            }
            assert_eq!(kind, "", "{line}");
        }
    }
}

#[tokio::test]
async fn p10_a_page_waits_for_a_change_and_no_longer() {
    each_store(async |server| {
        let end = server.get("/v1/changes?after=now").await.expect(200);
        assert_eq!(end.items("tenant"), [""; 0]);
        let path = format!("/v1/changes?wait=60&after={}", end.text("next"));
        let began = Instant::now();
        let (page, made) = tokio::join!(server.get(&path), server.create("acme"));
        assert_eq!(page.expect(200).items("tenant"), [made.text("id")]);
        assert!(began.elapsed() < FOR_EVER);

        let end = server.get("/v1/changes?after=now").await.expect(200);
        let path = format!("/v1/changes?wait=1&after={}", end.text("next"));
        let page = server.get(&path).await.expect(200);
        assert_eq!(page.items("tenant"), [""; 0]);
        assert!(began.elapsed() >= Duration::from_secs(1));
        server
            .get("/v1/changes?wait=61")
            .await
            .refused(422, "invalid");
    })
    .await;
}

#[tokio::test]
async fn p10_events_come_as_they_are_committed_and_go_on_where_a_client_was_cut_off() {
    each_store(async |server| {
        let a = server.create("a").await.text("id").to_owned();
        let mut events = Events::open(server, "", "").await;
        let first = events.next().await.unwrap();
        assert_eq!(
            (first.0.as_str(), &first.1["tenant"]),
            ("change", &a.clone().into())
        );
        let b = server.create("b").await.text("id").to_owned();
        assert_eq!(events.change().await, (b.clone(), 1));
        drop(events);

        let c = server.create("c").await.text("id").to_owned();
        // The header is what a browser sends by itself, and goes before the address.
        let last = first.2.expect("the last line of a page has an id");
        let mut events = Events::open(server, "?after=garbage", &last).await;
        assert_eq!(events.change().await, (b, 1));
        assert_eq!(events.change().await, (c, 1));

        let mut late = Events::open(server, "?after=now", "").await;
        let d = server.create("d").await.text("id").to_owned();
        assert_eq!(late.change().await, (d.clone(), 1));
        assert_eq!(events.change().await, (d, 1));
        let bad = server
            .ask("GET", "/v1/changes")
            .header("accept", "text/event-stream")
            .header("last-event-id", "garbage");
        bad.send().await.refused(400, "cursor_invalid");
    })
    .await;
}

#[tokio::test]
async fn p11_who_follows_is_let_go_when_the_server_stops() {
    let stop = CancellationToken::new();
    let options = ApiOptions {
        stop: stop.clone(),
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    let mut events = Events::open(&server, "", "").await;
    let waiting = server.get("/v1/changes?wait=60");
    let ending = async {
        events.next().await.unwrap();
        stop.cancel();
        while events.next().await.is_some() {}
    };
    let both = async { tokio::join!(waiting, ending) };
    let (page, ()) = timeout(FOR_EVER, both).await.unwrap();
    assert_eq!(page.status, 200);
    server.stop().await;
}
