//! Copying a fleet from one store to another.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Factory, Fault, Faulty, MemoryFactory, Setup, export, fingerprint, start, trace};
use crate::check::verify_all;
use crate::{Command, CopyError, Role, Selector, State, Store, StoreError, TenantRef, Token, copy};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_copying {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases copying [
            p9_a_copy_there_and_back_gives_the_same_export_byte_for_byte,
            a_copy_that_fails_half_way_is_taken_up_again,
            a_copied_tenant_is_due_when_it_was,
            a_copied_name_is_free_or_taken_as_it_was,
            tokens_are_copied_as_they_are,
            a_copy_over_other_tenants_is_refused_and_writes_nothing,
            a_copy_while_someone_works_is_refused,
        ] $($arg)* }
    };
}

async fn copied(from: &Arc<dyn Store>, to: &Arc<dyn Store>) -> crate::Copied {
    let copied = copy(&**from, &**to, |_| ()).await.unwrap();
    let verified = verify_all(&**to, |_| ()).await.unwrap();
    assert_eq!((verified.tenants, verified.findings), (copied.tenants, 0));
    copied
}

pub async fn p9_a_copy_there_and_back_gives_the_same_export_byte_for_byte(factory: &dyn Factory) {
    let (here, there) = (Setup::new(factory).await, Setup::new(&MemoryFactory).await);
    let back = Setup::new(factory).await;
    trace(Arc::clone(&here.store), 77, 400).await;
    let original = export(&*here.store).await.unwrap();
    let moved = copied(&here.store, &there.store).await;
    assert!(moved.tenants > 20 && moved.lines > 200, "{moved:?}");
    assert_eq!(export(&*there.store).await.unwrap(), original);
    assert_eq!(copied(&there.store, &back.store).await, moved);
    assert_eq!(export(&*back.store).await.unwrap(), original);
    assert_eq!(export(&*here.store).await.unwrap(), original, "the source");
}

pub async fn a_copy_that_fails_half_way_is_taken_up_again(factory: &dyn Factory) {
    let (from, to) = (Setup::new(&MemoryFactory).await, Setup::new(factory).await);
    trace(Arc::clone(&from.store), 78, 200).await;
    // Longer than it tries: before the second batch, and after the first one that it then sends.
    let cut = [Fault::FailBefore; 8];
    let script = [&[Fault::Pass][..], &cut].concat();
    for script in [script, vec![Fault::LoseReply; 8]] {
        let flaky = Faulty::scripted(Arc::clone(&to.store), script);
        let failed = copy(&*from.store, &flaky, |_| ()).await;
        assert!(matches!(failed, Err(CopyError::Store(_))), "{failed:?}");
        assert!(!export(&*to.store).await.unwrap().is_empty());
    }
    let again = copied(&from.store, &to.store).await;
    assert_eq!(copied(&from.store, &to.store).await, again);
    let original = export(&*from.store).await.unwrap();
    assert_eq!(export(&*to.store).await.unwrap(), original);
}

pub async fn a_copied_tenant_is_due_when_it_was(factory: &dyn Factory) {
    let (from, to) = (Setup::new(factory).await, Setup::new(factory).await);
    let asked = from.create("asked").await;
    let resting = from.lead_to("resting", State::Ready).await;
    let gone = from.lead_to("gone", State::Deleted).await;
    copied(&from.store, &to.store).await;
    for tenant in [&asked, &resting, &gone] {
        let (before, after) = (from.work(tenant.id).await, to.work(tenant.id).await);
        assert_eq!(
            before.due_at.is_some(),
            after.due_at.is_some(),
            "{}",
            tenant.name
        );
        assert_eq!(before.routine, after.routine, "{}", tenant.name);
        let (Some(before), Some(after)) = (before.due_at, after.due_at) else {
            continue;
        };
        // The two clocks are not the same one.
        let apart = before.since(after).max(after.since(before));
        assert!(
            apart < Duration::from_mins(10),
            "{}: {before} {after}",
            tenant.name
        );
    }
    let claimed = to.claim("worker", Duration::from_secs(30)).await;
    assert!(claimed.iter().any(|lease| lease.tenant == asked.id));
}

pub async fn a_copied_name_is_free_or_taken_as_it_was(factory: &dyn Factory) {
    let (from, to) = (Setup::new(factory).await, Setup::new(factory).await);
    from.lead_to("acme", State::Deleted).await;
    from.lead_to("acme", State::Deleted).await;
    let living = from.create("acme").await;
    copied(&from.store, &to.store).await;
    let who = TenantRef::Name("acme".parse().unwrap());
    let found = to.store.get(&who, crate::Freshness::Primary).await.unwrap();
    assert_eq!(found.unwrap().tenant.id, living.id);
    to.command(&living, &Command::Delete).await;
}

fn token(name: &str) -> Token {
    Token {
        name: name.parse().unwrap(),
        role: Role::Operator,
        classes: BTreeSet::new(),
        scope: Selector::default(),
        hash: fingerprint(name),
        previous: None,
        created_at: start(),
        created_by: "user:maria".parse().unwrap(),
        expires_at: Some(start().plus(Duration::from_hours(1))),
        last_used_at: Some(start()),
        revoked: None,
    }
}

pub async fn tokens_are_copied_as_they_are(factory: &dyn Factory) {
    let (from, to) = (Setup::new(factory).await, Setup::new(factory).await);
    for name in ["one", "two"] {
        assert!(from.store.add_token(&token(name)).await.unwrap());
    }
    let two = "two".parse().unwrap();
    let until = start().plus(Duration::from_mins(5));
    let (seen, hash) = (fingerprint("two"), fingerprint("three"));
    from.store
        .rotate_token(&two, (&seen, &hash), Some(until))
        .await
        .unwrap();
    let revoked = crate::Revoked {
        revoked_at: start(),
        revoked_by: "user:maria".parse().unwrap(),
    };
    from.store.revoke_token(&two, &revoked).await.unwrap();
    for _ in ["first", "again"] {
        assert_eq!(copied(&from.store, &to.store).await.tokens, 2);
    }
    let all = async |store: &Arc<dyn Store>| {
        let page = crate::PageSize::default();
        store.tokens(None, page).await.unwrap()
    };
    assert_eq!(all(&to.store).await, all(&from.store).await);
}

pub async fn a_copy_over_other_tenants_is_refused_and_writes_nothing(factory: &dyn Factory) {
    let (from, to) = (Setup::new(&MemoryFactory).await, Setup::new(factory).await);
    from.create("acme").await;
    let other = to.create("other").await;
    let refused = copy(&*from.store, &*to.store, |_| ()).await.unwrap_err();
    assert!(matches!(refused, CopyError::Foreign { .. }), "{refused}");
    assert!(
        refused.to_string().contains(&other.id.to_string()),
        "{refused}"
    );
    let everything = export(&*to.store).await.unwrap();
    assert!(!everything.contains("acme"), "{everything}");
}

pub async fn a_copy_while_someone_works_is_refused(factory: &dyn Factory) {
    let (from, to) = (Setup::new(factory).await, Setup::new(&MemoryFactory).await);
    let tenant = from.create("acme").await;
    let lease = from.claim_one(tenant.id, Duration::from_mins(5)).await;
    let refused = copy(&*from.store, &*to.store, |_| ()).await.unwrap_err();
    assert!(matches!(refused, CopyError::InUse(1)), "{refused}");
    let ended = from
        .store
        .release(&lease, &crate::Attempt::Returned, crate::Wake::Now);
    assert!(ended.await.unwrap());
    copied(&from.store, &to.store).await;
    from.store.close().await;
    let closed = copy(&*from.store, &*to.store, |_| ()).await;
    assert!(matches!(closed, Err(CopyError::Store(StoreError::Closed))));
}
