//! The history: complete, in order, and not to be altered.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Factory, Setup, applied, change, patch, report, start, succeeded};
use crate::{
    AsOf, Change, Command, Context, Direction, Document, Hash, HistoryQuery, Kind, Line, Operation,
    Outcome, PageSize, Reported, Revision, State, Tenant, TenantId, TenantRef, Timestamp, decide,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_history {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases history [
            p3_history_is_dense_in_both_directions,
            history_pages_of_every_size_join_to_the_whole,
            transitions_are_the_lines_that_changed_the_state,
            lines_are_selected_by_kind,
            a_history_holds_nothing_of_other_tenants,
            p3_every_image_of_the_past_is_the_tenant_as_it_was,
            the_past_at_a_time_is_the_newest_revision_that_is_not_later,
            p3_each_line_stands_on_the_one_before,
            p3_the_chain_of_a_thousand_lines_holds,
            p3_every_document_that_a_line_names_is_kept,
            p3_history_outlives_the_tenant,
            an_observation_that_is_no_news_makes_no_line,
            p3_who_why_and_for_whom_appear_exactly_as_given,
        ] $($arg)* }
    };
}

/// A tenant with a long and varied past, that is gone in the end, between others.
async fn lived(setup: &Setup) -> Tenant {
    setup.lead_to("before", State::Ready).await;
    let mut tenant = setup.lead_to("acme", State::Suspended).await;
    for command in [
        patch("plan", "gold"),
        Command::Hold,
        Command::Resume,
        Command::Release,
    ] {
        tenant = setup.command(&tenant, &command).await;
    }
    let seen = Outcome::Succeeded {
        observed: Some(Document::parse(r#"{"plan":"gold"}"#).expect("a good document")),
        resources: Some(vec!["db/1".to_owned()]),
        message: "done".parse().expect("a good message"),
    };
    tenant = setup
        .report(&tenant, &report(&tenant, Operation::Apply, seen))
        .await;
    tenant = setup.command(&tenant, &Command::Delete).await;
    setup.create("after").await;
    setup
        .report(&tenant, &succeeded(&tenant, Operation::Destroy))
        .await
}

fn query(after: Option<u64>, direction: Direction, limit: u64) -> HistoryQuery {
    HistoryQuery {
        after: after.map(Revision::new),
        direction,
        transitions_only: false,
        kinds: BTreeSet::new(),
        limit: PageSize::new(limit).expect("a good size"),
    }
}

async fn read(setup: &Setup, id: TenantId, query: &HistoryQuery) -> Vec<Line> {
    setup
        .store
        .history(id, query)
        .await
        .expect("reading history works")
}

fn revisions(lines: &[Line]) -> Vec<u64> {
    lines.iter().map(|line| line.revision.get()).collect()
}

pub async fn p3_history_is_dense_in_both_directions(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = lived(&setup).await;
    let head = tenant.revision.get();
    let mut lines = read(&setup, tenant.id, &query(None, Direction::Ascending, 500)).await;
    assert_eq!(revisions(&lines), (1..=head).collect::<Vec<_>>());
    lines.reverse();
    let newest_first = read(&setup, tenant.id, &query(None, Direction::Descending, 500)).await;
    assert_eq!(newest_first, lines);
}

pub async fn history_pages_of_every_size_join_to_the_whole(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = lived(&setup).await;
    for transitions_only in [false, true] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let page = |after, limit| HistoryQuery {
                transitions_only,
                ..query(after, direction, limit)
            };
            let whole = read(&setup, tenant.id, &page(None, 500)).await;
            for size in 1..=tenant.revision.get() + 1 {
                let mut lines: Vec<Line> = Vec::new();
                loop {
                    let after = lines.last().map(|line| line.revision.get());
                    let next = read(&setup, tenant.id, &page(after, size)).await;
                    if next.is_empty() {
                        break;
                    }
                    assert!(u64::try_from(next.len()).is_ok_and(|len| len <= size));
                    lines.extend(next);
                    assert!(lines.len() <= whole.len(), "pages of {size} never end");
                }
                assert_eq!(
                    lines, whole,
                    "pages of {size}, {direction:?}, {transitions_only}"
                );
            }
            // Beyond either end there is nothing, and that is no error.
            let end = if direction == Direction::Ascending {
                1_000
            } else {
                1
            };
            assert_eq!(read(&setup, tenant.id, &page(Some(end), 10)).await, []);
        }
    }
}

pub async fn transitions_are_the_lines_that_changed_the_state(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = lived(&setup).await;
    let all = setup.history(tenant.id).await;
    let moved: Vec<_> = all
        .iter()
        .filter(|line| line.from != Some(line.to))
        .cloned()
        .collect();
    assert!(moved.len() < all.len(), "some lines change no state");
    let only = HistoryQuery {
        transitions_only: true,
        ..query(None, Direction::Ascending, 500)
    };
    assert_eq!(read(&setup, tenant.id, &only).await, moved);
}

pub async fn lines_are_selected_by_kind(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = lived(&setup).await;
    let all = setup.history(tenant.id).await;
    let some: Vec<BTreeSet<Kind>> = Kind::ALL.map(|kind| [kind].into()).to_vec();
    let two: BTreeSet<Kind> = [Kind::Created, Kind::State].into();
    for kinds in some.into_iter().chain([two]) {
        for transitions_only in [false, true] {
            let expected: Vec<Line> = all
                .iter()
                .filter(|line| kinds.contains(&line.kind))
                .filter(|line| !transitions_only || line.is_transition())
                .cloned()
                .collect();
            let mut asked = HistoryQuery {
                transitions_only,
                kinds: kinds.clone(),
                ..query(None, Direction::Ascending, 500)
            };
            let found = read(&setup, tenant.id, &asked).await;
            assert_eq!(found, expected, "{kinds:?}, {transitions_only}");
            asked.direction = Direction::Descending;
            let mut found = read(&setup, tenant.id, &asked).await;
            found.reverse();
            assert_eq!(
                found, expected,
                "{kinds:?}, {transitions_only}, newest first"
            );
        }
    }
}

pub async fn a_history_holds_nothing_of_other_tenants(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    lived(&setup).await;
    for name in ["before", "after"] {
        let who = TenantRef::Name(name.parse().expect("a good name"));
        let loaded = setup.store.load(&who, None).await.expect("loading works");
        let tenant = loaded.record.expect("there is such a tenant").tenant;
        let lines = setup.history(tenant.id).await;
        assert_eq!(
            u64::try_from(lines.len()),
            Ok(tenant.revision.get()),
            "{name}"
        );
        assert!(lines.iter().all(|line| line.tenant == tenant.id), "{name}");
    }
}

pub async fn p3_every_image_of_the_past_is_the_tenant_as_it_was(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut images = vec![setup.lead_to("acme", State::Ready).await];
    for command in [
        patch("plan", "gold"),
        Command::Suspend,
        Command::Hold,
        patch("plan", "silver"),
        Command::Delete,
    ] {
        let after = setup.command(&images[images.len() - 1], &command).await;
        images.push(after);
    }
    for image in &images {
        let point = AsOf::Revision(image.revision);
        let then = setup
            .store
            .as_of(image.id, point)
            .await
            .expect("reading the past works");
        assert_eq!(then.as_ref(), Some(image), "at {}", image.revision);
    }
    let id = images[0].id;
    for missing in [0, images[images.len() - 1].revision.get() + 1, 1_000_000] {
        let then = setup
            .store
            .as_of(id, AsOf::Revision(Revision::new(missing)))
            .await;
        assert_eq!(
            then.expect("reading the past works"),
            None,
            "revision {missing}"
        );
    }
}

pub async fn the_past_at_a_time_is_the_newest_revision_that_is_not_later(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let micro = Duration::from_micros(1);
    let at = |micros: u64| start().plus(Duration::from_micros(micros));
    let mut images: Vec<Tenant> = Vec::new();
    // Two changes within one microsecond: the newer of them is how it was then.
    for (n, micros) in [10, 20, 20, 30].into_iter().enumerate() {
        let context = Context {
            at: at(micros),
            ..setup.context()
        };
        let (before, command) = match images.last() {
            None => (None, Command::Create(setup.wanted("acme"))),
            Some(last) => (Some(last), patch("n", n)),
        };
        images.push(
            setup
                .write(&change(decide(before, &command, &context)))
                .await,
        );
    }
    let id = images[0].id;
    for (micros, expected) in [
        (9, None),
        (10, Some(0)),
        (19, Some(0)),
        (20, Some(2)),
        (29, Some(2)),
        (30, Some(3)),
    ] {
        let then = setup.store.as_of(id, AsOf::Time(at(micros))).await;
        let then = then.expect("reading the past works");
        assert_eq!(
            then.as_ref(),
            expected.map(|n: usize| &images[n]),
            "at {micros}"
        );
    }
    let now = setup.store.as_of(id, AsOf::Time(at(30).plus(micro))).await;
    assert_eq!(now.expect("reading the past works").as_ref(), images.last());
    let long_ago = setup.store.as_of(id, AsOf::Time(Timestamp::EPOCH)).await;
    assert_eq!(long_ago.expect("reading the past works"), None);
}

/// Each line begins where the one before ended, and bears the hash that it must have on it.
fn assert_chain(tenant: &Tenant, lines: &[Line]) {
    let mut before: Option<&Line> = None;
    for line in lines {
        let (n, identity) = match before {
            None => (1, Some((&tenant.name, &tenant.class))),
            Some(before) => (before.revision.get() + 1, None),
        };
        assert_eq!(line.revision.get(), n);
        assert_eq!(line.tenant, tenant.id);
        assert_eq!(line.from, before.map(|before| before.to), "at {n}");
        assert!(
            before.is_none_or(|before| before.at <= line.at),
            "time goes back at {n}"
        );
        assert!(
            before.is_none_or(|before| before.generation <= line.generation),
            "at {n}"
        );
        assert_eq!(
            line.digest(before.map(|before| before.hash), identity),
            line.hash,
            "at {n}"
        );
        before = Some(line);
    }
    let newest = before.expect("a tenant has a history");
    assert_eq!(
        (newest.revision, newest.hash),
        (tenant.revision, tenant.hash),
        "the head"
    );
}

pub async fn p3_each_line_stands_on_the_one_before(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = lived(&setup).await;
    assert_chain(
        &setup.tenant(tenant.id).await,
        &setup.history(tenant.id).await,
    );
}

pub async fn p3_the_chain_of_a_thousand_lines_holds(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut changes: Vec<Change> = vec![setup.creation(setup.wanted("acme"))];
    while changes.len() < 1_000 {
        let before = changes[changes.len() - 1].tenant();
        changes.push(setup.change(before, &patch("n", changes.len())));
    }
    for answer in setup.store.commit_many(&changes).await {
        applied(answer);
    }
    let last = changes[999].tenant();
    let lines = setup.history(last.id).await;
    assert_eq!(lines.len(), 1_000);
    let stored = setup.tenant(last.id).await;
    assert_eq!(stored, *last);
    assert_chain(&stored, &lines);
}

pub async fn p3_every_document_that_a_line_names_is_kept(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = lived(&setup).await;
    let mut named: Vec<Hash> = setup
        .history(tenant.id)
        .await
        .iter()
        .flat_map(|line| {
            [
                Some(line.desired),
                line.observed,
                line.metadata,
                line.details,
            ]
        })
        .flatten()
        .collect();
    named.sort_unstable();
    named.dedup();
    let documents = setup.store.documents(tenant.id, &named).await;
    let mut found: Vec<_> = documents
        .expect("reading documents works")
        .iter()
        .map(Document::hash)
        .collect();
    found.sort_unstable();
    assert_eq!(found, named);
}

pub async fn p3_history_outlives_the_tenant(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let gone = lived(&setup).await;
    let lines = setup.history(gone.id).await;
    let past = setup.past(gone.id).await;
    // A new life under the same name leaves the old one alone.
    let again = setup.lead_to("acme", State::Ready).await;
    assert_ne!(again.id, gone.id);
    assert_eq!(setup.history(gone.id).await, lines);
    assert_eq!(setup.past(gone.id).await, past);
    assert_eq!(past.last(), Some(&gone));
}

pub async fn an_observation_that_is_no_news_makes_no_line(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Ready).await;
    let lines = setup.history(tenant.id).await;
    let lease = setup.claim_one(tenant.id, Duration::from_mins(1)).await;
    let same = succeeded(&tenant, Operation::Observe);
    let answer = setup
        .engine
        .report(&lease, &same, &setup.context(), true)
        .await;
    assert!(matches!(answer, Ok(Reported::NoNews)), "{answer:?}");
    assert_eq!(setup.history(tenant.id).await, lines);
    assert_eq!(setup.tenant(tenant.id).await, tenant);
    let work = setup.work(tenant.id).await;
    assert!(
        work.checked_at.is_some() && work.holder.is_none(),
        "but the look counts: {work:?}"
    );
}

pub async fn p3_who_why_and_for_whom_appear_exactly_as_given(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let mut tenant = setup.create("acme").await;
    let texts = [
        ("user:maria", "because"),
        ("token:ci ", " leading and trailing "),
        ("system:שלום", "עברית then Latin \u{202e}reversed"),
        ("worker:🦀-1", "👩‍👩‍👧‍👦 e\u{301} é \n\ttab"),
        (
            "user:'; DROP TABLE history; --",
            "100% \\ \"quoted\" $1 ?1 {}",
        ),
        ("user:a", ""),
    ];
    let mut expected = Vec::new();
    for (n, (actor, message)) in texts.into_iter().enumerate() {
        let context = Context {
            actor: actor.parse().expect("a good actor"),
            message: message.parse().expect("a good message"),
            request_id: uuid::Uuid::from_u128(u128::MAX - u128::try_from(n).unwrap_or(0)),
            ..setup.context()
        };
        let change = change(decide(Some(&tenant), &patch("n", n), &context));
        tenant = setup.write(&change).await;
        expected.push((context.actor, context.message, context.request_id));
    }
    let lines = setup.history(tenant.id).await;
    let given: Vec<_> = lines
        .into_iter()
        .skip(1)
        .map(|line| (line.actor, line.message, line.request_id))
        .collect();
    assert_eq!(given, expected);
    assert_eq!(setup.tenant(tenant.id).await, tenant);
}
