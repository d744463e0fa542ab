//! What is refused is told in the words of the command line, with what to type instead.

use crate::support::{Ended, Project};

const MANIFEST: &str = "\
name: alder-bakery
class: shared
desired: {}
---
name: gone
class: shared
desired: {}
";

fn project() -> Project {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    let apply = ["apply", "-f", "-", "--store", &store];
    project.run_with(&apply, MANIFEST).with(0);
    project
}

fn run(project: &Project, arguments: &[&str]) -> Ended {
    let store = project.store();
    project.run(&[arguments, &["--store", &store]].concat())
}

#[test]
fn who_is_not_there_is_named_with_who_may_be_meant() {
    let project = project();
    let near = [
        "there is no tenant alder-baker",
        "did you mean alder-bakery?",
    ];
    for command in [
        ["get", "alder-baker"].as_slice(),
        &["explain", "alder-baker"],
        &["suspend", "alder-baker"],
        &["delete", "alder-baker", "--yes"],
        &["wait", "alder-bakery", "alder-baker", "--for=requested"],
        &["get", "alder-bakery", "alder-baker"],
    ] {
        let ended = run(&project, command).with(3).saying(&near);
        for word in ["/v1/", "GET ", "create it first"] {
            assert!(!ended.err.contains(word), "{command:?}: {}", ended.err);
        }
    }
    run(&project, &["get", "zzz"])
        .with(3)
        .saying(&["there is no tenant zzz", "tenure list --include-deleted"]);
}

#[test]
fn what_can_not_be_meant_is_a_wrong_command_line() {
    let project = project();
    for (arguments, says) in [
        (
            ["suspend", "gone", "--if-revision", "0"].as_slice(),
            "must be a whole number from 1",
        ),
        (
            &["hold", "gone", "--actor", "worker:x"],
            "must be user: and a name",
        ),
        (&["counts", "-o", "name"], "counts has no names"),
        (&["export", "-o", "yaml"], "leave -o out"),
        (&["migrate", "-o", "json"], "leave -o out"),
        (&["list", "--state", "broken"], "requested"),
    ] {
        run(&project, arguments).with(2).saying(&[says]);
    }
    run(&project, &["list", "--page-token", "xxx"])
        .with(1)
        .saying(&["leave --page-token out"]);
    let empty = [("TENURE_ACTOR", "")];
    let mut command = crate::support::tenure(
        project.path(),
        &["hold", "gone", "--store", &project.store()],
    );
    let held: Ended = command.envs(empty).output().unwrap().into();
    held.with(0);
}

#[test]
fn shells_are_offered_the_words_that_a_flag_takes() {
    let project = Project::small();
    let script = project.run(&["completions", "zsh"]).with(0).out;
    for word in [
        "provisioning",
        "condition!=held",
        "jsonpath=",
        "auditor",
        "metadata",
        "drifted",
    ] {
        assert!(script.contains(word), "{word}");
    }
}
