//! A server that is told to stop: what load balancers see of it before it is gone.

use std::io::ErrorKind;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::metrics::ask;
use crate::support::{Background, DRAIN_DELAY, Project, tenure};

/// A server that serves on for so long after SIGTERM, and where.
fn serve(project: &Project, drain_delay_seconds: &str) -> (Background, String) {
    let mut command = tenure(project.path(), &["serve"]);
    command.env(DRAIN_DELAY, drain_delay_seconds);
    let mut server = Background::start(command);
    let url = server.url().trim_end_matches('"').to_owned();
    (server, url)
}

#[test]
fn a_server_that_is_told_to_stop_says_so_and_serves_on_before_it_refuses_connections() {
    let project = Project::small();
    let (mut server, url) = serve(&project, "3600");
    let (head, _) = ask(&url, "GET", "/readyz", "");
    assert!(head.contains(" 200 "), "{head}");
    server.signal(Signal::TERM);
    let line = server.until("the server drains");
    assert!(line.contains("\"delay_seconds\":3600"), "{line}");
    assert!(line.contains("\"level\":\"info\""), "{line}");

    // Each on a connection of its own.
    let (head, body) = ask(&url, "GET", "/readyz", "");
    assert!(head.contains(" 503 "), "{head}");
    assert!(body.contains("\"code\":\"draining\""), "{body}");
    let (_, metrics) = ask(&url, "GET", "/metrics", "");
    assert!(metrics.contains("\ntenure_draining 1\n"), "{metrics}");
    let apply = ["apply", "-f", "-", "--server", &url];
    let manifest = "name: acme\nclass: shared\ndesired: {plan: tight}\n";
    project.run_with(&apply, manifest).with(0);
    let (head, _) = ask(&url, "GET", "/v1/tenants/acme", "");
    assert!(head.contains(" 200 "), "{head}");

    // Another signal ends the delay, and what ended is said.
    assert!(server.terminate().success(), "{:?}", server.said);
    let last = server.said.last().unwrap();
    assert!(last.contains("the server has stopped"), "{last}");
    let gone = TcpStream::connect(url.strip_prefix("http://").unwrap());
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let acme = &project.tenants()[0];
    assert_eq!(acme["state"], "requested", "it claims nothing new: {acme}");
}

#[test]
fn the_delay_ends_by_itself_and_ctrl_c_does_not_wait_for_it() {
    let project = Project::small();
    let (mut server, _) = serve(&project, "1");
    assert!(server.terminate().success(), "{:?}", server.said);
    let (mut server, _) = serve(&project, "3600");
    server.signal(Signal::INT);
    assert!(server.end().success(), "{:?}", server.said);
}
