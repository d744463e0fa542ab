//! How much runs, and what goes first.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::{Command, ConditionKind, Message, Operation, State};
use tenure_server::provisioner::{Answer, Failure};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::fixture::{Scene, done, happens, scripted, willing};

fn unreachable() -> Answer {
    Answer::Failed(Failure {
        reason: "Unreachable".parse().unwrap(),
        message: Message::lossy("no route to the target"),
        permanent: false,
        retry_after: None,
    })
}

#[tokio::test]
async fn a_target_that_fails_for_all_is_left_alone_until_it_is_back() {
    let mut scene = Scene::new();
    scene.limits.breaker.cooldown = Duration::from_millis(100);
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(scene.create(&format!("t{n}")).await);
    }
    let (calls, up) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let provisioner = {
        let (calls, up) = (Arc::clone(&calls), Arc::clone(&up));
        scripted(move |call, _, _| {
            calls.fetch_add(1, Ordering::SeqCst);
            let up = up.load(Ordering::SeqCst);
            async move { if up { done(&call) } else { unreachable() } }
        })
    };
    let reconciler = scene.reconcile(provisioner);
    // Three probes, each after a longer wait: without the breaker, hundreds of calls.
    while calls.load(Ordering::SeqCst) < 5 + 3 {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(calls.load(Ordering::SeqCst) < 20, "{calls:?}");
    up.store(true, Ordering::SeqCst);
    for id in ids {
        let tenant = scene.at_rest(id).await;
        assert_eq!(tenant.state, State::Ready);
    }
    reconciler.stop().await;
}

#[tokio::test]
async fn p11_checks_that_hang_leave_room_for_changes() {
    let mut scene = Scene::new();
    scene.policy.drift.interval = Duration::from_millis(1);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(scene.create(&format!("t{n}")).await);
    }
    let hanging = Arc::new(Notify::new());
    let provisioner = {
        let hanging = Arc::clone(&hanging);
        scripted(move |call, _, stop| {
            let hanging = Arc::clone(&hanging);
            async move {
                if call.operation == Operation::Observe {
                    hanging.notify_one();
                    stop.cancelled().await;
                    return Answer::Stopped;
                }
                done(&call)
            }
        })
    };
    scene.grace = Duration::ZERO;
    let reconciler = scene.reconcile(provisioner);
    happens(&hanging).await;
    for id in &ids {
        scene
            .command(*id, tenure::conformance::patch("plan", "silver"))
            .await;
    }
    for id in &ids {
        // A look that hangs is cut short by a change, and no change waits for another's look.
        let made = |record: &tenure::Record| record.tenant.observed_generation.get() == 2;
        scene.until(*id, made).await;
    }
    reconciler.stop().await;
}

#[tokio::test]
async fn p11_a_fleet_whose_checks_are_all_due_is_looked_at_evenly() {
    let mut scene = Scene::new();
    scene.policy.drift.interval = Duration::from_millis(1);
    (scene.limits.concurrency, scene.concurrency) = (1_000, 1_000);
    let mut ids = Vec::new();
    for n in 0..10_000 {
        ids.push(scene.create(&format!("t{n}")).await);
    }
    // All of them come to rest, and their checks due, before anyone may look.
    let mut slow = scene.limits;
    slow.checks_per_minute = 1;
    let limits = std::mem::replace(&mut scene.limits, slow);
    let reconciler = scene.reconcile(willing());
    for id in ids {
        scene.at_rest(id).await;
    }
    reconciler.stop().await;
    scene.limits = limits;
    let looks = Arc::new(Mutex::new(Vec::new()));
    let provisioner = {
        let looks = Arc::clone(&looks);
        scripted(move |call, _, _| {
            looks.lock().unwrap().push(tokio::time::Instant::now());
            async move { done(&call) }
        })
    };
    let restarted = scene.reconcile(provisioner);
    let enough = || looks.lock().unwrap().len() >= 30;
    while !enough() {
        sleep(Duration::from_millis(10)).await;
    }
    restarted.stop().await;
    // 600 a minute: a burst of 20, and then ten a second.
    let (first, later) = {
        let looks = looks.lock().unwrap();
        (looks[0], looks[29])
    };
    assert!(
        later - first >= Duration::from_millis(700),
        "30 looks in {:?}",
        later - first
    );
}

#[tokio::test]
async fn p6_a_delete_cuts_a_run_short_and_tears_down_what_it_made() {
    let scene = Scene::new();
    let id = scene.create("acme").await;
    let (begun, calls) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
    let provisioner = {
        let (begun, calls) = (Arc::clone(&begun), Arc::clone(&calls));
        scripted(move |call, _, stop| {
            let begun = Arc::clone(&begun);
            calls.lock().unwrap().push((call.operation, call.fence));
            async move {
                if call.operation == Operation::Apply {
                    begun.notify_one();
                    stop.cancelled().await;
                    return Answer::Stopped;
                }
                done(&call)
            }
        })
    };
    let reconciler = scene.reconcile(provisioner);
    happens(&begun).await;
    scene.command(id, Command::Delete).await;
    assert_eq!(scene.at_rest(id).await.state, State::Deleted);
    reconciler.stop().await;
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[1].0 == Operation::Destroy && calls[1].1 > calls[0].1);
}

#[tokio::test]
async fn a_run_that_lasts_too_long_makes_its_tenant_overdue() {
    let mut scene = Scene::new();
    let deadline = Duration::from_millis(10);
    scene.policy.deadlines = tenure::Deadlines::new([(State::Provisioning, deadline)]);
    let id = scene.create("acme").await;
    let go_on = Arc::new(Notify::new());
    let provisioner = {
        let go_on = Arc::clone(&go_on);
        scripted(move |call, _, _| {
            let go_on = Arc::clone(&go_on);
            async move {
                go_on.notified().await;
                done(&call)
            }
        })
    };
    let reconciler = scene.reconcile(provisioner);
    let overdue =
        |record: &tenure::Record| record.tenant.conditions.kinds() == [ConditionKind::Overdue];
    scene.until(id, overdue).await;
    go_on.notify_one();
    assert!(scene.at_rest(id).await.conditions.is_empty());
    reconciler.stop().await;
}
