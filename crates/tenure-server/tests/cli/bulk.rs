//! Exporting and importing fleets.

use std::fs;

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

#[test]
fn a_fleet_goes_from_a_server_to_a_store_and_back() {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, MANIFEST).with(0);

    let printed = project.run(&["export", "--server", &url]).with(0);
    assert_eq!(printed.lines(), 2);
    assert!(
        printed.out.starts_with("{\"annotations\":{}"),
        "{}",
        printed.out
    );
    let gold = project
        .run(&["export", "-l", "tier=gold", "--server", &url])
        .with(0);
    assert_eq!(gold.lines(), 1);
    let file = ["export", "--file", "fleet.ndjson", "--server", &url];
    project
        .run(&file)
        .with(0)
        .saying(&["2 tenants exported to fleet.ndjson"]);
    let nowhere = [
        "export",
        "--file",
        "no/such/folder/fleet.ndjson",
        "--server",
        &url,
    ];
    project
        .run(&nowhere)
        .with(1)
        .saying(&["can't write no/such/folder/fleet.ndjson"]);

    let store = ["--store", "sqlite:elsewhere.db"];
    project
        .run(&["migrate", "--store", "sqlite:elsewhere.db"])
        .with(0);
    let import = |more: &[&str]| {
        let arguments = ["import", "fleet.ndjson", "-m", "moved in"];
        project.run(&[arguments.as_slice(), more, &store].concat())
    };
    let tried = import(&["--dry-run"])
        .with(0)
        .saying(&["2 created", "dry run"]);
    assert_eq!(tried.sorted(), ["acme created", "globex created"]);
    let done = import(&[]).with(0);
    assert_eq!(done.sorted(), ["acme created", "globex created"]);
    done.saying(&["2 tenants: 2 created, 0 configured, 0 unchanged, 0 refused"]);
    assert_eq!(
        import(&[]).with(0).sorted(),
        ["acme unchanged", "globex unchanged"]
    );
    assert_eq!(import(&["-o", "name"]).with(0).sorted(), ["acme", "globex"]);
    let history = project
        .run(&[["history", "acme"].as_slice(), &store].concat())
        .with(0);
    assert!(history.out.contains("moved in"), "{}", history.out);
}

#[test]
fn a_line_that_is_refused_is_told_with_its_place_and_keeps_no_other_from_being_done() {
    let project = Project::small();
    let store = ["--store", "sqlite:elsewhere.db"];
    project
        .run(&["migrate", "--store", "sqlite:elsewhere.db"])
        .with(0);
    let import = |file: &str| project.run(&[["import", file].as_slice(), &store].concat());
    let lines = "{\"name\": \"acme\", \"class\": \"shared\", \"desired\": {\"plan\": \"gold\"}}\n\n\
                 {\"name\": \"Bad\", \"desired\": {}}\n";
    fs::write(project.path().join("fleet.ndjson"), lines).unwrap();
    let refused = import("fleet.ndjson").with(1);
    assert_eq!(refused.out, "acme created\n");
    refused.saying(&[
        "fleet.ndjson:3: ?:",
        "name must be",
        "1 refused",
        "import the same again",
    ]);
    import("none.ndjson")
        .with(1)
        .saying(&["can't read none.ndjson"]);
}

#[test]
fn an_export_follows_links_and_replaces_no_device() {
    use std::os::unix::fs::FileTypeExt as _;

    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    let apply = ["apply", "-f", "-", "--store", &store];
    project.run_with(&apply, MANIFEST).with(0);
    let export = |file: &str| project.run(&["export", "--file", file, "--store", &store]);
    let path = |name: &str| project.path().join(name);

    fs::write(path("real"), "old").unwrap();
    std::os::unix::fs::symlink("real", path("link")).unwrap();
    export("link").with(0);
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
    assert_eq!(project.read("real").lines().count(), 2);
    std::os::unix::fs::symlink("new", path("dangling")).unwrap();
    export("dangling").with(0);
    assert_eq!(project.read("new").lines().count(), 2);

    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let (pipe, reader) = (path("pipe"), path("pipe"));
    let read = std::thread::spawn(move || fs::read_to_string(reader).unwrap());
    export("pipe").with(0);
    assert_eq!(read.join().unwrap().lines().count(), 2);
    assert!(fs::metadata(pipe).unwrap().file_type().is_fifo());

    assert_eq!(export("-").with(0).lines(), 2);
    assert!(!path("-").exists());
}

#[test]
fn an_import_of_nothing_is_refused() {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    for text in ["", "\n \n"] {
        project
            .run_with(&["import", "-", "--store", &store], text)
            .with(1)
            .saying(&["- holds no tenant"]);
    }
}

#[test]
fn a_backup_is_whole_and_written_over_nothing() {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    let apply = ["apply", "-f", "-", "--store", &store];
    project.run_with(&apply, MANIFEST).with(0);
    let backup = |file: &str, store: &str| project.run(&["backup", file, "--store", store]);
    backup("copy.db", &store)
        .with(0)
        .saying(&["copy.db, whole"]);
    let doctor = project
        .run(&["doctor", "--store", "sqlite:copy.db"])
        .with(0);
    doctor.saying(&["2 tenants checked, 2 sound"]);

    project.write("mine", "not to be lost");
    backup("mine", &store)
        .with(1)
        .saying(&["mine is there already"]);
    assert_eq!(project.read("mine"), "not to be lost");
    backup("new.db", "sqlite:none.db")
        .with(1)
        .saying(&["no database none.db"]);
    backup("new.db", "postgres://u@127.0.0.1:1/db")
        .with(2)
        .saying(&["pg_dump"]);
    for name in ["new.db", "none.db"] {
        assert!(!project.path().join(name).exists(), "{name}");
    }
}
