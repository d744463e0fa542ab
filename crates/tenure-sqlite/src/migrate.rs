//! The schema: brought to this binary's level, after a copy, or left alone and judged.

use std::path::{Path, PathBuf};

use refinery::{Migration, Runner};
use rusqlite::Connection;
use tenure::{Readiness, SchemaLevels};

use crate::copy::{Failed, copy};
use crate::open::OpenError;
use crate::upkeep::levels;

/// The migrations, in order. Released files never change.
pub(crate) const MIGRATIONS: &[(&str, &str)] =
    &[("V1__record", include_str!("../migrations/V1__record.sql"))];

/// The lowest level of a schema that this binary can use.
const LOWEST: u32 = 1;

/// The highest level that this binary knows.
pub(crate) fn highest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Marks a file as ours, in its header: "TENR".
const APPLICATION_ID: i64 = 0x5445_4e52;

/// Whether this binary can use a schema.
pub(crate) fn judge(levels: SchemaLevels) -> Readiness {
    Readiness::judge(levels, LOWEST, highest())
}

/// Brings the schema to this binary's level, unless it is newer; says what it is then.
pub(crate) fn migrate(db: &mut Connection, path: &Path) -> Result<Readiness, OpenError> {
    migrate_with(db, path, MIGRATIONS)
}

fn migrate_with(
    db: &mut Connection,
    path: &Path,
    migrations: &[(&str, &str)],
) -> Result<Readiness, OpenError> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let at = level(db, path)?;
    if at.is_none_or(|levels| levels.level < known) {
        if at.is_some() {
            copy_before(db, path, known)?;
        }
        let migrations = migrations
            .iter()
            .map(|(name, sql)| Migration::unapplied(name, sql))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| OpenError::migration(path, error))?;
        Runner::new(&migrations)
            .run(db)
            .map_err(|error| OpenError::migration(path, error))?;
    }
    let levels = level(db, path)?.ok_or_else(|| OpenError::Corrupt {
        path: path.to_owned(),
        what: "store_meta is missing".to_owned(),
    })?;
    Ok(Readiness::judge(levels, LOWEST, known))
}

/// What the schema says of itself; `None` if there is none yet.
fn level(db: &Connection, path: &Path) -> Result<Option<SchemaLevels>, OpenError> {
    let failed = |error| OpenError::from_sqlite(path, error);
    let application: i64 = db
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(failed)?;
    let tables: i64 = db
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name NOT IN (?1, ?2)",
            [
                "refinery_schema_history",
                "sqlite_autoindex_refinery_schema_history_1",
            ],
            |row| row.get(0),
        )
        .map_err(failed)?;
    match (application, tables) {
        (_, 0) => Ok(None),
        (APPLICATION_ID, _) => levels(db).map_err(|error| OpenError::Corrupt {
            path: path.to_owned(),
            what: error.to_string(),
        }),
        _ => Err(OpenError::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// Where the copy goes that is made before an upgrade.
fn before(path: &Path, known: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-v{known}"));
    name.into()
}

/// Copies the database as it is before an upgrade.
fn copy_before(db: &Connection, path: &Path, known: u32) -> Result<(), OpenError> {
    copy(db, &before(path, known)).map_err(|failed| match failed {
        Failed::Sqlite(error) => OpenError::from_sqlite(path, error),
        Failed::Io(error) => OpenError::from_io(path, error),
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::connect::{Role, connect};

    const NEXT: (&str, &str) = (
        "V2__next",
        "CREATE TABLE next (id INTEGER) STRICT; UPDATE store_meta SET schema_level = 2;",
    );
    const BAD: (&str, &str) = (
        "V2__next",
        "CREATE TABLE next (id INTEGER) STRICT; INSERT INTO nowhere VALUES (1);",
    );

    fn first() -> (TempDir, PathBuf, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenure.db");
        let mut db = connect(&path, Role::Writer).unwrap();
        assert!(migrate(&mut db, &path).unwrap().is_ready());
        (directory, path, db)
    }

    fn with(next: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
        [MIGRATIONS, &[next]].concat()
    }

    fn store_id(db: &Connection) -> Vec<u8> {
        db.query_row("SELECT store_id FROM store_meta", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_new_file_is_migrated_without_a_copy() {
        let (_directory, path, _db) = first();
        assert!(!before(&path, highest()).exists());
    }

    #[test]
    fn an_upgrade_copies_the_file_first() {
        let (_directory, path, mut db) = first();
        let id = store_id(&db);
        let ready = migrate_with(&mut db, &path, &with(NEXT)).unwrap();
        assert_eq!(ready, Readiness::Ready { schema: 2 });
        let copy = connect(&before(&path, 2), Role::Reader).unwrap();
        assert_eq!(levels(&copy).unwrap().unwrap().level, 1);
        assert_eq!(store_id(&copy), id);
        assert_eq!(store_id(&db), id);
    }

    #[test]
    fn an_upgrade_that_fails_leaves_the_schema_as_it_was() {
        let (_directory, path, mut db) = first();
        let error = migrate_with(&mut db, &path, &with(BAD)).unwrap_err();
        assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
        assert_eq!(levels(&db).unwrap().unwrap().level, 1);
        let left = db.prepare("SELECT id FROM next").is_ok();
        assert!(!left, "a half of the migration stayed");
        let ready = migrate_with(&mut db, &path, &with(NEXT)).unwrap();
        assert_eq!(ready, Readiness::Ready { schema: 2 });
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let (_directory, path, mut db) = first();
        migrate_with(&mut db, &path, &with(NEXT)).unwrap();
        assert_eq!(
            migrate(&mut db, &path).unwrap(),
            Readiness::Ready { schema: 2 }
        );
        db.execute_batch("UPDATE store_meta SET min_writer = 2")
            .unwrap();
        let told = Readiness::TooNew {
            needed: 2,
            known: 1,
        };
        assert_eq!(migrate(&mut db, &path).unwrap(), told);
    }
}
