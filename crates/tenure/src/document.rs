//! JSON documents, kept in one canonical spelling and named by their hash.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

use crate::Invalid;

/// Most bytes of a document in its canonical spelling: 1 MiB.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// Most levels that a document can nest.
pub const DOCUMENT_DEPTH_MAX: usize = 64;

/// A SHA-256, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Takes 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| de::Error::custom("a hash must be 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

/// A JSON object in the canonical spelling of RFC 8785, with the SHA-256 of that text as its name.
///
/// Equal content has equal text and equal hash, however its keys were ordered and its numbers
/// spelled. A document is at most 1 MiB and 64 levels deep, holds no duplicate key and no U+0000,
/// and only numbers that an IEEE double holds exactly: whole ones within ±(2⁵³−1).
///
/// ```
/// use tenure::Document;
/// let a = Document::parse(r#"{"plan": "gold", "seats": 10}"#)?;
/// let b = Document::parse(r#"{"seats": 10.0, "plan": "gold"}"#)?;
/// assert_eq!(a.hash(), b.hash());
/// assert_eq!(a.as_str(), r#"{"plan":"gold","seats":10}"#);
/// assert!(Document::parse(r#"{"a": 1, "a": 2}"#).is_err());
/// # Ok::<(), tenure::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    hash: Hash,
    text: Arc<str>,
}

impl Document {
    /// Reads a JSON object from text.
    ///
    /// # Errors
    ///
    /// [`Invalid`] says which rule is broken, with line and column where there is one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // Canonical text is never longer than what it was read from by more than escapes and
        // exponents can add; this bound only keeps a hostile text from being parsed at all.
        if text.len() > 4 * DOCUMENT_BYTES_MAX {
            return Err(too_large());
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Strict { depth: 0 }
            .deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|e| Invalid::new("document", format!("must be plain JSON: {e}")))?;
        Self::spell(&value)
    }

    /// Takes a JSON value, which must be an object.
    ///
    /// # Errors
    ///
    /// As [`Document::parse`].
    pub fn from_value(value: &Value) -> Result<Self, Invalid> {
        check(value, 0)?;
        Self::spell(value)
    }

    /// Takes a document back from a store, if the text is what the hash names.
    ///
    /// # Errors
    ///
    /// The text, if it is not: the store's content is damaged and must not be served.
    pub fn verified(hash: Hash, text: String) -> Result<Self, String> {
        if Hash::of(text.as_bytes()) == hash {
            Ok(Self {
                hash,
                text: text.into(),
            })
        } else {
            Err(text)
        }
    }

    /// The empty object, `{}`.
    pub fn empty() -> Self {
        Self {
            hash: Hash::of(b"{}"),
            text: "{}".into(),
        }
    }

    fn spell(value: &Value) -> Result<Self, Invalid> {
        if !value.is_object() {
            return Err(Invalid::new("document", "must be a JSON object"));
        }
        let text = serde_json_canonicalizer::to_string(value)
            .map_err(|e| Invalid::new("document", format!("must have a canonical form: {e}")))?;
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(too_large());
        }
        Ok(Self {
            hash: Hash::of(text.as_bytes()),
            text: text.into(),
        })
    }

    /// The name of this content.
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The content, as a JSON object.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// This document with an RFC 7396 merge patch applied: objects merge, `null` removes.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if the result breaks a rule.
    pub fn merge(&self, patch: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut value = self.to_value();
        merge_patch(&mut value, patch);
        Self::from_value(&value)
    }
}

fn merge_patch(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(object) = target else {
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                object.remove(key);
            }
            Value::Object(inner) => {
                merge_patch(object.entry(key.clone()).or_insert(Value::Null), inner);
            }
            other => {
                object.insert(key.clone(), other.clone());
            }
        }
    }
}

fn too_large() -> Invalid {
    Invalid::new("document", "must be at most 1 MiB in canonical form")
}

fn too_deep() -> Invalid {
    Invalid::new(
        "document",
        format!("must be at most {DOCUMENT_DEPTH_MAX} levels deep"),
    )
}

/// What a number must be for RFC 8785 to spell it without loss.
fn check_number(number: &Number) -> Result<(), Invalid> {
    const SAFE: u64 = (1 << 53) - 1;
    let whole = number
        .as_u64()
        .or_else(|| number.as_i64().map(i64::unsigned_abs));
    // RFC 8785 spells a double below 1e21 without an exponent: as a whole number, which it would
    // not be taken back as.
    let spelled_whole = |n: f64| (9_007_199_254_740_992.0..1e21).contains(&n.abs());
    if whole.is_some_and(|n| n > SAFE) || number.as_f64().is_some_and(spelled_whole) {
        return Err(Invalid::new(
            "document",
            format!("must hold whole numbers within ±(2^53-1), not {number}; use a string"),
        ));
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), Invalid> {
    if text.contains('\0') {
        return Err(Invalid::new(
            "document",
            "must not contain the character U+0000",
        ));
    }
    Ok(())
}

fn check(value: &Value, depth: usize) -> Result<(), Invalid> {
    if depth > DOCUMENT_DEPTH_MAX {
        return Err(too_deep());
    }
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => check_number(number),
        Value::String(text) => check_text(text),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Object(object) => object.iter().try_for_each(|(key, item)| {
            check_text(key)?;
            check(item, depth + 1)
        }),
    }
}

/// Reads any JSON, refusing what a [`Document`] must not hold while there is still a line to name.
///
/// `serde_json::Value` by itself keeps the last of two equal keys in silence.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= DOCUMENT_DEPTH_MAX {
            return Err(E::custom(too_deep().rule()));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn number<E: de::Error>(number: Number) -> Result<Value, E> {
    check_number(&number).map_err(|e| E::custom(e.rule()))?;
    Ok(Value::Number(number))
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        number(v.into())
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        number(v.into())
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        number(Number::from_f64(v).ok_or_else(|| E::custom("numbers must be finite"))?)
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
        check_text(v).map_err(|e| E::custom(e.rule()))?;
        Ok(Value::String(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            check_text(&key).map_err(|e| de::Error::custom(e.rule()))?;
            if object.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {key:?} stands twice")));
            }
            let item = map.next_value_seed(inner)?;
            object.insert(key, item);
        }
        Ok(Value::Object(object))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Strict { depth: 0 }.deserialize(deserializer)?;
        Self::spell(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_is_canonical() {
        let text = r#"{ "b": [1.50, -0, 1e2], "a": "\u00e9\/", "c": {"z":1,"y":null} }"#;
        let document = Document::parse(text).unwrap();
        assert_eq!(
            document.as_str(),
            r#"{"a":"é/","b":[1.5,0,100],"c":{"y":null,"z":1}}"#
        );
        assert_eq!(
            Document::from_value(&document.to_value()).unwrap(),
            document
        );
    }

    #[test]
    fn what_both_stores_could_not_hold_alike_is_refused() {
        let nested = |n: usize| format!("{}{}{}", r#"{"a":"#.repeat(n), "1", "}".repeat(n));
        assert!(Document::parse(&nested(64)).is_ok());
        for (bad, says) in [
            (r#"{"a":1,"a":1}"#.to_owned(), "twice"),
            (r#"{"a":{"b":1,"b":1}}"#.to_owned(), "twice"),
            (r#"{"a":"\u0000"}"#.to_owned(), "U+0000"),
            (r#"{"\u0000":1}"#.to_owned(), "U+0000"),
            (r#"{"a":9007199254740992}"#.to_owned(), "2^53"),
            (r#"{"a":-9007199254740992}"#.to_owned(), "2^53"),
            (r#"{"a":9007199254740992.0}"#.to_owned(), "2^53"),
            (r#"{"a":-6.687816647458654e16}"#.to_owned(), "2^53"),
            (r#"{"a":1e999}"#.to_owned(), "plain JSON"),
            ("[]".to_owned(), "object"),
            ("{} {}".to_owned(), "trailing"),
            (nested(65), "64 levels"),
            (
                format!(r#"{{"a":"{}"}}"#, "x".repeat(DOCUMENT_BYTES_MAX)),
                "1 MiB",
            ),
        ] {
            let error = Document::parse(&bad).unwrap_err().to_string();
            assert!(error.contains(says), "{error} should say {says}");
        }
        assert!(Document::parse(r#"{"a":9007199254740991}"#).is_ok());
    }

    #[test]
    fn a_flipped_bit_is_not_served() {
        let document = Document::parse(r#"{"a":1}"#).unwrap();
        assert!(Document::verified(document.hash(), r#"{"a":1}"#.to_owned()).is_ok());
        assert!(Document::verified(document.hash(), r#"{"a":3}"#.to_owned()).is_err());
    }

    #[test]
    fn merging_follows_rfc_7396() {
        let base = Document::parse(r#"{"a":{"b":1,"c":2},"d":[1],"e":1}"#).unwrap();
        let Value::Object(patch) =
            serde_json::json!({"a": {"b": null, "x": {"y": null, "z": 1}}, "d": [2], "e": null})
        else {
            unreachable!()
        };
        assert_eq!(
            base.merge(&patch).unwrap().as_str(),
            r#"{"a":{"c":2,"x":{"z":1}},"d":[2]}"#
        );
    }
}
