//! `tenure.toml`: where the record is kept, where the API listens, and what makes tenants.
//!
//! A flag goes before the file, the file before the default. A key that is not known is refused with
//! the nearest one that is: a misspelt deadline must not become a default in silence. Relative paths
//! are relative to the folder of the file, wherever the command is run. What the file names is read
//! with it, schemas and tokens, so a mistake in them is found at the start; no token is kept.

mod class;
mod keys;
mod policy;
mod surface;
#[cfg(test)]
mod tests;
mod transport;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tenure::{ClassName, ClassRules};
use toml::de::DeTable;

use self::class::FileClass;
use self::surface::{FileAuth, FileLimits, FileTelemetry, FileTls};
use self::worker::FileWorker;
use crate::api::Limits;
use crate::classes::Classes;

pub use self::class::{Breaker, Class};
pub use self::keys::nearest;
pub use self::surface::{Auth, LogFormat, Oidc, Rate, Telemetry, Tls};
pub use self::transport::{Exec, Http, Transport};
pub(crate) use self::transport::{inherited, resolve_program};
pub use self::worker::Worker;

/// The name of the file.
pub const FILE_NAME: &str = "tenure.toml";

/// The store that is used if none is named.
pub const STORE: &str = "sqlite:.tenure/tenure.db";

/// Where the API listens if nothing is said: loopback, so that nobody else reaches it.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7310);

/// The longest time that a class can give to one operation: a day.
const SECONDS_MAX: u64 = 24 * 60 * 60;

/// Most operations at once.
const CONCURRENCY_MAX: usize = 1_000;

/// Most of anything that is counted by the minute or the hour.
const COUNT_MAX: u32 = 1_000_000;

/// What `tenure.toml` says, with every default filled in and every path made absolute.
#[derive(Clone)]
pub struct Config {
    /// Where the record is kept, as a URL.
    pub store: String,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// How many operations run at once.
    pub concurrency: usize,
    /// Whether a proxy before this server ends TLS, so that it may listen beyond loopback without.
    pub behind_proxy: bool,
    /// Whether changes of a tenant must say which revision they saw.
    pub require_if_match: bool,
    /// TLS, if this server ends it.
    pub tls: Option<Tls>,
    /// Who may come in.
    pub auth: Auth,
    /// What requests may take.
    pub limits: Limits,
    /// What the server tells of itself.
    pub telemetry: Telemetry,
    /// What makes tenants, by class.
    pub classes: BTreeMap<ClassName, Class>,
    /// Who may ask for the work of classes with `pull = true`, by name.
    pub workers: BTreeMap<String, Worker>,
}

/// Shows the store without the password that its URL may hold.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("store", &crate::cli::redacted(&self.store))
            .field("listen", &self.listen)
            .field("concurrency", &self.concurrency)
            .field("behind_proxy", &self.behind_proxy)
            .field("require_if_match", &self.require_if_match)
            .field("tls", &self.tls)
            .field("auth", &self.auth)
            .field("limits", &self.limits)
            .field("telemetry", &self.telemetry)
            .field("classes", &self.classes)
            .field("workers", &self.workers)
            .finish()
    }
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
    behind_proxy: Option<bool>,
    require_if_match: Option<bool>,
    tls: Option<FileTls>,
    #[serde(default)]
    auth: FileAuth,
    #[serde(default)]
    limits: FileLimits,
    #[serde(default)]
    telemetry: FileTelemetry,
    #[serde(default)]
    classes: BTreeMap<String, FileClass>,
    #[serde(default)]
    workers: BTreeMap<String, FileWorker>,
}

/// A rule that a value breaks.
struct Broken {
    /// The key, below the table that is being read; empty for the table itself.
    key: String,
    rule: String,
}

impl Broken {
    fn under(self, table: &str) -> Self {
        let key = if self.key.is_empty() {
            table.to_owned()
        } else {
            format!("{table}.{}", self.key)
        };
        Self { key, ..self }
    }
}

fn broken(key: &str, rule: impl Into<String>) -> Broken {
    Broken {
        key: key.to_owned(),
        rule: rule.into(),
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: STORE.to_owned(),
            listen: LISTEN,
            concurrency: 8,
            behind_proxy: false,
            require_if_match: false,
            tls: None,
            auth: Auth::default(),
            limits: Limits::default(),
            telemetry: Telemetry::default(),
            classes: BTreeMap::new(),
            workers: BTreeMap::new(),
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

    /// What the classes ask of `desired`.
    pub fn rules(&self) -> Arc<dyn ClassRules> {
        Arc::new(self.classes())
    }

    /// The same, to be asked what they find.
    pub fn classes(&self) -> Classes {
        let asked = |(name, class): (&ClassName, &Class)| {
            (name.clone(), class.schema.clone(), class.defaults.clone())
        };
        Classes::new(self.classes.iter().map(asked))
    }

    fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self, ConfigError> {
        let syntax = |cause| ConfigError::Syntax {
            path: path.to_owned(),
            cause,
        };
        let table = DeTable::parse(text).map_err(syntax)?;
        keys::ROOT.check(text, path, table.get_ref(), "")?;
        let file: File = toml::from_str(text).map_err(syntax)?;
        Self::check(file, folder).map_err(|Broken { key, rule }| ConfigError::Invalid {
            path: path.to_owned(),
            key,
            rule,
        })
    }

    fn check(file: File, folder: &Path) -> Result<Self, Broken> {
        let mut config = Self::default();
        config.store = resolve_store(&file.store.unwrap_or(config.store), folder);
        config.listen = file.listen.unwrap_or(config.listen);
        config.concurrency = file.concurrency.unwrap_or(config.concurrency);
        if !(1..=CONCURRENCY_MAX).contains(&config.concurrency) {
            return Err(broken("concurrency", "must be 1 to 1000"));
        }
        config.behind_proxy = file.behind_proxy.unwrap_or(false);
        config.require_if_match = file.require_if_match.unwrap_or(false);
        let tls = file.tls.map(|tls| tls.check(folder)).transpose();
        config.tls = tls.map_err(|broken| broken.under("tls"))?;
        let auth = file.auth.check(folder);
        config.auth = auth.map_err(|broken| broken.under("auth"))?;
        let limits = file.limits.check();
        config.limits = limits.map_err(|broken| broken.under("limits"))?;
        let telemetry = file.telemetry.check();
        config.telemetry = telemetry.map_err(|broken| broken.under("telemetry"))?;
        for (name, class) in file.classes {
            let at = |broken: Broken| broken.under(&format!("classes.{name}"));
            let parsed: ClassName = name
                .parse()
                .map_err(|invalid: tenure::Invalid| at(broken("", invalid.rule())))?;
            config
                .classes
                .insert(parsed, class.check(folder).map_err(at)?);
        }
        config.workers = worker::check(file.workers, &config.classes, folder)?;
        Ok(config)
    }
}

fn seconds(key: &str, given: Option<u64>, default: Duration) -> Result<Duration, Broken> {
    match given {
        None => Ok(default),
        Some(seconds @ 1..=SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(broken(key, format!("must be 1 to {SECONDS_MAX}"))),
    }
}

fn count(key: &str, given: Option<u32>, default: u32) -> Result<u32, Broken> {
    match given {
        None => Ok(default),
        Some(count @ 1..=COUNT_MAX) => Ok(count),
        Some(_) => Err(broken(key, format!("must be 1 to {COUNT_MAX}"))),
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
