//! Calls that fail before they were sent, and calls that fail after they were carried out.

#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use std::time::Duration;

use fail::FailScenario;
use fleet::Way;
use tenure::conformance::{Setup, key, patch};
use tenure::{
    Attempt, Commit, PageSize, Result, Revision, StoreError, Sweep, Tenant, TenantRef, Wake,
    Written,
};

const MINUTE: Duration = Duration::from_mins(1);

/// Lets the next call of an operation fail there; those that follow work.
fn once(operation: &str, point: &str) {
    fail::cfg(format!("postgres::{operation}::{point}"), "1*return->off").unwrap();
}

fn effect<T: std::fmt::Debug>(answer: Result<T>) -> Written {
    answer.unwrap_err().effect()
}

// One test, because fail points are the process's.
#[tokio::test]
async fn p5_a_call_that_reports_failure_can_be_sent_again() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(&Way::Named).await;
    let tenant = setup.create("acme").await;
    commits(&setup, &tenant).await;
    keys(&setup, &tenant).await;
    work(&setup).await;
    sweeps(&setup).await;
    scenario.teardown();
}

async fn commits(setup: &Setup, tenant: &Tenant) {
    let change = setup.change(tenant, &patch("plan", "gold"));
    let change = change.with_key(Some(key("k", "request")));

    once("commit", "before_send");
    assert_eq!(effect(setup.store.commit(&change).await), Written::No);
    assert_eq!(setup.tenant(tenant.id).await.revision, Revision::new(1));

    once("commit", "after_reply_report_failed");
    assert_eq!(effect(setup.store.commit(&change).await), Written::Unknown);
    assert_eq!(setup.tenant(tenant.id).await.revision, Revision::new(2));
    let again = setup.store.commit(&change).await.unwrap();
    assert_eq!(
        again,
        Commit::Applied {
            revision: Revision::new(2)
        }
    );
    assert_eq!(setup.history(tenant.id).await.len(), 2);
}

async fn keys(setup: &Setup, tenant: &Tenant) {
    let other = key("other", "request");
    once("remember", "after_reply_report_failed");
    let first = setup
        .store
        .remember(tenant.id, Revision::new(2), &other)
        .await;
    assert_eq!(effect(first), Written::Unknown);
    let again = setup
        .store
        .remember(tenant.id, Revision::new(2), &other)
        .await
        .unwrap();
    assert_eq!(again, Commit::KeyUsed);
    let who = TenantRef::Id(tenant.id);
    let loaded = setup
        .store
        .load(&who, Some((&other.scope, &other.key)))
        .await
        .unwrap();
    assert_eq!(loaded.prior.unwrap().fingerprint, other.fingerprint);
}

async fn work(setup: &Setup) {
    let claim = || setup.store.claim("worker", MINUTE, PageSize::MAX);
    once("claim", "after_reply_report_failed");
    assert_eq!(effect(claim().await), Written::Unknown);
    assert!(claim().await.unwrap().is_empty());
    setup.pass(MINUTE).await;
    once("claim", "before_send");
    assert_eq!(effect(claim().await), Written::No);
    let lease = claim().await.unwrap().remove(0);
    assert_eq!(lease.attempt, 2);

    once("renew", "after_reply_report_failed");
    assert_eq!(
        effect(setup.store.renew(&lease, MINUTE).await),
        Written::Unknown
    );
    let lease = setup.store.renew(&lease, MINUTE).await.unwrap().unwrap();
    once("release", "after_reply_report_failed");
    let release = || setup.store.release(&lease, &Attempt::Clean, Wake::Never);
    assert_eq!(effect(release().await), Written::Unknown);
    assert!(!release().await.unwrap());
}

async fn sweeps(setup: &Setup) {
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: None,
    };
    once("sweep", "before_send");
    let error = setup.store.sweep(sweep).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert_eq!(setup.store.sweep(sweep).await.unwrap(), 0);
}
