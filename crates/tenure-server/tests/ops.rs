//! What is shipped to watch Tenure with: it asks only for what there is, and each alert has its page and
//! its test.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure_server::telemetry::{Kind, METRICS};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read("ops/alerts.yaml")).unwrap();
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

/// Every string under `expr`, wherever it stands.
fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "expr" => into.push(text.clone()),
                    other => expressions(other, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

/// What is wrong with the metrics and labels that an expression names.
fn wrong(expression: &str) -> Vec<String> {
    let is_word = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let mut wrong = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let from = &rest[at..];
        let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        rest = after;
        if !word.starts_with("tenure_") && !word.starts_with("process_") {
            continue;
        }
        let metric = METRICS.iter().find(|metric| match metric.kind {
            Kind::Histogram(_) => ["_bucket", "_count", "_sum"]
                .iter()
                .any(|end| word.strip_suffix(end) == Some(metric.name)),
            Kind::Counter | Kind::Gauge => metric.name == word,
        });
        let Some(metric) = metric else {
            wrong.push(format!("{word} is no metric"));
            continue;
        };
        let Some((labels, after)) = after.strip_prefix('{').and_then(|l| l.split_once('}')) else {
            continue;
        };
        rest = after;
        for label in labels.split(',') {
            let label = label.split(['=', '!']).next().unwrap().trim();
            if !metric.labels.contains(&label) && !["job", "instance"].contains(&label) {
                wrong.push(format!("{word} has no label {label}"));
            }
        }
    }
    wrong
}

#[test]
fn alerts_and_dashboard_ask_only_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read("ops/dashboard.json")).unwrap();
    let mut all = Vec::new();
    expressions(&Value::from(alerts()), &mut all);
    let of_alerts = all.len();
    expressions(&dashboard, &mut all);
    assert!(of_alerts > 10 && all.len() > of_alerts + 20, "{all:#?}");
    for expression in &all {
        assert!(
            wrong(expression).is_empty(),
            "{:?} in {expression}",
            wrong(expression)
        );
    }
    assert_eq!(wrong("sum(tenure_made_up{a=\"b\"})").len(), 1);
    assert_eq!(
        wrong("tenure_tenants{state=\"ready\",name=~\"a\"}").len(),
        1
    );
    assert_eq!(wrong("tenure_operation_duration_seconds").len(), 1);
}

#[test]
fn each_alert_has_a_page_and_a_test_and_each_page_an_alert() {
    let tests = read("ops/alerts.test.yaml");
    let guide = read("docs/guides/observe.md");
    let mut pages = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let page = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert!(read(page).starts_with(&format!("# {name}\n")), "{page}");
        let file = page.strip_prefix("docs/").unwrap();
        assert!(
            guide.contains(&format!("[{name}](../{file})")),
            "the guide lacks {name}"
        );
        assert!(
            tests.contains(&format!("alertname=\"{name}\"")),
            "{name} has no test"
        );
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        pages.insert(page.to_owned());
    }
    for entry in fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            pages.contains(&format!("docs/runbooks/{file}")),
            "{file} is of no alert"
        );
    }
}
