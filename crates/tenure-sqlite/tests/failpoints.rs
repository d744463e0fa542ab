//! What a caller is told when the store fails around a commit, and that asking again resolves it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "all/support.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use fail::FailScenario;
use tenure::conformance::{Setup, key};
use tenure::{
    Attempt, Command, Commit, PageSize, Result, StoreError, Sweep, TenantRef, Wake, Written,
};

use support::{On, Scratch};

const MINUTE: Duration = Duration::from_mins(1);

/// Makes a point fail the next time that it is passed, and no more.
fn once(point: &str) {
    fail::cfg(format!("sqlite::{point}"), "1*return->off").unwrap();
}

async fn setup() -> (Setup, Arc<Scratch>) {
    let scratch = Arc::new(Scratch::new());
    (Setup::new(&On(Arc::clone(&scratch))).await, scratch)
}

fn unknown<T: std::fmt::Debug>(outcome: Result<T>) {
    assert_eq!(outcome.unwrap_err().effect(), Written::Unknown);
}

fn nothing<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn p1_what_fails_before_its_commit_wrote_nothing() {
    let scenario = FailScenario::setup();
    let (setup, scratch) = setup().await;
    let acme = setup.create("acme").await;
    let before = scratch.dump();
    let change = setup.change(&acme, &Command::Suspend);
    once("before_commit");
    nothing(setup.store.commit(&change).await);
    once("before_commit");
    nothing(
        setup
            .store
            .remember(acme.id, acme.revision, &key("k", "r"))
            .await,
    );
    once("before_commit");
    nothing(setup.store.claim("w", MINUTE, PageSize::MAX).await);
    assert_eq!(scratch.dump(), before);
    let lease = setup.claim_one(acme.id, MINUTE).await;
    let before = scratch.dump();
    once("before_commit");
    nothing(setup.store.renew(&lease, MINUTE).await);
    once("before_commit");
    nothing(
        setup
            .store
            .release(&lease, &Attempt::Clean, Wake::Now)
            .await,
    );
    once("before_commit");
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: Some(Duration::ZERO),
    };
    nothing(setup.store.sweep(sweep).await);
    assert_eq!(scratch.dump(), before);
    scenario.teardown();
}

#[tokio::test]
async fn p5_a_commit_whose_reply_was_lost_is_resolved_by_sending_it_again() {
    for point in ["after_commit", "after_commit_report_failed"] {
        let scenario = FailScenario::setup();
        let (setup, scratch) = setup().await;
        let change = setup
            .creation(setup.wanted("acme"))
            .with_key(Some(key("k", "r")));
        once(point);
        unknown(setup.store.commit(&change).await);
        let before = scratch.dump();
        let again = setup.store.commit(&change).await.unwrap();
        assert_eq!(
            again,
            Commit::Applied {
                revision: change.line().revision
            }
        );
        assert_eq!(scratch.dump(), before, "the second send wrote something");

        let acme = setup.tenant(change.tenant().id).await;
        let change = setup.change(&acme, &Command::Suspend);
        once(point);
        unknown(setup.store.commit(&change).await);
        let before = scratch.dump();
        let again = setup.store.commit(&change).await.unwrap();
        assert_eq!(
            again,
            Commit::Applied {
                revision: change.line().revision
            }
        );
        assert_eq!(scratch.dump(), before, "the second send wrote something");
        scenario.teardown();
    }
}

#[tokio::test]
async fn p5_a_key_whose_reply_was_lost_is_found_used_for_the_same() {
    let scenario = FailScenario::setup();
    let (setup, _scratch) = setup().await;
    let acme = setup.create("acme").await;
    let asked = key("k", "r");
    once("after_commit_report_failed");
    unknown(setup.store.remember(acme.id, acme.revision, &asked).await);
    let again = setup
        .store
        .remember(acme.id, acme.revision, &asked)
        .await
        .unwrap();
    assert_eq!(again, Commit::KeyUsed);
    let who = TenantRef::Id(acme.id);
    let loaded = setup
        .store
        .load(&who, Some((&asked.scope, &asked.key)))
        .await
        .unwrap();
    assert_eq!(loaded.prior.unwrap().fingerprint, asked.fingerprint);
    scenario.teardown();
}

#[tokio::test]
async fn p6_work_whose_reply_was_lost_ends_by_itself() {
    let scenario = FailScenario::setup();
    let (setup, _scratch) = setup().await;
    let acme = setup.create("acme").await;
    once("after_commit_report_failed");
    unknown(setup.store.claim("lost", MINUTE, PageSize::MAX).await);
    assert!(setup.claim("w", MINUTE).await.is_empty());
    setup.pass(MINUTE).await;
    let lease = setup.claim_one(acme.id, MINUTE).await;
    once("after_commit_report_failed");
    unknown(setup.store.renew(&lease, MINUTE * 2).await);
    assert!(setup.store.renew(&lease, MINUTE).await.unwrap().is_some());
    once("after_commit_report_failed");
    unknown(
        setup
            .store
            .release(&lease, &Attempt::Clean, Wake::Never)
            .await,
    );
    assert!(
        !setup
            .store
            .release(&lease, &Attempt::Clean, Wake::Never)
            .await
            .unwrap()
    );
    once("after_commit_report_failed");
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: Some(Duration::ZERO),
    };
    unknown(setup.store.sweep(sweep).await);
    assert_eq!(setup.store.sweep(sweep).await.unwrap(), 0);
    scenario.teardown();
}
