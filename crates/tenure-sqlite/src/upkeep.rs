//! Keeping the store in order: what expired goes, copies are shown, the schema is judged.

use rusqlite::{Connection, params};
use tenure::{Facets, Result, SchemaLevels, Standing, State, Sweep, TenantId, Timestamp};

use crate::readers::{all, one};
use crate::row::{self, Columns};
use crate::sql;
use crate::writer::execute;

/// Takes away expired keys and old feed entries; how many rows.
pub(crate) fn sweep(db: &Connection, sweep: Sweep, now: Timestamp) -> Result<u64> {
    let batch = sweep.batch.get();
    let mut taken = execute(db, sql::SWEEP_KEYS, params![now.as_micros(), batch])?;
    if let Some(retention) = sweep.feed_retention {
        let kept = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let cutoff = now.as_micros().saturating_sub(kept);
        taken += execute(db, sql::SWEEP_FEED, params![cutoff, batch])?;
    }
    Ok(u64::try_from(taken).unwrap_or(u64::MAX))
}

/// Reads the copies that lists go by.
pub(crate) fn facets(db: &Connection, tenant: TenantId) -> Result<Facets> {
    let uuid = tenant.as_uuid();
    let id = uuid.as_bytes();
    let labels = all(db, sql::FACET_LABELS, [id], |row| {
        let mut columns = Columns::new(row, "labels");
        Ok((columns.take(row::owned)?, columns.take(row::owned)?))
    })?;
    let mut conditions = all(db, sql::FACET_CONDITIONS, [id], |row| {
        Columns::new(row, "conditions").take(row::parsed)
    })?;
    conditions.sort_unstable();
    let rest = one(db, sql::FACETS, [id], |row| {
        let mut columns = Columns::new(row, "work");
        let state: State = columns.take(row::parsed)?;
        Ok((
            state,
            columns.take(row::number)?,
            columns.maybe(row::revision)?,
        ))
    })?;
    let (state, feed) = match rest {
        Some((state, entries, newest)) => (Some(state), (entries, newest)),
        None => (None, (0, None)),
    };
    Ok(Facets {
        labels: labels.into_iter().collect(),
        conditions,
        state,
        feed,
    })
}

/// Counts how the fleet stands.
pub(crate) fn counted(db: &Connection, now: Timestamp) -> Result<Standing> {
    let rows = all(db, sql::STANDING, [now.as_micros()], |row| {
        let mut columns = Columns::new(row, "standing");
        let what: String = columns.take(row::owned)?;
        let word: String = columns.take(row::owned)?;
        Ok((
            what,
            word,
            columns.take(row::number)?,
            columns.maybe(row::time)?,
        ))
    })?;
    let mut standing = Standing::none();
    for (what, word, tenants, oldest) in rows {
        standing.add(&what, &word, tenants, oldest)?;
    }
    Ok(standing)
}

/// Reads what the schema says about who may use it.
pub(crate) fn levels(db: &Connection) -> Result<Option<SchemaLevels>> {
    one(db, sql::READINESS, [], |row| {
        let mut columns = Columns::new(row, "store_meta");
        Ok(SchemaLevels {
            level: columns.take(row::small)?,
            min_reader: columns.take(row::small)?,
            min_writer: columns.take(row::small)?,
        })
    })
}
