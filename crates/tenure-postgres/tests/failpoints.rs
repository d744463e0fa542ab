//! Calls that fail before they were sent, and calls that fail after they were carried out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what goes wrong here fails the test"
)]

#[path = "../../tenure-sqlite/tests/failing/mod.rs"]
mod failing;
mod fleet;
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use fail::FailScenario;
use failing::{Point, Write};
use fleet::Way;
use tenure::Written;
use tenure::conformance::{Setup, key, patch};

/// The points of an operation, and whether the write has happened when they fail.
const POINTS: [(&str, bool); 2] = [("before_send", false), ("after_reply_report_failed", true)];

/// The operation of the adapter that carries out a write, and in how many statements.
const fn operation(write: Write) -> (&'static str, u32) {
    match write {
        Write::Create | Write::Update | Write::Report | Write::CommitMany => ("commit", 1),
        Write::Remember => ("remember", 1),
        Write::Claim => ("claim", 1),
        Write::Renew => ("renew", 1),
        Write::Release => ("release", 1),
        Write::AddToken => ("add_token", 1),
        Write::RotateToken => ("rotate_token", 1),
        Write::RevokeToken => ("revoke_token", 1),
        Write::NoteTokenUses => ("note_token_uses", 1),
        // Keys, then the feed.
        Write::Sweep => ("sweep", 2),
    }
}

fn points(write: Write) -> Vec<Point> {
    let (operation, statements) = operation(write);
    let each = (0..statements).flat_map(|spared| {
        POINTS.map(|(point, written)| Point {
            name: format!("postgres::{operation}::{point}"),
            spared,
            written,
        })
    });
    each.collect()
}

// Points fail for the whole process: a scenario is a lock, so that the tests take turns.

#[tokio::test]
async fn p1_p5_a_write_that_fails_anywhere_has_one_effect_once_it_is_sent_again() {
    let scenario = FailScenario::setup();
    failing::walk(&Way::Named, points).await;
    scenario.teardown();
}

#[tokio::test]
async fn p1_p5_the_same_through_a_pooler() {
    let scenario = FailScenario::setup();
    let commits = |write| match operation(write) {
        ("commit", _) => points(write),
        _ => Vec::new(),
    };
    failing::walk(&Way::PgBouncer, commits).await;
    scenario.teardown();
}

#[tokio::test]
async fn p5_what_stays_unknown_is_told_so_and_settled_later() {
    let scenario = FailScenario::setup();
    let points = points(Write::Create);
    let written = points.iter().find(|point| point.written).unwrap();
    failing::outlast_the_engine(&Way::Named, written).await;
    scenario.teardown();
}

/// The words that follow a mark in the adapter's source, up to a quote.
fn declared(mark: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut words = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join("");
        for rest in text.split(mark).skip(1) {
            words.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    words
}

#[test]
fn every_point_of_every_write_is_taken() {
    let operations: BTreeSet<String> = Write::ALL.map(|w| operation(w).0.to_owned()).into();
    assert_eq!(declared("Call::write(\""), operations);
    let points: BTreeSet<String> = POINTS.map(|(point, _)| point.to_owned()).into();
    assert_eq!(declared("\"postgres::{operation}::"), points);
}

#[tokio::test]
async fn p1_p2_a_task_that_dies_around_a_commit_leaves_all_of_it_or_nothing() {
    for (point, written) in POINTS {
        let scenario = FailScenario::setup();
        let setup = Setup::new(&Way::Named).await;
        let acme = setup.create("acme").await;
        let change = setup.change(&acme, &patch("plan", "gold"));
        let change = change.with_key(Some(key("k", "r")));
        fail::cfg(format!("postgres::commit::{point}"), "1*panic->off").unwrap();
        let first = setup.store.commit(&change).await;
        assert_eq!(first.unwrap_err().effect(), Written::Unknown, "{point}");
        let revision = acme.revision.get() + u64::from(written);
        assert_eq!(setup.tenant(acme.id).await.revision.get(), revision);
        setup.write(&change).await;
        assert_eq!(setup.history(acme.id).await.len(), 2);
        let findings = tenure::check::verify(&*setup.store, acme.id).await.unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
        scenario.teardown();
    }
}
