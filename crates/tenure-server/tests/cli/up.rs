//! `up` on the example: what it makes, and what it leaves alone.

use std::collections::BTreeMap;

use crate::support::{Background, Project, tenure};

/// Each tenant's revision and state.
fn revisions(project: &Project) -> BTreeMap<String, (u64, String)> {
    let one = |tenant: &serde_json::Value| {
        let text = |key: &str| tenant[key].as_str().unwrap().to_owned();
        (
            text("name"),
            (tenant["revision"].as_u64().unwrap(), text("state")),
        )
    };
    project.tenants().iter().map(one).collect()
}

#[test]
fn p5_up_again_changes_nothing_and_a_changed_manifest_changes_only_what_it_names() {
    let project = Project::example();
    let first = project.up().with(0).saying(&["20 tenants: 20 created"]);
    assert_eq!(first.out.lines().count(), 21, "{}", first.out);
    let made = revisions(&project);
    assert_eq!(made.len(), 20);
    for (name, (_, state)) in &made {
        let expected = if name == "old-mill-brewery" {
            "suspended"
        } else {
            "ready"
        };
        assert_eq!(state, expected, "{name}");
    }

    project
        .up()
        .with(0)
        .saying(&["20 tenants: 0 created, 0 configured, 20 unchanged"]);
    assert_eq!(revisions(&project), made, "the second time wrote something");

    let manifest = project.read("tenants.yaml");
    let more_seats = manifest.replacen("seats: 3\n", "seats: 4\n", 1);
    assert_ne!(more_seats, manifest);
    project.write("tenants.yaml", &more_seats);
    project
        .up()
        .with(0)
        .saying(&["20 tenants: 0 created, 1 configured, 19 unchanged"]);
    let changed: Vec<String> = revisions(&project)
        .into_iter()
        .filter(|(name, now)| made.get(name) != Some(now))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["alder-bakery"]);
    project
        .run(&["doctor", "--store", &project.store()])
        .with(0);
}

#[test]
fn p8_a_mistake_that_breaks_the_schema_is_named_and_nothing_is_written() {
    let project = Project::example();
    let manifest = project
        .read("tenants.yaml")
        .replacen("seats: 12\n", "seats: many\n", 1);
    project.write("tenants.yaml", &manifest);
    let refused = project.up().with(1).saying(&[
        "cedar-clinic",
        "/seats must be of type integer (schema_violation)",
        "nothing was applied",
    ]);
    assert!(!refused.err.contains("many"), "{}", refused.err);
    assert!(revisions(&project).is_empty());
}

#[test]
fn p8_a_mistake_that_only_the_provisioner_finds_is_named_and_stops_no_other() {
    let project = Project::example();
    let without: String = project
        .read("tenure.toml")
        .lines()
        .filter(|line| !line.starts_with("schema = "))
        .flat_map(|line| [line, "\n"])
        .collect();
    project.write("tenure.toml", &without);
    let manifest = project
        .read("tenants.yaml")
        .replacen("seats: 12\n", "seats: many\n", 1);
    project.write("tenants.yaml", &manifest);
    project
        .up()
        .with(1)
        .saying(&["cedar-clinic fails: InvalidDesired"]);
    let ready = revisions(&project)
        .values()
        .filter(|(_, state)| state == "ready")
        .count();
    assert_eq!(ready, 18);
}

#[test]
fn up_serves_until_it_is_told_to_stop() {
    let project = Project::small();
    project.write(
        "tenants.yaml",
        "name: acme\nclass: shared\ndesired: {plan: gold}\n",
    );
    let mut up = Background::start(tenure(project.path(), &["up"]));
    let url = up.url();
    let listed = project
        .run(&["list", "-o", "name", "--server", &url])
        .with(0);
    assert_eq!(listed.out, "acme\n");
    let steps: Vec<String> = (0..3).filter_map(|_| up.line()).collect();
    assert!(
        steps.iter().all(|step| step.contains("  tenure ")),
        "{steps:?}"
    );
    assert!(steps.iter().all(|step| step.contains(&url)), "{steps:?}");
    assert!(up.terminate().success(), "{:?}", up.said);
}

#[test]
fn work_that_runs_when_up_is_told_to_stop_is_handed_back() {
    let project = Project::small();
    project.write(
        "tenants.yaml",
        "name: acme\nclass: shared\ndesired: {plan: stuck}\n",
    );
    let mut up = Background::start(tenure(project.path(), &["up"]));
    while !up.line().unwrap().contains("provisioning") {}
    assert!(up.terminate().success(), "{:?}", up.said);
    let tenant = project
        .run(&["get", "acme", "-o", "json", "--store", &project.store()])
        .with(0);
    let work = &tenant.json()["work"];
    assert_eq!(
        (&work["holder"], &work["attempts"]),
        (&serde_json::Value::Null, &0.into())
    );
    // Said before anything runs again: what was begun is not cut short by a newer wish.
    project.write(
        "tenants.yaml",
        "name: acme\nclass: shared\ndesired: {plan: gold}\n",
    );
    let store = project.store();
    project
        .run(&["apply", "-f", ".", "--store", &store])
        .with(0)
        .saying(&["1 configured"]);
    project.up().with(0);
}
