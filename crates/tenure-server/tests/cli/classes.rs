//! What the configuration asks of `desired`, on the command line: `apply --store` and `doctor`.

use serde_json::json;

use crate::support::{Background, Ended, Project, tenure};

/// A small project whose class has a schema.
fn project(schema: &str) -> Project {
    let project = Project::small();
    project.write("shared.schema.json", schema);
    let text = project.read("tenure.toml");
    project.write(
        "tenure.toml",
        &format!("{text}schema = 'shared.schema.json'\ndefaults = {{ seats = 3 }}\n"),
    );
    project
        .run(&["migrate", "--store", &project.store()])
        .with(0);
    project
}

fn apply(project: &Project, manifest: &str) -> Ended {
    project.run_with(&["apply", "-f", "-", "--store", &project.store()], manifest)
}

const STRICT: &str =
    r#"{"properties": {"plan": {"enum": ["gold"]}, "seats": {"type": "integer"}}}"#;

#[test]
fn apply_straight_to_a_store_goes_by_the_classes_too() {
    let project = project(STRICT);
    let good = "name: acme\nclass: shared\ndesired: {plan: gold}\n";
    apply(&project, good).with(0).saying(&["1 created"]);
    apply(&project, good).with(0).saying(&["1 unchanged"]);
    let store = project.store();
    let got = project.run(&["get", "acme", "-o", "json", "--store", &store]);
    let tenant = got.with(0).json();
    assert_eq!(tenant["desired"], json!({"plan": "gold", "seats": 3}));
    apply(&project, &good.replace("gold", "silver"))
        .with(1)
        .saying(&["/plan must be one of [\"gold\"] (schema_violation)"]);
    apply(&project, "name: b\nclass: other\ndesired: {}\n")
        .with(1)
        .saying(&["there is no class other", "unknown_class"]);
    // Without the file, and for what writes no desired, nothing is asked.
    project.write("shared.schema.json", "{");
    let suspend = ["suspend", "acme", "--store", &store];
    project.run(&suspend).with(0);
    apply(&project, good)
        .with(1)
        .saying(&["shared.schema.json"]);
}

#[test]
fn doctor_names_the_living_that_the_configuration_would_refuse() {
    let project = project("{}");
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    for (name, plan) in [("acme", "hunter2"), ("globex", "gold"), ("gone", "hunter2")] {
        let manifest = format!("name: {name}\nclass: shared\ndesired: {{plan: {plan}}}\n");
        let apply = ["apply", "-f", "-", "--server", &url];
        project.run_with(&apply, &manifest).with(0);
    }
    run(&["wait", "acme", "globex", "gone"]).with(0);
    run(&["delete", "gone", "--yes"]).with(0);
    run(&["wait", "gone", "--for=deleted"]).with(0);
    assert!(server.terminate().success(), "{:?}", server.said);
    let store = project.store();
    let doctor = ["doctor", "--store", &store];
    project
        .run(&doctor)
        .with(0)
        .saying(&["3 tenants checked, 3 sound, 0 findings; 0 that tenure.toml would refuse"]);

    project.write("shared.schema.json", STRICT);
    let ended = project.run(&doctor).with(1).saying(&[
        "3 tenants checked, 3 sound, 0 findings; 1 that tenure.toml would refuse",
        "the store is sound, but",
    ]);
    assert!(
        ended.out.contains("acme: desired does not satisfy"),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("globex") && !ended.out.contains("hunter2"));

    let other = "[classes.other]\nexec = ['x']\n";
    project.write("other.toml", other);
    let json = [
        "doctor",
        "-o",
        "json",
        "--config",
        "other.toml",
        "--store",
        &store,
    ];
    let found = project.run(&json).with(1).json();
    assert_eq!(
        (&found["sound"], &found["findings"]),
        (&json!(3), &json!([]))
    );
    let found = found["config_findings"].as_array().unwrap();
    let line = |found: &serde_json::Value| (found["name"].clone(), found["rule"].clone());
    assert_eq!(
        found.iter().map(line).collect::<Vec<_>>(),
        [
            ("acme".into(), "class".into()),
            ("globex".into(), "class".into())
        ]
    );

    // Without a configuration there is nothing to compare with.
    std::fs::remove_file(project.path().join("tenure.toml")).unwrap();
    let plain = project.run(&doctor).with(0);
    assert!(
        plain.err.trim_end().ends_with("0 findings"),
        "{}",
        plain.err
    );
}
