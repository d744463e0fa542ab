//! Claiming by class and by lane: what somebody waits for goes ahead, and nothing starves.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use super::work::{HOUR, parked, release, under};
use super::{Factory, Setup, patch, report, room, skip, succeeded};
use crate::{
    Attempt, ClassName, Command, LEASES_MAX, Lease, Message, Operation, Outcome, ROUTINE_PATIENCE,
    Reported, Room, State, Tenant, TenantId, Wake, Wanted, WorkFacts,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_lanes {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases lanes [
            claims_take_only_the_classes_that_are_named,
            limits_are_each_class_its_own,
            routine_work_has_a_limit_of_its_own,
            one_claim_gives_no_more_than_500_leases_over_all_classes,
            changes_go_ahead_of_checks_and_neither_starves,
            a_released_lease_plans_in_the_lane_that_its_wake_up_names,
            a_wake_up_without_a_lease_never_makes_anyone_wait_for_routine,
            work_that_was_changed_while_leased_is_no_routine,
            a_lease_that_ends_by_itself_keeps_its_lane,
            only_an_attempt_in_order_counts_as_checked,
            a_failed_attempt_leaves_its_error_also_when_it_is_news,
            idling_waits_for_the_classes_that_are_named,
        ] $($arg)* }
    };
}

const MINUTE: Duration = Duration::from_mins(1);

fn gpu() -> ClassName {
    "gpu".parse().unwrap()
}

fn room_of(class: ClassName, limit: u16, routine: u16) -> Room {
    Room {
        class,
        limit,
        routine,
        ..room(HOUR)
    }
}

fn tenants(leases: &[Lease]) -> Vec<TenantId> {
    leases.iter().map(|lease| lease.tenant).collect()
}

fn lanes(leases: &[Lease]) -> Vec<bool> {
    leases.iter().map(|lease| lease.routine).collect()
}

async fn claim(setup: &Setup, rooms: &[Room]) -> Vec<Lease> {
    setup.store.claim("worker-1", rooms).await.unwrap()
}

async fn create(setup: &Setup, name: &str, class: ClassName) -> TenantId {
    let wanted = Wanted {
        class: Some(class),
        ..setup.wanted(name)
    };
    setup.write(&setup.creation(wanted)).await.id
}

/// Creates a tenant of the class `default` whose only work is a check that is due.
async fn checked(setup: &Setup, name: &str) -> TenantId {
    let id = setup.create(name).await.id;
    let lease = setup.claim_one(id, HOUR).await;
    release(setup, &lease, Wake::Check(Duration::ZERO)).await;
    id
}

/// Creates a tenant whose work is planned like this.
async fn planned(setup: &Setup, name: &str, wake: Wake) -> (Tenant, WorkFacts) {
    let tenant = setup.create(name).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(setup, &lease, wake).await;
    let work = setup.work(tenant.id).await;
    (tenant, work)
}

pub async fn claims_take_only_the_classes_that_are_named(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let plain = setup.create("plain").await.id;
    let special = create(&setup, "special", gpu()).await;
    for nothing in [
        vec![],
        vec![room_of(ClassName::default(), 0, 9)],
        vec![room_of("other".parse().unwrap(), 9, 9)],
    ] {
        assert_eq!(claim(&setup, &nothing).await, [], "{nothing:?}");
    }
    let shorter = Room {
        lease: MINUTE,
        ..room_of(gpu(), 9, 9)
    };
    let leases = claim(&setup, &[shorter, room(HOUR)]).await;
    assert_eq!(tenants(&leases), [plain, special]);
    let of_class: Vec<_> = leases.iter().map(|lease| lease.class.clone()).collect();
    assert_eq!(of_class, [ClassName::default(), gpu()]);
    assert!(leases.iter().all(|lease| !lease.routine));
    let apart = leases[0].until.since(leases[1].until);
    assert!(apart > HOUR / 2, "each room has its own length: {apart:?}");
}

pub async fn limits_are_each_class_its_own(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let (mut plain, mut special) = (Vec::new(), Vec::new());
    for n in 0..3 {
        plain.push(setup.create(&format!("plain-{n}")).await.id);
        special.push(create(&setup, &format!("special-{n}"), gpu()).await);
    }
    // Of a class that is named twice, the first counts.
    let rooms = [
        room_of(gpu(), 1, 0),
        room_of(ClassName::default(), 2, 0),
        room_of(gpu(), 9, 9),
    ];
    let first = tenants(&claim(&setup, &rooms).await);
    assert_eq!(first, [plain[0], special[0], plain[1]]);
    let rest = tenants(&claim(&setup, &rooms).await);
    assert_eq!(rest, [special[1], plain[2]]);
}

pub async fn routine_work_has_a_limit_of_its_own(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut checks = Vec::new();
    for n in 0..3 {
        let (tenant, _) = planned(&setup, &format!("c{n}"), Wake::Check(MINUTE)).await;
        checks.push(tenant.id);
    }
    let change = setup.create("change").await.id;
    let class = ClassName::default;
    let leases = claim(&setup, &[room_of(class(), 3, 0)]).await;
    assert_eq!(tenants(&leases), [change]);
    release(&setup, &leases[0], Wake::Now).await;
    if setup.database.advance(MINUTE * 2).await.is_none() {
        return skip("its clock can't be moved, and a minute is long");
    }
    let leases = claim(&setup, &[room_of(class(), 3, 1)]).await;
    assert_eq!(tenants(&leases), [change, checks[0]]);
    assert_eq!(lanes(&leases), [false, true]);
    assert_eq!(claim(&setup, &[room_of(class(), 9, 0)]).await, []);
    let leases = claim(&setup, &[room_of(class(), 1, 9)]).await;
    assert_eq!(
        tenants(&leases),
        [checks[1]],
        "routine leases count among all"
    );
    let work = setup.work(checks[2]).await;
    assert!(work.routine && work.holder.is_none(), "{work:?}");
}

pub async fn one_claim_gives_no_more_than_500_leases_over_all_classes(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut changes = Vec::new();
    for n in 0..252 {
        for class in [ClassName::default(), gpu()] {
            let wanted = Wanted {
                class: Some(class.clone()),
                ..setup.wanted(&format!("{class}-{n}"))
            };
            changes.push(setup.creation(wanted));
        }
    }
    for answer in setup.store.commit_many(&changes).await {
        super::applied(answer);
    }
    let rooms = [
        room_of(ClassName::default(), u16::MAX, u16::MAX),
        room_of(gpu(), 300, 300),
    ];
    let leases = claim(&setup, &rooms).await;
    assert_eq!(leases.len(), usize::from(LEASES_MAX));
    let rest = claim(&setup, &rooms).await;
    assert_eq!(rest.len(), 4);
    let mut all = tenants(&leases);
    all.extend(tenants(&rest));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), changes.len(), "each of them once");
}

pub async fn changes_go_ahead_of_checks_and_neither_starves(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let check = checked(&setup, "check").await;
    if setup.database.advance(MINUTE).await.is_none() {
        return skip("its clock can't be moved, and five minutes are long");
    }
    let one = [room_of(ClassName::default(), 1, 1)];
    let soon = setup.create("soon").await.id;
    let leases = claim(&setup, &one).await;
    assert_eq!(tenants(&leases), [soon], "due later, but someone waits");
    release(&setup, &leases[0], Wake::Never).await;

    let before = create(&setup, "before", gpu()).await;
    setup.pass(ROUTINE_PATIENCE).await;
    let late = setup.create("late").await.id;
    let leases = claim(&setup, &one).await;
    assert_eq!(tenants(&leases), [check], "it has waited long enough");
    assert!(leases[0].routine);
    release(&setup, &leases[0], Wake::Check(Duration::ZERO)).await;

    // The same order holds over all classes.
    setup.pass(ROUTINE_PATIENCE * 2).await;
    let last = create(&setup, "last", gpu()).await;
    let rooms = [room(HOUR), room_of(gpu(), 9, 9)];
    let leases = claim(&setup, &rooms).await;
    assert_eq!(tenants(&leases), [before, late, check, last]);
    assert_eq!(lanes(&leases), [false, false, true, false]);
}

pub async fn a_released_lease_plans_in_the_lane_that_its_wake_up_names(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let ways = [
        (Wake::Now, false),
        (Wake::After(HOUR), false),
        (Wake::Check(HOUR), true),
        (Wake::Never, false),
    ];
    for (n, (wake, routine)) in ways.into_iter().enumerate() {
        let (tenant, work) = planned(&setup, &format!("r{n}"), wake).await;
        assert_eq!(work.routine, routine, "released for {wake:?}");
        let now = setup.command(&tenant, &patch("by", "someone")).await;
        let lease = setup.claim_one(now.id, HOUR).await;
        let change = setup.change(&now, &patch("by", "a worker"));
        let change = change.with_wake(wake).under(under(&lease, true));
        let now = setup.write(&change).await;
        let work = setup.work(now.id).await;
        assert_eq!(work.routine, routine, "committed with {wake:?}");
        assert_eq!(work.due_at.is_some(), wake != Wake::Never);
        gone(&setup, &now).await;
    }
    let (tenant, _) = planned(&setup, "check", Wake::Check(Duration::ZERO)).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    assert!(lease.routine);
    let note = setup.change(&tenant, &patch("n", 1));
    let note = note.with_wake(Wake::Now).under(under(&lease, false));
    let tenant = setup.write(&note).await;
    assert!(setup.work(tenant.id).await.routine, "the lease goes on");
    let end = setup.change(&tenant, &patch("n", 2));
    let end = end.with_wake(Wake::Unchanged).under(under(&lease, true));
    setup.write(&end).await;
    let work = setup.work(tenant.id).await;
    assert_eq!((work.routine, work.due_at), (true, Some(lease.until)));
}

/// Takes a tenant's work out of the way of what follows.
async fn gone(setup: &Setup, tenant: &Tenant) {
    let change = setup.change(tenant, &patch("gone", setup.tick()));
    setup.write(&change.with_wake(Wake::Now)).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(setup, &lease, Wake::Never).await;
}

pub async fn a_wake_up_without_a_lease_never_makes_anyone_wait_for_routine(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let half = HOUR / 2;
    let due = Wake::Check(Duration::ZERO);
    // How it was planned and who woke it; then whether it is routine, and due sooner than before.
    let table = [
        (Wake::Never, Wake::Now, false, true),
        (Wake::Never, Wake::After(HOUR), false, true),
        (Wake::Never, Wake::Check(HOUR), true, true),
        (Wake::Never, Wake::Unchanged, false, false),
        (Wake::Check(HOUR), Wake::Now, false, true),
        (Wake::Check(HOUR), Wake::After(half), false, true),
        (Wake::Check(HOUR), Wake::After(HOUR * 2), true, false),
        (Wake::Check(HOUR), Wake::Check(half), true, true),
        (Wake::Check(HOUR), Wake::Check(HOUR * 2), true, false),
        (Wake::Check(HOUR), Wake::Unchanged, true, false),
        (Wake::Check(HOUR), Wake::Never, true, false),
        (Wake::After(HOUR), Wake::Check(half), false, true),
        (Wake::After(HOUR), Wake::Check(HOUR * 2), false, false),
        (due, Wake::Now, false, false),
        (due, Wake::After(Duration::ZERO), false, false),
        (due, Wake::After(HOUR), true, false),
    ];
    for (n, (before, wake, routine, sooner)) in table.into_iter().enumerate() {
        let (tenant, old) = planned(&setup, &format!("t{n}"), before).await;
        let change = setup.change(&tenant, &patch("n", 1)).with_wake(wake);
        let tenant = setup.write(&change).await;
        let work = setup.work(tenant.id).await;
        let is_sooner =
            work.due_at.is_some() && old.due_at.is_none_or(|old| work.due_at < Some(old));
        let way = format!("{before:?}, then {wake:?}");
        assert_eq!((work.routine, is_sooner), (routine, sooner), "{way}");
        assert!(sooner || work.due_at == old.due_at, "{way}");
        gone(&setup, &tenant).await;
    }
    let wanted = setup.creation(setup.wanted("new"));
    let new = setup.write(&wanted.with_wake(Wake::Check(HOUR))).await;
    assert!(setup.work(new.id).await.routine, "a creation plans as well");
}

pub async fn work_that_was_changed_while_leased_is_no_routine(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for (n, wake) in [Wake::Now, Wake::After(HOUR), Wake::Check(HOUR)]
        .into_iter()
        .enumerate()
    {
        let (tenant, _) = planned(&setup, &format!("t{n}"), Wake::Check(Duration::ZERO)).await;
        let lease = setup.claim_one(tenant.id, HOUR).await;
        let change = setup.change(&tenant, &patch("n", 1)).with_wake(wake);
        let tenant = setup.write(&change).await;
        release(&setup, &lease, Wake::Check(HOUR)).await;
        let leases = claim(&setup, &[room_of(ClassName::default(), 9, 0)]).await;
        assert_eq!(tenants(&leases), [tenant.id], "{wake:?}: due at once");
        release(&setup, &leases[0], Wake::Never).await;
    }
}

pub async fn a_lease_that_ends_by_itself_keeps_its_lane(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let short = setup.short().await;
    let (change, check) = (setup.create("change").await, "check");
    let lease = setup.claim_one(change.id, short).await;
    assert!(!lease.routine);
    setup.pass(short).await;
    let lease = setup.claim_one(change.id, HOUR).await;
    assert_eq!((lease.routine, lease.attempt), (false, 2));

    let (check, _) = planned(&setup, check, Wake::Check(Duration::ZERO)).await;
    let lease = setup.claim_one(check.id, short).await;
    assert!(lease.routine && setup.work(check.id).await.routine);
    setup.pass(short).await;
    let lease = setup.claim_one(check.id, short).await;
    assert_eq!((lease.routine, lease.attempt), (true, 2));
    let renewed = setup.store.renew(&lease, short).await.unwrap().unwrap();
    assert!(renewed.routine);
    // Now someone waits, and the worker that holds it dies.
    let change = setup.change(&check, &patch("n", 1));
    setup.write(&change.with_wake(Wake::After(HOUR))).await;
    setup.pass(short).await;
    let leases = claim(&setup, &[room_of(ClassName::default(), 9, 0)]).await;
    assert_eq!(tenants(&leases), [check.id]);
}

pub async fn only_an_attempt_in_order_counts_as_checked(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.lead_to("acme", State::Ready).await;
    let error = Message::lossy("no answer");
    for attempt in [Attempt::Returned, Attempt::Failed { error }] {
        let lease = setup.claim_one(tenant.id, HOUR).await;
        let released = setup.store.release(&lease, &attempt, Wake::Now).await;
        assert!(released.unwrap());
        assert_eq!(setup.work(tenant.id).await.checked_at, None, "{attempt:?}");
    }
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(&setup, &lease, Wake::Now).await;
    let clean = setup.work(tenant.id).await.checked_at;
    assert!(clean.is_some());

    setup.pass(Duration::from_millis(1)).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    tenant = failed(&setup, &tenant, &lease, "no answer", true).await;
    assert_eq!(setup.work(tenant.id).await.checked_at, clean, "it failed");
    tenant = setup.command(&tenant, &Command::Retry).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let done = succeeded(&tenant, Operation::Apply);
    let context = setup.context();
    let answer = setup.engine.report(&lease, &done, &context, true).await;
    assert!(matches!(answer, Ok(Reported::Written(_))), "{answer:?}");
    let work = setup.work(tenant.id).await;
    assert!(work.checked_at > clean, "{work:?}");
}

/// Reports a failure that is news.
async fn failed(
    setup: &Setup,
    tenant: &Tenant,
    lease: &Lease,
    said: &str,
    release: bool,
) -> Tenant {
    let outcome = Outcome::Failed {
        reason: "Timeout".parse().unwrap(),
        message: Message::lossy(said),
        permanent: false,
        retry_after: Some(HOUR),
        attempt: 1,
    };
    let failed = report(tenant, Operation::Apply, outcome);
    let context = setup.context();
    let answer = setup.engine.report(lease, &failed, &context, release).await;
    let Ok(Reported::Written(tenant)) = answer else {
        panic!("a failure that is news is written: {answer:?}")
    };
    *tenant
}

pub async fn a_failed_attempt_leaves_its_error_also_when_it_is_news(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let ways = [
        ("no answer", true, Some("no answer")),
        ("", true, Some("Timeout")),
        ("no answer", false, None),
    ];
    for (n, (said, ends, kept)) in ways.into_iter().enumerate() {
        let tenant = parked(&setup, &format!("t{n}")).await;
        let tenant = setup.command(&tenant, &patch("n", 1)).await;
        let mut lease = setup.claim_one(tenant.id, HOUR).await;
        let started = report(&tenant, Operation::Apply, Outcome::Started);
        let context = setup.context();
        let answer = setup.engine.report(&lease, &started, &context, true).await;
        let Ok(Reported::Written(tenant)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(setup.work(tenant.id).await.last_error, None, "no failure");

        let tenant = setup.command(&tenant, &patch("n", 2)).await;
        lease = setup.claim_one(tenant.id, HOUR).await;
        let tenant = failed(&setup, &tenant, &lease, said, ends).await;
        let work = setup.work(tenant.id).await;
        let found = work.last_error.as_ref().map(Message::as_str);
        assert_eq!((found, work.attempts), (kept, 1), "said {said:?}");

        let tenant = setup.command(&tenant, &Command::Retry).await;
        assert_eq!(setup.work(tenant.id).await.last_error, None, "forgotten");
        if ends {
            lease = setup.claim_one(tenant.id, HOUR).await;
        }
        release(&setup, &lease, Wake::Never).await;
        gone(&setup, &tenant).await;
    }
}

pub async fn idling_waits_for_the_classes_that_are_named(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let bound = Duration::from_millis(50);
    let due = checked(&setup, "acme").await;
    // A hint that came before is used up by looking once.
    setup.store.idle(&[], Duration::ZERO).await;
    for classes in [vec![], vec![gpu()]] {
        let begun = tokio::time::Instant::now();
        setup.store.idle(&classes, bound).await;
        assert!(begun.elapsed() >= bound, "nothing of {classes:?} is due");
    }
    let returns = |classes: Vec<ClassName>| {
        let store = Arc::clone(&setup.store);
        async move {
            let idle = store.idle(&classes, HOUR);
            tokio::time::timeout(Duration::from_secs(5), idle)
                .await
                .unwrap();
        }
    };
    returns(vec![gpu(), ClassName::default()]).await;
    let lease = setup.claim_one(due, HOUR).await;
    release(&setup, &lease, Wake::Now).await;
    returns(vec![ClassName::default()]).await;
}
