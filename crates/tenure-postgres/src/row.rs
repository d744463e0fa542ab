//! Rows as the rules' types. What does not fit names its table, column and tenant, never content.

use std::fmt::Display;
use std::str::FromStr;

use tenure::{
    Details, Document, Fence, Generation, Hash, Line, Metadata, Prior, Record, Revision,
    StoreError, Summary, Tenant, TenantId, WorkFacts,
};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::value::{At, Sha};

type Result<T> = std::result::Result<T, StoreError>;

/// Reads a row's columns from left to right.
pub(crate) struct Columns<'a> {
    row: &'a Row,
    at: usize,
    table: &'static str,
    tenant: Option<TenantId>,
}

impl<'a> Columns<'a> {
    /// Begins at a column.
    pub(crate) const fn from(row: &'a Row, at: usize, table: &'static str) -> Self {
        Self {
            row,
            at,
            table,
            tenant: None,
        }
    }

    fn corrupt(&self, column: usize, why: impl Display) -> StoreError {
        let name = self
            .row
            .columns()
            .get(column)
            .map_or("?", |column| column.name());
        let of = self
            .tenant
            .map(|id| format!(" of {id}"))
            .unwrap_or_default();
        StoreError::Corrupt {
            what: format!("{}.{name}{of}: {why}", self.table),
        }
    }

    /// Reads a value.
    pub(crate) fn next<T: FromSql<'a>>(&mut self) -> Result<T> {
        let at = self.at;
        self.at += 1;
        self.row
            .try_get(at)
            .map_err(|_| self.corrupt(at, "can't be read"))
    }

    /// Reads a text that one of the rules' types parses.
    pub(crate) fn parse<T: FromStr>(&mut self) -> Result<T> {
        let at = self.at;
        let text: &str = self.next()?;
        text.parse()
            .map_err(|_| self.corrupt(at, "breaks its rule"))
    }

    pub(crate) fn parse_option<T: FromStr>(&mut self) -> Result<Option<T>> {
        let at = self.at;
        let text: Option<&str> = self.next()?;
        text.map(str::parse)
            .transpose()
            .map_err(|_| self.corrupt(at, "breaks its rule"))
    }

    /// Reads words with commas between them.
    pub(crate) fn parse_list<T: FromStr, L: FromIterator<T>>(&mut self) -> Result<L> {
        let at = self.at;
        let text: &str = self.next()?;
        let words = text.split(',').filter(|word| !word.is_empty());
        words
            .map(|word| {
                word.parse()
                    .map_err(|_| self.corrupt(at, "breaks its rule"))
            })
            .collect()
    }

    pub(crate) fn id(&mut self) -> Result<TenantId> {
        let id = TenantId::new(self.next::<Uuid>()?);
        self.tenant = Some(id);
        Ok(id)
    }

    /// Reads a number that can't be negative.
    pub(crate) fn number(&mut self) -> Result<u64> {
        let at = self.at;
        let number: i64 = self.next()?;
        u64::try_from(number).map_err(|_| self.corrupt(at, "is negative"))
    }

    pub(crate) fn small(&mut self) -> Result<u32> {
        let at = self.at;
        let number: i32 = self.next()?;
        u32::try_from(number).map_err(|_| self.corrupt(at, "is negative"))
    }

    pub(crate) fn time(&mut self) -> Result<tenure::Timestamp> {
        Ok(self.next::<At>()?.0)
    }

    pub(crate) fn time_option(&mut self) -> Result<Option<tenure::Timestamp>> {
        Ok(self.next::<Option<At>>()?.map(|at| at.0))
    }

    fn hash(&mut self) -> Result<Hash> {
        Ok(self.next::<Sha>()?.0)
    }

    fn hash_option(&mut self) -> Result<Option<Hash>> {
        Ok(self.next::<Option<Sha>>()?.map(|sha| sha.0))
    }

    /// Reads a hash and the body beside it, which must be what the hash names.
    fn document(&mut self) -> Result<Option<Document>> {
        let Some(hash) = self.hash_option()? else {
            self.at += 1;
            return Ok(None);
        };
        let at = self.at;
        match self.next::<Option<String>>()? {
            None => Err(self.corrupt(at, "the document is missing")),
            Some(body) => match Document::verified(hash, body) {
                Ok(document) => Ok(Some(document)),
                Err(_) => Err(self.corrupt(at, "the document is not what its hash names")),
            },
        }
    }

    /// Reads a document whose inside has a known form.
    fn inside<T: Default + serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let at = self.at;
        self.document()?.map_or_else(
            || Ok(T::default()),
            |document| {
                serde_json::from_str(document.as_str())
                    .map_err(|_| self.corrupt(at, "the document has another form"))
            },
        )
    }

    /// Whether the value ahead is absent.
    pub(crate) fn ahead_is_null(&self) -> bool {
        matches!(self.row.try_get::<_, Option<Uuid>>(self.at), Ok(None))
    }
}

/// Reads a tenant with its documents: the columns of `get`, `load` and `as_of`.
pub(crate) fn tenant(columns: &mut Columns<'_>) -> Result<Tenant> {
    let summary = summary(columns)?;
    let hash = columns.hash()?;
    let desired = columns.at;
    let desired = columns
        .document()?
        .ok_or_else(|| columns.corrupt(desired, "the document is missing"))?;
    let observed = columns.document()?;
    let metadata: Metadata = columns.inside()?;
    let details: Details = columns.inside()?;
    Ok(Tenant {
        id: summary.id,
        name: summary.name,
        class: summary.class,
        labels: metadata.labels,
        annotations: metadata.annotations,
        desired,
        running: summary.running,
        generation: summary.generation,
        observed,
        observed_generation: summary.observed_generation,
        resources: details.resources,
        state: summary.state,
        state_since: summary.state_since,
        reason: summary.reason,
        message: summary.message,
        conditions: details.conditions,
        steps: details.steps,
        waivers: details.waivers,
        revision: summary.revision,
        created_at: summary.created_at,
        updated_at: summary.updated_at,
        deleted_at: summary.deleted_at,
        hash,
    })
}

/// Reads a tenant without its documents and conditions.
pub(crate) fn summary(columns: &mut Columns<'_>) -> Result<Summary> {
    Ok(Summary {
        id: columns.id()?,
        name: columns.parse()?,
        class: columns.parse()?,
        running: columns.next()?,
        generation: Generation::new(columns.small()?.into()),
        observed_generation: Generation::new(columns.small()?.into()),
        state: columns.parse()?,
        state_since: columns.time()?,
        reason: columns.parse()?,
        message: columns.parse()?,
        conditions: Vec::new(),
        revision: Revision::new(columns.number()?),
        created_at: columns.time()?,
        updated_at: columns.time()?,
        deleted_at: columns.time_option()?,
    })
}

/// Reads a tenant and its work: the columns of `get` and `load`.
pub(crate) fn record(columns: &mut Columns<'_>) -> Result<Record> {
    let tenant = tenant(columns)?;
    columns.table = "work";
    let work = WorkFacts {
        due_at: columns.time_option()?,
        routine: columns.next()?,
        attempts: columns.small()?,
        last_error: columns.parse_option()?,
        checked_at: columns.time_option()?,
        holder: columns.next()?,
        lease_until: columns.time_option()?,
        fence: Fence::new(columns.number()?),
    };
    Ok(Record { tenant, work })
}

/// How many columns a record has.
pub(crate) const RECORD_COLUMNS: usize = 31;

/// Reads what an idempotency key stands for.
pub(crate) fn prior(row: &Row) -> Result<Option<Prior>> {
    let mut columns = Columns::from(row, RECORD_COLUMNS, "idempotency");
    if columns.ahead_is_null() {
        return Ok(None);
    }
    Ok(Some(Prior {
        tenant: columns.id()?,
        revision: Revision::new(columns.number()?),
        wrote: columns.next()?,
        fingerprint: columns.hash()?,
    }))
}

/// Reads a line of history.
pub(crate) fn line(columns: &mut Columns<'_>) -> Result<Line> {
    Ok(Line {
        tenant: columns.id()?,
        revision: Revision::new(columns.number()?),
        at: columns.time()?,
        actor: columns.parse()?,
        kind: columns.parse()?,
        from: columns.parse_option()?,
        to: columns.parse()?,
        reason: columns.parse()?,
        message: columns.parse()?,
        running: columns.next()?,
        generation: Generation::new(columns.small()?.into()),
        observed_generation: Generation::new(columns.small()?.into()),
        desired: columns.hash()?,
        observed: columns.hash_option()?,
        metadata: columns.hash_option()?,
        details: columns.hash_option()?,
        request_id: columns.next()?,
        hash: columns.hash()?,
    })
}
