//! Handing out work. Claims go through the writer, so no two callers get the same.

use std::time::Duration;

use rusqlite::{Connection, params};
use tenure::{Attempt, Fence, Lease, Message, PageSize, Result, TenantId, Timestamp, Wake};

use crate::commit::due;
use crate::error::integer;
use crate::readers::{all, one};
use crate::row::{self, Columns};
use crate::sql;
use crate::writer::execute;

/// Claims what is due, longest due first.
pub(crate) fn claim(
    db: &Connection,
    holder: &str,
    length: Duration,
    limit: PageSize,
    now: Timestamp,
) -> Result<Vec<Lease>> {
    let until = now.plus(length);
    let due: Vec<TenantId> = all(db, sql::DUE, params![now.as_micros(), limit.get()], |row| {
        Columns::new(row, "work").take(row::id)
    })?;
    let mut leases = Vec::with_capacity(due.len());
    for tenant in due {
        let params = params![tenant.as_uuid().into_bytes(), holder, until.as_micros()];
        leases.extend(one(db, sql::CLAIM, params, |row| {
            let mut columns = Columns::new(row, "work");
            let fence = Fence::new(columns.take(row::number)?);
            Ok(Lease {
                tenant,
                fence,
                attempt: columns.take(row::small)?,
                until,
            })
        })?);
    }
    Ok(leases)
}

/// Makes a live lease run for a length from now.
pub(crate) fn renew(
    db: &Connection,
    lease: &Lease,
    length: Duration,
    now: Timestamp,
) -> Result<Option<Lease>> {
    let until = now.plus(length);
    let params = params![
        lease.tenant.as_uuid().into_bytes(),
        integer(lease.fence.get()),
        now.as_micros(),
        until.as_micros()
    ];
    // It stays the attempt that it was, even if attempts were set to zero meanwhile.
    one(db, sql::RENEW, params, |_| {
        Ok(Lease {
            until,
            ..lease.clone()
        })
    })
}

/// Ends a live lease and plans what is next.
pub(crate) fn release(
    db: &Connection,
    lease: &Lease,
    attempt: &Attempt,
    next: Wake,
    now: Timestamp,
) -> Result<bool> {
    let (word, error) = match attempt {
        Attempt::Clean => ("clean", None),
        Attempt::Failed { error } => ("failed", Some(error)),
        Attempt::Returned => ("returned", None),
    };
    let params = params![
        lease.tenant.as_uuid().into_bytes(),
        integer(lease.fence.get()),
        now.as_micros(),
        next == Wake::Unchanged,
        due(next, now),
        word,
        error.map(Message::as_str)
    ];
    Ok(execute(db, sql::RELEASE, params)? == 1)
}

/// When the next work is due.
pub(crate) fn next_due(db: &Connection) -> Result<Option<Timestamp>> {
    one(db, sql::NEXT_DUE, [], |row| {
        Columns::new(row, "work").take(row::time)
    })
}
