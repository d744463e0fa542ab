//! Sending again under a key.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use super::{Factory, Setup, fingerprint, key, patch, succeeded};
use crate::{
    Answer, Command, Commit, Effect, EngineError, IdempotencyKey, Operation, Prior, RefusalCode,
    Request, Revision, State, TenantId, TenantRef,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_idempotency {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases idempotency [
            p5_a_repeat_gets_the_first_answer,
            p5_a_repeat_gets_the_first_answer_whatever_came_after_it,
            p5_a_key_that_was_used_for_another_request_is_refused,
            p5_a_key_counts_in_its_scope_alone,
            p5_keys_are_compared_byte_by_byte,
            p5_a_refused_request_does_not_burn_its_key,
            p5_a_request_that_finds_all_as_asked_keeps_its_key,
            p5_remembering_a_key_writes_nothing_else,
        ] $($arg)* }
    };
}

/// A request for a tenant by name, under a key. Each call gives another request id and time, as a
/// client that has forgotten its first attempt would.
pub(super) fn request(setup: &Setup, name: &str, command: Command, key: IdempotencyKey) -> Request {
    let who = TenantRef::Name(name.parse().expect("a good name"));
    Request {
        key: Some(key),
        ..setup.request(who, command)
    }
}

/// A request to create a tenant of this name, each time under another id.
pub(super) fn creation(setup: &Setup, name: &str, key: IdempotencyKey) -> Request {
    request(setup, name, Command::Create(setup.wanted(name)), key)
}

pub(super) async fn execute(setup: &Setup, request: &Request) -> Answer {
    match setup.engine.execute(request).await {
        Ok(answer) => answer,
        Err(error) => panic!("this should have been carried out, and it failed: {error:?}"),
    }
}

/// What a key stands for.
pub(super) async fn prior(setup: &Setup, key: &IdempotencyKey) -> Option<Prior> {
    let nobody = TenantRef::Id(TenantId::new(uuid::Uuid::nil()));
    let loaded = setup
        .store
        .load(&nobody, Some((&key.scope, &key.key)))
        .await;
    loaded.expect("loading works").prior
}

pub async fn p5_a_repeat_gets_the_first_answer(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let first = execute(&setup, &creation(&setup, "acme", key("k1", "create"))).await;
    assert_eq!(first.effect, Effect::Created);
    let again = execute(&setup, &creation(&setup, "acme", key("k1", "create"))).await;
    assert_eq!(
        again,
        Answer {
            replayed: true,
            ..first.clone()
        }
    );

    let change = || request(&setup, "acme", patch("plan", "gold"), key("k2", "patch"));
    let changed = execute(&setup, &change()).await;
    assert_eq!(changed.effect, Effect::Changed);
    let again = execute(&setup, &change()).await;
    assert_eq!(
        again,
        Answer {
            replayed: true,
            ..changed.clone()
        }
    );
    let history = setup.history(first.tenant.id).await;
    assert_eq!(history.len(), 2, "one line for each");
    assert_eq!(setup.tenant(first.tenant.id).await, changed.tenant);
}

pub async fn p5_a_repeat_gets_the_first_answer_whatever_came_after_it(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let created = execute(&setup, &creation(&setup, "acme", key("k1", "create"))).await;
    let change = || request(&setup, "acme", patch("plan", "gold"), key("k2", "patch"));
    let changed = execute(&setup, &change()).await;
    let mut tenant = changed.tenant.clone();
    for n in 0..10 {
        tenant = setup.command(&tenant, &patch("n", n)).await;
    }
    let again = execute(&setup, &change()).await;
    assert_eq!(
        again,
        Answer {
            replayed: true,
            ..changed
        }
    );
    // Even when the tenant is gone and another has its name.
    tenant = setup.command(&tenant, &Command::Delete).await;
    setup
        .report(&tenant, &succeeded(&tenant, Operation::Destroy))
        .await;
    setup.create("acme").await;
    let feed = setup.feed().await;
    let again = execute(&setup, &creation(&setup, "acme", key("k1", "create"))).await;
    assert_eq!(
        again,
        Answer {
            replayed: true,
            ..created
        }
    );
    assert_eq!(setup.feed().await, feed);
}

pub async fn p5_a_key_that_was_used_for_another_request_is_refused(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let acme = execute(&setup, &creation(&setup, "acme", key("k", "create")))
        .await
        .tenant;
    let before = setup.everything(acme.id).await;
    for other in [
        request(&setup, "acme", patch("plan", "gold"), key("k", "patch")),
        creation(&setup, "other", key("k", "create another")),
    ] {
        let answer = setup.engine.execute(&other).await;
        assert!(matches!(answer, Err(EngineError::KeyReused)), "{answer:?}");
        assert_eq!(setup.everything(acme.id).await, before);
    }
    let used = prior(&setup, &key("k", "create"))
        .await
        .expect("the key is known");
    assert_eq!(
        used.fingerprint,
        fingerprint("create"),
        "it stands for what it stood for"
    );
}

pub async fn p5_a_key_counts_in_its_scope_alone(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let in_scope = |scope: &str| IdempotencyKey {
        scope: scope.to_owned(),
        ..key("k", "create")
    };
    for (n, scope) in ["user:maria", "user:mari", "user:mariak", "USER:maria", "k"]
        .iter()
        .enumerate()
    {
        let request = creation(&setup, &format!("t{n}"), in_scope(scope));
        let created = execute(&setup, &request).await;
        assert_eq!(created.effect, Effect::Created, "{scope}");
        let used = prior(&setup, &in_scope(scope))
            .await
            .expect("the key is known");
        assert_eq!(used.tenant, created.tenant.id, "{scope}");
    }
    assert_eq!(prior(&setup, &in_scope("user:nobody")).await, None);
}

pub async fn p5_keys_are_compared_byte_by_byte(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let (longest, shorter) = ("k".repeat(255), "k".repeat(254));
    let keys = [
        "key", "Key", "KEY", "key ", " key", "ke y", "k", "é", "e\u{301}", "\u{212b}", "Å", "0",
        "00", "0x0", "1e0", "%", "_", "'", "\\", "\u{200b}", "🦀", &longest, &shorter,
    ];
    for (n, name) in keys.iter().enumerate() {
        let created = execute(&setup, &creation(&setup, &format!("t{n}"), key(name, "r"))).await;
        assert_eq!(created.effect, Effect::Created, "{name:?}");
    }
    for (n, name) in keys.iter().enumerate() {
        let again = execute(&setup, &creation(&setup, &format!("t{n}"), key(name, "r"))).await;
        assert!(again.replayed, "{name:?}");
        assert_eq!(again.effect, Effect::Created, "{name:?}");
        assert_eq!(again.tenant.name.as_str(), format!("t{n}"), "{name:?}");
    }
}

pub async fn p5_a_refused_request_does_not_burn_its_key(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let acme = setup.create("acme").await;
    let gone = setup.lead_to("gone", State::Deleted).await;
    let known = |name: &'static str| key(name, "request");

    let mut stale = request(&setup, "acme", patch("plan", "gold"), known("stale"));
    stale.if_revision = Some(Revision::new(7));
    let answer = setup.engine.execute(&stale).await;
    assert!(
        matches!(answer, Err(EngineError::RevisionConflict { .. })),
        "{answer:?}"
    );

    let deleted = Request {
        who: TenantRef::Id(gone.id),
        ..request(&setup, "gone", patch("plan", "gold"), known("deleted"))
    };
    let answer = setup.engine.execute(&deleted).await;
    let Err(EngineError::Refused(refusal)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(refusal.code, RefusalCode::TenantDeleted);

    let absent = request(&setup, "absent", patch("plan", "gold"), known("absent"));
    let answer = setup.engine.execute(&absent).await;
    let Err(EngineError::Refused(refusal)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(refusal.code, RefusalCode::TenantNotFound);

    let mut dry = request(&setup, "acme", patch("plan", "gold"), known("dry"));
    dry.dry_run = true;
    assert_eq!(execute(&setup, &dry).await.effect, Effect::Changed);

    for (n, name) in ["stale", "deleted", "absent", "dry"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(prior(&setup, &known(name)).await, None, "{name}");
        let right = request(&setup, "acme", patch("n", n), known(name));
        assert_eq!(
            execute(&setup, &right).await.effect,
            Effect::Changed,
            "{name}"
        );
    }
    assert_eq!(setup.tenant(acme.id).await.revision, Revision::new(5));
}

pub async fn p5_a_request_that_finds_all_as_asked_keeps_its_key(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup
        .command(&setup.create("acme").await, &patch("plan", "gold"))
        .await;
    let before = setup.everything(tenant.id).await;
    let same = || request(&setup, "acme", patch("plan", "gold"), key("k", "patch"));
    let first = execute(&setup, &same()).await;
    assert_eq!(
        first,
        Answer {
            tenant: tenant.clone(),
            effect: Effect::Unchanged,
            replayed: false,
        }
    );
    assert_eq!(setup.everything(tenant.id).await, before);
    let silver = setup.command(&tenant, &patch("plan", "silver")).await;
    // Now it is not as asked, but this request was answered before.
    let again = execute(&setup, &same()).await;
    assert_eq!(
        again,
        Answer {
            tenant,
            effect: Effect::Unchanged,
            replayed: true,
        }
    );
    assert_eq!(setup.tenant(silver.id).await, silver);
}

pub async fn p5_remembering_a_key_writes_nothing_else(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup
        .command(&setup.create("acme").await, &patch("plan", "gold"))
        .await;
    let before = setup.everything(tenant.id).await;
    let (one, two) = (Revision::new(1), Revision::new(2));
    let remember = async |id, revision, name: &str, request: &str| {
        let key = key(name, request);
        setup
            .store
            .remember(id, revision, &key)
            .await
            .expect("remembering is answered")
    };
    assert_eq!(
        remember(tenant.id, two, "k", "r").await,
        Commit::Applied { revision: two }
    );
    assert_eq!(
        remember(tenant.id, one, "older", "r").await,
        Commit::Applied { revision: one }
    );
    for (revision, request) in [(two, "r"), (one, "r"), (two, "another")] {
        assert_eq!(
            remember(tenant.id, revision, "k", request).await,
            Commit::KeyUsed
        );
    }
    assert_eq!(
        remember(setup.id(), one, "absent", "r").await,
        Commit::NotFound
    );
    assert_eq!(
        remember(tenant.id, Revision::new(3), "beyond", "r").await,
        Commit::NotFound
    );
    assert_eq!(setup.everything(tenant.id).await, before);

    let expected = Prior {
        tenant: tenant.id,
        revision: two,
        wrote: false,
        fingerprint: fingerprint("r"),
    };
    assert_eq!(prior(&setup, &key("k", "r")).await, Some(expected));
    assert_eq!(prior(&setup, &key("absent", "r")).await, None);
    assert_eq!(prior(&setup, &key("beyond", "r")).await, None);
}
