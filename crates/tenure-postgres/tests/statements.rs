//! Every statement is held against a migrated database: its types, and the plan it gets.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use support::{TestCluster, TestDatabase};
use tenure::{Direction, Filter, Query, State, TenantId};
use tenure_postgres::{MigrateOptions, list_statement, migrate, statements};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

async fn migrated() -> (TestDatabase, Client) {
    let cluster = TestCluster::shared().await;
    let template = cluster
        .template("migrated", async |url: String| {
            migrate(&url, MigrateOptions::default()).await.unwrap();
        })
        .await;
    let database = cluster.database(&template).await;
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    (database, client)
}

async fn seeded() -> (TestDatabase, Client) {
    let (database, client) = migrated().await;
    let seed = format!(
        "SET session_replication_role = replica; {}; SET session_replication_role = origin; ANALYZE",
        include_str!("seed.sql")
    );
    client.batch_execute(&seed).await.unwrap();
    client.batch_execute("VACUUM").await.unwrap();
    (database, client)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[tokio::test]
async fn every_statement_takes_the_types_that_it_declares() {
    let (_database, client) = migrated().await;
    for (name, text, declared) in statements() {
        let prepared = client
            .prepare(text)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(prepared.params(), declared, "{name}");
    }
}

#[test]
fn every_file_is_a_statement_and_keeps_the_style() {
    let declared: BTreeSet<String> = statements()
        .iter()
        .map(|(name, _, _)| format!("{name}.sql"))
        .collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder("sql")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("-- ") && !first.contains(" SELECT "),
            "{name} begins with a sentence"
        );
        assert!(text.lines().count() <= 80, "{name} is longer than 80 lines");
        assert!(
            text.lines().all(|line| line.len() <= 100),
            "{name} has lines beyond 100"
        );
        assert!(
            !text.contains("SELECT *") && !text.contains(".*"),
            "{name} names its columns"
        );
        assert!(text.ends_with(";\n"), "{name} ends with a semicolon");
        found.insert(name);
    }
    assert_eq!(found, declared);
}

/// The plan that a statement gets when its values are not known, as it gets on the long run.
async fn plan(client: &Client, text: &str, types: &[Type]) -> String {
    let kinds: Vec<&str> = types
        .iter()
        .map(|kind| kind.name().trim_start_matches('_'))
        .collect();
    let kinds: Vec<String> = types
        .iter()
        .zip(kinds)
        .map(|(kind, name)| {
            if kind.name().starts_with('_') {
                format!("{name}[]")
            } else {
                name.to_owned()
            }
        })
        .collect();
    let nulls = vec!["NULL"; types.len()].join(", ");
    let (declared, values) = if types.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("({})", kinds.join(", ")), format!("({nulls})"))
    };
    client
        .batch_execute(&format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE p{declared} AS {text}"
        ))
        .await
        .unwrap();
    let rows = client
        .query(&format!("EXPLAIN (COSTS OFF) EXECUTE p{values}"), &[])
        .await
        .unwrap();
    client.batch_execute("DEALLOCATE p").await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

/// What scans a table from end to end: none may, except the one table of one row.
fn full_scans(plan: &str) -> Vec<&str> {
    plan.lines()
        .filter(|line| line.contains("Seq Scan") && !line.contains("store_meta"))
        .collect()
}

fn check(snapshot: &str, found: &str) {
    let path = folder("tests/snapshots").join(snapshot);
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no command line of their own"
    )]
    if std::env::var("UPDATE_SNAPSHOTS").is_ok() {
        fs::write(&path, found).unwrap();
    }
    let pinned = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        pinned == found,
        "{snapshot} differs; if that is meant, run with UPDATE_SNAPSHOTS=1:\n{found}"
    );
}

#[tokio::test]
async fn p11_no_statement_scans_a_table_and_plans_are_pinned() {
    let (_database, client) = seeded().await;
    let mut all = String::new();
    for (name, text, types) in statements() {
        let plan = plan(&client, text, types).await;
        if ["count", "standing"].contains(&name) {
            continue; // These cost a scan, and say so.
        }
        assert_eq!(full_scans(&plan), [""; 0], "{name}:\n{plan}");
        write!(all, "== {name}\n{plan}\n\n").unwrap();
    }
    check("plans.txt", &all);
}

fn lists() -> Vec<(&'static str, Filter)> {
    let filter = |edit: fn(&mut Filter)| {
        let mut filter = Filter::default();
        edit(&mut filter);
        filter
    };
    vec![
        ("all", Filter::default()),
        ("one state", filter(|f| f.states = [State::Updating].into())),
        (
            "two states",
            filter(|f| f.states = [State::Ready, State::Updating].into()),
        ),
        (
            "a label",
            filter(|f| f.selector = "tier=gold".parse().unwrap()),
        ),
        (
            "one label of two values",
            filter(|f| f.selector = "tier in (gold, silver)".parse().unwrap()),
        ),
        (
            "two labels",
            filter(|f| f.selector = "tier in (gold, silver), cell=value-07".parse().unwrap()),
        ),
        (
            "a label absent",
            filter(|f| f.selector = "!legacy, tier!=gold".parse().unwrap()),
        ),
        (
            "a condition",
            filter(|f| f.conditions = [tenure::ConditionKind::Failing].into()),
        ),
        (
            "a condition in a state",
            filter(|f| {
                f.conditions = [tenure::ConditionKind::Failing].into();
                f.states = [State::Updating].into();
            }),
        ),
        (
            "a class since a time",
            filter(|f| {
                f.class = Some("default".parse().unwrap());
                f.created.from = Some("2026-11-22T00:00:00Z".parse().unwrap());
            }),
        ),
    ]
}

#[tokio::test]
async fn p11_no_list_sorts_or_scans_a_table_and_plans_are_pinned() {
    let (_database, client) = seeded().await;
    let mut all = String::new();
    let after = TenantId::new(Uuid::from_u128(7));
    for (name, filter) in lists() {
        for direction in [Direction::Ascending, Direction::Descending] {
            let query = Query {
                filter: filter.clone(),
                direction,
                ..Query::default()
            };
            let (text, types) = list_statement(&query, Some(after));
            let plan = plan(&client, &text, &types).await;
            assert_eq!(full_scans(&plan), [""; 0], "{name}:\n{plan}");
            let sorts = plan.lines().any(|line| line.contains("->  Sort"));
            assert!(!sorts, "{name}:\n{plan}");
            write!(all, "== {name}, {direction:?}\n{plan}\n\n").unwrap();
        }
    }
    check("lists.txt", &all);
}
