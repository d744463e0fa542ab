//! Tokens, and how the fleet stands.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Factory, Setup, fingerprint, start, together};
use crate::{ClassName, Command, ConditionKind, PageSize, Revoked, Role, State, StoreError, Token};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_tokens {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases tokens [
            a_token_is_kept_as_it_is_and_found_by_its_hash,
            a_name_or_a_hash_that_was_used_is_never_used_again,
            a_rotated_token_is_found_by_both_hashes,
            a_rotation_that_is_sent_again_changes_nothing,
            p4_of_many_who_rotate_the_token_that_they_saw_one_does,
            a_revoked_token_stays_revoked_as_it_was,
            tokens_are_listed_by_name_page_by_page,
            a_use_is_noted_if_it_is_later,
            of_many_who_add_one_token_one_does,
            p2_a_token_survives_a_restart,
            the_standing_counts_states_conditions_and_work,
            a_closed_store_knows_no_tokens,
        ] $($arg)* }
    };
}

fn name(text: &str) -> ClassName {
    text.parse().unwrap()
}

fn token(text: &str) -> Token {
    Token {
        name: name(text),
        role: Role::Provisioner,
        classes: [name("a"), name("b")].into(),
        scope: "tier in (gold,silver),!legacy".parse().unwrap(),
        hash: fingerprint(text),
        previous: None,
        created_at: start(),
        created_by: "user:maria".parse().unwrap(),
        expires_at: Some(start().plus(Duration::from_hours(1))),
        last_used_at: None,
        revoked: None,
    }
}

fn revoked(by: &str) -> Revoked {
    Revoked {
        revoked_at: start().plus(Duration::from_secs(1)),
        revoked_by: by.parse().unwrap(),
    }
}

pub async fn a_token_is_kept_as_it_is_and_found_by_its_hash(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let plain = Token {
        role: Role::Viewer,
        classes: BTreeSet::new(),
        scope: crate::Selector::default(),
        expires_at: None,
        ..token("plain")
    };
    let ended = Token {
        previous: Some((fingerprint("before"), start())),
        last_used_at: Some(start()),
        revoked: Some(revoked("token:other")),
        ..token("ended")
    };
    for token in [token("full"), plain, ended] {
        assert!(setup.store.add_token(&token).await.unwrap());
        let by_name = setup.store.token(&token.name).await.unwrap();
        assert_eq!(by_name.as_ref(), Some(&token));
        assert_eq!(setup.store.token_of(&token.hash).await.unwrap(), by_name);
    }
    for role in Role::ALL {
        let token = Token {
            role,
            ..token(role.as_str())
        };
        assert!(setup.store.add_token(&token).await.unwrap());
        let kept = setup.store.token(&token.name).await.unwrap();
        assert_eq!(kept.unwrap().role, role);
    }
    let none = setup.store.token(&name("none")).await.unwrap();
    let nobody = setup.store.token_of(&fingerprint("none")).await.unwrap();
    assert_eq!((none, nobody), (None, None));
}

pub async fn a_name_or_a_hash_that_was_used_is_never_used_again(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    assert!(setup.store.add_token(&token("one")).await.unwrap());
    let until = start().plus(Duration::from_mins(1));
    let hash = fingerprint("rotated");
    setup
        .store
        .rotate_token(&name("one"), (&fingerprint("one"), &hash), Some(until))
        .await
        .unwrap();
    let same_name = Token {
        hash: fingerprint("fresh"),
        ..token("one")
    };
    let same_hash = Token {
        hash,
        ..token("two")
    };
    let old_hash = Token {
        hash: fingerprint("one"),
        ..token("three")
    };
    for used in [same_name, same_hash, old_hash] {
        assert!(
            !setup.store.add_token(&used).await.unwrap(),
            "{}",
            used.name
        );
    }
    let all = setup.store.tokens(None, PageSize::MAX).await.unwrap();
    assert_eq!(all.len(), 1);
}

pub async fn a_rotated_token_is_found_by_both_hashes(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.store.add_token(&token("one")).await.unwrap();
    let until = start().plus(Duration::from_mins(1));
    let hash = fingerprint("second");
    let rotated = setup
        .store
        .rotate_token(&name("one"), (&fingerprint("one"), &hash), Some(until))
        .await
        .unwrap();
    let expected = Token {
        hash,
        previous: Some((fingerprint("one"), until)),
        ..token("one")
    };
    assert_eq!(rotated.as_ref(), Some(&expected));
    for hash in [fingerprint("one"), fingerprint("second")] {
        assert_eq!(setup.store.token_of(&hash).await.unwrap(), rotated);
    }
    let (early, late) = (until.minus(Duration::from_secs(1)), until);
    assert!(expected.admits(&fingerprint("one"), early));
    assert!(!expected.admits(&fingerprint("one"), late));
    assert!(expected.admits(&hash, late));
    let third = fingerprint("third");
    setup
        .store
        .rotate_token(&name("one"), (&hash, &third), Some(until))
        .await
        .unwrap();
    assert_eq!(
        setup.store.token_of(&fingerprint("one")).await.unwrap(),
        None
    );
    // The answer was lost: another in its place, and the one before it stays.
    let fourth = fingerprint("fourth");
    let replaced = setup
        .store
        .rotate_token(&name("one"), (&third, &fourth), None)
        .await
        .unwrap();
    let expected = Token {
        hash: fourth,
        previous: Some((fingerprint("second"), until)),
        ..token("one")
    };
    assert_eq!(replaced, Some(expected));
    assert_eq!(setup.store.token_of(&third).await.unwrap(), None);
    let none = setup
        .store
        .rotate_token(&name("none"), (&fingerprint("one"), &third), Some(until))
        .await;
    assert_eq!(none.unwrap(), None);
}

pub async fn a_rotation_that_is_sent_again_changes_nothing(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.store.add_token(&token("one")).await.unwrap();
    let hash = fingerprint("second");
    let first = setup
        .store
        .rotate_token(&name("one"), (&fingerprint("one"), &hash), Some(start()))
        .await
        .unwrap();
    let later = start().plus(Duration::from_mins(9));
    let again = setup
        .store
        .rotate_token(&name("one"), (&fingerprint("one"), &hash), Some(later))
        .await
        .unwrap();
    assert_eq!(first, again);
}

pub async fn p4_of_many_who_rotate_the_token_that_they_saw_one_does(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.store.add_token(&token("one")).await.unwrap();
    let (one, seen) = (name("one"), fingerprint("one"));
    let until = start().plus(Duration::from_mins(1));
    let all = (0..8).map(|n| {
        let (store, one) = (Arc::clone(&setup.store), one.clone());
        let next = fingerprint(&format!("next{n}"));
        async move { store.rotate_token(&one, (&seen, &next), Some(until)).await }
    });
    let answers: Vec<Option<Token>> = together(all)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let done: Vec<&Token> = answers.iter().flatten().collect();
    assert_eq!(done.len(), 1, "{answers:?}");
    assert_eq!(done[0].previous, Some((seen, until)));
    assert_eq!(
        setup.store.token(&one).await.unwrap().as_ref(),
        Some(done[0])
    );
}

pub async fn a_revoked_token_stays_revoked_as_it_was(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.store.add_token(&token("one")).await.unwrap();
    let (first, second) = (revoked("user:maria"), revoked("user:other"));
    let ended = setup
        .store
        .revoke_token(&name("one"), &first)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ended.revoked, Some(first));
    assert!(!ended.admits(&fingerprint("one"), start()));
    let again = setup
        .store
        .revoke_token(&name("one"), &second)
        .await
        .unwrap();
    assert_eq!(again, Some(ended));
    let hash = fingerprint("second");
    let rotated = setup
        .store
        .rotate_token(&name("one"), (&fingerprint("one"), &hash), Some(start()))
        .await;
    assert_eq!(rotated.unwrap(), None);
    let none = setup.store.revoke_token(&name("none"), &second).await;
    assert_eq!(none.unwrap(), None);
}

pub async fn tokens_are_listed_by_name_page_by_page(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for text in ["b", "a", "d-1", "c"] {
        setup.store.add_token(&token(text)).await.unwrap();
    }
    setup
        .store
        .revoke_token(&name("b"), &revoked("user:maria"))
        .await
        .unwrap();
    let page = PageSize::new(2).unwrap();
    let mut names = Vec::new();
    let mut after: Option<ClassName> = None;
    loop {
        let found = setup.store.tokens(after.as_ref(), page).await.unwrap();
        assert!(found.len() <= 2);
        let Some(last) = found.last() else { break };
        after = Some(last.name.clone());
        names.extend(found.into_iter().map(|token| token.name.to_string()));
    }
    assert_eq!(names, ["a", "b", "c", "d-1"]);
}

pub async fn a_use_is_noted_if_it_is_later(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    for text in ["one", "two"] {
        setup.store.add_token(&token(text)).await.unwrap();
    }
    let later = start().plus(Duration::from_mins(1));
    let uses = [(name("one"), later), (name("none"), later)];
    setup.store.note_token_uses(&uses).await.unwrap();
    setup
        .store
        .note_token_uses(&[(name("one"), start())])
        .await
        .unwrap();
    setup.store.note_token_uses(&[]).await.unwrap();
    let last_used = async |text| {
        setup
            .store
            .token(&name(text))
            .await
            .unwrap()
            .unwrap()
            .last_used_at
    };
    assert_eq!(
        (last_used("one").await, last_used("two").await),
        (Some(later), None)
    );
}

pub async fn of_many_who_add_one_token_one_does(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let add = |n: usize| {
        let store = Arc::clone(&setup.store);
        let token = Token {
            hash: fingerprint(&n.to_string()),
            ..token("one")
        };
        async move { store.add_token(&token).await.unwrap() }
    };
    let added = together((0..16).map(add)).await;
    assert_eq!(added.iter().filter(|added| **added).count(), 1);
}

pub async fn p2_a_token_survives_a_restart(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.store.add_token(&token("one")).await.unwrap();
    let Some(setup) = setup.reopen().await else {
        return;
    };
    let kept = setup.store.token(&name("one")).await.unwrap();
    assert_eq!(kept, Some(token("one")));
}

pub async fn the_standing_counts_states_conditions_and_work(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let empty = setup.store.standing().await.unwrap();
    assert_eq!(empty, crate::Standing::none());
    let asked = setup.create("asked").await;
    let lease = setup.claim_one(asked.id, Duration::from_mins(5)).await;
    let held = setup.create("held").await;
    setup.command(&held, &Command::Hold).await;
    setup.lead_to("ready", State::Ready).await;
    let gone = setup.lead_to("gone", State::Deleted).await;
    let standing = setup.store.standing().await.unwrap();
    let of = |state| standing.states.get(&state).copied().unwrap();
    assert_eq!(of(State::Deleted).tenants, 1);
    assert_eq!(of(State::Deleted).oldest, Some(gone.state_since));
    assert_eq!(of(State::Requested).tenants, 2);
    assert_eq!(of(State::Requested).oldest, Some(asked.state_since));
    assert_eq!(
        (of(State::Ready).tenants, of(State::Updating).tenants),
        (1, 0)
    );
    assert_eq!(standing.conditions, [(ConditionKind::Held, 1)].into());
    let class = ClassName::default();
    assert_eq!(standing.leased.get(&class), Some(&1));
    setup
        .store
        .release(&lease, &crate::Attempt::Returned, crate::Wake::Now)
        .await
        .unwrap();
    let standing = setup.store.standing().await.unwrap();
    assert!(standing.leased.is_empty());
    assert!(
        standing
            .due
            .get(&class)
            .is_some_and(|due| due.tenants >= 1 && due.oldest.is_some())
    );
}

pub async fn a_closed_store_knows_no_tokens(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    setup.store.close().await;
    let closed = setup.store.token(&name("one")).await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
    let closed = setup.store.add_token(&token("one")).await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
}
