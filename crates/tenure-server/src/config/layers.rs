//! The layers of the configuration, laid one over the other: each key has the value of the highest
//! that has it, and where that came from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::class::json_of;
use super::environment::absolute;
use super::keys::{Below, Keys, Kind, line_at};
use super::table::{INSTEAD, ROOT};
use super::{Broken, ConfigError, Environment, Written};

/// What a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    environment: Environment,
    flags: Flags,
}

/// What the command line says of the configuration.
#[derive(Clone, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the command line builds it field by field"
)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--store`
    pub store: Option<String>,
    /// `--behind-proxy`
    pub behind_proxy: bool,
    /// `--tls-cert`
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`
    pub tls_key: Option<PathBuf>,
    /// `--otlp-endpoint`
    pub otlp_endpoint: Option<String>,
}

/// Shows no URL with the password that it may hold.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags")
            .field("listen", &self.listen)
            .field("store", &self.store.as_deref().map(crate::cli::redacted))
            .field("behind_proxy", &self.behind_proxy)
            .field("tls_cert", &self.tls_cert)
            .field("tls_key", &self.tls_key)
            .field("otlp_endpoint", &self.otlp_endpoint.as_ref().map(|_| "…"))
            .finish()
    }
}

/// Where a value came from. A value that came from nowhere is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// All layers, laid one over the other.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) table: Table,
    /// Where each key came from, as errors spell it.
    pub(super) origins: BTreeMap<String, Origin>,
    /// The lines where tables of the file begin.
    tables: BTreeMap<String, usize>,
    file: Option<PathBuf>,
}

impl Sources {
    /// The file of this folder, if there is one, or the one that the environment names; and the
    /// environment.
    pub fn of(environment: Environment) -> Self {
        let here = environment.folder().join(super::FILE_NAME);
        // Named as people name it, so that errors do too.
        let here = here.exists().then(|| PathBuf::from(super::FILE_NAME));
        Self {
            file: environment.file().or(here),
            environment,
            flags: Flags::default(),
        }
    }

    /// This file instead, if one is given.
    #[must_use]
    pub fn with_file(mut self, file: Option<PathBuf>) -> Self {
        self.file = file.or(self.file);
        self
    }

    /// This environment instead.
    #[must_use]
    pub(super) fn with_environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// And what the command line says.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The folder that relative paths of flags start from.
    fn folder(&self) -> &Path {
        self.environment.folder()
    }

    /// The folder that relative paths start from: that of the file, or else of the environment.
    pub(super) fn base(&self) -> std::io::Result<PathBuf> {
        let Some(file) = &self.file else {
            return std::path::absolute(self.folder().join("."));
        };
        let file = std::path::absolute(self.folder().join(file))?;
        Ok(file.parent().unwrap_or(&file).to_owned())
    }
}

impl Layers {
    /// Reads all layers; what is wrong with them is added.
    pub(super) fn read(sources: &Sources, wrong: &mut Vec<ConfigError>) -> Self {
        let mut layers = Self::default();
        if let Some(path) = &sources.file {
            let path_read = sources.folder().join(path);
            match std::fs::read_to_string(&path_read) {
                Ok(text) => layers.lay_file(&text, path, wrong),
                Err(cause) => wrong.push(ConfigError::Unreadable {
                    path: path.clone(),
                    cause,
                }),
            }
        }
        layers.lay_over(sources, wrong);
        layers
    }

    /// Lays the text of a file down: the lowest layer.
    pub(super) fn lay_file(&mut self, text: &str, path: &Path, wrong: &mut Vec<ConfigError>) {
        self.file = Some(path.to_owned());
        let syntax = |error: &toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            why: error.message().to_owned(),
        };
        let parsed = DeTable::parse(text).and_then(|table| Ok((table, toml::from_str(text)?)));
        let (lines, table) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return wrong.push(syntax(&error)),
        };
        ROOT.check((text, path), lines.get_ref(), "", wrong);
        self.note((text, path), (lines.get_ref(), &table), &ROOT, "", wrong);
        self.table = table;
    }

    /// Notes where each key stands, and refuses what has the wrong type.
    fn note(
        &mut self,
        (text, path): (&str, &Path),
        (lines, table): (&DeTable<'_>, &Table),
        keys: &Keys,
        prefix: &str,
        wrong: &mut Vec<ConfigError>,
    ) {
        for (key, inner) in lines {
            let name = format!("{prefix}{}", key.get_ref());
            let known = keys.find(key.get_ref()).map(|key| &key.below);
            let (Some(below), Some(value)) = (known, table.get(key.get_ref().as_ref())) else {
                continue;
            };
            let line = line_at(text, key.span().start);
            if matches!(inner.get_ref(), DeValue::Table(_)) {
                self.tables.insert(name.clone(), line);
            }
            let path = path.to_owned();
            let mut wrong_key = name.clone();
            let rule = match (below, inner.get_ref(), value) {
                // A time would become a text when the layers are one.
                (Below::Value(setting), _, Value::Table(_)) if setting.kind.is_object() => {
                    json_of(value.clone(), &name).err().map(|broken| {
                        wrong_key = broken.key;
                        broken.rule
                    })
                }
                (Below::Value(setting), ..) => setting.kind.misfit(value),
                (
                    Below::Table(keys) | Below::Optional(keys),
                    DeValue::Table(lines),
                    Value::Table(table),
                ) => {
                    let prefix = format!("{name}.");
                    self.note((text, &path), (lines, table), keys, &prefix, wrong);
                    continue;
                }
                (Below::Named(keys), DeValue::Table(lines), Value::Table(table)) => {
                    self.note_named((text, &path), (lines, table), keys, &name, wrong);
                    continue;
                }
                _ => Some("must be a table".to_owned()),
            };
            if let Some(rule) = rule {
                wrong.push(ConfigError::Type {
                    path: path.clone(),
                    line,
                    key: wrong_key,
                    rule,
                });
            }
            self.origins.insert(name, Origin::File { path, line });
        }
    }

    /// The same for each table of those that have a name.
    fn note_named(
        &mut self,
        (text, path): (&str, &Path),
        (lines, table): (&DeTable<'_>, &Table),
        keys: &Keys,
        above: &str,
        wrong: &mut Vec<ConfigError>,
    ) {
        for (key, inner) in lines {
            let name = format!("{above}.{}", key.get_ref());
            let line = line_at(text, key.span().start);
            self.tables.insert(name.clone(), line);
            match (inner.get_ref(), table.get(key.get_ref().as_ref())) {
                (DeValue::Table(lines), Some(Value::Table(table))) => {
                    let prefix = format!("{name}.");
                    self.note((text, path), (lines, table), keys, &prefix, wrong);
                }
                _ => wrong.push(ConfigError::Type {
                    path: path.to_owned(),
                    line,
                    key: name,
                    rule: "must be a table".to_owned(),
                }),
            }
        }
    }

    /// Lays the environment over it, and the flags over that.
    pub(super) fn lay_over(&mut self, sources: &Sources, wrong: &mut Vec<ConfigError>) {
        let given = sources.environment.keys(wrong);
        self.lay(given.into_iter().map(|given| {
            let origin = Origin::Variable(given.variable);
            (given.key, given.value, origin)
        }));
        let flags = sources.flags.keys(sources.folder(), wrong);
        self.lay(flags.into_iter().map(|(key, value, flag)| {
            let origin = Origin::Flag(flag);
            (key.to_owned(), value, origin)
        }));
    }

    fn lay(&mut self, layer: impl Iterator<Item = (String, Value, Origin)>) {
        let layer: Vec<_> = layer.collect();
        let (one, other) = INSTEAD;
        if layer.iter().any(|(key, ..)| key == one || key == other) {
            for key in [one, other] {
                self.table.remove(key);
                self.origins.remove(key);
            }
        }
        for (key, value, origin) in layer {
            let path: Vec<&str> = key.split('.').collect();
            put(&mut self.table, &path, value);
            self.origins.insert(key, origin);
        }
    }

    /// What all layers say together, without the keys that could not be read.
    pub(super) fn whole(&self, unread: &[String]) -> Result<Written, ConfigError> {
        let mut table = self.table.clone();
        for key in unread {
            let path: Vec<&str> = key.split('.').collect();
            take(&mut table, &path);
        }
        // Each type was looked at before. What serde says may have a value in it.
        Written::deserialize(Value::Table(table)).map_err(|_| ConfigError::Invalid {
            path: self.named(),
            line: None,
            key: "a value".to_owned(),
            rule: "has a type that this program can't read; please report it".to_owned(),
        })
    }

    /// The error that a broken rule is, where the value came from.
    pub(super) fn error(&self, broken: Broken) -> ConfigError {
        let Broken { key, rule } = broken;
        let (is_own, origin) = match self.origin(&key) {
            Some(origin) => (true, Some(origin)),
            // What is missing is missing to who began its table.
            None => (false, self.begun_by(&key)),
        };
        let rule = if is_own {
            rule
        } else {
            match origin {
                Some(Origin::Variable(_) | Origin::Flag(_)) => format!("{key} {rule}"),
                _ => rule,
            }
        };
        match origin {
            Some(Origin::Variable(name)) => ConfigError::Variable {
                name: name.clone(),
                rule,
            },
            Some(Origin::Flag(name)) => ConfigError::Flag { name, rule },
            Some(Origin::File { line, .. }) => ConfigError::Invalid {
                path: self.named(),
                line: Some(*line),
                key,
                rule,
            },
            None => ConfigError::Invalid {
                path: self.named(),
                line: self.line_of_table(&key),
                key,
                rule,
            },
        }
    }

    /// Where a key came from, or what it is a part of.
    fn origin(&self, key: &str) -> Option<&Origin> {
        above(key).find_map(|key| self.origins.get(key))
    }

    /// The line where a table begins, or the one that it is in.
    fn line_of_table(&self, key: &str) -> Option<usize> {
        above(key).find_map(|key| self.tables.get(key)).copied()
    }

    /// The variable or flag that speaks of the table of a key, if the file does not.
    fn begun_by(&self, key: &str) -> Option<&Origin> {
        let (table, _) = key.rsplit_once('.')?;
        if self.line_of_table(key).is_some() {
            return None;
        }
        let is_in = |key: &str| {
            let rest = key.strip_prefix(table);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let mut found = self.origins.iter().filter(|(key, _)| is_in(key));
        found.next().map(|(_, origin)| origin)
    }

    /// The file, or what stands for it in errors.
    fn named(&self) -> PathBuf {
        let file = self.file.clone();
        file.unwrap_or_else(|| PathBuf::from("the configuration"))
    }
}

impl Flags {
    fn keys(
        &self,
        folder: &Path,
        wrong: &mut Vec<ConfigError>,
    ) -> Vec<(&'static str, Value, &'static str)> {
        let mut keys = Vec::new();
        if let Some(listen) = self.listen {
            keys.push(("listen", listen.to_string().into(), "--listen"));
        }
        if let Some(store) = &self.store {
            let store = absolute(Kind::Store, store.clone().into(), folder);
            keys.push(("store", store, "--store"));
        }
        if self.behind_proxy {
            keys.push(("behind_proxy", true.into(), "--behind-proxy"));
        }
        if let Some(endpoint) = &self.otlp_endpoint {
            let key = "telemetry.otlp_endpoint";
            keys.push((key, endpoint.clone().into(), "--otlp-endpoint"));
        }
        let files = [
            ("tls.cert_file", &self.tls_cert, "--tls-cert"),
            ("tls.key_file", &self.tls_key, "--tls-key"),
        ];
        for (key, file, name) in files {
            match file.as_deref().map(|file| (file, file.to_str())) {
                None => {}
                Some((_, Some(text))) => {
                    keys.push((key, absolute(Kind::Path, text.into(), folder), name));
                }
                Some((_, None)) => wrong.push(ConfigError::Flag {
                    name,
                    rule: "must be text in UTF-8".to_owned(),
                }),
            }
        }
        keys
    }
}

/// A key, and each table that it is in.
fn above(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| {
        key.rsplit_once('.').map(|(above, _)| above)
    })
}

/// Takes a value away, wherever it is.
fn take(table: &mut Table, path: &[&str]) {
    match path {
        [] => {}
        [name] => drop(table.remove(*name)),
        [first, rest @ ..] => {
            if let Some(Value::Table(below)) = table.get_mut(*first) {
                take(below, rest);
            }
        }
    }
}

/// Puts a value where its key says, with the tables that it is in.
pub(super) fn put(table: &mut Table, path: &[&str], value: Value) {
    match path {
        [] => {}
        [name] => drop(table.insert((*name).to_owned(), value)),
        [first, rest @ ..] => {
            let below = table
                .entry(*first)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                put(below, rest, value);
            }
        }
    }
}
