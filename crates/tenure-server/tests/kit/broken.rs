//! Provisioners that are broken in one way each: exactly the case that is about it fails.

use serde_json::json;

use crate::support::{Found, Proof, Scene, program, python};

/// Alters a tenant's file as the provisioner would not.
const TAMPER: &str = r#"sed -i 's/"gold"/"lead"/' /STATE/"#;

fn put_to_the_proof(scene: &Scene, flaw: &str, options: &[&str]) -> Found {
    let state = scene.folder.path().to_str().unwrap();
    // The file is named after the id, which only the environment tells.
    let tamper = format!(
        "sh -c '{}$TENURE_TENANT_ID'",
        TAMPER
            .replace("/STATE/", &format!("{state}/"))
            .replace('\'', "'\\''")
    );
    Proof {
        folder: scene.folder.path(),
        command: &[python(), "-I", "-S", &program()],
        class: "shared",
        env: &[("STATE", state), ("FLAW", flaw)],
        desired: json!({"plan": "gold", "seats": 3}),
        changed: Some(json!({"plan": "silver", "seats": 4})),
        tamper: Some(&tamper),
        options,
    }
    .run()
}

/// Fails unless the flaw fails exactly these cases, the first of them with these words.
#[track_caller]
fn fails(flaw: &str, cases: &[&str], words: &[&str]) {
    fails_of(flaw, &[], cases, words);
}

/// As [`fails`], for a flaw that is like another one: without the cases that the other one passes.
#[track_caller]
fn fails_too(flaw: &str, only: &str, cases: &[&str], words: &[&str]) {
    fails_of(flaw, &["--only", only], cases, words);
}

#[track_caller]
fn fails_of(flaw: &str, only: &[&str], cases: &[&str], words: &[&str]) {
    let scene = Scene::new();
    let options = [&["--kills", "2"], only].concat();
    let found = put_to_the_proof(&scene, flaw, &options);
    assert_eq!(found.code, 1, "{flaw}: {}", found.err);
    assert_eq!(found.failed(), cases, "{flaw}: {:#}", found.report);
    let why = found.failure(cases.first().unwrap());
    for word in words {
        assert!(why.contains(word), "{flaw}: {word:?} is not in {why}");
    }
    assert_eq!(scene.left(), Vec::<String>::new(), "{flaw}");
}

#[test]
fn a_good_one_passes_every_case_and_leaves_nothing() {
    let scene = Scene::new();
    let found = put_to_the_proof(&scene, "", &[]);
    assert_eq!(found.code, 0, "{:#}\n{}", found.report, found.err);
    assert_eq!(found.report["ok"], 13, "{:#}", found.report);
    assert_eq!(scene.left(), Vec::<String>::new());
}

#[test]
fn what_a_new_tenant_has_must_be_told() {
    fails(
        "says-nothing-seen",
        &["apply", "tamper"],
        &["of a new tenant", "no observed", "What it must do"],
    );
}

#[test]
fn applying_again_must_change_nothing() {
    fails(
        "counts-applies",
        &["apply-again"],
        &[
            "again, with nothing new",
            "\\\"count\\\":2",
            "What it must bear",
        ],
    );
    fails_too(
        "refuses-equals",
        "apply,apply-again,stale-fence,late-apply",
        &["apply-again"],
        &["once more, under the same fence", "StaleFence"],
    );
}

#[test]
fn a_change_must_come_into_force() {
    fails(
        "ignores-changes",
        &["change", "tamper", "stale-fence", "two-at-once"],
        &["/plan is wanted \\\"silver\\\" and observed \\\"gold\\\""],
    );
}

#[test]
fn looking_must_change_nothing() {
    fails(
        "looks-differ",
        &["observe"],
        &["observe twice", "\\\"at\\\""],
    );
}

#[test]
fn looking_must_tell_what_is_there() {
    fails(
        "echoes",
        &["tamper"],
        &[
            "observe",
            "after tampering",
            "still",
            "not what was asked for",
        ],
    );
}

#[test]
fn a_killed_run_must_not_be_in_the_way() {
    fails(
        "half-made",
        &["killed"],
        &["after one that was killed after", "HalfMade"],
    );
    fails_too(
        "says-two-lines",
        "apply,killed-after-line",
        &["killed-after-line"],
        &["HalfMade"],
    );
}

#[test]
fn a_lower_fence_must_be_refused() {
    fails(
        "ignores-old-fences",
        &["stale-fence", "two-at-once"],
        &[
            "apply of generation 1 under fence 4 after",
            "done, with",
            "StaleFence",
        ],
    );
    fails_too(
        "refuses-for-ever",
        "apply,stale-fence,late-apply,two-at-once",
        &["stale-fence"],
        &["failed, permanent, StaleFence"],
    );
    fails_too(
        "ignores-fences",
        "apply,stale-fence,late-apply,two-at-once",
        &["stale-fence", "late-apply", "two-at-once"],
        &["under fence 4"],
    );
}

#[test]
fn what_is_destroyed_must_stay_so() {
    fails(
        "forgets-the-fence",
        &["late-apply"],
        &[
            "under fence 4 after a destroy under fence 5",
            "outlives the tenant",
        ],
    );
}

#[test]
fn a_suspended_tenant_must_go_on() {
    fails(
        "never-resumes",
        &["suspend"],
        &["with running true again", "NoWayBack"],
    );
}

#[test]
fn destroying_what_is_gone_must_be_done() {
    fails(
        "fails-when-gone",
        &["destroy"],
        &["of what is gone", "NotFound"],
    );
}

#[test]
fn other_versions_must_be_borne_or_refused() {
    fails(
        "chokes",
        &["tolerance"],
        &["with unknown fields", "UnknownField", "passed over"],
    );
    fails_too(
        "any-version",
        "apply,tolerance",
        &["tolerance"],
        &["tenure.provisioner/v999", "done, with", "is refused"],
    );
}

#[test]
fn two_at_once_must_take_turns() {
    fails(
        "takes-no-turns",
        &["two-at-once"],
        &["while an apply under fence 4 had run", "/plan is wanted"],
    );
}

#[test]
fn one_that_answers_nothing_fails_by_the_reason_of_its_fault() {
    let scene = Scene::new();
    let found = put_to_the_proof(&scene, "answers-nothing", &["--only", "apply"]);
    assert_eq!(found.failed(), ["apply"]);
    assert!(found.failure("apply").contains("AnswerMissing"));
    assert!(found.report.to_string().contains("left behind: kit-"));
}
