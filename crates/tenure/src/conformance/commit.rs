//! What a commit writes, what it refuses, and that it does the one or the other whole.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use std::time::Duration;

use super::{Factory, Setup, applied, change, key, patch, report, start, succeeded};
use crate::{
    AsOf, Attempt, Change, Command, Commit, ConditionKind, Fence, Kind, Labels, Message, Operation,
    Outcome, Revision, State, StoreError, Tenant, TenantRef, Timestamp, Under, Wake, Wanted,
    decide,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_commit {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases commit [
            p1_a_commit_writes_record_line_feed_work_and_key_together,
            p1_a_refused_change_leaves_no_trace,
            p1_a_change_that_the_guards_refuse_leaves_no_trace,
            p1_labels_and_conditions_follow_every_change,
            every_step_of_the_lifecycle_can_be_committed,
            every_other_step_is_rejected,
            what_was_observed_is_never_ahead_of_what_is_wanted,
            every_field_follows_the_change,
            a_clock_that_goes_back_moves_no_time_back,
            the_state_keeps_its_time_until_it_changes,
            the_first_and_the_last_time_there_is_are_stored,
            p2_every_change_is_there_after_the_store_was_opened_again,
        ] $($arg)* }
    };
}

/// What a key of the fixture stands for now.
async fn prior(setup: &Setup, id: crate::TenantId, name: &str) -> Option<crate::Prior> {
    let key = key(name, "request");
    let loaded = setup
        .store
        .load(&TenantRef::Id(id), Some((&key.scope, &key.key)))
        .await;
    loaded.expect("loading works").prior
}

pub async fn p1_a_commit_writes_record_line_feed_work_and_key_together(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let created = setup.lead_to("acme", State::Ready).await;
    let lease = setup.claim_one(created.id, Duration::from_mins(1)).await;
    let ended = setup
        .store
        .release(&lease, &Attempt::Clean, Wake::Never)
        .await;
    assert!(ended.expect("releasing works"));
    assert_eq!(setup.work(created.id).await.due_at, None);

    let change = setup.change(&created, &patch("plan", "gold"));
    let change = change.with_key(Some(key("k", "request")));
    let tenant = setup.write(&change).await;
    let now = setup.store.now().await.expect("the store has a clock");
    let seen = setup.everything(tenant.id).await;
    let record = seen.record.expect("there is such a tenant");
    assert_eq!(record.tenant, tenant, "the record");
    assert_eq!(seen.history.last(), Some(change.line()), "the history");
    assert_eq!(seen.feed.last(), Some(change.line()), "the feed");
    assert_eq!(seen.feed.len(), 4, "the feed");
    assert_eq!(
        seen.facets.feed,
        (4, Some(tenant.revision)),
        "the feed, by tenant"
    );
    assert!(
        record.work.due_at.is_some_and(|due| due <= now),
        "the work: {:?}",
        record.work
    );
    let prior = prior(&setup, tenant.id, "k")
        .await
        .expect("the key is known");
    assert_eq!(
        (prior.tenant, prior.revision),
        (tenant.id, tenant.revision),
        "the key"
    );
    assert_eq!(
        prior.fingerprint,
        key("k", "request").fingerprint,
        "the key"
    );
}

/// A change that must be refused, why, and whether by this answer.
type Refused = (&'static str, Change, fn(&Commit) -> bool);

/// Each way in which a change can be refused, once, around a tenant of revision 3.
async fn refusals(setup: &Setup, tenant: &Tenant) -> Vec<Refused> {
    let past = setup.past(tenant.id).await;
    let first = past.first().expect("a tenant has a first revision");
    let absent = setup.creation(setup.wanted("absent"));
    let coming = setup.change(tenant, &patch("plan", "silver"));
    let doubled = || {
        setup.creation(Wanted {
            id: tenant.id,
            ..setup.wanted("doubled")
        })
    };
    let plan = |of: &Tenant| setup.change(of, &patch("plan", "bronze"));
    let under = Under {
        fence: Fence::new(7),
        release: true,
    };
    let used = Some(key("used", "request"));
    vec![
        ("stale", plan(first), |answer| {
            *answer
                == Commit::Conflict {
                    actual: Revision::new(3),
                }
        }),
        ("ahead", plan(coming.tenant()), |answer| {
            *answer
                == Commit::Conflict {
                    actual: Revision::new(3),
                }
        }),
        ("absent", plan(absent.tenant()), |answer| {
            *answer == Commit::NotFound
        }),
        ("id", doubled(), |answer| *answer == Commit::IdTaken),
        ("name", setup.creation(setup.wanted("acme")), |answer| {
            *answer == Commit::NameTaken
        }),
        ("lease", plan(tenant).under(under), |answer| {
            *answer == Commit::LeaseLost
        }),
        ("used", plan(tenant).with_key(used.clone()), |answer| {
            *answer == Commit::KeyUsed
        }),
        (
            "used",
            setup.creation(setup.wanted("new")).with_key(used),
            |answer| *answer == Commit::KeyUsed,
        ),
    ]
}

pub async fn p1_a_refused_change_leaves_no_trace(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let tenant = setup.command(&tenant, &patch("plan", "gold")).await;
    let change = setup.change(&tenant, &patch("seats", 10));
    let tenant = setup
        .write(&change.with_key(Some(key("used", "request"))))
        .await;
    let before = setup.everything(tenant.id).await;
    let used = prior(&setup, tenant.id, "used").await;

    for (why, change, is_right) in refusals(&setup, &tenant).await {
        let change = match why {
            "used" => change,
            _ => change.with_key(Some(key(why, "request"))),
        };
        let answer = setup.store.commit(&change).await;
        assert!(answer.as_ref().is_ok_and(is_right), "{why}: {answer:?}");
        assert_eq!(setup.everything(tenant.id).await, before, "{why}");
        let id = change.tenant().id;
        if id != tenant.id {
            let there = setup.everything(id).await;
            assert_eq!((there.record, there.history), (None, Vec::new()), "{why}");
            assert_eq!(there.facets, crate::Facets::default(), "{why}");
        }
        let hashes: Vec<_> = change
            .documents()
            .iter()
            .map(crate::Document::hash)
            .filter(|hash| *hash != crate::Document::empty().hash())
            .collect();
        let documents = setup.store.documents(id, &hashes).await;
        assert_eq!(documents.expect("reading documents works"), [], "{why}");
        let known = prior(&setup, id, why).await;
        assert_eq!(known, used.filter(|_| why == "used"), "the key of {why}");
    }
}

pub async fn p1_a_change_that_the_guards_refuse_leaves_no_trace(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    let before = setup.everything(tenant.id).await;
    let forged = setup.forged(&tenant, |after| {
        after.state = State::Ready;
        after.labels = Labels::parse([("a".to_owned(), "b".to_owned())].into()).expect("good");
    });
    let answer = setup
        .store
        .commit(&forged.with_key(Some(key("k", "request"))))
        .await;
    assert!(
        matches!(answer, Err(StoreError::Rejected { .. })),
        "{answer:?}"
    );
    assert_eq!(setup.everything(tenant.id).await, before);
    assert_eq!(prior(&setup, tenant.id, "k").await, None);
    setup.command(&tenant, &patch("plan", "gold")).await;
}

fn annotate(labels: &[(&str, Option<&str>)]) -> Command {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
        .collect();
    Command::Annotate {
        labels,
        annotations: [("note".to_owned(), Some("n".to_owned()))].into(),
    }
}

fn failed(tenant: &Tenant, reason: &str) -> crate::Report {
    let outcome = Outcome::Failed {
        reason: reason.parse().expect("a good reason"),
        message: Message::none(),
        permanent: false,
        retry_after: None,
        attempt: 1,
    };
    report(tenant, Operation::Apply, outcome)
}

/// The copies beside the record are those that the record asks for.
async fn assert_facets(setup: &Setup, tenant: &Tenant, kinds: &[ConditionKind]) {
    let facets = setup
        .store
        .facets(tenant.id)
        .await
        .expect("reading facets works");
    let stored = Labels::parse(facets.labels).expect("good labels");
    assert_eq!(stored, tenant.labels, "labels at {}", tenant.revision);
    assert_eq!(
        facets.conditions, kinds,
        "conditions at {}",
        tenant.revision
    );
    assert_eq!(
        tenant.conditions.kinds(),
        kinds,
        "conditions at {}",
        tenant.revision
    );
    assert!(
        facets.state.is_none_or(|state| state == tenant.state),
        "at {}",
        tenant.revision
    );
    assert_eq!(
        facets.feed,
        (tenant.revision.get(), Some(tenant.revision)),
        "feed"
    );
    assert_eq!(setup.tenant(tenant.id).await, *tenant);
}

pub async fn p1_labels_and_conditions_follow_every_change(factory: &dyn Factory) {
    use ConditionKind::{Failing, Held};
    let setup = Setup::new(factory).await;
    // Beside one that must not be touched.
    let other = setup
        .command(&setup.create("other").await, &annotate(&[("a", Some("9"))]))
        .await;
    let mut tenant = setup.lead_to("acme", State::Provisioning).await;
    assert_facets(&setup, &tenant, &[]).await;
    let steps: [(Command, &[ConditionKind]); 5] = [
        (annotate(&[("a", Some("1")), ("b", Some("2"))]), &[]),
        (
            annotate(&[("a", Some("3")), ("b", None), ("c", Some(""))]),
            &[],
        ),
        (Command::Hold, &[Held]),
        (annotate(&[("c", None)]), &[Held]),
        (patch("plan", "gold"), &[Held]),
    ];
    for (command, kinds) in steps {
        tenant = setup.command(&tenant, &command).await;
        assert_facets(&setup, &tenant, kinds).await;
    }
    tenant = setup.report(&tenant, &failed(&tenant, "Timeout")).await;
    assert_facets(&setup, &tenant, &[Failing, Held]).await;
    tenant = setup.report(&tenant, &failed(&tenant, "Refused")).await;
    assert_facets(&setup, &tenant, &[Failing, Held]).await;
    tenant = setup.command(&tenant, &Command::Release).await;
    assert_facets(&setup, &tenant, &[Failing]).await;
    tenant = setup
        .report(&tenant, &succeeded(&tenant, Operation::Apply))
        .await;
    assert_facets(&setup, &tenant, &[]).await;
    tenant = setup.command(&tenant, &Command::Delete).await;
    tenant = setup
        .report(&tenant, &succeeded(&tenant, Operation::Destroy))
        .await;
    assert_facets(&setup, &tenant, &[]).await;
    assert_facets(&setup, &other, &[]).await;
}

pub async fn every_step_of_the_lifecycle_can_be_committed(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for from in State::ALL {
        for to in State::ALL.into_iter().filter(|to| from.may_become(*to)) {
            let before = setup.lead_to(&format!("{from}-{to}"), from).await;
            let after = setup
                .write(&setup.forged(&before, |after| after.state = to))
                .await;
            assert_eq!(setup.tenant(before.id).await, after, "from {from} to {to}");
        }
    }
}

pub async fn every_other_step_is_rejected(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for from in State::ALL {
        let tenant = setup.lead_to(from.as_str(), from).await;
        let before = setup.everything(tenant.id).await;
        for to in State::ALL.into_iter().filter(|to| !from.may_become(*to)) {
            let forged = setup.forged(&tenant, |after| after.state = to);
            let answer = setup.store.commit(&forged).await;
            let rejected = matches!(answer, Err(StoreError::Rejected { .. }));
            assert!(rejected, "from {from} to {to}: {answer:?}");
            assert_eq!(
                setup.everything(tenant.id).await,
                before,
                "from {from} to {to}"
            );
        }
    }
}

pub async fn what_was_observed_is_never_ahead_of_what_is_wanted(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Ready).await;
    let before = setup.everything(tenant.id).await;
    let forged = setup.forged(&tenant, |after| {
        after.observed_generation = after.generation.next();
    });
    let answer = setup.store.commit(&forged).await;
    assert!(
        matches!(answer, Err(StoreError::Rejected { .. })),
        "{answer:?}"
    );
    assert_eq!(setup.everything(tenant.id).await, before);
}

pub async fn every_field_follows_the_change(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.lead_to("acme", State::Provisioning).await;
    let observed = crate::Document::parse(r#"{"plan":"gold"}"#).expect("a good document");
    let seen = |observed: Option<&crate::Document>, resources: &[&str]| Outcome::Succeeded {
        observed: observed.cloned(),
        resources: Some(resources.iter().map(|id| (*id).to_owned()).collect()),
        message: "as asked".parse().expect("a good message"),
    };
    let outcomes = [
        seen(Some(&observed), &["db/2", "db/1", ""]),
        seen(None, &[]),
        seen(Some(&crate::Document::empty()), &["db/1"]),
    ];
    for outcome in outcomes {
        tenant = setup
            .report(&tenant, &report(&tenant, Operation::Apply, outcome))
            .await;
        assert_eq!(setup.tenant(tenant.id).await, tenant);
    }
    for command in [
        Command::Suspend,
        Command::Hold,
        annotate(&[("a", Some("1"))]),
        annotate(&[("a", None)]),
        patch("plan", "silver"),
        Command::Resume,
        Command::Release,
        Command::Delete,
    ] {
        tenant = setup.command(&tenant, &command).await;
        assert_eq!(
            setup.tenant(tenant.id).await,
            tenant,
            "after {}",
            command.as_str()
        );
    }
    tenant = setup
        .report(&tenant, &succeeded(&tenant, Operation::Destroy))
        .await;
    assert_eq!(setup.tenant(tenant.id).await, tenant);
    assert_eq!(
        (&tenant.observed, tenant.resources.len()),
        (&None, 0),
        "it is gone"
    );
}

pub async fn a_clock_that_goes_back_moves_no_time_back(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Ready).await;
    let mut context = setup.context();
    context.at = Timestamp::EPOCH;
    let late = setup
        .write(&change(decide(Some(&tenant), &Command::Suspend, &context)))
        .await;
    let stored = setup.tenant(tenant.id).await;
    assert_eq!(stored, late);
    assert_eq!(
        stored.updated_at, tenant.updated_at,
        "it was last changed when it was before"
    );
    assert_eq!(
        stored.state_since, tenant.updated_at,
        "a new state begins no earlier"
    );
    let times: Vec<_> = setup
        .history(tenant.id)
        .await
        .iter()
        .map(|line| line.at)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

pub async fn the_state_keeps_its_time_until_it_changes(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let ready = setup.lead_to("acme", State::Ready).await;
    let labelled = setup.command(&ready, &annotate(&[("a", Some("1"))])).await;
    let stored = setup.tenant(ready.id).await;
    assert!(stored.updated_at > ready.updated_at);
    assert_eq!(stored.state_since, ready.state_since);
    let suspending = setup.command(&labelled, &Command::Suspend).await;
    assert_eq!(
        setup.tenant(ready.id).await.state_since,
        suspending.updated_at
    );
}

pub async fn the_first_and_the_last_time_there_is_are_stored(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let last = start().plus(Duration::MAX);
    let mut all = Vec::new();
    for (name, at) in [("first", Timestamp::EPOCH), ("last", last)] {
        let mut context = setup.context();
        context.at = at;
        let create = Command::Create(setup.wanted(name));
        let created = setup.write(&change(decide(None, &create, &context))).await;
        let after = setup
            .write(&change(decide(Some(&created), &Command::Delete, &context)))
            .await;
        assert_eq!(after.updated_at, at);
        all.push(after);
    }
    for tenant in all {
        assert_eq!(setup.tenant(tenant.id).await, tenant);
        let then = setup
            .store
            .as_of(tenant.id, AsOf::Time(tenant.updated_at))
            .await;
        assert_eq!(then.expect("reading the past works"), Some(tenant));
    }
}

pub async fn p2_every_change_is_there_after_the_store_was_opened_again(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut all = Vec::new();
    for state in State::ALL {
        let tenant = setup.lead_to(state.as_str(), state).await;
        all.push((tenant.id, setup.everything(tenant.id).await.history));
    }
    let feed = setup.feed().await;
    let Some(setup) = setup.reopen().await else {
        return;
    };
    assert_eq!(setup.feed().await, feed);
    for (id, history) in all {
        assert_eq!(setup.history(id).await, history);
        let tenant = setup.tenant(id).await;
        assert_eq!(Some(tenant.hash), history.last().map(|line| line.hash));
        // And life goes on.
        if tenant.state != State::Deleted {
            let change = setup.change(&tenant, &annotate(&[("a", Some("1"))]));
            assert_eq!(change.line().kind, Kind::Metadata);
            assert_eq!(
                applied(setup.store.commit(&change).await),
                tenant.revision.next()
            );
        }
    }
}
