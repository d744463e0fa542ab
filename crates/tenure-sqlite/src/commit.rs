//! Writing one change: compared first, then whole. Runs within the writer's transaction.

use rusqlite::{Connection, params};
use tenure::{
    Change, Commit, Hash, IdempotencyKey, Message, Result, Revision, State, TenantId, Timestamp,
    Under, Wake,
};

use crate::error::integer;
use crate::readers::one;
use crate::row::{self, Columns};
use crate::sql;
use crate::writer::execute;

/// Where a tenant stands, as far as a change is compared with it.
struct Head {
    revision: Revision,
    fence: u64,
    lease_until: Option<Timestamp>,
}

/// Writes a change if it still fits.
pub(crate) fn commit(db: &Connection, change: &Change, now: Timestamp) -> Result<Commit> {
    let id = change.tenant().id;
    let head = head(db, id)?;
    let refused = match (change.expected(), &head) {
        (None, head) => refuse_create(db, change, head.is_some())?,
        (Some(_), None) => Some(Commit::NotFound),
        (Some(expected), Some(head)) => refuse_update(db, change, expected, head.revision)?,
    };
    if let Some(refused) = refused {
        return Ok(refused);
    }
    if let Some(under) = change.lease()
        && !is_live(head.as_ref(), under, now)
    {
        return Ok(Commit::LeaseLost);
    }
    if let Some(key) = change.key()
        && key_used(db, key, now)?
    {
        return Ok(Commit::KeyUsed);
    }
    write(db, change, now)?;
    Ok(Commit::Applied {
        revision: change.tenant().revision,
    })
}

fn head(db: &Connection, id: TenantId) -> Result<Option<Head>> {
    one(db, sql::HEAD, [id.as_uuid().into_bytes()], |row| {
        let mut columns = Columns::new(row, "tenants");
        Ok(Head {
            revision: columns.take(row::revision)?,
            fence: columns.take(row::number)?,
            lease_until: columns.maybe(row::time)?,
        })
    })
}

/// Whether the line at a revision is the one of this change: then it was written before.
fn is_written(db: &Connection, change: &Change, at: Revision) -> Result<bool> {
    let id = change.tenant().id;
    let params = params![id.as_uuid().into_bytes(), integer(at.get())];
    let hash: Option<Hash> = one(db, sql::LINE_HASH, params, |row| {
        Columns::new(row, "history").take(row::hash)
    })?;
    Ok(hash == Some(change.line().hash))
}

fn refuse_create(db: &Connection, change: &Change, exists: bool) -> Result<Option<Commit>> {
    let first = Revision::new(1);
    if exists {
        let applied = is_written(db, change, first)?;
        return Ok(Some(if applied {
            Commit::Applied { revision: first }
        } else {
            Commit::IdTaken
        }));
    }
    let name = change.tenant().name.as_str();
    let taken = one(db, sql::NAME_TAKEN, [name], |_| Ok(()))?;
    Ok(taken.map(|()| Commit::NameTaken))
}

fn refuse_update(
    db: &Connection,
    change: &Change,
    expected: Revision,
    actual: Revision,
) -> Result<Option<Commit>> {
    if actual == expected {
        return Ok(None);
    }
    let next = expected.next();
    let applied = actual > expected && is_written(db, change, next)?;
    Ok(Some(if applied {
        Commit::Applied { revision: next }
    } else {
        Commit::Conflict { actual }
    }))
}

fn is_live(head: Option<&Head>, under: Under, now: Timestamp) -> bool {
    head.is_some_and(|head| {
        head.fence == under.fence.get() && head.lease_until.is_some_and(|until| until > now)
    })
}

fn key_used(db: &Connection, key: &IdempotencyKey, now: Timestamp) -> Result<bool> {
    let params = params![key.scope, key.key, now.as_micros()];
    Ok(one(db, sql::KEY_USED, params, |_| Ok(()))?.is_some())
}

/// Writes all that a change is made of. The line moves the head of a tenant that is there.
fn write(db: &Connection, change: &Change, now: Timestamp) -> Result<()> {
    let tenant = change.tenant();
    let uuid = tenant.id.as_uuid();
    let id = uuid.as_bytes();
    for document in change.documents() {
        let hash = document.hash();
        execute(
            db,
            sql::WRITE_DOCUMENT,
            params![id, hash.as_bytes(), document.as_str()],
        )?;
    }
    write_line(db, change)?;
    if change.expected().is_none() {
        write_tenant(db, change)?;
    }
    let revision = integer(tenant.revision.get());
    execute(db, sql::WRITE_FEED, params![id, revision, now.as_micros()])?;
    for key in change.labels_removed() {
        execute(db, sql::DROP_LABEL, params![id, key])?;
    }
    for (key, value) in change.labels_set() {
        execute(db, sql::WRITE_LABEL, params![id, key, value])?;
    }
    for kind in change.conditions_removed() {
        execute(db, sql::DROP_CONDITION, params![id, kind.as_str()])?;
    }
    for kind in change.conditions_added() {
        execute(db, sql::WRITE_CONDITION, params![id, kind.as_str()])?;
    }
    write_work(db, change, now)?;
    match change.key() {
        Some(key) => write_key(db, (tenant.id, tenant.revision), true, key, now),
        None => Ok(()),
    }
}

fn write_tenant(db: &Connection, change: &Change) -> Result<()> {
    let (tenant, line) = (change.tenant(), change.line());
    let params = params![
        tenant.id.as_uuid().into_bytes(),
        tenant.name.as_str(),
        tenant.class.as_str(),
        tenant.state.as_str(),
        tenant.state_since.as_micros(),
        tenant.reason.as_str(),
        tenant.message.as_str(),
        tenant.running,
        integer(tenant.generation.get()),
        integer(tenant.observed_generation.get()),
        line.desired.as_bytes(),
        line.observed.as_ref().map(Hash::as_bytes),
        line.metadata.as_ref().map(Hash::as_bytes),
        line.details.as_ref().map(Hash::as_bytes),
        tenant.hash.as_bytes(),
        integer(tenant.revision.get()),
        tenant.created_at.as_micros(),
        tenant.updated_at.as_micros(),
        tenant.deleted_at.map(Timestamp::as_micros),
    ];
    execute(db, sql::WRITE_TENANT, params).map(drop)
}

fn write_line(db: &Connection, change: &Change) -> Result<()> {
    let line = change.line();
    let params = params![
        line.tenant.as_uuid().into_bytes(),
        integer(line.revision.get()),
        line.at.as_micros(),
        line.actor.as_str(),
        line.kind.as_str(),
        line.from.map(State::as_str),
        line.to.as_str(),
        line.reason.as_str(),
        line.message.as_str(),
        line.running,
        integer(line.generation.get()),
        integer(line.observed_generation.get()),
        line.desired.as_bytes(),
        line.observed.as_ref().map(Hash::as_bytes),
        line.metadata.as_ref().map(Hash::as_bytes),
        line.details.as_ref().map(Hash::as_bytes),
        line.request_id.as_bytes(),
        line.hash.as_bytes(),
    ];
    execute(db, sql::WRITE_HISTORY, params).map(drop)
}

/// When work is due that was woken like this; `None` for never, or for leaving it as it was.
pub(crate) fn due(wake: Wake, now: Timestamp) -> Option<i64> {
    match wake {
        Wake::Now => Some(now.as_micros()),
        Wake::After(wait) | Wake::Check(wait) => Some(now.plus(wait).as_micros()),
        Wake::Never | Wake::Unchanged => None,
    }
}

fn write_work(db: &Connection, change: &Change, now: Timestamp) -> Result<()> {
    let tenant = change.tenant();
    let uuid = tenant.id.as_uuid();
    let (id, state) = (uuid.as_bytes(), tenant.state.as_str());
    let (wake, reset) = (change.wake(), change.attempts_reset());
    let (due, at) = (due(wake, now), now.as_micros());
    let check = matches!(wake, Wake::Check(_));
    match (change.expected(), change.lease()) {
        (None, _) => {
            let class = tenant.class.as_str();
            execute(db, sql::WRITE_WORK, params![id, class, state, due, check])
        }
        (_, Some(Under { release: true, .. })) => {
            let stays = wake == Wake::Unchanged;
            let error = change.last_error();
            let error = error.as_ref().map(Message::as_str);
            let params = params![id, state, at, stays, due, reset, check, error];
            execute(db, sql::END_WORK, params)
        }
        (_, Some(Under { release: false, .. })) => {
            execute(db, sql::KEEP_WORK, params![id, state, reset])
        }
        (_, None) => {
            let wakes = due.is_some();
            let params = params![id, state, at, wakes, due, reset, check];
            execute(db, sql::WAKE_WORK, params)
        }
    }?;
    Ok(())
}

fn write_key(
    db: &Connection,
    (tenant, revision): (TenantId, Revision),
    wrote: bool,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<()> {
    let params = params![
        key.scope,
        key.key,
        key.fingerprint.as_bytes(),
        tenant.as_uuid().into_bytes(),
        integer(revision.get()),
        wrote,
        now.plus(key.ttl).as_micros(),
    ];
    execute(db, sql::REMEMBER, params).map(drop)
}

/// Writes an idempotency key for a revision that is there.
pub(crate) fn remember(
    db: &Connection,
    tenant: TenantId,
    revision: Revision,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<Commit> {
    let params = params![tenant.as_uuid().into_bytes(), integer(revision.get())];
    if one(db, sql::LINE_HASH, params, |_| Ok(()))?.is_none() {
        return Ok(Commit::NotFound);
    }
    if key_used(db, key, now)? {
        return Ok(Commit::KeyUsed);
    }
    write_key(db, (tenant, revision), false, key, now)?;
    Ok(Commit::Applied { revision })
}
