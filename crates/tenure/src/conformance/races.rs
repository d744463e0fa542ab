//! Losing a race, and sending again.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use std::sync::Arc;

use serde_json::json;

use super::{Factory, Setup, applied, change, key, patch, report, succeeded, together};
use crate::{
    Change, Command, Commit, Engine, Fence, Operation, Outcome, Revision, State, Tenant, TenantRef,
    Under, Wanted, decide,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_races {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases races [
            p4_a_stale_revision_writes_nothing,
            p4_a_revision_that_is_not_there_yet_writes_nothing,
            p4_another_change_at_the_same_revision_is_a_conflict,
            the_first_thing_in_the_way_is_the_answer,
            p4_of_many_changes_at_one_revision_exactly_one_is_written,
            p4_of_many_creations_of_one_name_exactly_one_is_written,
            p4_writers_that_decide_again_lose_nothing,
            changes_of_many_tenants_are_written_side_by_side,
            p5_a_change_sent_again_is_written_once,
            p5_a_creation_sent_again_is_written_once,
            p5_a_change_sent_again_is_known_whatever_became_of_its_lease_and_key,
            p5_many_sends_of_one_change_at_once_are_written_once,
            p5_many_sends_of_one_creation_at_once_are_written_once,
        ] $($arg)* }
    };
}

/// A tenant of revision 3.
async fn third(setup: &Setup, name: &str) -> Tenant {
    let tenant = setup.create(name).await;
    let tenant = setup.command(&tenant, &patch("plan", "gold")).await;
    setup.command(&tenant, &patch("seats", 10)).await
}

pub async fn p4_a_stale_revision_writes_nothing(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = third(&setup, "acme").await;
    let before = setup.everything(tenant.id).await;
    for stale in setup.past(tenant.id).await.iter().take(2) {
        for command in [patch("plan", "silver"), Command::Suspend, Command::Delete] {
            let answer = setup.store.commit(&setup.change(stale, &command)).await;
            let conflict = Commit::Conflict {
                actual: tenant.revision,
            };
            assert!(
                matches!(&answer, Ok(answer) if *answer == conflict),
                "{answer:?}"
            );
            assert_eq!(setup.everything(tenant.id).await, before);
        }
    }
}

pub async fn p4_a_revision_that_is_not_there_yet_writes_nothing(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = third(&setup, "acme").await;
    let before = setup.everything(tenant.id).await;
    let next = setup.change(&tenant, &patch("plan", "silver"));
    let after_next = setup.change(next.tenant(), &patch("plan", "bronze"));
    let answer = setup.store.commit(&after_next).await;
    let conflict = Commit::Conflict {
        actual: tenant.revision,
    };
    assert!(
        matches!(&answer, Ok(answer) if *answer == conflict),
        "{answer:?}"
    );
    assert_eq!(setup.everything(tenant.id).await, before);
    // In their order, both are written.
    setup.write(&next).await;
    setup.write(&after_next).await;
}

pub async fn p4_another_change_at_the_same_revision_is_a_conflict(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = third(&setup, "acme").await;
    let context = setup.context();
    let command = patch("plan", "silver");
    let first = change(decide(Some(&tenant), &command, &context));
    // Alike in all but the request, so it is another intent that asks for the same.
    let rival = crate::Context {
        request_id: setup.context().request_id,
        ..context
    };
    let rival = change(decide(Some(&tenant), &command, &rival));
    let after = setup.write(&first).await;
    let answer = setup.store.commit(&rival).await;
    let conflict = Commit::Conflict {
        actual: after.revision,
    };
    assert!(
        matches!(&answer, Ok(answer) if *answer == conflict),
        "{answer:?}"
    );
    assert_eq!(setup.history(tenant.id).await.last(), Some(first.line()));
}

pub async fn the_first_thing_in_the_way_is_the_answer(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let used = || Some(key("used", "request"));
    let creation = setup.creation(setup.wanted("acme")).with_key(used());
    let tenant = setup.write(&creation).await;
    let moved = setup.command(&tenant, &patch("plan", "gold")).await;
    let absent = setup.creation(setup.wanted("absent"));
    let create = |wanted| setup.creation(wanted).with_key(used());
    let change = |of: &Tenant| {
        let under = Under {
            fence: Fence::new(7),
            release: true,
        };
        setup
            .change(of, &patch("plan", "iron"))
            .under(under)
            .with_key(used())
    };
    let answers = [
        (
            create(Wanted {
                id: tenant.id,
                ..setup.wanted("acme")
            }),
            Commit::IdTaken,
        ),
        (create(setup.wanted("acme")), Commit::NameTaken),
        (create(setup.wanted("new")), Commit::KeyUsed),
        (change(absent.tenant()), Commit::NotFound),
        (
            change(&tenant),
            Commit::Conflict {
                actual: moved.revision,
            },
        ),
        (change(&moved), Commit::LeaseLost),
    ];
    for (change, expected) in answers {
        let answer = setup.store.commit(&change).await;
        assert!(
            matches!(&answer, Ok(answer) if *answer == expected),
            "{expected:?}: {answer:?}"
        );
    }
    // And before all of them: it was written already.
    assert_eq!(
        applied(setup.store.commit(&creation).await),
        Revision::new(1)
    );
}

/// Commits all of these at once, over every store there is; gives the answers in order.
async fn commit_at_once(setup: &Setup, changes: Vec<Change>) -> Vec<Commit> {
    let stores = setup.stores().await;
    let sends = changes.into_iter().enumerate().map(|(n, change)| {
        let store = Arc::clone(&stores[n % stores.len()]);
        async move { store.commit(&change).await.expect("commits are answered") }
    });
    together(sends).await
}

pub async fn p4_of_many_changes_at_one_revision_exactly_one_is_written(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.create("acme").await;
    for round in 0..8 {
        let rivals: Vec<_> = (0..16)
            .map(|n| setup.change(&tenant, &patch("n", format!("{round}/{n}"))))
            .collect();
        let answers = commit_at_once(&setup, rivals.clone()).await;
        let revision = tenant.revision.next();
        let (mut written, mut lost) = (Vec::new(), 0);
        for (change, answer) in rivals.iter().zip(&answers) {
            if *answer == (Commit::Applied { revision }) {
                written.push(change);
            } else {
                assert_eq!(*answer, Commit::Conflict { actual: revision });
                lost += 1;
            }
        }
        assert_eq!((written.len(), lost), (1, 15), "{answers:?}");
        tenant = setup.tenant(tenant.id).await;
        assert_eq!(Some(&tenant), written.first().map(|change| change.tenant()));
    }
    assert_eq!(setup.history(tenant.id).await.len(), 9);
}

pub async fn p4_of_many_creations_of_one_name_exactly_one_is_written(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let rivals: Vec<_> = (0..16)
        .map(|_| setup.creation(setup.wanted("acme")))
        .collect();
    let answers = commit_at_once(&setup, rivals).await;
    let written = answers
        .iter()
        .filter(|answer| matches!(answer, Commit::Applied { .. }))
        .count();
    let refused = answers
        .iter()
        .filter(|answer| **answer == Commit::NameTaken)
        .count();
    assert_eq!((written, refused), (1, 15), "{answers:?}");
    assert_eq!(setup.feed().await.len(), 1);
}

pub async fn p4_writers_that_decide_again_lose_nothing(factory: &dyn Factory) {
    const WRITERS: u64 = 64;
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let stores = setup.stores().await;
    let writers = (0..WRITERS).zip(stores.iter().cycle()).map(|(n, store)| {
        let engine = Engine::new(Arc::clone(store));
        let who = TenantRef::Id(tenant.id);
        let request = setup.request(who, patch(&format!("writer-{n}"), n));
        async move {
            engine
                .execute(&request)
                .await
                .expect("each writer comes through")
        }
    });
    let mut revisions: Vec<_> = together(writers)
        .await
        .iter()
        .map(|answer| answer.tenant.revision.get())
        .collect();
    revisions.sort_unstable();
    let expected: Vec<u64> = (2..=WRITERS + 1).collect();
    assert_eq!(
        revisions, expected,
        "each writer made a revision of its own"
    );
    let after = setup.tenant(tenant.id).await;
    let wanted = (0..WRITERS)
        .map(|n| (format!("writer-{n}"), json!(n)))
        .collect();
    assert_eq!(after.desired.to_value(), serde_json::Value::Object(wanted));
    let lines: Vec<_> = setup
        .history(tenant.id)
        .await
        .iter()
        .map(|line| line.revision.get())
        .collect();
    assert_eq!(lines, (1..=WRITERS + 1).collect::<Vec<_>>(), "no gap");
}

pub async fn changes_of_many_tenants_are_written_side_by_side(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let stores = setup.stores().await;
    let mut lives = Vec::new();
    for n in 0..32 {
        let mut life = vec![setup.creation(setup.wanted(&format!("t{n}")))];
        for m in 0..8 {
            let next = life
                .last()
                .map(|last| setup.change(last.tenant(), &patch("n", m)));
            life.extend(next);
        }
        lives.push(life);
    }
    let writers = lives
        .clone()
        .into_iter()
        .zip(stores.iter().cycle())
        .map(|(life, store)| {
            let store = Arc::clone(store);
            async move {
                for change in &life {
                    applied(store.commit(change).await);
                }
            }
        });
    together(writers).await;
    for life in &lives {
        let last = life.last().expect("each life has changes").tenant();
        assert_eq!(setup.tenant(last.id).await, *last);
        let written: Vec<_> = life.iter().map(|change| change.line().clone()).collect();
        assert_eq!(setup.history(last.id).await, written);
    }
    assert_eq!(setup.feed().await.len(), 32 * 9);
}

pub async fn p5_a_change_sent_again_is_written_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = third(&setup, "acme").await;
    let change = setup.change(&tenant, &patch("plan", "silver"));
    let mut after = setup.write(&change).await;
    let before = setup.everything(tenant.id).await;
    assert_eq!(
        applied(setup.store.commit(&change).await),
        Revision::new(4),
        "at once"
    );
    assert_eq!(setup.everything(tenant.id).await, before);

    for n in 0..10 {
        after = setup.command(&after, &patch("n", n)).await;
    }
    let before = setup.everything(tenant.id).await;
    assert_eq!(
        applied(setup.store.commit(&change).await),
        Revision::new(4),
        "much later"
    );
    assert_eq!(setup.everything(tenant.id).await, before);
}

pub async fn p5_a_creation_sent_again_is_written_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let creation = setup.creation(setup.wanted("acme"));
    let tenant = setup.write(&creation).await;
    let before = setup.everything(tenant.id).await;
    assert_eq!(
        applied(setup.store.commit(&creation).await),
        Revision::new(1),
        "at once"
    );
    assert_eq!(setup.everything(tenant.id).await, before);

    // Even when the tenant is gone and another has its name.
    let tenant = setup.command(&tenant, &Command::Delete).await;
    setup
        .report(&tenant, &succeeded(&tenant, Operation::Destroy))
        .await;
    setup.create("acme").await;
    let before = setup.everything(tenant.id).await;
    assert_eq!(
        applied(setup.store.commit(&creation).await),
        Revision::new(1),
        "much later"
    );
    assert_eq!(setup.everything(tenant.id).await, before);
}

pub async fn p5_a_change_sent_again_is_known_whatever_became_of_its_lease_and_key(
    factory: &dyn Factory,
) {
    let setup = Setup::new(factory).await;
    let length = setup.short().await;
    for (name, release) in [("kept", false), ("released", true)] {
        let tenant = setup.create(name).await;
        let lease = setup.claim_one(tenant.id, length).await;
        let started = report(&tenant, Operation::Apply, Outcome::Started);
        let change = setup
            .reported(&tenant, &started)
            .under(Under {
                fence: lease.fence,
                release,
            })
            .with_key(Some(key(name, "request")));
        setup.write(&change).await;
        let at_once = applied(setup.store.commit(&change).await);
        assert_eq!(at_once, Revision::new(2), "{name}: with its key used");
        setup.pass(length).await;
        let ended = applied(setup.store.commit(&change).await);
        assert_eq!(ended, Revision::new(2), "{name}: with its lease ended");
        let other = setup.claim("worker-2", length).await;
        assert!(
            other.iter().any(|lease| lease.tenant == tenant.id),
            "{name} is due again"
        );
        let before = setup.everything(tenant.id).await;
        let moved = applied(setup.store.commit(&change).await);
        assert_eq!(moved, Revision::new(2), "{name}: with its lease moved");
        assert_eq!(setup.everything(tenant.id).await, before, "{name}");
        assert_eq!(setup.history(tenant.id).await.len(), 2, "{name}");
        // Out of the way of the next.
        let tenant = setup.tenant(tenant.id).await;
        for lease in other {
            let ended = setup
                .store
                .release(&lease, &crate::Attempt::Clean, crate::Wake::Never);
            assert!(ended.await.expect("releasing works"));
        }
        assert_eq!(tenant.state, State::Provisioning);
    }
}

pub async fn p5_many_sends_of_one_change_at_once_are_written_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.create("acme").await;
    for n in 0..8 {
        let change = setup.change(&tenant, &patch("n", n));
        let change = change.with_key(Some(key(&format!("k{n}"), "request")));
        let answers = commit_at_once(&setup, vec![change.clone(); 8]).await;
        let revision = change.line().revision;
        let all = answers
            .iter()
            .all(|answer| *answer == Commit::Applied { revision });
        assert!(all, "{answers:?}");
        tenant = change.tenant().clone();
    }
    assert_eq!(setup.tenant(tenant.id).await, tenant);
    assert_eq!(setup.history(tenant.id).await.len(), 9);
    assert_eq!(setup.feed().await.len(), 9);
}

pub async fn p5_many_sends_of_one_creation_at_once_are_written_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for n in 0..8 {
        let creation = setup.creation(setup.wanted(&format!("t{n}")));
        let creation = creation.with_key(Some(key(&format!("k{n}"), "request")));
        let answers = commit_at_once(&setup, vec![creation; 8]).await;
        let revision = Revision::new(1);
        let all = answers
            .iter()
            .all(|answer| *answer == Commit::Applied { revision });
        assert!(all, "{answers:?}");
    }
    assert_eq!(setup.feed().await.len(), 8);
}
