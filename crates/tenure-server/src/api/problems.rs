//! The page of each error: where its `type` leads (RFC 9457, section 3.1.1).

use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};

use super::code::Code;
use super::problem::Problem;

/// The reference, which has a row for every code.
const REFERENCE: &str = include_str!("../../../../docs/reference/errors.md");

/// Where the page of a code is.
pub(super) fn page_of(code: Code) -> String {
    format!("/problems/{}", code.as_str())
}

/// Shows what an error means and what to do.
pub(super) async fn problem(Path(word): Path<String>) -> Response {
    let Some(code) = Code::of(&word) else {
        let detail = "there is no such error; docs/reference/errors.md lists all";
        return Problem::new(Code::RouteNotFound, detail).into_response();
    };
    let (what, advice) = explained(code).unwrap_or_default();
    let (title, status) = (code.title(), code.status().as_u16());
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" \
         content=\"light dark\"><style>body{{font:1rem/1.6 system-ui;max-width:42rem;margin:3rem \
         auto;padding:0 1rem}}</style><h1>{title}</h1><p><code>{word}</code>, status {status}\
         <h2>What happened</h2><p>{}<h2>What to do</h2><p>{}",
        html(what),
        html(advice)
    ))
    .into_response()
}

/// What the reference says of a code: what happened, and what to do.
pub(super) fn explained(code: Code) -> Option<(&'static str, &'static str)> {
    let begin = format!("| `{}` | {} | ", code.as_str(), code.status().as_u16());
    let row = REFERENCE
        .lines()
        .find_map(|line| line.strip_prefix(&begin))?;
    row.strip_suffix(" |")?.split_once(" | ")
}

/// A sentence of the reference as HTML: what stands in backticks is code, and of links their text stays.
fn html(text: &str) -> String {
    let mut html = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = part
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        if place % 2 == 1 {
            html.push_str("<code>");
            html.push_str(&part);
            html.push_str("</code>");
        } else {
            html.push_str(&without_links(&part));
        }
    }
    html
}

fn without_links(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else {
        return text.to_owned();
    };
    match rest.split_once("](") {
        Some((name, rest)) => {
            let after = rest.split_once(')').map_or("", |(_, after)| after);
            format!("{before}{name}{}", without_links(after))
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_page_that_says_what_to_do() {
        for code in Code::ALL {
            let (what, advice) = explained(code).unwrap();
            assert!(what.ends_with('.') && advice.ends_with('.'), "{code:?}");
        }
    }

    #[test]
    fn the_words_of_the_reference_become_html() {
        let text = "Send `a: <b>`; [who](x.md) says & [how](y.md) too.";
        let html = html(text);
        assert_eq!(
            html,
            "Send <code>a: &lt;b&gt;</code>; who says &amp; how too."
        );
    }
}
