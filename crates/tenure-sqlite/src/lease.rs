//! Handing out work. Claims go through the writer, so no two callers get the same.

use std::time::Duration;

use rusqlite::{Connection, params};
use tenure::{
    Attempt, ClassName, Fence, LEASES_MAX, Lease, Message, ROUTINE_PATIENCE, Result, Room,
    TenantId, Timestamp, Wake,
};

use crate::commit::due;
use crate::error::integer;
use crate::readers::{all, one};
use crate::row::{self, Columns};
use crate::sql;
use crate::writer::execute;

/// Due work: its rank, whose it is, its lane, whether somebody let it run out, and the room for it.
type Due<'a> = (Timestamp, TenantId, (bool, bool), &'a Room);

/// Claims what is due and there is room for, in the order of its rank.
pub(crate) fn claim(
    db: &Connection,
    holder: &str,
    rooms: &[Room],
    now: Timestamp,
) -> Result<Vec<Lease>> {
    let mut due: Vec<Due<'_>> = Vec::new();
    for room in rooms {
        due.extend(first(db, room, now)?);
    }
    due.sort_unstable_by_key(|(rank, tenant, ..)| (*rank, *tenant));
    due.truncate(LEASES_MAX.into());
    let mut leases = Vec::with_capacity(due.len());
    for (_, tenant, (routine, taken_over), room) in due {
        let until = now.plus(room.lease);
        let params = params![tenant.as_uuid().into_bytes(), holder, until.as_micros()];
        leases.extend(one(db, sql::CLAIM, params, |row| {
            let mut columns = Columns::new(row, "work");
            Ok(Lease {
                tenant,
                class: room.class.clone(),
                routine,
                fence: Fence::new(columns.take(row::number)?),
                attempt: columns.take(row::small)?,
                until,
                taken_over,
            })
        })?);
    }
    Ok(leases)
}

/// What is due of one class, as much as there is room for.
fn first<'a>(db: &Connection, room: &'a Room, now: Timestamp) -> Result<Vec<Due<'a>>> {
    let class = room.class.as_str();
    let lanes = [
        (false, room.limit, Duration::ZERO),
        (true, room.routine, ROUTINE_PATIENCE),
    ];
    let mut due: Vec<Due<'a>> = Vec::new();
    for (routine, limit, patience) in lanes {
        let params = params![class, routine, now.as_micros(), limit];
        due.extend(all(db, sql::DUE, params, |row| {
            let mut columns = Columns::new(row, "work");
            let tenant = columns.take(row::id)?;
            let at = columns.take(row::time)?;
            let lane = (routine, columns.take(row::boolean)?);
            Ok((at.plus(patience), tenant, lane, room))
        })?);
    }
    due.sort_unstable_by_key(|(rank, tenant, ..)| (*rank, *tenant));
    due.truncate(room.limit.into());
    Ok(due)
}

/// Ends the leases of whoever had this file open before: it is gone.
pub(crate) fn free(db: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    db.execute(sql::FREE, [now.as_micros()])
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
        error.map(Message::as_str),
        matches!(next, Wake::Check(_))
    ];
    Ok(execute(db, sql::RELEASE, params)? == 1)
}

/// When the next work of these classes is due.
pub(crate) fn next_due(db: &Connection, classes: &[ClassName]) -> Result<Option<Timestamp>> {
    let mut soonest: Option<Timestamp> = None;
    for class in classes {
        for routine in [false, true] {
            let due = one(db, sql::NEXT_DUE, params![class.as_str(), routine], |row| {
                Columns::new(row, "work").take(row::time)
            })?;
            soonest = soonest.into_iter().chain(due).min();
        }
    }
    Ok(soonest)
}
