//! Reading tenants, their history and the feed.

use rusqlite::{Connection, params};
use tenure::{
    AsOf, Changes, Cursor, Direction, Document, Hash, HistoryQuery, Kind, Line, Loaded, PageSize,
    Record, Result, Revision, StoreError, Tenant, TenantId, TenantRef, Timestamp,
};
use uuid::Uuid;

use crate::error::integer;
use crate::readers::{all, one};
use crate::row::{self, Columns};
use crate::sql;

/// Loads a tenant and what a key stands for, in one statement and so from one snapshot.
pub(crate) fn load(
    db: &Connection,
    who: &TenantRef,
    key: Option<(&str, &str)>,
    now: Timestamp,
) -> Result<Loaded> {
    let (id, name) = match who {
        TenantRef::Id(id) => (Some(id.as_uuid()), None),
        TenantRef::Name(name) => (None, Some(name.as_str())),
    };
    let (scope, key) = key.unzip();
    let params = params![
        id.as_ref().map(Uuid::as_bytes),
        name,
        scope,
        key,
        now.as_micros()
    ];
    let loaded = one(db, sql::LOAD, params, |row| {
        let found = Columns::new(row, "tenants").maybe(row::id)?.is_some();
        let record = if found { Some(row::record(row)?) } else { None };
        Ok(Loaded {
            record,
            prior: row::prior(row)?,
        })
    })?;
    Ok(loaded.unwrap_or_default())
}

/// Gets a tenant.
pub(crate) fn get(db: &Connection, who: &TenantRef) -> Result<Option<Record>> {
    match who {
        TenantRef::Id(id) => one(db, sql::GET, [id.as_uuid().into_bytes()], row::record),
        TenantRef::Name(name) => one(db, sql::GET_BY_NAME, [name.as_str()], row::record),
    }
}

/// Gets tenants in the order of the ids given.
pub(crate) fn get_many(db: &Connection, ids: &[TenantId]) -> Result<Vec<Record>> {
    let ids: Vec<String> = ids
        .iter()
        .map(|id| id.as_uuid().simple().to_string())
        .collect();
    let ids = serde_json::Value::from(ids).to_string();
    all(db, sql::GET_MANY, [ids], row::record)
}

/// Reads lines of history.
pub(crate) fn history(
    db: &Connection,
    tenant: TenantId,
    query: &HistoryQuery,
) -> Result<Vec<Line>> {
    let ascending = query.direction == Direction::Ascending;
    let end = if ascending { 0 } else { i64::MAX };
    let after = query.after.map_or(end, |after| integer(after.get()));
    let (id, limit) = (tenant.as_uuid().into_bytes(), query.limit.get());
    if query.selects_all() {
        let statement = if ascending {
            sql::HISTORY
        } else {
            sql::HISTORY_NEWEST
        };
        return all(db, statement, params![id, after, limit], row::line);
    }
    let statement = if ascending {
        sql::HISTORY_SELECTED
    } else {
        sql::HISTORY_SELECTED_NEWEST
    };
    let kinds: Vec<&str> = query.kinds().map(Kind::as_str).collect();
    let kinds = serde_json::Value::from(kinds).to_string();
    let params = params![id, after, limit, query.transitions_only, kinds];
    all(db, statement, params, row::line)
}

/// Reads a tenant as it was.
pub(crate) fn as_of(db: &Connection, tenant: TenantId, point: AsOf) -> Result<Option<Tenant>> {
    let uuid = tenant.as_uuid();
    let id = uuid.as_bytes();
    let revision = match point {
        AsOf::Revision(revision) => Some(revision),
        AsOf::Time(time) => one(db, sql::AS_OF_TIME, params![id, time.as_micros()], |row| {
            Columns::new(row, "history").take(row::revision)
        })?,
    };
    // Lines are never changed, so two statements see the same as one.
    match revision.map(Revision::get) {
        None => Ok(None),
        Some(revision) => one(db, sql::AS_OF, params![id, integer(revision)], row::past),
    }
}

/// Reads documents, each checked against its hash.
pub(crate) fn documents(
    db: &Connection,
    tenant: TenantId,
    hashes: &[Hash],
) -> Result<Vec<Document>> {
    let uuid = tenant.as_uuid();
    let mut found = Vec::with_capacity(hashes.len());
    for hash in hashes {
        let params = params![uuid.as_bytes(), hash.as_bytes()];
        let body = one(db, sql::DOCUMENTS, params, |row| {
            Columns::new(row, "documents").take(row::owned)
        })?;
        let Some(body) = body else { continue };
        found.push(
            Document::verified(*hash, body).map_err(|_| StoreError::Corrupt {
                what: format!("documents.body of {tenant}, {hash}, was altered"),
            })?,
        );
    }
    Ok(found)
}

/// The feed's epoch, its oldest entry that is kept, and the last that it ever had.
struct Extent {
    epoch: Uuid,
    oldest: Option<u64>,
    newest: u64,
}

fn extent(db: &Connection) -> Result<Extent> {
    let extent = one(db, sql::CHANGES_END, [], |row| {
        let mut columns = Columns::new(row, "store_meta");
        Ok(Extent {
            epoch: columns.take(row::uuid)?,
            oldest: columns.maybe(row::number)?,
            newest: columns.take(row::number)?,
        })
    })?;
    extent.ok_or_else(|| StoreError::Corrupt {
        what: "store_meta is empty".to_owned(),
    })
}

/// Reads a stretch of the feed. Runs within one snapshot.
pub(crate) fn changes(db: &Connection, after: Option<&Cursor>, limit: PageSize) -> Result<Changes> {
    let asked = after.map(Cursor::as_feed).transpose()?;
    let extent = extent(db)?;
    // The last entry that was taken away; what comes after it is all there.
    let floor = extent
        .oldest
        .map_or(extent.newest, |oldest| oldest.saturating_sub(1));
    let start = match asked {
        None => floor,
        Some((epoch, (seq, 0)))
            if epoch == extent.epoch && (floor..=extent.newest).contains(&seq) =>
        {
            seq
        }
        Some(_) => return Err(StoreError::CursorExpired),
    };
    let read = all(
        db,
        sql::CHANGES,
        params![integer(start), limit.get()],
        |row| Ok((row::line(row)?, row::feed_position(row)?)),
    )?;
    let end = read.last().map_or(start, |(_, seq)| *seq);
    let lines = read.into_iter().map(|(line, _)| line).collect();
    Ok(Changes {
        lines,
        next: Cursor::feed(extent.epoch, (end, 0)),
    })
}

/// A cursor at the feed's end.
pub(crate) fn changes_end(db: &Connection) -> Result<Cursor> {
    let extent = extent(db)?;
    Ok(Cursor::feed(extent.epoch, (extent.newest, 0)))
}
