//! Writing under a lease: no stale worker writes, and no change that comes meanwhile is lost.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use super::work::{HOUR, parked, release, under};
use super::{Factory, Setup, applied, patch, report, start, succeeded};
use crate::{
    Attempt, Command, Commit, Context, Decision, Fence, Lease, Operation, Outcome, Reported, State,
    Timestamp, Under, Wake, decide,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_leases {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases leases [
            p6_fences_grow_by_one_and_never_come_again,
            p6_only_the_live_lease_writes,
            p6_an_ended_lease_writes_nothing_even_if_nobody_took_it_over,
            p6_a_paused_worker_can_not_overwrite_the_next,
            p7_a_change_while_leased_makes_the_work_due_again,
            a_lease_stays_the_attempt_that_it_was,
            p7_a_change_while_leased_counts_though_the_worker_commits_too,
            p7_what_is_seen_of_an_older_generation_makes_nobody_ready,
            p6_the_clock_of_a_client_decides_no_lease,
        ] $($arg)* }
    };
}

pub async fn p6_fences_grow_by_one_and_never_come_again(factory: &dyn Factory) {
    let mut setup = Setup::new(factory).await;
    let other = parked(&setup, "other").await.id;
    let tenant = setup.create("acme").await;
    for n in 1..=6 {
        let lease = setup.claim_one(tenant.id, HOUR).await;
        assert_eq!(lease.fence, Fence::new(n));
        match n % 3 {
            0 => release(&setup, &lease, Wake::Now).await,
            1 => {
                let now = setup.tenant(tenant.id).await;
                let change = setup
                    .change(&now, &patch("n", n))
                    .under(under(&lease, true));
                setup.write(&change).await;
            }
            _ => {
                release(&setup, &lease, Wake::Now).await;
                match setup.reopen().await {
                    Some(reopened) => setup = reopened,
                    None => return,
                }
            }
        }
    }
    assert_eq!(
        setup.work(other).await.fence,
        Fence::new(1),
        "fences are each tenant's own"
    );
}

pub async fn p6_only_the_live_lease_writes(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let first = setup.claim_one(tenant.id, HOUR).await;
    release(&setup, &first, Wake::Now).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let before = setup.everything(tenant.id).await;
    for fence in [0, 1, 3, u64::MAX >> 1] {
        for release in [false, true] {
            let change = setup.change(&tenant, &patch("n", 1));
            let change = change.under(Under {
                fence: Fence::new(fence),
                release,
            });
            assert_eq!(
                setup.store.commit(&change).await.unwrap(),
                Commit::LeaseLost
            );
        }
        let stale = Lease {
            fence: Fence::new(fence),
            ..lease.clone()
        };
        assert_eq!(setup.store.renew(&stale, HOUR).await.unwrap(), None);
        assert!(
            !setup
                .store
                .release(&stale, &Attempt::Clean, Wake::Never)
                .await
                .unwrap()
        );
    }
    assert_eq!(setup.everything(tenant.id).await, before);

    let change = setup
        .change(&tenant, &patch("n", 1))
        .under(under(&lease, false));
    let tenant = setup.write(&change).await;
    assert_eq!(
        setup.work(tenant.id).await.fence,
        lease.fence,
        "the lease goes on"
    );
    let change = setup
        .change(&tenant, &patch("n", 2))
        .under(under(&lease, true));
    let tenant = setup.write(&change).await;
    let change = setup
        .change(&tenant, &patch("n", 3))
        .under(under(&lease, true));
    assert_eq!(
        setup.store.commit(&change).await.unwrap(),
        Commit::LeaseLost
    );
}

pub async fn p6_an_ended_lease_writes_nothing_even_if_nobody_took_it_over(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let short = setup.short().await;
    let lease = setup.claim_one(tenant.id, short).await;
    setup.pass(short).await;
    let before = setup.everything(tenant.id).await;
    let change = setup
        .change(&tenant, &patch("n", 1))
        .under(under(&lease, true));
    assert_eq!(
        setup.store.commit(&change).await.unwrap(),
        Commit::LeaseLost
    );
    let done = succeeded(&tenant, Operation::Observe);
    let reported = setup
        .engine
        .report(&lease, &done, &setup.context(), true)
        .await
        .unwrap();
    assert_eq!(reported, Reported::LeaseLost);
    assert!(
        !setup
            .store
            .release(&lease, &Attempt::Clean, Wake::Never)
            .await
            .unwrap()
    );
    assert_eq!(setup.everything(tenant.id).await, before);
}

pub async fn p6_a_paused_worker_can_not_overwrite_the_next(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let short = setup.short().await;
    let paused = setup.claim_one(tenant.id, short).await;
    let started = report(&tenant, Operation::Apply, Outcome::Started);
    setup.pass(short).await;
    let next = setup.claim("worker-2", HOUR).await;
    assert_eq!(next.len(), 1);
    assert!(!paused.taken_over && next[0].taken_over);
    let late = setup
        .engine
        .report(&paused, &started, &setup.context(), false)
        .await
        .unwrap();
    assert_eq!(late, Reported::LeaseLost);
    let live = setup
        .engine
        .report(&next[0], &started, &setup.context(), false)
        .await
        .unwrap();
    let Reported::Written(tenant) = live else {
        panic!("{live:?}")
    };
    let done = succeeded(&tenant, Operation::Apply);
    let late = setup
        .engine
        .report(&paused, &done, &setup.context(), true)
        .await
        .unwrap();
    assert_eq!(late, Reported::LeaseLost);
    assert_eq!(setup.tenant(tenant.id).await, *tenant);
}

pub async fn p7_a_change_while_leased_makes_the_work_due_again(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    setup.command(&tenant, &patch("n", 1)).await;
    assert_eq!(
        setup.claim("worker-2", HOUR).await,
        [],
        "the lease still runs"
    );
    release(&setup, &lease, Wake::Never).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(&setup, &lease, Wake::Never).await;
    assert_eq!(
        setup.claim("worker-2", HOUR).await,
        [],
        "once, and not for ever"
    );
}

pub async fn a_lease_stays_the_attempt_that_it_was(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    // What is wanted changes, so attempts are counted from zero again: but this one goes on.
    setup.command(&tenant, &patch("n", 1)).await;
    assert_eq!(setup.work(tenant.id).await.attempts, 0);
    let renewed = setup.store.renew(&lease, HOUR).await.unwrap().unwrap();
    assert_eq!((renewed.attempt, renewed.fence), (1, lease.fence));
}

pub async fn p7_a_change_while_leased_counts_though_the_worker_commits_too(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    for (others, expected) in [(true, 1), (false, 0)] {
        let lease = setup.claim_one(tenant.id, HOUR).await;
        let mut now = setup.tenant(tenant.id).await;
        if others {
            now = setup.command(&now, &patch("by", "someone")).await;
        }
        // What the worker itself writes is no reason to do the work again.
        let note = patch("at", setup.tick());
        now = setup
            .write(&setup.change(&now, &note).under(under(&lease, false)))
            .await;
        assert_eq!(
            setup.claim("worker-2", HOUR).await,
            [],
            "the lease still runs"
        );
        let hold = setup
            .change(&now, &Command::Hold)
            .under(under(&lease, true));
        setup.write(&hold).await;
        let due = setup.claim("worker-2", HOUR).await;
        assert_eq!(due.len(), expected, "changed by others: {others}");
        if let [lease] = due.as_slice() {
            let now = setup.tenant(tenant.id).await;
            let lift = setup
                .change(&now, &Command::Release)
                .under(under(lease, true));
            setup.write(&lift).await;
        }
    }
}

pub async fn p7_what_is_seen_of_an_older_generation_makes_nobody_ready(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let started = report(&tenant, Operation::Apply, Outcome::Started);
    let answer = setup
        .engine
        .report(&lease, &started, &setup.context(), false)
        .await
        .unwrap();
    let Reported::Written(begun) = answer else {
        panic!("{answer:?}")
    };
    let changed = setup.command(&begun, &patch("plan", "gold")).await;
    let done = succeeded(&begun, Operation::Apply);
    let answer = setup
        .engine
        .report(&lease, &done, &setup.context(), true)
        .await
        .unwrap();
    let Reported::Written(seen) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (seen.state, seen.generation),
        (State::Provisioning, changed.generation)
    );
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let done = succeeded(&seen, Operation::Apply);
    let answer = setup
        .engine
        .report(&lease, &done, &setup.context(), true)
        .await
        .unwrap();
    let Reported::Written(ready) = answer else {
        panic!("{answer:?}")
    };
    assert!(ready.is_at_rest());
    assert_eq!(setup.claim("worker-1", HOUR).await, []);
}

pub async fn p6_the_clock_of_a_client_decides_no_lease(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let far = ["1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z"];
    for (n, at) in far.into_iter().enumerate() {
        let at: Timestamp = at.parse().unwrap();
        let context = || Context {
            at,
            ..setup.context()
        };
        let wanted = setup.wanted(&format!("t{n}"));
        let decision = decide(None, &Command::Create(wanted), &context());
        let Decision::Change(creation) = decision else {
            panic!("{decision:?}")
        };
        let tenant = setup.write(&creation).await;
        let lease = setup.claim_one(tenant.id, HOUR).await;
        let Decision::Change(change) = decide(Some(&tenant), &patch("n", 1), &context()) else {
            panic!("patching is possible")
        };
        let tenant = setup.write(&change.under(under(&lease, false))).await;
        assert_eq!(setup.claim("worker-2", HOUR).await, [], "at {at}");
        let Decision::Change(change) = decide(Some(&tenant), &Command::Hold, &context()) else {
            panic!("holding is possible")
        };
        applied(setup.store.commit(&change.under(under(&lease, true))).await);
    }
    assert!(
        setup.store.now().await.unwrap() > start().min("2026-01-01T00:00:00Z".parse().unwrap())
    );
}
