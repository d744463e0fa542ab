//! `tenure.toml`: where the record is kept, where the API listens, and what makes tenants.
//!
//! A flag goes before the environment, that before the file, the file before the default. A key that is
//! not known is refused with the nearest one that is: a misspelt deadline must not become a default in
//! silence. Relative paths are relative to the folder of the file, wherever the command is run; in the
//! environment and in flags, to where it is run. What the file names is read with it, schemas and tokens,
//! so a mistake in them is found at the start; no token is kept.

mod class;
mod describe;
mod effective;
mod environment;
mod error;
mod keys;
mod layers;
mod policy;
#[cfg(test)]
mod reference;
mod surface;
mod table;
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

use self::class::FileClass;
use self::layers::Layers;
use self::surface::{FileAuth, FileLimits, FileTelemetry, FileTls};
use self::worker::FileWorker;
use crate::api::Limits;
use crate::classes::Classes;
use crate::open;

pub use self::class::{Breaker, Class};
pub use self::describe::{example, schema};
pub use self::effective::{Effective, effective, tables};
pub use self::environment::Environment;
pub use self::error::ConfigError;
pub use self::keys::nearest;
pub use self::layers::{Flags, Sources};
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

/// How long load balancers have to see that a server stops, if nothing is said.
const DRAIN_DELAY: Duration = Duration::from_secs(5);

/// The longest that they can have: an hour.
const DRAIN_DELAY_MAX: u64 = 60 * 60;

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
    /// How long the server serves on after SIGTERM, while it says that it stops.
    pub drain_delay: Duration,
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
            .field("drain_delay", &self.drain_delay)
            .field("tls", &self.tls)
            .field("auth", &self.auth)
            .field("limits", &self.limits)
            .field("telemetry", &self.telemetry)
            .field("classes", &self.classes)
            .field("workers", &self.workers)
            .finish()
    }
}

#[derive(Deserialize)]
struct Written {
    store: Option<String>,
    store_file: Option<String>,
    listen: Option<SocketAddr>,
    concurrency: Option<usize>,
    behind_proxy: Option<bool>,
    require_if_match: Option<bool>,
    drain_delay_seconds: Option<u64>,
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
        let key = match (table, self.key.as_str()) {
            (table, "") => table.to_owned(),
            ("", key) => key.to_owned(),
            (table, key) => format!("{table}.{key}"),
        };
        Self { key, ..self }
    }

    /// Whether it may be broken only because a key could not be read: it stands beside that, or is their table.
    fn may_follow_from(&self, unread: &str) -> bool {
        let is_in = |key: &str, table: &str| {
            let rest = key.strip_prefix(table);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let beside = unread.rsplit_once('.').map(|(table, _)| table);
        is_in(&self.key, unread) || beside.is_some_and(|table| is_in(&self.key, table))
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
            drain_delay: DRAIN_DELAY,
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
    /// Reads a file alone: nothing of the environment counts.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file and what to correct in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let sources = Sources::default().with_file(Some(path.to_owned()));
        Self::load(&sources)
    }

    /// Reads all that says something of it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what to correct, and where.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut wrong = Vec::new();
        let layers = Layers::read(sources, &mut wrong);
        Self::of(&layers, sources.base(), wrong)
    }

    /// Adds to what is wrong already. What could not be read is left out of what is checked, and so is
    /// what may be wrong because of that.
    fn of(
        layers: &Layers,
        folder: std::io::Result<PathBuf>,
        mut wrong: Vec<ConfigError>,
    ) -> Result<Self, ConfigError> {
        if wrong.iter().any(ConfigError::is_whole) {
            return Err(ConfigError::of_all(wrong));
        }
        let folder = folder.map_err(|cause| ConfigError::Unreadable {
            path: PathBuf::from("."),
            cause,
        })?;
        let unread: Vec<String> = wrong
            .iter()
            .filter_map(|error| error.unread().map(str::to_owned))
            .collect();
        match layers.whole(&unread) {
            Err(error) if wrong.is_empty() => return Err(error),
            Err(_) => {}
            Ok(written) => match Self::check(written, &folder) {
                Ok(config) if wrong.is_empty() => return Ok(config),
                Ok(_) => {}
                Err(broken) => {
                    let own = broken
                        .into_iter()
                        .filter(|broken| !unread.iter().any(|key| broken.may_follow_from(key)));
                    wrong.extend(own.map(|broken| layers.error(broken)));
                }
            },
        }
        Err(ConfigError::of_all(wrong))
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

    fn check(file: Written, folder: &Path) -> Result<Self, Vec<Broken>> {
        let mut wrong = Vec::new();
        let mut config = Self::default();
        let store = store_of(file.store, file.store_file, folder);
        config.store = noted(&mut wrong, store).unwrap_or_default();
        config.listen = file.listen.unwrap_or(config.listen);
        config.concurrency = file.concurrency.unwrap_or(config.concurrency);
        if !(1..=CONCURRENCY_MAX).contains(&config.concurrency) {
            wrong.push(broken("concurrency", "must be 1 to 1000"));
        }
        config.behind_proxy = file.behind_proxy.unwrap_or(false);
        config.require_if_match = file.require_if_match.unwrap_or(false);
        let delay = drain_delay(file.drain_delay_seconds);
        config.drain_delay = noted(&mut wrong, delay).unwrap_or_default();
        let tls = file.tls.map(|tls| tls.check(folder)).transpose();
        config.tls = all_noted(&mut wrong, "tls", tls).flatten();
        config.auth = all_noted(&mut wrong, "auth", file.auth.check(folder)).unwrap_or_default();
        config.limits = all_noted(&mut wrong, "limits", file.limits.check()).unwrap_or_default();
        let telemetry = file.telemetry.check().map_err(|broken| vec![broken]);
        config.telemetry = all_noted(&mut wrong, "telemetry", telemetry).unwrap_or_default();
        let mut are_sound = true;
        for (name, class) in file.classes {
            let table = format!("classes.{name}");
            let named = name.parse::<ClassName>();
            let named = named.map_err(|invalid| broken(&table, invalid.rule()));
            let named = noted(&mut wrong, named);
            match (named, all_noted(&mut wrong, &table, class.check(folder))) {
                (Some(named), Some(class)) => drop(config.classes.insert(named, class)),
                _ => are_sound = false,
            }
        }
        // They name classes, which must be there first.
        let known = are_sound.then_some(&config.classes);
        let workers = worker::check(file.workers, known, folder);
        config.workers = all_noted(&mut wrong, "workers", workers).unwrap_or_default();
        if wrong.is_empty() {
            Ok(config)
        } else {
            Err(wrong)
        }
    }
}

fn drain_delay(given: Option<u64>) -> Result<Duration, Broken> {
    match given {
        None => Ok(DRAIN_DELAY),
        Some(delay @ 0..=DRAIN_DELAY_MAX) => Ok(Duration::from_secs(delay)),
        Some(_) => Err(broken(
            "drain_delay_seconds",
            format!("must be 0 to {DRAIN_DELAY_MAX}"),
        )),
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

/// What was found, if nothing was wrong with it.
fn noted<T>(wrong: &mut Vec<Broken>, found: Result<T, Broken>) -> Option<T> {
    found.map_err(|broken| wrong.push(broken)).ok()
}

/// The same of a table, in which several things may be wrong.
fn all_noted<T>(wrong: &mut Vec<Broken>, table: &str, found: Result<T, Vec<Broken>>) -> Option<T> {
    let under = |broken: Vec<Broken>| broken.into_iter().map(|broken| broken.under(table));
    found.map_err(|broken| wrong.extend(under(broken))).ok()
}

/// What was made, if nothing was wrong with any part of it.
fn made<T>(wrong: Vec<Broken>, whole: Option<T>) -> Result<T, Vec<Broken>> {
    whole.filter(|_| wrong.is_empty()).ok_or(wrong)
}

/// The URL of the store, which is given, or stands in a file, or is the default.
fn store_of(given: Option<String>, file: Option<String>, folder: &Path) -> Result<String, Broken> {
    match (given, file) {
        (Some(_), Some(_)) => Err(broken(
            "store_file",
            "stands beside store; keep one of them",
        )),
        (given, None) => {
            let url = given.unwrap_or_else(|| STORE.to_owned());
            open::check(&url).map_err(|rule| broken("store", rule))?;
            Ok(resolve_store(&url, folder))
        }
        (None, Some(file)) => {
            let file = folder.join(file);
            let shown = file.display();
            let text = std::fs::read_to_string(&file).map_err(|error| {
                broken("store_file", format!("can't be read: {shown}: {error}"))
            })?;
            let url = text.trim();
            if url.is_empty() || url.contains(char::is_whitespace) {
                let rule = format!("must name a file with one URL; {shown} holds none");
                return Err(broken("store_file", rule));
            }
            let rule = |rule| format!("names {shown}, whose URL {rule}");
            open::check(url).map_err(|why| broken("store_file", rule(why)))?;
            Ok(resolve_store(url, file.parent().unwrap_or(folder)))
        }
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
