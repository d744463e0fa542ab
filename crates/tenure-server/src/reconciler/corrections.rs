//! The budget of automatic corrections: so many an hour and class, over all servers.
//!
//! A correction that is granted is an idempotency key, `<hour>/<number>`, which the commit of the
//! correction uses up. So the budget needs no table of its own, no leader and no clock that all
//! agree on: two servers that reach for the same number race for one key, and one of them takes the
//! next. The keys outlive restarts, and expire when their hour is long over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure::{
    ClassName, Correction, DriftMode, Hash, IdempotencyKey, Operation, Outcome, Report, Timestamp,
};

/// How long a key is kept: an hour, and as much again for clocks that differ.
const TTL: Duration = Duration::from_hours(2);

const HOUR_MICROS: i64 = 3_600_000_000;

/// What this process knows to be used up already. Forgetting it costs some tries.
#[derive(Debug, Default)]
pub(crate) struct Corrections(Mutex<BTreeMap<ClassName, (i64, u32)>>);

impl Corrections {
    /// Grants a report on a look the next correction that may be left in its class's budget, and says
    /// its number. Other reports correct nothing.
    pub(crate) fn grant(&self, report: &mut Report, class: &ClassName, now: Timestamp) -> u32 {
        let drift = &report.policy.drift;
        let may_correct = report.operation == Operation::Observe
            && drift.mode == DriftMode::Correct
            && matches!(report.outcome, Outcome::Succeeded { .. });
        if !may_correct {
            return 0;
        }
        let (correction, number) = self.next(class, drift.corrections_per_hour, now);
        report.correction = correction;
        number
    }

    /// The next correction of a class that may be left in the hour of `now`, and its number.
    fn next(&self, class: &ClassName, budget: u32, now: Timestamp) -> (Correction, u32) {
        let hour = now.as_micros() / HOUR_MICROS;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, number) = known.entry(class.clone()).or_insert((hour, 0));
        if *of != hour {
            (*of, *number) = (hour, 0);
        }
        let number = *number;
        drop(known);
        if number >= budget {
            return (Correction::Spent, number);
        }
        let key = key(class, hour, number);
        (key.map_or(Correction::Spent, Correction::Granted), number)
    }

    /// The one of this number is used up, by this process or another.
    pub(crate) fn used(&self, class: &ClassName, number: u32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, next)) = known.get_mut(class) {
            *next = (*next).max(number + 1);
        }
    }
}

fn key(class: &ClassName, hour: i64, number: u32) -> Option<IdempotencyKey> {
    let (scope, key) = (format!("system:drift/{class}"), format!("{hour}/{number}"));
    let fingerprint = Hash::of(format!("{scope} {key}").as_bytes());
    // Both are far shorter than a key may be, and of plain characters.
    IdempotencyKey::new(scope, key, fingerprint, TTL).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_given_until_it_is_used_and_no_more_than_the_budget_in_an_hour() {
        let (corrections, class) = (Corrections::default(), ClassName::default());
        let now: Timestamp = "2026-11-22T20:59:00Z".parse().unwrap();
        let key = |at| match corrections.next(&class, 2, at).0 {
            Correction::Granted(key) => key.key,
            other => format!("{other:?}"),
        };
        let first = key(now);
        assert_eq!(key(now), first);
        // Two that raced for it both say so.
        corrections.used(&class, 0);
        corrections.used(&class, 0);
        let second = key(now);
        assert!(second != first && second != "Spent");
        corrections.used(&class, 1);
        assert_eq!(key(now), "Spent");
        assert_ne!(key(now.plus(Duration::from_mins(2))), "Spent");
    }
}
