//! Tokens on the command line, straight on a store: how the first one is made.

use crate::support::Project;

#[test]
fn p12_the_first_token_is_made_on_the_store() {
    let project = Project::small();
    let store = format!("sqlite:{}/tokens.db", project.path().display());
    project.run(&["migrate", "--store", &store]).with(0);
    let run = |arguments: &[&str]| project.run(&[arguments, &["--store", &store]].concat());

    let made = run(&["token", "create", "root", "--role", "admin"]).with(0);
    let token = made.out.trim_end().to_owned();
    assert!(token.starts_with("tnr_") && token.len() == 62, "{token}");
    made.saying(&["the token root", "this once"]);
    run(&["token", "create", "root", "--role", "viewer"])
        .with(4)
        .saying(&["rotate it"]);
    run(&["token", "create", "x", "--role", "boss"])
        .with(2)
        .saying(&["viewer, operator"]);
    let works = [
        "token",
        "create",
        "w",
        "--role",
        "provisioner",
        "--class",
        "a,b",
        "--expires",
        "90d",
    ];
    run(&works).with(0);

    let rotated = run(&["token", "rotate", "root", "--grace", "1h"]).with(0);
    assert_ne!(rotated.out.trim_end(), token);
    let table = run(&["token", "list"]).with(0).out;
    assert!(
        table.starts_with("NAME  ROLE         FOR          STANDING"),
        "{table}"
    );
    assert!(
        table.contains("w     provisioner  a,b          good for 8"),
        "{table}"
    );
    assert!(table.contains("user:test"), "{table}");
    run(&["token", "revoke", "w"]).with(0);
    let shown = run(&["token", "get", "w"]).with(0).out;
    assert!(shown.contains("revoked by user:test"), "{shown}");
    run(&["token", "get", "nobody"])
        .with(3)
        .saying(&["no token nobody"]);
    let names = run(&["token", "list", "-o", "name"]).with(0).out;
    assert_eq!(names, "root\nw\n");
    let whoami = run(&["whoami"]).with(0).out;
    assert!(
        whoami.contains("user:test") && whoami.contains("nobody was asked"),
        "{whoami}"
    );
}

#[test]
fn what_a_token_can_not_be_is_a_wrong_command_line() {
    let project = Project::small();
    let store = project.store();
    project.run(&["migrate", "--store", &store]).with(0);
    let token =
        |arguments: &[&str]| project.run(&[&["token"], arguments, &["--store", &store]].concat());
    for (arguments, says) in [
        (
            ["x", "--role", "provisioner"].as_slice(),
            "--role provisioner needs --class",
        ),
        (
            &["x", "--role", "viewer", "--class", "shared"],
            "--class is for --role provisioner",
        ),
        (
            &["x", "--role", "admin", "--scope", "a=b"],
            "--scope is not for an admin",
        ),
        (&["bad_x", "--role", "viewer"], "name must be"),
    ] {
        token(&[&["create"], arguments].concat())
            .with(2)
            .saying(&[says]);
    }
    token(&["get", "nope"])
        .with(3)
        .saying(&["there is no token nope", "tenure token list"]);
    // A day is its begin, as everywhere.
    token(&["create", "d", "--role", "viewer", "--expires", "2999-01-01"]).with(0);
    let day = token(&["get", "d", "-o", "jsonpath={.expires_at}"]).with(0);
    assert!(day.out.starts_with("2999-01-01T00:00:00"), "{}", day.out);
}
