//! The document as a page: all of it on one, without a script, in the colours that the reader likes.

use std::fmt::Write as _;

use serde_json::Value;

const STYLE: &str = include_str!("page.css");

/// The page of a document.
pub(super) fn page(document: &Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tenure API</title><meta \
         name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style><header><h1>Tenure \
         API</h1><p>{} <a href=\"/openapi.json\">openapi.json</a></header>",
        text(document.pointer("/info/description"))
    );
    let tags: Vec<&Value> = list(document.get("tags")).collect();
    html.push_str("<nav>");
    for tag in &tags {
        let name = text(tag.get("name"));
        let _ = write!(html, "<h2>{name}</h2><ul>");
        for (path, method, operation) in operations(document, &name) {
            let id = text(operation.get("operationId"));
            let path = escaped(path);
            let _ = write!(
                html,
                "<li><a href=\"#{id}\"><b class=\"{method}\">{method}</b> {path}</a>"
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("</nav><main>");
    for tag in &tags {
        for (path, method, shown) in operations(document, &text(tag.get("name"))) {
            operation(&mut html, document, (path, method, shown));
        }
    }
    html.push_str("<h2 id=\"schemas\">Schemas</h2>");
    let schemas = document.pointer("/components/schemas");
    for (name, schema) in members(schemas) {
        let _ = write!(
            html,
            "<details id=\"{name}\"><summary>{name}: {}</summary><pre>{}</pre></details>",
            text(schema.get("description")),
            pretty(schema)
        );
    }
    html.push_str("</main>");
    html
}

fn operation(html: &mut String, document: &Value, (path, method, shown): (&str, &str, &Value)) {
    let id = text(shown.get("operationId"));
    let path = escaped(path);
    let (summary, who) = (text(shown.get("summary")), text(shown.get("description")));
    let _ = write!(
        html,
        "<article id=\"{id}\"><h3><b class=\"{method}\">{method}</b> <code>{path}</code></h3><p>{summary} \
         {who}"
    );
    let parameters: Vec<&Value> = list(shown.get("parameters"))
        .filter_map(|parameter| resolved(document, parameter))
        .collect();
    if !parameters.is_empty() {
        html.push_str("<table><tr><th>parameter<th>in<th>value<th>meaning");
        for parameter in parameters {
            let cell = |name| text(parameter.get(name));
            let (name, place, what) = (cell("name"), cell("in"), cell("description"));
            let value = parameter.get("schema").map(value_of).unwrap_or_default();
            let _ = write!(
                html,
                "<tr><td><code>{name}</code><td>{place}<td>{value}<td>{what}"
            );
        }
        html.push_str("</table>");
    }
    for (media, content) in members(shown.pointer("/requestBody/content")) {
        let _ = write!(
            html,
            "<p>Send <code>{media}</code> {}",
            schema_link(content)
        );
    }
    for (status, answer) in members(shown.get("responses")) {
        let what = text(answer.get("description"));
        let _ = write!(
            html,
            "<details><summary><code>{status}</code> {what}</summary>"
        );
        for (media, content) in members(answer.get("content")) {
            let _ = write!(html, "<p><code>{media}</code> {}", schema_link(content));
            if let Some(example) = content.get("example") {
                let _ = write!(html, "<pre>{}</pre>", pretty(example));
            }
            for (code, _) in members(content.get("examples")) {
                let _ = write!(html, " <a href=\"/problems/{code}\">{code}</a>");
            }
        }
        html.push_str("</details>");
    }
    html.push_str("</article>");
}

/// The operations with a tag: path, method, and what is said of them.
fn operations<'a>(
    document: &'a Value,
    tag: &str,
) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let tag = tag.to_owned();
    let paths = members(document.get("paths"));
    let all = paths.flat_map(|(path, methods)| {
        members(Some(methods)).map(move |(method, operation)| (path, method, operation))
    });
    all.filter(move |(_, _, operation)| {
        list(operation.get("tags")).any(|word| word.as_str() == Some(&tag))
    })
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.and_then(Value::as_object);
    let members = members.into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn resolved<'a>(document: &'a Value, part: &Value) -> Option<&'a Value> {
    document.pointer(part.get("$ref")?.as_str()?.strip_prefix('#')?)
}

/// What a value is, in a few words.
fn value_of(schema: &Value) -> String {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return link(target);
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", value_of(items));
    }
    let ways: Vec<String> = list(schema.get("anyOf")).map(value_of).collect();
    if !ways.is_empty() {
        return ways.join(" or ");
    }
    let words: Vec<String> = list(schema.get("enum"))
        .chain(schema.get("const"))
        .map(|word| format!("<code>{}</code>", pretty(word)))
        .collect();
    let mut value = words.join(", ");
    if words.is_empty() {
        value = text(schema.get("type"));
    }
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        let _ = write!(value, ", {least} to {most}");
    }
    if let Some(default) = schema.get("default") {
        let _ = write!(value, "; {} if absent", pretty(default));
    }
    value
}

fn link(target: &str) -> String {
    match target.rsplit_once('/') {
        Some((_, name)) => format!("<a href=\"#{name}\">{name}</a>"),
        None => String::new(),
    }
}

/// A link to the schema of a content: of all of it, or of each of its lines.
fn schema_link(content: &Value) -> String {
    let whole = content.pointer("/schema/$ref");
    let lines = content.pointer("/x-item-schema/$ref");
    let target = whole.or(lines).and_then(Value::as_str).unwrap_or_default();
    let each = if lines.is_some() { "lines of " } else { "" };
    format!("{each}{}", link(target))
}

fn text(value: Option<&Value>) -> String {
    let text = escaped(value.and_then(Value::as_str).unwrap_or_default());
    let mut html = String::new();
    for (place, part) in text.split('`').enumerate() {
        if place > 0 {
            html.push_str(if place % 2 == 1 { "<code>" } else { "</code>" });
        }
        html.push_str(part);
    }
    html
}

fn pretty(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    };
    escaped(&text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
