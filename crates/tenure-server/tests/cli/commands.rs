//! Every command against a server, and against a store: exit codes, output, and advice.

use crate::support::{Background, Project, tenure};

const MANIFEST: &str = "\
name: acme
class: shared
labels: {tier: gold}
desired: {plan: gold}
---
name: globex
class: shared
desired: {plan: silver}
";

/// A server of a small project.
fn serving() -> (Project, Background, String) {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    (project, server, url)
}

#[test]
fn p2_what_a_server_was_told_a_client_can_read_and_follow() {
    let (project, _server, url) = serving();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let apply = [
        "apply",
        "-f",
        "-",
        "--message",
        "first customers",
        "--server",
        &url,
    ];
    let applied = project.run_with(&apply, MANIFEST).with(0);
    assert_eq!(applied.out, "acme created\nglobex created\n");
    applied.saying(&["2 tenants: 2 created, 0 configured, 0 unchanged"]);
    let waited = run(&["wait", "acme", "globex", "--for=ready", "--timeout", "100s"]).with(0);
    assert_eq!(waited.out, "acme ready\nglobex ready\n");

    let again = project.run_with(&apply, MANIFEST).with(0);
    assert_eq!(again.out, "acme unchanged\nglobex unchanged\n");
    let changed = MANIFEST.replace("plan: silver", "plan: gold");
    let dry = ["apply", "-f", "-", "--dry-run", "--server", &url];
    let dry = project
        .run_with(&dry, &changed)
        .with(0)
        .saying(&["dry run"]);
    assert_eq!(dry.out, "acme unchanged\nglobex configured\n");
    assert_eq!(
        run(&["get", "globex", "-o", "json"]).with(0).json()["generation"],
        1
    );

    let gold = run(&["list", "-o", "name", "-l", "tier=gold"]).with(0);
    assert_eq!(gold.out, "acme\n");
    let ready = run(&["list", "-o", "name", "--state", "ready,updating"]).with(0);
    assert_eq!(ready.lines(), 2);
    let page = run(&["list", "--page-size", "1"]).with(0);
    assert_eq!(page.lines(), 2, "{}", page.out);
    page.saying(&["--page-token", "--all"]);
    let all = run(&["list", "--all", "--page-size", "1", "-o", "name"]).with(0);
    assert_eq!(all.lines(), 2);
    let counts = run(&["counts"]).with(0).out;
    assert!(counts.contains("ready         2"), "{counts}");
}

#[test]
fn p3_a_life_is_told_by_its_history_and_survives_the_server() {
    let (project, mut server, url) = serving();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let apply = [
        "apply",
        "-f",
        "-",
        "--message",
        "first customers",
        "--server",
        &url,
    ];
    project.run_with(&apply, MANIFEST).with(0);
    run(&["wait", "acme", "globex"]).with(0);

    let suspended = run(&["suspend", "acme", "--message", "unpaid"]).with(0);
    assert!(
        suspended.out.starts_with("acme changed: suspending"),
        "{}",
        suspended.out
    );
    run(&["wait", "acme", "--for=suspended"]).with(0);
    let history = run(&["history", "acme", "-o", "json"]).with(0).json();
    let lines = history["items"].as_array().unwrap();
    let line = lines
        .iter()
        .find(|line| line["reason"] == "SuspendRequested")
        .unwrap();
    assert_eq!(
        (&line["actor"], &line["message"]),
        (&"user:test".into(), &"unpaid".into())
    );
    assert_eq!(lines[0]["message"], "first customers");

    run(&["delete", "acme"]).with(2).saying(&["--yes"]);
    let id = run(&["get", "acme", "-o", "json"]).with(0).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    run(&["delete", "acme", "--yes"]).with(0);
    run(&["wait", "acme", "--for=deleted"]).with(0);
    // It is no less deleted for who asks later.
    run(&["wait", "acme", "--for=deleted", "--timeout", "0"]).with(0);
    run(&["get", "acme"])
        .with(3)
        .saying(&["there is no tenant acme", "it was deleted"]);
    assert_eq!(
        run(&["get", &id, "-o", "json"]).with(0).json()["state"],
        "deleted"
    );
    assert!(server.terminate().success(), "{:?}", server.said);

    // The server has let go of the store, and everything is in it.
    let store = project.store();
    let doctor = project.run(&["doctor", "--store", &store]).with(0);
    doctor.saying(&["2 tenants checked, 2 sound, 0 findings"]);
    assert_eq!(
        project
            .run(&["list", "-o", "name", "--store", &store])
            .with(0)
            .out,
        "globex\n"
    );
}

#[test]
fn p8_a_tenant_that_can_not_be_made_says_why_and_is_retried() {
    let (project, _server, url) = serving();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let broken = "name: acme\nclass: shared\ndesired: {plan: broken}\n";
    project
        .run_with(&["apply", "-f", "-", "--server", &url], broken)
        .with(0);
    let waited = run(&["wait", "acme", "--timeout", "100s"]).with(1);
    waited.saying(&["PlanBroken: mend it", "tenure retry acme"]);
    let listed = run(&["list", "--condition", "failing"]).with(0);
    assert!(listed.out.contains("PlanBroken"), "{}", listed.out);
    run(&["retry", "acme", "--message", "again"]).with(0);
    run(&["wait", "acme", "--timeout", "100s"]).with(1);
    let mended = broken.replace("broken", "gold");
    project
        .run_with(&["apply", "-f", "-", "--server", &url], &mended)
        .with(0);
    run(&["wait", "acme", "--timeout", "100s"]).with(0);
}

#[test]
fn p3_a_watched_tenant_is_followed_to_its_end() {
    let (project, _server, url) = serving();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, MANIFEST).with(0);
    run(&["wait", "acme", "--timeout", "100s"]).with(0);
    let watched = std::thread::scope(|scope| {
        let watching = scope.spawn(|| run(&["watch", "acme", "--last", "100"]));
        run(&["delete", "acme", "--yes"]).with(0);
        watching.join().unwrap().with(0)
    });
    let reasons: Vec<_> = watched
        .out
        .lines()
        .filter_map(|line| line.split("  ").nth(3))
        .collect();
    let expected = [
        "Requested",
        "ProvisioningStarted",
        "Provisioned",
        "DeleteRequested",
        "Deleted",
    ];
    assert_eq!(reasons, expected, "{}", watched.out);
    run(&["watch", "acme"]).with(3);
}

#[test]
fn waiting_ends_when_its_time_is_over() {
    let (project, _server, url) = serving();
    let stuck = "name: acme\nclass: shared\ndesired: {plan: stuck}\n";
    project
        .run_with(&["apply", "-f", "-", "--server", &url], stuck)
        .with(0);
    let waited = project.run(&["wait", "acme", "--timeout", "1s", "--server", &url]);
    waited
        .with(5)
        .saying(&["acme is", "and not ready", "tenure explain acme"]);
}

#[test]
fn a_held_tenant_says_who_lets_it_go_on() {
    let (project, _server, url) = serving();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    project
        .run_with(&["apply", "-f", "-", "--server", &url], MANIFEST)
        .with(0);
    run(&["wait", "acme"]).with(0);
    run(&["hold", "acme", "--message", "looking at it"]).with(0);
    run(&["suspend", "acme"]).with(0);
    run(&["wait", "acme", "--for=suspended"])
        .with(1)
        .saying(&["tenure release acme"]);
    run(&["release", "acme"]).with(0);
    run(&["wait", "acme", "--for=suspended"]).with(0);
    run(&["resume", "acme"]).with(0);
    run(&["wait", "acme"]).with(0);
}

#[test]
fn p4_a_precondition_that_does_not_hold_is_a_conflict() {
    let (project, _server, url) = serving();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    project
        .run_with(&["apply", "-f", "-", "--server", &url], MANIFEST)
        .with(0);
    run(&["wait", "acme"]).with(0);
    run(&["suspend", "acme", "--if-revision", "1"])
        .with(4)
        .saying(&["revision"]);
    run(&["get", "nobody"]).with(3);
    run(&["get", "Not A Name"])
        .with(2)
        .saying(&["name must be"]);
    run(&["list", "--state", "broken"])
        .with(2)
        .saying(&["requested"]);
    run(&["list", "-l", "a b"])
        .with(2)
        .saying(&["key in (a,b)"]);
    let classless =
        "name: other\nclass: gold\ndesired: {}\n---\nname: more\nclass: shared\ndesired: {}\n";
    let ended = project.run_with(&["apply", "-f", "-", "--server", &url], classless);
    assert_ne!(ended.code, 0);
    ended.saying(&["-:1: other: there is no class gold", "nothing was applied"]);
    run(&["get", "more"]).with(3);
    let reclassed = "name: acme\ndesired: {}\nclass: default\n";
    let ended = project.run_with(&["apply", "-f", "-", "--server", &url], reclassed);
    assert_ne!(ended.code, 0, "{}", ended.out);
}

#[test]
fn every_error_says_what_to_do_next() {
    let project = Project::small();
    let nobody = ["list", "--server", "http://127.0.0.1:9"];
    project
        .run(&nobody)
        .with(1)
        .saying(&["tenure serve", "--store"]);
    project
        .run(&["list", "--server", "nonsense"])
        .with(2)
        .saying(&["http://HOST:PORT"]);
    project
        .run(&["list", "--store", "sqlite:no.db"])
        .with(1)
        .saying(&["no database no.db", "migrate"]);
    assert!(!project.path().join("no.db").exists());
    project.run(&["doctor"]).with(2).saying(&["--store URL"]);
    project.run(&["frobnicate"]).with(2);
    project
        .run(&["serve", "--config", "no.toml"])
        .with(1)
        .saying(&["no.toml"]);
}

#[test]
fn p12_a_server_listens_on_loopback_only() {
    let project = Project::small();
    let ended = project.run(&["serve", "--listen", "0.0.0.0:0"]).with(1);
    ended.saying(&["listen on 127.0.0.1"]);
    assert!(!project.database().exists());
}

#[test]
fn a_second_process_on_the_file_is_told_to_ask_the_first() {
    let (project, _server, _url) = serving();
    let second = project.run(&["list", "--store", &project.store()]).with(1);
    second.saying(&["use --server"]);
    project
        .run(&["serve"])
        .with(1)
        .saying(&["in use by another process"]);
}

#[test]
fn help_lists_the_exit_codes() {
    let project = Project::small();
    let help = project.run(&["--help"]).with(0).out;
    for line in [
        "0  it is so",
        "3  there is no such tenant",
        "5  it was not so in time",
    ] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn the_reference_has_every_command_and_every_exit_code() {
    let project = Project::small();
    let reference = include_str!("../../../../docs/reference/cli.md");
    let help = project.run(&["--help"]).with(0).out;
    let section = |from: &str| {
        let rest = help.split_once(from).unwrap().1.trim_start_matches('\n');
        rest.split("\n\n").next().unwrap().to_owned()
    };
    let first = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    // A long sentence goes on in the next line, further in.
    let is_first = |line: &&str| !line.starts_with("   ");
    let section_of_commands = section("Commands:");
    let lines = section_of_commands.lines().filter(is_first);
    let commands: Vec<String> = lines.map(first).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands.iter().filter(|command| *command != "help") {
        let rows = ["tenure ", "|"].map(|before| format!("{before}{command}"));
        assert!(rows.iter().any(|row| reference.contains(row)), "{command}");
    }
    for line in section("Exit codes:").lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(
            reference.contains(&format!("| {code} | {meaning} |")),
            "{line}"
        );
    }
}

/// Runs a command on a terminal of its own, with something typed there.
fn on_a_terminal(project: &Project, arguments: &[&str], typed: &str) -> (i32, String) {
    let words = [&[env!("CARGO_BIN_EXE_tenure")], arguments].concat();
    let mut terminal = std::process::Command::new("script");
    let mut child = terminal
        .args([
            "--quiet",
            "--return",
            "--echo",
            "never",
            "--command",
            &words.join(" "),
            "/dev/null",
        ])
        .current_dir(project.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, typed.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    (ended.status.code().unwrap_or(-1), said)
}

#[test]
fn a_deletion_asks_for_the_name_on_a_terminal() {
    let (project, _server, url) = serving();
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, MANIFEST).with(0);
    let delete = ["delete", "acme", "--server", &url];
    let (code, said) = on_a_terminal(&project, &delete, "yes\n");
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("Type acme to go on") && said.contains("nothing was done"),
        "{said}"
    );
    let got = ["get", "acme", "-o", "jsonpath={.id}", "--server", &url];
    let id = project.run(&got).with(0).out;
    // Who is not there is told before anything is asked, and an id is asked for by its name.
    let nobody = ["delete", "nobody", "--server", &url];
    let (code, said) = on_a_terminal(&project, &nobody, "nobody\n");
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("no tenant nobody") && !said.contains("Type"),
        "{said}"
    );
    let by_id = ["delete", id.trim(), "--server", &url];
    let (code, said) = on_a_terminal(&project, &by_id, "no\n");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Type acme to go on"), "{said}");
    project.run(&["wait", "acme", "--server", &url]).with(0);
    let (code, said) = on_a_terminal(&project, &by_id, "acme\n");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("acme changed: deleting"), "{said}");
}
