//! Tokens that were good a moment ago, and when each was last used.
//!
//! # Invariants
//!
//! - A token that was revoked or rotated elsewhere is good here for [`TRUST`] at most; here, no more.
//! - Who only watches this server may do so on a token that was good less than [`OUTAGE`] ago, as long as
//!   the store can't be asked: monitoring that ends with the database would show the wrong alert.
//! - Each token's use is written at most once in [`NOTE_INTERVAL`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure::{ClassName, Hash, Timestamp, Token};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long the store is not asked again about a good token.
pub(super) const TRUST: Duration = Duration::from_secs(5);

/// How long a token is good for watching the server while the store can't be asked.
const OUTAGE: Duration = Duration::from_hours(1);

/// Most tokens that are remembered.
const TOKENS_MAX: usize = 4_096;

/// How long there is between two notes of what was used.
const NOTE_INTERVAL: Duration = Duration::from_mins(1);

/// What is remembered of tokens.
#[derive(Debug, Default)]
pub(crate) struct Known {
    inside: Mutex<Inside>,
    forgotten: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inside {
    good: BTreeMap<[u8; 32], (Arc<Token>, Instant)>,
    /// Counts what was forgotten on purpose: what was asked before that is not remembered.
    ended: u64,
    uses: BTreeMap<ClassName, Timestamp>,
    noted_at: Option<Instant>,
    note_planned: bool,
}

impl Known {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token with this hash, if the store gave it a moment ago, and when it was asked; or else
    /// what to show to [`Self::remember`] with it.
    pub(super) fn find(&self, hash: &Hash) -> Result<(Arc<Token>, Instant), u64> {
        let inside = self.inside();
        match inside.good.get(hash.as_bytes()) {
            Some((token, since)) if since.elapsed() < TRUST => Ok((Arc::clone(token), *since)),
            _ => Err(inside.ended),
        }
    }

    /// The token with this hash, if the store gave it not long before an outage.
    pub(super) fn find_in_outage(&self, hash: &Hash) -> Option<Arc<Token>> {
        let found = self.inside().good.get(hash.as_bytes()).cloned();
        let (token, since) = found?;
        (since.elapsed() < OUTAGE).then_some(token)
    }

    /// Forgets one that the store does not know any more.
    pub(super) fn drop(&self, hash: &Hash) {
        self.inside().good.remove(hash.as_bytes());
    }

    /// Remembers a token, unless some were forgotten since it was asked for.
    pub(super) fn remember(&self, hash: Hash, token: &Arc<Token>, asked: (u64, Instant)) {
        let mut inside = self.inside();
        if inside.ended != asked.0 {
            return;
        }
        if inside.good.len() >= TOKENS_MAX {
            inside.good.retain(|_, (_, since)| since.elapsed() < TRUST);
        }
        if inside.good.len() < TOKENS_MAX {
            inside
                .good
                .insert(*hash.as_bytes(), (Arc::clone(token), asked.1));
        }
    }

    /// Forgets tokens, for one of them was changed here.
    pub(crate) fn forget(&self) {
        let mut inside = self.inside();
        inside.good.clear();
        inside.ended += 1;
        drop(inside);
        self.forgotten.send_replace(());
    }

    /// Tells whenever a token was changed here, from now on.
    pub(super) fn forgotten(&self) -> watch::Receiver<()> {
        self.forgotten.subscribe()
    }

    /// Takes down that a token was used. Answers how long to wait before [`Self::take_uses`], if
    /// nobody waits yet.
    pub(super) fn used(&self, name: &ClassName, at: Timestamp) -> Option<Duration> {
        let mut inside = self.inside();
        inside.uses.insert(name.clone(), at);
        if std::mem::replace(&mut inside.note_planned, true) {
            return None;
        }
        let since = inside.noted_at.map(|at| at.elapsed());
        drop(inside);
        Some(since.map_or(Duration::ZERO, |since| NOTE_INTERVAL.saturating_sub(since)))
    }

    /// What was used and is not noted yet.
    pub(crate) fn take_uses(&self) -> Vec<(ClassName, Timestamp)> {
        let mut inside = self.inside();
        inside.note_planned = false;
        inside.noted_at = Some(Instant::now());
        std::mem::take(&mut inside.uses).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use tenure::{Role, Selector};
    use tokio::time::advance;

    use super::*;

    fn token() -> Arc<Token> {
        Arc::new(Token {
            name: "ci".parse().unwrap(),
            role: Role::Viewer,
            classes: [].into(),
            scope: Selector::default(),
            hash: Hash::of(b"it"),
            previous: None,
            created_at: Timestamp::EPOCH,
            created_by: "user:maria".parse().unwrap(),
            expires_at: None,
            last_used_at: None,
            revoked: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_token_is_trusted_for_five_seconds() {
        let (known, hash) = (Known::default(), Hash::of(b"it"));
        let asked = (known.find(&hash).unwrap_err(), Instant::now());
        known.remember(hash, &token(), asked);
        advance(Duration::from_millis(4_999)).await;
        assert!(known.find(&hash).is_ok());
        advance(Duration::from_millis(1)).await;
        assert!(known.find(&hash).is_err());
    }

    #[tokio::test]
    async fn what_was_asked_before_a_revocation_is_not_remembered_after_it() {
        let (known, hash) = (Known::default(), Hash::of(b"it"));
        let asked = (known.find(&hash).unwrap_err(), Instant::now());
        known.forget();
        known.remember(hash, &token(), asked);
        assert!(known.find(&hash).is_err());
    }

    #[tokio::test]
    async fn it_does_not_grow_for_ever() {
        let known = Known::default();
        for n in 0..=TOKENS_MAX {
            known.remember(Hash::of(&n.to_be_bytes()), &token(), (0, Instant::now()));
        }
        assert_eq!(known.inside().good.len(), TOKENS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn uses_are_noted_once_a_minute() {
        let (known, name): (_, ClassName) = (Known::default(), "ci".parse().unwrap());
        assert_eq!(known.used(&name, Timestamp::EPOCH), Some(Duration::ZERO));
        assert_eq!(known.used(&name, Timestamp::EPOCH), None);
        assert_eq!(known.take_uses().len(), 1);
        advance(Duration::from_secs(20)).await;
        assert_eq!(
            known.used(&name, Timestamp::EPOCH),
            Some(Duration::from_secs(40))
        );
        advance(Duration::from_secs(90)).await;
        assert_eq!(known.take_uses().len(), 1);
        assert!(known.take_uses().is_empty());
    }
}
