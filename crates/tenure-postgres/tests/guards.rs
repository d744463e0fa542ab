//! The schema guards itself against every writer: this program's bugs, and a person with `psql`.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use fleet::Way;
use tenure::conformance::{Setup, patch};
use tenure::{State, StoreError};

/// Runs a statement that must be refused by this guard, and shows that it changed nothing.
async fn refused(setup: &Setup, rule: &str, statement: &str) {
    let tenants = setup.store.count(&tenure::Filter::default()).await.unwrap();
    let all = setup
        .store
        .changes(None, tenure::PageSize::MAX)
        .await
        .unwrap();
    let answer = setup.raw(statement).await.unwrap();
    let words = answer.expect_err(statement);
    assert!(
        words.contains(rule),
        "{statement}\nshould meet {rule} and met {words}"
    );
    assert_eq!(
        setup.store.count(&tenure::Filter::default()).await.unwrap(),
        tenants
    );
    let after = setup
        .store
        .changes(None, tenure::PageSize::MAX)
        .await
        .unwrap();
    assert_eq!(after.lines, all.lines);
}

/// A line that follows the newest one of the only tenant, with some columns otherwise.
fn line(columns: &[(&str, &str)]) -> String {
    let value = |name: &'static str, usual: &'static str| {
        columns
            .iter()
            .find(|(column, _)| *column == name)
            .map_or(usual, |(_, value)| *value)
    };
    format!(
        "INSERT INTO history (tenant_id, revision, at, generation, observed_generation, request_id, \
         running, hash, desired, kind, from_state, to_state, actor, reason, message) \
         SELECT tenant_id, {}, now(), {}, {}, gen_random_uuid(), true, {}, desired, {}, {}, {}, {}, {}, \
         '' FROM tenants",
        value("revision", "revision + 1"),
        value("generation", "generation"),
        value("observed_generation", "observed_generation"),
        value("hash", "hash"),
        value("kind", "'state'"),
        value("from_state", "state"),
        value("to_state", "state"),
        value("actor", "'user:eve'"),
        value("reason", "'Because'"),
    )
}

#[tokio::test]
async fn p1_no_state_without_its_line_of_history() {
    let setup = Setup::new(&Way::Named).await;
    setup.lead_to("acme", State::Ready).await;
    for (rule, statement) in [
        (
            "tenants_head",
            "UPDATE tenants SET revision = revision + 1, state = 'updating'",
        ),
        (
            "tenants_revision_plus_one",
            "UPDATE tenants SET state = 'updating'",
        ),
        (
            "tenants_revision_plus_one",
            "UPDATE tenants SET revision = revision - 1",
        ),
        (
            "tenants_revision_plus_one",
            "UPDATE tenants SET message = 'all is well'",
        ),
    ] {
        refused(&setup, rule, statement).await;
    }
    let insert = "INSERT INTO tenants (tenant_id, revision, created_at, updated_at, state_since, \
         generation, observed_generation, running, hash, desired, name, class, state, reason, message) \
         SELECT gen_random_uuid(), 1, now(), now(), now(), 1, 0, true, hash, desired, 'eve', class, \
         'requested', reason, '' FROM tenants";
    refused(&setup, "tenants_head", insert).await;
}

#[tokio::test]
async fn p3_history_is_append_only() {
    let setup = Setup::new(&Way::Named).await;
    setup.lead_to("acme", State::Ready).await;
    for (rule, statement) in [
        (
            "history_append_only",
            "UPDATE history SET message = 'it was not me'",
        ),
        (
            "history_append_only",
            "DELETE FROM history WHERE revision = 1",
        ),
        ("history_append_only", "DELETE FROM history"),
        ("_never_truncated", "TRUNCATE history CASCADE"),
        ("_never_truncated", "TRUNCATE tenants CASCADE"),
        ("tenants_never_deleted", "DELETE FROM tenants"),
    ] {
        refused(&setup, rule, statement).await;
    }
}

#[tokio::test]
async fn a_line_that_breaks_a_rule_is_refused() {
    let setup = Setup::new(&Way::Named).await;
    setup.lead_to("acme", State::Ready).await;
    for (rule, columns) in [
        ("history_edge", [("to_state", "'requested'")].as_slice()),
        ("history_edge", &[("to_state", "'deleted'")]),
        ("history_from", &[("from_state", "NULL")]),
        ("history_first", &[("kind", "'created'")]),
        ("history_kind", &[("kind", "'rumour'")]),
        ("history_actor", &[("actor", "''")]),
        ("history_reason", &[("reason", "''")]),
        ("history_hashes", &[("hash", "'\\x00'")]),
        (
            "history_generation",
            &[("generation", "0"), ("observed_generation", "0")],
        ),
        (
            "history_observed_generation",
            &[("observed_generation", "generation + 1")],
        ),
        ("history_pkey", &[("revision", "revision")]),
    ] {
        refused(&setup, rule, &line(columns)).await;
    }
}

#[tokio::test]
async fn a_tenant_goes_only_where_the_table_of_states_leads() {
    let setup = Setup::new(&Way::Named).await;
    setup.lead_to("acme", State::Ready).await;
    // The line is fine by itself; it only lies about where the tenant stood.
    let lie = line(&[("from_state", "'deleting'"), ("to_state", "'deleted'")]);
    let statement = format!(
        "WITH line AS ({lie}) UPDATE tenants SET revision = revision + 1, state = 'deleted', \
         deleted_at = updated_at"
    );
    refused(&setup, "tenants_state_edge", &statement).await;
}

#[tokio::test]
async fn what_a_tenant_is_never_changes() {
    let setup = Setup::new(&Way::Named).await;
    setup.lead_to("acme", State::Ready).await;
    for change in [
        "name = 'other'",
        "class = 'other'",
        "created_at = created_at - interval '1 day'",
    ] {
        let statement = format!("UPDATE tenants SET {change}");
        refused(&setup, "tenants_identity_immutable", &statement).await;
    }
}

#[tokio::test]
async fn a_live_key_keeps_its_meaning_and_its_line() {
    let setup = Setup::new(&Way::Named).await;
    let tenant = setup.create("acme").await;
    let change = setup.change(&tenant, &patch("plan", "gold"));
    let change = change.with_key(Some(tenure::conformance::key("k", "request")));
    setup.write(&change).await;
    let statement = "UPDATE idempotency SET revision = 1";
    refused(&setup, "idempotency_key_used", statement).await;
    let statement = "INSERT INTO idempotency (scope, key, fingerprint, tenant_id, revision, wrote, expires_at) \
         SELECT 's', 'k', fingerprint, tenant_id, 99, wrote, expires_at FROM idempotency";
    refused(&setup, "idempotency_answer", statement).await;
}

#[tokio::test]
async fn a_guard_that_refuses_a_commit_is_named() {
    let setup = Setup::new(&Way::Named).await;
    let tenant = setup.create("acme").await;
    // A foreign writer took the place of the next line.
    setup.raw(&line(&[])).await.unwrap().unwrap();
    let change = setup.change(&tenant, &patch("plan", "gold"));
    let error = setup.store.commit(&change).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Rejected { rule } if rule == "history_pkey"),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_edges_are_those_of_the_rules() {
    let place = Way::Named.place().await;
    let client = place.connect().await;
    for from in State::ALL {
        for to in State::ALL {
            let row = client
                .query_one(
                    "SELECT tenure_may_become($1, $2), \
                     EXISTS (SELECT 1 FROM state_edges WHERE from_state = $1 AND to_state = $2)",
                    &[&from.as_str(), &to.as_str()],
                )
                .await
                .unwrap();
            let expected = from.may_become(to);
            assert_eq!(
                (row.get(0), row.get(1)),
                (expected, expected),
                "{from} to {to}"
            );
        }
    }
}
