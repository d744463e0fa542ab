//! Every statement, prepared against the real schema, with the plan that SQLite makes for it.
//!
//! The plans are pinned in `tests/snapshots/plans.txt`. Run with `UPDATE_SNAPSHOTS=1` to write that
//! file anew, and read the difference: a scan is a promise broken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tenure::{Between, ConditionKind, Direction, Filter, Query, State, TenantId, Timestamp};
use uuid::Uuid;

use crate::list;
use crate::migrate::MIGRATIONS;
use crate::sql;

/// Scans that are meant: a count reads all that it counts, and leases are freed once, at opening.
const SCANS: &[&str] = &["count", "free", "standing"];

fn database() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    for (_, migration) in MIGRATIONS {
        db.execute_batch(migration).unwrap();
    }
    db
}

/// The plan of a statement, one step a line, each below the step that it is part of.
fn plan(db: &Connection, name: &str, statement: &str) -> String {
    let explained = format!("EXPLAIN QUERY PLAN {statement}");
    let mut prepared = db
        .prepare(&explained)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut rows = prepared.raw_query();
    let mut depths: BTreeMap<i64, usize> = BTreeMap::new();
    let mut text = String::new();
    while let Some(row) = rows.next().unwrap() {
        let (id, parent): (i64, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
        let detail: String = row.get(3).unwrap();
        let depth = depths.get(&parent).map_or(1, |depth| depth + 1);
        depths.insert(id, depth);
        writeln!(text, "{}{detail}", "  ".repeat(depth)).unwrap();
    }
    text
}

/// Every way in which a list can be driven, and every kind of condition on what it meets.
fn lists() -> Vec<(&'static str, Filter)> {
    let at = Timestamp::from_micros(1).unwrap();
    let between = Between {
        from: Some(at),
        until: Some(at),
    };
    let plain = Filter::default;
    let states = |states: &[State]| Filter {
        states: states.iter().copied().collect(),
        ..plain()
    };
    let conditions = |kinds: &[ConditionKind]| Filter {
        conditions: kinds.iter().copied().collect(),
        ..plain()
    };
    let selector = |text: &str| Filter {
        selector: text.parse().unwrap(),
        ..plain()
    };
    let all_three = Filter {
        states: [State::Ready].into(),
        conditions: [ConditionKind::Drifted].into(),
        ..selector("tier=gold")
    };
    let times = Filter {
        created: between,
        updated: between,
        state_since: between,
        deleted: between,
        ..plain()
    };
    vec![
        ("all", plain()),
        ("state", states(&[State::Ready])),
        (
            "states",
            states(&[State::Ready, State::Updating, State::Deleted]),
        ),
        ("condition", conditions(&[ConditionKind::Failing])),
        ("conditions", conditions(&ConditionKind::ALL)),
        ("label", selector("tier=gold")),
        ("label values", selector("tier in (gold, silver, bronze)")),
        ("labels", selector("tier in (gold, silver), region=eu")),
        (
            "label, every kind",
            selector("tier=gold, a!=b, c notin (d, e), f, !g"),
        ),
        ("label, state, condition", all_three),
        (
            "class",
            Filter {
                class: Some("gpu".parse().unwrap()),
                ..plain()
            },
        ),
        ("times", times),
    ]
}

/// All statements by name: those of `sql/` and those that are assembled.
fn statements() -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = sql::ALL
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let after = TenantId::new(Uuid::nil());
    for (name, filter) in lists() {
        all.insert(format!("tally {name}"), list::tally_text(&filter));
        for (order, direction) in [
            ("", Direction::Ascending),
            (", newest first", Direction::Descending),
        ] {
            let query = Query {
                filter: filter.clone(),
                direction,
                ..Query::default()
            };
            all.insert(
                format!("list {name}{order}"),
                list::walk_text(&query, Some(after)),
            );
        }
    }
    all
}

#[test]
fn every_statement_has_its_pinned_plan() {
    let db = database();
    let mut plans = String::new();
    for (name, statement) in statements() {
        write!(plans, "{name}\n{}\n", plan(&db, &name, &statement)).unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/plans.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &plans).unwrap();
    }
    let pinned = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        pinned == plans,
        "the plans changed; run with UPDATE_SNAPSHOTS=1 and read the diff"
    );
}

/// Scans of what holds a row or a batch; and what a foreign key looks through only while it is
/// violated, which ends in a refusal.
const SMALL: &[(&str, &str)] = &[
    ("changes_end", "SCAN s"),
    ("load", "SCAN always"),
    ("sweep_feed", "SCAN f"),
    ("sweep_feed", "SCAN o"),
    ("write_history", "SCAN idempotency"),
];

fn is_small(name: &str, step: &str) -> bool {
    step == "SCAN CONSTANT ROW"
        || step.contains("VIRTUAL TABLE")
        || step.starts_with("SCAN (subquery")
        || SMALL.contains(&(name, step))
}

#[test]
fn p11_nothing_scans_a_table_but_what_is_meant_to() {
    let db = database();
    for (name, statement) in statements() {
        let plan = plan(&db, &name, &statement);
        let mut steps = plan.lines().map(str::trim);
        let scans = steps.any(|step| step.starts_with("SCAN ") && !is_small(&name, step));
        let meant = SCANS.contains(&name.as_str()) || !is_indexed(&name);
        assert!(!scans || meant, "{name}:\n{plan}");
        assert!(
            !name.starts_with("list") || !plan.contains("TEMP B-TREE"),
            "{name}:\n{plan}"
        );
    }
}

/// Whether a list or count has an index to go by.
fn is_indexed(name: &str) -> bool {
    !["all", "class", "times"]
        .iter()
        .any(|whole| name.split([' ', ',']).nth(1) == Some(whole))
}

#[test]
fn every_file_begins_with_a_sentence_and_is_used() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut files: Vec<String> = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("-- ") && first.ends_with('.'),
            "{}",
            path.display()
        );
        assert!(
            text.lines().count() <= 80 && !text.contains("SELECT *"),
            "{}",
            path.display()
        );
        files.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    files.sort();
    let used: Vec<&str> = sql::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, used);
}
