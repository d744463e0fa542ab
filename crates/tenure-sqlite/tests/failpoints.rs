//! What a caller is told when the store fails around a commit, and that asking again resolves it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test"
)]

#[path = "all/support.rs"]
mod support;

mod failing;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fail::FailScenario;
use tenure::conformance::{Database, Factory, Setup, key, patch, room};
use tenure::{Attempt, Commit, PageSize, Result, Revision, Sweep, Wake, Written};

use failing::Point;
use support::{On, Scratch};

const MINUTE: Duration = Duration::from_mins(1);

/// The points, and whether the write has happened when they fail.
const POINTS: [(&str, bool); 3] = [
    ("sqlite::before_commit", false),
    ("sqlite::after_commit", true),
    ("sqlite::after_commit_report_failed", true),
];

/// Gives a new file to each that asks.
struct Files;

#[async_trait]
impl Factory for Files {
    async fn fresh(&self) -> Arc<dyn Database> {
        Arc::new(Scratch::new())
    }
}

fn points() -> Vec<Point> {
    let point = |(name, written): (&str, bool)| Point {
        name: name.to_owned(),
        spared: 0,
        written,
    };
    POINTS.map(point).into()
}

async fn setup() -> (Setup, Arc<Scratch>) {
    let scratch = Arc::new(Scratch::new());
    (Setup::new(&On(Arc::clone(&scratch))).await, scratch)
}

/// Makes a point fail the next time that it is passed, and no more.
fn once(point: &str) {
    fail::cfg(point, "1*return->off").unwrap();
}

fn nothing<T: std::fmt::Debug>(outcome: Result<T>) {
    assert_eq!(outcome.unwrap_err().effect(), Written::No);
}

// Points fail for the whole process: a scenario is a lock, so that the tests take turns.

#[tokio::test]
async fn p1_p5_a_write_that_fails_anywhere_has_one_effect_once_it_is_sent_again() {
    let scenario = FailScenario::setup();
    failing::walk(&Files, |_| points()).await;
    scenario.teardown();
}

#[tokio::test]
async fn p5_what_stays_unknown_is_told_so_and_settled_later() {
    let scenario = FailScenario::setup();
    for point in points().iter().filter(|point| point.written) {
        failing::outlast_the_engine(&Files, point).await;
    }
    scenario.teardown();
}

#[test]
fn every_point_of_the_source_is_taken() {
    let mut declared = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for call in text.split("failpoint!(").skip(1) {
            declared.insert(call.split('"').nth(1).unwrap().to_owned());
        }
    }
    assert_eq!(declared, POINTS.map(|(name, _)| name.to_owned()).into());
}

#[tokio::test]
async fn p1_what_fails_before_its_commit_leaves_every_byte_as_it_was() {
    let scenario = FailScenario::setup();
    let (setup, scratch) = setup().await;
    let (before_commit, _) = POINTS[0];
    let acme = setup.create("acme").await;
    let store = &setup.store;
    let before = scratch.dump();
    let change = setup.change(&acme, &patch("plan", "gold"));
    once(before_commit);
    nothing(store.commit(&change).await);
    once(before_commit);
    let asked = key("k", "r");
    nothing(store.remember(acme.id, acme.revision, &asked).await);
    once(before_commit);
    nothing(store.claim("w", &[room(MINUTE)]).await);
    assert_eq!(scratch.dump(), before);
    let lease = setup.claim_one(acme.id, MINUTE).await;
    let before = scratch.dump();
    once(before_commit);
    nothing(store.renew(&lease, MINUTE).await);
    once(before_commit);
    nothing(store.release(&lease, &Attempt::Clean, Wake::Now).await);
    once(before_commit);
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: Some(Duration::ZERO),
    };
    nothing(store.sweep(sweep).await);
    assert_eq!(scratch.dump(), before);
    scenario.teardown();
}

#[tokio::test]
async fn p5_sending_again_what_was_written_touches_no_byte() {
    let scenario = FailScenario::setup();
    for (point, _) in POINTS.into_iter().filter(|(_, written)| *written) {
        let (setup, scratch) = setup().await;
        let acme = setup.create("acme").await;
        let creation = setup.creation(setup.wanted("beta"));
        let update = setup.change(&acme, &patch("plan", "gold"));
        for (change, name) in [(creation, "a"), (update, "b")] {
            let change = change.with_key(Some(key(name, "r")));
            once(point);
            let first = setup.store.commit(&change).await;
            assert_eq!(first.unwrap_err().effect(), Written::Unknown);
            let before = scratch.dump();
            let again = setup.store.commit(&change).await.unwrap();
            let revision = change.line().revision;
            assert_eq!(again, Commit::Applied { revision });
            assert_eq!(scratch.dump(), before, "the second send wrote something");
        }
    }
    scenario.teardown();
}

#[tokio::test]
async fn p1_p2_a_writer_that_dies_around_a_commit_leaves_all_of_it_or_nothing() {
    for (point, written) in POINTS {
        let scenario = FailScenario::setup();
        let (setup, scratch) = setup().await;
        let acme = setup.create("acme").await;
        let change = setup.change(&acme, &patch("plan", "gold"));
        let change = change.with_key(Some(key("k", "r")));
        fail::cfg(point, "1*panic->off").unwrap();
        let first = setup.store.commit(&change).await;
        assert_eq!(first.unwrap_err().effect(), Written::Unknown, "{point}");
        nothing(setup.store.commit(&change).await);
        let dead = scratch.dump();
        let setup = setup.reopen().await.unwrap();
        assert_eq!(scratch.dump(), dead, "opening wrote something");
        let revision = Revision::new(1 + u64::from(written));
        assert_eq!(setup.tenant(acme.id).await.revision, revision, "{point}");
        setup.write(&change).await;
        assert_eq!(setup.history(acme.id).await.len(), 2);
        let findings = tenure::check::verify(&*setup.store, acme.id).await.unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
        scenario.teardown();
    }
}
