//! `diff`: how tenants differ from a manifest, as the server would make them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use tenure::{Message, Pointer, Tenant, TenantName, TenantRef};

use super::apply::{self, Wrong, side_by_side};
use super::args::{Diff, Format};
use super::client::{Call, Client, path_of};
use super::error::{Exit, Failed, exit_of};
use super::output::{Paint, painted, print, print_lines, print_value, tell};
use super::progress::Bar;
use crate::api::tenants::wire::TenantView;
use crate::manifest::{Entry, Manifest};

/// How one tenant differs.
#[derive(Debug, Serialize)]
struct Differing {
    name: TenantName,
    /// `created` or `configured`: what `apply` would say.
    effect: &'static str,
    changes: Vec<Change>,
}

/// One value that differs; absent where there is none.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    path: Pointer,
    #[serde(skip_serializing_if = "Option::is_none")]
    is: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be: Option<Value>,
}

pub(super) async fn run(client: &Client, args: &Diff, format: Format) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.file)?.of_some(&args.file)?;
    let entries = &manifest.entries;
    let bar = Bar::new("comparing", entries.len());
    let compared = |entry: Entry| {
        let client = client.clone();
        async move { one(&client, &entry).await }
    };
    let results = side_by_side(entries, &bar, compared).await;
    bar.done();
    let mut differing = Vec::new();
    let mut wrong = Wrong::default();
    let mut same = 0;
    for (entry, result) in results.into_values() {
        match result {
            Ok(None) => same += 1,
            Ok(Some(found)) => differing.push(found),
            Err(error) => wrong.add(&entry, &error),
        }
    }
    match format {
        Format::Json | Format::Yaml => print_value(format, &json!({ "items": differing }))?,
        Format::Name => print_lines(differing.iter().map(|differing| &differing.name))?,
        Format::Table | Format::Wide => print(&page(&differing))?,
    }
    if wrong.exit.is_some() {
        let then = "this can't be compared; correct it, or what it needs";
        return Err(Failed::new(Exit::Uncompared, wrong.text(then.to_owned())).into());
    }
    let created = differing.iter().filter(|one| one.effect == "created");
    let (created, all) = (created.count(), entries.len());
    tell(format_args!(
        "{all} tenants: {created} would be created, {} configured, {same} unchanged",
        differing.len() - created,
    ));
    if differing.is_empty() {
        Ok(())
    } else {
        Err(Failed::told(Exit::Error).into())
    }
}

/// Has the server say what the tenant would be, and compares with what it is.
async fn one(client: &Client, entry: &Entry) -> anyhow::Result<Option<Differing>> {
    let who = TenantRef::Name(entry.name.clone());
    let is = match client.call(&Call::get(path_of(&who, ""))).await {
        Ok(answer) => Some(answer.json::<TenantView>()?.tenant),
        Err(error) if exit_of(&error) == Exit::NotFound => None,
        Err(error) => return Err(error),
    };
    let call = apply::call(entry, &Message::none(), true);
    let would_be: TenantView = client.call(&call).await?.json()?;
    let changes = changes(is.as_ref().map(wanted).as_ref(), &wanted(&would_be.tenant));
    Ok((is.is_none() || !changes.is_empty()).then(|| Differing {
        name: entry.name.clone(),
        effect: if is.is_none() {
            "created"
        } else {
            "configured"
        },
        changes,
    }))
}

/// What a manifest can say of a tenant.
fn wanted(tenant: &Tenant) -> Value {
    json!({
        "annotations": tenant.annotations,
        "class": tenant.class,
        "desired": tenant.desired.to_value(),
        "labels": tenant.labels,
        "running": tenant.running,
    })
}

fn changes(is: Option<&Value>, would_be: &Value) -> Vec<Change> {
    let mut pairs: BTreeMap<Pointer, (Option<Value>, Option<Value>)> = BTreeMap::new();
    for (path, value) in is.into_iter().flat_map(leaves) {
        pairs.entry(path).or_default().0 = Some(value);
    }
    for (path, value) in leaves(would_be) {
        pairs.entry(path).or_default().1 = Some(value);
    }
    let differing = pairs
        .into_iter()
        .filter(|(_, (is, would_be))| is != would_be);
    let change = |(path, (is, would_be))| Change { path, is, would_be };
    differing.map(change).collect()
}

/// Every value that is no object, with its path; an empty object counts as a value where it was
/// asked for.
pub(super) fn leaves(value: &Value) -> Vec<(Pointer, Value)> {
    let mut found = Vec::new();
    let mut left = vec![(Pointer::root(), value, 0_u32)];
    while let Some((path, value, depth)) = left.pop() {
        match value {
            // Labels or annotations that are not there are nothing.
            Value::Object(object) if !object.is_empty() || depth < 2 => left.extend(
                object
                    .iter()
                    .rev()
                    .map(|(key, value)| (path.child(key), value, depth + 1)),
            ),
            other => found.push((path, other.clone())),
        }
    }
    found
}

fn page(differing: &[Differing]) -> String {
    let mut text = String::new();
    for one in differing {
        let word = if one.effect == "created" {
            "new"
        } else {
            "changed"
        };
        let title = painted(Paint::Heading, &format!("{} ({word})", one.name));
        // Writing to a string can't fail.
        let _written = writeln!(text, "{title}");
        for change in &one.changes {
            if let Some(is) = &change.is {
                let line = format!("- {}: {is}", change.path);
                let _written = writeln!(text, "{}", painted(Paint::Removed, &line));
            }
            if let Some(would_be) = &change.would_be {
                let line = format!("+ {}: {would_be}", change.path);
                let _written = writeln!(text, "{}", painted(Paint::Added, &line));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_path() {
        let is = json!({"labels": {}, "desired": {"a": [1], "b": {"c": {}}}, "running": true});
        let would_be =
            json!({"labels": {"x/y": "1"}, "desired": {"a": [2], "b": {}}, "running": true});
        let found = changes(Some(&is), &would_be);
        let found: Vec<String> = found
            .iter()
            .map(|change| serde_json::to_string(change).unwrap())
            .collect();
        assert_eq!(
            found,
            [
                r#"{"path":"/desired/a","is":[1],"would_be":[2]}"#,
                r#"{"path":"/desired/b","would_be":{}}"#,
                r#"{"path":"/desired/b/c","is":{}}"#,
                r#"{"path":"/labels/x~1y","would_be":"1"}"#,
            ]
        );
        assert!(changes(Some(&is), &is).is_empty());
    }
}
