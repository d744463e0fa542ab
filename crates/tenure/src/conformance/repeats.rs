//! Keys under many senders, keys that expire, and what a lost reply costs.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use std::sync::Arc;

use super::idempotency::{creation, execute, prior, request};
use super::{Factory, Fault, Faulty, Setup, fingerprint, key, patch, together};
use crate::{
    Answer, Commit, Effect, Engine, EngineError, IdempotencyKey, PageSize, Request, Revision,
    StoreError, Sweep,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_repeats {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases repeats [
            p5_many_creations_under_one_key_have_one_effect,
            p5_many_changes_under_one_key_have_one_effect,
            p5_one_key_on_two_tenants_at_once_has_one_effect,
            p5_an_expired_key_may_be_used_anew,
            p5_a_sweep_takes_expired_keys_and_no_others,
            a_sweep_keeps_to_its_batch,
            sweeps_may_run_side_by_side,
            p5_a_lost_reply_costs_no_second_effect,
            p5_a_store_that_fails_at_random_ends_with_one_effect_each,
        ] $($arg)* }
    };
}

/// Carries out all of these at once, over every store there is.
async fn execute_at_once(
    setup: &Setup,
    requests: Vec<Request>,
) -> Vec<Result<Answer, EngineError>> {
    let stores = setup.stores().await;
    let sends = requests
        .into_iter()
        .zip(stores.iter().cycle())
        .map(|(request, store)| {
            let engine = Engine::new(Arc::clone(store));
            async move { engine.execute(&request).await }
        });
    together(sends).await
}

/// Of these answers to one request, one had the effect, and all say the same.
fn assert_one_effect(answers: Vec<Result<Answer, EngineError>>, effect: Effect) {
    let answers: Vec<Answer> = answers
        .into_iter()
        .map(|answer| answer.unwrap_or_else(|error| panic!("each should be answered: {error:?}")))
        .collect();
    let repeats = answers.iter().filter(|answer| answer.replayed).count();
    assert_eq!(repeats, answers.len() - 1, "{answers:?}");
    let same = answers.iter().all(|answer| answer.effect == effect);
    assert!(same, "each is told the first answer: {answers:?}");
    assert!(
        answers
            .windows(2)
            .all(|pair| pair[0].tenant == pair[1].tenant),
        "{answers:?}"
    );
}

pub async fn p5_many_creations_under_one_key_have_one_effect(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let requests = (0..32)
        .map(|_| creation(&setup, "acme", key("k", "create")))
        .collect();
    assert_one_effect(execute_at_once(&setup, requests).await, Effect::Created);
    assert_eq!(setup.feed().await.len(), 1);
}

pub async fn p5_many_changes_under_one_key_have_one_effect(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.create("acme").await;
    let requests = (0..32)
        .map(|_| request(&setup, "acme", patch("plan", "gold"), key("k", "patch")))
        .collect();
    assert_one_effect(execute_at_once(&setup, requests).await, Effect::Changed);
    assert_eq!(setup.feed().await.len(), 2);
}

pub async fn p5_one_key_on_two_tenants_at_once_has_one_effect(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for name in ["a", "b"] {
        setup.create(name).await;
    }
    for round in 0..8 {
        let before = setup.feed().await.len();
        let of = |name: &str| {
            let key = key(&format!("k{round}"), name);
            request(&setup, name, patch("round", round), key)
        };
        let answers = execute_at_once(&setup, vec![of("a"), of("b")]).await;
        let written = answers.iter().filter(|answer| answer.is_ok()).count();
        let refused = answers
            .iter()
            .filter(|answer| matches!(answer, Err(EngineError::KeyReused)))
            .count();
        assert_eq!((written, refused), (1, 1), "{answers:?}");
        assert_eq!(setup.feed().await.len(), before + 1);
    }
}

fn sweep(batch: u64) -> Sweep {
    Sweep {
        batch: PageSize::new(batch).expect("a good size"),
        feed_retention: None,
    }
}

async fn swept(setup: &Setup, batch: u64) -> u64 {
    setup
        .store
        .sweep(sweep(batch))
        .await
        .expect("sweeping works")
}

pub async fn p5_an_expired_key_may_be_used_anew(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let ttl = setup.short().await;
    let brief = |name: &str, request: &str| IdempotencyKey {
        ttl,
        ..key(name, request)
    };
    let names = ["created", "remembered", "left"];
    for name in names {
        execute(&setup, &creation(&setup, name, brief(name, "first"))).await;
    }
    let acme = setup.create("acme").await;
    setup.pass(ttl).await;
    for name in names {
        assert_eq!(
            prior(&setup, &brief(name, "first")).await,
            None,
            "{name}: as good as unknown"
        );
    }
    // Whether or not a sweep has been there.
    let change = setup.change(&acme, &patch("plan", "gold"));
    let acme = setup
        .write(&change.with_key(Some(key("created", "second"))))
        .await;
    let answer = setup
        .store
        .remember(acme.id, acme.revision, &key("remembered", "second"))
        .await;
    assert!(matches!(answer, Ok(Commit::Applied { .. })), "{answer:?}");
    assert_eq!(swept(&setup, 100).await, 1, "only the key that is left");
    let other = execute(&setup, &creation(&setup, "other", key("left", "second")))
        .await
        .tenant;
    for (name, tenant) in [("created", &acme), ("remembered", &acme), ("left", &other)] {
        let used = prior(&setup, &key(name, "second"))
            .await
            .expect("the key is known");
        assert_eq!(
            (used.tenant, used.revision),
            (tenant.id, tenant.revision),
            "{name}"
        );
        assert_eq!(used.fingerprint, fingerprint("second"), "{name}");
    }
}

pub async fn p5_a_sweep_takes_expired_keys_and_no_others(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let ttl = setup.short().await;
    let acme = setup.create("acme").await;
    for n in 0..3 {
        let brief = IdempotencyKey {
            ttl,
            ..key(&format!("brief-{n}"), "r")
        };
        for key in [brief, key(&format!("lasting-{n}"), "r")] {
            let answer = setup.store.remember(acme.id, acme.revision, &key).await;
            assert!(matches!(answer, Ok(Commit::Applied { .. })), "{answer:?}");
        }
    }
    assert_eq!(swept(&setup, 100).await, 0, "nothing has expired yet");
    setup.pass(ttl).await;
    assert_eq!(swept(&setup, 100).await, 3);
    assert_eq!(swept(&setup, 100).await, 0, "they are gone");
    for n in 0..3 {
        assert_eq!(prior(&setup, &key(&format!("brief-{n}"), "r")).await, None);
        assert!(
            prior(&setup, &key(&format!("lasting-{n}"), "r"))
                .await
                .is_some()
        );
    }
    assert_eq!(
        setup.history(acme.id).await.len(),
        1,
        "a sweep takes no history"
    );
}

/// Remembers this many keys, and lets them expire.
async fn expired_keys(setup: &Setup, count: u64) {
    let ttl = setup.short().await;
    let acme = setup.create("acme").await;
    for n in 0..count {
        let key = IdempotencyKey {
            ttl,
            ..key(&format!("k{n}"), "r")
        };
        let answer = setup.store.remember(acme.id, acme.revision, &key).await;
        assert!(matches!(answer, Ok(Commit::Applied { .. })), "{answer:?}");
    }
    setup.pass(ttl).await;
}

pub async fn a_sweep_keeps_to_its_batch(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    expired_keys(&setup, 25).await;
    for taken in [10, 10, 5, 0] {
        assert_eq!(swept(&setup, 10).await, taken);
    }
}

pub async fn sweeps_may_run_side_by_side(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    expired_keys(&setup, 50).await;
    let stores = setup.stores().await;
    let mut taken = 0;
    // A sweep may leave what another has in its hands, so the walk goes on until all is gone.
    for _ in 0..50 {
        let sweeps = stores.iter().cycle().take(8).map(|store| {
            let store = Arc::clone(store);
            async move { store.sweep(sweep(10)).await.expect("sweeping works") }
        });
        taken += together(sweeps).await.iter().sum::<u64>();
        if taken == 50 {
            break;
        }
    }
    assert_eq!(taken, 50, "each key is taken once");
    assert_eq!(swept(&setup, 100).await, 0);
}

/// Sends a request until it is answered, as a client does that takes each error's advice.
async fn insist(engine: &Engine, request: &Request) -> Answer {
    for _ in 0..100 {
        match engine.execute(request).await {
            Ok(answer) => return answer,
            Err(EngineError::Store(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => {
            }
            Err(other) => panic!("this has nothing to do with the faults: {other:?}"),
        }
    }
    panic!("100 sends of one request should be enough")
}

pub async fn p5_a_lost_reply_costs_no_second_effect(factory: &dyn Factory) {
    use Fault::{Delay, Duplicate, FailBefore, LoseReply};
    let setup = Setup::new(factory).await;
    let scripts: [&[Fault]; 5] = [
        &[FailBefore],
        &[LoseReply],
        &[Duplicate],
        &[Delay],
        &[LoseReply, FailBefore, LoseReply, Duplicate],
    ];
    for (n, script) in scripts.iter().enumerate() {
        for keyed in [false, true] {
            let name = format!("t{n}-{keyed}");
            let faults = || Faulty::scripted(Arc::clone(&setup.store), script.iter().copied());
            let on = |what: &str| keyed.then(|| key(&format!("{name}-{what}"), what));
            let mut create = creation(&setup, &name, key("unused", "create"));
            create.key = on("create");
            let created = insist(&Engine::new(Arc::new(faults())), &create)
                .await
                .tenant;
            let mut change = request(&setup, &name, patch("plan", "gold"), key("unused", "r"));
            change.key = on("change");
            let changed = insist(&Engine::new(Arc::new(faults())), &change)
                .await
                .tenant;
            let mut again = request(&setup, &name, patch("plan", "gold"), key("unused", "r"));
            again.key = on("again");
            let unchanged = insist(&Engine::new(Arc::new(faults())), &again)
                .await
                .tenant;

            assert_eq!(created.revision, Revision::new(1), "{script:?}");
            assert_eq!(changed.revision, Revision::new(2), "{script:?}");
            assert_eq!(unchanged, changed, "{script:?}");
            assert_eq!(setup.tenant(created.id).await, changed, "{script:?}");
            assert_eq!(setup.history(created.id).await.len(), 2, "{script:?}");
        }
    }
}

pub async fn p5_a_store_that_fails_at_random_ends_with_one_effect_each(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let faulty = Arc::new(Faulty::seeded(Arc::clone(&setup.store), 7, 30));
    let engine = Engine::new(Arc::<Faulty>::clone(&faulty));
    let created = insist(&engine, &creation(&setup, "acme", key("create", "create")))
        .await
        .tenant;
    for n in 0..40_u64 {
        let key = key(&format!("k{n}"), "patch");
        let change = request(&setup, "acme", patch(&format!("f{n}"), n), key);
        let answer = insist(&engine, &change).await;
        assert_eq!(answer.tenant.revision, Revision::new(n + 2), "{answer:?}");
    }
    assert!(faulty.faults() > 10, "{} faults", faulty.faults());
    let lines = setup.history(created.id).await;
    assert_eq!(lines.len(), 41);
    let mut requests: Vec<_> = lines.iter().map(|line| line.request_id).collect();
    requests.sort_unstable();
    requests.dedup();
    assert_eq!(requests.len(), 41, "each request has one line");
}
