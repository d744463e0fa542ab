//! The JSON of tenants. Fields have the same names as in Rust and SQL.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use tenure::{
    Annotations, ClassName, Document, Invalid, Labels, Line, Message, Pointer, Record, Revision,
    Summary, Tenant, TenantId, TenantName, Timestamp, WorkFacts,
};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct TenantView {
    /// The record, as the history tells it. `ETag` is its revision.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// What is counted and planned for it: not history, and so not what `ETag` tells apart. Absent
    /// from answers to writes and from the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkFacts>,
}

impl From<Record> for TenantView {
    fn from(record: Record) -> Self {
        Self {
            tenant: record.tenant,
            work: Some(record.work),
        }
    }
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self { tenant, work: None }
    }
}

/// A page of tenants, without their documents.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct TenantPage {
    /// The tenants, in the order of their creation. A page may come short and still have a next.
    pub items: Vec<Summary>,
    /// Send it as `page_token` for the next page; `null` at the end.
    pub next: Option<String>,
}

/// A page of tenants, each of them whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct FullTenantPage {
    /// The tenants, in the order of their creation. A page may come short and still have a next.
    pub items: Vec<TenantView>,
    /// Send it as `page_token` for the next page; `null` at the end.
    pub next: Option<String>,
}

/// Lines of one tenant's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct HistoryPage {
    /// The lines.
    pub items: Vec<Line>,
    /// Send it as `after` for the next page; `null` at the end.
    pub next: Option<Revision>,
}

/// What is wanted of a new tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct CreateBody {
    /// Its name.
    pub name: TenantName,
    /// Its class, for ever; `default` if absent.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub class: Option<ClassName>,
    /// Its labels.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub labels: Option<Pairs<String>>,
    /// Its annotations.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub annotations: Option<Pairs<String>>,
    /// What is wanted of it.
    pub desired: Document,
    /// Whether it should run; `true` if absent.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub running: Option<bool>,
    /// Its id, if the client chose one.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub id: Option<TenantId>,
    /// Why, for the history.
    #[serde(default)]
    pub message: Message,
}

/// What is wanted of a tenant, new or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct ApplyBody {
    /// Its class, which can't change; if absent, the one that it has, or `default`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub class: Option<ClassName>,
    /// All its labels; if absent, those that it has stay.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub labels: Option<Pairs<String>>,
    /// All its annotations; if absent, those that it has stay.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub annotations: Option<Pairs<String>>,
    /// What is wanted of it, whole.
    pub desired: Document,
    /// Whether it should run; if absent, as it is, or `true`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub running: Option<bool>,
    /// Why, for the history.
    #[serde(default)]
    pub message: Message,
}

/// A change of a part of what is wanted: `desired`, or labels and annotations, or `running`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct PatchBody {
    /// A merge patch of `desired`: objects merge, `null` removes.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub desired: Option<Document>,
    /// Labels to set, or with `null` to remove.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub labels: Option<Pairs<Option<String>>>,
    /// Annotations to set, or with `null` to remove.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub annotations: Option<Pairs<Option<String>>>,
    /// Whether it should run.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub running: Option<bool>,
    /// Why, for the history.
    #[serde(default)]
    pub message: Message,
}

/// The body of a verb, which may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct VerbBody {
    /// Why, for the history.
    #[serde(default)]
    pub message: Message,
}

/// What drift is to be waived.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct WaiveBody {
    /// The place in `desired`, with all below it.
    pub path: Pointer,
    /// Until when; a time that is over ends the waiver.
    pub until: Timestamp,
    /// Why, for the history and beside the waiver.
    #[serde(default)]
    pub message: Message,
}

/// A field that is there must have a value: `null` would be guesswork between *leave* and *remove*.
pub(in super::super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Pairs by key, none of which may stand twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct Pairs<V>(pub BTreeMap<String, V>);

impl Pairs<String> {
    pub(in super::super) fn labels(self) -> Result<Labels, Invalid> {
        Labels::parse(self.0)
    }

    pub(in super::super) fn annotations(self) -> Result<Annotations, Invalid> {
        Annotations::parse(self.0)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Pairs<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if pairs.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {key:?} stands twice")));
            }
            let value = map.next_value()?;
            pairs.insert(key, value);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_misread_is_refused() {
        for (bad, says) in [
            (r#"{"name":"a","desired":{},"name":"b"}"#, "duplicate field"),
            (
                r#"{"name":"a","desired":{},"labels":{"k":"1","k":"2"}}"#,
                "stands twice",
            ),
            (r#"{"name":"a","desired":{"x":1,"x":2}}"#, "stands twice"),
            (
                r#"{"name":"a","desired":{},"labels":null}"#,
                "invalid type: null",
            ),
            (
                r#"{"name":"a","desired":{},"running":null}"#,
                "invalid type: null",
            ),
            (
                r#"{"name":"a","desired":{},"lables":{}}"#,
                "unknown field `lables`",
            ),
            (r#"{"name":"a"}"#, "missing field `desired`"),
            (r#"{"name":"A","desired":{}}"#, "name must be"),
            (r#"{"name":"a","desired":[]}"#, "must be a JSON object"),
            (r#"{"name":"a","desired":{"x":"\u0000"}}"#, "U+0000"),
        ] {
            let error = serde_json::from_str::<CreateBody>(bad)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{bad}: {error}");
            assert!(error.contains("line 1 column"), "{bad}: {error}");
        }
    }
}
