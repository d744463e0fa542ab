//! Tokens that were never good here: how many may be tried from one address, and how often that is told.
//!
//! # Invariants
//!
//! - What was good a while ago is let through to the store, whatever else comes from its address.
//! - Nothing here grows with the number of tokens that are tried, nor of addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure::Hash;
use tokio::time::Instant;

/// How many tokens that are no good may come from an address at once, and then one each second.
const TRIES: u32 = 100;

/// How many lines of one reason go into the log at once, and then one each second.
const LINES: u32 = 20;

/// How long a token that is no good is not looked for again.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Most of anything that is remembered.
const MOST: usize = 4_096;

/// Why a token is no good that never will be good again.
const FOR_EVER: [&str; 3] = ["unknown", "expired", "revoked"];

type Key = [u8; 32];

/// What is remembered of tokens that are not known.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    /// What was good here, and when last.
    familiar: BTreeMap<Key, Instant>,
    /// What was not, why, and when.
    refused: BTreeMap<Key, (&'static str, Instant)>,
    tries: BTreeMap<IpAddr, Bucket>,
    lines: BTreeMap<&'static str, (Bucket, u64)>,
}

/// Who shows a token: its hash, and from where it comes if that is known.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) hash: Hash,
    pub(super) address: Option<IpAddr>,
}

/// What is known of a token before anybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It was good a while ago, and is to be looked for.
    Familiar,
    /// It is to be looked for, which counts as a try until [`Strangers::was_no_try`].
    Unknown,
    /// It was no good a moment ago, for this reason.
    Refused(&'static str),
    /// Too many that were no good have come from there.
    TooMany,
}

impl Strangers {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a token may be looked for; it counts as a try if it was never good.
    pub(super) fn judge(&self, shown: Shown, now: Instant) -> Judged {
        self.inside().judge(shown, now)
    }

    /// What was judged to be unknown turned out to be good, or could not be looked for.
    pub(super) fn was_no_try(&self, shown: Shown, now: Instant) {
        if let Some(address) = shown.address {
            self.inside().tries(address, now).give_back(TRIES);
        }
    }

    /// A token is good.
    pub(super) fn was_good(&self, shown: Shown, now: Instant) {
        let mut inside = self.inside();
        inside.familiar.insert(*shown.hash.as_bytes(), now);
        if inside.familiar.len() > MOST {
            let oldest = inside.familiar.iter().min_by_key(|(_, last)| **last);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                inside.familiar.remove(&oldest);
            }
        }
    }

    /// A token is no good, for this reason.
    pub(super) fn was_bad(&self, shown: Shown, reason: &'static str, now: Instant) {
        let mut inside = self.inside();
        let key = *shown.hash.as_bytes();
        inside.familiar.remove(&key);
        if !FOR_EVER.contains(&reason) {
            return;
        }
        if inside.refused.len() >= MOST {
            let is_fresh = |since: Instant| now.duration_since(since) < REFUSED_FOR;
            inside.refused.retain(|_, (_, since)| is_fresh(*since));
        }
        if inside.refused.len() < MOST {
            inside.refused.insert(key, (reason, now));
        }
    }

    /// Whether the log is told of a refusal; then also of how many it was not told.
    pub(super) fn tells(&self, reason: &'static str, now: Instant) -> Option<u64> {
        self.inside().tells(reason, now)
    }
}

impl Inside {
    fn judge(&mut self, shown: Shown, now: Instant) -> Judged {
        let key = shown.hash.as_bytes();
        if self.familiar.contains_key(key) {
            return Judged::Familiar;
        }
        if let Some((reason, since)) = self.refused.get(key)
            && now.duration_since(*since) < REFUSED_FOR
        {
            return Judged::Refused(reason);
        }
        let may = shown
            .address
            .is_none_or(|address| self.tries(address, now).take(TRIES, now));
        if may {
            Judged::Unknown
        } else {
            Judged::TooMany
        }
    }

    fn tells(&mut self, reason: &'static str, now: Instant) -> Option<u64> {
        let fresh = || {
            (
                Bucket {
                    left: LINES,
                    since: now,
                },
                0,
            )
        };
        let (bucket, untold) = self.lines.entry(reason).or_insert_with(fresh);
        if bucket.take(LINES, now) {
            return Some(std::mem::take(untold));
        }
        *untold += 1;
        None
    }

    /// What is left to an address.
    fn tries(&mut self, address: IpAddr, now: Instant) -> &mut Bucket {
        let mut whose = network(address);
        if self.tries.len() >= MOST && !self.tries.contains_key(&whose) {
            self.tries.retain(|_, bucket| !bucket.is_full(TRIES, now));
            if self.tries.len() >= MOST {
                // All whom there is no room for have one together.
                whose = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let fresh = Bucket {
            left: TRIES,
            since: now,
        };
        self.tries.entry(whose).or_insert(fresh)
    }
}

/// Whoever has one address of version 6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// How often something may happen still: one more each second.
#[derive(Debug)]
struct Bucket {
    left: u32,
    since: Instant,
}

impl Bucket {
    fn refill(&mut self, most: u32, now: Instant) {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        let gained = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.left = most.min(self.left.saturating_add(gained));
        self.since += Duration::from_secs(seconds);
    }

    fn take(&mut self, most: u32, now: Instant) -> bool {
        self.refill(most, now);
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    fn give_back(&mut self, most: u32) {
        self.left = most.min(self.left + 1);
    }

    fn is_full(&mut self, most: u32, now: Instant) -> bool {
        self.refill(most, now);
        self.left == most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(token: u64, address: &str) -> Shown {
        Shown {
            hash: Hash::of(&token.to_be_bytes()),
            address: Some(address.parse().unwrap()),
        }
    }

    /// Shows a token that is no good. Whether it was looked for.
    fn forged(strangers: &Strangers, shown: Shown, now: Instant) -> bool {
        let judged = strangers.judge(shown, now);
        if judged == Judged::Unknown {
            strangers.was_bad(shown, "unknown", now);
        }
        judged == Judged::Unknown
    }

    #[test]
    fn p12_forged_tokens_are_looked_for_so_often_and_then_once_a_second() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let known = shown(0, "10.0.0.1");
        strangers.was_good(known, now);
        let looked = |from: u64, at| {
            let all =
                (from..from + 1_000).filter(|n| forged(&strangers, shown(*n, "10.0.0.1"), at));
            all.count()
        };
        assert_eq!(looked(1, now), 100);
        assert_eq!(looked(2_000, now + Duration::from_millis(2_500)), 2);
        // Who was good is, from the same address; and from another one, so may be who is new.
        assert_eq!(strangers.judge(known, now), Judged::Familiar);
        assert_eq!(
            strangers.judge(shown(9_000, "10.0.0.2"), now),
            Judged::Unknown
        );
        assert_eq!(
            strangers.judge(shown(9_000, "10.0.0.1"), now),
            Judged::TooMany
        );
    }

    #[test]
    fn a_token_that_is_good_or_could_not_be_looked_for_is_no_try() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for token in 0..1_000 {
            let shown = shown(token, "10.0.0.1");
            assert_eq!(strangers.judge(shown, now), Judged::Unknown);
            strangers.was_no_try(shown, now);
        }
    }

    #[test]
    fn what_is_no_good_for_ever_is_not_looked_for_again_at_once() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let token = shown(1, "10.0.0.1");
        strangers.was_good(token, now);
        strangers.was_bad(token, "revoked", now);
        let later = |seconds| strangers.judge(token, now + Duration::from_secs(seconds));
        assert_eq!(later(4), Judged::Refused("revoked"));
        assert_eq!(later(5), Judged::Unknown);
        strangers.was_bad(shown(2, "10.0.0.1"), "timeout", now);
        assert_eq!(strangers.judge(shown(2, "10.0.0.1"), now), Judged::Unknown);
    }

    #[test]
    fn p11_nothing_grows_for_ever() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for n in 0..10_000_u32 {
            let address = IpAddr::V4(n.into()).to_string();
            let token = shown(n.into(), &address);
            strangers.judge(token, now);
            strangers.was_bad(token, "unknown", now);
            strangers.was_good(shown(u64::from(n) << 32, &address), now);
        }
        let inside = strangers.inside();
        let sizes = (
            inside.familiar.len(),
            inside.refused.len(),
            inside.tries.len(),
        );
        drop(inside);
        assert_eq!(sizes, (MOST, MOST, MOST + 1));
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let whose = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(whose("2001:db8::1"), whose("2001:db8::ffff:1"));
        assert_ne!(whose("2001:db8::1"), whose("2001:db8:0:1::1"));
        assert_eq!(whose("::ffff:10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn the_log_is_told_of_the_first_and_how_many_there_were_beside() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let told = (0..1_000).filter(|_| strangers.tells("unknown", now).is_some());
        assert_eq!(told.count(), 20);
        assert_eq!(strangers.tells("role", now), Some(0));
        let later = now + Duration::from_secs(1);
        assert_eq!(strangers.tells("unknown", later), Some(980));
    }
}
