//! `apply`: makes tenants what a manifest says, whole or not at all as far as can be known before.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};
use tenure::Message;
use tokio::task::JoinSet;

use super::args::{Apply, Format};
use super::client::{Answer, Call, Client};
use super::error::{Exit, Failed, exit_of};
use super::output::{Table, print_lines, print_value, tell};
use super::progress::Bar;
use super::tenants::Applied;
use crate::api::tenants::wire::TenantView;
use crate::manifest::{Entry, Manifest};

/// How many requests are under way at once: enough for a store to gather them into one write.
const AT_ONCE: usize = 32;

pub(super) async fn run(client: &Client, args: &Apply, format: Format) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.file)?;
    let applied = apply(client, &manifest, &args.message, args.dry_run).await?;
    print_applied(format, &applied)?;
    tell(summary(&applied, args.dry_run));
    Ok(())
}

/// Asks first what each entry would do, and sends only what would change something.
///
/// So nothing is written if the server would refuse a part of it, and nothing is sent twice that is
/// as it should be already.
pub(crate) async fn apply(
    client: &Client,
    manifest: &Manifest,
    message: &Message,
    dry_run: bool,
) -> anyhow::Result<Vec<Applied>> {
    let entries = &manifest.entries;
    let bar = Bar::new("checking", entries.len());
    let mut applied = checked(send(client, entries, message, true, &bar).await, false)?;
    bar.done();
    if dry_run {
        return Ok(applied.into_values().collect());
    }
    let changes: Vec<Entry> = entries
        .iter()
        .enumerate()
        .filter(|(at, _)| {
            applied
                .get(at)
                .is_some_and(|applied| applied.effect != "unchanged")
        })
        .map(|(_, entry)| entry.clone())
        .collect();
    let bar = Bar::new("applying", changes.len());
    let sent = checked(send(client, &changes, message, false, &bar).await, true)?;
    bar.done();
    let mut sent: BTreeMap<String, Applied> = sent
        .into_values()
        .map(|applied| (applied.name.clone(), applied))
        .collect();
    for applied in applied.values_mut() {
        if let Some(sent) = sent.remove(&applied.name) {
            *applied = sent;
        }
    }
    Ok(applied.into_values().collect())
}

type Results = BTreeMap<usize, (Entry, anyhow::Result<Applied>)>;

/// Sends entries, many at once; the results are in the order of the entries.
async fn send(
    client: &Client,
    entries: &[Entry],
    message: &Message,
    dry_run: bool,
    bar: &Bar,
) -> Results {
    let mut results = BTreeMap::new();
    let mut under_way = JoinSet::new();
    let mut left = entries.iter().cloned().enumerate();
    loop {
        while under_way.len() < AT_ONCE
            && let Some((at, entry)) = left.next()
        {
            let (client, call) = (client.clone(), call(&entry, message, dry_run));
            under_way.spawn(async move {
                let sent = client.call(&call).await.and_then(|answer| worded(&answer));
                (at, entry, sent)
            });
        }
        // A task ends early only with the runtime.
        let Some(Ok((at, entry, sent))) = under_way.join_next().await else {
            return results;
        };
        bar.step();
        results.insert(at, (entry, sent));
    }
}

/// The request that makes a tenant what an entry says.
pub(super) fn call(entry: &Entry, message: &Message, dry_run: bool) -> Call {
    let mut body = Map::from_iter([
        ("desired".to_owned(), entry.desired.to_value()),
        ("message".to_owned(), json!(message)),
    ]);
    let mut put = |name: &str, value: Option<Value>| {
        body.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("class", entry.class.as_ref().map(|class| json!(class)));
    put("labels", entry.labels.as_ref().map(|labels| json!(labels)));
    put(
        "annotations",
        entry
            .annotations
            .as_ref()
            .map(|annotations| json!(annotations)),
    );
    put("running", entry.running.map(Value::Bool));
    Call::new(Method::PUT, format!("/v1/tenants/{}", entry.name))
        .with("dry_run", dry_run.then_some(true))
        .with_body(Value::Object(body))
}

fn worded(answer: &Answer) -> anyhow::Result<Applied> {
    let view: TenantView = answer.json()?;
    let effect = match answer.effect.as_deref() {
        Some("unchanged") => "unchanged",
        Some("created") => "created",
        // Sent again after a lost answer: it did then what it says now.
        Some("replayed") if view.tenant.revision.get() == 1 => "created",
        _ => "configured",
    };
    let (id, revision) = (view.tenant.id, view.tenant.revision);
    Ok(Applied {
        name: view.tenant.name.to_string(),
        id,
        effect,
        revision,
    })
}

/// All that was applied, or all that was refused, each with its place in the manifest.
fn checked(results: Results, sent: bool) -> anyhow::Result<BTreeMap<usize, Applied>> {
    let mut applied = BTreeMap::new();
    let mut refused = Vec::new();
    let mut exit = None;
    for (at, (entry, result)) in results {
        match result {
            Ok(done) => drop(applied.insert(at, done)),
            Err(error) => {
                exit = exit.or_else(|| Some(exit_of(&error)));
                refused.push(format!("{}: {}: {error:#}", entry.place, entry.name));
            }
        }
    }
    let Some(exit) = exit else { return Ok(applied) };
    // A server that is not there is not there for any of them.
    if refused.len() > 10 {
        let more = refused.len() - 10;
        refused.truncate(10);
        refused.push(format!("and {more} more"));
    }
    refused.push(if sent {
        format!(
            "{} were applied; apply the manifest again for the rest",
            applied.len()
        )
    } else {
        "nothing was applied; correct this and apply the manifest again".to_owned()
    });
    let exit = if exit == Exit::NotFound {
        Exit::Error
    } else {
        exit
    };
    Err(Failed::new(exit, refused.join("\n")).into())
}

fn print_applied(format: Format, applied: &[Applied]) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Yaml => print_value(format, &applied),
        Format::Name => print_lines(applied.iter().map(|applied| &applied.name)),
        Format::Table => print_lines(
            applied
                .iter()
                .map(|Applied { name, effect, .. }| format!("{name} {effect}")),
        ),
        Format::Wide => {
            let mut table = Table::new(&["NAME", "EFFECT", "REVISION", "ID"]);
            for Applied {
                name,
                id,
                effect,
                revision,
            } in applied
            {
                let effect = (*effect).to_owned();
                table.row(vec![
                    name.clone(),
                    effect,
                    revision.to_string(),
                    id.to_string(),
                ]);
            }
            table.print()
        }
    }
}

/// `20 tenants: 3 created, 1 configured, 16 unchanged`.
pub(crate) fn summary(applied: &[Applied], dry_run: bool) -> String {
    let count = |effect: &str| {
        applied
            .iter()
            .filter(|applied| applied.effect == effect)
            .count()
    };
    format!(
        "{} tenants: {} created, {} configured, {} unchanged{}",
        applied.len(),
        count("created"),
        count("configured"),
        count("unchanged"),
        if dry_run {
            " (dry run: nothing was done)"
        } else {
            ""
        }
    )
}
