//! Explaining tenants, and what can be done about drift, against a server and against a store.

use crate::support::{Background, Project, tenure};

const MANIFEST: &str = "\
name: acme
class: shared
labels: {tier: gold}
desired: {plan: loose}
---
name: globex
class: shared
desired: {plan: loose}
---
name: initech
class: shared
desired: {plan: broken}
";

/// Three tenants that a server has worked on: two have drifted, one is halted.
fn worked_on() -> (Project, Background, String) {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, MANIFEST).with(0);
    run(&["wait", "acme", "globex", "--timeout", "100s"]).with(0);
    run(&["wait", "initech", "--timeout", "100s"]).with(1);
    (project, server, url)
}

#[test]
fn drift_is_shown_waived_and_accepted() {
    let (project, mut server, url) = worked_on();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let table = run(&["drift"]).with(0);
    let heading = "NAME    CLASS   PATH   WANTED   FOUND    SINCE";
    assert!(table.out.starts_with(heading), "{}", table.out);
    let row = "acme    shared  /plan  \"loose\"  \"tight\"  ";
    assert!(table.out.contains(row), "{}", table.out);
    // In the order of their creation, which for tenants that are applied together is any.
    let names = run(&["drift", "-o", "name"]).with(0).out;
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["acme", "globex"]);
    let gold = run(&["drift", "-o", "name", "-l", "tier=gold"]).with(0);
    assert_eq!(gold.out, "acme\n");
    let other = run(&["drift", "--class", "other", "-o", "json"]).with(0);
    assert_eq!(other.json()["items"], serde_json::json!([]));
    let shown = run(&["get", "acme"]).with(0).out;
    assert!(shown.contains("\n\nPATH   WANTED"), "{shown}");
    run(&["drift", "-l", "tier like gold"]).with(2);

    let waive = ["waive", "acme", "/plan", "--until", "3d", "-m", "a trial"];
    let waived = run(&waive).with(0);
    assert!(
        waived.out.starts_with("acme changed: ready"),
        "{}",
        waived.out
    );
    assert_eq!(run(&["drift", "-o", "name"]).with(0).out, "globex\n");
    let told = run(&["get", "acme", "-o", "json"]).with(0).json()["waivers"][0].clone();
    assert_eq!(
        (&told["path"], &told["message"]),
        (&"/plan".into(), &"a trial".into())
    );
    run(&["waive", "acme", "/plan", "--until", "now"]).with(0);
    let ended = run(&["get", "acme", "-o", "json"]).with(0).json();
    assert_eq!(ended["waivers"], serde_json::Value::Null);
    run(&["waive", "acme", "plan", "--until", "3d"])
        .with(2)
        .saying(&["JSON Pointer"]);
    run(&["waive", "acme", "/plan", "--until", "soon"])
        .with(2)
        .saying(&["2h or 3d"]);
    let stale = [
        "waive",
        "acme",
        "/plan",
        "--until",
        "3d",
        "--if-revision",
        "1",
    ];
    run(&stale).with(4).saying(&["revision_conflict"]);
    run(&["waive", "none", "/plan", "--until", "3d"]).with(3);
    assert!(server.terminate().success(), "{:?}", server.said);

    // The same without a server.
    let store = project.store();
    let here = |arguments: &[&str]| project.run(&[arguments, &["--store", &store]].concat());
    assert_eq!(here(&["drift", "-o", "name"]).with(0).out, "globex\n");
    let accepted = here(&["accept", "globex", "-m", "they pay"]).with(0);
    assert!(
        accepted.out.starts_with("globex changed: updating"),
        "{}",
        accepted.out
    );
    let desired = &here(&["get", "globex", "-o", "json"]).with(0).json()["desired"];
    assert_eq!(desired["plan"], "tight");
    let explained = here(&["explain", "globex"]).with(0).out;
    assert!(
        explained.contains("no_class: class shared is not served"),
        "{explained}"
    );
    assert!(explained.contains("tenure.toml"), "{explained}");
}

#[test]
fn p8_a_tenant_is_explained_on_a_page_or_as_the_api_gives_it() {
    let (project, _server, url) = worked_on();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let page = run(&["explain", "initech"]).with(0).out;
    for part in [
        "initech has been provisioning for ",
        "failed with PlanBroken (mend it)",
        "State       provisioning since ",
        "Last        apply, attempt 1: failed; last failure: PlanBroken: mend it",
        "Blocked by  halted: ",
        "Next        no more attempts are made until `tenure retry initech`",
        "Commands    tenure retry initech  # ",
    ] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    let object = run(&["explain", "initech", "-o", "json"]).with(0).json();
    assert_eq!(object["blocked_by"][0]["kind"], "halted");
    assert_eq!(object["commands"][0]["command"], "tenure retry initech");
    let yaml = run(&["explain", "initech", "-o", "yaml"]).with(0).out;
    assert!(yaml.contains("kind: halted"), "{yaml}");
    let name = run(&["explain", "initech", "-o", "name"]).with(0).out;
    assert_eq!(name, "initech\n");
    let drifted = run(&["explain", "acme"]).with(0).out;
    assert!(
        drifted.contains("tenure waive acme '/plan' --until 7d"),
        "{drifted}"
    );
    run(&["explain", "none"])
        .with(3)
        .saying(&["there is no tenant none"]);
}
