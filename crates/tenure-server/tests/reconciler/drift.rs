//! Looking at what rests: what is recorded, what is repaired, and what never is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tenure::conformance::{ManualClock, start};
use tenure::{
    Command, ConditionKind, Document, DriftMode, DriftPolicy, Message, Operation, Record, State,
    TenantId,
};
use tenure_server::provisioner::{Answer, Call, Failure, Provisioner};

use crate::fixture::{Scene, scripted};

/// A target that remembers what it was made to be, and can be tampered with.
#[derive(Clone, Debug, Default)]
struct World {
    tenants: Arc<Mutex<BTreeMap<TenantId, Value>>>,
    applied: Arc<AtomicU32>,
    destroyed: Arc<AtomicU32>,
    looked: Arc<AtomicU32>,
    sight: Arc<Mutex<Sight>>,
}

/// What looking gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Sight {
    #[default]
    Clear,
    /// Success, and nothing in it.
    Nothing,
    /// The target does not answer.
    Unreachable,
}

impl World {
    fn provisioner(&self) -> Arc<dyn Provisioner> {
        let world = self.clone();
        scripted(move |call, _, _| {
            let world = world.clone();
            async move { world.run(&call) }
        })
    }

    fn run(&self, call: &Call) -> Answer {
        let id = call.tenant.id;
        let mut tenants = self.tenants.lock().unwrap();
        let seen = match (call.operation, *self.sight.lock().unwrap()) {
            (Operation::Apply, _) => {
                self.applied.fetch_add(1, Ordering::SeqCst);
                let made = call.tenant.desired.to_value();
                tenants.insert(id, made.clone());
                made
            }
            (Operation::Destroy, _) => {
                self.destroyed.fetch_add(1, Ordering::SeqCst);
                tenants.remove(&id);
                json!({})
            }
            (Operation::Observe, sight) => {
                self.looked.fetch_add(1, Ordering::SeqCst);
                match sight {
                    Sight::Clear => tenants.get(&id).cloned().unwrap_or_else(|| json!({})),
                    Sight::Nothing => json!({}),
                    Sight::Unreachable => return unreachable(),
                }
            }
        };
        Answer::Done {
            observed: Some(Document::from_value(&seen).unwrap()),
            resources: None,
            message: Message::none(),
        }
    }

    fn see(&self, sight: Sight) {
        *self.sight.lock().unwrap() = sight;
    }

    fn tamper(&self, id: TenantId, plan: &str) {
        self.tenants.lock().unwrap().get_mut(&id).unwrap()["plan"] = plan.into();
    }

    fn looked(&self) -> u32 {
        self.looked.load(Ordering::SeqCst)
    }
}

fn unreachable() -> Answer {
    Answer::Failed(Failure {
        reason: "Unreachable".parse().unwrap(),
        message: Message::lossy("no route to the target"),
        permanent: false,
        retry_after: None,
    })
}

/// A scene whose classes look every few milliseconds.
fn scene(mode: DriftMode, corrections_per_hour: u32) -> Scene {
    let mut scene = Scene::new();
    scene.policy.drift = DriftPolicy {
        mode,
        interval: Duration::from_millis(20),
        corrections_per_hour,
        ..DriftPolicy::default()
    };
    scene.limits.checks_per_minute = 1_000_000;
    scene.limits.breaker.failures = u32::MAX;
    scene
}

fn has(kind: ConditionKind) -> impl Fn(&Record) -> bool {
    move |record| record.tenant.conditions.kinds().contains(&kind)
}

fn is_in_order(record: &Record) -> bool {
    record.tenant.is_at_rest() && record.tenant.conditions.is_empty()
}

#[tokio::test]
async fn drift_is_recorded_and_left_alone_unless_the_class_corrects() {
    let (scene, world) = (scene(DriftMode::Observe, 10), World::default());
    let id = scene.create("acme").await;
    let reconciler = scene.reconcile(world.provisioner());
    scene.until(id, is_in_order).await;
    world.tamper(id, "stolen");
    let drifted = scene.until(id, has(ConditionKind::Drifted)).await;
    let looked = world.looked();
    scene.until(id, |_| world.looked() > looked + 3).await;
    let tenant = scene.record(id).await.tenant;
    assert_eq!(
        tenant.revision, drifted.revision,
        "the same drift is no news"
    );
    assert_eq!(world.applied.load(Ordering::SeqCst), 1);
    // Suspended, it is looked at as well.
    scene.command(id, Command::Suspend).await;
    scene.until(id, is_in_order).await;
    world.tamper(id, "again");
    let drifted = scene.until(id, has(ConditionKind::Drifted)).await;
    assert_eq!(drifted.state, State::Suspended);
    // Taken over, it is what is wanted.
    scene.command(id, Command::Accept).await;
    let accepted = scene.until(id, is_in_order).await;
    assert_eq!(accepted.desired.as_str(), r#"{"plan":"again"}"#);
    reconciler.stop().await;
}

#[tokio::test]
async fn drift_is_corrected_where_the_class_corrects() {
    let (scene, world) = (scene(DriftMode::Correct, 10), World::default());
    let id = scene.create("acme").await;
    let reconciler = scene.reconcile(world.provisioner());
    scene.until(id, is_in_order).await;
    world.tamper(id, "stolen");
    let corrected = |_: &Record| world.applied.load(Ordering::SeqCst) == 2;
    scene.until(id, corrected).await;
    let tenant = scene.until(id, is_in_order).await;
    assert_eq!(tenant.generation.get(), 1);
    reconciler.stop().await;
    let reasons = scene.reasons(id).await;
    assert!(
        reasons.ends_with(&["DriftCorrection".to_owned(), "Updated".to_owned()]),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn p11_corrections_of_a_class_keep_to_its_budget_over_all_servers() {
    let mut scene = scene(DriftMode::Correct, 3);
    // The budget's hour does not end while the test runs.
    scene.clock = Arc::new(ManualClock::new(start()));
    let world = World::default();
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(scene.create(&format!("t{n}")).await);
    }
    let servers = [
        scene.reconcile(world.provisioner()),
        scene.reconcile(world.provisioner()),
    ];
    for id in &ids {
        scene.until(*id, is_in_order).await;
    }
    for id in &ids {
        world.tamper(*id, "stolen");
    }
    let mut corrected = 0;
    for id in &ids {
        let settled = |record: &Record| {
            let tenant = &record.tenant;
            let spent = tenant
                .conditions
                .drifted
                .as_ref()
                .is_some_and(|d| d.budget_spent);
            spent || (tenant.is_at_rest() && tenant.revision.get() > 4)
        };
        let tenant = scene.until(*id, settled).await;
        corrected += u32::from(tenant.conditions.drifted.is_none());
    }
    assert_eq!(corrected, 3);
    assert_eq!(world.applied.load(Ordering::SeqCst), 10 + 3);
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn p8_a_target_that_is_out_of_sight_deletes_and_corrects_nothing() {
    let (scene, world) = (scene(DriftMode::Correct, 1_000), World::default());
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(scene.create(&format!("t{n}")).await);
    }
    let reconciler = scene.reconcile(world.provisioner());
    for id in &ids {
        scene.until(*id, is_in_order).await;
    }
    for sight in [Sight::Nothing, Sight::Unreachable] {
        world.see(sight);
        for id in &ids {
            let unknown = scene.until(*id, has(ConditionKind::Unknown)).await;
            assert_eq!(unknown.state, State::Ready);
            assert_eq!(unknown.conditions.kinds(), [ConditionKind::Unknown]);
            assert_eq!(unknown.observed.unwrap().as_str(), r#"{"plan":"gold"}"#);
        }
        world.see(Sight::Clear);
        for id in &ids {
            scene.until(*id, is_in_order).await;
        }
    }
    assert_eq!(world.applied.load(Ordering::SeqCst), 100);
    assert_eq!(world.destroyed.load(Ordering::SeqCst), 0);
    reconciler.stop().await;
}

#[tokio::test]
async fn p8_a_tenant_that_is_gone_is_made_anew_by_a_retry() {
    let (scene, world) = (scene(DriftMode::Correct, 10), World::default());
    let id = scene.create("acme").await;
    let reconciler = scene.reconcile(world.provisioner());
    scene.until(id, is_in_order).await;
    world.tenants.lock().unwrap().remove(&id);
    scene.until(id, has(ConditionKind::Unknown)).await;
    scene.command(id, Command::Retry).await;
    scene.until(id, is_in_order).await;
    assert!(world.tenants.lock().unwrap().contains_key(&id));
    reconciler.stop().await;
}

#[tokio::test]
async fn a_class_that_does_not_look_is_not_looked_at() {
    let (scene, world) = (scene(DriftMode::Off, 10), World::default());
    let id = scene.create("acme").await;
    let reconciler = scene.reconcile(world.provisioner());
    scene.until(id, is_in_order).await;
    let fence = scene.record(id).await.work.fence;
    scene
        .until(id, |record| record.work.fence.get() > fence.get() + 3)
        .await;
    assert_eq!(world.looked(), 0);
    reconciler.stop().await;
}
