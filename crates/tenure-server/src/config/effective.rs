//! What counts of all that is said and not said, and where each of it comes from. Shows no secret.

use std::path::Path;

use serde::Serialize;
use toml::{Table, Value};

use super::environment::absolute;
use super::keys::{Absent, Below, Keys, Kind, Setting};
use super::layers::{Layers, Origin, put};
use super::table::{INSTEAD, ROOT};
use super::{Config, ConfigError, Sources, resolve_program};
use crate::cli::redacted;

/// What stands for what may be secret.
const HIDDEN: &str = "…";

/// A key and the value that counts.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Effective {
    /// The key, with the tables that it is in.
    pub key: String,
    /// Its value, paths absolute; `…` stands for what may be secret.
    pub value: Value,
    /// Where it comes from: `default`, `tenure.toml:12`, `environment TENURE_LISTEN`, `flag --listen`.
    pub origin: String,
    #[serde(skip)]
    path: Vec<String>,
}

/// Every key that has a value, in the order of the reference.
///
/// # Errors
///
/// What [`Config::load`] refuses.
pub fn effective(sources: &Sources) -> Result<Vec<Effective>, ConfigError> {
    let mut wrong = Vec::new();
    let layers = Layers::read(sources, &mut wrong);
    Config::of(&layers, sources.base(), wrong)?;
    let folder = sources.base().map_err(|cause| ConfigError::Unreadable {
        path: ".".into(),
        cause,
    })?;
    let mut walk = Walk {
        folder: &folder,
        layers: &layers,
        found: Vec::new(),
    };
    walk.table(&ROOT, &layers.table, &[]);
    Ok(walk.found)
}

/// The same as tables in tables, as the file has them.
pub fn tables(all: &[Effective]) -> Table {
    let mut whole = Table::new();
    for each in all {
        let path: Vec<&str> = each.path.iter().map(String::as_str).collect();
        put(&mut whole, &path, each.value.clone());
    }
    whole
}

struct Walk<'a> {
    folder: &'a Path,
    layers: &'a Layers,
    found: Vec<Effective>,
}

impl Walk<'_> {
    fn table(&mut self, keys: &'static Keys, table: &Table, above: &[String]) {
        let none = Table::new();
        for key in keys.all {
            let path = [above, &[key.name.to_owned()]].concat();
            let given = table.get(key.name);
            let inner = given.and_then(Value::as_table);
            match &key.below {
                Below::Value(setting) => self.value(setting, given, path),
                Below::Table(keys) => self.table(keys, inner.unwrap_or(&none), &path),
                Below::Optional(keys) => {
                    if let Some(inner) = inner {
                        self.table(keys, inner, &path);
                    }
                }
                Below::Named(keys) => {
                    for (name, each) in inner.unwrap_or(&none) {
                        let path = [path.as_slice(), std::slice::from_ref(name)].concat();
                        self.table(keys, each.as_table().unwrap_or(&none), &path);
                    }
                }
            }
        }
    }

    fn value(&mut self, setting: &Setting, given: Option<&Value>, path: Vec<String>) {
        let key = path.join(".");
        let (one, other) = INSTEAD;
        if given.is_none() && key == one && self.layers.table.contains_key(other) {
            return;
        }
        let default = || setting.absent.value(&self.layers.table);
        let Some(value) = given.cloned().or_else(default) else {
            return;
        };
        let origin = self.layers.origins.get(&key).map(Origin::to_string);
        self.found.push(Effective {
            key,
            value: shown(
                setting.kind,
                absolute(setting.kind, value, self.folder),
                self.folder,
            ),
            origin: origin.unwrap_or_else(|| "default".to_owned()),
            path,
        });
    }
}

impl Absent {
    /// The value that counts in place of one, if any does.
    pub(super) fn value(self, root: &Table) -> Option<Value> {
        match self {
            Self::Nothing | Self::Said(_) => None,
            Self::Text(text) => Some(text.into()),
            Self::Number(number) => Some(number.into()),
            Self::Boolean(truth) => Some(truth.into()),
            Self::Times(_, times, key) => {
                let number = number(root, key)?;
                Some(number.saturating_mul(times.into()).into())
            }
        }
    }
}

/// The number that a key of the file has, or has without being written.
fn number(root: &Table, key: &str) -> Option<i64> {
    let written = key
        .split('.')
        .try_fold(None, |at: Option<&Value>, part| {
            let table = at.map_or(Some(root), Value::as_table)?;
            table.get(part).map(Some)
        })
        .flatten();
    let default = || ROOT.setting(key)?.absent.value(root);
    written.cloned().or_else(default)?.as_integer()
}

/// The same value without what may be secret.
fn shown(kind: Kind, value: Value, folder: &Path) -> Value {
    match (kind, value) {
        (Kind::Store | Kind::Web, Value::String(url)) => redacted(&url).into(),
        (Kind::Endpoint, Value::String(url)) => endpoint(&url).into(),
        (Kind::Digest, _) => HIDDEN.into(),
        (Kind::Program, Value::Array(words)) => {
            let each = |(index, word): (usize, Value)| match (index, word.as_str()) {
                (0, Some(program)) => {
                    let program = resolve_program(program, folder);
                    program.to_string_lossy().into_owned().into()
                }
                _ => Value::from(HIDDEN),
            };
            Value::Array(words.into_iter().enumerate().map(each).collect())
        }
        (Kind::Secrets | Kind::Object, value) => without_texts(value),
        (_, value) => value,
    }
}

/// An address without its path, where there may be a token.
fn endpoint(url: &str) -> String {
    let url = redacted(url);
    let host = url.find("://").map_or(0, |at| at.saturating_add(3));
    match url.get(host..).and_then(|rest| rest.split_once('/')) {
        Some((_, "")) | None => url,
        Some((name, _)) => {
            let scheme = url.get(..host).unwrap_or_default();
            format!("{scheme}{name}/{HIDDEN}")
        }
    }
}

fn without_texts(value: Value) -> Value {
    match value {
        Value::String(_) => HIDDEN.into(),
        Value::Array(values) => Value::Array(values.into_iter().map(without_texts).collect()),
        Value::Table(table) => {
            let each = |(name, value)| (name, without_texts(value));
            Value::Table(table.into_iter().map(each).collect())
        }
        value => value,
    }
}
