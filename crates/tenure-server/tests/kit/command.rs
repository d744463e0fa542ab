//! The command itself: endpoints, its output, what it refuses, and how it is stopped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{CASES, Proof, Scene, program, python};

/// The tests' provisioner as an endpoint, until it is dropped.
struct Endpoint {
    child: Child,
    url: String,
}

impl Endpoint {
    fn serve(state: &Path, flaw: &str) -> Self {
        let mut child = Command::new(python())
            .args(["-I", "-S", &program(), "--serve"])
            .env("STATE", state)
            .env("FLAW", flaw)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut port).unwrap();
        let url = format!("http://127.0.0.1:{}/", port.trim());
        Self { child, url }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn of_endpoint<'a>(folder: &'a Path, options: &'a [&'a str]) -> Proof<'a> {
    Proof {
        folder,
        command: &[],
        class: "shared",
        env: &[],
        desired: json!({"plan": "gold", "seats": 3}),
        changed: Some(json!({"plan": "silver", "seats": 4})),
        tamper: None,
        options,
    }
}

#[test]
fn a_good_endpoint_passes() {
    let scene = Scene::new();
    let endpoint = Endpoint::serve(scene.folder.path(), "");
    let secret = scene.folder.path().join("secret");
    std::fs::write(&secret, "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n").unwrap();
    let secret = secret.to_str().unwrap();
    let options = ["--http", &endpoint.url, "--signing-secret-file", secret];
    of_endpoint(scene.folder.path(), &options).passes();
    assert_eq!(scene.left(), Vec::<String>::new());
}

#[test]
fn a_broken_endpoint_fails_as_a_program_does() {
    for (flaw, case) in [
        ("ignores-old-fences", "stale-fence"),
        ("any-version", "tolerance"),
        ("fails-when-gone", "destroy"),
    ] {
        let scene = Scene::new();
        let endpoint = Endpoint::serve(scene.folder.path(), flaw);
        let options = [
            "--http",
            &endpoint.url,
            "--only",
            "apply,stale-fence,destroy,tolerance",
        ];
        let found = of_endpoint(scene.folder.path(), &options).run();
        assert_eq!(found.failed(), [case], "{:#}", found.report);
    }
}

/// A program's proof, with nothing but options.
fn typed(scene: &Scene, flaw: &str, options: &[&str]) -> Command {
    let state = scene.folder.path().to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command
        .args(["provisioner", "test"])
        .args(["--env", &format!("STATE={state}")])
        .args(["--env", &format!("FLAW={flaw}")])
        .args(options)
        .arg("--")
        .args([python(), "-I", "-S", &program()])
        .current_dir(state);
    command
}

#[test]
fn people_see_a_table_and_what_is_wrong() {
    let scene = Scene::new();
    let options = ["--only", "apply,tamper,change,destroy"];
    let ended = typed(&scene, "fails-when-gone", &options).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let out = String::from_utf8(ended.stdout).unwrap();
    let verdicts: Vec<Vec<&str>> = out
        .lines()
        .take(5)
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(
        verdicts,
        [
            ["CASE", "VERDICT"],
            ["apply", "ok"],
            ["change", "ok"],
            ["tamper", "skipped"],
            ["destroy", "failed"]
        ]
    );
    for words in [
        "needs --tamper CMD",
        "only running was changed",
        "destroy failed\n  did       destroy of generation 1 under fence 3 of what is gone",
        "came      failed, NotFound",
        "contract  destroy ends with done if nothing is left",
        "docs/reference/provisioner.md, \"What it must do\"",
    ] {
        assert!(out.contains(words), "{words:?} is not in {out}");
    }
    let err = String::from_utf8(ended.stderr).unwrap();
    assert!(err.contains("2 ok, 1 failed, 1 skipped"), "{err}");
}

#[test]
fn every_sentence_of_the_contract_stands_in_a_section_that_exists() {
    let reference = include_str!("../../../../docs/reference/provisioner.md");
    let rules = include_str!("../../src/kit/rules.rs");
    let mut seen = 0;
    for section in rules.split('"').skip(1).step_by(2) {
        if section.contains('.') {
            continue;
        }
        let heading = format!("\n## {section}\n");
        assert!(reference.contains(&heading), "{section}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn every_case_stands_in_the_reference() {
    let help = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["provisioner", "test", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let reference = include_str!("../../../../docs/reference/provisioner.md");
    let (_, prove) = reference.split_once("\n## Prove yours\n").unwrap();
    let named: Vec<&str> = prove
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| help.contains(&format!("- {name}:")))
        .collect();
    assert_eq!(named.len(), CASES, "{named:?}\n{help}");
}

#[test]
fn what_can_not_work_is_refused_before_anything_runs() {
    let scene = Scene::new();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("list.yaml");
    std::fs::write(&file, "- a\n").unwrap();
    let file = file.to_str().unwrap();
    for (options, says) in [
        (&["--desired", "/no/such/file"][..], "can't read"),
        (&["--desired", file], "must be a JSON or YAML object"),
        (&["--tamper", "sh 'x"], "a quote that does not end"),
        (&["--env", "X"], "must be NAME=VALUE"),
        (&["--kills", "0"], "0 is not in 1..=1000"),
        (&["--signing-secret-file", "x"], "cannot be used with"),
    ] {
        let ended = typed(&scene, "", options).output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{options:?}: {err}");
        assert!(err.contains(says), "{options:?}: {err}");
    }
}

#[test]
fn a_tampering_that_fails_says_so() {
    let scene = Scene::new();
    let options = ["--only", "tamper", "--tamper", "false"];
    let ended = typed(&scene, "", &options).output().unwrap();
    let out = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        out.contains("correct --tamper") && out.contains("exit status: 1"),
        "{out}"
    );
}

#[test]
fn a_stopped_kit_destroys_what_it_has_made() {
    let scene = Scene::new();
    let options = ["--kills", "1000", "--only", "killed"];
    let mut running = typed(&scene, "", &options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while scene.left().is_empty() {
        assert!(running.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let id = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let ended = running.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{err}");
    assert!(err.contains("nothing is left behind"), "{err}");
    assert_eq!(scene.left(), Vec::<String>::new());
}
