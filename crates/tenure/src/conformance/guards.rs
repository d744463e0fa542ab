//! The database's own guards, which hold for every writer and not for Tenure alone.

#![expect(missing_docs, reason = "the name of a case is its rule")]

use super::{Factory, Setup, patch};
use crate::{Commit, State, Tenant};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_guards {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases guards [
            p3_no_line_can_be_altered,
            p3_no_line_can_be_removed,
            p3_no_tenant_can_be_removed,
            p3_a_foreign_line_never_makes_a_fork,
            p1_no_state_can_be_written_without_its_line,
            p1_no_tenant_can_be_written_without_its_line,
        ] $($arg)* }
    };
}

/// Each of these statements is refused by the database, and nothing is changed by them.
async fn assert_refused(setup: &Setup, tenant: &Tenant, statements: &[&str]) {
    let before = setup.everything(tenant.id).await;
    for sql in statements {
        let Some(answer) = setup.raw(sql).await else {
            return;
        };
        assert!(answer.is_err(), "the database took `{sql}`: {answer:?}");
        assert_eq!(setup.everything(tenant.id).await, before, "after `{sql}`");
    }
    // The guards are not in the way of what is right.
    setup.command(tenant, &patch("after", "raw")).await;
}

pub async fn p3_no_line_can_be_altered(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Ready).await;
    let statements = [
        "UPDATE history SET message = 'nothing happened'",
        "UPDATE history SET actor = 'user:nobody' WHERE revision = 1",
        "UPDATE history SET revision = revision + 1000",
        "UPDATE history SET hash = desired",
    ];
    assert_refused(&setup, &tenant, &statements).await;
}

pub async fn p3_no_line_can_be_removed(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Ready).await;
    let statements = [
        "DELETE FROM history",
        "DELETE FROM history WHERE revision = 1",
        "DELETE FROM history WHERE revision = (SELECT max(revision) FROM history)",
        "TRUNCATE history",
        "TRUNCATE history CASCADE",
    ];
    assert_refused(&setup, &tenant, &statements).await;
}

pub async fn p3_no_tenant_can_be_removed(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Ready).await;
    let statements = [
        "DELETE FROM tenants",
        "TRUNCATE tenants",
        "TRUNCATE tenants CASCADE",
    ];
    assert_refused(&setup, &tenant, &statements).await;
}

pub async fn p1_no_state_can_be_written_without_its_line(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.lead_to("acme", State::Provisioning).await;
    let statements = [
        "UPDATE tenants SET state = 'ready'",
        "UPDATE tenants SET state = 'ready', revision = revision + 1",
        "UPDATE tenants SET revision = revision + 1",
        "UPDATE tenants SET revision = revision - 1",
        "UPDATE tenants SET desired = hash",
        "UPDATE tenants SET name = 'other'",
        "UPDATE tenants SET reason = '', revision = revision + 1",
    ];
    assert_refused(&setup, &tenant, &statements).await;
}

pub async fn p1_no_tenant_can_be_written_without_its_line(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup.create("acme").await;
    // The same row again under another id, which a line of history was never written for.
    let copy = |id: &str| {
        format!(
            "INSERT INTO tenants (tenant_id, name, class, state, state_since, reason, message, \
             running, generation, observed_generation, desired, hash, revision, created_at, \
             updated_at) SELECT {id}, 'other', class, state, state_since, reason, message, \
             running, generation, observed_generation, desired, hash, revision, created_at, \
             updated_at FROM tenants"
        )
    };
    // An id is bytes in one database and a type of its own in the other.
    let blob = copy("x'01890a5d000070008000000000000001'");
    let uuid = copy("'01890a5d-0000-7000-8000-000000000001'");
    assert_refused(&setup, &tenant, &[&blob, &uuid]).await;
}

pub async fn p3_a_foreign_line_never_makes_a_fork(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let tenant = setup
        .command(&setup.create("acme").await, &patch("plan", "gold"))
        .await;
    let insert = |revision: &str, actor: &str| {
        format!(
            "INSERT INTO history (tenant_id, revision, at, actor, kind, from_state, to_state, \
             reason, message, running, generation, observed_generation, desired, request_id, hash) \
             SELECT tenant_id, {revision}, at, {actor}, kind, from_state, to_state, reason, \
             message, running, generation, observed_generation, desired, request_id, desired \
             FROM history WHERE revision = 2"
        )
    };
    for sql in [insert("2", "actor"), insert("3", "''")] {
        let Some(answer) = setup.raw(&sql).await else {
            return;
        };
        assert!(answer.is_err(), "the database took `{sql}`: {answer:?}");
    }
    // The line after the head may be taken, but then our own has no place beside it.
    let Some(foreign) = setup.raw(&insert("3", "actor")).await else {
        return;
    };
    let ours = setup.change(&tenant, &patch("plan", "silver"));
    let answer = setup.store.commit(&ours).await;
    let is_written = matches!(answer, Ok(Commit::Applied { .. }));
    assert_ne!(is_written, foreign.is_ok(), "{foreign:?}, then {answer:?}");
    let lines = setup.history(tenant.id).await;
    let revisions: Vec<_> = lines.iter().map(|line| line.revision.get()).collect();
    assert_eq!(revisions, [1, 2, 3]);
}
