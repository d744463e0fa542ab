//! Contexts: servers with names, and which one a command goes to.
//!
//! # Invariants
//!
//! - What is said closest to the command counts: a flag, then the environment, then a context, then
//!   the default. `--context` is a flag: what it names counts before the environment.
//! - A context's token goes to the context's server only, never to one that was named otherwise.
//! - Where a value came from is kept with it, for errors to say.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use tenure::Actor;

use super::args::{ContextCommand, Format, Global};
use super::error::{Exit, Failed};
use super::link::Secret;
use super::output::{Table, print, print_lines, print_value, tell};

/// Where a server is if nobody says so.
const DEFAULT: &str = "http://127.0.0.1:7310";

/// That everybody may read a file.
const OTHERS_READ: u32 = 0o004;

/// The server that a command goes to, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) url_from: String,
    /// The token, and where it came from.
    pub(super) token: Option<(Secret, String)>,
    /// The certificates to trust beside the system's, and where that was said.
    pub(super) ca_file: Option<(PathBuf, String)>,
    /// Who a context says its user is.
    pub(super) actor: Option<Actor>,
}

/// The file of contexts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Named>,
}

/// A server with a name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
}

/// A variable of the environment; an empty one counts as none.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where commands read the environment"
)]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Target {
    /// Finds out where to go.
    ///
    /// # Errors
    ///
    /// A context that there is not, and files that can't be read.
    pub(super) fn of(global: &Global) -> anyhow::Result<Self> {
        Self::from(global, &variable, &Contexts::read)
    }

    fn from(
        global: &Global,
        variable: &dyn Fn(&str) -> Option<String>,
        contexts: &dyn Fn() -> anyhow::Result<Contexts>,
    ) -> anyhow::Result<Self> {
        if global.server.is_some() && global.context.is_some() {
            let why = "--server and --context both say where to go; keep one";
            return Err(Failed::new(Exit::Usage, why).into());
        }
        let server = variable("TENURE_SERVER");
        // The one context that is looked at, if any: whose URL it is, its token goes there too.
        // Where none is, the file is not read, so that a broken one is in nobody's way.
        let context = match (&global.server, &global.context, &server) {
            (Some(_), ..) | (None, None, Some(_)) => None,
            (None, Some(name), _) => Some((contexts()?.get(name, "--context")?, name.clone())),
            (None, None, None) => {
                let contexts = contexts()?;
                let named = match variable("TENURE_CONTEXT") {
                    Some(name) => Some((name, "TENURE_CONTEXT")),
                    None => contexts.current.clone().map(|name| (name, "current")),
                };
                let get = |(name, said): (String, &str)| Ok((contexts.get(&name, said)?, name));
                named.map(get).transpose().map_err(|error: Failed| error)?
            }
        };
        let of = |name: &str| format!("context {name}");
        let (url, url_from) = match (&global.server, &context, server) {
            (Some(url), ..) => (url.clone(), "--server".to_owned()),
            (None, Some((context, name)), _) => (context.url.clone(), of(name)),
            (None, None, Some(url)) => (url, "TENURE_SERVER".to_owned()),
            (None, None, None) => (DEFAULT.to_owned(), "the default".to_owned()),
        };
        let own = |pick: fn(&Named) -> Option<PathBuf>| {
            let (context, name) = context.as_ref()?;
            Some((pick(context)?, of(name)))
        };
        let ca_file = global
            .ca_file
            .clone()
            .map(|path| (path, "--ca-file".to_owned()));
        let ca_file = ca_file
            .or_else(|| {
                let path = variable("TENURE_CA_FILE")?;
                Some((path.into(), "TENURE_CA_FILE".to_owned()))
            })
            .or_else(|| own(|context| context.ca_file.clone()));
        let own_token = own(|context| context.token_file.clone());
        Ok(Self {
            url,
            url_from,
            token: token(global, variable, own_token)?,
            ca_file,
            actor: context.and_then(|(context, _)| context.actor),
        })
    }
}

fn token(
    global: &Global,
    variable: &dyn Fn(&str) -> Option<String>,
    own: Option<(PathBuf, String)>,
) -> anyhow::Result<Option<(Secret, String)>> {
    let read = |path: &Path, said: &str| read_token(path, said).map(Some);
    if let Some(path) = &global.token_file {
        return read(path, "--token-file");
    }
    // What `--context` names counts before the environment.
    let own = match own {
        Some((path, said)) if global.context.is_some() => return read(&path, &said),
        own => own,
    };
    if let Some(path) = variable("TENURE_TOKEN_FILE") {
        return read(path.as_ref(), "TENURE_TOKEN_FILE");
    }
    if let Some(text) = variable("TENURE_TOKEN") {
        let origin = "TENURE_TOKEN".to_owned();
        return Ok(Some((Secret::new(&text, &origin)?, origin)));
    }
    own.map_or(Ok(None), |(path, said)| read(&path, &said))
}

/// The token of a file, and where it came from.
fn read_token(path: &Path, said: &str) -> anyhow::Result<(Secret, String)> {
    use std::os::unix::fs::PermissionsExt as _;

    let shown = path.display();
    let origin = format!("the file {shown} ({said})");
    let text = std::fs::read_to_string(path).map_err(|error| {
        let why = format!("the token can't be read from {origin}: {error}; name another file");
        Failed::new(Exit::Usage, why)
    })?;
    let secret = Secret::new(&text, &origin)?;
    let mode = std::fs::metadata(path).map_or(0, |about| about.permissions().mode());
    if mode & OTHERS_READ != 0 {
        tell(format_args!(
            "warning: everybody on this machine can read the token in {shown}; chmod 600 {shown}"
        ));
    }
    Ok((secret, origin))
}

impl Contexts {
    /// The file: `$XDG_CONFIG_HOME/tenure/contexts.toml`, or else below `~/.config`.
    fn path() -> Option<PathBuf> {
        let home = || Some(PathBuf::from(variable("HOME")?).join(".config"));
        let folder = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(home)?;
        Some(folder.join("tenure").join("contexts.toml"))
    }

    fn read() -> anyhow::Result<Self> {
        let Some(path) = Self::path() else {
            return Ok(Self::default());
        };
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            read => read.with_context(|| format!("can't read {}", path.display()))?,
        };
        toml::from_str(&text).with_context(|| {
            let path = path.display();
            format!("{path} is not as `tenure context set` writes it; correct it or remove it")
        })
    }

    /// Writes the file anew, readable for its owner only, whole or not at all.
    fn write(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;

        let path = Self::path().ok_or_else(|| {
            anyhow!("there is no place for contexts: set HOME or XDG_CONFIG_HOME")
        })?;
        let text = toml::to_string(self)?;
        let temporary = path.with_extension(format!("toml.{}", std::process::id()));
        let written = (|| {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut options = std::fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)
        })();
        written.with_context(|| format!("can't write {}", path.display()))
    }

    fn get(&self, name: &str, said: &str) -> Result<Named, Failed> {
        self.contexts.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let known = match known.as_slice() {
                [] => "there are none yet".to_owned(),
                known => format!("there are {}", known.join(", ")),
            };
            let why = format!(
                "there is no context {name} ({said}): {known}; make it with `tenure context set \
                 {name} --server URL`"
            );
            Failed::new(Exit::Usage, why)
        })
    }
}

/// `context …`.
pub(super) fn run(global: &Global, command: &ContextCommand, format: Format) -> anyhow::Result<()> {
    let mut contexts = Contexts::read()?;
    match command {
        ContextCommand::List => list(&contexts, format),
        ContextCommand::Show { name } => show(&contexts, name.as_deref(), format),
        ContextCommand::Use { name } => {
            contexts.get(name, "context use")?;
            contexts.current = Some(name.clone());
            contexts.write()?;
            print(&format!("{name} is the context now\n"))
        }
        ContextCommand::Set { name } => {
            let known = contexts.contexts.get(name).cloned();
            let named = changed(global, name, known)?;
            contexts.contexts.insert(name.clone(), named);
            let first = contexts.current.is_none();
            if first {
                contexts.current = Some(name.clone());
            }
            contexts.write()?;
            let now = if first { "; it is the context now" } else { "" };
            print(&format!("{name} set{now}\n"))
        }
        ContextCommand::Delete { name } => {
            contexts.get(name, "context delete")?;
            contexts.contexts.remove(name);
            let was = contexts.current.as_ref() == Some(name);
            if was {
                contexts.current = None;
            }
            contexts.write()?;
            let now = if was {
                "; no context is current now"
            } else {
                ""
            };
            print(&format!("{name} deleted{now}\n"))
        }
    }
}

/// A context with what the flags say, and the rest as it was.
fn changed(global: &Global, name: &str, known: Option<Named>) -> anyhow::Result<Named> {
    let absolute = |path: &Option<PathBuf>| {
        let path = path.as_ref().map(std::path::absolute);
        path.transpose().context("this folder has no path")
    };
    let (token_file, ca_file) = (absolute(&global.token_file)?, absolute(&global.ca_file)?);
    let actor = global.actor.clone();
    let (url, known) = match (global.server.clone(), known) {
        // Another server gets nothing that was meant for the one before.
        (Some(url), Some(known)) if known.url != url => (url, None),
        (Some(url), known) => (url, known),
        (None, Some(known)) => (known.url.clone(), Some(known)),
        (None, None) => {
            let why = format!("{name} is new: say where it is with --server URL");
            return Err(Failed::new(Exit::Usage, why).into());
        }
    };
    let named = Named {
        url,
        token_file: token_file.or_else(|| known.as_ref()?.token_file.clone()),
        ca_file: ca_file.or_else(|| known.as_ref()?.ca_file.clone()),
        actor: actor.or_else(|| known.as_ref()?.actor.clone()),
    };
    // What no command could use is not kept.
    let said = format!("context {name}");
    let token = named.token_file.as_ref();
    let target = Target {
        url: named.url.clone(),
        url_from: said.clone(),
        token: token.map(|path| read_token(path, &said)).transpose()?,
        ca_file: named.ca_file.clone().map(|path| (path, said)),
        actor: None,
    };
    super::link::Link::server(&target)?;
    Ok(named)
}

fn list(contexts: &Contexts, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Yaml => print_value(format, contexts),
        Format::Name => print_lines(contexts.contexts.keys()),
        Format::Table | Format::Wide => {
            let mut table = Table::new(&["CURRENT", "NAME", "SERVER", "TOKEN FILE"]);
            for (name, context) in &contexts.contexts {
                let is_current = contexts.current.as_ref() == Some(name);
                let path = context.token_file.as_ref();
                table.row(vec![
                    if is_current { "*" } else { "" }.to_owned(),
                    name.clone(),
                    context.url.clone(),
                    path.map_or_else(|| "-".to_owned(), |path| path.display().to_string()),
                ]);
            }
            table.print()
        }
    }
}

fn show(contexts: &Contexts, name: Option<&str>, format: Format) -> anyhow::Result<()> {
    let Some(name) = name.or(contexts.current.as_deref()) else {
        let why = "no context is current; name one, or choose one with `tenure context use NAME`";
        return Err(Failed::new(Exit::Usage, why).into());
    };
    let context = contexts.get(name, "context show")?;
    match format {
        Format::Name => print_lines([name]),
        Format::Json | Format::Yaml => print_value(format, &context),
        Format::Table | Format::Wide => {
            let mut facts = Table::plain();
            let mut fact = |name: &str, value: String| facts.row(vec![name.to_owned(), value]);
            let path = |path: &Option<PathBuf>| {
                path.as_ref()
                    .map_or_else(|| "-".to_owned(), |path| path.display().to_string())
            };
            fact("Name", name.to_owned());
            fact("Server", context.url.clone());
            fact("Token file", path(&context.token_file));
            fact("CA file", path(&context.ca_file));
            let actor = context.actor.as_ref();
            fact(
                "Actor",
                actor.map_or_else(|| "-".to_owned(), ToString::to_string),
            );
            facts.print()
        }
    }
}
