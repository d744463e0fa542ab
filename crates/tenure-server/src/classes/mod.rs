//! What classes ask of `desired`: defaults under it, and a schema that it satisfies.
//!
//! # Invariants
//!
//! - What is found is told by place and rule, and never with a value: it may be secret.
//! - Where `desired` only names a secret, nothing that is asked of the secret itself is checked.

mod schema;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tenure::drift::SECRET_REF;
use tenure::{ClassName, ClassRules, Document, Invalid};

pub use schema::{Schema, SchemaError};

/// What every configured class asks of `desired`.
#[derive(Clone, Debug, Default)]
pub struct Classes(BTreeMap<ClassName, Asked>);

#[derive(Clone, Debug)]
struct Asked {
    schema: Option<Schema>,
    defaults: Document,
}

impl Classes {
    /// Classes, each with its schema and its defaults.
    pub fn new(classes: impl IntoIterator<Item = (ClassName, Option<Schema>, Document)>) -> Self {
        let asked = |(name, schema, defaults)| (name, Asked { schema, defaults });
        Self(classes.into_iter().map(asked).collect())
    }

    /// Whether there is such a class.
    pub fn has(&self, class: &ClassName) -> bool {
        self.0.contains_key(class)
    }
}

impl ClassRules for Classes {
    fn complete(&self, class: &ClassName, desired: &Document) -> Result<Document, Invalid> {
        let Some(asked) = self.0.get(class) else {
            return Ok(desired.clone());
        };
        match (asked.defaults.to_value(), desired.to_value()) {
            (Value::Object(defaults), Value::Object(mut whole)) if !defaults.is_empty() => {
                put_under(&mut whole, defaults);
                Document::from_value(&Value::Object(whole))
                    .map_err(|invalid| Invalid::new("desired with its defaults", invalid.rule()))
            }
            _ => Ok(desired.clone()),
        }
    }

    fn check(&self, class: &ClassName, desired: &Document) -> Result<(), Invalid> {
        let schema = self.0.get(class).and_then(|asked| asked.schema.as_ref());
        let found = schema.map_or_else(Vec::new, |schema| schema.check(&desired.to_value()));
        if found.is_empty() {
            return Ok(());
        }
        let rule = format!(
            "does not satisfy the schema of class {class}: {}",
            found.join("; ")
        );
        Err(Invalid::new("desired", rule))
    }
}

/// Adds what is missing. Objects are merged; a list, and an object that names a secret, is one value.
fn put_under(whole: &mut Map<String, Value>, defaults: Map<String, Value>) {
    for (key, default) in defaults {
        match (whole.get_mut(&key), default) {
            (None, default) => drop(whole.insert(key, default)),
            (Some(there), Value::Object(default))
                if secret_named(there).is_none() && !default.contains_key(SECRET_REF) =>
            {
                if let Value::Object(there) = there {
                    put_under(there, default);
                }
            }
            (Some(_), _) => {}
        }
    }
}

/// The reference, if this is nothing but the name of a secret.
fn secret_named(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get(SECRET_REF)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(defaults: &Value, desired: &Value) -> Value {
        let class = ClassName::default();
        let defaults = Document::from_value(defaults).unwrap();
        let classes = Classes::new([(class.clone(), None, defaults)]);
        let once = classes
            .complete(&class, &Document::from_value(desired).unwrap())
            .unwrap();
        assert_eq!(classes.complete(&class, &once).unwrap(), once);
        once.to_value()
    }

    #[test]
    fn defaults_stand_under_what_is_wanted_and_never_over_it() {
        let defaults = json!({"plan": "free", "limits": {"seats": 3, "gb": 1}, "regions": ["eu"]});
        assert_eq!(completed(&defaults, &json!({})), defaults);
        let desired = json!({"plan": null, "limits": {"seats": 9}, "regions": []});
        assert_eq!(
            completed(&defaults, &desired),
            json!({"plan": null, "limits": {"seats": 9, "gb": 1}, "regions": []})
        );
        let desired = json!({"limits": "none"});
        assert_eq!(completed(&defaults, &desired)["limits"], "none");
    }

    #[test]
    fn a_secret_is_one_value() {
        let named = json!({"password": {"secret_ref": "env:A"}});
        let parts = json!({"password": {"length": 9}});
        assert_eq!(completed(&named, &parts), parts);
        assert_eq!(completed(&parts, &named), named);
    }

    #[test]
    fn a_class_that_is_not_known_asks_for_nothing() {
        let (classes, class) = (Classes::default(), ClassName::default());
        let desired = Document::parse(r#"{"a": 1}"#).unwrap();
        assert_eq!(classes.complete(&class, &desired).unwrap(), desired);
        assert!(classes.check(&class, &desired).is_ok() && !classes.has(&class));
    }
}
