//! Labels, which select, and annotations, which only say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Up to 64 pairs in the syntax of Kubernetes labels. Lists select by them.
///
/// A key is a name of up to 63 characters, optionally behind a DNS prefix of up to 253 and a `/`;
/// a value is empty or up to 63 characters. Names and values consist of `[A-Za-z0-9._-]` and start
/// and end with a letter or digit.
///
/// ```
/// use tenure::Labels;
/// let labels = Labels::parse([("tier".into(), "gold".into())].into())?;
/// assert_eq!(labels.get("tier"), Some("gold"));
/// assert!(Labels::parse([("no spaces".into(), "".into())].into()).is_err());
/// # Ok::<(), tenure::Invalid>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct Labels(BTreeMap<String, String>);

/// Up to 256 KiB of free text by key, keys and values counted together. Nothing selects by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct Annotations(BTreeMap<String, String>);

/// Most labels that one tenant can have.
pub const LABELS_MAX: usize = 64;

/// Most bytes of annotations that one tenant can have, keys and values together.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn is_word(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&text.len())
        && text
            .chars()
            .all(|c| alphanumeric(c) || matches!(c, '.' | '_' | '-'))
        && text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
}

/// Whether `text` is a label's key.
pub(crate) fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_word(text),
        Some((prefix, name)) => {
            is_word(name)
                && prefix.len() <= 253
                && prefix.split('.').all(|part| {
                    is_word(part)
                        && part
                            .bytes()
                            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                })
        }
    }
}

/// Whether `text` is a label's value.
pub(crate) fn is_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}

fn check_keys(field: &str, pairs: &BTreeMap<String, String>) -> Result<(), Invalid> {
    match pairs.keys().find(|key| !is_key(key)) {
        None => Ok(()),
        Some(key) => Err(Invalid::new(
            field,
            format!(
                "has the key {key:?}, which must be [prefix/]name with a name of up to 63 \
                 characters of A-Z, a-z, 0-9, '.', '_' and '-'"
            ),
        )),
    }
}

impl Labels {
    /// Takes pairs that keep the rules.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the first key or value that breaks a rule.
    pub fn parse(pairs: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if pairs.len() > LABELS_MAX {
            return Err(Invalid::new(
                "labels",
                format!("must be at most {LABELS_MAX} pairs"),
            ));
        }
        check_keys("labels", &pairs)?;
        if let Some((key, value)) = pairs.iter().find(|(_, value)| !is_value(value)) {
            return Err(Invalid::new(
                "labels",
                format!(
                    "has the value {value:?} for {key:?}, which must be empty or up to 63 \
                     characters of A-Z, a-z, 0-9, '.', '_' and '-'"
                ),
            ));
        }
        Ok(Self(pairs))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These pairs with others laid over them; a key whose new value is `None` is taken away.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if the result breaks a rule.
    pub fn merge(&self, over: &BTreeMap<String, Option<String>>) -> Result<Self, Invalid> {
        Self::parse(merged(&self.0, over))
    }
}

impl Annotations {
    /// Takes pairs that keep the rules.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the key that breaks a rule, or says that there is too much.
    pub fn parse(pairs: BTreeMap<String, String>) -> Result<Self, Invalid> {
        check_keys("annotations", &pairs)?;
        if pairs.iter().any(|(_, value)| value.contains('\0')) {
            return Err(Invalid::new(
                "annotations",
                "must not contain the character U+0000",
            ));
        }
        let bytes: usize = pairs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if bytes > ANNOTATIONS_BYTES_MAX {
            return Err(Invalid::new(
                "annotations",
                "must be at most 256 KiB in all",
            ));
        }
        Ok(Self(pairs))
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These pairs with others laid over them; a key whose new value is `None` is taken away.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if the result breaks a rule.
    pub fn merge(&self, over: &BTreeMap<String, Option<String>>) -> Result<Self, Invalid> {
        Self::parse(merged(&self.0, over))
    }
}

fn merged(
    base: &BTreeMap<String, String>,
    over: &BTreeMap<String, Option<String>>,
) -> BTreeMap<String, String> {
    let mut pairs = base.clone();
    for (key, value) in over {
        match value {
            Some(value) => pairs.insert(key.clone(), value.clone()),
            None => pairs.remove(key),
        };
    }
    pairs
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = Invalid;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, Invalid> {
        Self::parse(pairs)
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl TryFrom<BTreeMap<String, String>> for Annotations {
    type Error = Invalid;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, Invalid> {
        Self::parse(pairs)
    }
}

impl From<Annotations> for BTreeMap<String, String> {
    fn from(annotations: Annotations) -> Self {
        annotations.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_kubernetes() {
        for good in ["a", "A.b_c-9", "example.com/tier", "a.b-c/x"] {
            assert!(is_key(good), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a b",
            "Example.com/x",
            "a/b/c",
            "/a",
            "a/",
            ".x/a",
        ] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn the_65th_label_is_refused() {
        let pairs = |n: usize| (0..n).map(|i| (format!("k{i}"), String::new())).collect();
        assert!(Labels::parse(pairs(64)).is_ok());
        assert!(Labels::parse(pairs(65)).is_err());
    }

    #[test]
    fn annotations_stop_at_256_kib() {
        let pairs = |n: usize| [("k".to_owned(), "x".repeat(n))].into();
        assert!(Annotations::parse(pairs(ANNOTATIONS_BYTES_MAX - 1)).is_ok());
        assert!(Annotations::parse(pairs(ANNOTATIONS_BYTES_MAX)).is_err());
    }

    #[test]
    fn merging_null_takes_a_key_away() {
        let base = Labels::parse([("a".into(), "1".into()), ("b".into(), "2".into())].into());
        let over = [
            ("a".to_owned(), None),
            ("c".to_owned(), Some("3".to_owned())),
        ]
        .into();
        let merged = base.unwrap().merge(&over).unwrap();
        assert_eq!(merged.iter().collect::<Vec<_>>(), [("b", "2"), ("c", "3")]);
    }
}
