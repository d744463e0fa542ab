//! Manifests that are wrong: said whole, with file and line, and nothing is sent.

use crate::support::Project;

/// Applies a manifest to a new store, which must refuse it and stay empty.
#[track_caller]
fn refused(manifest: &str, code: i32, words: &[&str]) {
    let project = Project::small();
    project.write("tenants.yaml", manifest);
    let store = format!("sqlite:{}/x.db", project.path().display());
    project.run(&["migrate", "--store", &store]).with(0);
    let ended = project.run(&["apply", "-f", "tenants.yaml", "--store", &store]);
    ended.with(code).saying(words);
    let listed = project
        .run(&["list", "-o", "name", "--store", &store])
        .with(0);
    assert_eq!(listed.out, "", "something was written");
}

const GOOD: &str = "name: good\ndesired: {}\n---\n";

#[test]
fn an_unknown_field_is_named() {
    let manifest = format!("{GOOD}name: b\nlables: {{}}\ndesired: {{}}\n");
    refused(
        &manifest,
        1,
        &["tenants.yaml:5:", "lables", "labels", "nothing was sent"],
    );
}

#[test]
fn a_tenant_that_is_written_twice_is_named_with_both_places() {
    let manifest = format!("{GOOD}name: b\ndesired: {{}}\n---\nname: good\ndesired: {{a: 1}}\n");
    refused(
        &manifest,
        1,
        &["tenants.yaml:7:", "good", "tenants.yaml:1", "keep one"],
    );
}

#[test]
fn a_bad_name_a_bad_label_and_a_bad_number_are_said_at_once() {
    let manifest = format!(
        "{GOOD}name: Bad Name\ndesired: {{}}\n---\nname: c\nlabels: {{k: 'a b'}}\n\
         desired: {{n: 12345678901234567890}}\n"
    );
    let words = [
        "tenants.yaml:4: name of Bad Name",
        "tenants.yaml:8: labels of c",
        "tenants.yaml:9: ",
    ];
    refused(&manifest, 1, &words);
}

#[test]
fn what_is_no_yaml_is_refused() {
    refused("name: [unclosed\n", 1, &["tenants.yaml:"]);
    refused("just words\n", 1, &["tenants.yaml:1"]);
}

#[test]
fn a_missing_file_is_named() {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    let ended = project.run(&["apply", "-f", "nowhere.yaml", "--store", &store]);
    ended.with(1).saying(&["nowhere.yaml: can't be read"]);
}

#[test]
fn up_refuses_a_class_that_does_not_exist_and_makes_nothing() {
    let project = Project::small();
    project.write("tenants.yaml", "name: a\nclass: gold\ndesired: {}\n");
    project
        .up()
        .with(1)
        .saying(&["tenants.yaml:1: a is of class gold; known are shared"]);
    assert!(!project.database().exists());
}

#[test]
fn a_configuration_with_a_misspelt_key_is_refused_with_the_nearest() {
    let project = Project::small();
    project.write("tenants.yaml", "name: a\ndesired: {}\n");
    project.write("tenure.toml", "[classes.shared]\nexce = ['true']\n");
    project.up().with(1).saying(&[
        "tenure.toml:2: unknown key classes.shared.exce",
        "classes.shared.exec",
    ]);
    assert!(!project.database().exists());
}

#[test]
fn a_manifest_without_a_tenant_is_refused() {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    for (command, code) in [("apply", 1), ("diff", 7)] {
        for text in ["", "# nothing\n", "---\n"] {
            project
                .run_with(&[command, "-f", "-", "--store", &store], text)
                .with(code)
                .saying(&["-: holds no tenant"]);
        }
    }
}

#[test]
fn what_is_no_manifest_is_said_without_the_parsers_words() {
    for (text, says) in [
        ("name: a\ndesired: {b: 1, b: 2}\n", "2:17: b stands twice"),
        ("name: a\ndesired: &x {b: *x}\n", "never end"),
        ("[a, b]\n", "1:1: must be a map"),
        ("name: a\ndesired: 3\n", "2:10: must be a map"),
        ("name: [a]\ndesired: {}\n", "1:7: must be a text"),
        ("name: a\n", "desired is missing"),
        ("name: a\ndesired: *x\n", "no anchor"),
    ] {
        let project = Project::small();
        let store = project.store();
        project.run(&["migrate", "--store", &store]).with(0);
        let apply = ["apply", "-f", "-", "--store", &store];
        let ended = project.run_with(&apply, text).with(1).saying(&[says]);
        for word in [
            "Policy",
            "recursive",
            "mapping",
            "scalar",
            "apply it again",
            "struct",
        ] {
            assert!(!ended.err.contains(word), "{text}: {}", ended.err);
        }
    }
}
