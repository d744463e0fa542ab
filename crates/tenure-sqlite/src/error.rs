//! What SQLite's errors mean to a caller of the port.

use rusqlite::{Error, ErrorCode};
use tenure::{Source, StoreError};

/// What an error means that happened before the commit: nothing was written.
pub(crate) fn store_error(error: Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
            what: format!("the database file: {error}"),
        },
        Some(ErrorCode::ConstraintViolation) => StoreError::Rejected { rule: rule(&error) },
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OperationInterrupted
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory,
        ) => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Backend(Box::new(error)),
    }
}

/// What an error of the commit itself means, for each of the changes that it was to write.
///
/// After an input or output error it is not known whether the log on disk holds the commit: a crash
/// now could bring it back. Every other failure rolled it back.
pub(crate) fn commit_error(error: &Error) -> StoreError {
    let source = || Source::from(error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => StoreError::OutcomeUnknown(source()),
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        Some(ErrorCode::ConstraintViolation) => StoreError::Rejected { rule: rule(error) },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Unavailable(source())
        }
        _ => StoreError::Backend(source()),
    }
}

/// The name of the guard or constraint that refused. Foreign keys have none in SQLite.
fn rule(error: &Error) -> String {
    let Error::SqliteFailure(_, Some(message)) = error else {
        return "constraint".to_owned();
    };
    if let Some(guard) = message.strip_prefix("guard:") {
        return guard.to_owned();
    }
    match message.split_once(" constraint failed") {
        Some(("FOREIGN KEY", _)) => "foreign_key".to_owned(),
        Some((_, name)) => name.trim_start_matches(": ").to_owned(),
        None => "constraint".to_owned(),
    }
}

/// A number for a column; only a number that no counter reaches does not fit.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
