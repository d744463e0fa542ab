//! A class: what makes its tenants, what may be wanted of them, and how patient Tenure is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tenure::{Document, Policy};

use super::policy::{self, FileDrift};
use super::transport::Transport;
use super::{Broken, CONCURRENCY_MAX, all_noted, broken, count, made, noted, seconds};
use crate::classes::Schema;

/// The least number of operations at once that is too many.
const CONCURRENCY_EXCESS: usize = CONCURRENCY_MAX + 1;

/// A class: what makes its tenants, and how they are treated.
#[derive(Clone, Debug)]
pub struct Class {
    /// How operations reach what makes the tenants.
    pub transport: Transport,
    /// How its tenants are treated.
    pub policy: Policy,
    /// How long one operation may take; then it is ended and counts as failed.
    pub deadline: Duration,
    /// How long a lease runs without being renewed.
    pub lease: Duration,
    /// Most of its operations at once on this server; as many as the server runs, if `None`.
    pub concurrency: Option<usize>,
    /// Most of its operations begun in a minute on this server, if there is a limit.
    pub per_minute: Option<u32>,
    /// Most of its routine checks begun in a minute on this server.
    pub checks_per_minute: u32,
    /// When operations of it pause because too many fail.
    pub breaker: Breaker,
    /// What `desired` must satisfy, if anything.
    pub schema: Option<Schema>,
    /// What stands under `desired` where that says nothing.
    pub defaults: Document,
    /// The references to secrets that `desired` may name; a `*` at the end stands for the rest.
    pub secrets: Vec<String>,
}

/// When operations of a class pause because too many fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// After how many failures in a row.
    pub failures: u32,
    /// For how long.
    pub cooldown: Duration,
}

impl Default for Breaker {
    /// 5 failures, 30 s.
    fn default() -> Self {
        Self {
            failures: 5,
            cooldown: Duration::from_secs(30),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct FileClass {
    pub(super) exec: Option<Vec<String>>,
    pub(super) http: Option<String>,
    pub(super) pull: Option<bool>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) signing_secret_file: Option<String>,
    pub(super) allow_private_addresses: Option<bool>,
    pub(super) ca_file: Option<String>,
    #[serde(default)]
    secrets: Vec<String>,
    schema: Option<String>,
    #[serde(default)]
    defaults: toml::Table,
    deadline_seconds: Option<u64>,
    lease_seconds: Option<u64>,
    pub(super) attempts_max: Option<u32>,
    pub(super) retry_base_seconds: Option<u64>,
    pub(super) retry_cap_seconds: Option<u64>,
    concurrency: Option<usize>,
    per_minute: Option<u32>,
    checks_per_minute: Option<u32>,
    #[serde(default)]
    pub(super) deadlines: BTreeMap<String, u64>,
    pub(super) drift: Option<FileDrift>,
    #[serde(default)]
    breaker: FileBreaker,
}

#[derive(Default, Deserialize)]
struct FileBreaker {
    failures: Option<u32>,
    cooldown_seconds: Option<u64>,
}

impl FileClass {
    pub(super) fn check(mut self, folder: &Path) -> Result<Class, Vec<Broken>> {
        let mut wrong = Vec::new();
        let transport = all_noted(&mut wrong, "", Transport::of(&mut self, folder));
        let policy = all_noted(&mut wrong, "", policy::of(&mut self));
        let deadline = seconds(
            "deadline_seconds",
            self.deadline_seconds,
            Duration::from_mins(5),
        );
        let deadline = noted(&mut wrong, deadline);
        let lease = seconds("lease_seconds", self.lease_seconds, Duration::from_secs(30));
        let lease = noted(&mut wrong, lease);
        let concurrency = match self.concurrency {
            Some(0 | CONCURRENCY_EXCESS..) => Err(broken("concurrency", "must be 1 to 1000")),
            given => Ok(given),
        };
        let concurrency = noted(&mut wrong, concurrency);
        let per_minute = self
            .per_minute
            .map(|given| count("per_minute", Some(given), given))
            .transpose();
        let per_minute = noted(&mut wrong, per_minute);
        let checks = count("checks_per_minute", self.checks_per_minute, 600);
        let checks_per_minute = noted(&mut wrong, checks);
        let breaker = all_noted(&mut wrong, "breaker", self.breaker.check());
        let schema = self
            .schema
            .map(|file| Schema::read(&folder.join(file)))
            .transpose()
            .map_err(|error| broken("schema", error.to_string()));
        let schema = noted(&mut wrong, schema);
        let defaults = noted(&mut wrong, defaults(self.defaults));
        let secrets = noted(&mut wrong, secrets(self.secrets));
        let class = || {
            Some(Class {
                transport: transport?,
                policy: policy?,
                deadline: deadline?,
                lease: lease?,
                concurrency: concurrency?,
                per_minute: per_minute?,
                checks_per_minute: checks_per_minute?,
                breaker: breaker?,
                schema: schema?,
                defaults: defaults?,
                secrets: secrets?,
            })
        };
        made(wrong, class())
    }
}

impl FileBreaker {
    fn check(&self) -> Result<Breaker, Vec<Broken>> {
        let mut wrong = Vec::new();
        let breaker = Breaker::default();
        let failures = count("failures", self.failures, breaker.failures);
        let failures = noted(&mut wrong, failures);
        let cooldown = seconds("cooldown_seconds", self.cooldown_seconds, breaker.cooldown);
        let cooldown = noted(&mut wrong, cooldown);
        let both = failures.zip(cooldown);
        let breaker = both.map(|(failures, cooldown)| Breaker { failures, cooldown });
        made(wrong, breaker)
    }
}

fn defaults(table: toml::Table) -> Result<Document, Broken> {
    let value = json_of(toml::Value::Table(table), "defaults")?;
    Document::from_value(&value).map_err(|invalid| broken("defaults", invalid.rule()))
}

/// The same value as JSON has it.
pub(super) fn json_of(value: toml::Value, at: &str) -> Result<Value, Broken> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Float(number) if number.is_finite() => number.into(),
        toml::Value::Float(_) => return Err(broken(at, "must be a number that JSON can hold")),
        toml::Value::Datetime(_) => {
            return Err(broken(
                at,
                "must be something that JSON can hold; write a time as a string",
            ));
        }
        toml::Value::Array(values) => values
            .into_iter()
            .map(|value| json_of(value, at))
            .collect::<Result<_, _>>()?,
        toml::Value::Table(table) => {
            let member = |(key, value)| {
                let value = json_of(value, &format!("{at}.{key}"))?;
                Ok((key, value))
            };
            Value::Object(
                table
                    .into_iter()
                    .map(member)
                    .collect::<Result<Map<_, _>, Broken>>()?,
            )
        }
    })
}

fn secrets(references: Vec<String>) -> Result<Vec<String>, Broken> {
    let is_good = |reference: &str| {
        let inner = reference.strip_suffix('*').unwrap_or(reference);
        let named = match (inner.strip_prefix("env:"), inner.strip_prefix("file:/")) {
            (Some(name), _) => !name.contains('='),
            (_, Some(path)) => !path.split('/').any(|part| part == ".."),
            _ => false,
        };
        named && !inner.contains(['*', '\0']) && reference != "env:" && reference != "file:/"
    };
    match references.iter().find(|reference| !is_good(reference)) {
        None => Ok(references),
        Some(bad) => Err(broken(
            "secrets",
            format!(
                "has {bad:?}, which must be env:NAME or file:/PATH without .., and may end in * for \
                 all that begin so"
            ),
        )),
    }
}
