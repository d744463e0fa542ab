//! What is wrong with a text that should be YAML, in words for who wrote it.

use serde_saphyr::{Error, UserMessageFormatter};

use crate::config::nearest;

/// Where it is wrong, as line and column from 1 or 0 where none is known, and how.
pub(crate) fn problem(error: &Error) -> ((u64, u64), String) {
    let error = error.without_snippet();
    let place = error
        .location()
        .map_or((0, 0), |location| (location.line(), location.column()));
    (place, said(error))
}

fn said(error: &Error) -> String {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("{key} stands twice in one map; keep one")
        }
        Error::DuplicateMappingKey { key: None, .. } => {
            "a key stands twice in one map; keep one".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands within what it refers to, and so would never end".to_owned()
        }
        Error::UnknownAnchor { .. } => "an alias refers to no anchor before it".to_owned(),
        Error::Eof { .. } => "the text ends where more must follow".to_owned(),
        Error::Unexpected { expected, .. } => format!("must be {}", kind(expected)),
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        } => format!("must be {}, and is {}", kind(expected), kind(unexpected)),
        Error::SerdeMissingField { field, .. } => format!("{field} is missing"),
        Error::SerdeUnknownField {
            field, expected, ..
        } => match nearest(field, expected) {
            Some(near) => format!("unknown field {field}; did you mean {near}?"),
            None => format!("unknown field {field}; known are {}", expected.join(", ")),
        },
        Error::AliasError { error, .. } => said(error),
        // Where it is stands in front already.
        other => {
            let said = other.render_with_formatter(&UserMessageFormatter);
            let said = said.split(" at line ").next().unwrap_or(&said);
            one_sentence(said)
        }
    }
}

/// What a parser expects or found, as people call it.
fn kind(word: &str) -> String {
    let word = word
        .strip_prefix("struct ")
        .map_or(word, |_| "mapping start");
    match word {
        "mapping start" | "map" | "a map" | "mapping" => "a map, such as name: acme",
        "sequence start" | "sequence" => "a list",
        "string scalar" | "a string" | "string" => "a text",
        "unit value" | "unit" | "null" => "nothing",
        other => other,
    }
    .to_owned()
}

fn one_sentence(text: &str) -> String {
    text.trim_end_matches('.').replace('`', "")
}
