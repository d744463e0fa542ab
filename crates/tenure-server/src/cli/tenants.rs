//! Commands about tenants: each is one call of the API.

use http::Method;
use serde::Serialize;
use serde_json::json;
use tenure::{Clock as _, Line, Step, Summary, SystemClock, Timestamp};

use super::args::{Format, History, List, Verb, Why};
use super::client::{Call, Client, path_of};
use super::error::{Exit, Failed};
use super::output::{self, Table, age, one_line, print, print_lines, print_value, short};
use crate::api::tenants::wire::{HistoryPage, TenantPage, TenantView};

/// As many as a page can have, where all pages are read anyway.
pub(super) const WHOLE_PAGE: u16 = 500;

/// How far an operation is.
pub(super) fn steps(steps: &[Step]) -> Table {
    let mut table = Table::new(&["STEP", "STATE", "PERCENT", "MESSAGE"]);
    for step in steps {
        let percent = step
            .percent
            .map_or_else(|| "-".to_owned(), |p| p.to_string());
        table.row(vec![
            one_line(&step.name),
            step.state.as_str().to_owned(),
            percent,
            one_line(step.message.as_str()),
        ]);
    }
    table
}

pub(super) async fn list(client: &Client, args: &List, format: Format) -> anyhow::Result<()> {
    let words = |words: Vec<&str>| (!words.is_empty()).then(|| words.join(","));
    let states = args.state.iter().map(|state| state.as_str()).collect();
    let conditions = args
        .condition
        .iter()
        .map(|condition| condition.as_str())
        .collect();
    let call = Call::get("/v1/tenants")
        .with("state", words(states))
        .with("class", args.class.as_ref())
        .with("selector", args.selector.as_ref())
        .with("name_prefix", args.name_prefix.as_ref())
        .with("condition", words(conditions))
        .with("created_from", args.created_from)
        .with("created_until", args.created_until)
        .with("updated_from", args.updated_from)
        .with("updated_until", args.updated_until)
        .with("state_since_from", args.state_since_from)
        .with("state_since_until", args.state_since_until)
        .with("include_deleted", args.include_deleted.then_some(true))
        .with("order", args.newest.then_some("desc"))
        .with(
            "page_size",
            args.page_size.or_else(|| args.all.then_some(WHOLE_PAGE)),
        );
    let mut token = args.page_token.clone();
    let mut page = TenantPage {
        items: Vec::new(),
        next: None,
    };
    loop {
        let call = call.clone().with("page_token", token.as_ref());
        let next: TenantPage = client.call(&call).await?.json()?;
        page.items.extend(next.items);
        page.next = next.next;
        // A page may come short, even empty, and still have a next: nobody asked for an empty one.
        if page.next.is_none() || (!args.all && !page.items.is_empty()) {
            break;
        }
        token.clone_from(&page.next);
    }
    match format {
        Format::Json | Format::Yaml => print_value(format, &page)?,
        Format::Table | Format::Wide | Format::Name => print_summaries(format, &page.items)?,
    }
    if let Some(next) = &page.next
        && !matches!(format, Format::Json | Format::Yaml)
    {
        output::tell(format_args!(
            "there are more: --page-token {next}, or --all"
        ));
    }
    Ok(())
}

pub(crate) fn print_summaries(format: Format, tenants: &[Summary]) -> anyhow::Result<()> {
    if format == Format::Name {
        return print_lines(tenants.iter().map(|tenant| &tenant.name));
    }
    let wide = format == Format::Wide;
    let mut headings = vec!["NAME", "CLASS", "STATE", "SINCE", "CONDITIONS", "REASON"];
    if wide {
        headings.splice(1..1, ["ID"]);
        headings.extend(["GENERATION", "REVISION"]);
    }
    headings.push("MESSAGE");
    let mut table = Table::new(&headings);
    let now = SystemClock.now();
    for tenant in tenants {
        let conditions: Vec<&str> = tenant.conditions.iter().map(|kind| kind.as_str()).collect();
        let mut row = vec![
            tenant.name.to_string(),
            tenant.class.to_string(),
            tenant.state.to_string(),
            age(now.since(tenant.state_since)),
            if conditions.is_empty() {
                "-".to_owned()
            } else {
                conditions.join(",")
            },
            tenant.reason.to_string(),
        ];
        if wide {
            row.insert(1, tenant.id.to_string());
            row.push(format!(
                "{}/{}",
                tenant.observed_generation, tenant.generation
            ));
            row.push(tenant.revision.to_string());
            row.push(one_line(tenant.message.as_str()));
        } else {
            row.push(short(tenant.message.as_str()));
        }
        table.row(row);
    }
    table.print()
}

/// All that there are now whose labels match.
pub(super) async fn selected(client: &Client, selector: &str) -> anyhow::Result<Vec<Summary>> {
    let call = Call::get("/v1/tenants")
        .with("selector", Some(selector))
        .with("page_size", Some(WHOLE_PAGE));
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let call = call.clone().with("page_token", token.as_ref());
        let page: TenantPage = client.call(&call).await?.json()?;
        found.extend(page.items);
        token = page.next;
        if token.is_none() {
            return Ok(found);
        }
    }
}

pub(super) async fn history(client: &Client, args: &History, format: Format) -> anyhow::Result<()> {
    let kinds: Vec<&str> = args.kind.iter().map(|kind| kind.as_str()).collect();
    let call = Call::get(path_of(&args.who, "/history"))
        .with("transitions_only", args.transitions_only.then_some(true))
        .with("kind", (!kinds.is_empty()).then(|| kinds.join(",")))
        .with("order", args.newest.then_some("desc"));
    let mut whole = HistoryPage {
        items: Vec::new(),
        next: None,
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    loop {
        let size = left.min(u64::from(WHOLE_PAGE));
        let call = call.clone().with("page_size", Some(size));
        let call = call.with("after", whole.next);
        let page: HistoryPage = client.call(&call).await?.json()?;
        left = left.saturating_sub(u64::try_from(page.items.len()).unwrap_or(u64::MAX));
        whole.items.extend(page.items);
        whole.next = page.next;
        if whole.next.is_none() || left == 0 {
            break;
        }
    }
    match format {
        Format::Json | Format::Yaml => print_value(format, &whole),
        Format::Name => print_lines(whole.items.iter().map(|line| line.revision)),
        Format::Table | Format::Wide => history_table(format, &whole.items).print(),
    }
}

/// Lines of a history.
pub(super) fn history_table(format: Format, lines: &[Line]) -> Table {
    let wide = format == Format::Wide;
    let mut headings = vec!["REVISION", "AT", "ACTOR", "KIND", "STATE", "REASON"];
    if wide {
        headings.extend(["GENERATION", "REQUEST", "HASH"]);
    }
    headings.push("MESSAGE");
    let mut table = Table::new(&headings);
    for line in lines {
        let state = state_of(line);
        let mut row = vec![
            line.revision.to_string(),
            to_the_second(line.at),
            line.actor.to_string(),
            line.kind.to_string(),
            state,
            line.reason.to_string(),
        ];
        if wide {
            row.push(format!("{}/{}", line.observed_generation, line.generation));
            row.push(line.request_id.to_string());
            row.push(line.hash.to_string());
            row.push(one_line(line.message.as_str()));
        } else {
            row.push(short(line.message.as_str()));
        }
        table.row(row);
    }
    table
}

/// The state after a line, and before it if that was another.
pub(super) fn state_of(line: &Line) -> String {
    match line.from {
        Some(from) if from != line.to => format!("{from} → {}", line.to),
        _ => line.to.to_string(),
    }
}

pub(super) fn to_the_second(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text))
}

pub(super) async fn counts(client: &Client, format: Format) -> anyhow::Result<()> {
    if format == Format::Name {
        let why = "counts has no names; `tenure list -o name` has, or use -o json";
        return Err(Failed::new(Exit::Usage, why).into());
    }
    let counts: serde_json::Value = client.call(&Call::get("/v1/counts")).await?.json()?;
    if matches!(format, Format::Json | Format::Yaml) {
        return print_value(format, &counts);
    }
    let mut table = Table::new(&["STATE", "TENANTS"]);
    for state in tenure::State::ALL {
        let count = counts
            .pointer(&format!("/states/{state}"))
            .and_then(serde_json::Value::as_u64);
        table.row(vec![state.to_string(), count.unwrap_or(0).to_string()]);
    }
    let total = counts
        .get("total")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or(0);
    table.row(vec!["total".to_owned(), total.to_string()]);
    table.print()
}

pub(super) async fn verb(
    client: &Client,
    verb: &str,
    args: &Verb,
    format: Format,
) -> anyhow::Result<()> {
    let Why {
        message,
        if_revision,
    } = &args.why;
    let call = Call::new(Method::POST, path_of(&args.who, &format!("/{verb}")))
        .with_body(json!({"message": message}))
        .if_revision(*if_revision);
    changed(client, &call, format).await
}

/// Sends a write of one tenant and prints what it is then.
pub(super) async fn changed(client: &Client, call: &Call, format: Format) -> anyhow::Result<()> {
    let answer = client.call(call).await?;
    let view: TenantView = answer.json()?;
    let tenant = &view.tenant;
    match format {
        Format::Json | Format::Yaml => print_value(format, &view),
        Format::Name => print(&format!("{}\n", tenant.name)),
        Format::Table | Format::Wide => {
            let effect = answer.effect.as_deref().unwrap_or("changed");
            let held = if tenant.conditions.held.is_some() {
                ", held"
            } else {
                ""
            };
            let (name, state, revision) = (&tenant.name, tenant.state, tenant.revision);
            print(&format!(
                "{name} {effect}: {state}{held}, revision {revision}\n"
            ))
        }
    }
}

/// What a write did to a tenant, as `apply` prints it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Applied {
    pub(crate) name: String,
    pub(crate) id: tenure::TenantId,
    pub(crate) effect: &'static str,
    pub(crate) revision: tenure::Revision,
}
