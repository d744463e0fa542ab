//! The part of a class that the rules go by: retries, deadlines and drift.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tenure::{
    Deadlines, DriftMode, DriftPolicy, Invalid, ListsAs, Pointer, Policy, RetryPolicy, State,
};

use super::class::FileClass;
use super::{Broken, SECONDS_MAX, all_noted, broken, count, made, noted, seconds};

/// The longest time between two looks at a tenant: 30 days.
const INTERVAL_MAX: u64 = 30 * SECONDS_MAX;

#[derive(Default, Deserialize)]
pub(super) struct FileDrift {
    mode: Option<String>,
    interval_seconds: Option<u64>,
    corrections_per_hour: Option<u32>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    lists: BTreeMap<String, String>,
}

/// Takes from a class what the rules go by.
pub(super) fn of(class: &mut FileClass) -> Result<Policy, Vec<Broken>> {
    let mut wrong = Vec::new();
    let retry = all_noted(&mut wrong, "", retry(class));
    let drift = class.drift.take().unwrap_or_default().check();
    let drift = all_noted(&mut wrong, "drift", drift);
    let deadlines = all_noted(&mut wrong, "deadlines", deadlines(&class.deadlines));
    let policy = || {
        Some(Policy {
            retry: retry?,
            drift: drift?,
            deadlines: deadlines?,
        })
    };
    made(wrong, policy())
}

fn retry(class: &FileClass) -> Result<RetryPolicy, Vec<Broken>> {
    let mut wrong = Vec::new();
    let defaults = RetryPolicy::default();
    let base = seconds(
        "retry_base_seconds",
        class.retry_base_seconds,
        defaults.base,
    );
    let cap = seconds("retry_cap_seconds", class.retry_cap_seconds, defaults.cap);
    let attempts_max = match class.attempts_max {
        Some(0) => Err(broken("attempts_max", "must be 1 or more")),
        given => Ok(given.unwrap_or(defaults.attempts_max)),
    };
    let base = noted(&mut wrong, base);
    let cap = noted(&mut wrong, cap);
    let attempts_max = noted(&mut wrong, attempts_max);
    let retry = || {
        Some(RetryPolicy {
            base: base?,
            cap: cap?,
            attempts_max: attempts_max?,
        })
    };
    made(wrong, retry())
}

fn deadlines(given: &BTreeMap<String, u64>) -> Result<Deadlines, Vec<Broken>> {
    let defaults = Deadlines::default();
    let mut deadlines = Vec::new();
    let mut wrong = Vec::new();
    for state in State::ALL {
        let deadline = match given.get(state.as_str()).copied() {
            None => defaults.of(state),
            Some(0) => None,
            Some(seconds) if seconds <= INTERVAL_MAX => Some(Duration::from_secs(seconds)),
            Some(_) => {
                let rule = format!("must be 0 (none) to {INTERVAL_MAX}");
                wrong.push(broken(state.as_str(), rule));
                None
            }
        };
        deadlines.extend(deadline.map(|deadline| (state, deadline)));
    }
    made(wrong, Some(Deadlines::new(deadlines)))
}

impl FileDrift {
    fn check(self) -> Result<DriftPolicy, Vec<Broken>> {
        let mut wrong = Vec::new();
        let defaults = DriftPolicy::default();
        let mode = match self.mode.as_deref() {
            None => Ok(defaults.mode),
            Some(word) => DriftMode::ALL
                .into_iter()
                .find(|mode| mode.as_str() == word)
                .ok_or_else(|| broken("mode", "must be off, observe or correct")),
        };
        let interval = match self.interval_seconds {
            None => Ok(defaults.interval),
            Some(seconds @ 1..=INTERVAL_MAX) => Ok(Duration::from_secs(seconds)),
            Some(_) => {
                let rule = format!("must be 1 to {INTERVAL_MAX}; mode = \"off\" looks never");
                Err(broken("interval_seconds", rule))
            }
        };
        let corrections = count(
            "corrections_per_hour",
            self.corrections_per_hour,
            defaults.corrections_per_hour,
        );
        let lists = self
            .lists
            .iter()
            .map(|(path, how)| Ok((pointer("lists", path)?, lists_as(how)?)))
            .collect::<Result<_, Broken>>();
        let mode = noted(&mut wrong, mode);
        let interval = noted(&mut wrong, interval);
        let corrections_per_hour = noted(&mut wrong, corrections);
        let paths = noted(&mut wrong, pointers("paths", &self.paths));
        let ignore = noted(&mut wrong, pointers("ignore", &self.ignore));
        let lists = noted(&mut wrong, lists);
        let drift = || {
            Some(DriftPolicy {
                mode: mode?,
                interval: interval?,
                corrections_per_hour: corrections_per_hour?,
                paths: paths?,
                ignore: ignore?,
                lists: lists?,
            })
        };
        made(wrong, drift())
    }
}

fn pointers(key: &'static str, texts: &[String]) -> Result<Vec<Pointer>, Broken> {
    texts.iter().map(|text| pointer(key, text)).collect()
}

fn pointer(key: &'static str, text: &str) -> Result<Pointer, Broken> {
    text.parse()
        .map_err(|invalid: Invalid| broken(key, format!("has {text:?}, which {}", invalid.rule())))
}

fn lists_as(how: &str) -> Result<ListsAs, Broken> {
    match how.split_once(':') {
        None if how == "set" => Ok(ListsAs::Set),
        Some(("key", name)) if !name.is_empty() => Ok(ListsAs::Keyed(name.to_owned())),
        _ => Err(broken(
            "lists",
            format!("has {how:?}, which must be \"set\", or \"key:\" and the name of a member"),
        )),
    }
}
