//! `label` and `annotate`, on a server and on a store.

use crate::support::{Background, Project, tenure};

const MANIFEST: &str =
    "name: acme\nclass: shared\nlabels: {tier: gold, old: x}\ndesired: {plan: gold}\n";

/// What both do with `via`.
fn told(project: &Project, via: &[&str]) {
    let run = |arguments: &[&str]| project.run(&[arguments, via].concat());
    let apply = [&["apply", "-f", "-"], via].concat();
    project.run_with(&apply, MANIFEST).with(0);
    let labelled = run(&[
        "label",
        "acme",
        "tier=best",
        "region=eu",
        "old-",
        "-m",
        "moved",
    ])
    .with(0);
    assert!(
        labelled.out.starts_with("acme changed: "),
        "{}",
        labelled.out
    );
    let of = |what: &str| run(&["get", "acme", "-o", &format!("jsonpath={{.{what}}}")]).out;
    assert_eq!(of("labels"), "{\"region\":\"eu\",\"tier\":\"best\"}\n");
    assert_eq!(of("desired.plan"), "gold\n");
    let history = run(&["history", "acme", "--kind", "metadata"]).with(0).out;
    assert!(history.contains("moved"), "{history}");
    // Asking for what is so already makes no revision.
    let again = run(&["label", "acme", "tier=best", "gone-"]).with(0);
    assert!(again.out.starts_with("acme unchanged: "), "{}", again.out);

    run(&["annotate", "acme", "note=a = b, c-", "example.com/why=x"]).with(0);
    let note = run(&["annotate", "acme", "example.com/why-", "-o", "json"])
        .with(0)
        .json();
    assert_eq!(
        note["annotations"],
        serde_json::json!({"note": "a = b, c-"})
    );
    assert_eq!(
        run(&["label", "acme", "a=b", "-o", "name"]).with(0).out,
        "acme\n"
    );

    run(&["label", "acme", "a=c", "--if-revision", "1"]).with(4);
    run(&["label", "none", "a=c"])
        .with(3)
        .saying(&["there is no tenant none"]);
    for (bad, says) in [
        ("tier", "KEY=VALUE, or KEY-"),
        ("a b=c", "key"),
        ("tier=a b", "value"),
    ] {
        run(&["label", "acme", bad]).with(2).saying(&[says]);
    }
    run(&["label", "acme", "a=b", "a-"])
        .with(2)
        .saying(&["stands twice"]);
    run(&["label", "acme"]).with(2);
}

#[test]
fn labels_are_put_and_taken_away_on_a_server() {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    told(&project, &["--server", &url]);
}

#[test]
fn labels_are_put_and_taken_away_on_a_store() {
    let project = Project::small();
    project
        .run(&["migrate", "--store", &project.store()])
        .with(0);
    told(&project, &["--store", &project.store()]);
}
