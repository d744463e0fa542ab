//! `diff`: what a manifest would change, on a server and on a store.

use crate::support::{Background, Project, tenure};

const MANIFEST: &str = "\
name: acme
class: shared
labels: {tier: gold}
desired: {plan: gold, limits: {seats: 3}}
---
name: globex
class: shared
desired: {plan: silver}
";

const NEW: &str = "\
acme (new)
+ /class: \"shared\"
+ /desired/limits/seats: 3
+ /desired/plan: \"gold\"
+ /labels/tier: \"gold\"
+ /running: true
globex (new)
+ /class: \"shared\"
+ /desired/plan: \"silver\"
+ /running: true
";

/// What is said with `via` before and after the manifest is applied and changed.
fn told(project: &Project, via: &[&str]) {
    let diff = [&["diff", "-f", "-"], via].concat();
    let new = project.run_with(&diff, MANIFEST).with(1);
    assert_eq!(new.out, NEW);
    assert_eq!(
        new.err,
        "2 tenants: 2 would be created, 0 configured, 0 unchanged\n"
    );
    // Nothing was done.
    project.run(&[&["get", "acme"], via].concat()).with(3);
    let apply = [&["apply", "-f", "-"], via].concat();
    project.run_with(&apply, MANIFEST).with(0);
    let same = project.run_with(&diff, MANIFEST).with(0);
    assert_eq!(same.out, "");

    let changed = MANIFEST
        .replace("seats: 3", "seats: 4")
        .replace("tier: gold", "tier: best");
    let differs = project.run_with(&diff, &changed).with(1);
    let expected = "\
acme (changed)
- /desired/limits/seats: 3
+ /desired/limits/seats: 4
- /labels/tier: \"gold\"
+ /labels/tier: \"best\"
";
    assert_eq!(differs.out, expected);
    let json = [&diff[..], &["-o", "json"]].concat();
    let json = project.run_with(&json, &changed).with(1).json();
    assert_eq!(
        json["items"][0]["changes"][0]["path"],
        "/desired/limits/seats"
    );
    let colored = [&diff[..], &["--color", "always"]].concat();
    let colored = project.run_with(&colored, &changed).with(1);
    assert!(
        colored
            .out
            .contains("\u{1b}[31m- /desired/limits/seats: 3\u{1b}[0m")
    );

    // What goes wrong is told apart from what differs.
    let refused = MANIFEST.replace("class: shared\ndesired", "class: gold\ndesired");
    let refused = project.run_with(&diff, &refused);
    assert_eq!(refused.code, 7, "{refused:?}");
    refused.saying(&["globex", "class"]);
    let unread = [&["diff", "-f", "no such"], via].concat();
    project.run(&unread).with(7).saying(&["no such"]);
}

#[test]
fn p5_what_would_change_is_told_by_a_server() {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    told(&project, &["--server", &url]);
    let nobody = ["diff", "-f", "-", "--server", "http://127.0.0.1:9"];
    project
        .run_with(&nobody, MANIFEST)
        .with(7)
        .saying(&["tenure serve"]);
    // One that is not there is not there for any of them.
    let many: Vec<String> = (0..100)
        .map(|n| format!("name: t{n}\ndesired: {{}}\n"))
        .collect();
    let ended = project.run_with(&nobody, &many.join("---\n")).with(7);
    assert!(ended.err.lines().count() < 4, "{}", ended.err);
}

#[test]
fn p5_what_would_change_is_told_by_a_store() {
    let project = Project::small();
    project
        .run(&["migrate", "--store", &project.store()])
        .with(0);
    told(&project, &["--store", &project.store()]);
}
