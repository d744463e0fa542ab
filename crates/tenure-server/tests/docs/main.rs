//! The documentation, as its readers use it: every command of every page is run, in order, in a fresh
//! folder, and prints what the page says.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod page;
#[path = "../../../tenure-postgres/tests/support/mod.rs"]
mod postgres;
mod run;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tenure::State;

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// All pages that are run, in order.
fn pages() -> Vec<PathBuf> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("adr") {
                walk(&path, out);
            } else if path.extension().is_some_and(|end| end == "md") {
                out.push(path);
            }
        }
    }
    let mut pages = vec![root().join("README.md")];
    walk(&root().join("docs"), &mut pages);
    walk(&root().join("examples"), &mut pages);
    pages.sort();
    pages
}

#[test]
fn every_command_of_the_documentation_does_what_the_page_says() {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the test names a page"
    )]
    let only = std::env::var("TENURE_TEST_PAGE").unwrap_or_default();
    let mut left = pages();
    left.retain(|page| page.to_string_lossy().contains(&only));
    assert!(!left.is_empty(), "no page has {only:?} in its name");
    left.reverse();
    let (left, failed) = (Mutex::new(left), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(page) = left.lock().unwrap().pop() else {
                        return;
                    };
                    if let Err(why) = run::page(&page) {
                        let page = page.strip_prefix(root()).unwrap().display();
                        failed.lock().unwrap().push(format!("{page}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn the_program_of_the_guide_to_embedding_is_the_example_that_is_run() {
    let guide = std::fs::read_to_string(root().join("docs/guides/embed.md")).unwrap();
    let (_, rest) = guide.split_once("```rust\n").unwrap();
    let (shown, _) = rest.split_once("```\n").unwrap();
    let example = root().join("crates/tenure-sqlite/examples/embed.rs");
    let example = std::fs::read_to_string(example).unwrap();
    // What stands before is of this project: what the file is, and lints.
    let begin = example.find("use std::").unwrap();
    assert_eq!(Some(shown), example.get(begin..));
}

/// The states and their ways, as a diagram that GitHub draws.
fn diagram() -> String {
    let mut lines = vec!["```mermaid".to_owned(), "stateDiagram-v2".to_owned()];
    lines.push(format!("    [*] --> {}", State::ALL.first().unwrap()));
    for from in State::ALL {
        for to in from.next() {
            lines.push(format!("    {from} --> {to}"));
        }
        if from.next().is_empty() {
            lines.push(format!("    {from} --> [*]"));
        }
    }
    lines.push("```".to_owned());
    lines.join("\n")
}

#[test]
fn the_diagram_of_states_is_that_of_the_rules() {
    let path = root().join("docs/concepts/state.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- state diagram -->\n", "<!-- end of state diagram -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let expected = format!("{before}{begin}{}\n{end}{after}", diagram());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == expected, "run this test with UPDATE_SNAPSHOTS=1");
}
