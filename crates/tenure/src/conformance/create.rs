//! Creating and loading.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use std::sync::Arc;

use serde_json::json;

use super::{Factory, Setup, applied, change, fingerprint, key, patch, report, start, together};
use crate::{
    ANNOTATIONS_BYTES_MAX, Annotations, AsOf, Change, Command, Commit, DOCUMENT_BYTES_MAX,
    Document, Facets, Freshness, Generation, Kind, LABELS_MAX, Labels, Message, Operation, Outcome,
    Revision, State, TenantRef, Timestamp, Wanted, decide,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_create {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases create [
            what_was_created_loads_back_equal,
            a_created_tenant_has_one_line_of_history,
            an_unknown_tenant_is_no_error,
            an_id_that_is_taken_is_refused,
            the_name_of_a_living_tenant_is_refused_in_every_state,
            the_name_of_a_deleted_tenant_is_free_again,
            texts_of_the_least_and_the_greatest_length_are_stored,
            documents_of_every_shape_come_back_as_they_were,
            equal_documents_are_stored_once,
            only_documents_of_the_tenant_itself_are_given,
            a_load_is_one_snapshot_while_others_write,
            p2_what_was_created_is_there_after_the_store_was_opened_again,
        ] $($arg)* }
    };
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Labels::parse(pairs.collect()).expect("good labels")
}

fn annotations(pairs: &[(&str, &str)]) -> Annotations {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Annotations::parse(pairs.collect()).expect("good annotations")
}

/// A tenant with something in every field that a creation can fill.
fn full(setup: &Setup, name: &str) -> Wanted {
    Wanted {
        class: Some("gold-eu".parse().expect("a good class")),
        labels: Some(labels(&[
            ("tier", "gold"),
            ("example.org/region", "eu-1"),
            ("empty", ""),
        ])),
        annotations: Some(annotations(&[(
            "note",
            "Grüße, שלום, 🦀\n\ttab \"quoted\" 'too' \\",
        )])),
        desired: Document::from_value(&json!({"plan": "gold", "seats": 10, "nested": {"a": [1]}}))
            .expect("a good document"),
        running: Some(false),
        ..setup.wanted(name)
    }
}

pub async fn what_was_created_loads_back_equal(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    // Down to the microsecond.
    let mut context = setup.context();
    context.at = Timestamp::from_micros(context.at.as_micros() + 123_457).expect("a good time");
    context.message = "asked for by phone".parse().expect("a good message");
    let command = Command::Create(full(&setup, "acme"));
    let created = setup.write(&change(decide(None, &command, &context))).await;

    assert_eq!(created.created_at, context.at);
    assert_eq!(setup.tenant(created.id).await, created, "loaded by id");
    let by_name = TenantRef::Name(created.name.clone());
    let loaded = setup
        .store
        .load(&by_name, None)
        .await
        .expect("loading works");
    let record = loaded.record.expect("there is such a tenant");
    assert_eq!(record.tenant, created, "loaded by name");
    for who in [by_name, TenantRef::Id(created.id)] {
        for freshness in [Freshness::Primary, Freshness::Strong] {
            let got = setup
                .store
                .get(&who, freshness)
                .await
                .expect("getting works");
            assert_eq!(got.as_ref(), Some(&record), "got by {who:?}, {freshness:?}");
        }
    }
    let many = setup
        .store
        .get_many(&[created.id])
        .await
        .expect("getting works");
    assert_eq!(many, [record], "got with many");
    let facets = setup
        .store
        .facets(created.id)
        .await
        .expect("reading facets works");
    let stored = Labels::parse(facets.labels).expect("good labels");
    assert_eq!(stored, created.labels, "the label rows");
}

pub async fn a_created_tenant_has_one_line_of_history(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let change = setup.creation(full(&setup, "acme"));
    let tenant = setup.write(&change).await;
    assert_eq!(tenant.revision, Revision::new(1));
    assert_eq!(tenant.generation, Generation::new(1));
    assert_eq!(tenant.state, State::Requested);

    let history = setup.history(tenant.id).await;
    assert_eq!(history, [change.line().clone()]);
    let [line] = history.as_slice() else {
        panic!("there is exactly one line")
    };
    assert_eq!(
        (line.kind, line.from, line.to),
        (Kind::Created, None, State::Requested)
    );
    assert_eq!(line.hash, tenant.hash);
    assert_eq!(
        line.digest(None, Some((&tenant.name, &tenant.class))),
        line.hash
    );
    assert_eq!(setup.feed().await, history, "the feed");
}

pub async fn an_unknown_tenant_is_no_error(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.create("somebody").await;
    let id = setup.id();
    for who in [
        TenantRef::Id(id),
        TenantRef::Name("nobody".parse().expect("a good name")),
    ] {
        let loaded = setup
            .store
            .load(&who, Some(("scope", "key")))
            .await
            .expect("loading works");
        assert_eq!((loaded.record, loaded.prior), (None, None), "{who:?}");
        let got = setup
            .store
            .get(&who, Freshness::Strong)
            .await
            .expect("getting works");
        assert_eq!(got, None, "{who:?}");
    }
    assert_eq!(
        setup.store.get_many(&[id]).await.expect("getting works"),
        []
    );
    assert_eq!(setup.history(id).await, []);
    for point in [AsOf::Revision(Revision::new(1)), AsOf::Time(start())] {
        assert_eq!(
            setup
                .store
                .as_of(id, point)
                .await
                .expect("reading the past works"),
            None
        );
    }
    let hash = Document::empty().hash();
    assert_eq!(
        setup
            .store
            .documents(id, &[hash])
            .await
            .expect("reading documents works"),
        []
    );
    assert_eq!(
        setup.store.facets(id).await.expect("reading facets works"),
        Facets::default()
    );
}

pub async fn an_id_that_is_taken_is_refused(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let acme = setup.create("acme").await;
    let before = setup.everything(acme.id).await;
    // Another name, and the same name: the id is what is answered.
    for name in ["other", "acme"] {
        let rival = setup.creation(Wanted {
            id: acme.id,
            ..full(&setup, name)
        });
        let answer = setup.store.commit(&rival).await;
        assert!(matches!(answer, Ok(Commit::IdTaken)), "{name}: {answer:?}");
    }
    assert_eq!(setup.everything(acme.id).await, before);
    let other = TenantRef::Name("other".parse().expect("a good name"));
    let loaded = setup.store.load(&other, None).await.expect("loading works");
    assert_eq!(loaded.record, None);
}

pub async fn the_name_of_a_living_tenant_is_refused_in_every_state(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for state in State::ALL
        .into_iter()
        .filter(|state| *state != State::Deleted)
    {
        let tenant = setup.lead_to(state.as_str(), state).await;
        let before = setup.everything(tenant.id).await;
        let rival = setup.creation(full(&setup, state.as_str()));
        let answer = setup.store.commit(&rival).await;
        assert!(
            matches!(answer, Ok(Commit::NameTaken)),
            "{state}: {answer:?}"
        );
        assert_eq!(setup.everything(tenant.id).await, before, "{state}");
        let id = TenantRef::Id(rival.tenant().id);
        let loaded = setup.store.load(&id, None).await.expect("loading works");
        assert_eq!(loaded.record, None, "{state}");
    }
}

pub async fn the_name_of_a_deleted_tenant_is_free_again(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let first = setup.lead_to("acme", State::Deleted).await;
    let name = TenantRef::Name(first.name.clone());
    let loaded = setup.store.load(&name, None).await.expect("loading works");
    assert_eq!(loaded.record, None, "a deleted tenant is not found by name");
    let second = setup.lead_to("acme", State::Deleted).await;
    let third = setup.create("acme").await;

    let loaded = setup.store.load(&name, None).await.expect("loading works");
    assert_eq!(
        loaded.record.map(|record| record.tenant),
        Some(third.clone())
    );
    for tenant in [first, second, third] {
        assert_eq!(
            setup.tenant(tenant.id).await,
            tenant,
            "each is still found by its id"
        );
    }
}

/// The longest text of ASCII words that a label's key can be.
fn longest_key(n: usize) -> String {
    let part = "p".repeat(63);
    let prefix = [part.as_str(), &part, &part, &"q".repeat(61)].join(".");
    format!("{prefix}/{n:0>63}")
}

pub async fn texts_of_the_least_and_the_greatest_length_are_stored(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let least = setup.lead_to("a", State::Deleted).await;
    assert_eq!(setup.tenant(least.id).await, least);

    let longest = "n".repeat(63);
    let pairs = (0..LABELS_MAX)
        .map(|n| (longest_key(n), format!("{n:0>63}")))
        .collect();
    // What keys and values take in all is bounded, and so is the document that holds them.
    let note = "ä".repeat((ANNOTATIONS_BYTES_MAX - 4) / 2);
    let wanted = Wanted {
        class: Some(longest.parse().expect("a good class")),
        labels: Some(Labels::parse(pairs).expect("good labels")),
        annotations: Some(annotations(&[("note", &note)])),
        ..setup.wanted(&longest)
    };
    let mut context = setup.context();
    context.actor = format!("worker:{}", "ü".repeat(124))
        .parse()
        .expect("a good actor");
    context.message = "🦀".repeat(500).parse().expect("a good message");
    let create = Command::Create(wanted);
    let change = change(decide(None, &create, &context));
    let tenant = setup.write(&change).await;
    let tenant = setup
        .report(
            &tenant,
            &report(&tenant, Operation::Apply, Outcome::Started),
        )
        .await;
    let failed = Outcome::Failed {
        reason: format!("R{}", "e".repeat(63))
            .parse()
            .expect("a good reason"),
        message: "m".repeat(2_000).parse().expect("a good message"),
        permanent: false,
        retry_after: None,
        attempt: 1,
    };
    let tenant = setup
        .report(&tenant, &report(&tenant, Operation::Apply, failed))
        .await;

    assert_eq!(setup.tenant(tenant.id).await, tenant);
    assert_eq!(setup.history(tenant.id).await.first(), Some(change.line()));
    let facets = setup
        .store
        .facets(tenant.id)
        .await
        .expect("reading facets works");
    assert_eq!(facets.labels.len(), LABELS_MAX);
    let stored = Labels::parse(facets.labels).expect("good labels");
    assert_eq!(stored, tenant.labels);
}

/// Documents that a careless store would change.
fn shapes() -> Vec<Document> {
    let deep = format!("{}{}{}", r#"{"a":"#.repeat(64), "1", "}".repeat(64));
    let wide = DOCUMENT_BYTES_MAX - r#"{"a":""}"#.len();
    [
        "{}",
        r#"{"":""}"#,
        r#"{"max":9007199254740991,"min":-9007199254740991}"#,
        r#"{"big":1e300,"small":5e-324,"tenth":0.1,"third":0.3333333333333333,"zero":-0.0}"#,
        r#"{"e":"é","E":"É","decomposed":"e\u0301","crab":"🦀","rtl":"שלום"}"#,
        r#"{"escapes":"\"\\\/\b\f\n\r\t\u001f\u007f\u2028"}"#,
        r#"{"b":1,"a":2,"€":3,"\r":4,"דּ":5,"1":6,"😀":7,"ö":8}"#,
        r#"{"sql":"'; DROP TABLE tenants; --","like":"100%_"}"#,
        r#"{"true":true,"false":false,"null":null,"list":[[],{},[null]]}"#,
        &deep,
        &format!(r#"{{"a":"{}"}}"#, "x".repeat(wide)),
    ]
    .into_iter()
    .map(|text| Document::parse(text).expect("a good document"))
    .collect()
}

pub async fn documents_of_every_shape_come_back_as_they_were(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for (n, desired) in shapes().into_iter().enumerate() {
        let wanted = Wanted {
            desired,
            ..setup.wanted(&format!("t{n}"))
        };
        let tenant = setup.write(&setup.creation(wanted)).await;
        let stored = setup.tenant(tenant.id).await;
        assert_eq!(
            stored.desired.as_str(),
            tenant.desired.as_str(),
            "shape {n}"
        );
        assert_eq!(stored.desired.hash(), tenant.desired.hash(), "shape {n}");
        let hash = tenant.desired.hash();
        let documents = setup.store.documents(tenant.id, &[hash]).await;
        assert_eq!(
            documents.expect("reading documents works"),
            [tenant.desired],
            "shape {n}"
        );
    }
}

pub async fn equal_documents_are_stored_once(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    // Equal in content, whatever the order of their keys and the spelling of their numbers.
    let one = Document::parse(r#"{"seats": 10, "plan": "gold"}"#).expect("a good document");
    let same = Document::parse(r#"{"plan":"gold","seats":1e1}"#).expect("a good document");
    let wanted = Wanted {
        desired: one.clone(),
        ..setup.wanted("acme")
    };
    let mut tenant = setup.write(&setup.creation(wanted)).await;
    tenant = setup
        .report(
            &tenant,
            &report(&tenant, Operation::Apply, Outcome::Started),
        )
        .await;
    let seen = Outcome::Succeeded {
        observed: Some(same.clone()),
        resources: None,
        message: Message::none(),
    };
    tenant = setup
        .report(&tenant, &report(&tenant, Operation::Apply, seen))
        .await;
    // There and back again: the document of the first revision is wanted once more.
    tenant = setup.command(&tenant, &patch("plan", "silver")).await;
    tenant = setup.command(&tenant, &patch("plan", "gold")).await;

    assert_eq!(tenant.desired.hash(), one.hash());
    assert_eq!(setup.tenant(tenant.id).await, tenant);
    let documents = setup.store.documents(tenant.id, &[one.hash()]).await;
    assert_eq!(documents.expect("reading documents works"), [same]);
}

pub async fn only_documents_of_the_tenant_itself_are_given(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let acme = setup
        .command(&setup.create("acme").await, &patch("plan", "gold"))
        .await;
    let other = setup
        .command(&setup.create("other").await, &patch("plan", "silver"))
        .await;
    let hashes = [
        acme.desired.hash(),
        other.desired.hash(),
        fingerprint("nothing"),
    ];
    for tenant in [acme, other] {
        let documents = setup.store.documents(tenant.id, &hashes).await;
        assert_eq!(
            documents.expect("reading documents works"),
            [tenant.desired]
        );
    }
}

pub async fn a_load_is_one_snapshot_while_others_write(factory: &dyn Factory) {
    const CHANGES: u64 = 50;
    let setup = Setup::new(factory).await;
    let acme = setup.create("acme").await;
    let mut changes: Vec<Change> = Vec::new();
    for n in 1..=CHANGES {
        let before = changes.last().map_or(&acme, Change::tenant);
        let change = setup.change(before, &patch("n", n));
        changes.push(change.with_key(Some(key(&format!("k{n}"), "request"))));
    }
    let images: Vec<_> = changes
        .iter()
        .map(|change| change.tenant().clone())
        .collect();
    let store = Arc::clone(&setup.store);
    let writer = tokio::spawn(async move {
        for change in &changes {
            applied(store.commit(change).await);
        }
    });
    let readers = setup.stores().await.into_iter().map(|store| {
        let images = images.clone();
        async move {
            let scope = key("any", "request").scope;
            for (n, image) in images.iter().enumerate() {
                let key = format!("k{}", n + 1);
                loop {
                    let who = TenantRef::Id(image.id);
                    let loaded = store.load(&who, Some((&scope, &key))).await;
                    let loaded = loaded.expect("loading works");
                    let tenant = loaded.record.expect("there is such a tenant").tenant;
                    // All of one revision, and never a key without the change that it came with.
                    let known = images
                        .iter()
                        .find(|image| image.revision == tenant.revision);
                    assert_eq!(known.unwrap_or(&tenant), &tenant);
                    if let Some(prior) = loaded.prior {
                        assert_eq!(prior.revision, image.revision);
                        assert!(prior.revision <= tenant.revision, "{prior:?} {tenant:?}");
                        break;
                    }
                    assert!(tenant.revision < image.revision, "no key with {tenant:?}");
                }
            }
        }
    });
    together(readers).await;
    writer.await.expect("the writer should not panic");
}

pub async fn p2_what_was_created_is_there_after_the_store_was_opened_again(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let change = setup
        .creation(full(&setup, "acme"))
        .with_key(Some(key("k", "request")));
    let tenant = setup.write(&change).await;
    let before = setup.everything(tenant.id).await;
    let Some(setup) = setup.reopen().await else {
        return;
    };
    assert_eq!(setup.everything(tenant.id).await, before);
    let prior = key("k", "request");
    let loaded = setup
        .store
        .load(&TenantRef::Id(tenant.id), Some((&prior.scope, &prior.key)))
        .await;
    let prior = loaded
        .expect("loading works")
        .prior
        .expect("the key is known");
    assert_eq!((prior.tenant, prior.revision), (tenant.id, tenant.revision));
}
