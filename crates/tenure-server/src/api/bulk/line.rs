//! The lines that an export writes and an import reads.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenure::{
    ClassName, Document, Invalid, Message, Revision, State, Tenant, TenantId, TenantName, Wanted,
};

use super::super::problem::Problem;
use super::super::tenants::wire::{Pairs, present};

/// A tenant as an export writes it: what is wanted of it, which an import takes, beside how it stands.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct ExportLine {
    /// What is wanted: `name`, `class`, `labels`, `annotations`, `desired`, `running`.
    #[serde(flatten)]
    pub wanted: Map<String, Value>,
    /// All else that the record holds. An import does not write it.
    pub status: Map<String, Value>,
}

/// The fields of a tenant that say what is wanted.
const WANTED: [&str; 6] = [
    "name",
    "class",
    "labels",
    "annotations",
    "desired",
    "running",
];

impl ExportLine {
    /// The line of a tenant.
    ///
    /// # Errors
    ///
    /// If it can't be written as JSON, which no tenant of a store is.
    pub fn of(tenant: &Tenant) -> Result<Self, serde_json::Error> {
        let mut wanted = Map::new();
        let mut status = Map::new();
        if let Value::Object(all) = serde_json::to_value(tenant)? {
            for (key, value) in all {
                if WANTED.contains(&key.as_str()) {
                    wanted.insert(key, value);
                } else {
                    status.insert(key, value);
                }
            }
        }
        Ok(Self { wanted, status })
    }
}

/// What is wanted of a tenant, new or not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct ImportLine {
    /// Its name.
    pub name: TenantName,
    /// Its class, which can't change; if absent, the one that it has, or `default`.
    #[serde(default, deserialize_with = "present")]
    pub class: Option<ClassName>,
    /// All its labels; if absent, those that it has stay.
    #[serde(default, deserialize_with = "present")]
    pub labels: Option<Pairs<String>>,
    /// All its annotations; if absent, those that it has stay.
    #[serde(default, deserialize_with = "present")]
    pub annotations: Option<Pairs<String>>,
    /// What is wanted of it, whole.
    pub desired: Document,
    /// Whether it should run; if absent, as it is, or `true`.
    #[serde(default, deserialize_with = "present")]
    pub running: Option<bool>,
    /// Why, for the history.
    #[serde(default)]
    pub message: Message,
    /// The revision that it must be at; 0 if there must be none of this name.
    #[serde(default, deserialize_with = "present")]
    pub if_revision: Option<Revision>,
    /// How it stood where it was exported. Of one that was being deleted nothing is wanted.
    #[serde(default)]
    pub status: Was,
}

/// How a tenant stood: nothing of it is written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Was {
    #[serde(default)]
    state: Option<State>,
}

impl ImportLine {
    /// What is wanted, should it be made with this id.
    pub(super) fn wanted(self, id: TenantId) -> Result<(Wanted, Message), Problem> {
        if let Some(State::Deleting | State::Deleted) = self.status.state {
            let rule = "must be neither deleting nor deleted: nothing is wanted of such a tenant; leave \
                        it out";
            return Err(Invalid::new("status.state", rule).into());
        }
        let wanted = Wanted {
            id,
            name: self.name,
            class: self.class,
            labels: self.labels.map(Pairs::labels).transpose()?,
            annotations: self.annotations.map(Pairs::annotations).transpose()?,
            desired: self.desired,
            running: self.running,
        };
        Ok((wanted, self.message))
    }
}

/// What became of a line: `problem`, or all of the others.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct ImportResult {
    /// Which line, counted from 1, empty ones too.
    pub line: usize,
    /// The name that it has, if that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<TenantName>,
    /// The tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<TenantId>,
    /// `created`, `changed`, `unchanged` or `replayed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<&'static str>,
    /// The revision that the tenant is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The last line of an answer, without which it is not whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct ImportSummary {
    /// How many lines there were, without the empty ones.
    pub lines: usize,
    /// How many tenants were created,
    pub created: usize,
    /// changed,
    pub changed: usize,
    /// were so already,
    pub unchanged: usize,
    /// had been written by the same request before,
    pub replayed: usize,
    /// and were refused.
    pub refused: usize,
}

impl ImportSummary {
    pub(super) fn note(&mut self, result: &ImportResult) {
        self.lines += 1;
        let count = match result.effect {
            Some("created") => &mut self.created,
            Some("changed") => &mut self.changed,
            Some("unchanged") => &mut self.unchanged,
            Some(_) => &mut self.replayed,
            None => &mut self.refused,
        };
        *count += 1;
    }
}
