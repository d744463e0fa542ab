//! What a provisioner says of a tenant, and where two of its sayings differ.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tenure::drift::{Comparison, compare};
use tenure::{Clock as _, Document, DriftPolicy, Pointer, SystemClock, Tenant};

use crate::provisioner::Answer;

/// Most characters of what was said that a report repeats.
const SHOWN: usize = 400;

/// What is wanted of a tenant.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) desired: Document,
    pub(super) running: bool,
}

/// All that is known of a tenant by what was said of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    observed: Value,
    resources: Vec<String>,
}

/// What counts of it for what is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    /// What is reported at the paths of `desired`.
    pub(super) paths: BTreeMap<Pointer, Value>,
    pub(super) running: Option<bool>,
    pub(super) resources: usize,
}

impl Seen {
    pub(super) fn of(tenant: &Tenant) -> Self {
        let mut resources = tenant.resources.clone();
        resources.sort();
        Self {
            observed: tenant
                .observed
                .as_ref()
                .map_or(Value::Null, Document::to_value),
            resources,
        }
    }

    pub(super) fn sight(&self, wanted: &Wanted) -> Sight {
        let desired = wanted.desired.to_value();
        let mut paths = Vec::new();
        leaves(&desired, &Pointer::root(), &mut paths);
        let found = |path: Pointer| {
            let value = path.find(&self.observed)?.clone();
            Some((path, value))
        };
        // A `running` that is part of what is wanted is the product's own.
        let running = match desired.get("running") {
            None => self.observed.get("running").and_then(Value::as_bool),
            Some(_) => None,
        };
        Sight {
            paths: paths.into_iter().filter_map(found).collect(),
            running,
            resources: self.resources.len(),
        }
    }

    /// Where this contradicts what is wanted, at the paths that are reported; of a tenant that shall
    /// not run, only whether it does.
    pub(super) fn contradictions(&self, wanted: &Wanted) -> Vec<String> {
        let mut found = Vec::new();
        let sight = self.sight(wanted);
        if sight
            .running
            .is_some_and(|running| running != wanted.running)
        {
            let (running, seen) = (wanted.running, !wanted.running);
            found.push(format!("running is {running}, and observed.running {seen}"));
        }
        if !wanted.running {
            return found;
        }
        let policy = DriftPolicy::default();
        let desired = wanted.desired.to_value();
        let at = SystemClock.now();
        if let Comparison::Drifted(differences) =
            compare(&desired, Some(&self.observed), &policy, &[], at)
        {
            let reported = differences
                .into_iter()
                .filter(|difference| sight.paths.contains_key(&difference.path));
            found.extend(reported.map(|difference| {
                let (path, wanted) = (&difference.path, &difference.wanted);
                format!(
                    "{path} is wanted {wanted} and observed {}",
                    difference.found
                )
            }));
        }
        found
    }

    /// Whether it shows that anything of the tenant is there.
    pub(super) fn shows_something(&self, wanted: &Wanted) -> bool {
        let sight = self.sight(wanted);
        sight.resources > 0 || sight.paths.values().any(|value| !value.is_null())
    }

    pub(super) fn shown(&self) -> String {
        let resources = Value::from(self.resources.clone());
        shown(&format!(
            "observed {}, resources {resources}",
            self.observed
        ))
    }
}

impl Sight {
    pub(super) fn shown(&self) -> String {
        let paths: Map<String, Value> = self
            .paths
            .iter()
            .map(|(path, value)| (path.to_string(), value.clone()))
            .collect();
        let running = self
            .running
            .map_or_else(String::new, |running| format!(", running {running}"));
        let (paths, resources) = (Value::Object(paths), self.resources);
        shown(&format!("{paths}{running}, {resources} resources"))
    }
}

/// How many values are wanted.
pub(super) fn wanted_paths(wanted: &Wanted) -> usize {
    let desired = wanted.desired.to_value();
    let mut paths = Vec::new();
    leaves(&desired, &Pointer::root(), &mut paths);
    paths.len()
}

/// The paths of all values that are no object, or an empty one.
fn leaves(value: &Value, path: &Pointer, into: &mut Vec<Pointer>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                leaves(value, &path.child(key), into);
            }
        }
        Value::Object(_) if path.as_str().is_empty() => {}
        _ => into.push(path.clone()),
    }
}

/// An answer in words.
pub(super) fn described(answer: &Answer) -> String {
    match answer {
        Answer::Done {
            observed,
            resources,
            ..
        } => {
            let observed = observed.as_ref().map_or_else(
                || "no observed".to_owned(),
                |o| format!("observed {}", o.as_str()),
            );
            let resources = resources.as_ref().map_or_else(
                || "no resources".to_owned(),
                |all| format!("resources {}", Value::from(all.clone())),
            );
            shown(&format!("done, with {observed} and {resources}"))
        }
        Answer::Failed(failure) => {
            let permanent = if failure.permanent { ", permanent" } else { "" };
            shown(&format!(
                "failed{permanent}, {}: {}",
                failure.reason, failure.message
            ))
        }
        Answer::Stopped => "stopped".to_owned(),
    }
}

/// The start of a text, long enough to understand it.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}
