//! What there is to configure, told three ways: a JSON Schema, an example, and the reference.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keys::{Absent, Below, Key, Keys, Kind, Setting};
use super::table::{INSTEAD, ROOT};

/// What a name of a class or of a worker looks like.
const NAME: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// The JSON Schema of `tenure.toml`, draft 2020-12.
pub fn schema() -> Value {
    let mut schema = object(&ROOT);
    let (one, other) = INSTEAD;
    schema.insert("not".to_owned(), json!({ "required": [one, other] }));
    let mut whole = Map::new();
    whole.insert(
        "$schema".to_owned(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    whole.insert("title".to_owned(), "tenure.toml".into());
    whole.extend(schema);
    Value::Object(whole)
}

fn object(keys: &Keys) -> Map<String, Value> {
    let below = |key: &Key| {
        let schema = match &key.below {
            Below::Value(setting) => setting.schema(),
            Below::Table(keys) | Below::Optional(keys) => object(keys),
            Below::Named(keys) => named(keys),
        };
        (key.name.to_owned(), Value::Object(schema))
    };
    let properties: Map<String, Value> = keys.all.iter().map(below).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("additionalProperties".to_owned(), false.into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !keys.needed.is_empty() {
        schema.insert("required".to_owned(), json!(keys.needed));
    }
    if !keys.one_of.is_empty() {
        let each = |key: &&str| json!({ "required": [key] });
        let one_of: Vec<Value> = keys.one_of.iter().map(each).collect();
        schema.insert("oneOf".to_owned(), one_of.into());
    }
    schema
}

fn named(keys: &Keys) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert(
        "propertyNames".to_owned(),
        json!({ "pattern": NAME, "maxLength": 63 }),
    );
    schema.insert(
        "additionalProperties".to_owned(),
        Value::Object(object(keys)),
    );
    schema
}

impl Setting {
    fn schema(&self) -> Map<String, Value> {
        let mut schema = self.kind.schema();
        schema.insert("description".to_owned(), self.meaning.into());
        let default = match self.absent {
            Absent::Text(text) => Some(Value::from(text)),
            Absent::Number(number) => Some(number.into()),
            Absent::Boolean(truth) => Some(truth.into()),
            Absent::Nothing | Absent::Said(_) | Absent::Times(..) => None,
        };
        schema.extend(default.map(|default| ("default".to_owned(), default)));
        schema
    }
}

impl Kind {
    fn schema(self) -> Map<String, Value> {
        let schema = match self {
            Self::Store | Self::Web | Self::Endpoint | Self::Text | Self::Path | Self::Address => {
                json!({ "type": "string" })
            }
            Self::Digest => json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::True => json!({ "const": true }),
            Self::Number(least, u32::MAX) => json!({ "type": "integer", "minimum": least }),
            Self::Number(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Word(words) => json!({ "enum": words }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Pointers => {
                let pointer = json!({ "type": "string", "format": "json-pointer" });
                json!({ "type": "array", "items": pointer })
            }
            Self::Program => {
                json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
            }
            Self::Table | Self::Secrets => {
                json!({ "type": "object", "additionalProperties": { "type": "string" } })
            }
            Self::Object => json!({ "type": "object" }),
        };
        match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        }
    }

    /// What stands in the example where there is no default.
    const fn sample(self) -> &'static str {
        match self {
            Self::Store => "\"sqlite:PATH\"",
            Self::Web | Self::Endpoint => "\"https://HOST\"",
            Self::Text | Self::Digest | Self::Word(_) => "\"TEXT\"",
            Self::Path => "\"FILE\"",
            Self::Address => "\"127.0.0.1:7310\"",
            Self::Boolean | Self::True => "true",
            Self::Number(..) => "1",
            Self::Texts => "[\"TEXT\"]",
            Self::Pointers => "[\"/PATH\"]",
            Self::Program => "[\"PROGRAM\", \"ARGUMENT\"]",
            Self::Table | Self::Secrets => "{ NAME = \"TEXT\" }",
            Self::Object => "{ NAME = 1 }",
        }
    }
}

/// A file with every key at its default. What has none is commented out, and so are tables that need
/// not be there.
pub fn example() -> String {
    let mut text = "# Every key at its default. What is commented out has none.\n".to_owned();
    part(&mut text, &ROOT, "", "");
    text
}

/// A table; each line begins with `mark` where it must not count.
fn part(text: &mut String, keys: &Keys, prefix: &str, mark: &str) {
    for key in keys.all {
        if let Below::Value(setting) = &key.below {
            let (mark, value) = match setting.absent {
                Absent::Text(text) => (mark, format!("\"{text}\"")),
                Absent::Number(number) => (mark, number.to_string()),
                Absent::Boolean(truth) => (mark, truth.to_string()),
                Absent::Nothing | Absent::Said(_) | Absent::Times(..) => {
                    ("# ", setting.kind.sample().to_owned())
                }
            };
            let _written = write!(
                text,
                "\n# {}\n{mark}{} = {value}\n",
                sentence(setting),
                key.name
            );
        }
    }
    for key in keys.all {
        let name = key.name;
        let (keys, table, mark) = match &key.below {
            Below::Value(_) => continue,
            Below::Table(keys) => (keys, format!("{prefix}{name}"), mark),
            Below::Optional(keys) => (keys, format!("{prefix}{name}"), "# "),
            Below::Named(keys) => (keys, format!("{prefix}{name}.name"), "# "),
        };
        let _written = writeln!(text, "\n{mark}[{table}]");
        part(text, keys, &format!("{table}."), mark);
    }
}

/// What a key means, and what counts without it if that is no value.
fn sentence(setting: &Setting) -> String {
    let mut letters = setting.meaning.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let meaning: String = first.chain(letters).collect();
    match setting.absent {
        Absent::Said(words) | Absent::Times(words, ..) => format!("{meaning}. Absent: {words}."),
        _ => format!("{meaning}."),
    }
}
