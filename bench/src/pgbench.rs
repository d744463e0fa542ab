//! pgbench, running the adapter's own statements, and the same work as two autocommits.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tenure::Document;

use crate::support;

/// A statement for pgbench: a script, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    text: String,
}

/// Puts values where a statement has parameters. `values[0]` stands for `$1`, and there is one for each.
fn bind(statement: &str, values: &[&str]) -> String {
    let mut text = String::new();
    for line in statement
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
    {
        writeln!(text, "{line}").unwrap();
    }
    let has = |n: usize| text.contains(&format!("${n}"));
    assert!(
        has(values.len()) && !has(values.len() + 1),
        "{} values are not one for each parameter of {text}",
        values.len()
    );
    for (n, value) in values.iter().enumerate().rev() {
        text = text.replace(&format!("${}", n + 1), value);
    }
    text
}

const ID: &str = "lpad(to_hex(:r::bigint), 32, '0')::uuid";
/// In two pieces, because pgbench takes `:bench` for a variable, even within quotes.
const ACTOR: &str = "'user:' || 'bench'";
const HASH: &str = "decode(repeat('ab', 32), 'hex')";

impl Script {
    /// `commit_create.sql` of a tenant with one document, as the library sends it.
    pub(crate) fn create(document: &str) -> Self {
        let body = format!("ARRAY['{document}']");
        let statement = include_str!("../../crates/tenure-postgres/sql/commit_create.sql");
        let text = bind(
            statement,
            &[
                ID,
                "now()",
                "1",
                "0",
                "true",
                HASH,
                HASH,
                "NULL",
                "NULL",
                "NULL",
                "'t' || :r::bigint",
                "'default'",
                "'requested'",
                "'Requested'",
                "''",
                ACTOR,
                "'Requested'",
                "''",
                "gen_random_uuid()",
                &format!("ARRAY[{HASH}]"),
                &body,
                "'{}'",
                "'{}'",
                "'{}'",
                "0",
                "NULL",
                "NULL",
                "NULL",
                "NULL",
                "false",
            ],
        );
        Self {
            text: format!("\\set r random(1, 9000000000000000000)\n{text}"),
        }
    }

    /// `commit_update.sql` of a change of state, as the library sends it.
    ///
    /// A script can't know a tenant's revision and state, so it takes those that it finds; nothing
    /// else differs.
    pub(crate) fn transition(document: &Document, tenants: u64) -> Self {
        let hash = format!("decode('{}', 'hex')", document.hash());
        let statement = include_str!("../../crates/tenure-postgres/sql/commit_update.sql")
            .replace("t.revision = $2 AND", "t.revision >= $2 AND")
            .replace(
                "revision = $2 + 1, state = $3",
                "revision = t.revision + 1, state = t.state",
            );
        let text = bind(
            &statement,
            &[
                "(SELECT b.tenant_id FROM bench_ids AS b WHERE b.n = :n::int)",
                "1",
                "'ready'",
                "now()",
                "'Updated'",
                "''",
                "true",
                "1",
                "1",
                &hash,
                &hash,
                "NULL",
                "NULL",
                HASH,
                "now()",
                "NULL",
                ACTOR,
                "'state'",
                "'ready'",
                "'Updated'",
                "''",
                "gen_random_uuid()",
                "'{}'",
                "'{}'",
                "'{}'",
                "'{}'",
                "'{}'",
                "'{}'",
                "NULL",
                "'{}'",
                "false",
                "0",
                "false",
                "false",
                "NULL",
                "NULL",
                "NULL",
                "NULL",
                "false",
                "NULL",
            ],
        );
        Self {
            text: format!("\\set n random(1, {tenants})\n{text}"),
        }
    }

    /// `get_by_name.sql`.
    pub(crate) fn get(tenants: u64) -> Self {
        let statement = include_str!("../../crates/tenure-postgres/sql/get_by_name.sql");
        let text = bind(
            statement,
            &["(SELECT b.name FROM bench_ids AS b WHERE b.n = :n::int)"],
        );
        Self {
            text: format!("\\set n random(1, {tenants})\n{text}"),
        }
    }

    /// A tenant as one wide row, then its history with a snapshot, each for itself.
    pub(crate) fn two_autocommits_create(document: &str) -> Self {
        let text = include_str!("../sql/wide_create.sql").replace(":document", document);
        Self {
            text: format!("\\set r random(1, 9000000000000000000)\n{text}"),
        }
    }

    /// A change of state of a wide row, then its history with a snapshot, each for itself.
    pub(crate) fn two_autocommits_transition(document: &str, tenants: u64) -> Self {
        let text = include_str!("../sql/wide_transition.sql").replace(":document", document);
        Self {
            text: format!("\\set n random(1, {tenants})\n{text}"),
        }
    }

    /// Runs it with so many clients; returns transactions a second, whole scripts.
    pub(crate) fn run(&self, folder: &Path, port: u16, clients: usize, span: Duration) -> f64 {
        let script = folder.join("script.sql");
        std::fs::write(&script, &self.text).unwrap();
        let seconds = span.as_secs().max(1).to_string();
        let clients = clients.to_string();
        let output = Command::new(support::postgres_programs().join("pgbench"))
            .args([
                "-n", "-M", "prepared", "-T", &seconds, "-c", &clients, "-j", "1",
            ])
            .args(["-h", &folder.display().to_string(), "-p", &port.to_string()])
            .args(["-U", "postgres", "-f"])
            .arg(&script)
            .arg("bench")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        // A client whose statement fails leaves, and the others' speed would pass for all of theirs.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("aborted"), "pgbench lost a client:\n{said}");
        let found = text.lines().find_map(|line| {
            line.strip_prefix("tps = ")?
                .split(' ')
                .next()?
                .parse::<f64>()
                .ok()
        });
        found.unwrap_or_else(|| {
            panic!(
                "pgbench failed on\n{}\n{text}\n{}",
                self.text,
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_the_adapters_statements_has_a_value() {
        let document = Document::parse(r#"{"plan": "gold"}"#).unwrap();
        for script in [
            Script::create(document.as_str()),
            Script::transition(&document, 10),
            Script::get(10),
        ] {
            assert!(!script.text.contains('$'), "{}", script.text);
        }
    }
}
