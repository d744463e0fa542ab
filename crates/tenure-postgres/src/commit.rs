//! Writing a change: one statement, and one question more only if nothing was written.

use std::sync::Arc;

use tenure::{Change, Commit, IdempotencyKey, Revision, StoreError, Wake};
use tokio_postgres::Row;

use crate::error::Failure;
use crate::row::Columns;
use crate::session::{Call, Database, Param};
use crate::sql;
use crate::value::{At, Sha, micros, number, small};

type Result<T> = std::result::Result<T, StoreError>;

/// The guard that refuses to give a live idempotency key another meaning.
const KEY_USED: &str = "idempotency_key_used";

/// Commits in a task of its own, so that a caller who goes away can't cut it short.
pub(crate) async fn commit(database: &Arc<Database>, change: &Change) -> Result<Commit> {
    let (database, change) = (Arc::clone(database), change.clone());
    Database::detached(async move { commit_here(&database, &change).await }).await
}

/// Commits in the caller's task.
pub(crate) async fn commit_here(database: &Database, change: &Change) -> Result<Commit> {
    // A commit that finds its tenant as expected but its lease gone, and then the lease live, met a
    // change in between; that can't go on for ever.
    for _ in 0..3 {
        let written = match change.expected() {
            None => create(database, change).await,
            Some(expected) => update(database, change, expected).await,
        };
        let answer = match written {
            Ok(rows) if !rows.is_empty() => {
                let revision = change.tenant().revision;
                if matches!(change.wake(), Wake::Now) {
                    database.due.notify_one();
                }
                return Ok(Commit::Applied { revision });
            }
            Ok(_) => found(database, change, None).await?,
            Err(Failure::Rule(rule)) => match rule.as_str() {
                KEY_USED => Some(Commit::KeyUsed),
                "tenants_pkey" | "tenants_living_name" => {
                    found(database, change, Some(&rule)).await?
                }
                _ => return Err(StoreError::Rejected { rule }),
            },
            Err(failure) => return Err(failure.into()),
        };
        if let Some(answer) = answer {
            return Ok(answer);
        }
    }
    Err(StoreError::Overloaded)
}

/// Looks, from a new snapshot, what stands where the change was to go.
async fn found(database: &Database, change: &Change, rule: Option<&str>) -> Result<Option<Commit>> {
    let tenant = change.tenant();
    let (id, revision) = (tenant.id.as_uuid(), number(tenant.revision.get()));
    let params: [Param<'_>; 2] = [&id, &revision];
    let rows = database
        .run(Call::read("commit", &sql::COMMIT_FOUND, &params))
        .await?;
    let Some(row) = rows.first() else {
        return Ok(match (change.expected(), rule) {
            (Some(_), _) => Some(Commit::NotFound),
            (None, Some("tenants_living_name")) => Some(Commit::NameTaken),
            (None, _) => None,
        });
    };
    let mut columns = Columns::from(row, 0, "tenants");
    let actual = Revision::new(columns.number()?);
    let line: Option<Sha> = columns.next()?;
    let fence: Option<i64> = columns.next()?;
    let is_live: bool = columns.next()?;
    if line.is_some_and(|line| line.0 == change.line().hash) {
        return Ok(Some(Commit::Applied {
            revision: tenant.revision,
        }));
    }
    let Some(expected) = change.expected() else {
        return Ok(Some(Commit::IdTaken));
    };
    if actual != expected {
        return Ok(Some(Commit::Conflict { actual }));
    }
    let ours = |under: tenure::Under| fence == Some(number(under.fence.get())) && is_live;
    Ok(change
        .lease()
        .is_some_and(|under| !ours(under))
        .then_some(Commit::LeaseLost))
}

async fn create(database: &Database, change: &Change) -> std::result::Result<Vec<Row>, Failure> {
    let (tenant, line) = (change.tenant(), change.line());
    let lists = Lists::of(change);
    let key = Key::of(change.key());
    let params: [Param<'_>; 30] = [
        &tenant.id.as_uuid(),
        &At(tenant.created_at),
        &small(tenant.generation.get()),
        &small(tenant.observed_generation.get()),
        &tenant.running,
        &Sha(tenant.hash),
        &Sha(line.desired),
        &line.observed.map(Sha),
        &line.metadata.map(Sha),
        &line.details.map(Sha),
        &tenant.name.as_str(),
        &tenant.class.as_str(),
        &tenant.state.as_str(),
        &tenant.reason.as_str(),
        &tenant.message.as_str(),
        &line.actor.as_str(),
        &line.reason.as_str(),
        &line.message.as_str(),
        &line.request_id,
        &lists.hashes,
        &lists.bodies,
        &lists.keys_set,
        &lists.values_set,
        &lists.conditions_added,
        &after(change.wake()),
        &key.scope,
        &key.word,
        &key.fingerprint,
        &key.ttl,
        &matches!(change.wake(), Wake::Check(_)),
    ];
    database
        .run(Call::write("commit", &sql::COMMIT_CREATE, &params))
        .await
}

async fn update(
    database: &Database,
    change: &Change,
    expected: Revision,
) -> std::result::Result<Vec<Row>, Failure> {
    let (tenant, line) = (change.tenant(), change.line());
    let lists = Lists::of(change);
    let key = Key::of(change.key());
    let lease = change.lease();
    let error = change.last_error();
    let params: [Param<'_>; 40] = [
        &tenant.id.as_uuid(),
        &number(expected.get()),
        &tenant.state.as_str(),
        &At(tenant.state_since),
        &tenant.reason.as_str(),
        &tenant.message.as_str(),
        &tenant.running,
        &small(tenant.generation.get()),
        &small(tenant.observed_generation.get()),
        &Sha(line.desired),
        &line.observed.map(Sha),
        &line.metadata.map(Sha),
        &line.details.map(Sha),
        &Sha(tenant.hash),
        &At(tenant.updated_at),
        &tenant.deleted_at.map(At),
        &line.actor.as_str(),
        &line.kind.as_str(),
        &line.from.map(tenure::State::as_str),
        &line.reason.as_str(),
        &line.message.as_str(),
        &line.request_id,
        &lists.hashes,
        &lists.bodies,
        &change.labels_removed(),
        &lists.keys_set,
        &lists.values_set,
        &lists.conditions_removed,
        &lease.map(|under| number(under.fence.get())),
        &lists.conditions_added,
        &lease.is_some_and(|under| under.release),
        &after(change.wake()),
        &(change.wake() == Wake::Unchanged),
        &change.attempts_reset(),
        &key.scope,
        &key.word,
        &key.fingerprint,
        &key.ttl,
        &matches!(change.wake(), Wake::Check(_)),
        &error.as_ref().map(tenure::Message::as_str),
    ];
    database
        .run(Call::write("commit", &sql::COMMIT_UPDATE, &params))
        .await
}

/// How long from now work is due, if the wake says so.
pub(crate) fn after(wake: Wake) -> Option<i64> {
    match wake {
        Wake::Now => Some(0),
        Wake::After(wait) | Wake::Check(wait) => Some(micros(wait)),
        Wake::Never | Wake::Unchanged => None,
    }
}

/// The parts of a change that are lists, column by column.
struct Lists<'a> {
    hashes: Vec<Sha>,
    bodies: Vec<&'a str>,
    keys_set: Vec<&'a str>,
    values_set: Vec<&'a str>,
    conditions_added: Vec<&'static str>,
    conditions_removed: Vec<&'static str>,
}

impl<'a> Lists<'a> {
    fn of(change: &'a Change) -> Self {
        let words = |kinds: &[tenure::ConditionKind]| kinds.iter().map(|k| k.as_str()).collect();
        Self {
            hashes: change.documents().iter().map(|d| Sha(d.hash())).collect(),
            bodies: change
                .documents()
                .iter()
                .map(tenure::Document::as_str)
                .collect(),
            keys_set: change
                .labels_set()
                .iter()
                .map(|(key, _)| key.as_str())
                .collect(),
            values_set: change
                .labels_set()
                .iter()
                .map(|(_, value)| value.as_str())
                .collect(),
            conditions_added: words(change.conditions_added()),
            conditions_removed: words(change.conditions_removed()),
        }
    }
}

/// An idempotency key, column by column.
struct Key<'a> {
    scope: Option<&'a str>,
    word: Option<&'a str>,
    fingerprint: Option<Sha>,
    ttl: Option<i64>,
}

impl<'a> Key<'a> {
    fn of(key: Option<&'a IdempotencyKey>) -> Self {
        Self {
            scope: key.map(|key| key.scope.as_str()),
            word: key.map(|key| key.key.as_str()),
            fingerprint: key.map(|key| Sha(key.fingerprint)),
            ttl: key.map(|key| micros(key.ttl)),
        }
    }
}

/// Records a key for a command that found all as it asked.
pub(crate) async fn remember(
    database: &Database,
    tenant: tenure::TenantId,
    revision: Revision,
    key: &IdempotencyKey,
) -> Result<Commit> {
    let params: [Param<'_>; 6] = [
        &tenant.as_uuid(),
        &number(revision.get()),
        &key.scope,
        &key.key,
        &Sha(key.fingerprint),
        &micros(key.ttl),
    ];
    match database
        .run(Call::write("remember", &sql::REMEMBER, &params))
        .await
    {
        Ok(rows) if rows.is_empty() => Ok(Commit::NotFound),
        Ok(_) => Ok(Commit::Applied { revision }),
        Err(Failure::Rule(rule)) if rule == KEY_USED => Ok(Commit::KeyUsed),
        Err(failure) => Err(failure.into()),
    }
}
