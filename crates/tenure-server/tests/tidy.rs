//! The house rules that a program can check.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the project's files are named in lower case"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The lists that the rules below go by.
fn allowed() -> toml::Table {
    read("crates/tenure-server/tests/tidy.toml")
        .parse()
        .unwrap()
}

/// Every file of the project, as paths below its root.
fn files() -> Vec<String> {
    fn walk(folder: &Path, root: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let skipped = ["target", ".git", ".tenure", "tenants", "__pycache__"];
            if skipped.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, out);
            } else {
                out.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_string_lossy()
                        .into_owned(),
                );
            }
        }
    }
    let root = root();
    let mut out = Vec::new();
    walk(&root, &root, &mut out);
    out.sort();
    out
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn ending(suffix: &str) -> Vec<String> {
    files()
        .into_iter()
        .filter(|path| path.ends_with(suffix))
        .collect()
}

fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn files_stay_small_enough_to_be_one_thought() {
    let limit = |path: &str| match path {
        "README.md" => 120,
        // Most of it is the code map, a line for each file.
        "ARCHITECTURE.md" => 400,
        path if path.ends_with(".md") && !path.contains('/') => 250,
        path if path.ends_with(".sql") && !path.contains("/migrations/") => 80,
        path if path.ends_with(".rs") && path.contains("/tests/") => 800,
        path if path.ends_with(".rs") => 500,
        _ => usize::MAX,
    };
    let long: Vec<_> = files()
        .into_iter()
        .filter(|path| read(path).lines().count() > limit(path))
        .collect();
    assert_none("these files are longer than their limit", &long);
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = files()
        .into_iter()
        .filter(
            |path| match path.rsplit_once('.').map(|(_, suffix)| suffix) {
                Some("rs") => !read(path).starts_with("//!") && !read(path).starts_with("#![doc"),
                Some("sql") => !read(path).starts_with("-- "),
                _ => false,
            },
        )
        .collect();
    assert_none(
        "these files don't start with a sentence that says what they are",
        &silent,
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        "todo!",
        "unimplemented!",
        "dbg!(",
        "FIXME",
        "TODO",
        "#[ignore",
    ];
    let unfinished: Vec<_> = files()
        .into_iter()
        .filter(|path| !path.ends_with("tests/tidy.rs") && !path.ends_with(".lock"))
        .filter(|path| {
            [".rs", ".sql", ".py", ".toml", "scripts/test"]
                .iter()
                .any(|s| path.ends_with(s))
        })
        .filter(|path| marks.iter().any(|mark| read(path).contains(mark)))
        .collect();
    assert_none(
        "these files hold a mark of something unfinished",
        &unfinished,
    );
    let starred: Vec<_> = ending(".sql")
        .into_iter()
        .filter(|path| read(path).contains("SELECT *"))
        .collect();
    assert_none("these statements don't name their columns", &starred);
    let left: Vec<_> = files()
        .into_iter()
        .filter(|path| path.ends_with(".bak") || path.ends_with(".orig") || path.ends_with(".rej"))
        .collect();
    assert_none("these files were left behind", &left);
}

/// What each crate may depend on to be built. The arrows between ours are the architecture.
#[test]
fn crates_depend_on_nothing_that_is_not_allowed() {
    for (name, allowed) in allowed()["dependencies"].as_table().unwrap() {
        let manifest: toml::Table = read(&format!("crates/{name}/Cargo.toml")).parse().unwrap();
        let used: BTreeSet<&str> = manifest["dependencies"]
            .as_table()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let allowed: BTreeSet<&str> = allowed
            .as_array()
            .unwrap()
            .iter()
            .filter_map(toml::Value::as_str)
            .collect();
        assert_eq!(used, allowed, "dependencies of {name}");
    }
}

/// The first sentence of a file's own documentation, without its colon or full stop.
fn first_sentence(path: &str) -> String {
    let text = read(path);
    if text.starts_with("#![doc = include_str!") {
        return "The crate; its README is its documentation".to_owned();
    }
    let lines = text
        .lines()
        .take_while(|line| line.starts_with("//! ") && line.len() > 4);
    let opening = lines
        .map(|line| line.trim_start_matches("//! "))
        .collect::<Vec<_>>()
        .join(" ");
    let end = opening.find(". ").unwrap_or(opening.len());
    opening
        .get(..end)
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_owned()
}

/// The code map, made of what each file says of itself.
fn code_map() -> String {
    let mut map = String::new();
    let mut folder = String::new();
    for path in ending(".rs")
        .into_iter()
        .filter(|path| path.contains("/src/"))
    {
        let (parent, file) = path.split_once("/src/").unwrap();
        if parent != folder {
            parent.clone_into(&mut folder);
            write!(map, "\n### `{parent}/src`\n\n").unwrap();
        }
        writeln!(map, "- `{file}`: {}", first_sentence(&path)).unwrap();
    }
    map
}

/// Run with `UPDATE_SNAPSHOTS=1` to write the map anew.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the switch of a test, not a setting"
)]
fn the_code_map_names_exactly_the_files_that_exist() {
    let architecture = read("ARCHITECTURE.md");
    let (head, map) = architecture.split_once("## Code map\n").unwrap();
    if std::env::var("UPDATE_SNAPSHOTS").is_ok() {
        let text = format!("{head}## Code map\n{}", code_map());
        fs::write(root().join("ARCHITECTURE.md"), text).unwrap();
    } else {
        assert_eq!(map, code_map(), "UPDATE_SNAPSHOTS=1 writes it anew");
    }
}

#[test]
fn p9_both_stores_have_the_same_statements() {
    let stems = |adapter: &str| -> BTreeSet<String> {
        let folder = format!("crates/tenure-{adapter}/sql/");
        files()
            .iter()
            .filter_map(|path| {
                path.strip_prefix(&folder)?
                    .strip_suffix(".sql")
                    .map(str::to_owned)
            })
            // A commit is one statement on PostgreSQL and a savepoint of several on SQLite.
            .filter(|stem| !stem.starts_with("commit_") && !stem.starts_with("write_"))
            .collect()
    };
    let allowed = allowed();
    let exceptions: BTreeSet<&str> = allowed["statements_of_one_adapter"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let (sqlite, postgres) = (stems("sqlite"), stems("postgres"));
    let different: Vec<_> = sqlite
        .symmetric_difference(&postgres)
        .filter(|stem| !exceptions.contains(stem.as_str()))
        .cloned()
        .collect();
    assert_none("these statements stand in one adapter only", &different);
}

#[test]
fn released_migrations_never_change() {
    let real: BTreeMap<String, String> = ending(".sql")
        .into_iter()
        .filter(|path| path.contains("/migrations/"))
        .map(|path| {
            let hash = tenure::Hash::of(read(&path).as_bytes()).to_string();
            (path, hash)
        })
        .collect();
    let pinned: BTreeMap<String, String> = allowed()["migrations"].clone().try_into().unwrap();
    assert_eq!(real, pinned);
}

#[test]
fn one_word_for_one_thing() {
    let glossary = read("docs/glossary.md");
    let rejected: Vec<String> = glossary
        .lines()
        .filter(|line| line.starts_with("| **"))
        .filter_map(|line| line.trim_matches('|').split('|').nth(2))
        .flat_map(|last| last.split('`').skip(1).step_by(2))
        .map(str::to_lowercase)
        .collect();
    assert!(rejected.len() > 10, "{rejected:?}");
    let is_word = |text: &str, at: usize, word: &str| {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        !text
            .get(..at)
            .and_then(|t| t.chars().next_back())
            .is_some_and(letter)
            && !text
                .get(at + word.len()..)
                .and_then(|t| t.chars().next())
                .is_some_and(letter)
    };
    let mut found = Vec::new();
    for path in files() {
        let ours = path.starts_with("crates/") || path.starts_with("docs/") || path == "README.md";
        let exempt = path == "docs/glossary.md"
            || path.starts_with("docs/adr/")
            || path.ends_with("tests/tidy.rs");
        if !ours || exempt {
            continue;
        }
        let text = read(&path).to_lowercase();
        for word in &rejected {
            if text
                .match_indices(word.as_str())
                .any(|(at, _)| is_word(&text, at, word))
            {
                found.push(format!("{path}: {word}"));
            }
        }
    }
    assert_none("the glossary has other words for these", &found);
}

#[test]
fn decisions_are_short_and_indexed() {
    let index = read("docs/adr/README.md");
    let bad: Vec<_> = files()
        .into_iter()
        .filter(|path| path.starts_with("docs/adr/0"))
        .filter(|path| {
            read(path).lines().count() > 60
                || !index.contains(path.strip_prefix("docs/adr/").unwrap_or(path))
        })
        .collect();
    assert_none(
        "these decisions are too long or not in docs/adr/README.md",
        &bad,
    );
}

#[test]
fn links_in_the_docs_lead_somewhere() {
    let mut broken = Vec::new();
    for path in ending(".md") {
        let folder = Path::new(&path).parent().unwrap().to_path_buf();
        for target in read(&path)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = target.split('#').next().unwrap_or_default();
            let inside = !target.is_empty() && !target.contains("::") && !target.contains("://");
            if inside && !root().join(&folder).join(target).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert_none("these links lead nowhere", &broken);
}

#[test]
fn every_promise_of_the_readme_has_tests_that_carry_its_number() {
    let tests: String = ending(".rs").iter().map(|path| read(path)).collect();
    let readme = read("README.md");
    let promised: Vec<u32> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(
        promised,
        (1..=12).collect::<Vec<u32>>(),
        "the README's table of promises"
    );
    let bare: Vec<_> = promised
        .iter()
        .filter(|n| !tests.contains(&format!("p{n}_")))
        .map(|n| format!("promise {n}"))
        .collect();
    assert_none(
        "these promises have no test that carries their number",
        &bare,
    );
}
