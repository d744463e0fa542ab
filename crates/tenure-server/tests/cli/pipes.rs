//! Readers that go away: the work goes on, and what only prints ends quietly.

use std::io::{BufRead as _, BufReader, Write as _, pipe};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;

use crate::support::{Background, PATIENCE, Project, UP, tenure};

const MANIFEST: &str = "name: acme\nclass: shared\ndesired: {plan: gold}\n";

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

/// How a program ends by itself.
#[track_caller]
fn end_of(mut child: Child) -> ExitStatus {
    let (send, ended) = channel();
    let waiting = std::thread::spawn(move || send.send(child.wait().unwrap()));
    let status = ended.recv_timeout(PATIENCE).expect("it does not end");
    waiting.join().unwrap().unwrap();
    status
}

#[test]
fn who_does_not_listen_keeps_no_work_from_being_done() {
    let project = Project::small();
    project.write("tenants.yaml", MANIFEST);
    let mut command = tenure(project.path(), &UP);
    let status = command.stderr(unread()).stdout(unread()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(project.tenants()[0]["state"], "ready");

    project.write("more.yaml", "name: globex\nclass: shared\ndesired: {}\n");
    let apply = ["apply", "-f", "more.yaml", "--store", &project.store()];
    let mut command = tenure(project.path(), &apply);
    let status = command.stderr(unread()).stdout(unread()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(project.tenants().len(), 2);
    // What fails fails with its own code, even if nobody hears why.
    let mut command = tenure(project.path(), &["get", "no", "--store", &project.store()]);
    let status = command.stderr(unread()).stdout(unread()).status().unwrap();
    assert_eq!(status.code(), Some(3));
}

/// Reads one line of what a command prints, and goes away.
fn one_line(mut command: Command) -> (String, Child) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    (line, child)
}

#[test]
fn a_watch_ends_when_nobody_reads_it_though_nothing_happens() {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, MANIFEST).with(0);
    project.run(&["wait", "acme", "--server", &url]).with(0);
    let watch = [
        "watch",
        "acme",
        "-o",
        "jsonpath={.reason}",
        "--server",
        &url,
    ];
    let (line, child) = one_line(tenure(project.path(), &watch));
    assert_eq!(line, "Provisioned\n");
    assert_eq!(end_of(child).code(), Some(0));
}

#[test]
fn an_export_that_nobody_reads_does_not_read_the_whole_fleet() {
    let project = Project::small();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // A fleet without an end.
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = BufReader::new(stream.try_clone().unwrap()).lines();
        assert!(request.map(Result::unwrap).any(|line| line.is_empty()));
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(b"{\"name\": \"acme\"}\n").is_ok() {}
    });
    let export = ["export", "--file", "-", "--server", &url];
    let (line, child) = one_line(tenure(project.path(), &export));
    assert_eq!(line, "{\"name\": \"acme\"}\n");
    assert_eq!(end_of(child).code(), Some(0));
    serving.join().unwrap();
    assert!(!project.path().join("-").exists());
}
