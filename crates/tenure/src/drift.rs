//! Drift: where what was observed contradicts what is wanted. A pure comparison.
//!
//! What counts is what is wanted: every value of `desired` that is no object, as a path, unless the
//! class leaves it out. What a provisioner observes beyond that is no drift. A path that it does not
//! report is drift too, with nothing found, unless it reports none of them at all: a provisioner
//! that suddenly sees nothing has lost sight of its target, and that is no proof that all is gone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{DriftPolicy, ListsAs, Pointer, Timestamp};

/// The key that marks a value which is kept elsewhere: `{"secret_ref": "env:NAME"}`.
pub const SECRET_REF: &str = "secret_ref";

/// Most differences that are recorded of one tenant; the first by path.
pub const DIFFERENCES_MAX: usize = 100;

/// One contradiction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The place in `desired`.
    pub path: Pointer,
    /// What is wanted there.
    pub wanted: Value,
    /// What was observed there; `null` also if nothing was.
    pub found: Value,
    /// When it was first seen.
    pub since: Timestamp,
}

/// What a comparison gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// None of the paths that count was reported: nothing is known.
    Blind,
    /// Nothing contradicts.
    InOrder,
    /// These contradict, sorted by path; at least one.
    Drifted(Vec<Difference>),
}

/// Compares what was observed with what is wanted, at a time.
///
/// Paths under one of `waived` don't count, nor does a value that is kept elsewhere (an object with
/// [`SECRET_REF`]): it is never observed.
pub fn compare(
    desired: &Value,
    observed: Option<&Value>,
    policy: &DriftPolicy,
    waived: &[&Pointer],
    at: Timestamp,
) -> Comparison {
    let mut declared = Vec::new();
    leaves(desired, &Pointer::root(), &mut declared);
    declared.retain(|(path, _)| {
        (policy.paths.is_empty() || policy.paths.iter().any(|part| part.covers(path)))
            && !policy.ignore.iter().any(|part| part.covers(path))
    });
    if declared.is_empty() {
        return Comparison::InOrder;
    }
    let found = |path: &Pointer| observed.and_then(|observed| path.find(observed));
    if declared
        .iter()
        .all(|(path, _)| found(path).is_none_or(Value::is_null))
    {
        let nothing_wanted = declared.iter().all(|(_, wanted)| wanted.is_null());
        return if nothing_wanted && observed.is_some() {
            Comparison::InOrder
        } else {
            Comparison::Blind
        };
    }
    let mut differences: Vec<_> = declared
        .into_iter()
        .filter(|(path, _)| !waived.iter().any(|waived| waived.covers(path)))
        .filter_map(|(path, wanted)| {
            let found = found(&path).unwrap_or(&Value::Null);
            (!is_same(wanted, found, policy.lists.get(&path))).then(|| Difference {
                wanted: wanted.clone(),
                found: found.clone(),
                path,
                since: at,
            })
        })
        .collect();
    if differences.is_empty() {
        return Comparison::InOrder;
    }
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    differences.truncate(DIFFERENCES_MAX);
    Comparison::Drifted(differences)
}

/// Every value that is no object, with its path; an empty object counts as a value.
fn leaves<'a>(value: &'a Value, path: &Pointer, into: &mut Vec<(Pointer, &'a Value)>) {
    match value {
        Value::Object(object) if is_secret(object) => {}
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                leaves(value, &path.child(key), into);
            }
        }
        // The whole of `desired` may be empty: then nothing is wanted that could drift.
        Value::Object(_) if path.as_str().is_empty() => {}
        other => into.push((path.clone(), other)),
    }
}

fn is_secret(object: &Map<String, Value>) -> bool {
    object.len() == 1 && object.contains_key(SECRET_REF)
}

fn is_same(wanted: &Value, found: &Value, lists: Option<&ListsAs>) -> bool {
    match (wanted, found, lists) {
        (Value::Object(wanted), Value::Object(_), _) if wanted.is_empty() => true,
        (Value::Array(wanted), Value::Array(found), Some(ListsAs::Set)) => {
            covers(wanted, found) && covers(found, wanted)
        }
        (Value::Array(wanted), Value::Array(found), Some(ListsAs::Keyed(key))) => {
            wanted.len() == found.len()
                && wanted.iter().all(|element| {
                    let name = element.get(key);
                    let mut named = found.iter().filter(|other| other.get(key) == name);
                    name.is_some() && named.next() == Some(element) && named.next().is_none()
                })
        }
        _ => same_number(wanted, found) || wanted == found,
    }
}

/// `1` and `1.0` are one number in JSON.
fn same_number(one: &Value, other: &Value) -> bool {
    one.as_f64().is_some_and(|one| other.as_f64() == Some(one))
}

/// Whether each element of one list is in the other.
fn covers(all: &[Value], some: &[Value]) -> bool {
    some.iter().all(|element| all.contains(element))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_micros(7).unwrap()
    }

    fn differences(desired: &Value, observed: &Value, policy: &DriftPolicy) -> Vec<String> {
        match compare(desired, Some(observed), policy, &[], at()) {
            Comparison::Blind => vec!["blind".to_owned()],
            Comparison::InOrder => Vec::new(),
            Comparison::Drifted(found) => found
                .iter()
                .map(|d| format!("{} {}≠{}", d.path, d.wanted, d.found))
                .collect(),
        }
    }

    #[test]
    fn each_wanted_value_counts_and_nothing_else() {
        let policy = DriftPolicy::default();
        let desired = json!({"plan": "gold", "limits": {"seats": 3, "a/b": 1}, "none": {}});
        let mut observed = desired.clone();
        observed["extra"] = json!(1);
        assert!(differences(&desired, &observed, &policy).is_empty());
        observed["limits"] = json!({"seats": 3.0, "a/b": 2});
        observed["plan"] = Value::Null;
        assert_eq!(
            differences(&desired, &observed, &policy),
            ["/limits/a~1b 1≠2", "/plan \"gold\"≠null"]
        );
        observed.as_object_mut().unwrap().remove("limits");
        assert_eq!(differences(&desired, &observed, &policy).len(), 3);
    }

    #[test]
    fn seeing_nothing_at_all_is_no_drift() {
        let policy = DriftPolicy::default();
        let desired = json!({"plan": "gold", "limits": {"seats": 3}});
        for observed in [json!({}), json!({"plan": null}), json!({"other": 1})] {
            assert_eq!(differences(&desired, &observed, &policy), ["blind"]);
        }
        assert_eq!(
            compare(&desired, None, &policy, &[], at()),
            Comparison::Blind
        );
        assert!(differences(&json!({}), &json!({}), &policy).is_empty());
    }

    #[test]
    fn paths_are_chosen_ignored_and_waived() {
        let (desired, observed) = (
            json!({"a": 1, "b": {"c": 1, "d": 1}}),
            json!({"a": 2, "b": {"c": 2, "d": 2}}),
        );
        let path = |text: &str| text.parse::<Pointer>().unwrap();
        let only = DriftPolicy {
            paths: vec![path("/b")],
            ignore: vec![path("/b/d")],
            ..DriftPolicy::default()
        };
        assert_eq!(differences(&desired, &observed, &only), ["/b/c 1≠2"]);
        let waived = compare(&desired, Some(&observed), &only, &[&path("/b")], at());
        assert_eq!(waived, Comparison::InOrder);
    }

    #[test]
    fn lists_may_be_sets_or_keyed() {
        let desired = json!({"l": [{"n": "a", "v": 1}, {"n": "b", "v": 2}]});
        let turned = json!({"l": [{"n": "b", "v": 2}, {"n": "a", "v": 1}]});
        let other = json!({"l": [{"n": "b", "v": 3}, {"n": "a", "v": 1}]});
        let path: Pointer = "/l".parse().unwrap();
        let by = |lists: ListsAs| DriftPolicy {
            lists: [(path.clone(), lists)].into(),
            ..DriftPolicy::default()
        };
        assert_eq!(
            differences(&desired, &turned, &DriftPolicy::default()).len(),
            1
        );
        for policy in [by(ListsAs::Set), by(ListsAs::Keyed("n".to_owned()))] {
            assert!(differences(&desired, &turned, &policy).is_empty());
            assert_eq!(differences(&desired, &other, &policy).len(), 1);
        }
    }

    #[test]
    fn secrets_are_never_compared() {
        let desired = json!({"password": {"secret_ref": "env:P"}, "plan": "gold"});
        assert!(
            differences(&desired, &json!({"plan": "gold"}), &DriftPolicy::default()).is_empty()
        );
    }
}
