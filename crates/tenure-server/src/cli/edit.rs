//! `edit`: changes what is wanted of a tenant in an editor.
//!
//! The text is the whole of the tenant: what is taken out of it is removed. What was typed is never
//! lost: until it is taken, it stays in a file that every error names.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_json::Value;
use tenure::{Annotations, ClassName, Labels, Tenant, TenantName};

use super::apply;
use super::args::{Edit, Format};
use super::client::{Call, Client, path_of};
use super::context::variable;
use super::error::{Exit, Failed, exit_of};
use super::output::tell;
use super::tenants::changed;
use crate::api::tenants::wire::TenantView;
use crate::ids::{IdSource as _, SystemIds};
use crate::manifest::{Entry, Manifest};

/// A tenant as a manifest has it.
#[derive(Serialize)]
struct Written<'a> {
    name: &'a TenantName,
    class: &'a ClassName,
    labels: &'a Labels,
    annotations: &'a Annotations,
    desired: Value,
    running: bool,
}

pub(super) async fn run(client: &Client, args: &Edit, format: Format) -> anyhow::Result<()> {
    let view: TenantView = client
        .call(&Call::get(path_of(&args.who, "")))
        .await?
        .json()?;
    let tenant = view.tenant;
    let name = &tenant.name;
    if !tenant.is_living() {
        let why = format!("{name} is deleted, so nothing of it can be changed; apply it anew");
        return Err(Failed::new(Exit::Conflict, why).into());
    }
    let text = written(&tenant)?;
    let path = keep(&tenant, &text)?;
    let edited = edited(&path).await;
    let unchanged = matches!(&edited, Ok(edited) if is_same(edited, &text));
    if unchanged || std::fs::read_to_string(&path).is_ok_and(|now| now == text) {
        // Nothing of it is anybody's work.
        drop(std::fs::remove_file(&path));
        edited?;
        tell(format_args!("nothing was changed, so nothing was sent"));
        return Ok(());
    }
    // Whether the file, applied, would leave what was taken out of it.
    let mut is_partial = false;
    let sent = async {
        let entry = entry(&edited?, &path, &tenant)?;
        is_partial = entry.labels.is_none() || entry.annotations.is_none();
        let call = apply::call(&whole(entry), &args.message, false);
        let call = call.if_revision(Some(tenant.revision));
        changed(client, &call, format).await
    };
    let sent = sent.await;
    sent.map_err(|error| refused(error, &path, &tenant, is_partial))?;
    std::fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))
}

/// The entry as the text has it, where nothing is left as it was: what is not there is none, and a
/// tenant of which nothing is said runs, as a new one does.
fn whole(entry: Entry) -> Entry {
    Entry {
        labels: entry.labels.or_else(|| Some(Labels::default())),
        annotations: entry.annotations.or_else(|| Some(Annotations::default())),
        running: entry.running.or(Some(true)),
        ..entry
    }
}

/// The error, with what became of what was typed.
fn refused(error: anyhow::Error, path: &Path, tenant: &Tenant, is_partial: bool) -> anyhow::Error {
    if !path.exists() {
        return error;
    }
    let (exit, file) = (exit_of(&error), path.display());
    let help = if error.is::<Reclassed>() {
        let class = &tenant.class;
        format!("put `class: {class}` back there, then `tenure apply -f {file}`")
    } else if exit == Exit::Conflict {
        format!("compare with `tenure diff -f {file}`, then `tenure apply -f {file}`")
    } else {
        format!("correct it there, then `tenure apply -f {file}`")
    };
    let partial = if is_partial {
        "; apply leaves labels and annotations that are not there: write {} to have none"
    } else {
        ""
    };
    let exit = match exit {
        Exit::NotFound => Exit::Error,
        _ if error.is::<Reclassed>() => Exit::Conflict,
        exit => exit,
    };
    let why = format!("{error:#}\nwhat you wrote is kept in {file}: {help}{partial}");
    Failed::new(exit, why).into()
}

/// The text has another class than the tenant.
#[derive(Debug, thiserror::Error)]
#[error("a tenant's class is for ever: {name} is of class {is}, not {class}; nothing was sent")]
struct Reclassed {
    name: TenantName,
    is: ClassName,
    class: ClassName,
}

/// The tenant as YAML, or as JSON if the YAML of it would be read as something else.
fn written(tenant: &Tenant) -> anyhow::Result<String> {
    let it = Written {
        name: &tenant.name,
        class: &tenant.class,
        labels: &tenant.labels,
        annotations: &tenant.annotations,
        desired: tenant.desired.to_value(),
        running: tenant.running,
    };
    let reads_back = |text: &String| {
        let read = Manifest::parse([("", text.as_str())]);
        read.is_ok_and(|read| {
            matches!(read.entries.as_slice(), [one] if one.desired == tenant.desired
                && one.labels.as_ref() == Some(&tenant.labels)
                && one.annotations.as_ref() == Some(&tenant.annotations))
        })
    };
    let yaml = serde_saphyr::to_string(&it).ok().filter(reads_back);
    let body = match yaml {
        Some(yaml) => yaml,
        None => serde_json::to_string_pretty(&it)?,
    };
    Ok(format!(
        "# {} at revision {}. Change it, save and close; without a change nothing is sent.\n\
         # What you take out is removed; without `running` it runs.\n{}\n",
        tenant.name,
        tenant.revision,
        body.trim_end()
    ))
}

/// Writes the text where an editor finds it, and nobody else reads it.
fn keep(tenant: &Tenant, text: &str) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let name = format!("tenure-{}-{}.yaml", tenant.name, SystemIds.fresh().simple());
    let path = std::env::temp_dir().join(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("can't write {}; set TMPDIR", path.display()))?;
    Ok(path)
}

/// Runs the editor, and gives what is in the file then.
async fn edited(path: &Path) -> anyhow::Result<String> {
    let editor = variable("VISUAL").or_else(|| variable("EDITOR"));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let mut words = shlex::split(&editor).unwrap_or_default().into_iter();
    let program = words
        .next()
        .with_context(|| format!("the editor {editor:?} is no command; set VISUAL or EDITOR"))?;
    let mut command = tokio::process::Command::new(program);
    let ended = command.args(words).arg(path).status().await;
    let ended = ended
        .with_context(|| format!("can't start the editor {editor:?}; set VISUAL or EDITOR"))?;
    if !ended.success() {
        return Err(anyhow!(
            "the editor {editor:?} failed ({ended}); nothing was sent"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| {
        let file = path.display();
        match error.kind() {
            std::io::ErrorKind::NotFound => anyhow!(
                "the editor {editor:?} removed {file}, so nothing was sent and nothing is kept"
            ),
            _ => anyhow!("can't read {file}: {error}; nothing was sent"),
        }
    })
}

/// Whether nothing is asked for: the same text, or none beside comments.
fn is_same(edited: &str, text: &str) -> bool {
    let is_empty = |line: &str| line.trim().is_empty() || line.starts_with('#');
    edited == text || edited.lines().all(is_empty)
}

/// The one tenant that the text is about, still.
fn entry(text: &str, path: &Path, tenant: &Tenant) -> anyhow::Result<Entry> {
    let file = path.display().to_string();
    let manifest = Manifest::parse([(file.as_str(), text)])?;
    match <[Entry; 1]>::try_from(manifest.entries) {
        Ok([entry]) if entry.name == tenant.name => match &entry.class {
            Some(class) if *class != tenant.class => Err(Reclassed {
                name: entry.name,
                is: tenant.class.clone(),
                class: class.clone(),
            }
            .into()),
            _ => Ok(entry),
        },
        _ => {
            let why = format!(
                "{file} must hold {} and no other tenant: a name is not changed; nothing was sent",
                tenant.name
            );
            Err(Failed::new(Exit::Usage, why).into())
        }
    }
}
