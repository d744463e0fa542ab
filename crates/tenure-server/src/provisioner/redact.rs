//! Redaction: what a provisioner says must not tell the secrets that it was given.

use std::fmt;
use std::ops::Range;

use serde_json::{Map, Value};

/// What stands where a secret stood.
const MARK: &str = "[secret]";

/// A shorter text is found everywhere, and is hardly a secret.
const SHORTEST: usize = 4;

/// Knows the secrets of one run. Its `Debug` tells nothing of them.
#[derive(Default)]
pub(super) struct Redactor {
    /// The longest first: one secret may start like another.
    texts: Vec<String>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Looks for these texts, and for what they are in a quoted string.
    pub(super) fn new(secrets: Vec<String>) -> Self {
        let mut texts = Vec::new();
        for secret in secrets.into_iter().filter(|text| text.len() >= SHORTEST) {
            texts.push(unquoted(&Value::from(secret.as_str()).to_string()));
            texts.push(unquoted(&format!("{secret:?}")));
            texts.push(secret);
        }
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self { texts }
    }

    /// The length of the longest text that it looks for: whoever cuts a text must keep so much more
    /// of it, or half a secret stays.
    pub(super) fn longest(&self) -> usize {
        self.texts.first().map_or(0, String::len)
    }

    /// The text without secrets.
    pub(super) fn text(&self, text: &str) -> String {
        self.part(text, 0..text.len())
    }

    /// A part of the text, in bytes, without secrets, nor pieces of those that reach out of the part.
    pub(super) fn part(&self, text: &str, part: Range<usize>) -> String {
        let mut out = String::new();
        let mut at = 0;
        while at < part.end {
            let rest = text.get(at..).unwrap_or_default();
            let Some(next) = rest.chars().next() else {
                break;
            };
            let found = self.texts.iter().find(|text| rest.starts_with(*text));
            let end = at + found.map_or_else(|| next.len_utf8(), String::len);
            match found {
                Some(_) if end > part.start => out.push_str(MARK),
                None if at >= part.start => out.push(next),
                _ => {}
            }
            at = end;
        }
        out
    }

    /// Takes the secrets out of a value, and out of its keys.
    pub(super) fn value(&self, value: &mut Value) {
        if self.texts.is_empty() {
            return;
        }
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Number(number) if self.texts.contains(&number.to_string()) => {
                *value = Value::from(MARK);
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(object) => {
                *object = std::mem::take(object)
                    .into_iter()
                    .map(|(key, mut value)| {
                        self.value(&mut value);
                        (self.text(&key), value)
                    })
                    .collect::<Map<_, _>>();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::provisioner::reading::Reading;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        let redactor = redactor(&["hunter2", "hunter2-long", "99887766", "a\"b\nc", "abc"]);
        let mut value = json!({
            "hunter2": ["x hunter2-long y", {"k": "hunter2hunter2"}], "n": 99_887_766, "ok": "abc",
        });
        redactor.value(&mut value);
        assert_eq!(
            value,
            json!({
                "[secret]": ["x [secret] y", {"k": "[secret][secret]"}], "n": "[secret]", "ok": "abc",
            })
        );
        assert_eq!(redactor.text(r#"{"p":"a\"b\nc"}"#), r#"{"p":"[secret]"}"#);
        assert_eq!(format!("{redactor:?}"), "Redactor");
    }

    #[test]
    fn a_cut_leaves_no_piece_of_a_secret() {
        let redactor = redactor(&["hunter2"]);
        let text = "é hunter2 z";
        for start in 0..=text.len() {
            for end in start..=text.len() {
                let part = redactor.part(text, start..end);
                assert!(!part.contains('u') && !part.contains('2'), "{part}");
            }
        }
        assert_eq!(redactor.part(text, 5..11), "[secret] ");
    }

    #[test]
    fn no_secret_comes_back() {
        let redactor = Arc::new(Redactor::new(vec![
            "hunter2\"x".to_owned(),
            "done".to_owned(),
        ]));
        let secret = r#"hunter2\"x"#;
        for line in [
            r#"{@,"result":"done","observed":{"p":"$","$":["$"]},"resources":["db:$"],"message":"is $"}"#,
            r#"{@,"result":"failed","reason":"Full","message":"$","steps":[{"name":"$","state":"done","message":"$"}]}"#,
            r#"{@,"result":"progress","message":"$"}"#,
            r#"{@,"result":"$"}"#,
            r#"{@,"result":"progress","steps":[{"name":"a","state":"$"}]}"#,
            r#"{"contract":"$"}"#,
            r#"{"contract":"tenure.provisioner/v1","operation_id":"$"}"#,
            "rubbish $ and so on",
            r#"{"long": "rubbish that ends in the middle of it, with so many bytes before: hu$"#,
        ] {
            let line = line.replace('$', secret).replace(
                '@',
                r#""contract":"tenure.provisioner/v1","operation_id":"op""#,
            );
            let mut reading = Reading::new("op".to_owned(), Arc::clone(&redactor));
            let result = reading.line(line.as_bytes());
            let told = format!("{result:?} {reading:?}");
            assert!(!told.contains("hunter2"), "{line}: {told}");
            assert!(told.contains("[secret]"), "{line}: {told}");
        }
    }
}
