//! Rows to domain values. What breaks the domain's rules is named, never served.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::ValueRef;
use tenure::{
    Details, Document, Fence, Generation, Hash, Line, Metadata, Prior, Record, Result, Revision,
    State, StoreError, Summary, Tenant, TenantId, Timestamp, WorkFacts,
};
use uuid::Uuid;

/// The columns of one row, taken from left to right.
pub(crate) struct Columns<'a> {
    row: &'a Row<'a>,
    table: &'static str,
    at: usize,
    tenant: Option<TenantId>,
}

impl<'a> Columns<'a> {
    pub(crate) const fn new(row: &'a Row<'a>, table: &'static str) -> Self {
        Self {
            row,
            table,
            at: 0,
            tenant: None,
        }
    }

    /// The same row from another column on, as a row of another table.
    const fn from(row: &'a Row<'a>, table: &'static str, at: usize) -> Self {
        Self {
            row,
            table,
            at,
            tenant: None,
        }
    }

    /// Takes the next column, if it reads as it should.
    pub(crate) fn take<T>(&mut self, read: impl FnOnce(ValueRef<'a>) -> Option<T>) -> Result<T> {
        let column = self.at;
        self.at += 1;
        let value = self.row.get_ref(column).ok();
        value
            .and_then(read)
            .ok_or_else(|| self.damaged(column, "breaks its rule"))
    }

    /// Takes the next column, which may be null.
    pub(crate) fn maybe<T>(
        &mut self,
        read: impl FnOnce(ValueRef<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        self.take(|value| match value {
            ValueRef::Null => Some(None),
            other => read(other).map(Some),
        })
    }

    fn damaged(&self, column: usize, how: &str) -> StoreError {
        let name = self.row.as_ref().column_name(column).unwrap_or("?");
        let table = self.table;
        let what = match self.tenant {
            Some(tenant) => format!("{table}.{name} of {tenant} {how}"),
            None => format!("{table}.{name} {how}"),
        };
        StoreError::Corrupt { what }
    }

    /// Takes the tenant's id, which names the row in errors from here on.
    fn tenant(&mut self) -> Result<TenantId> {
        let id = self.take(id)?;
        self.tenant = Some(id);
        Ok(id)
    }

    /// Takes a hash and the body that it names. A hash without its body means that the body was
    /// lost, or erased on purpose: either way it can't be served.
    fn document(&mut self) -> Result<Option<Document>> {
        let column = self.at;
        let hash = self.maybe(hash)?;
        let body = self.maybe(owned)?;
        let Some(hash) = hash else { return Ok(None) };
        let body = body.ok_or_else(|| self.damaged(column, "names a document that is gone"))?;
        let document = Document::verified(hash, body);
        document
            .map(Some)
            .map_err(|_| self.damaged(column, "names a document that was altered"))
    }

    fn inside<T: serde::de::DeserializeOwned + Default>(&mut self) -> Result<T> {
        let column = self.at;
        let Some(document) = self.document()? else {
            return Ok(T::default());
        };
        serde_json::from_str(document.as_str())
            .map_err(|_| self.damaged(column, "names a document of another kind"))
    }
}

pub(crate) fn id(value: ValueRef<'_>) -> Option<TenantId> {
    uuid(value).map(TenantId::new)
}

pub(crate) fn uuid(value: ValueRef<'_>) -> Option<Uuid> {
    Uuid::from_slice(value.as_blob().ok()?).ok()
}

pub(crate) fn hash(value: ValueRef<'_>) -> Option<Hash> {
    value.as_blob().ok()?.try_into().ok().map(Hash::new)
}

pub(crate) fn time(value: ValueRef<'_>) -> Option<Timestamp> {
    Timestamp::from_micros(value.as_i64().ok()?).ok()
}

pub(crate) fn number(value: ValueRef<'_>) -> Option<u64> {
    u64::try_from(value.as_i64().ok()?).ok()
}

pub(crate) fn small(value: ValueRef<'_>) -> Option<u32> {
    u32::try_from(value.as_i64().ok()?).ok()
}

pub(crate) fn revision(value: ValueRef<'_>) -> Option<Revision> {
    number(value).map(Revision::new)
}

fn generation(value: ValueRef<'_>) -> Option<Generation> {
    number(value).map(Generation::new)
}

pub(crate) fn boolean(value: ValueRef<'_>) -> Option<bool> {
    match value.as_i64().ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

pub(crate) fn parsed<T: FromStr>(value: ValueRef<'_>) -> Option<T> {
    value.as_str().ok()?.parse().ok()
}

pub(crate) fn owned(value: ValueRef<'_>) -> Option<String> {
    value.as_str().ok().map(str::to_owned)
}

/// The facts that a tenant's row and a list's row begin with, in their common order.
fn summary(columns: &mut Columns<'_>) -> Result<Summary> {
    Ok(Summary {
        id: columns.tenant()?,
        name: columns.take(parsed)?,
        class: columns.take(parsed)?,
        running: columns.take(boolean)?,
        generation: columns.take(generation)?,
        observed_generation: columns.take(generation)?,
        state: columns.take(parsed::<State>)?,
        state_since: columns.take(time)?,
        reason: columns.take(parsed)?,
        message: columns.take(parsed)?,
        conditions: Vec::new(),
        revision: columns.take(revision)?,
        created_at: columns.take(time)?,
        updated_at: columns.take(time)?,
        deleted_at: columns.maybe(time)?,
    })
}

/// Reads a row of a list; its conditions are read apart.
pub(crate) fn listed(row: &Row<'_>) -> Result<Summary> {
    summary(&mut Columns::new(row, "tenants"))
}

/// Reads a tenant with its documents, each checked against the hash that names it.
fn documented(columns: &mut Columns<'_>) -> Result<Tenant> {
    let facts = summary(columns)?;
    let chain = columns.take(hash)?;
    let desired_at = columns.at;
    let desired = columns.document()?;
    let desired = desired.ok_or_else(|| columns.damaged(desired_at, "breaks its rule"))?;
    let observed = columns.document()?;
    let metadata: Metadata = columns.inside()?;
    let details: Details = columns.inside()?;
    Ok(Tenant {
        id: facts.id,
        name: facts.name,
        class: facts.class,
        labels: metadata.labels,
        annotations: metadata.annotations,
        desired,
        running: facts.running,
        generation: facts.generation,
        observed,
        observed_generation: facts.observed_generation,
        resources: details.resources,
        state: facts.state,
        state_since: facts.state_since,
        reason: facts.reason,
        message: facts.message,
        conditions: details.conditions,
        steps: details.steps,
        waivers: details.waivers,
        revision: facts.revision,
        created_at: facts.created_at,
        updated_at: facts.updated_at,
        deleted_at: facts.deleted_at,
        hash: chain,
    })
}

/// Reads a tenant as it was.
pub(crate) fn past(row: &Row<'_>) -> Result<Tenant> {
    documented(&mut Columns::new(row, "history"))
}

/// Reads a tenant and its work.
pub(crate) fn record(row: &Row<'_>) -> Result<Record> {
    let mut columns = Columns::new(row, "tenants");
    let tenant = documented(&mut columns)?;
    columns.table = "work";
    let work = WorkFacts {
        due_at: columns.maybe(time)?,
        routine: columns.take(boolean)?,
        attempts: columns.take(small)?,
        last_error: columns.maybe(parsed)?,
        checked_at: columns.maybe(time)?,
        holder: columns.maybe(owned)?,
        lease_until: columns.maybe(time)?,
        fence: columns.take(number).map(Fence::new)?,
    };
    Ok(Record { tenant, work })
}

/// How many columns a record has.
const RECORD: usize = 31;

/// Reads what an idempotency key stands for, from the columns after a record.
pub(crate) fn prior(row: &Row<'_>) -> Result<Option<Prior>> {
    let mut columns = Columns::from(row, "idempotency", RECORD);
    let Some(tenant) = columns.maybe(id)? else {
        return Ok(None);
    };
    columns.tenant = Some(tenant);
    let revision = columns.take(revision)?;
    let wrote = columns.take(boolean)?;
    let fingerprint = columns.take(hash)?;
    Ok(Some(Prior {
        tenant,
        revision,
        wrote,
        fingerprint,
    }))
}

/// Reads a line of history.
pub(crate) fn line(row: &Row<'_>) -> Result<Line> {
    let mut columns = Columns::new(row, "history");
    Ok(Line {
        tenant: columns.tenant()?,
        revision: columns.take(revision)?,
        at: columns.take(time)?,
        actor: columns.take(parsed)?,
        kind: columns.take(parsed)?,
        from: columns.maybe(parsed)?,
        to: columns.take(parsed)?,
        reason: columns.take(parsed)?,
        message: columns.take(parsed)?,
        running: columns.take(boolean)?,
        generation: columns.take(generation)?,
        observed_generation: columns.take(generation)?,
        desired: columns.take(hash)?,
        observed: columns.maybe(hash)?,
        metadata: columns.maybe(hash)?,
        details: columns.maybe(hash)?,
        request_id: columns.take(uuid)?,
        hash: columns.take(hash)?,
    })
}

/// How many columns a line has.
const LINE: usize = 18;

/// Reads a line's place in the feed, from the column after it.
pub(crate) fn feed_position(row: &Row<'_>) -> Result<u64> {
    Columns::from(row, "feed", LINE).take(number)
}
