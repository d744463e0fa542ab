//! The place of the file: who else uses it, and whether its disk keeps what it is told.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::open::OpenError;

/// The first SQLite without the fault that damages a database when its log is used anew.
const SQLITE_SAFE: i32 = 3_051_003;

/// Refuses an SQLite with a known fault. It is built in, so this fails in a test, not at a user's.
pub(crate) fn check_sqlite() -> Result<(), OpenError> {
    check_version(rusqlite::version_number(), rusqlite::version())
}

fn check_version(number: i32, text: &str) -> Result<(), OpenError> {
    if number >= SQLITE_SAFE {
        return Ok(());
    }
    Err(OpenError::UnsafeSqlite {
        found: text.to_owned(),
        needed: "3.51.3",
    })
}

/// The lock that makes this process the file's only user. It ends with the process, however that
/// ends, and the file stays, because removing it would let two processes lock two files.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who is in the way.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let beside: PathBuf = path.with_added_extension("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&beside)
            .map_err(|error| OpenError::from_io(path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(OpenError::from_io(path, error)),
        }
    }
}

/// Refuses a place on a network file system.
pub(crate) fn check_local(path: &Path) -> Result<(), OpenError> {
    match network_kind(path).map_err(|error| OpenError::from_io(path, error))? {
        None => Ok(()),
        Some(kind) => Err(OpenError::NetworkFileSystem {
            path: path.to_owned(),
            kind,
        }),
    }
}

#[cfg(target_os = "linux")]
fn network_kind(path: &Path) -> std::io::Result<Option<&'static str>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let stat = rustix::fs::statfs(directory)?;
    Ok(network_name(stat.f_type))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
fn network_kind(_path: &Path) -> std::io::Result<Option<&'static str>> {
    Ok(None)
}

/// The name of a file system that several machines share, by the number that Linux gives it.
#[cfg(target_os = "linux")]
fn network_name(magic: i64) -> Option<&'static str> {
    // Kernels for 32 and 64 bits extend the sign of the larger ones differently.
    match magic & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x0102_1997 => Some("9P"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        0x1983_0326 => Some("BeeGFS"),
        0x7461_636f => Some("OCFS2"),
        0x0116_1970 => Some("GFS2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_that_damages_databases_is_refused() {
        assert!(check_sqlite().is_ok());
        let error = check_version(3_040_001, "3.40.1").unwrap_err().to_string();
        assert!(
            error.contains("3.40.1") && error.contains("3.51.3"),
            "{error}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_known_and_local_ones_pass() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(
            network_name(-11_317_950),
            Some("CIFS"),
            "as kernels with signed numbers say it"
        );
        assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
        assert_eq!(network_name(0xef53), None, "ext4");
        assert!(check_local(Path::new("x.db")).is_ok());
        let kind = "NFS";
        let error = OpenError::NetworkFileSystem {
            path: "/mnt/x.db".into(),
            kind,
        }
        .to_string();
        assert!(
            error.contains("NFS") && error.contains("local disk"),
            "{error}"
        );
    }
}
