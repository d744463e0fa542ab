//! Copies of a database that is in use: whole, consistent, and a feed of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// What a copy can fail with.
#[derive(Debug)]
pub(crate) enum Failed {
    Sqlite(rusqlite::Error),
    Io(Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Io(error)
    }
}

/// Copies a database into a file, over one that is there. The copy is complete and on the disk
/// before it has its name.
///
/// The copy's feed gets an epoch of its own. Once it is used, it takes other changes than the
/// original, so that a cursor of the one must mean nothing to the other.
pub(crate) fn copy(db: &Connection, to: &Path) -> Result<(), Failed> {
    let partial: PathBuf = to.with_added_extension("partial");
    for left in [&partial, &partial.with_added_extension("journal")] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    private(&partial)?;
    // SQLite takes names as text.
    let name = partial
        .to_str()
        .ok_or_else(|| Error::new(ErrorKind::InvalidFilename, "the path must be UTF-8"))?;
    db.execute("VACUUM INTO ?1", [name])?;
    let copied = Connection::open(&partial)?;
    copied.execute("UPDATE store_meta SET feed_epoch = randomblob(16)", [])?;
    copied.close().map_err(|(_, error)| error)?;
    File::open(&partial)?.sync_all()?;
    fs::rename(&partial, to)?;
    sync_directory(to)
}

/// Makes an empty file, for this user's eyes only, unless there is one.
pub(crate) fn private(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Makes a new name outlive a power cut.
fn sync_directory(of: &Path) -> Result<(), Failed> {
    let directory = of.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
