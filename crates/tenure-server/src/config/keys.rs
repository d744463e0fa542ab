//! What a key of the configuration may be, and the refusal of any that is none, with the nearest one.
//!
//! The keys themselves are in [`table`](super::table). The parser, the environment, the reference,
//! the schema and the example all go by that one table.

use std::net::SocketAddr;
use std::path::Path;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// The keys of one table.
pub(super) struct Keys {
    pub(super) all: &'static [Key],
    /// Those that the table must have.
    pub(super) needed: &'static [&'static str],
    /// Those of which the table must have exactly one.
    pub(super) one_of: &'static [&'static str],
}

/// A key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) below: Below,
}

/// What may stand below a key.
pub(super) enum Below {
    /// A value, or a table whose keys are free.
    Value(Setting),
    /// One table, which is there whether it is written or not.
    Table(&'static Keys),
    /// One table, which need not be there.
    Optional(&'static Keys),
    /// A table for each name.
    Named(&'static Keys),
}

/// A key that takes a value.
pub(super) struct Setting {
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    /// What it means, without a stop.
    pub(super) meaning: &'static str,
}

/// What a value may be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The URL of a store, which may hold a password.
    Store,
    /// An address of the web, which may hold a password.
    Web,
    /// An address of the web whose path may hold a token too.
    Endpoint,
    /// Any text.
    Text,
    /// A hash: no secret, but nobody has to see it.
    Digest,
    /// A file.
    Path,
    /// An IP address and a port.
    Address,
    /// True or false.
    Boolean,
    /// Nothing but true.
    True,
    /// A whole number from one to the other.
    Number(u32, u32),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Texts.
    Texts,
    /// JSON Pointers.
    Pointers,
    /// A program and its arguments, which may be secret.
    Program,
    /// Texts by name.
    Table,
    /// Texts by name, which may be secret.
    Secrets,
    /// Any object that JSON can hold; its texts may be secret.
    Object,
}

/// What counts where a key is absent.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    /// Nothing: its table must have it, or one that stands for it.
    Nothing,
    /// This text.
    Text(&'static str),
    /// This number.
    Number(u32),
    /// This truth.
    Boolean(bool),
    /// What these words say, if it is no value of its own.
    Said(&'static str),
    /// What these words say: so many times the number that another key of the file has.
    Times(&'static str, u32, &'static str),
}

/// A key that takes a value.
pub(super) const fn value(
    name: &'static str,
    kind: Kind,
    absent: Absent,
    meaning: &'static str,
) -> Key {
    let below = Below::Value(Setting {
        kind,
        absent,
        meaning,
    });
    Key { name, below }
}

/// A key with something else below it.
pub(super) const fn key(name: &'static str, below: Below) -> Key {
    Key { name, below }
}

impl Keys {
    pub(super) const fn of(all: &'static [Key]) -> Self {
        Self {
            all,
            needed: &[],
            one_of: &[],
        }
    }

    pub(super) const fn needing(self, needed: &'static [&'static str]) -> Self {
        Self { needed, ..self }
    }

    pub(super) const fn with_one_of(self, one_of: &'static [&'static str]) -> Self {
        Self { one_of, ..self }
    }

    /// Refuses what is not known, here or below.
    pub(super) fn check(
        &self,
        (text, path): (&str, &Path),
        table: &DeTable<'_>,
        prefix: &str,
        wrong: &mut Vec<ConfigError>,
    ) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some(known) = self.find(name) else {
                wrong.push(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    line: line_at(text, key.span().start),
                    key: format!("{prefix}{name}"),
                    help: self.help(name, prefix),
                });
                continue;
            };
            // What is no table where one belongs is refused when it is read.
            let DeValue::Table(table) = value.get_ref() else {
                continue;
            };
            match known.below {
                Below::Value(_) => {}
                Below::Table(keys) | Below::Optional(keys) => {
                    keys.check((text, path), table, &format!("{prefix}{name}."), wrong);
                }
                Below::Named(keys) => {
                    for (each, table) in table {
                        if let DeValue::Table(table) = table.get_ref() {
                            let prefix = format!("{prefix}{name}.{}.", each.get_ref());
                            keys.check((text, path), table, &prefix, wrong);
                        }
                    }
                }
            }
        }
    }

    /// The key of this name.
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.all.iter().find(|known| known.name == name)
    }

    /// What takes the value of a key, with the tables that it is in; none of those has a name.
    pub(super) fn setting(&self, key: &str) -> Option<&'static Setting> {
        match (key.split_once('.'), self.find(key)) {
            (None, Some(key)) => match &key.below {
                Below::Value(setting) => Some(setting),
                _ => None,
            },
            (Some((first, rest)), _) => match self.find(first)?.below {
                Below::Table(keys) | Below::Optional(keys) => keys.setting(rest),
                _ => None,
            },
            (None, None) => None,
        }
    }

    fn help(&self, name: &str, prefix: &str) -> String {
        let known: Vec<&str> = self.all.iter().map(|known| known.name).collect();
        nearest(name, &known).map_or_else(
            || format!("known are {}", known.join(", ")),
            |near| format!("did you mean {prefix}{near}?"),
        )
    }
}

impl Kind {
    /// Reads a value that the environment gives.
    ///
    /// # Errors
    ///
    /// What it must be. The value itself is not said: it may be secret.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        let read = match self {
            Self::Store | Self::Web | Self::Endpoint | Self::Text | Self::Digest | Self::Path => {
                Some(text.into())
            }
            Self::Address => text.parse::<SocketAddr>().ok().map(|_| text.into()),
            Self::Boolean => text.parse().ok().map(Value::Boolean),
            Self::True => (text == "true").then_some(Value::Boolean(true)),
            Self::Number(least, most) => text
                .parse()
                .ok()
                .filter(|number| (i64::from(least)..=i64::from(most)).contains(number))
                .map(Value::Integer),
            Self::Word(words) => words.contains(&text).then(|| text.into()),
            Self::Texts | Self::Pointers | Self::Program => text.parse().ok().filter(is_texts),
            Self::Table | Self::Secrets => text.parse().ok().filter(is_table_of_texts),
            Self::Object => text.parse().ok().filter(Value::is_table),
        };
        read.ok_or_else(|| format!("must be {}", self.rule()))
    }

    /// What a value of the file must be, if its type is wrong. What else it must be, the parser says.
    pub(super) fn misfit(self, value: &Value) -> Option<String> {
        let fits = match self {
            Self::Store | Self::Web | Self::Endpoint | Self::Text | Self::Digest | Self::Path => {
                value.is_str()
            }
            Self::Address => value.as_str().is_some_and(|text| self.read(text).is_ok()),
            Self::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::Boolean | Self::True => value.is_bool(),
            Self::Number(..) => value
                .as_integer()
                .is_some_and(|number| u32::try_from(number).is_ok()),
            Self::Texts | Self::Pointers | Self::Program => is_texts(value),
            Self::Table | Self::Secrets => is_table_of_texts(value),
            Self::Object => value.is_table(),
        };
        (!fits).then(|| format!("must be {}", self.rule()))
    }

    /// Whether it is any object.
    pub(super) const fn is_object(self) -> bool {
        matches!(self, Self::Object)
    }

    /// What a value must be, after "must be".
    fn rule(self) -> String {
        match self {
            Self::Store | Self::Web | Self::Endpoint | Self::Text | Self::Digest => {
                "text".to_owned()
            }
            Self::Path => "a path".to_owned(),
            Self::Address => "an IP address and a port, such as 127.0.0.1:7310".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::True => "true".to_owned(),
            Self::Number(least, u32::MAX) => format!("{least} or more"),
            Self::Number(least, most) => format!("{least} to {most}"),
            Self::Word([before @ .., last]) => format!("{} or {last}", before.join(", ")),
            Self::Word([]) => "nothing".to_owned(),
            Self::Texts | Self::Pointers | Self::Program => {
                "a list of strings, such as [\"a\", \"b\"]".to_owned()
            }
            Self::Table | Self::Secrets => "a table of strings, such as { a = \"b\" }".to_owned(),
            Self::Object => "a table, such as { a = 1 }".to_owned(),
        }
    }
}

fn is_texts(value: &Value) -> bool {
    let texts = value.as_array();
    texts.is_some_and(|texts| texts.iter().all(Value::is_str))
}

fn is_table_of_texts(value: &Value) -> bool {
    let table = value.as_table();
    table.is_some_and(|table| table.values().all(Value::is_str))
}

/// The line, from 1, of a place in a text.
pub(super) fn line_at(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or_default();
    before.matches('\n').count() + 1
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
