//! `describe`: all that there is to know about a tenant, on a page for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use tenure::{Conditions, Explanation, Line, Pointer, Tenant, TenantRef, Timestamp, WorkFacts};

use super::args::Format;
use super::client::{Call, Client, path_of};
use super::diff::leaves;
use super::explain::{last, said, when};
use super::output::{Paint, Table, age, one_line, painted, print, print_lines, print_value, short};
use super::tenants::{history_table, steps, to_the_second};
use crate::api::tenants::wire::{HistoryPage, TenantView};

/// How many lines of history there are on the page.
const LINES: u8 = 10;

#[derive(Debug, Serialize)]
struct Description {
    tenant: TenantView,
    explanation: Explanation,
    /// The last lines, oldest first.
    history: Vec<Line>,
}

pub(super) async fn run(client: &Client, who: &TenantRef, format: Format) -> anyhow::Result<()> {
    let tenant: TenantView = client.call(&Call::get(path_of(who, ""))).await?.json()?;
    // From here on this very tenant is meant, even if its name goes to another.
    let who = TenantRef::Id(tenant.tenant.id);
    let explained = client.call(&Call::get(path_of(&who, "/explain"))).await?;
    let history = Call::get(path_of(&who, "/history"))
        .with("order", Some("desc"))
        .with("page_size", Some(LINES));
    let mut history: HistoryPage = client.call(&history).await?.json()?;
    history.items.reverse();
    let it = Description {
        tenant,
        explanation: explained.json()?,
        history: history.items,
    };
    match format {
        Format::Json | Format::Yaml => print_value(format, &it),
        Format::Name => print_lines([&it.tenant.tenant.name]),
        Format::Table | Format::Wide => print(&page(&it, format)),
    }
}

fn page(it: &Description, format: Format) -> String {
    let tenant = &it.tenant.tenant;
    let now = it.explanation.at;
    let mut text = format!("{}\n\n", one_line(&it.explanation.summary));
    let mut facts = Facts(Table::plain());
    identity(&mut facts, tenant, now);
    conditions(&mut facts, &tenant.conditions);
    facts.many("Labels", pairs(tenant.labels.iter()));
    facts.many("Annotations", pairs(tenant.annotations.iter()));
    facts.many("Resources", tenant.resources.clone());
    let waivers = tenant.waivers.iter().map(|waiver| {
        let until = to_the_second(waiver.until);
        format!("drift at {} until {until}, by {}", waiver.path, waiver.by)
    });
    facts.many("Waived", waivers.collect());
    if let Some(work) = &it.tenant.work {
        facts.many("Work", work_of(work, now));
    }
    facts.one("Last", last(&it.explanation.last));
    let blocks = it.explanation.blocked_by.iter().map(|block| {
        let until = when(now, block.until, "until");
        format!(
            "{}: {}{until}",
            block.kind.as_str(),
            one_line(&block.detail)
        )
    });
    facts.many("Blocked by", blocks.collect());
    let at = when(now, it.explanation.next.at, "at");
    facts.one(
        "Next",
        format!("{}{at}", one_line(&it.explanation.next.what)),
    );
    let commands = it.explanation.commands.iter();
    let commands = commands.map(|help| format!("{}  # {}", help.command, help.why));
    facts.many("Commands", commands.collect());
    text.push_str(&facts.0.text());
    let mut part = |title: &str, table: &Table| {
        // Writing to a string can't fail.
        let _written = write!(
            text,
            "\n{}\n{}",
            painted(Paint::Heading, title),
            table.text()
        );
    };
    part("Wanted and observed", &beside(tenant, format));
    if !tenant.steps.is_empty() {
        part("Steps", &steps(&tenant.steps));
    }
    part("History", &history_table(format, &it.history));
    text
}

/// Names and what there is to say of them, one a line.
struct Facts(Table);

impl Facts {
    fn one(&mut self, name: &str, value: String) {
        self.0.row(vec![name.to_owned(), value]);
    }

    /// Several values of one name; the name stands once, and not at all without a value.
    fn many(&mut self, name: &str, values: Vec<String>) {
        for (number, value) in values.into_iter().enumerate() {
            self.one(if number == 0 { name } else { "" }, value);
        }
    }
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    pairs
        .map(|(key, value)| format!("{key}={}", one_line(value)))
        .collect()
}

fn identity(facts: &mut Facts, tenant: &Tenant, now: Timestamp) {
    let ago = |at: Timestamp| format!("{} ({} ago)", to_the_second(at), age(now.since(at)));
    facts.one("Name", tenant.name.to_string());
    facts.one("Id", tenant.id.to_string());
    facts.one("Class", tenant.class.to_string());
    let since = to_the_second(tenant.state_since);
    let stands = age(now.since(tenant.state_since));
    facts.one(
        "State",
        format!("{} since {since} ({stands})", tenant.state),
    );
    facts.one(
        "Reason",
        said(tenant.reason.as_str(), tenant.message.as_str()),
    );
    let wanted = if tenant.running {
        "running"
    } else {
        "suspended"
    };
    let (generation, reached) = (tenant.generation, tenant.observed_generation);
    facts.one(
        "Wanted",
        format!("{wanted}, generation {generation}; reached is {reached}"),
    );
    facts.one("Revision", tenant.revision.to_string());
    facts.one("Created", ago(tenant.created_at));
    facts.one("Updated", ago(tenant.updated_at));
    if let Some(at) = tenant.deleted_at {
        facts.one("Deleted", ago(at));
    }
}

fn conditions(facts: &mut Facts, conditions: &Conditions) {
    let mut lines = Vec::new();
    let since = |at: Timestamp| format!("since {}", to_the_second(at));
    if let Some(it) = &conditions.failing {
        let said = said(it.reason.as_str(), it.message.as_str());
        let halted = if it.halted {
            "; no further attempt is made"
        } else {
            ""
        };
        lines.push(format!("failing {}: {said}{halted}", since(it.since)));
    }
    if let Some(it) = &conditions.drifted {
        let paths = it.paths.len();
        let spent = if it.budget_spent {
            "; corrections are used up"
        } else {
            ""
        };
        lines.push(format!(
            "drifted {}: at {paths} paths{spent}",
            since(it.since)
        ));
    }
    if let Some(it) = &conditions.unknown {
        let said = said(it.reason.as_str(), it.message.as_str());
        lines.push(format!("unknown {}: {said}", since(it.since)));
    }
    if let Some(it) = &conditions.held {
        let said = said(it.by.as_str(), it.message.as_str());
        lines.push(format!("held {}: {said}", since(it.since)));
    }
    if let Some(it) = &conditions.overdue {
        lines.push(format!("overdue {}", since(it.since)));
    }
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    facts.many("Conditions", lines);
}

fn work_of(work: &WorkFacts, now: Timestamp) -> Vec<String> {
    let mut lines = vec![match (work.due_at, work.lease_until) {
        (_, Some(until)) if until > now => {
            let holder = work.holder.as_deref().unwrap_or("someone");
            format!("{holder} works on it until {}", to_the_second(until))
        }
        (Some(due), _) if due > now => format!("due at {}", to_the_second(due)),
        (Some(due), _) => format!("due for {}", age(now.since(due))),
        (None, _) => "none is planned".to_owned(),
    }];
    if work.attempts > 0 {
        lines.push(format!("attempts: {}", work.attempts));
    }
    if let Some(error) = &work.last_error {
        lines.push(format!("last error: {}", one_line(error.as_str())));
    }
    if let Some(at) = work.checked_at {
        lines.push(format!("last in order at {}", to_the_second(at)));
    }
    lines
}

/// What is wanted beside what was observed; what contradicts it is marked.
fn beside(tenant: &Tenant, format: Format) -> Table {
    let mut rows: BTreeMap<Pointer, (Option<Value>, Option<Value>)> = BTreeMap::new();
    for (path, value) in leaves(&tenant.desired.to_value()) {
        rows.entry(path).or_default().0 = Some(value);
    }
    let observed = tenant.observed.as_ref().map(tenure::Document::to_value);
    for (path, value) in observed.iter().flat_map(leaves) {
        rows.entry(path).or_default().1 = Some(value);
    }
    let drifted = tenant.conditions.drifted.as_ref();
    let is_drifted = |path: &Pointer| {
        drifted.is_some_and(|drifted| drifted.paths.iter().any(|one| one.path == *path))
    };
    let shown = |value: Option<Value>| {
        let text = value.map(|value| value.to_string());
        let text = text.unwrap_or_else(|| "-".to_owned());
        if format == Format::Wide {
            text
        } else {
            short(&text)
        }
    };
    let mut table = Table::new(&["", "PATH", "WANTED", "OBSERVED"]);
    for (path, (wanted, found)) in rows {
        let contradicts =
            matches!((&wanted, &found), (Some(wanted), Some(found)) if wanted != found);
        let mark = if contradicts || is_drifted(&path) {
            "≠"
        } else {
            ""
        };
        let row = [
            mark.to_owned(),
            path.to_string(),
            shown(wanted),
            shown(found),
        ];
        table.row(row.into());
    }
    table
}
