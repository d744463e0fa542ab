//! Opening: what is checked before a file is used, and what a person is told if it can't be.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use tenure::Source;

/// Why a store could not be opened. Each says what to do. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "{} is in use by another process; stop that process, or connect to its API instead: \
         SQLite's file has one owner",
        path.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// It lies on a file system whose locks and syncs can't be relied on.
    #[error(
        "{} lies on a network file system ({kind}), where locks and syncs do not hold what \
         acknowledged writes promise; use a local disk, or PostgreSQL",
        path.display()
    )]
    NetworkFileSystem {
        /// The database.
        path: PathBuf,
        /// What kind.
        kind: &'static str,
    },
    /// The file, its directory or its file system takes no writes.
    #[error(
        "{} can't be written; give this user write permission for the file and its directory, \
         and check that the file system is not mounted read-only",
        path.display()
    )]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// Its directory does not exist.
    #[error("{} can't be made because its directory does not exist; make the directory", path.display())]
    NoDirectory {
        /// The database.
        path: PathBuf,
    },
    /// There is no room to open it.
    #[error("the disk of {} is full; make room and start again: nothing is lost", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// It is no SQLite database.
    #[error(
        "{} is not an SQLite database; check the path, or restore the file from a backup",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// It is the database of another program.
    #[error("{} is the SQLite database of another program; check the path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error(
        "{} is damaged ({what}); keep a copy of it and its -wal file, then restore a backup",
        path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The SQLite that this program was built with can damage a database.
    #[error(
        "this program was built with SQLite {found}, which has a known fault that damages \
         databases; build it with {needed} or later"
    )]
    UnsafeSqlite {
        /// The version that it has.
        found: String,
        /// The oldest that is good.
        needed: &'static str,
    },
    /// Its schema could not be brought to this program's level.
    #[error(
        "the schema of {} could not be brought up to date; its copy from before is beside it",
        path.display()
    )]
    Migration {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// Something else failed.
    #[error("{} can't be opened", path.display())]
    Other {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
}

impl OpenError {
    pub(crate) fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt {
                path,
                what: error.to_string(),
            },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { path }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            _ => Self::Other {
                path,
                source: Box::new(error),
            },
        }
    }

    pub(crate) fn from_io(path: &Path, error: std::io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path },
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NoDirectory { path },
            _ => Self::Other {
                path,
                source: Box::new(error),
            },
        }
    }

    pub(crate) fn migration(path: &Path, error: refinery::Error) -> Self {
        if let refinery::error::Kind::Connection(_, cause) = error.kind()
            && let Some(cause) = cause.downcast_ref::<rusqlite::Error>()
        {
            match cause.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => {
                    return Self::Full {
                        path: path.to_owned(),
                    };
                }
                Some(ErrorCode::ReadOnly) => {
                    return Self::ReadOnly {
                        path: path.to_owned(),
                    };
                }
                _ => {}
            }
        }
        Self::Migration {
            path: path.to_owned(),
            source: Box::new(error),
        }
    }
}
