//! `-o jsonpath=EXPR`: picks values from what would be printed as JSON.

use serde_json::Value;

/// An expression of RFC 9535, or one with kubectl's braces.
#[derive(Clone, Debug)]
pub(super) struct JsonPath(serde_json_path::JsonPath);

impl JsonPath {
    /// Reads `$.a.b`, `.a.b` or `{.a.b}`.
    ///
    /// # Errors
    ///
    /// Says where the expression is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = match (text.strip_prefix('{'), text.strip_suffix('}')) {
            (Some(inner), Some(_)) => inner.strip_suffix('}').unwrap_or(inner).trim(),
            _ => text,
        };
        if inner.contains(['{', '}']) {
            let rule = "must be one expression, such as {.items[*].name}; run the command once for \
                        each, or use -o json";
            return Err(rule.to_owned());
        }
        let whole = if inner.starts_with('$') {
            inner.to_owned()
        } else if inner.starts_with(['.', '[']) {
            format!("${inner}")
        } else {
            format!("$.{inner}")
        };
        serde_json_path::JsonPath::parse(&whole)
            .map(Self)
            .map_err(|error| format!("{whole} is not a JSONPath (RFC 9535): {error}"))
    }

    /// What is picked, one a line: text as it is, everything else as JSON.
    pub(super) fn picked(&self, value: &Value) -> String {
        let mut text = String::new();
        for picked in self.0.query(value).all() {
            match picked {
                Value::String(word) => text.push_str(word),
                other => text.push_str(&other.to_string()),
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_picked_as_kubectl_and_the_rfc_write_it() {
        let value = json!({"state": "ready", "n": [{"a": 1}, {"a": "x"}, {"b": {"c": null}}]});
        for (text, picked) in [
            ("{.state}", "ready\n"),
            (".state", "ready\n"),
            ("state", "ready\n"),
            ("$.n[*].a", "1\nx\n"),
            ("{.n[?(@.a == 'x')]}", "{\"a\":\"x\"}\n"),
            ("{$.n[2].b}", "{\"c\":null}\n"),
            ("{.no.such}", ""),
        ] {
            assert_eq!(
                JsonPath::parse(text).unwrap().picked(&value),
                picked,
                "{text}"
            );
        }
        for bad in [
            "",
            "{}",
            "{.a}{.b}",
            ".n[",
            "$.n[?]",
            "{range .items[*]}{.a}{end}",
        ] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
    }
}
