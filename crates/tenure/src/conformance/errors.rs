//! Trouble: lost replies, calls cut short, crowds, and a store that is closed.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::work::{HOUR, under};
use super::{
    Factory, Fault, Faulty, Setup, applied, key, patch, report, room, succeeded, together,
};
use crate::check::verify;
use crate::{
    Advice, Answer, AsOf, Attempt, Command, Commit, Direction, Effect, Engine, EngineError, Filter,
    Freshness, HistoryQuery, Operation, Outcome, PageSize, Query, Records as _, Reported, Revision,
    Store, StoreError, Sweep, Tenant, TenantRef, Wake, Work as _, Written,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_errors {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases errors [
            p5_a_failure_before_writing_leaves_nothing_behind,
            p5_a_lost_reply_of_a_command_is_resolved_to_one_effect,
            p5_a_lost_reply_of_a_report_is_resolved_to_one_effect,
            p5_lost_replies_of_many_are_resolved_one_by_one,
            p5_a_write_that_arrives_twice_has_one_effect,
            p1_a_call_that_is_dropped_happens_whole_or_not_at_all,
            p11_a_crowd_is_served_or_told_to_come_back,
            a_closed_store_says_so_to_every_call,
            p2_what_was_acknowledged_before_closing_is_there_afterwards,
            readiness_is_an_answer_and_never_an_error,
            databases_know_nothing_of_each_other,
        ] $($arg)* }
    };
}

/// A store that does this to the next writes.
fn faulty(setup: &Setup, faults: &[Fault]) -> (Engine, Arc<Faulty>) {
    let store = Faulty::scripted(Arc::clone(&setup.store), faults.iter().copied());
    let store = Arc::new(store);
    (Engine::new(Arc::<Faulty>::clone(&store)), store)
}

pub async fn p5_a_failure_before_writing_leaves_nothing_behind(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let before = setup.everything(tenant.id).await;
    let (engine, store) = faulty(&setup, &[Fault::FailBefore; 8]);
    let change = setup.change(&tenant, &patch("n", 1));
    let request = setup.request(TenantRef::Id(tenant.id), patch("n", 1));
    let many = store.commit_many(&[change.clone(), change.clone()]).await;
    assert_eq!(many.len(), 2);
    let failures = [
        store.commit(&change).await.map(drop),
        store
            .remember(tenant.id, tenant.revision, &key("k", "r"))
            .await
            .map(drop),
        store.renew(&lease, HOUR).await.map(drop),
        store
            .release(&lease, &Attempt::Clean, Wake::Never)
            .await
            .map(drop),
        store.claim("worker-2", &[room(HOUR)]).await.map(drop),
        match engine.execute(&request).await {
            Err(EngineError::Store(error)) => Err(error),
            other => panic!("{other:?}"),
        },
    ];
    for failure in failures
        .into_iter()
        .chain(many.into_iter().map(|answer| answer.map(drop)))
    {
        let error = failure.unwrap_err();
        assert_eq!(
            (error.effect(), error.advice()),
            (Written::No, Advice::Backoff)
        );
    }
    assert_eq!(setup.everything(tenant.id).await, before);
    // The fault is over: the very same things can be done.
    assert_eq!(store.faults(), 7);
    applied(setup.store.commit(&change).await);
}

pub async fn p5_a_lost_reply_of_a_command_is_resolved_to_one_effect(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let (engine, store) = faulty(&setup, &[Fault::LoseReply, Fault::FailBefore]);
    let wanted = setup.wanted("acme");
    let name = TenantRef::Name(wanted.name.clone());
    let create = setup.request(name.clone(), Command::Create(wanted));
    let created = engine.execute(&create).await.unwrap();
    assert_eq!(
        (created.effect, created.tenant.revision),
        (Effect::Created, Revision::new(1))
    );
    assert_eq!(
        store.faults(),
        2,
        "the reply was lost, and then the way to learning it"
    );

    for (command, key) in [(patch("n", 1), None), (patch("n", 2), Some(key("k", "r")))] {
        let (engine, _) = faulty(&setup, &[Fault::LoseReply]);
        let mut request = setup.request(name.clone(), command);
        request.key = key;
        let changed = engine.execute(&request).await.unwrap();
        assert_eq!(changed.effect, Effect::Changed);
        assert_eq!(setup.tenant(changed.tenant.id).await, changed.tenant);
    }
    // Nothing to change, but a key to remember.
    let (engine, _) = faulty(&setup, &[Fault::LoseReply]);
    let mut request = setup.request(name, Command::Resume);
    request.key = Some(key("resume", "r"));
    let unchanged = engine.execute(&request).await.unwrap();
    let again = engine.execute(&request).await.unwrap();
    let first = Answer {
        replayed: true,
        ..unchanged.clone()
    };
    assert_eq!(again, first);
    assert_eq!(setup.history(unchanged.tenant.id).await.len(), 3);
}

pub async fn p5_a_lost_reply_of_a_report_is_resolved_to_one_effect(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let (engine, _) = faulty(&setup, &[Fault::LoseReply, Fault::Pass, Fault::LoseReply]);
    let started = report(&tenant, Operation::Apply, Outcome::Started);
    let answer = engine
        .report(&lease, &started, &setup.context(), false)
        .await
        .unwrap();
    let Reported::Written(tenant) = answer else {
        panic!("{answer:?}")
    };
    // The report ends the lease, and its repeat comes without one: it is known all the same.
    let done = succeeded(&tenant, Operation::Apply);
    let answer = engine
        .report(&lease, &done, &setup.context(), true)
        .await
        .unwrap();
    let Reported::Written(tenant) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(setup.tenant(tenant.id).await, *tenant);
    assert_eq!(setup.history(tenant.id).await.len(), 3);
    assert_eq!(setup.work(tenant.id).await.holder, None);
}

pub async fn p5_lost_replies_of_many_are_resolved_one_by_one(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let (_, store) = faulty(&setup, &[Fault::LoseReply]);
    let first = setup.creation(setup.wanted("first"));
    let second = setup.creation(setup.wanted("second"));
    let follows = setup.change(first.tenant(), &patch("n", 1));
    let taken = setup.creation(setup.wanted("second"));
    let changes = [first, second, follows, taken];
    for answer in store.commit_many(&changes).await {
        assert_eq!(answer.unwrap_err().advice(), Advice::Resolve);
    }
    let mut first_time = None;
    for _ in 0..3 {
        let answers = store.commit_many(&changes).await;
        let answers: Vec<Commit> = answers.into_iter().map(Result::unwrap).collect();
        let revision = |n| Commit::Applied {
            revision: Revision::new(n),
        };
        assert_eq!((answers[0], answers[2]), (revision(1), revision(2)));
        // Which of two tenants gets the one name is open, but it stays with it.
        let named = [answers[1], answers[3]];
        assert!(
            named.contains(&revision(1)) && named.contains(&Commit::NameTaken),
            "{named:?}"
        );
        assert_eq!(*first_time.get_or_insert(named), named);
    }
    assert_eq!(setup.feed().await.len(), 3);
}

pub async fn p5_a_write_that_arrives_twice_has_one_effect(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let wanted = setup.wanted("acme");
    let name = TenantRef::Name(wanted.name.clone());
    for (command, key, revision) in [
        (Command::Create(wanted), None, 1),
        (patch("n", 1), None, 2),
        (patch("n", 2), Some(key("patch", "r")), 3),
        (Command::Resume, None, 3),
        (Command::Resume, Some(key("resume", "r")), 3),
    ] {
        let (engine, store) = faulty(&setup, &[Fault::Duplicate]);
        let mut request = setup.request(name.clone(), command);
        request.key = key;
        let answer = engine.execute(&request).await.unwrap();
        assert_eq!(setup.tenant(answer.tenant.id).await, answer.tenant);
        assert_eq!(answer.tenant.revision, Revision::new(revision));
        // Finding all as asked writes nothing, unless there is a key to remember.
        let writes = request.key.is_some() || answer.effect != Effect::Unchanged;
        assert_eq!(store.faults(), u64::from(writes));
    }
    assert_eq!(setup.feed().await.len(), 3);
}

/// Polls a future up to so many times, then drops it, finished or not.
async fn polled<F: Future + Send>(future: F, times: usize) {
    let mut future = pin!(future);
    for _ in 0..times {
        let ended = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready()));
        if ended.await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

pub async fn p1_a_call_that_is_dropped_happens_whole_or_not_at_all(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.create("acme").await;
    for round in 0..60 {
        let times = round % 12;
        let change = setup.change(&tenant, &patch("n", round));
        polled(setup.store.commit(&change), times).await;
        polled(setup.store.load(&TenantRef::Id(tenant.id), None), times).await;
        polled(setup.store.list(&Query::default()), times).await;
        polled(setup.store.changes(None, PageSize::MAX), times).await;
        // Whatever became of it, the same change can be sent again, and is there once.
        tenant = setup.write(&change).await;
    }
    assert_eq!(setup.tenant(tenant.id).await, tenant);
    assert_eq!(verify(&*setup.store, tenant.id).await.unwrap(), []);

    let lease = setup.claim_one(tenant.id, HOUR).await;
    for times in 0..12 {
        polled(setup.store.renew(&lease, HOUR), times).await;
        polled(setup.store.claim("worker-2", &[room(HOUR)]), times).await;
    }
    let last = setup
        .change(&tenant, &Command::Hold)
        .under(under(&lease, true));
    setup.write(&last).await;
}

pub async fn p11_a_crowd_is_served_or_told_to_come_back(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let store = Arc::clone(&setup.store);
            let change = setup.creation(setup.wanted(&format!("t{n}")));
            async move {
                let read = store
                    .get(&TenantRef::Id(tenant.id), Freshness::Primary)
                    .await;
                (read.map(drop), store.commit(&change).await)
            }
        })
        .collect();
    let mut served = 0;
    let come_back = |error: &StoreError| {
        assert_eq!(
            (error.effect(), error.advice()),
            (Written::No, Advice::Backoff),
            "{error}"
        );
    };
    for (read, written) in together(tasks).await {
        if let Err(error) = read {
            come_back(&error);
        }
        match written {
            Ok(Commit::Applied { .. }) => served += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => come_back(&error),
        }
    }
    assert!(served > 0, "nobody was served");
    assert_eq!(setup.feed().await.len(), served + 1);
}

/// Every question that a store can be asked, and whether it answered.
async fn ask(store: &dyn Store, tenant: &Tenant) -> Vec<(&'static str, Result<(), StoreError>)> {
    let id = tenant.id;
    let by_id = TenantRef::Id(id);
    let past = AsOf::Revision(tenant.revision);
    let lines = HistoryQuery {
        after: None,
        direction: Direction::Ascending,
        transitions_only: false,
        kinds: BTreeSet::new(),
        limit: PageSize::MAX,
    };
    vec![
        ("load", store.load(&by_id, None).await.map(drop)),
        ("get", store.get(&by_id, Freshness::Primary).await.map(drop)),
        (
            "get, strongly",
            store.get(&by_id, Freshness::Strong).await.map(drop),
        ),
        ("get_many", store.get_many(&[id]).await.map(drop)),
        ("list", store.list(&Query::default()).await.map(drop)),
        ("count", store.count(&Filter::default()).await.map(drop)),
        ("history", store.history(id, &lines).await.map(drop)),
        ("as_of", store.as_of(id, past).await.map(drop)),
        (
            "documents",
            store
                .documents(id, &[tenant.desired.hash()])
                .await
                .map(drop),
        ),
        (
            "changes",
            store.changes(None, PageSize::MAX).await.map(drop),
        ),
        ("changes_end", store.changes_end().await.map(drop)),
        ("now", store.now().await.map(drop)),
        ("facets", store.facets(id).await.map(drop)),
    ]
}

pub async fn a_closed_store_says_so_to_every_call(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let change = setup.change(&tenant, &Command::Hold);
    for (method, answer) in ask(&*setup.store, &tenant).await {
        assert!(answer.is_ok(), "{method}: {answer:?}");
    }
    let store = &setup.store;
    store.close().await;
    store.close().await;
    let key = key("k", "r");
    let sweep = Sweep {
        batch: PageSize::MAX,
        feed_retention: None,
    };
    let mut answers = ask(&**store, &tenant).await;
    answers.extend([
        ("commit", store.commit(&change).await.map(drop)),
        (
            "remember",
            store
                .remember(tenant.id, tenant.revision, &key)
                .await
                .map(drop),
        ),
        (
            "claim",
            store.claim("worker-1", &[room(HOUR)]).await.map(drop),
        ),
        ("renew", store.renew(&lease, HOUR).await.map(drop)),
        (
            "release",
            store
                .release(&lease, &Attempt::Clean, Wake::Now)
                .await
                .map(drop),
        ),
        ("sweep", store.sweep(sweep).await.map(drop)),
    ]);
    let many = store.commit_many(&[change.clone(), change]).await;
    assert_eq!(many.len(), 2);
    answers.extend(
        many.into_iter()
            .map(|answer| ("commit_many", answer.map(drop))),
    );
    for (method, answer) in answers {
        assert!(
            matches!(answer, Err(StoreError::Closed)),
            "{method}: {answer:?}"
        );
    }
    let idle = store.idle(&[], Duration::from_millis(1));
    tokio::time::timeout(Duration::from_secs(5), idle)
        .await
        .unwrap();
}

pub async fn p2_what_was_acknowledged_before_closing_is_there_afterwards(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let changes: Vec<_> = (0..32)
        .map(|n| setup.creation(setup.wanted(&format!("t{n}"))))
        .collect();
    let closing = Arc::clone(&setup.store);
    let tasks: Vec<_> = changes
        .iter()
        .map(|change| {
            let (store, change) = (Arc::clone(&setup.store), change.clone());
            async move { store.commit(&change).await }
        })
        .collect();
    let (answers, ()) = tokio::join!(together(tasks), async move {
        tokio::task::yield_now().await;
        closing.close().await;
    });
    let Some(setup) = setup.reopen().await else {
        return;
    };
    for (change, answer) in changes.iter().zip(answers) {
        let id = change.tenant().id;
        let there = !setup.history(id).await.is_empty();
        match answer {
            Ok(Commit::Applied { .. }) => assert!(there, "an acknowledged change is lost"),
            Err(error) if error.effect() == Written::No => assert!(!there, "{error}"),
            Err(_) => {}
            Ok(other) => panic!("{other:?}"),
        }
    }
}

pub async fn readiness_is_an_answer_and_never_an_error(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let ready = setup.store.readiness().await;
    assert!(ready.is_ready(), "{ready}");
    setup.store.close().await;
    let closed = setup.store.readiness().await;
    assert!(!closed.is_ready(), "{closed}");
}

pub async fn databases_know_nothing_of_each_other(factory: &dyn Factory) {
    let here = Setup::new(factory).await;
    let there = Setup::new(factory).await;
    let tenant = here.create("acme").await;
    assert_eq!(there.feed().await, []);
    assert_eq!(there.claim("worker-1", HOUR).await, []);
    let get = there
        .store
        .get(&TenantRef::Id(tenant.id), Freshness::Primary)
        .await;
    assert_eq!(get.unwrap(), None);
    let cursor = here.store.changes_end().await.unwrap();
    there.create("acme").await;
    assert_eq!(here.feed().await.len(), 1);
    // A cursor of one is nothing to the other, unless their feeds can't be told apart: then it
    // must at least skip nothing that the other has.
    if let Ok(changes) = there.store.changes(Some(&cursor), PageSize::MAX).await {
        let (one, _) = cursor.as_feed().unwrap();
        let (other, _) = changes.next.as_feed().unwrap();
        assert_eq!(one, other, "a cursor of another feed was taken");
    }
}
