//! `apply`: makes tenants what a manifest says, whole or not at all as far as can be known before.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};
use tenure::Message;
use tokio::task::JoinSet;

use super::args::{Apply, Format};
use super::client::{Answer, Call, Client};
use super::error::{Exit, Failed, exit_of, may_pass};
use super::output::{Table, print_lines, print_value, tell};
use super::progress::Bar;
use super::tenants::Applied;
use crate::api::tenants::wire::TenantView;
use crate::manifest::{Entry, Manifest};

/// How many requests are under way at once: enough for a store to gather them into one write.
const AT_ONCE: usize = 32;

/// Most mistakes that are told one by one.
const LINES_MAX: usize = 10;

pub(super) async fn run(client: &Client, args: &Apply, format: Format) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.file)?.of_some(&args.file)?;
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

/// What became of each entry, in the order of the entries.
pub(super) type Results<T> = BTreeMap<usize, (Entry, anyhow::Result<T>)>;

async fn send(
    client: &Client,
    entries: &[Entry],
    message: &Message,
    dry_run: bool,
    bar: &Bar,
) -> Results<Applied> {
    let sent = |entry: Entry| {
        let (client, call) = (client.clone(), call(&entry, message, dry_run));
        async move { client.call(&call).await.and_then(|answer| worded(&answer)) }
    };
    side_by_side(entries, bar, sent).await
}

/// Asks something for each entry, many at once, as long as the server answers: one that is not there
/// is not there for any of them.
pub(super) async fn side_by_side<T: Send + 'static, Asked>(
    entries: &[Entry],
    bar: &Bar,
    ask: impl Fn(Entry) -> Asked,
) -> Results<T>
where
    Asked: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let mut results = BTreeMap::new();
    let mut under_way = JoinSet::new();
    let mut left = entries.iter().cloned().enumerate();
    let mut goes_on = true;
    loop {
        while goes_on
            && under_way.len() < AT_ONCE
            && let Some((at, entry)) = left.next()
        {
            let asked = ask(entry.clone());
            under_way.spawn(async move { (at, entry, asked.await) });
        }
        // A task ends early only with the runtime.
        let Some(Ok((at, entry, answer))) = under_way.join_next().await else {
            return results;
        };
        bar.step();
        goes_on = goes_on && !answer.as_ref().is_err_and(may_pass);
        results.insert(at, (entry, answer));
    }
}

/// What is wrong with entries: each with its place, or why the server can't be asked for any.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    pub(super) lines: Vec<String>,
    pub(super) exit: Option<Exit>,
    unanswered: Option<String>,
}

impl Wrong {
    pub(super) fn add(&mut self, entry: &Entry, error: &anyhow::Error) {
        self.exit = self.exit.or_else(|| Some(exit_of(error)));
        if may_pass(error) {
            self.unanswered.get_or_insert_with(|| format!("{error:#}"));
        } else {
            self.lines
                .push(format!("{}: {}: {error:#}", entry.place, entry.name));
        }
    }

    /// The lines, not too many, and what follows from them.
    pub(super) fn text(mut self, then: String) -> String {
        if self.lines.len() > LINES_MAX {
            let more = self.lines.len() - LINES_MAX;
            self.lines.truncate(LINES_MAX);
            self.lines.push(format!("and {more} more"));
        }
        self.lines.extend(self.unanswered);
        self.lines.push(then);
        self.lines.join("\n")
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
fn checked(results: Results<Applied>, sent: bool) -> anyhow::Result<BTreeMap<usize, Applied>> {
    let mut applied = BTreeMap::new();
    let mut wrong = Wrong::default();
    for (at, (entry, result)) in results {
        match result {
            Ok(done) => drop(applied.insert(at, done)),
            Err(error) => wrong.add(&entry, &error),
        }
    }
    let exit = match wrong.exit {
        None => return Ok(applied),
        Some(Exit::NotFound) => Exit::Error,
        Some(exit) => exit,
    };
    let then = if sent {
        format!(
            "{} were applied; apply the manifest again for the rest",
            applied.len()
        )
    } else {
        "nothing was applied; correct this and apply the manifest again".to_owned()
    };
    Err(Failed::new(exit, wrong.text(then)).into())
}

fn print_applied(format: Format, applied: &[Applied]) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Yaml => print_value(format, &json!({ "items": applied })),
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
