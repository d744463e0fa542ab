//! Many changes in one call.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use std::sync::Arc;

use super::{Factory, Setup, applied, key, patch, together};
use crate::store::Result;
use crate::{Change, Commit, Fence, Revision, State, StoreError, Tenant, Under, Wanted};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_batch {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases batch [
            a_batch_answers_each_change_in_order,
            a_change_that_fails_spoils_no_other_of_its_batch,
            changes_of_one_tenant_in_a_batch_follow_each_other,
            p4_rivals_in_one_batch_are_never_both_written,
            p5_a_change_twice_in_one_batch_is_written_once,
            p5_one_key_twice_in_one_batch_has_one_effect,
            a_batch_may_be_empty_or_hold_a_thousand,
            batches_in_opposite_order_do_not_block_each_other,
        ] $($arg)* }
    };
}

fn commit_of(answer: &Result<Commit>) -> Commit {
    match answer {
        Ok(commit) => *commit,
        Err(error) => panic!("this should be answered, and it failed: {error:?}"),
    }
}

pub async fn a_batch_answers_each_change_in_order(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let moved = setup.command(&tenant, &patch("plan", "gold")).await;
    let absent = setup.creation(setup.wanted("absent"));
    let under = Under {
        fence: Fence::new(7),
        release: false,
    };
    let batch = [
        setup.creation(setup.wanted("new")),
        setup.change(&tenant, &patch("plan", "silver")),
        setup.creation(setup.wanted("acme")),
        setup.creation(Wanted {
            id: tenant.id,
            ..setup.wanted("other")
        }),
        setup.change(absent.tenant(), &patch("plan", "silver")),
        setup.change(&moved, &patch("plan", "bronze")).under(under),
        setup.change(&moved, &patch("plan", "iron")),
    ];
    let answers = setup.store.commit_many(&batch).await;
    let answers: Vec<_> = answers.iter().map(commit_of).collect();
    let expected = [
        Commit::Applied {
            revision: Revision::new(1),
        },
        Commit::Conflict {
            actual: Revision::new(2),
        },
        Commit::NameTaken,
        Commit::IdTaken,
        Commit::NotFound,
        Commit::LeaseLost,
        Commit::Applied {
            revision: Revision::new(3),
        },
    ];
    assert_eq!(answers, expected);
    for change in [&batch[0], &batch[6]] {
        assert_eq!(setup.tenant(change.tenant().id).await, *change.tenant());
    }
}

pub async fn a_change_that_fails_spoils_no_other_of_its_batch(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenants = Vec::new();
    for n in 0..9 {
        tenants.push(setup.create(&format!("t{n}")).await);
    }
    // What the guards refuse stands at the beginning, in the middle and at the end.
    let fails = |n: usize| n.is_multiple_of(4);
    let batch: Vec<Change> = tenants
        .iter()
        .enumerate()
        .map(|(n, tenant)| {
            if fails(n) {
                setup.forged(tenant, |after| after.state = State::Ready)
            } else {
                setup.change(tenant, &patch("plan", "gold"))
            }
        })
        .collect();
    let answers = setup.store.commit_many(&batch).await;
    assert_eq!(answers.len(), batch.len());
    for (n, (change, answer)) in batch.iter().zip(answers).enumerate() {
        let stored = setup.tenant(change.tenant().id).await;
        if fails(n) {
            assert!(
                matches!(answer, Err(StoreError::Rejected { .. })),
                "{n}: {answer:?}"
            );
            assert_eq!(Some(&stored), tenants.get(n), "{n}");
        } else {
            assert_eq!(applied(answer), Revision::new(2), "{n}");
            assert_eq!(stored, *change.tenant(), "{n}");
        }
    }
}

pub async fn changes_of_one_tenant_in_a_batch_follow_each_other(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    // From its creation on, and with another tenant's between them.
    let creation = setup.creation(setup.wanted("acme"));
    let second = setup.change(creation.tenant(), &patch("plan", "gold"));
    let other = setup.creation(setup.wanted("other"));
    let third = setup.change(second.tenant(), &patch("plan", "silver"));
    let batch = [creation, second, other, third];
    let answers = setup.store.commit_many(&batch).await;
    let revisions: Vec<_> = answers
        .into_iter()
        .map(|answer| applied(answer).get())
        .collect();
    assert_eq!(revisions, [1, 2, 1, 3]);
    let [creation, second, other, third] = &batch;
    assert_eq!(setup.tenant(third.tenant().id).await, *third.tenant());
    let lines = [creation, second, third].map(|change| change.line().clone());
    assert_eq!(setup.history(third.tenant().id).await, lines);
    assert_eq!(setup.tenant(other.tenant().id).await, *other.tenant());

    // Against their order, the first comes too early.
    let fourth = setup.change(third.tenant(), &patch("plan", "bronze"));
    let fifth = setup.change(fourth.tenant(), &patch("plan", "iron"));
    let answers = setup.store.commit_many(&[fifth, fourth]).await;
    let answers: Vec<_> = answers.iter().map(commit_of).collect();
    let early = Commit::Conflict {
        actual: Revision::new(3),
    };
    assert_eq!(
        answers,
        [
            early,
            Commit::Applied {
                revision: Revision::new(4)
            }
        ]
    );
}

pub async fn p4_rivals_in_one_batch_are_never_both_written(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let rivals: Vec<_> = (0..5)
        .map(|n| setup.change(&tenant, &patch("n", n)))
        .collect();
    let answers = setup.store.commit_many(&rivals).await;
    let answers: Vec<_> = answers.iter().map(commit_of).collect();
    let revision = Revision::new(2);
    let lost = Commit::Conflict { actual: revision };
    assert_eq!(
        answers,
        [Commit::Applied { revision }, lost, lost, lost, lost]
    );
    assert_eq!(
        Some(&setup.tenant(tenant.id).await),
        rivals.first().map(Change::tenant)
    );

    let rivals: Vec<_> = (0..3)
        .map(|_| setup.creation(setup.wanted("new")))
        .collect();
    let answers = setup.store.commit_many(&rivals).await;
    let answers: Vec<_> = answers.iter().map(commit_of).collect();
    let first = Commit::Applied {
        revision: Revision::new(1),
    };
    assert_eq!(answers, [first, Commit::NameTaken, Commit::NameTaken]);
}

pub async fn p5_a_change_twice_in_one_batch_is_written_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let creation = setup.creation(setup.wanted("acme"));
    let change = setup.change(creation.tenant(), &patch("plan", "gold"));
    let change = change.with_key(Some(key("k", "request")));
    let batch = [creation.clone(), creation, change.clone(), change];
    let answers = setup.store.commit_many(&batch).await;
    let revisions: Vec<_> = answers
        .into_iter()
        .map(|answer| applied(answer).get())
        .collect();
    assert_eq!(revisions, [1, 1, 2, 2]);
    assert_eq!(setup.feed().await.len(), 2);
}

pub async fn p5_one_key_twice_in_one_batch_has_one_effect(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenants: Vec<Tenant> = Vec::new();
    for name in ["a", "b"] {
        tenants.push(setup.create(name).await);
    }
    let batch: Vec<_> = tenants
        .iter()
        .map(|tenant| setup.change(tenant, &patch("plan", "gold")))
        .map(|change| change.with_key(Some(key("k", "request"))))
        .collect();
    let answers = setup.store.commit_many(&batch).await;
    let answers: Vec<_> = answers.iter().map(commit_of).collect();
    assert_eq!(
        answers,
        [
            Commit::Applied {
                revision: Revision::new(2)
            },
            Commit::KeyUsed
        ]
    );
    let [first, second] = tenants.as_slice() else {
        panic!("there are two")
    };
    assert_eq!(setup.tenant(first.id).await.revision, Revision::new(2));
    assert_eq!(setup.tenant(second.id).await, *second);
}

pub async fn a_batch_may_be_empty_or_hold_a_thousand(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    assert!(setup.store.commit_many(&[]).await.is_empty());
    assert_eq!(setup.feed().await, []);
    let batch: Vec<_> = (0..1_000)
        .map(|n| setup.creation(setup.wanted(&format!("t{n}"))))
        .collect();
    let answers = setup.store.commit_many(&batch).await;
    assert_eq!(answers.len(), 1_000);
    for answer in answers {
        assert_eq!(applied(answer), Revision::new(1));
    }
    let lines: Vec<_> = batch.iter().map(|change| change.line().clone()).collect();
    assert_eq!(setup.feed().await.len(), lines.len());
    for change in batch.iter().step_by(111) {
        assert_eq!(setup.tenant(change.tenant().id).await, *change.tenant());
    }
}

pub async fn batches_in_opposite_order_do_not_block_each_other(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let stores = setup.stores().await;
    let mut tenants = Vec::new();
    for n in 0..20 {
        tenants.push(setup.create(&format!("t{n}")).await);
    }
    for round in 0..5 {
        let batches = [false, true].map(|reversed| {
            let rivals = tenants
                .iter()
                .map(|tenant| setup.change(tenant, &patch("n", format!("{round}/{reversed}"))));
            let mut batch: Vec<_> = rivals.collect();
            if reversed {
                batch.reverse();
            }
            batch
        });
        let writers =
            batches
                .clone()
                .into_iter()
                .zip(stores.iter().cycle())
                .map(|(batch, store)| {
                    let store = Arc::clone(store);
                    async move {
                        store
                            .commit_many(&batch)
                            .await
                            .iter()
                            .map(commit_of)
                            .collect::<Vec<_>>()
                    }
                });
        let answers = together(writers).await.concat();
        let written = answers
            .iter()
            .filter(|answer| matches!(answer, Commit::Applied { .. }));
        assert_eq!(
            written.count(),
            tenants.len(),
            "each tenant moved once: {answers:?}"
        );
        for tenant in &mut tenants {
            let revision = tenant.revision.next();
            *tenant = setup.tenant(tenant.id).await;
            assert_eq!(tenant.revision, revision);
        }
    }
}
