//! Values that shells complete: the words that an argument takes.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};
use tenure::{ConditionKind, Kind, Role, State};

use super::values::Goal;

/// The formats of `-o`.
pub(super) const FORMATS: [&str; 6] = ["table", "wide", "json", "yaml", "name", "jsonpath="];

/// The conditions, as `--for` takes them.
const CONDITIONS: [&str; 2 * ConditionKind::ALL.len()] = [
    "condition=failing",
    "condition=drifted",
    "condition=held",
    "condition=overdue",
    "condition=unknown",
    "condition!=failing",
    "condition!=drifted",
    "condition!=held",
    "condition!=overdue",
    "condition!=unknown",
];

/// Reads a text by a rule of its own, and knows words that it may be, or begin with.
#[derive(Clone)]
pub(super) struct Hinted<T> {
    read: fn(&str) -> Result<T, String>,
    words: Vec<&'static str>,
}

impl<T> Hinted<T> {
    pub(super) fn new(
        read: fn(&str) -> Result<T, String>,
        words: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let words = words.into_iter().collect();
        Self { read, words }
    }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Hinted<T> {
    type Value = T;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let read = match value.to_str() {
            Some(text) => (self.read)(text),
            None => Err("must be text in UTF-8".to_owned()),
        };
        read.map_err(|why| {
            let arg = arg.map_or_else(|| "...".to_owned(), ToString::to_string);
            let value = value.to_string_lossy();
            let why = format!("invalid value '{value}' for '{arg}': {why}\n");
            let mut error = Error::raw(ErrorKind::ValueValidation, why).with_cmd(cmd);
            error.insert(ContextKind::InvalidArg, ContextValue::String(arg));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            self.words.iter().map(|word| PossibleValue::new(*word)),
        ))
    }
}

/// The states.
pub(super) fn states() -> Hinted<State> {
    Hinted::new(parsed, State::ALL.map(State::as_str))
}

/// The conditions.
pub(super) fn conditions() -> Hinted<ConditionKind> {
    Hinted::new(parsed, ConditionKind::ALL.map(ConditionKind::as_str))
}

/// The kinds of lines.
pub(super) fn kinds() -> Hinted<Kind> {
    Hinted::new(parsed, Kind::ALL.map(Kind::as_str))
}

/// The roles of tokens.
pub(super) fn roles() -> Hinted<Role> {
    Hinted::new(parsed, Role::ALL.map(Role::as_str))
}

/// What can be waited for.
pub(super) fn goals() -> Hinted<Goal> {
    let states = State::ALL.map(State::as_str);
    Hinted::new(super::values::goal, states.into_iter().chain(CONDITIONS))
}

fn parsed<T: std::str::FromStr<Err = tenure::Invalid>>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|invalid: tenure::Invalid| invalid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_offered_is_taken() {
        assert!(
            CONDITIONS
                .iter()
                .all(|word| super::super::values::goal(word).is_ok())
        );
        for kind in ConditionKind::ALL {
            let words = [format!("condition={kind}"), format!("condition!={kind}")];
            assert!(
                words.iter().all(|word| CONDITIONS.contains(&word.as_str())),
                "{kind}"
            );
        }
        for format in FORMATS.iter().filter(|format| !format.ends_with('=')) {
            assert!(super::super::values::shape(format).is_ok(), "{format}");
        }
    }
}
