//! `explain`: why a tenant stands where it stands, what blocks it, and what comes next.

use std::fmt::Write as _;

use tenure::{Explanation, Last, TenantRef, Timestamp};

use super::args::Format;
use super::client::{Call, Client, path_of};
use super::output::{Table, age, one_line, print, print_lines, print_value};
use super::tenants::{steps, to_the_second};

pub(super) async fn run(client: &Client, who: &TenantRef, format: Format) -> anyhow::Result<()> {
    let explanation: Explanation = client
        .call(&Call::get(path_of(who, "/explain")))
        .await?
        .json()?;
    match format {
        Format::Json | Format::Yaml => print_value(format, &explanation),
        Format::Name => print_lines([&explanation.name]),
        Format::Table | Format::Wide => print(&page(&explanation)),
    }
}

/// A page for people: the summary, then each part of it on lines of its own.
fn page(it: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _written = writeln!(text, "{}\n", one_line(&it.summary));
    let mut state = format!(
        "{} since {} ({})",
        it.state,
        to_the_second(it.since),
        age(it.at.since(it.since))
    );
    for kind in &it.conditions {
        let _written = write!(state, ", {kind}");
    }
    let mut facts = Table::plain();
    let mut fact = |name: &str, value: String| facts.row(vec![name.to_owned(), value]);
    fact("State", state);
    fact("Reason", said(it.reason.as_str(), it.message.as_str()));
    fact("Last", last(&it.last));
    for (number, block) in it.blocked_by.iter().enumerate() {
        let name = if number == 0 { "Blocked by" } else { "" };
        let until = when(it.at, block.until, "until");
        let detail = one_line(&block.detail);
        fact(name, format!("{}: {detail}{until}", block.kind.as_str()));
    }
    if it.blocked_by.is_empty() {
        fact("Blocked by", "nothing".to_owned());
    }
    let at = when(it.at, it.next.at, "at");
    fact("Next", format!("{}{at}", one_line(&it.next.what)));
    for (number, help) in it.commands.iter().enumerate() {
        let name = if number == 0 { "Commands" } else { "" };
        fact(name, format!("{}  # {}", help.command, help.why));
    }
    text.push_str(&facts.text());
    if !it.last.steps.is_empty() {
        let _written = write!(text, "\n{}", steps(&it.last.steps).text());
    }
    text
}

/// What was last tried, on a line.
pub(super) fn last(last: &Last) -> String {
    let mut text = match last.operation {
        Some(operation) => operation.as_str().to_owned(),
        None => String::new(),
    };
    if let Some(attempt) = last.attempt {
        let _written = write!(text, ", attempt {attempt}");
    }
    if !text.is_empty() {
        text.push_str(": ");
    }
    text.push_str(&last.result.as_str().replace('_', " "));
    if let Some(reason) = &last.reason {
        let said = said(reason.as_str(), last.message.as_str());
        let _written = write!(text, "; last failure: {said}");
    }
    if let Some(at) = last.at {
        let _written = write!(text, " at {}", to_the_second(at));
    }
    text
}

pub(super) fn said(reason: &str, message: &str) -> String {
    match message {
        "" => reason.to_owned(),
        message => format!("{reason}: {}", one_line(message)),
    }
}

/// A time in brackets, if it is known and yet to come.
pub(super) fn when(now: Timestamp, at: Option<Timestamp>, word: &str) -> String {
    at.filter(|at| *at > now)
        .map_or_else(String::new, |at| format!(" ({word} {})", to_the_second(at)))
}

#[cfg(test)]
mod tests {
    use tenure::{Message, Step, StepState};

    use super::*;

    #[test]
    fn p8_a_page_says_all_that_the_object_does() {
        let step = Step::new("copy files", StepState::Running, Message::none(), Some(40));
        let mut it: Explanation = serde_json::from_value(serde_json::json!({
            "id": "tnt_01h455vb4pex5vsknk084sn02q",
            "name": "acme",
            "class": "shared",
            "at": "2026-11-22T20:04:00Z",
            "summary": "acme has been provisioning for 4 min: it is told.",
            "state": "provisioning",
            "since": "2026-11-22T20:00:00Z",
            "reason": "InProgress",
            "message": "copying\nfiles",
            "conditions": ["failing", "held"],
            "last": {
                "operation": "apply",
                "attempt": 3,
                "result": "in_progress",
                "reason": "QuotaExceeded",
                "message": "no room",
            },
            "blocked_by": [
                {"kind": "lease", "detail": "host/7 works on it", "until": "2026-11-22T20:05:00Z"},
                {"kind": "hold", "detail": "user:maria has held it", "by": "user:maria"},
            ],
            "next": {"what": "host/7 reports how it ends", "operation": "apply"},
            "commands": [{"command": "tenure release acme", "why": "lets its work go on"}],
        }))
        .unwrap();
        it.last.steps = vec![step.unwrap()];
        let expected = "\
acme has been provisioning for 4 min: it is told.

State       provisioning since 2026-11-22T20:00:00Z (4m), failing, held
Reason      InProgress: copying files
Last        apply, attempt 3: in progress; last failure: QuotaExceeded: no room
Blocked by  lease: host/7 works on it (until 2026-11-22T20:05:00Z)
            hold: user:maria has held it
Next        host/7 reports how it ends
Commands    tenure release acme  # lets its work go on

STEP        STATE    PERCENT  MESSAGE
copy files  running  40
";
        assert_eq!(page(&it), expected);
    }
}
