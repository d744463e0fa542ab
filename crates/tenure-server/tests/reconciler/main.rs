//! The reconciler over a store in memory: what it does, what it never does, and what it survives.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod drift;
mod fixture;
mod gates;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::check::verify_all;
use tenure::conformance::{Faulty, ManualClock, MemoryStore, patch, start};
use tenure::{Command, Message, Operation, State, Store, SystemClock};
use tenure_server::provisioner::{Answer, Failure, Fault, Progress};
use tokio::sync::{Notify, Semaphore};

use fixture::{Scene, done, happens, scripted, willing};

#[tokio::test]
async fn p8_a_whole_life_is_led_by_commands_alone() {
    let scene = Scene::new();
    let reconciler = scene.reconcile(willing());
    let id = scene.create("acme").await;
    let made = scene.at_rest(id).await;
    assert_eq!(
        (made.state, made.resources),
        (State::Ready, vec!["made:acme".to_owned()])
    );
    scene.command(id, patch("plan", "silver")).await;
    assert_eq!(
        scene.at_rest(id).await.observed.unwrap().as_str(),
        r#"{"plan":"silver"}"#
    );
    scene.command(id, Command::Suspend).await;
    assert_eq!(scene.at_rest(id).await.state, State::Suspended);
    scene.command(id, Command::Resume).await;
    assert_eq!(scene.at_rest(id).await.state, State::Ready);
    scene.command(id, Command::Delete).await;
    assert_eq!(scene.at_rest(id).await.state, State::Deleted);
    reconciler.stop().await;
    let expected = [
        "Requested",
        "ProvisioningStarted",
        "Provisioned",
        "DesiredChanged",
        "Updated",
        "SuspendRequested",
        "Suspended",
        "ResumeRequested",
        "Resumed",
        "DeleteRequested",
        "Deleted",
    ];
    assert_eq!(scene.reasons(id).await, expected);
    let actors: Vec<String> = scene
        .history(id)
        .await
        .iter()
        .map(|line| line.actor.to_string())
        .collect();
    assert!(
        actors.iter().any(|actor| actor.starts_with("worker:")),
        "{actors:?}"
    );
}

#[tokio::test]
async fn a_class_that_is_not_run_here_is_left_to_those_who_run_it() {
    let scene = Scene::new();
    let id = scene.create("acme").await;
    let other = scene.reconcile_classes([("other", willing())]);
    let reconciler = scene.reconcile(willing());
    assert_eq!(scene.at_rest(id).await.state, State::Ready);
    assert_eq!(scene.record(id).await.work.fence.get(), 1);
    reconciler.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn p7_a_change_that_arrives_while_work_runs_is_not_lost() {
    let scene = Scene::new();
    let id = scene.create("acme").await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let provisioner = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        scripted(move |call, _, _| {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.notify_one();
                go_on.notified().await;
                done(&call)
            }
        })
    };
    let reconciler = scene.reconcile(provisioner);
    happens(&begun).await;
    scene.command(id, patch("plan", "platinum")).await;
    go_on.notify_one();
    happens(&begun).await;
    assert_ne!(
        scene.record(id).await.tenant.state,
        State::Ready,
        "ready for an older wish"
    );
    go_on.notify_one();
    let tenant = scene.at_rest(id).await;
    assert_eq!(tenant.state, State::Ready);
    assert_eq!(tenant.observed.unwrap().as_str(), r#"{"plan":"platinum"}"#);
    assert_eq!(tenant.observed_generation.get(), 2);
    reconciler.stop().await;
}

#[tokio::test]
async fn p6_a_lost_lease_kills_the_run_and_drops_its_result() {
    let clock = ManualClock::new(start());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let mut scene = Scene::over(Arc::clone(&store));
    scene.lease = Duration::from_secs(3);
    let id = scene.create("acme").await;
    let (begun, killed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let provisioner = {
        let (begun, killed) = (Arc::clone(&begun), Arc::clone(&killed));
        scripted(move |call, _, stop| {
            let (begun, killed) = (Arc::clone(&begun), Arc::clone(&killed));
            async move {
                begun.notify_one();
                stop.cancelled().await;
                killed.notify_one();
                // Says that it is done, although it is too late.
                done(&call)
            }
        })
    };
    let reconciler = scene.reconcile(provisioner);
    happens(&begun).await;
    clock.advance(Duration::from_mins(1));
    let stolen = store
        .claim(
            "thief",
            &[fixture::all_of("default", Duration::from_hours(1))],
        )
        .await
        .unwrap();
    assert_eq!(stolen.len(), 1, "an expired lease can be claimed");
    happens(&killed).await;
    reconciler.stop().await;
    let record = scene.record(id).await;
    assert_eq!(record.tenant.state, State::Provisioning);
    assert_eq!(record.work.holder.as_deref(), Some("thief"));
    assert_eq!(
        scene.reasons(id).await,
        ["Requested", "ProvisioningStarted"]
    );
}

#[tokio::test]
async fn p6_a_lease_is_renewed_as_long_as_work_runs() {
    let mut scene = Scene::new();
    scene.lease = Duration::from_millis(300);
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
    let begun = scene
        .until(id, |record| record.work.lease_until.is_some())
        .await;
    let first = scene.record(id).await.work.lease_until.unwrap();
    assert_eq!(begun.id, id);
    let much_later = first.plus(scene.lease * 4);
    scene
        .until(id, |record| {
            record.work.lease_until.is_some_and(|at| at > much_later)
        })
        .await;
    go_on.notify_one();
    scene.at_rest(id).await;
    assert_eq!(
        scene.record(id).await.work.fence.get(),
        1,
        "claimed more than once"
    );
    reconciler.stop().await;
}

#[tokio::test]
async fn p6_reconcilers_side_by_side_never_work_on_one_tenant_at_once() {
    let scene = Scene::new();
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(scene.create(&format!("tenant-{number}")).await);
    }
    let at_work = Arc::new(Mutex::new(BTreeMap::<_, u32>::new()));
    let most = Arc::new(AtomicU32::new(0));
    let provisioner = {
        let (at_work, most) = (Arc::clone(&at_work), Arc::clone(&most));
        scripted(move |call, _, _| {
            let (at_work, most) = (Arc::clone(&at_work), Arc::clone(&most));
            async move {
                let count = |by: fn(u32) -> u32| {
                    let mut at_work = at_work.lock().unwrap();
                    let now = by(at_work.get(&call.tenant.id).copied().unwrap_or(0));
                    at_work.insert(call.tenant.id, now);
                    drop(at_work);
                    most.fetch_max(now, Ordering::SeqCst);
                };
                count(|n| n + 1);
                tokio::task::yield_now().await;
                count(|n| n - 1);
                done(&call)
            }
        })
    };
    let reconcilers = [0, 1, 2].map(|_| scene.reconcile(Arc::clone(&provisioner)));
    for id in &ids {
        scene.command(*id, patch("plan", "silver")).await;
    }
    for id in ids {
        assert_eq!(
            scene.at_rest(id).await.observed.unwrap().as_str(),
            r#"{"plan":"silver"}"#
        );
    }
    for reconciler in reconcilers {
        reconciler.stop().await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_held_tenant_is_left_alone_until_it_is_released() {
    let scene = Scene::new();
    let id = scene.create("acme").await;
    scene.command(id, Command::Hold).await;
    let other = scene.create("other").await;
    let reconciler = scene.reconcile(willing());
    scene.at_rest(other).await;
    scene
        .until(id, |record| {
            record.work.holder.is_none() && record.work.due_at.is_none()
        })
        .await;
    let held = scene.record(id).await;
    assert_eq!(
        (held.tenant.state, held.work.attempts),
        (State::Requested, 0)
    );
    scene.command(id, Command::Release).await;
    assert_eq!(scene.at_rest(id).await.state, State::Ready);
    reconciler.stop().await;
}

#[tokio::test]
async fn p11_a_failure_is_tried_again_within_its_budget_and_then_halts() {
    let mut scene = Scene::new();
    scene.policy.retry.attempts_max = 5;
    let id = scene.create("acme").await;
    let runs = Arc::new(AtomicU32::new(0));
    let provisioner = {
        let runs = Arc::clone(&runs);
        scripted(move |_, _, _| {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Answer::Failed(Fault::ProvisionerCrashed.failure("it broke")) }
        })
    };
    let reconciler = scene.reconcile(provisioner);
    let halted = scene
        .until(id, |record| {
            record
                .tenant
                .conditions
                .failing
                .as_ref()
                .is_some_and(|failing| failing.halted)
        })
        .await;
    reconciler.stop().await;
    assert_eq!(runs.load(Ordering::SeqCst), 5);
    assert_eq!(halted.state, State::Provisioning);
    // The second to the fourth failure were like the first: counted, not appended.
    let reasons = scene.reasons(id).await;
    assert_eq!(&reasons[2..], ["ProvisionerCrashed", "ProvisionerCrashed"]);
}

#[tokio::test]
async fn a_result_that_breaks_a_rule_is_a_failure_with_a_name() {
    let scene = Scene::new();
    let id = scene.create("acme").await;
    let reconciler = scene.reconcile(scripted(|_, _, _| async {
        let resources = Some(vec!["x".repeat(2 * 1024 * 1024)]);
        Answer::Done {
            observed: None,
            resources,
            message: Message::none(),
        }
    }));
    let failing = |record: &tenure::Record| record.tenant.conditions.failing.is_some();
    let failing = scene.until(id, failing).await.conditions.failing.unwrap();
    assert_eq!(failing.reason.as_str(), "AnswerRefused");
    assert!(
        failing.message.as_str().contains("at most 1 MiB"),
        "{}",
        failing.message
    );
    reconciler.stop().await;
}

#[tokio::test]
async fn work_that_does_not_end_in_time_is_handed_back_at_shutdown() {
    let mut scene = Scene::new();
    scene.grace = Duration::ZERO;
    scene.lease = Duration::from_hours(1);
    let id = scene.create("acme").await;
    let reconciler = scene.reconcile(scripted(|_, _, stop| async move {
        stop.cancelled().await;
        Answer::Stopped
    }));
    scene
        .until(id, |record| record.tenant.state == State::Provisioning)
        .await;
    reconciler.stop().await;
    let work = scene.record(id).await.work;
    assert_eq!((work.holder, work.attempts), (None, 0));
    assert!(work.due_at.is_some());
    // Had it not been handed back, this would wait for an hour.
    let reconciler = scene.reconcile(willing());
    scene.at_rest(id).await;
    reconciler.stop().await;
}

#[tokio::test]
async fn work_that_ends_in_time_is_not_cut_short_at_shutdown() {
    let scene = Scene::new();
    let id = scene.create("acme").await;
    let gate = Arc::new(Semaphore::new(0));
    let begun = Arc::new(Notify::new());
    let provisioner = {
        let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
        scripted(move |call, _, stop| {
            let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
            async move {
                begun.notify_one();
                tokio::select! {
                    () = stop.cancelled() => Answer::Stopped,
                    _ = gate.acquire() => done(&call),
                }
            }
        })
    };
    let reconciler = scene.reconcile(provisioner);
    happens(&begun).await;
    let ((), ()) = tokio::join!(reconciler.stop(), async { gate.add_permits(1) });
    assert_eq!(scene.record(id).await.tenant.state, State::Ready);
}

#[tokio::test(start_paused = true)]
async fn progress_that_stands_is_history_and_the_newest_wins() {
    let clock = ManualClock::new(start());
    let scene = Scene::over(Arc::new(MemoryStore::new(Arc::new(clock))));
    let id = scene.create("acme").await;
    let reconciler = scene.reconcile(scripted(|call, progress, _| async move {
        let say = |text: &str| {
            drop(progress.send_replace(Progress {
                message: Message::lossy(text),
                ..Progress::default()
            }));
        };
        say("one");
        say("two");
        tokio::time::sleep(Duration::from_secs(3)).await;
        say("three");
        say("four");
        tokio::time::sleep(Duration::from_secs(3)).await;
        say("five");
        done(&call)
    }));
    scene.at_rest(id).await;
    reconciler.stop().await;
    let lines = scene.history(id).await;
    let told: Vec<&str> = lines
        .iter()
        .filter(|line| line.reason.as_str() == "InProgress")
        .map(|line| line.message.as_str())
        .collect();
    assert_eq!(told, ["two", "four"]);
}

/// A store of which every fourth call fails, in every way that a store can fail.
#[tokio::test]
async fn p8_trouble_with_the_store_is_waited_out_and_all_converge() {
    for seed in [1, 2, 3] {
        let sound: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let faulty = Arc::new(Faulty::seeded(Arc::clone(&sound), seed, 25));
        let over = Arc::clone(&faulty);
        let mut scene = Scene::over(over);
        // A claim whose answer is lost waits for its lease.
        scene.lease = Duration::from_millis(500);
        let provisioner = scripted(|call, _, _| async move {
            if call.fence.get() % 3 == 1 && call.operation == Operation::Apply {
                let Failure {
                    reason, message, ..
                } = Fault::ProvisionerCrashed.failure("once");
                return Answer::Failed(Failure {
                    reason,
                    message,
                    permanent: false,
                    retry_after: None,
                });
            }
            done(&call)
        });
        let reconcilers = [0, 1].map(|_| scene.reconcile(Arc::clone(&provisioner)));
        let mut ids = Vec::new();
        for number in 0..8 {
            ids.push(scene.create(&format!("tenant-{number}")).await);
        }
        for id in &ids {
            scene.at_rest(*id).await;
        }
        scene.command(ids[0], Command::Delete).await;
        assert_eq!(
            scene.at_rest(ids[0]).await.state,
            State::Deleted,
            "seed {seed}"
        );
        for reconciler in reconcilers {
            reconciler.stop().await;
        }
        assert!(
            faulty.faults() > 20,
            "seed {seed}: only {} faults",
            faulty.faults()
        );
        let mut found = Vec::new();
        verify_all(&*sound, |progress| {
            found.extend_from_slice(progress.findings);
        })
        .await
        .unwrap();
        assert!(found.is_empty(), "seed {seed}: {found:?}");
    }
}
