//! Every key that `tenure.toml` may have, and the refusal of any other with the nearest that is.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// The keys of one kind of table.
pub(super) struct Keys(&'static [(&'static str, Below)]);

/// What may stand below a key.
enum Below {
    /// A value, or a table whose keys are free.
    Value,
    /// One table.
    Table(&'static Keys),
    /// A table for each name.
    Named(&'static Keys),
}

use Below::{Named, Table, Value};

/// The keys of the file.
pub(super) static ROOT: Keys = Keys(&[
    ("store", Value),
    ("listen", Value),
    ("concurrency", Value),
    ("behind_proxy", Value),
    ("require_if_match", Value),
    ("tls", Table(&TLS)),
    ("auth", Table(&AUTH)),
    ("limits", Table(&LIMITS)),
    ("telemetry", Table(&TELEMETRY)),
    ("classes", Named(&CLASS)),
    ("workers", Named(&WORKER)),
]);

static TLS: Keys = Keys(&[
    ("cert_file", Value),
    ("key_file", Value),
    ("client_ca_file", Value),
]);

static AUTH: Keys = Keys(&[("required", Value), ("oidc", Table(&OIDC))]);

static OIDC: Keys = Keys(&[
    ("issuer", Value),
    ("audience", Value),
    ("name_claim", Value),
    ("roles_claim", Value),
    ("roles", Value),
    ("ca_file", Value),
]);

static LIMITS: Keys = Keys(&[
    ("request_seconds", Value),
    ("body_seconds", Value),
    ("requests_at_once", Value),
    ("requests_per_second", Value),
    ("requests_burst", Value),
    ("idempotency_hours", Value),
]);

static TELEMETRY: Keys = Keys(&[("log_format", Value), ("otlp_endpoint", Value)]);

static CLASS: Keys = Keys(&[
    ("exec", Value),
    ("http", Value),
    ("pull", Value),
    ("env", Value),
    ("signing_secret_file", Value),
    ("allow_private_addresses", Value),
    ("ca_file", Value),
    ("secrets", Value),
    ("schema", Value),
    ("defaults", Value),
    ("deadline_seconds", Value),
    ("lease_seconds", Value),
    ("attempts_max", Value),
    ("retry_base_seconds", Value),
    ("retry_cap_seconds", Value),
    ("concurrency", Value),
    ("per_minute", Value),
    ("checks_per_minute", Value),
    ("deadlines", Table(&DEADLINES)),
    ("drift", Table(&DRIFT)),
    ("breaker", Table(&BREAKER)),
]);

static DEADLINES: Keys = Keys(&[
    ("requested", Value),
    ("provisioning", Value),
    ("updating", Value),
    ("suspending", Value),
    ("resuming", Value),
    ("deleting", Value),
]);

static DRIFT: Keys = Keys(&[
    ("mode", Value),
    ("interval_seconds", Value),
    ("corrections_per_hour", Value),
    ("paths", Value),
    ("ignore", Value),
    ("lists", Value),
]);

static BREAKER: Keys = Keys(&[("failures", Value), ("cooldown_seconds", Value)]);

static WORKER: Keys = Keys(&[
    ("token_sha256", Value),
    ("token_file", Value),
    ("classes", Value),
]);

impl Keys {
    /// Refuses a key that is not known, here or below.
    pub(super) fn check(
        &self,
        text: &str,
        path: &Path,
        table: &DeTable<'_>,
        prefix: &str,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some((_, below)) = self.0.iter().find(|(known, _)| *known == name) else {
                let before = text.get(..key.span().start).unwrap_or_default();
                return Err(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    line: before.matches('\n').count() + 1,
                    key: format!("{prefix}{name}"),
                    help: self.help(name, prefix),
                });
            };
            // What is no table where one belongs is refused when it is read.
            let DeValue::Table(table) = value.get_ref() else {
                continue;
            };
            match below {
                Value => {}
                Table(keys) => keys.check(text, path, table, &format!("{prefix}{name}."))?,
                Named(keys) => {
                    for (each, table) in table {
                        if let DeValue::Table(table) = table.get_ref() {
                            let prefix = format!("{prefix}{name}.{}.", each.get_ref());
                            keys.check(text, path, table, &prefix)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn help(&self, name: &str, prefix: &str) -> String {
        let known: Vec<&str> = self.0.iter().map(|(known, _)| *known).collect();
        nearest(name, &known).map_or_else(
            || format!("known are {}", known.join(", ")),
            |near| format!("did you mean {prefix}{near}?"),
        )
    }

    /// Every key that takes a value, as the reference spells it.
    #[cfg(test)]
    pub(super) fn spelled(&self, prefix: &str) -> Vec<String> {
        let spelled = |(key, below): &(&'static str, Below)| match below {
            Value => vec![format!("{prefix}{key}")],
            Table(keys) => keys.spelled(&format!("{prefix}{key}.")),
            Named(keys) => keys.spelled(&format!("{prefix}{key}.NAME.")),
        };
        self.0.iter().flat_map(spelled).collect()
    }
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
