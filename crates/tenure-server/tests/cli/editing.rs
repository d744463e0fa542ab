//! `edit`: with an editor, conflicts and refusals; nothing that was typed is lost.

use std::path::Path;

use crate::support::{Ended, Project, tenure};

const MANIFEST: &str = "\
name: acme
labels: {code: '007', country: 'no'}
desired: {plan: gold, notes: {\"a: b\": \"1.0\"}, list: [1, {x: null}]}
";

fn project() -> Project {
    let project = Project::small();
    // Without its configuration, so that any class will do.
    std::fs::remove_file(project.path().join("tenure.toml")).unwrap();
    project
        .run(&["migrate", "--store", &project.store()])
        .with(0);
    let store = project.store();
    project
        .run_with(&["apply", "-f", "-", "--store", &store], MANIFEST)
        .with(0);
    project
}

/// Edits acme with a shell script, which finds the file in `$1`.
fn edit(project: &Project, script: &str) -> Ended {
    project.write("editor.sh", script);
    let mut command = tenure(
        project.path(),
        &["edit", "acme", "--store", &project.store()],
    );
    command
        .env("EDITOR", "sh editor.sh")
        .env("TMPDIR", project.path());
    command.output().unwrap().into()
}

/// The files that edits have left.
fn kept(project: &Project) -> Vec<String> {
    let files = std::fs::read_dir(project.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("tenure-")).collect()
}

fn acme(project: &Project) -> serde_json::Value {
    let get = ["get", "acme", "-o", "json", "--store", &project.store()];
    project.run(&get).with(0).json()
}

#[test]
fn what_is_edited_is_sent_and_nothing_else_changes() {
    let project = project();
    let before = acme(&project);
    let edited = edit(&project, "cp $1 seen; sed -i s/gold/silver/ $1").with(0);
    assert!(
        edited
            .out
            .starts_with("acme changed: requested, revision 2"),
        "{}",
        edited.out
    );
    let after = acme(&project);
    assert_eq!(after["desired"]["plan"], "silver");
    for part in ["labels", "annotations", "running", "class"] {
        assert_eq!(after[part], before[part]);
    }
    assert_eq!(after["desired"]["notes"], before["desired"]["notes"]);
    assert_eq!(after["desired"]["list"], before["desired"]["list"]);
    assert!(project.read("seen").starts_with("# acme at revision 1."));
    assert_eq!(kept(&project), Vec::<String>::new());
}

#[test]
fn without_a_change_nothing_is_sent() {
    let project = project();
    for script in ["true", ": > $1", "sed -i '/^[^#]/d' $1"] {
        edit(&project, script).with(0).saying(&["nothing was sent"]);
    }
    edit(&project, "exit 3")
        .with(1)
        .saying(&["sh editor.sh", "nothing was sent"]);
    assert_eq!(acme(&project)["revision"], 1);
    assert_eq!(kept(&project), Vec::<String>::new());
}

#[test]
fn p4_what_was_typed_is_kept_if_it_can_not_be_taken() {
    for (script, code, says) in [
        ("sed -i s/plan:/plan/ $1", 1, ".yaml:"),
        (
            "sed -i 's/name: acme/name: other/' $1",
            2,
            "a name is not changed",
        ),
        (
            "sed -i 's/class: default/class: shared/; s/gold/lost/' $1",
            4,
            "put `class: default` back there",
        ),
        ("sed -i s/gold/lost/ $1; exit 1", 1, "failed"),
    ] {
        let project = project();
        let ended = edit(&project, script).with(code);
        let [file] = kept(&project).try_into().unwrap();
        let ended = ended.saying(&[says, &file, "tenure apply -f"]);
        assert!(
            Path::new(project.path()).join(&file).exists(),
            "{}",
            ended.err
        );
        assert_eq!(acme(&project)["revision"], 1, "{script}");
    }
}

#[test]
fn p4_who_was_faster_is_not_overwritten() {
    let project = project();
    // Somebody else puts a label meanwhile; a store has one owner, which a server is.
    let mut server = crate::support::Background::start({
        project.write(
            "tenure.toml",
            "listen = '127.0.0.1:0'\n[classes.default]\nexec = ['true']\n",
        );
        tenure(project.path(), &["serve"])
    });
    let url = server.url();
    let program = env!("CARGO_BIN_EXE_tenure");
    let script = format!("sed -i s/gold/mine/ $1; {program} hold acme --server {url} >&2");
    project.write("editor.sh", &script);
    let mut command = tenure(project.path(), &["edit", "acme", "--server", &url]);
    command
        .env("EDITOR", "sh editor.sh")
        .env("TMPDIR", project.path());
    let ended: Ended = command.output().unwrap().into();
    ended.with(4).saying(&["is kept in", "tenure diff -f"]);
    let [file] = kept(&project).try_into().unwrap();
    assert!(project.read(&file).contains("mine"));
    let get = [
        "get",
        "acme",
        "-o",
        "jsonpath={.desired.plan}",
        "--server",
        &url,
    ];
    assert_eq!(project.run(&get).with(0).out, "gold\n");
}

#[test]
fn what_is_taken_out_is_removed() {
    let project = project();
    let store = project.store();
    let annotate = ["annotate", "acme", "a=b", "--store", &store];
    project.run(&annotate).with(0);
    project.run(&["suspend", "acme", "--store", &store]).with(0);
    let script = "sed -i '/^labels:/,/^annotations:/{/^annotations:/!d}; /^annotations:/,/^desired:/{/^desired:/!d}; /^running:/d; /^class:/d' $1; cat $1 >&2";
    let ended = edit(&project, script).with(0);
    let after = acme(&project);
    let none = serde_json::json!({});
    assert_eq!(after["labels"], none, "{}", ended.err);
    assert_eq!(after["annotations"], none, "{}", ended.err);
    assert_eq!(after["running"], true);
    assert_eq!(after["class"], "default");
    assert_eq!(after["desired"]["plan"], "gold");
}

#[test]
fn what_an_editor_removed_is_not_said_to_be_kept() {
    let project = project();
    let ended = edit(&project, "rm $1").with(1).saying(&["nothing is kept"]);
    assert!(!ended.err.contains("is kept in"), "{}", ended.err);
    assert_eq!(acme(&project)["revision"], 1);
}
