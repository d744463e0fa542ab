//! The example of a worker that pulls, against a real server: its tenants are made, changed and gone.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::logs::ended;
use crate::support::{Background, Project, tenure};

const TOKEN: &str = "a-token-for-the-example-worker";

/// A worker that ends with the test.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed then.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A copy of the example, whose server listens where there is room.
fn example() -> Project {
    let project = Project {
        folder: TempDir::new().unwrap(),
    };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pull-worker");
    for name in [
        "worker.py",
        "provision.py",
        "mailbox.schema.json",
        "tenants.yaml",
        "tenure.toml",
    ] {
        let text = std::fs::read_to_string(example.join(name)).unwrap();
        project.write(name, &text.replace("127.0.0.1:7310", "127.0.0.1:0"));
    }
    project.write("worker.token", TOKEN);
    project
}

#[test]
fn the_example_worker_makes_changes_and_takes_down_what_is_asked_for() {
    let project = example();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    run(&["apply", "-f", "tenants.yaml"]).with(0);
    let explained = run(&["explain", "lantern-legal"]).with(0).out;
    assert!(explained.contains("no_worker"), "{explained}");
    let worker = Command::new("python3")
        .current_dir(project.path())
        .args([
            "worker.py",
            "--url",
            &url,
            "--token-file",
            "worker.token",
            "--wait",
            "2",
        ])
        .args(["--", "python3", "provision.py"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _worker = Worker(worker.unwrap());
    let wait = |name: &str, state: &str| {
        let state = format!("--for={state}");
        run(&["wait", name, &state, "--timeout", "100s"]).with(0);
    };
    for name in [
        "lantern-legal",
        "basalt-works",
        "osprey-sails",
        "tulip-trade",
    ] {
        wait(name, "ready");
    }
    wait("velvet-stage", "suspended");
    let mailbox = project.path().join("mail/boxes/lantern-legal");
    assert!(mailbox.join("new").is_dir());
    run(&["suspend", "lantern-legal"]).with(0);
    wait("lantern-legal", "suspended");
    run(&["delete", "lantern-legal", "--yes"]).with(0);
    wait("lantern-legal", "deleted");
    assert!(!mailbox.exists());
    let history = run(&["history", "basalt-works", "-o", "json"]).with(0).out;
    assert!(history.contains("worker:mail-1"), "{history}");
    let tenant = run(&["get", "basalt-works", "-o", "json"]).with(0).json();
    assert!(server.terminate().success());
    // What came of operations elsewhere is in the log of the server that was told.
    let ended = ended(&server.said);
    let line = ended.iter().find(|line| line["tenant"] == tenant["id"]);
    let line = line.unwrap();
    let expected = json!({
        "level": "info", "class": "mailbox", "operation": "apply", "outcome": "done", "attempt": 1,
        "reason": "Provisioned", "route": "/v1/work/report",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} of {line}");
    }
    assert!(line["fence"].is_string(), "{line}");
}
