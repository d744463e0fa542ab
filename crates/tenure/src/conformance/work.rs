//! Claiming work.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::time::Duration;

use super::{Factory, Setup, patch, report, room, succeeded};
use crate::{
    Attempt, ClassName, Command, Lease, Message, Operation, Outcome, Reported, Room, State, Tenant,
    TenantRef, Under, Wake,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_work {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases work [
            new_work_can_be_claimed_and_parked_work_can_not,
            claims_take_the_longest_due_first_and_no_more_than_asked,
            a_claim_is_no_change,
            an_ended_lease_is_claimable_without_help,
            a_live_lease_can_be_renewed_and_an_ended_one_can_not,
            a_lease_is_released_once,
            work_released_for_later_waits,
            a_wake_up_never_puts_work_off,
            attempts_count_failures_and_begin_anew_on_progress,
            waiting_for_work_ends_in_time,
            the_deleted_have_no_work,
        ] $($arg)* }
    };
}

pub(super) const HOUR: Duration = Duration::from_hours(1);

pub(super) fn under(lease: &Lease, release: bool) -> Under {
    Under {
        fence: lease.fence,
        release,
    }
}

/// Ends a live lease after an attempt that was in order.
pub(super) async fn release(setup: &Setup, lease: &Lease, next: Wake) {
    let released = setup
        .store
        .release(lease, &Attempt::Clean, next)
        .await
        .unwrap();
    assert!(released, "a live lease is released");
}

/// Creates a tenant with nothing to do.
pub(super) async fn parked(setup: &Setup, name: &str) -> Tenant {
    let tenant = setup.create(name).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(setup, &lease, Wake::Never).await;
    tenant
}

pub async fn new_work_can_be_claimed_and_parked_work_can_not(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    assert_eq!(setup.claim("worker-1", HOUR).await, []);
    let tenant = setup.create("acme").await;
    assert!(setup.work(tenant.id).await.due_at.is_some());
    let lease = setup.claim_one(tenant.id, HOUR).await;
    assert_eq!(setup.claim("worker-2", HOUR).await, []);
    release(&setup, &lease, Wake::Never).await;
    assert_eq!(setup.claim("worker-2", HOUR).await, []);
    assert_eq!(setup.work(tenant.id).await.due_at, None);
}

pub async fn claims_take_the_longest_due_first_and_no_more_than_asked(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    // Due in an order that is neither that of the ids nor of the names.
    let mut due = Vec::new();
    for wanted in ["c", "a", "b", "e", "d"]
        .map(|name| setup.wanted(name))
        .into_iter()
        .rev()
    {
        due.push(setup.write(&setup.creation(wanted)).await.id);
        setup.pass(Duration::from_millis(1)).await;
    }
    let mut claimed = Vec::new();
    for (limit, expected) in [(2, 2), (1, 1), (500, 2), (1, 0)] {
        let rooms = [Room {
            limit,
            ..room(HOUR)
        }];
        let leases = setup.store.claim("worker-1", &rooms).await.unwrap();
        assert_eq!(leases.len(), expected);
        claimed.extend(leases.into_iter().map(|lease| lease.tenant));
    }
    assert_eq!(claimed, due);
}

pub async fn a_claim_is_no_change(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    setup.store.renew(&lease, HOUR).await.unwrap().unwrap();
    let work = setup.work(tenant.id).await;
    assert_eq!(work.holder.as_deref(), Some("worker-1"));
    assert_eq!((work.fence, work.attempts), (lease.fence, 1));
    assert!(work.lease_until >= Some(lease.until));
    release(&setup, &lease, Wake::Now).await;
    let work = setup.work(tenant.id).await;
    assert_eq!(
        (work.holder, work.lease_until, work.fence),
        (None, None, lease.fence)
    );
    assert!(work.checked_at.is_some());
    assert_eq!(setup.tenant(tenant.id).await, tenant);
    assert_eq!(setup.history(tenant.id).await.len(), 1);
    assert_eq!(setup.feed().await.len(), 1);
}

pub async fn an_ended_lease_is_claimable_without_help(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let short = setup.short().await;
    let first = setup.claim_one(tenant.id, short).await;
    setup.pass(short).await;
    let second = setup.claim_one(tenant.id, HOUR).await;
    assert_eq!((second.fence, second.attempt), (first.fence.next(), 2));
}

pub async fn a_live_lease_can_be_renewed_and_an_ended_one_can_not(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let short = setup.short().await;
    let lease = setup.claim_one(tenant.id, short).await;
    let longer = setup.store.renew(&lease, HOUR).await.unwrap().unwrap();
    assert!(longer.until > lease.until);
    assert_eq!((longer.fence, longer.attempt), (lease.fence, lease.attempt));
    setup.pass(short).await;
    assert_eq!(
        setup.claim("worker-2", HOUR).await,
        [],
        "it lasts longer now"
    );
    let shorter = setup.store.renew(&longer, short).await.unwrap().unwrap();
    setup.pass(short).await;
    assert_eq!(
        setup.store.renew(&shorter, HOUR).await.unwrap(),
        None,
        "it has ended"
    );
    setup.claim_one(tenant.id, HOUR).await;
    assert_eq!(
        setup.store.renew(&shorter, HOUR).await.unwrap(),
        None,
        "it has moved"
    );
}

pub async fn a_lease_is_released_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(&setup, &lease, Wake::Now).await;
    let again = setup
        .store
        .release(&lease, &Attempt::Clean, Wake::Never)
        .await
        .unwrap();
    assert!(!again);
    setup.claim_one(tenant.id, HOUR).await;
}

pub async fn work_released_for_later_waits(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let short = setup.short().await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(&setup, &lease, Wake::After(short)).await;
    assert_eq!(setup.claim("worker-2", HOUR).await, []);
    setup.pass(short).await;
    setup.claim_one(tenant.id, HOUR).await;
}

pub async fn a_wake_up_never_puts_work_off(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    // Holding a tenant leaves its work as it was planned.
    let held = setup.command(&tenant, &Command::Hold).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    release(&setup, &lease, Wake::After(HOUR)).await;
    let planned = setup.work(tenant.id).await.due_at;
    let labelled = Command::Annotate {
        labels: [("tier".to_owned(), Some("gold".to_owned()))].into(),
        annotations: [].into(),
    };
    let held = setup.command(&held, &labelled).await;
    let held = setup.command(&held, &patch("n", 1)).await;
    assert_eq!(
        setup.work(tenant.id).await.due_at,
        planned,
        "neither sooner nor later"
    );
    setup.command(&held, &Command::Release).await;
    setup.claim_one(tenant.id, HOUR).await;
}

pub async fn attempts_count_failures_and_begin_anew_on_progress(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.create("acme").await;
    let id = tenant.id;
    let error = Message::lossy("no answer");
    for attempt in 1..=3 {
        let lease = setup.claim_one(id, HOUR).await;
        assert_eq!(lease.attempt, attempt);
        let failed = Attempt::Failed {
            error: error.clone(),
        };
        assert!(
            setup
                .store
                .release(&lease, &failed, Wake::Now)
                .await
                .unwrap()
        );
        let work = setup.work(id).await;
        assert_eq!(
            (work.attempts, work.last_error),
            (attempt, Some(error.clone()))
        );
    }
    let lease = setup.claim_one(id, HOUR).await;
    assert!(
        setup
            .store
            .release(&lease, &Attempt::Returned, Wake::Now)
            .await
            .unwrap()
    );
    let work = setup.work(id).await;
    assert_eq!(
        (work.attempts, work.last_error),
        (3, Some(error.clone())),
        "not counted"
    );
    let lease = setup.claim_one(id, HOUR).await;
    assert_eq!(lease.attempt, 4);
    release(&setup, &lease, Wake::Now).await;
    let work = setup.work(id).await;
    assert_eq!(
        (work.attempts, work.last_error),
        (0, None),
        "in order again"
    );

    for (step, command) in [patch("n", 1), Command::Delete].into_iter().enumerate() {
        let lease = setup.claim_one(id, HOUR).await;
        assert_eq!(lease.attempt, 1, "step {step}");
        let failed = Attempt::Failed {
            error: error.clone(),
        };
        assert!(
            setup
                .store
                .release(&lease, &failed, Wake::Now)
                .await
                .unwrap()
        );
        tenant = setup.command(&tenant, &command).await;
        let work = setup.work(id).await;
        assert_eq!((work.attempts, work.last_error), (0, None), "step {step}");
    }
}

pub async fn waiting_for_work_ends_in_time(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let bound = Duration::from_millis(20);
    let waits = async {
        for classes in [&[][..], &[ClassName::default()]] {
            setup.store.idle(classes, Duration::ZERO).await;
            setup.store.idle(classes, bound).await;
        }
        tokio::join!(setup.store.idle(&[], bound), setup.create("acme"));
    };
    // Hints may be lost, the bound may not.
    tokio::time::timeout(Duration::from_secs(5), waits)
        .await
        .unwrap();
}

pub async fn the_deleted_have_no_work(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Deleting).await;
    let lease = setup.claim_one(tenant.id, HOUR).await;
    let done = succeeded(&tenant, Operation::Destroy);
    let answer = setup
        .engine
        .report(&lease, &done, &setup.context(), true)
        .await
        .unwrap();
    assert!(matches!(answer, Reported::Written(_)), "{answer:?}");
    assert_eq!(setup.claim("worker-1", HOUR).await, []);
    assert_eq!(setup.work(tenant.id).await.due_at, None);
    let failed = report(
        &tenant,
        Operation::Destroy,
        Outcome::Failed {
            reason: "Late".parse().unwrap(),
            message: Message::none(),
            permanent: false,
            retry_after: None,
            attempt: 1,
        },
    );
    let late = setup
        .engine
        .report(&lease, &failed, &setup.context(), true)
        .await;
    assert!(late.is_err(), "{late:?}");
    let get = setup
        .store
        .load(&TenantRef::Id(tenant.id), None)
        .await
        .unwrap();
    assert_eq!(get.record.unwrap().tenant.state, State::Deleted);
}
