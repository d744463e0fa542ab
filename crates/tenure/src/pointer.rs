//! JSON Pointers (RFC 6901): how a place in a document is named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Invalid;

/// Most bytes of a pointer.
const POINTER_MAX: usize = 1_000;

/// A place in a document, such as `/limits/projects`; the empty pointer is the whole of it.
///
/// ```
/// use tenure::Pointer;
/// let pointer: Pointer = "/limits/a~1b".parse()?;
/// assert!(pointer.covers(&"/limits/a~1b/c".parse()?));
/// assert!(!pointer.covers(&"/limits/a~1bc".parse()?));
/// assert!("limits".parse::<Pointer>().is_err());
/// # Ok::<(), tenure::Invalid>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The member of this name, of the object at this place.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        Self(format!(
            "{}/{}",
            self.0,
            key.replace('~', "~0").replace('/', "~1")
        ))
    }

    /// Whether the other place is this one, or inside it.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .0
            .strip_prefix(&self.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What stands at this place, if there is such a place.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.0)
    }

    /// Makes a value stand at this place, or nothing; objects on the way are made as needed.
    /// What is on the way and no object is left as it is, and so is the document.
    pub(crate) fn set(&self, document: &mut Map<String, Value>, value: Option<Value>) {
        let mut keys: Vec<String> = self
            .0
            .split('/')
            .skip(1)
            .map(|key| key.replace("~1", "/").replace("~0", "~"))
            .collect();
        let Some(last) = keys.pop() else { return };
        let mut at = document;
        for key in keys {
            let next = at
                .entry(key)
                .or_insert_with(|| Value::Object(Map::default()));
            let Value::Object(next) = next else { return };
            at = next;
        }
        match value {
            Some(value) => drop(at.insert(last, value)),
            None => drop(at.remove(&last)),
        }
    }
}

impl FromStr for Pointer {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = |rule: &str| Err(Invalid::new("path", rule));
        if text.len() > POINTER_MAX {
            return rule("must have at most 1000 bytes");
        }
        if !text.is_empty() && !text.starts_with('/') {
            return rule(
                "must be a JSON Pointer: empty, or starting with /, such as /limits/seats",
            );
        }
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c == '~' && !matches!(rest.next(), Some('0' | '1')) {
                return rule("must write ~ as ~0 and / inside a key as ~1");
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Pointer {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(pointer: &str, value: Option<Value>) -> Value {
        let mut document = json!({"a": {"b": 1}, "n": 2}).as_object().unwrap().clone();
        pointer
            .parse::<Pointer>()
            .unwrap()
            .set(&mut document, value);
        Value::Object(document)
    }

    #[test]
    fn a_place_is_set_made_or_emptied() {
        assert_eq!(set("/a/b", Some(json!(3))), json!({"a": {"b": 3}, "n": 2}));
        assert_eq!(set("/a/b", None), json!({"a": {}, "n": 2}));
        assert_eq!(set("/x~1y/z", Some(json!(1)))["x/y"], json!({"z": 1}));
        assert_eq!(set("/n/z", Some(json!(1))), json!({"a": {"b": 1}, "n": 2}));
        assert_eq!(set("", Some(json!(1))), json!({"a": {"b": 1}, "n": 2}));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["a", "/a~2", "/a~", &format!("/{}", "x".repeat(1_000))] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }
}
