//! What the application's role may do: all that the statements need, nothing that rewrites history.

use tokio_postgres::Client;

use crate::migrate::MigrateError;

/// Table, columns (all if empty), and what is granted on them.
const GRANTS: &[(&str, &str, &str)] = &[
    ("store_meta", "", "SELECT"),
    ("store_meta", "feed_floor_xact, feed_floor_seq", "UPDATE"),
    ("state_edges", "", "SELECT"),
    ("tenants", "", "SELECT, INSERT"),
    (
        "tenants",
        "revision, updated_at, state_since, deleted_at, generation, observed_generation, running, \
         hash, desired, observed, metadata, details, state, reason, message",
        "UPDATE",
    ),
    ("history", "", "SELECT, INSERT"),
    ("documents", "", "SELECT, INSERT"),
    ("labels", "", "SELECT, INSERT, UPDATE, DELETE"),
    ("conditions", "", "SELECT, INSERT, DELETE"),
    ("work", "", "SELECT, INSERT, UPDATE"),
    ("feed", "", "SELECT, INSERT, DELETE"),
    ("idempotency", "", "SELECT, INSERT, UPDATE, DELETE"),
    ("tokens", "", "SELECT, INSERT"),
    (
        "tokens",
        "hash, previous_hash, previous_until, last_used_at, revoked_at, revoked_by",
        "UPDATE",
    ),
];

/// Grants a role exactly this, taking away what it was granted on these tables before.
pub(crate) async fn grant(client: &mut Client, role: &str) -> Result<(), MigrateError> {
    let failed = |error: tokio_postgres::Error| MigrateError::failed(&error);
    let quoted: Option<String> = client
        .query_opt(
            "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = $1",
            &[&role],
        )
        .await
        .map_err(failed)?
        .map(|row| row.try_get(0))
        .transpose()
        .map_err(failed)?;
    let Some(quoted) = quoted else {
        return Err(MigrateError::NoSuchRole {
            role: role.to_owned(),
        });
    };
    let schema: String = client
        .query_one("SELECT quote_ident(current_schema())", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    let mut steps = vec![format!("GRANT USAGE ON SCHEMA {schema} TO {quoted}")];
    for (table, columns, _) in GRANTS {
        if columns.is_empty() {
            steps.push(format!("REVOKE ALL ON {table} FROM {quoted}"));
        }
    }
    for (table, columns, what) in GRANTS {
        let on = if columns.is_empty() {
            String::new()
        } else {
            format!(" ({columns})")
        };
        steps.push(format!("GRANT {what}{on} ON {table} TO {quoted}"));
    }
    let transaction = client.transaction().await.map_err(failed)?;
    transaction
        .batch_execute(&steps.join("; "))
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}
