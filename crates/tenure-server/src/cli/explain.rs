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
fn last(last: &Last) -> String {
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

fn said(reason: &str, message: &str) -> String {
    match message {
        "" => reason.to_owned(),
        message => format!("{reason}: {}", one_line(message)),
    }
}

/// A time in brackets, if it is known and yet to come.
fn when(now: Timestamp, at: Option<Timestamp>, word: &str) -> String {
    at.filter(|at| *at > now)
        .map_or_else(String::new, |at| format!(" ({word} {})", to_the_second(at)))
}
