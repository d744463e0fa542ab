//! `tenure.toml`: where the record is kept, where the API listens, and what makes tenants.
//!
//! A flag goes before the file, the file before the default. A key that is not known is refused with
//! the nearest one that is: a misspelt deadline must not become a default in silence. Relative paths
//! are relative to the folder of the file, wherever the command is run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tenure::{ClassName, Policy, RetryPolicy};
use toml::de::{DeTable, DeValue};

/// The name of the file.
pub const FILE_NAME: &str = "tenure.toml";

/// The store that is used if none is named.
pub const STORE: &str = "sqlite:.tenure/tenure.db";

/// Where the API listens if nothing is said: loopback, so that nobody else reaches it.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7310);

/// The longest time that a class can give to one operation: a day.
const SECONDS_MAX: u64 = 24 * 60 * 60;

/// What of the server's own environment a provisioner gets. Everything else, secrets first, it gets
/// only if its class names it.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// What `tenure.toml` says, with every default filled in and every path made absolute.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the record is kept, as a URL.
    pub store: String,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// How many operations run at once.
    pub concurrency: usize,
    /// What makes tenants, by class.
    pub classes: BTreeMap<ClassName, Class>,
}

/// A class: the program that makes its tenants, and how patient Tenure is with it.
#[derive(Clone, Debug)]
pub struct Class {
    /// The program.
    pub exec: Exec,
    /// How long one operation may take; then it is killed and counts as failed.
    pub deadline: Duration,
    /// How long a lease runs without being renewed.
    pub lease: Duration,
    /// How its tenants are treated.
    pub policy: Policy,
}

/// A program to run: nothing here comes from a tenant, and no shell reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The program: an absolute path, or a bare name that is looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The folder that it runs in.
    pub folder: PathBuf,
    /// Its whole environment.
    pub environment: BTreeMap<String, OsString>,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is no TOML, or a value has the wrong type.
    #[error("{path}: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: toml::de::Error,
    },
    /// A key is not known.
    #[error("{path}:{line}: unknown key {key}; {help}")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key, with the tables that it is in.
        key: String,
        /// The nearest key that is known, or all of them.
        help: String,
    },
    /// A value breaks a rule.
    #[error("{path}: {key} {rule}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key, with the tables that it is in.
        key: String,
        /// What the value must be, starting with a verb.
        rule: String,
    },
}

#[derive(Deserialize)]
struct File {
    store: Option<String>,
    listen: Option<SocketAddr>,
    concurrency: Option<usize>,
    #[serde(default)]
    classes: BTreeMap<String, FileClass>,
}

#[derive(Deserialize)]
struct FileClass {
    exec: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    deadline_seconds: Option<u64>,
    lease_seconds: Option<u64>,
    attempts_max: Option<u32>,
    retry_base_seconds: Option<u64>,
    retry_cap_seconds: Option<u64>,
}

const KEYS: [&str; 4] = ["store", "listen", "concurrency", "classes"];
const CLASS_KEYS: [&str; 7] = [
    "exec",
    "env",
    "deadline_seconds",
    "lease_seconds",
    "attempts_max",
    "retry_base_seconds",
    "retry_cap_seconds",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            store: STORE.to_owned(),
            listen: LISTEN,
            concurrency: 8,
            classes: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file and what to correct in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable {
            path: path.to_owned(),
            cause,
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let absolute = std::path::absolute(path).map_err(unreadable)?;
        let folder = absolute.parent().unwrap_or(&absolute);
        Self::parse(&text, path, folder)
    }

    fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self, ConfigError> {
        let syntax = |cause| ConfigError::Syntax {
            path: path.to_owned(),
            cause,
        };
        let table = DeTable::parse(text).map_err(syntax)?;
        check_keys(text, path, table.get_ref())?;
        let file: File = toml::from_str(text).map_err(syntax)?;
        let mut config = Self::default();
        config.store = resolve_store(&file.store.unwrap_or(config.store), folder);
        config.listen = file.listen.unwrap_or(config.listen);
        config.concurrency = file.concurrency.unwrap_or(config.concurrency);
        let invalid = |key: String, rule: String| ConfigError::Invalid {
            path: path.to_owned(),
            key,
            rule,
        };
        if !(1..=1_000).contains(&config.concurrency) {
            return Err(invalid(
                "concurrency".to_owned(),
                "must be 1 to 1000".to_owned(),
            ));
        }
        for (name, class) in file.classes {
            let key = format!("classes.{name}");
            let parsed: ClassName = name
                .parse()
                .map_err(|e: tenure::Invalid| invalid(key.clone(), e.rule().to_owned()))?;
            let class = class
                .check(folder)
                .map_err(|(field, rule)| invalid(format!("{key}.{field}"), rule))?;
            config.classes.insert(parsed, class);
        }
        Ok(config)
    }
}

impl FileClass {
    fn check(self, folder: &Path) -> Result<Class, (&'static str, String)> {
        let defaults = RetryPolicy::default();
        let retry = RetryPolicy {
            base: seconds("retry_base_seconds", self.retry_base_seconds, defaults.base)?,
            cap: seconds("retry_cap_seconds", self.retry_cap_seconds, defaults.cap)?,
            attempts_max: self.attempts_max.unwrap_or(defaults.attempts_max),
        };
        if retry.attempts_max == 0 {
            return Err(("attempts_max", "must be 1 or more".to_owned()));
        }
        let mut argv = self.exec.into_iter();
        let program = argv
            .next()
            .filter(|program| !program.is_empty())
            .ok_or_else(|| {
                let rule = "must name a program, such as [\"python3\", \"provision.py\"]";
                ("exec", rule.to_owned())
            })?;
        if let Some(name) = self
            .env
            .keys()
            .find(|name| name.is_empty() || name.contains(['=', '\0']))
        {
            return Err((
                "env",
                format!("has the name {name:?}, which no environment can hold"),
            ));
        }
        let mut environment = inherited();
        environment.extend(
            self.env
                .into_iter()
                .map(|(name, value)| (name, value.into())),
        );
        Ok(Class {
            exec: Exec {
                program: resolve_program(&program, folder),
                arguments: argv.collect(),
                folder: folder.to_owned(),
                environment,
            },
            deadline: seconds(
                "deadline_seconds",
                self.deadline_seconds,
                Duration::from_mins(5),
            )?,
            lease: seconds("lease_seconds", self.lease_seconds, Duration::from_secs(30))?,
            policy: Policy {
                retry,
                ..Policy::default()
            },
        })
    }
}

fn seconds(
    field: &'static str,
    given: Option<u64>,
    default: Duration,
) -> Result<Duration, (&'static str, String)> {
    match given {
        None => Ok(default),
        Some(seconds @ 1..=SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err((field, format!("must be 1 to {SECONDS_MAX}"))),
    }
}

/// What a provisioner gets of the server's environment.
pub(crate) fn inherited() -> BTreeMap<String, OsString> {
    let value = |name: &str| Some((name.to_owned(), std::env::var_os(name)?));
    INHERITED.into_iter().filter_map(value).collect()
}

/// A path is relative to the file; a bare name is for `PATH` to find.
pub(crate) fn resolve_program(program: &str, folder: &Path) -> PathBuf {
    if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    }
}

/// Makes the path of an embedded store absolute; the URL of a server is left as it is.
pub fn resolve_store(url: &str, folder: &Path) -> String {
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.starts_with('/') && !path.starts_with(':') => {
            format!("sqlite:{}", folder.join(path).display())
        }
        _ => url.to_owned(),
    }
}

fn check_keys(text: &str, path: &Path, table: &DeTable<'_>) -> Result<(), ConfigError> {
    check_table(text, path, table, "", &KEYS)?;
    let Some(DeValue::Table(classes)) = table.get("classes").map(toml::Spanned::get_ref) else {
        return Ok(());
    };
    for (name, class) in classes {
        if let DeValue::Table(class) = class.get_ref() {
            let prefix = format!("classes.{}.", name.get_ref());
            check_table(text, path, class, &prefix, &CLASS_KEYS)?;
        }
    }
    Ok(())
}

fn check_table(
    text: &str,
    path: &Path,
    table: &DeTable<'_>,
    prefix: &str,
    known: &[&str],
) -> Result<(), ConfigError> {
    let unknown = table
        .keys()
        .find(|key| !known.contains(&key.get_ref().as_ref()));
    let Some(key) = unknown else { return Ok(()) };
    let before = text.get(..key.span().start).unwrap_or_default();
    Err(ConfigError::UnknownKey {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        key: format!("{prefix}{}", key.get_ref()),
        help: nearest(key.get_ref(), known).map_or_else(
            || format!("known are {}", known.join(", ")),
            |near| format!("did you mean {prefix}{near}?"),
        ),
    })
}

/// The known word that is most like this one, if any is like it.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |known: &&'a str| (strsim::jaro_winkler(word, known), *known);
    let best = known
        .iter()
        .map(likeness)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.75)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let (path, folder) = (Path::new("demo/tenure.toml"), Path::new("/srv/demo"));
        Config::parse(text, path, folder).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config.store, "sqlite:/srv/demo/.tenure/tenure.db");
        assert_eq!(config.listen, LISTEN);
        assert!(config.classes.is_empty());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(
            "store = 'sqlite:a.db'\n[classes.a]\nexec = ['bin/make', 'x']\n[classes.b]\nexec = ['sh']",
        )
        .unwrap();
        assert_eq!(config.store, "sqlite:/srv/demo/a.db");
        let programs: Vec<_> = config
            .classes
            .values()
            .map(|c| c.exec.program.clone())
            .collect();
        assert_eq!(
            programs,
            [PathBuf::from("/srv/demo/bin/make"), PathBuf::from("sh")]
        );
        assert_eq!(
            resolve_store("sqlite:/x.db", Path::new("/y")),
            "sqlite:/x.db"
        );
        assert_eq!(
            resolve_store("postgres://h/db", Path::new("/y")),
            "postgres://h/db"
        );
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_known() {
        let error = parse("store = 'sqlite:a.db'\nlissten = 'x'").unwrap_err();
        assert_eq!(
            error,
            "demo/tenure.toml:2: unknown key lissten; did you mean listen?"
        );
        let error = parse("[classes.a]\nexec = ['x']\ndeadline = 3").unwrap_err();
        assert_eq!(
            error,
            "demo/tenure.toml:3: unknown key classes.a.deadline; \
             did you mean classes.a.deadline_seconds?"
        );
        let error = parse("zzz = 1").unwrap_err();
        assert!(
            error.ends_with("known are store, listen, concurrency, classes"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_breaks_a_rule_is_named() {
        for (text, key) in [
            ("[classes.A]\nexec = ['x']", "classes.A must be"),
            (
                "[classes.a]\nexec = []",
                "classes.a.exec must name a program",
            ),
            (
                "[classes.a]\nexec = ['x']\ndeadline_seconds = 0",
                "classes.a.deadline_seconds must",
            ),
            (
                "[classes.a]\nexec = ['x']\nattempts_max = 0",
                "classes.a.attempts_max must be",
            ),
            (
                "[classes.a]\nexec = ['x']\nenv = { 'A=B' = 'c' }",
                "classes.a.env has the name",
            ),
            ("concurrency = 0", "concurrency must be 1 to 1000"),
            ("listen = 'nowhere'", "invalid socket address"),
            ("[classes.a]\nexec = 'x'", "expected a sequence"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn a_provisioner_inherits_a_path_and_nothing_that_is_not_named() {
        let config = parse("[classes.a]\nexec = ['x']\nenv = { TOKEN = 't' }").unwrap();
        let names: Vec<_> = config
            .classes
            .values()
            .flat_map(|c| c.exec.environment.keys())
            .collect();
        assert!(names.iter().any(|name| *name == "TOKEN"));
        assert!(
            names
                .iter()
                .all(|n| *n == "TOKEN" || INHERITED.contains(&n.as_str())),
            "{names:?}"
        );
    }
}
