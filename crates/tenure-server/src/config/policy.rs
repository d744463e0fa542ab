//! The part of a class that the rules go by: retries, deadlines and drift.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tenure::{
    Deadlines, DriftMode, DriftPolicy, Invalid, ListsAs, Pointer, Policy, RetryPolicy, State,
};

use super::class::FileClass;
use super::{Broken, SECONDS_MAX, broken, count, seconds};

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
pub(super) fn of(class: &mut FileClass) -> Result<Policy, Broken> {
    Ok(Policy {
        retry: retry(class)?,
        drift: class.drift.take().unwrap_or_default().check()?,
        deadlines: deadlines(&class.deadlines)?,
    })
}

fn retry(class: &FileClass) -> Result<RetryPolicy, Broken> {
    let defaults = RetryPolicy::default();
    let retry = RetryPolicy {
        base: seconds(
            "retry_base_seconds",
            class.retry_base_seconds,
            defaults.base,
        )?,
        cap: seconds("retry_cap_seconds", class.retry_cap_seconds, defaults.cap)?,
        attempts_max: class.attempts_max.unwrap_or(defaults.attempts_max),
    };
    if retry.attempts_max == 0 {
        return Err(broken("attempts_max", "must be 1 or more"));
    }
    Ok(retry)
}

fn deadlines(given: &BTreeMap<String, u64>) -> Result<Deadlines, Broken> {
    let defaults = Deadlines::default();
    let mut deadlines = Vec::new();
    for state in State::ALL {
        let deadline = match given.get(state.as_str()).copied() {
            None => defaults.of(state),
            Some(0) => None,
            Some(seconds) if seconds <= INTERVAL_MAX => Some(Duration::from_secs(seconds)),
            Some(_) => {
                let rule = format!("must be 0 (none) to {INTERVAL_MAX}");
                return Err(broken(&format!("deadlines.{state}"), rule));
            }
        };
        deadlines.extend(deadline.map(|deadline| (state, deadline)));
    }
    Ok(Deadlines::new(deadlines))
}

impl FileDrift {
    fn check(self) -> Result<DriftPolicy, Broken> {
        let defaults = DriftPolicy::default();
        let mode = match self.mode.as_deref() {
            None => defaults.mode,
            Some(word) => DriftMode::ALL
                .into_iter()
                .find(|mode| mode.as_str() == word)
                .ok_or_else(|| broken("drift.mode", "must be off, observe or correct"))?,
        };
        let interval = match self.interval_seconds {
            None => defaults.interval,
            Some(seconds @ 1..=INTERVAL_MAX) => Duration::from_secs(seconds),
            Some(_) => {
                let rule = format!("must be 1 to {INTERVAL_MAX}; mode = \"off\" looks never");
                return Err(broken("drift.interval_seconds", rule));
            }
        };
        Ok(DriftPolicy {
            mode,
            interval,
            corrections_per_hour: count(
                "drift.corrections_per_hour",
                self.corrections_per_hour,
                defaults.corrections_per_hour,
            )?,
            paths: pointers("drift.paths", &self.paths)?,
            ignore: pointers("drift.ignore", &self.ignore)?,
            lists: self
                .lists
                .iter()
                .map(|(path, how)| Ok((pointer("drift.lists", path)?, lists_as(how)?)))
                .collect::<Result<_, Broken>>()?,
        })
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
            "drift.lists",
            format!("has {how:?}, which must be \"set\", or \"key:\" and the name of a member"),
        )),
    }
}
