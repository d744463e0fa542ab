//! Values as people type them.

use clap::ValueEnum as _;
use tenure::{Clock as _, ConditionKind, Revision, Selector, State, SystemClock, Timestamp};

use super::args::Format;
use super::jsonpath::JsonPath;

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
    let condition = |word: &str| word.parse().map_err(|e: tenure::Invalid| e.to_string());
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
        .map_err(|e: tenure::Invalid| format!("{e}; or it is condition=KIND or condition!=KIND"))
}

/// A time that is over, or one to come: a time, a day, or how long ago.
pub(super) fn past(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        let begin = day.to_string() + "T00:00:00Z";
        return begin.parse().map_err(|e: tenure::Invalid| e.to_string());
    }
    let ago = length(text).ok_or_else(|| {
        "must be a time such as 2026-11-17T09:00:00Z, a day such as 2026-11-17, or how long ago, \
         such as 90m or 3d"
            .to_owned()
    })?;
    Ok(SystemClock.now().minus(ago))
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
    if let Ok(at) = text.parse() {
        return Ok(Until::At(at));
    }
    length(text).map(Until::For).ok_or_else(|| {
        "must be a time such as 2026-12-01T00:00:00Z, a length such as 2h or 3d, or now".to_owned()
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
    let number = text
        .parse()
        .map_err(|_| "must be a whole number".to_owned())?;
    Ok(Revision::new(number))
}

/// Checks it here, and sends it as it was typed.
pub(super) fn selector(text: &str) -> Result<String, tenure::Invalid> {
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
        for bad in ["", "-2h", "1mo", "soon", "2026-12-01", "3"] {
            assert!(until(bad).is_err(), "{bad}");
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
