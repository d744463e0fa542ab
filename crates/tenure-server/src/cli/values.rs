//! Values as people type them.

use std::collections::BTreeMap;

use clap::ValueEnum as _;
use tenure::{
    Actor, Annotations, Clock as _, ConditionKind, Invalid, Labels, Revision, Selector, State,
    SystemClock, Timestamp,
};

use super::args::Format;
use super::jsonpath::JsonPath;

/// The longest name of a context.
const NAME_MAX: usize = 63;

/// A format, with the expression that picks from it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) path: Option<JsonPath>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// That it is in a state.
    State(State),
    /// That it has a condition.
    Has(ConditionKind),
    /// That it does not have a condition.
    Lacks(ConditionKind),
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State(state) => write!(f, "{state}"),
            Self::Has(kind) => write!(f, "{kind}"),
            Self::Lacks(kind) => write!(f, "not {kind}"),
        }
    }
}

/// Until when something is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until this time.
    At(Timestamp),
    /// For so long from now.
    For(std::time::Duration),
    /// No longer.
    Now,
}

pub(super) fn shape(text: &str) -> Result<Shape, String> {
    if let Some(expression) = text.strip_prefix("jsonpath=") {
        let path = Some(JsonPath::parse(expression)?);
        let format = Format::Json;
        return Ok(Shape { format, path });
    }
    let format = Format::from_str(text, false).map_err(
        |_| "must be table, wide, json, yaml, name, or jsonpath=EXPR such as jsonpath={.state}",
    )?;
    Ok(Shape { format, path: None })
}

pub(super) fn time(text: &str) -> Result<std::time::Duration, String> {
    let time: Option<jiff::SignedDuration> = match text.parse::<u32>() {
        Ok(seconds) => Some(jiff::SignedDuration::from_secs(i64::from(seconds))),
        Err(_) => text.parse().ok(),
    };
    time.and_then(|time| time.try_into().ok())
        .ok_or_else(|| "must be a time such as 90s, 5m or 1h30m".to_owned())
}

/// What `--for` takes.
pub(super) fn goal(text: &str) -> Result<Goal, String> {
    let condition = |word: &str| word.parse().map_err(|e: Invalid| e.to_string());
    if let Some(kind) = text.strip_prefix("condition!=") {
        return condition(kind).map(Goal::Lacks);
    }
    if let Some(kind) = text.strip_prefix("condition=") {
        return condition(kind).map(Goal::Has);
    }
    let state = text.strip_prefix("state=").unwrap_or(text);
    state
        .parse()
        .map(Goal::State)
        .map_err(|e: Invalid| format!("{e}; or it is condition=KIND or condition!=KIND"))
}

/// A time that is over, or one to come: a time, a day, or how long ago.
pub(super) fn past(text: &str) -> Result<Timestamp, String> {
    if let Some(at) = moment(text) {
        return Ok(at);
    }
    let ago = length(text).ok_or_else(|| {
        "must be a time such as 2026-11-17T09:00:00Z, a day such as 2026-11-17, or how long ago, \
         such as 90m or 3d"
            .to_owned()
    })?;
    Ok(SystemClock.now().minus(ago))
}

/// A time, or a day, which is its begin.
fn moment(text: &str) -> Option<Timestamp> {
    let day = || {
        let day: jiff::civil::Date = text.parse().ok()?;
        (day.to_string() + "T00:00:00Z").parse().ok()
    };
    text.parse().ok().or_else(day)
}

/// Days and weeks are what they are without a calendar: 24 hours, and seven of them.
fn length(text: &str) -> Option<std::time::Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    length.ok()?.try_into().ok()
}

pub(super) fn until(text: &str) -> Result<Until, String> {
    if text == "now" {
        return Ok(Until::Now);
    }
    if let Some(at) = moment(text) {
        return Ok(Until::At(at));
    }
    length(text).map(Until::For).ok_or_else(|| {
        "must be a time such as 2026-12-01T00:00:00Z, a day such as 2026-12-01, a length such as 2h \
         or 3d, or now"
            .to_owned()
    })
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "must be NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn revision(text: &str) -> Result<Revision, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(Revision::new(number)),
        _ => Err("must be a whole number from 1, as `tenure get -o wide` shows it".to_owned()),
    }
}

/// Who acts: a person. Workers and the system act for themselves, and tokens say who has them.
pub(super) fn person(text: &str) -> Result<Actor, String> {
    let actor: Actor = text.parse().map_err(|e: Invalid| e.to_string())?;
    if text.starts_with("user:") {
        return Ok(actor);
    }
    Err("must be user: and a name, such as user:maria".to_owned())
}

/// What `label` takes: `KEY=VALUE`, or `KEY-`.
pub(super) fn label(text: &str) -> Result<(String, Option<String>), String> {
    mark(text, |pairs| Labels::parse(pairs).err())
}

/// What `annotate` takes.
pub(super) fn annotation(text: &str) -> Result<(String, Option<String>), String> {
    mark(text, |pairs| Annotations::parse(pairs).err())
}

fn mark(
    text: &str,
    wrong: impl Fn(BTreeMap<String, String>) -> Option<Invalid>,
) -> Result<(String, Option<String>), String> {
    let (key, value) = match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) => (key, Some(value)),
        (None, Some(key)) => (key, None),
        (None, None) => return Err("must be KEY=VALUE, or KEY- to take it away".to_owned()),
    };
    let pair = (key.to_owned(), value.unwrap_or_default().to_owned());
    match wrong(BTreeMap::from([pair])) {
        Some(invalid) => Err(invalid.rule().to_owned()),
        None => Ok((key.to_owned(), value.map(str::to_owned))),
    }
}

/// The name of a context, which a file and a command line can hold as it is.
pub(super) fn context(text: &str) -> Result<String, String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.chars().all(is_good) && text.len() <= NAME_MAX {
        return Ok(text.to_owned());
    }
    Err(format!(
        "must be 1 to {NAME_MAX} letters, digits, dots, underscores or hyphens, and begin with a \
         letter or digit"
    ))
}

/// Checks it here, and sends it as it was typed.
pub(super) fn selector(text: &str) -> Result<String, Invalid> {
    text.parse::<Selector>().map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("90").unwrap().as_secs(), 90);
        assert_eq!(time("90s").unwrap().as_secs(), 90);
        assert_eq!(time("1h30m").unwrap().as_secs(), 5400);
        assert!(time("-5s").is_err() && time("soon").is_err());
    }

    #[test]
    fn a_waiver_ends_at_a_time_or_after_one_or_now() {
        let hours = |hours: u64| Until::For(std::time::Duration::from_secs(hours * 3_600));
        for (text, meant) in [
            ("2h", hours(2)),
            ("1d12h", hours(36)),
            ("3d", hours(72)),
            ("1w", hours(168)),
            ("now", Until::Now),
        ] {
            assert_eq!(until(text).unwrap(), meant, "{text}");
        }
        let time = "2026-12-01T00:00:00Z";
        assert_eq!(until(time).unwrap(), Until::At(time.parse().unwrap()));
        assert_eq!(until("2026-12-01").unwrap(), until(time).unwrap());
        for bad in ["", "-2h", "1mo", "soon", "2026-13-01", "3"] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_revision_counts_from_one_and_only_people_act() {
        assert!(revision("1").is_ok() && revision("0").is_err() && revision("x").is_err());
        assert!(person("user:maria").is_ok());
        for other in ["worker:x", "system:x", "token:x", "maria", ""] {
            assert!(person(other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_past_is_a_time_a_day_or_how_long_ago() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(
            past("2026-11-17T09:00:00Z").unwrap(),
            time("2026-11-17T09:00:00Z")
        );
        assert_eq!(past("2026-11-17").unwrap(), time("2026-11-17T00:00:00Z"));
        let ago = SystemClock.now().since(past("3d").unwrap()).as_secs();
        assert!((259_190..259_260).contains(&ago), "{ago}");
        for bad in ["", "tuesday", "1mo", "-3d", "2026-13-01"] {
            assert!(past(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_goal_is_a_state_or_a_condition() {
        assert_eq!(goal("ready"), Ok(Goal::State(State::Ready)));
        assert_eq!(goal("state=deleted"), Ok(Goal::State(State::Deleted)));
        assert_eq!(
            goal("condition=drifted"),
            Ok(Goal::Has(ConditionKind::Drifted))
        );
        assert_eq!(
            goal("condition!=failing"),
            Ok(Goal::Lacks(ConditionKind::Failing))
        );
        for bad in [
            "",
            "state=",
            "condition=",
            "condition=ready",
            "state!=ready",
        ] {
            assert!(goal(bad).is_err(), "{bad}");
        }
    }
}
