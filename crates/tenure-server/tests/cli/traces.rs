//! Traces: they reach a collector, in the trace of whoever asked, and nothing waits for one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::metrics::ask;
use crate::support::{Background, PATIENCE, Project, tenure};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a collector was sent: the first line, the media type, and the body.
struct Sent {
    line: String,
    media: String,
    body: Vec<u8>,
}

/// A collector, and what it is sent. It ends with the test.
fn collector() -> (String, Receiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (send, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let send = send.clone();
            std::thread::spawn(move || while take(&stream, &send).is_some() {});
        }
    });
    (url, received)
}

/// Takes one request off a connection and answers it.
fn take(stream: &TcpStream, send: &Sender<Sent>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut media, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end().to_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("content-type", value)) => value.clone_into(&mut media),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    (&mut &*stream)
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()?;
    send.send(Sent { line, media, body }).ok()
}

fn has(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_collector_is_told_of_requests_the_store_and_provisioners_in_the_callers_trace() {
    let (collector, received) = collector();
    let project = Project::small();
    let serve = ["serve", "--otlp-endpoint", &collector];
    let mut server = Background::start(tenure(project.path(), &serve));
    let url = server.url();
    let manifest = "name: acme\nclass: shared\ndesired: {plan: tight}\n";
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, manifest).with(0);
    project
        .run(&["wait", "acme", "--timeout", "100s", "--server", &url])
        .with(0);
    let headers = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    ask(&url, "POST", "/v1/tenants/acme/hold", &headers);
    server.terminate();
    let said = server.said.join("\n");
    assert!(
        said.contains(&format!("\"trace_id\":\"{TRACE}\"")),
        "{said}"
    );
    assert!(!said.contains("otel."), "{said}");

    let mut bodies = Vec::new();
    // All is sent by now.
    for Sent { line, media, body } in received.try_iter() {
        assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
        assert_eq!(media, "application/x-protobuf");
        bodies.extend(body);
    }
    let id = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
    let parent = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
    assert!(has(&bodies, &id) && has(&bodies, &parent));
    for name in [
        "POST /v1/tenants/{tenant}/hold",
        "store commit",
        "provisioner apply",
        "service.name",
        "tenure",
    ] {
        assert!(has(&bodies, name.as_bytes()), "no {name}");
    }
}

#[test]
fn nothing_waits_for_a_collector_that_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let project = Project::small();
    let config = project.read("tenure.toml");
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    project.write(
        "tenure.toml",
        &format!("{config}\n[telemetry]\notlp_endpoint = '{endpoint}'\n"),
    );
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    for _ in 0..20 {
        let (head, _) = ask(&url, "GET", "/v1/tenants", "");
        assert!(head.contains(" 200 "), "{head}");
    }
    let asked = Instant::now();
    server.terminate();
    assert!(asked.elapsed() < PATIENCE / 4, "{:?}", asked.elapsed());
    let said = server.said.join("\n");
    assert!(said.contains("the last traces could not be sent"), "{said}");
    let bad = project
        .run(&["serve", "--otlp-endpoint", "127.0.0.1:4318"])
        .with(1);
    bad.saying(&["http://127.0.0.1:4318"]);
}
