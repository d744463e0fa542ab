//! Asking: get, list, count, and the cursors that lead from page to page.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::str::FromStr as _;

use super::fleet::crowd;
use super::{DAY, Factory, Setup, change, patch, room};
use crate::{
    Actor, Annotations, AsOf, Attempt, Command, Context, Document, Freshness, Message, Query,
    Revision, State, Summary, Tenant, TenantRef, Timestamp, Wake, Wanted, decide,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_queries {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases queries [
            get_finds_the_living_by_id_and_name_and_the_deleted_by_id_only,
            get_many_answers_in_the_order_asked_and_leaves_out_the_unknown,
            what_was_written_is_read_back_at_once,
            a_strong_read_through_another_store_is_never_behind,
            the_past_by_time_is_what_was_newest_then,
            hostile_text_is_only_text,
        ] $($arg)* }
    };
}

pub async fn get_finds_the_living_by_id_and_name_and_the_deleted_by_id_only(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let living = setup.lead_to("living", State::Ready).await;
    let deleted = setup.lead_to("gone", State::Deleted).await;
    for freshness in [Freshness::Primary, Freshness::Strong] {
        let get = async |who: TenantRef| {
            let record = setup.store.get(&who, freshness).await.unwrap();
            record.map(|record| record.tenant)
        };
        assert_eq!(get(TenantRef::Id(living.id)).await.as_ref(), Some(&living));
        assert_eq!(
            get(TenantRef::Name(living.name.clone())).await.as_ref(),
            Some(&living)
        );
        assert_eq!(
            get(TenantRef::Id(deleted.id)).await.as_ref(),
            Some(&deleted)
        );
        assert_eq!(get(TenantRef::Name(deleted.name.clone())).await, None);
        assert_eq!(get(TenantRef::Id(setup.id())).await, None);
        assert_eq!(get(TenantRef::Name("never".parse().unwrap())).await, None);
    }
}

pub async fn get_many_answers_in_the_order_asked_and_leaves_out_the_unknown(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let first = setup.create("first").await;
    let second = setup.lead_to("second", State::Deleted).await;
    let third = setup.lead_to("third", State::Ready).await;
    let asked = [third.id, setup.id(), first.id, second.id];
    let records = setup.store.get_many(&asked).await.unwrap();
    let found: Vec<Tenant> = records.into_iter().map(|record| record.tenant).collect();
    assert_eq!(found, [third, first, second]);
    assert_eq!(setup.store.get_many(&[]).await.unwrap(), []);

    let many = crowd(&setup, 500).await;
    let records = setup.store.get_many(&many).await.unwrap();
    assert_eq!(
        records
            .iter()
            .map(|record| record.tenant.id)
            .collect::<Vec<_>>(),
        many
    );
}

pub async fn what_was_written_is_read_back_at_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.create("acme").await;
    for n in 0..20 {
        tenant = setup.command(&tenant, &patch("n", n)).await;
        let read = setup
            .store
            .get(&TenantRef::Id(tenant.id), Freshness::Primary)
            .await;
        assert_eq!(read.unwrap().unwrap().tenant, tenant);
        let page = setup.store.list(&Query::default()).await.unwrap();
        assert_eq!(page.items, [Summary::from(&tenant)]);
    }
}

pub async fn a_strong_read_through_another_store_is_never_behind(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let Some(second) = setup.second().await else {
        return;
    };
    let mut tenant = setup.create("acme").await;
    for n in 0..20 {
        tenant = setup.command(&tenant, &patch("n", n)).await;
        let read = second
            .get(&TenantRef::Id(tenant.id), Freshness::Strong)
            .await;
        assert_eq!(read.unwrap().unwrap().tenant, tenant);
    }
    second.close().await;
}

pub async fn the_past_by_time_is_what_was_newest_then(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let first = setup.create("acme").await;
    // Two revisions of one microsecond: the newer one is what the tenant was then.
    let context = setup.context();
    let changed = change(decide(Some(&first), &patch("n", 1), &context));
    let second = setup.write(&changed).await;
    let third = setup
        .write(&change(decide(Some(&second), &patch("n", 2), &context)))
        .await;
    let last = setup.command(&third, &Command::Delete).await;
    let moved = |at: Timestamp, by: i64| Timestamp::from_micros(at.as_micros() + by).unwrap();
    for (at, expected) in [
        (moved(first.updated_at, -1), None),
        (first.updated_at, Some(&first)),
        (moved(third.updated_at, -1), Some(&first)),
        (third.updated_at, Some(&third)),
        (moved(last.updated_at, -1), Some(&third)),
        (last.updated_at, Some(&last)),
        ("9999-01-01T00:00:00Z".parse().unwrap(), Some(&last)),
    ] {
        let past = setup.store.as_of(first.id, AsOf::Time(at)).await.unwrap();
        assert_eq!(past.as_ref(), expected, "as of {at}");
    }
    for (revision, expected) in [(0, None), (2, Some(&second)), (4, Some(&last)), (5, None)] {
        let point = AsOf::Revision(Revision::new(revision));
        let past = setup.store.as_of(first.id, point).await.unwrap();
        assert_eq!(past.as_ref(), expected, "as of revision {revision}");
    }
    let nobody = setup
        .store
        .as_of(setup.id(), AsOf::Time(last.updated_at))
        .await
        .unwrap();
    assert_eq!(nobody, None);
}

/// What breaks a query that is put together from text.
const HOSTILE: [&str; 8] = [
    "'; DROP TABLE tenants; --",
    "100% _ of it",
    "back\\slash \\' \" quote",
    "$1 ?1 :name @name {} %s",
    "\u{202e}right to left \u{1f980}",
    "line\nfeed\tand tab",
    "NULL",
    "\u{e9} e\u{301} \u{ffff}",
];

pub async fn hostile_text_is_only_text(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for (n, text) in HOSTILE.into_iter().enumerate() {
        let value = serde_json::json!({"text": text, text: text});
        let wanted = Wanted {
            annotations: Some(Annotations::parse([("note".into(), text.into())].into()).unwrap()),
            desired: Document::from_value(&value).unwrap(),
            ..setup.wanted(&format!("t{n}"))
        };
        let name = Actor::from_str(&format!("user:{}", text.replace(char::is_control, " ")));
        let context = Context {
            message: text.parse().unwrap(),
            actor: name.unwrap(),
            ..setup.context()
        };
        let creation = change(decide(None, &Command::Create(wanted), &context));
        let tenant = setup.write(&creation).await;
        assert_eq!(setup.tenant(tenant.id).await, tenant);
        assert_eq!(setup.history(tenant.id).await, [creation.line().clone()]);

        let lease = setup.store.claim(text, &[room(DAY)]).await.unwrap();
        assert_eq!(lease.len(), 1, "{text}");
        assert_eq!(setup.work(tenant.id).await.holder.as_deref(), Some(text));
        let error = Message::lossy(text);
        let attempt = Attempt::Failed {
            error: error.clone(),
        };
        assert!(
            setup
                .store
                .release(&lease[0], &attempt, Wake::Never)
                .await
                .unwrap()
        );
        assert_eq!(setup.work(tenant.id).await.last_error, Some(error));
    }
}
