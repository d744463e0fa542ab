//! What waits for something waits for a server too that is started anew.

use crate::support::{Background, Project, tenure};

const MANIFEST: &str = "name: acme\nclass: shared\ndesired: {plan: gold}\n";

/// A command that has had an answer, and a server that is gone since; then the server is there again.
fn outlive(arguments: &[&str], says: &str, after: &[&str]) {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, MANIFEST).with(0);
    project.run(&["wait", "acme", "--server", &url]).with(0);
    let to_it = [arguments, &["-v", "--server", &url]].concat();
    let mut patient = Background::start(tenure(project.path(), &to_it));
    while !patient.line().unwrap().contains("200 OK") {}
    server.kill();
    while !patient.line().unwrap().contains(says) {}
    let address = url.strip_prefix("http://").unwrap();
    let serve = ["serve", "--listen", address];
    let mut server = Background::start(tenure(project.path(), &serve));
    assert_eq!(server.url(), url);
    project.run(&[after, &["--server", &url]].concat()).with(0);
    assert_eq!(patient.ended().code(), Some(0), "{:#?}", patient.said);
    let times = patient.said.iter().filter(|line| line.contains(says));
    assert_eq!(times.count(), 1, "{:#?}", patient.said);
}

#[test]
fn a_wait_outlives_the_server() {
    let wait = ["wait", "acme", "--for=condition=held", "--timeout", "100s"];
    outlive(&wait, "waiting goes on", &["hold", "acme"]);
}

#[test]
fn a_watch_outlives_the_server() {
    let delete = ["delete", "acme", "--yes"];
    outlive(&["watch", "acme"], "watching goes on", &delete);
}

#[test]
fn a_server_that_was_never_there_is_not_waited_for() {
    let project = Project::small();
    let nobody = ["wait", "acme", "--server", "http://127.0.0.1:9"];
    let ended = project.run(&nobody).with(1);
    ended.saying(&["no server answers"]);
}

#[test]
fn a_wait_without_time_looks_once() {
    let project = Project::small();
    let store = project.store();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--store", &store]].concat());
    run(&["migrate"]).with(0);
    let apply = ["apply", "-f", "-", "--store", &store];
    project.run_with(&apply, MANIFEST).with(0);
    let now = |goal: &str| run(&["wait", "acme", "--timeout", "0", "--for", goal]);
    now("ready").with(5).saying(&["acme is requested"]);
    assert_eq!(now("requested").with(0).out, "acme requested\n");
    let json = run(&["wait", "acme", "--for=requested", "-o", "json"])
        .with(0)
        .json();
    assert_eq!(json["name"], "acme");
    let name = run(&["wait", "acme", "--for=requested", "-o", "name"]).with(0);
    assert_eq!(name.out, "acme\n");

    // One that never was is not deleted.
    run(&["wait", "acne", "--for=deleted"])
        .with(3)
        .saying(&["there is no tenant acne", "did you mean acme?"]);
}
