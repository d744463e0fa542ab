//! Connections and what each of them is told, and why.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// How long a connection waits for another one's lock. Only a checkpoint or a foreign program can
/// hold one: there is a single writer.
const BUSY: Duration = Duration::from_secs(5);

/// Prepared statements that a connection keeps: all of `sql/`, and the shapes of lists in use.
const STATEMENTS: usize = 192;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Creates the file if there is none, and writes.
    Writer,
    /// Reads only.
    Reader,
    /// Moves the log into the file.
    Checkpointer,
}

/// Opens a connection.
pub(crate) fn connect(path: &Path, role: Role) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if role == Role::Writer {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // A damaged or hostile file can't make the schema run functions, nor be edited by pragma.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    // Each page is checked when it is read: damage is an error and no wrong answer.
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "temp_store", "memory")?;
    match role {
        Role::Writer => {
            db.pragma_update(None, "journal_mode", "wal")?;
            // Acknowledged is durable: each commit waits until the log is on the disk.
            db.pragma_update(None, "synchronous", "full")?;
            // The writer never stops to copy the log; the checkpointer does that beside it.
            db.pragma_update(None, "wal_autocheckpoint", 0)?;
            db.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
            db.pragma_update(None, "cache_size", -64 * 1024)?;
        }
        Role::Reader => {
            db.pragma_update(None, "query_only", true)?;
            db.pragma_update(None, "cache_size", -16 * 1024)?;
        }
        Role::Checkpointer => {
            // What it writes into the file must be on the disk before the log is used anew.
            db.pragma_update(None, "synchronous", "full")?;
            db.pragma_update(None, "wal_autocheckpoint", 0)?;
        }
    }
    Ok(db)
}
