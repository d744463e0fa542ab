//! The environment as a layer of the configuration: `TENURE_LISTEN` is `listen`, and two underscores
//! go one table down: `TENURE_AUTH__REQUIRED` is `auth.required`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Value;

use super::keys::{Below, Keys, Kind, nearest};
use super::table::{INSTEAD, ROOT};
use super::{Config, ConfigError, Sources, resolve_store};

/// What every variable of Tenure begins with.
const PREFIX: &str = "TENURE_";

/// What goes one table down.
const DOWN: &str = "__";

/// The variable that names the file.
const FILE: &str = "TENURE_CONFIG";

/// The variables of the command line, which are no keys.
const OF_COMMANDS: [&str; 8] = [
    FILE,
    "TENURE_ACTOR",
    "TENURE_CA_FILE",
    "TENURE_CONTEXT",
    "TENURE_LOG",
    "TENURE_SERVER",
    "TENURE_TOKEN",
    "TENURE_TOKEN_FILE",
];

/// What a provisioner and its tests are given, and so what they start has too.
const OF_PROVISIONERS: [&str; 3] = [
    "TENURE_OPERATION_ID",
    "TENURE_TENANT_ID",
    "TENURE_TENANT_NAME",
];

/// What the tests of Tenure are told.
const OF_TESTS: &str = "TENURE_TEST_";

/// The variables that begin with `TENURE_`, and the folder that relative paths in them start from.
#[derive(Clone, Default)]
pub struct Environment {
    folder: PathBuf,
    variables: BTreeMap<String, OsString>,
}

/// Names the variables and shows nothing of what is in them.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("folder", &self.folder)
            .field("variables", &self.variables.keys())
            .finish()
    }
}

/// A key that a variable gives.
pub(super) struct Given {
    pub(super) variable: String,
    pub(super) key: String,
    pub(super) value: Value,
}

impl Environment {
    /// The environment of this process.
    ///
    /// # Errors
    ///
    /// This process has no working folder.
    pub fn of_process() -> std::io::Result<Self> {
        let folder = std::env::current_dir()?;
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Ok(Self::new(folder, std::env::vars_os().filter_map(text)))
    }

    /// An environment of these variables; one that is empty counts as not there.
    pub fn new<N: Into<String>, V: Into<OsString>>(
        folder: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
        Self {
            folder: folder.into(),
            variables: variables.collect(),
        }
    }

    /// The folder that relative paths in it start from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that it names.
    pub fn file(&self) -> Option<PathBuf> {
        Some(self.folder.join(self.variables.get(FILE)?))
    }

    /// The store that it names, by `TENURE_STORE` or `TENURE_STORE_FILE`.
    ///
    /// # Errors
    ///
    /// What of it can't be used.
    pub fn store(&self) -> Result<Option<String>, ConfigError> {
        let (one, other) = INSTEAD;
        let names = [one, other].map(|key| variable_of(key).unwrap_or_default());
        if !names.iter().any(|name| self.variables.contains_key(name)) {
            return Ok(None);
        }
        let alone = Sources::default().with_environment(self.clone());
        Ok(Some(Config::load(&alone)?.store))
    }

    /// What is wrong with the names of its variables.
    pub fn misspelt(&self) -> Vec<ConfigError> {
        let known: BTreeMap<String, (String, Kind)> = known(&ROOT, "").collect();
        self.variables
            .iter()
            .filter(|(name, value)| !known.contains_key(*name) && !is_other(name, value))
            .map(|(name, _)| unknown(name, &known))
            .collect()
    }

    /// What it says of keys; paths are absolute.
    pub(super) fn keys(&self, wrong: &mut Vec<ConfigError>) -> Vec<Given> {
        let known: BTreeMap<String, (String, Kind)> = known(&ROOT, "").collect();
        let mut all = Vec::new();
        for (variable, value) in &self.variables {
            let Some((key, kind)) = known.get(variable) else {
                if !is_other(variable, value) {
                    wrong.push(unknown(variable, &known));
                }
                continue;
            };
            let read = match value.to_str() {
                None => Err("must be text in UTF-8".to_owned()),
                Some(text) => kind.read(text),
            };
            match read {
                Ok(value) => all.push(Given {
                    variable: variable.clone(),
                    key: key.clone(),
                    value: absolute(*kind, value, &self.folder),
                }),
                Err(rule) => wrong.push(ConfigError::Variable {
                    name: variable.clone(),
                    rule,
                }),
            }
        }
        all
    }
}

/// The same value, with the path that it is from here on, if it is one.
pub(super) fn absolute(kind: Kind, value: Value, folder: &Path) -> Value {
    match (kind, value) {
        (Kind::Store, Value::String(url)) => resolve_store(&url, folder).into(),
        (Kind::Path, Value::String(path)) => {
            match folder.join(&path).into_os_string().into_string() {
                Ok(path) => path.into(),
                Err(_) => path.into(),
            }
        }
        (_, value) => value,
    }
}

/// The variable that gives a key, if one does: classes and workers have names that no variable can
/// hold.
pub(super) fn variable_of(key: &str) -> Option<String> {
    let is_named = key.starts_with("classes.") || key.starts_with("workers.");
    (!is_named).then(|| format!("{PREFIX}{}", key.replace('.', DOWN).to_ascii_uppercase()))
}

fn known(keys: &'static Keys, prefix: &str) -> Box<dyn Iterator<Item = (String, (String, Kind))>> {
    let prefix = prefix.to_owned();
    Box::new(keys.all.iter().flat_map(
        move |key| -> Box<dyn Iterator<Item = (String, (String, Kind))>> {
            let name = format!("{prefix}{}", key.name);
            match &key.below {
                Below::Value(setting) => {
                    let kind = setting.kind;
                    let variable = variable_of(&name);
                    Box::new(
                        variable
                            .map(|variable| (variable, (name, kind)))
                            .into_iter(),
                    )
                }
                Below::Table(keys) | Below::Optional(keys) => known(keys, &format!("{name}.")),
                Below::Named(_) => Box::new(std::iter::empty()),
            }
        },
    ))
}

fn is_other(variable: &str, value: &OsString) -> bool {
    OF_COMMANDS.contains(&variable)
        || OF_PROVISIONERS.contains(&variable)
        || variable.starts_with(OF_TESTS)
        || is_service(variable, value)
}

/// Whether Kubernetes sets it, as it does in every pod for each service of the namespace. One that is
/// called tenure, or tenure-store, would otherwise keep the server from starting.
fn is_service(variable: &str, value: &OsString) -> bool {
    let is_link = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.to_string_lossy().starts_with(scheme));
    let after_port = variable.rsplit_once("_PORT_").map(|(_, rest)| rest);
    let of_port = after_port.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    variable.ends_with("_SERVICE_HOST")
        || variable.ends_with("_SERVICE_PORT")
        || variable.contains("_SERVICE_PORT_")
        || (variable.ends_with("_PORT") && is_link)
        || of_port
}

fn unknown(variable: &str, known: &BTreeMap<String, (String, Kind)>) -> ConfigError {
    let rest = variable.trim_start_matches(PREFIX);
    let of_file = ["CLASSES", "WORKERS"]
        .into_iter()
        .find(|table| rest.starts_with(table));
    let names: Vec<&str> = known
        .keys()
        .map(String::as_str)
        .chain(OF_COMMANDS)
        .filter_map(|name| name.strip_prefix(PREFIX))
        .collect();
    let help = match (of_file, nearest(rest, &names)) {
        (Some(table), _) => {
            let table = table.to_ascii_lowercase();
            format!("{table} stand in the file, as [{table}.NAME]")
        }
        (None, Some(near)) => format!("did you mean {PREFIX}{near}?"),
        (None, None) => {
            "unset it; docs/reference/configuration.md lists those there are".to_owned()
        }
    };
    ConfigError::UnknownVariable {
        name: variable.to_owned(),
        help,
    }
}
