//! The change feed: in the order of commits, and never past a transaction that is still open.

use std::time::Duration;

use tenure::{Changes, Cursor, Hash, PageSize, Result, StoreError};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::row::{self, Columns};
use crate::session::{Call, Database, Param};
use crate::sql;

/// How often a read looks whether what keeps changes back is over.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Reads the changes after a cursor. If committed ones are kept back by a transaction that is still
/// open, waits a little for it, so that who just committed most likely sees it.
pub(crate) async fn changes(
    database: &Database,
    after: Option<&Cursor>,
    limit: PageSize,
) -> Result<Changes> {
    let until = Instant::now() + database.options.feed_wait;
    loop {
        let (changes, kept_back) = changes_now(database, after, limit).await?;
        let full = changes.lines.len() >= usize::from(limit.get());
        if full || !kept_back || Instant::now() >= until {
            return Ok(changes);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Reads what is final now, and whether there is more that is not.
async fn changes_now(
    database: &Database,
    after: Option<&Cursor>,
    limit: PageSize,
) -> Result<(Changes, bool)> {
    let given = after.map(Cursor::as_feed).transpose()?;
    let (xact, seq) = given.map_or((0, 0), |(_, position)| position);
    let seq = i64::try_from(seq).map_err(|_| StoreError::CursorInvalid)?;
    let text = xact.to_string();
    let params: [Param<'_>; 3] = [&text, &seq, &i64::from(limit.get())];
    let rows = database
        .run(Call::read("changes", &sql::CHANGES, &params))
        .await?;
    let mut lines = Vec::with_capacity(rows.len());
    let (mut next, mut kept_back) = (None, false);
    for row in &rows {
        let mut columns = Columns::from(row, 0, "store_meta");
        let epoch = epoch(&mut columns)?;
        let floor = (xid(&mut columns)?, columns.number()?);
        kept_back = columns.next()?;
        if let Some((of, position)) = given
            && (of != epoch || position < floor)
        {
            return Err(StoreError::CursorExpired);
        }
        let mut entry = Columns::from(row, ENTRY, "history");
        let Some(position) = entry.next::<Option<&str>>()?.map(parse_xid).transpose()? else {
            let here = given.map_or(floor, |(_, position)| position);
            next = Some(Cursor::feed(epoch, here));
            continue;
        };
        let position = (position, entry.number()?);
        lines.push(row::line(&mut entry)?);
        next = Some(Cursor::feed(epoch, position));
    }
    let next = next.ok_or_else(|| StoreError::Corrupt {
        what: "store_meta is empty".to_owned(),
    })?;
    Ok((Changes { lines, next }, kept_back))
}

/// Where the entry begins in a row, behind what is said of the feed.
const ENTRY: usize = 7;

/// A cursor at the feed's end: behind it is all that is final, before it all that is not.
pub(crate) async fn end(database: &Database) -> Result<Cursor> {
    let rows = database
        .run(Call::read("changes_end", &sql::CHANGES_END, &[]))
        .await?;
    let row = rows.first().ok_or_else(|| StoreError::Corrupt {
        what: "store_meta is empty".to_owned(),
    })?;
    let mut columns = Columns::from(row, 0, "store_meta");
    let epoch = epoch(&mut columns)?;
    Ok(Cursor::feed(epoch, (xid(&mut columns)?, 0)))
}

/// Which feed this is. A restore gives another cluster, or another database in the same one, and a
/// failover another timeline; each may hand out again the transaction ids that a reader has seen, or
/// keeps entries that others never had, so each is another feed.
fn epoch(columns: &mut Columns<'_>) -> Result<Uuid> {
    let (feed, cluster): (Uuid, i64) = (columns.next()?, columns.next()?);
    let timeline: &str = columns.next()?;
    let database: i64 = columns.next()?;
    let digest = Hash::of(format!("{feed} {cluster} {timeline} {database}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    Ok(Uuid::from_bytes(bytes))
}

fn xid(columns: &mut Columns<'_>) -> Result<u64> {
    parse_xid(columns.next()?)
}

fn parse_xid(text: &str) -> Result<u64> {
    text.parse().map_err(|_| StoreError::Corrupt {
        what: "feed.xact can't be read".to_owned(),
    })
}
