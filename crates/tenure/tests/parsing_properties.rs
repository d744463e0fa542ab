//! What is read from text, tried with text of all kinds: nothing panics, and what is taken is the same
//! when it is written down and read again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Map, Number, Value};
use tenure::{Document, Labels, Pointer, Selector};

/// Text that is nearly a selector: its own words and signs, in any order.
fn nearly_a_selector() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("in".to_owned()),
        Just("notin".to_owned()),
        string_regex("[(),!=]{1,3}").unwrap(),
        string_regex(" {1,2}").unwrap(),
        string_regex("[a-z0-9]([A-Za-z0-9._-]{0,4}[a-z0-9])?").unwrap(),
        Just("x.io/a".to_owned()),
        string_regex("[./_-]").unwrap(),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

/// What is asked of one label: its key, how, and the values.
type Asked = (String, &'static str, Vec<String>);

/// One requirement in one of its spellings, and what it asks.
fn requirement() -> impl Strategy<Value = (String, Asked)> {
    let key = || string_regex("([a-c]\\.io/)?[a-c]").unwrap();
    let value = || string_regex("[A-C]?").unwrap();
    let space = || string_regex(" {0,2}").unwrap();
    let equal = prop_oneof![Just(("=", "in")), Just(("==", "in")), Just(("!=", "notin"))];
    let list = prop::collection::vec(value(), 1..4);
    prop_oneof![
        (key(), space())
            .prop_map(|(key, space)| (format!("{space}{key}{space}"), (key, "there", vec![]))),
        (key(), space())
            .prop_map(|(key, space)| (format!("!{space}{key}"), (key, "absent", vec![]))),
        (key(), space(), equal, value()).prop_map(|(key, space, (sign, how), value)| {
            (
                format!("{key}{space}{sign}{space}{value}"),
                (key, how, vec![value]),
            )
        }),
        (key(), prop_oneof![Just("in"), Just("notin")], list).prop_map(|(key, how, values)| {
            (
                format!("{key} {how} ({})", values.join(", ")),
                (key, how, values),
            )
        }),
    ]
}

/// What a requirement means, as Kubernetes says it.
fn holds((key, how, values): &Asked, labels: &Labels) -> bool {
    let found = labels.get(key);
    let one_of_them = found.is_some_and(|found| values.iter().any(|value| value == found));
    match *how {
        "there" => found.is_some(),
        "absent" => found.is_none(),
        "in" => one_of_them,
        _ => !one_of_them,
    }
}

fn labels() -> impl Strategy<Value = Labels> {
    let key = string_regex("([a-c]\\.io/)?[a-c]").unwrap();
    let value = string_regex("[A-C]?").unwrap();
    prop::collection::btree_map(key, value, 0..4)
        .prop_map(|pairs: BTreeMap<String, String>| Labels::parse(pairs).unwrap())
}

/// Any JSON, with numbers of every size.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        (-1e22..1e22).prop_map(|n: f64| Value::from(n)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn a_selector_is_refused_or_means_the_same_when_read_again(
        text in prop_oneof![nearly_a_selector(), any::<String>()],
        labels in labels(),
    ) {
        if let Ok(selector) = text.parse::<Selector>() {
            let again: Selector = selector.to_string().parse().unwrap();
            prop_assert_eq!(&again, &selector);
            prop_assert_eq!(again.matches(&labels), selector.matches(&labels));
        }
    }

    #[test]
    fn a_selector_in_any_spelling_means_what_it_says(
        all in prop::collection::vec(requirement(), 0..=16),
        labels in labels(),
    ) {
        let texts: Vec<&str> = all.iter().map(|(text, _)| text.as_str()).collect();
        let text = texts.join(",");
        let selector: Selector = text.parse().unwrap();
        let expected = all.iter().all(|(_, asked)| holds(asked, &labels));
        prop_assert_eq!(selector.matches(&labels), expected, "{}", text);
    }

    #[test]
    fn a_pointer_is_refused_or_finds_nothing_outside_of_the_document(
        text in any::<String>(),
        document in json(),
    ) {
        if let Ok(pointer) = text.parse::<Pointer>() {
            prop_assert_eq!(pointer.as_str(), &text);
            prop_assert!(!text.is_empty() || pointer.find(&document) == Some(&document));
        }
    }

    #[test]
    fn a_document_is_refused_or_taken_back_from_its_own_text(value in json()) {
        let value = Value::Object(Map::from_iter([("a".to_owned(), value)]));
        if let Ok(document) = Document::from_value(&value) {
            let again = Document::parse(document.as_str());
            prop_assert_eq!(again.as_ref().map(Document::hash), Ok(document.hash()));
            let back = Document::from_value(&document.to_value());
            prop_assert_eq!(back.as_ref().map(Document::hash), Ok(document.hash()));
            let merged = document.merge(&Map::new());
            prop_assert_eq!(merged.as_ref().map(Document::hash), Ok(document.hash()));
        }
    }
}
