//! What the database itself refuses, whoever writes: here a plain connection, as a shell has it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenure::conformance::Setup;
use tenure::{Command, State};

use crate::support::{On, Scratch};

/// A database with one tenant at rest, `ready`.
async fn lived() -> (Setup, Arc<Scratch>) {
    let scratch = Arc::new(Scratch::new());
    let setup = Setup::new(&On(Arc::clone(&scratch))).await;
    setup.lead_to("acme", State::Ready).await;
    (setup, scratch)
}

/// Asserts that a shell is refused by this guard, whether or not it checks foreign keys, and that
/// nothing of it stays.
fn refused(scratch: &Scratch, guard: &str, sql: &str) {
    for foreign_keys in [true, false] {
        let shell = scratch.shell();
        shell
            .pragma_update(None, "foreign_keys", foreign_keys)
            .unwrap();
        let before = dump(&shell);
        let error = shell.execute_batch(sql).expect_err(sql).to_string();
        assert_eq!(
            error.split(" in ").next(),
            Some(format!("guard:{guard}").as_str()),
            "{sql}"
        );
        assert_eq!(dump(&shell), before, "{sql}");
    }
}

/// Heads and history, as text.
fn dump(shell: &rusqlite::Connection) -> Vec<String> {
    let sql =
        "SELECT hex(tenant_id) || revision || state || name || message || hex(hash) FROM tenants
               UNION ALL
               SELECT hex(tenant_id) || revision || to_state || actor || message || hex(hash)
               FROM history";
    let mut statement = shell.prepare(sql).unwrap();
    statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// A line that would follow the newest: its revision, its states and its generation.
fn line(revision: &str, from: &str, to: &str, generation: &str) -> String {
    format!(
        "INSERT INTO history
         SELECT tenant_id, {revision}, at, actor, 'state', {from}, {to}, reason, message, running,
                {generation}, observed_generation, desired, observed, metadata, details,
                request_id, hash
         FROM history ORDER BY revision DESC LIMIT 1"
    )
}

#[tokio::test]
async fn p1_a_state_without_history_is_refused() {
    let (_setup, scratch) = lived().await;
    for sql in [
        "UPDATE tenants SET state = 'deleting'",
        "UPDATE tenants SET state = 'deleting', revision = revision + 1",
        "UPDATE tenants SET message = 'it was me'",
        "UPDATE tenants SET name = 'mine'",
        "UPDATE tenants SET class = 'mine', revision = revision + 1",
        "INSERT INTO tenants
         SELECT randomblob(16), 'other', class, 'requested', created_at, reason, message, running,
                generation, observed_generation, desired, observed, metadata, details, hash, 1,
                created_at, created_at, deleted_at
         FROM tenants",
    ] {
        refused(&scratch, "tenants_head", sql);
    }
}

#[tokio::test]
async fn p3_a_line_is_never_edited_nor_deleted() {
    let (_setup, scratch) = lived().await;
    for sql in [
        "UPDATE history SET reason = 'Nothing'",
        "UPDATE history SET at = at + 1 WHERE revision = 2",
        "DELETE FROM history",
        "DELETE FROM history WHERE revision = (SELECT max(revision) FROM history)",
    ] {
        refused(&scratch, "history_append_only", sql);
    }
    let replace = line("2", "from_state", "to_state", "generation").replacen(
        "INSERT",
        "INSERT OR REPLACE",
        1,
    );
    let error = scratch
        .shell()
        .execute_batch(&replace)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("guard:"), "{error}");
}

#[tokio::test]
async fn p3_a_revision_is_never_skipped() {
    let (_setup, scratch) = lived().await;
    for revision in ["revision + 2", "revision + 100", "0", "-1"] {
        refused(
            &scratch,
            "tenants_revision_plus_one",
            &line(revision, "to_state", "to_state", "generation"),
        );
    }
}

#[tokio::test]
async fn an_illegal_transition_is_refused() {
    let (_setup, scratch) = lived().await;
    for to in ["'provisioning'", "'requested'", "'deleted'", "'resuming'"] {
        refused(
            &scratch,
            "history_edge",
            &line("revision + 1", "to_state", to, "generation"),
        );
    }
    let from = "'suspended'";
    refused(
        &scratch,
        "history_follows_head",
        &line("revision + 1", from, "'updating'", "generation"),
    );
    refused(
        &scratch,
        "generation_grows",
        &line("revision + 1", "to_state", "to_state", "generation - 1"),
    );
}

#[tokio::test]
async fn p3_a_tenant_is_never_deleted() {
    let (_setup, scratch) = lived().await;
    refused(&scratch, "tenants_never_deleted", "DELETE FROM tenants");
    let replace = "INSERT OR REPLACE INTO tenants SELECT * FROM tenants";
    let error = scratch
        .shell()
        .execute_batch(replace)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("guard:"), "{error}");
}

#[tokio::test]
async fn a_line_that_is_in_order_moves_its_head() {
    let (setup, scratch) = lived().await;
    let sql = line("revision + 1", "to_state", "'updating'", "generation + 1");
    scratch.shell().execute_batch(&sql).unwrap();
    let heads: (String, i64, i64) = scratch
        .shell()
        .query_row(
            "SELECT state, generation, revision FROM tenants",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    let lines = setup.feed().await.len();
    assert_eq!(
        heads,
        ("updating".to_owned(), 2, i64::try_from(lines).unwrap() + 1)
    );
}

#[tokio::test]
async fn what_columns_may_hold_is_checked() {
    let (_setup, scratch) = lived().await;
    for (sql, rule) in [
        ("UPDATE work SET attempts = -1", "work_attempts"),
        ("UPDATE work SET holder = 'me'", "work_lease"),
        ("UPDATE work SET due_at = 'soon'", "STRICT"),
        (
            "INSERT INTO conditions VALUES (zeroblob(16), 'sad')",
            "conditions_kind",
        ),
        (
            "INSERT INTO labels VALUES (zeroblob(16), '', '')",
            "labels_length",
        ),
        (
            "INSERT INTO documents VALUES (zeroblob(16), zeroblob(31), '{}')",
            "documents_hash",
        ),
        (
            "INSERT INTO feed (tenant_id, revision, at) SELECT tenant_id, 1, 1 FROM feed",
            "UNIQUE",
        ),
    ] {
        let error = scratch.shell().execute_batch(sql).unwrap_err().to_string();
        let word = if rule == "STRICT" {
            "TEXT value in INTEGER"
        } else {
            rule
        };
        assert!(error.contains(word), "{sql}: {error}");
    }
}

#[tokio::test]
async fn the_edges_are_those_of_the_rules() {
    let (_setup, scratch) = lived().await;
    let shell = scratch.shell();
    let mut statement = shell
        .prepare("SELECT from_state, to_state FROM state_edges")
        .unwrap();
    let edge = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let stored: BTreeSet<(String, String)> = statement
        .query_map([], edge)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let word = |state: State| state.as_str().to_owned();
    let ruled: BTreeSet<(String, String)> = State::ALL
        .into_iter()
        .flat_map(|from| State::ALL.map(|to| (from, to)))
        .filter(|(from, to)| from.may_become(*to))
        .map(|(from, to)| (word(from), word(to)))
        .collect();
    assert_eq!(stored, ruled);
}

#[tokio::test]
async fn the_head_that_the_database_folds_is_the_tenant_that_was_decided() {
    let (setup, _scratch) = lived().await;
    let tenant = setup.feed().await.first().unwrap().tenant;
    for command in [
        Command::Suspend,
        Command::Hold,
        Command::Resume,
        Command::Release,
        tenure::conformance::patch("plan", "gold"),
        Command::Delete,
    ] {
        let before = setup.tenant(tenant).await;
        let change = setup.change(&before, &command);
        setup.write(&change).await;
        assert_eq!(setup.tenant(tenant).await, *change.tenant(), "{command:?}");
    }
    let gone = setup.lead_to("gone", State::Deleted).await;
    assert_eq!(setup.tenant(gone.id).await, gone);
}
