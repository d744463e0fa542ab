//! How an explanation words things: lengths of time, failures, and places that have drifted.

use std::time::Duration;

use crate::{Drifted, Message, Operation, Reason};

/// The longest message that a summary repeats, in characters; the whole stands beside it.
const MESSAGE_MAX: usize = 160;

/// A length of time as people say it: `32 s`, `4 min`, `3 h`, `2 d`.
pub(super) fn length(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A failure: its word, and what it said on one line, cut where it would hide the rest.
pub(super) fn failure(reason: &Reason, message: &Message) -> String {
    let words: Vec<&str> = message.as_str().split_whitespace().collect();
    let line = words.join(" ");
    if line.is_empty() {
        return reason.to_string();
    }
    let mut said: String = line.chars().take(MESSAGE_MAX).collect();
    if said.len() < line.len() {
        said.push('…');
    }
    format!("{reason} ({said})")
}

/// Where something has drifted: the first place, and how many more.
pub(super) fn places(drifted: &Drifted) -> String {
    let first = drifted.paths.first().map_or("", |d| d.path.as_str());
    match drifted.paths.len() {
        0 | 1 => first.to_owned(),
        2 => format!("{first} and 1 more path"),
        many => format!("{first} and {} more paths", many - 1),
    }
}

/// What an operation does, as a noun.
pub(super) const fn noun(operation: Operation) -> &'static str {
    match operation {
        Operation::Apply => "attempt",
        Operation::Observe => "look",
        Operation::Destroy => "attempt to tear it down",
    }
}
