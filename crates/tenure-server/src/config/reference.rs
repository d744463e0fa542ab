//! The parts of `docs/reference/configuration.md` that are made from the table of keys, and the schema
//! beside it.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p tenure-server --lib reference` writes them anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::keys::{Absent, Below, Keys, Kind, Setting};
use super::table::ROOT;

/// What a part begins with; then come the table's name and ` -->`.
const BEGIN: &str = "<!-- made from the table of keys: ";

const END: &str = "<!-- end -->\n";

const HOW: &str = "UPDATE_SNAPSHOTS=1 cargo test -p tenure-server --lib reference";

fn docs(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    folder.join(name)
}

/// Fails if a file is behind, or writes it anew.
fn keep(name: &str, would_be: &str) {
    let path = docs(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, would_be).unwrap();
        return;
    }
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(is == would_be, "docs/reference/{name} is behind: {HOW}");
}

#[test]
fn the_reference_says_what_every_key_takes_and_means() {
    let text = std::fs::read_to_string(docs("configuration.md")).unwrap();
    let mut tables = Vec::new();
    list(&mut tables, &ROOT, "");
    let mut made = String::new();
    let mut parts = text.split(BEGIN);
    made.push_str(parts.next().unwrap());
    let mut told = Vec::new();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let found = tables.iter().find(|(prefix, _)| prefix == name);
        let (_, rows) = found.unwrap_or_else(|| panic!("there is no table {name}"));
        let head = "| key | type | default | meaning |\n|---|---|---|---|\n";
        let _written = write!(made, "{BEGIN}{name} -->\n{head}{rows}{END}{after}");
        told.push(name);
    }
    let all: Vec<&str> = tables.iter().map(|(prefix, _)| prefix.as_str()).collect();
    assert_eq!(told, all, "each table has its part, in this order");
    keep("configuration.md", &made);
}

#[test]
fn the_schema_is_what_the_program_prints() {
    let text = serde_json::to_string_pretty(&super::schema()).unwrap();
    keep("tenure.schema.json", &format!("{text}\n"));
}

/// Each table that has values of its own, with a row for each.
fn list(tables: &mut Vec<(String, String)>, keys: &Keys, prefix: &str) {
    let mut rows = String::new();
    for key in keys.all {
        if let Below::Value(setting) = &key.below {
            row(&mut rows, &format!("{prefix}{}", key.name), setting);
        }
    }
    let name = prefix.strip_suffix('.').unwrap_or("tenure.toml");
    if !rows.is_empty() {
        tables.push((name.to_owned(), rows));
    }
    for key in keys.all {
        match &key.below {
            Below::Value(_) => {}
            Below::Table(keys) | Below::Optional(keys) => {
                list(tables, keys, &format!("{prefix}{}.", key.name));
            }
            Below::Named(keys) => list(tables, keys, &format!("{prefix}{}.NAME.", key.name)),
        }
    }
}

fn row(rows: &mut String, key: &str, setting: &Setting) {
    let default = match setting.absent {
        Absent::Nothing => String::new(),
        Absent::Text(text) => format!("`{text}`"),
        Absent::Number(number) => number.to_string(),
        Absent::Boolean(truth) => format!("`{truth}`"),
        Absent::Said(words) | Absent::Times(words, ..) => words.to_owned(),
    };
    let (kind, meaning) = (kind(setting.kind), setting.meaning.replace('|', "\\|"));
    let _written = writeln!(rows, "| `{key}` | {kind} | {default} | {meaning} |");
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Store | Kind::Web | Kind::Endpoint | Kind::Text => "string".to_owned(),
        Kind::Digest => "64 hexadecimal digits".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Address => "IP address and port".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::True => "`true`".to_owned(),
        Kind::Number(least, u32::MAX) => format!("{least} or more"),
        Kind::Number(least, most) => format!("{least} to {most}"),
        Kind::Word(words) => format!("`{}`", words.join("`, `")),
        Kind::Texts | Kind::Program => "list of strings".to_owned(),
        Kind::Pointers => "list of JSON Pointers".to_owned(),
        Kind::Table | Kind::Secrets => "table of strings".to_owned(),
        Kind::Object => "table".to_owned(),
    }
}
