//! Looking at tenants: pages, the past, picked values, and what scripts read.

use crate::support::{Background, Project, tenure};

const MANIFEST: &str = "\
name: acme
class: shared
labels: {tier: gold}
desired: {plan: loose, seats: 3}
---
name: globex
class: shared
labels: {tier: gold}
desired: {plan: silver}
";

fn serving() -> (Project, Background, String) {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    project
        .run_with(&["apply", "-f", "-", "--server", &url], MANIFEST)
        .with(0);
    (project, server, url)
}

#[test]
fn p8_a_page_describes_all_of_a_tenant() {
    let (project, _server, url) = serving();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    run(&[
        "wait",
        "acme",
        "--for=condition=drifted",
        "--timeout",
        "100s",
    ])
    .with(0);
    run(&["wait", "globex", "--timeout", "100s"]).with(0);
    let page = run(&["describe", "acme"]).with(0).out;
    for line in [
        "Name        acme",
        "Class       shared",
        "Labels      tier=gold",
        "Conditions  drifted since ",
        "Wanted and observed",
        "≠  /plan",
        "\"loose\"  \"tight\"",
        "History",
        "Provisioned",
    ] {
        assert!(page.contains(line), "{line:?} is not in:\n{page}");
    }
    let json = run(&["describe", "acme", "-o", "json"]).with(0).json();
    assert_eq!(json["tenant"]["name"], "acme");
    assert_eq!(json["history"][0]["revision"], 1);
    assert!(json["explanation"]["summary"].is_string());
    run(&["describe", "nobody"])
        .with(3)
        .saying(&["there is no tenant nobody"]);
    run(&["wait", "-l", "tier=gold", "--for=condition!=failing"]).with(0);
    run(&["wait", "-l", "tier=none"])
        .with(3)
        .saying(&["tenure list"]);
    run(&["wait", "acme", "--for=condition=wet"])
        .with(2)
        .saying(&["drifted"]);
    run(&[
        "wait",
        "acme",
        "--for=condition!=drifted",
        "--timeout",
        "1s",
    ])
    .with(5)
    .saying(&["still drifted"]);
}

#[test]
fn p3_the_past_is_still_there() {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    let run = |arguments: &[&str]| project.run(&[arguments, &["--store", &store]].concat());
    let apply = |text: &str| {
        project
            .run_with(&["apply", "-f", "-", "--store", &store], text)
            .with(0)
    };
    apply(MANIFEST);
    apply(&MANIFEST.replace("seats: 3", "seats: 4"));
    let seats = "jsonpath={.desired.seats}";
    assert_eq!(run(&["get", "acme", "-o", seats]).with(0).out, "4\n");
    let then = run(&["get", "acme", "--revision", "1", "-o", seats]).with(0);
    assert_eq!(then.out, "3\n");
    let first = run(&["history", "acme", "-o", "jsonpath={.items[0].at}"])
        .with(0)
        .out;
    let then = run(&["get", "acme", "--at", first.trim(), "-o", seats]).with(0);
    assert_eq!(then.out, "3\n");
    run(&["get", "acme", "--at", "3d"])
        .with(3)
        .saying(&["was created at"]);
    run(&["get", "acme", "--at", "2020-01-01"])
        .with(3)
        .saying(&["was created at"]);
    run(&["get", "acme", "--at", "tuesday"])
        .with(2)
        .saying(&["2026-11-17", "3d"]);
    run(&["get", "acme", "--at", "3d", "--revision", "1"]).with(2);

    let newest = run(&["history", "acme", "--newest", "--limit", "1", "-o", "name"]).with(0);
    assert_eq!(newest.out, "2\n");
    run(&["history", "acme", "--limit", "0"]).with(2);
}

#[test]
fn several_tenants_are_shown_as_a_list() {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    project
        .run_with(&["apply", "-f", "-", "--store", &store], MANIFEST)
        .with(0);
    let run = |arguments: &[&str]| project.run(&[arguments, &["--store", &store]].concat());
    assert_eq!(
        run(&["get", "acme", "globex", "-o", "name"]).with(0).out,
        "acme\nglobex\n"
    );
    let picked = "jsonpath={.items[*].name}";
    assert_eq!(
        run(&["get", "-l", "tier=gold", "-o", picked])
            .with(0)
            .sorted(),
        ["acme", "globex"]
    );
    assert_eq!(
        run(&["get", "-l", "tier=none", "-o", "json"])
            .with(0)
            .json()["items"],
        serde_json::json!([])
    );
    let one = run(&["get", "globex", "nobody", "--no-headers"]).with(3);
    assert!(one.out.starts_with("globex"), "{}", one.out);
    one.saying(&["there is no tenant nobody", "--include-deleted"]);
    run(&["get"]).with(2);
    run(&["get", "acme", "-l", "tier=gold"]).with(2);
    run(&["list", "-o", "jsonpath={.items[}"])
        .with(2)
        .saying(&["JSONPath"]);
    run(&["list", "-o", "xml"])
        .with(2)
        .saying(&["table, wide, json"]);
    assert_eq!(run(&["list", "--no-headers"]).with(0).lines(), 2);
}

#[test]
fn shells_and_man_are_served() {
    let project = Project::small();
    for shell in ["bash", "zsh", "fish"] {
        let script = project.run(&["completions", shell]).with(0).out;
        assert!(script.contains("describe"), "{shell}");
    }
    project
        .run(&["completions", "cobol"])
        .with(2)
        .saying(&["bash"]);
    project.run(&["man", "pages"]).with(0);
    assert!(project.read("pages/tenure-describe.1").contains("tenure"));
    assert!(project.read("pages/tenure.1").contains("tenure"));
    project
        .run(&["man", "tenure.toml"])
        .with(1)
        .saying(&["name a folder"]);
}
