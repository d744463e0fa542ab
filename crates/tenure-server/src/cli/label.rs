//! `label` and `annotate`: put, change and take away what stands on a tenant.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::args::{Format, Marks, Why};
use super::client::{Call, Client, path_of};
use super::error::{Exit, Failed};
use super::tenants::changed;

/// One line of history, however many pairs there are. `of` is `labels` or `annotations`.
pub(super) async fn run(
    client: &Client,
    of: &str,
    args: &Marks,
    changes: &[(String, Option<String>)],
    format: Format,
) -> anyhow::Result<()> {
    let pairs: BTreeMap<&str, Option<&str>> = changes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_deref()))
        .collect();
    if pairs.len() < changes.len() {
        let why = "a key stands twice; keep one KEY=VALUE or KEY- of each";
        return Err(Failed::new(Exit::Usage, why).into());
    }
    let Why {
        message,
        if_revision,
    } = &args.why;
    let mut body = json!({ "message": message });
    if let Value::Object(body) = &mut body {
        body.insert(of.to_owned(), json!(pairs));
    }
    let call = Call::new(Method::PATCH, path_of(&args.who, ""))
        .with_body(body)
        .if_revision(*if_revision);
    changed(client, &call, format).await
}
