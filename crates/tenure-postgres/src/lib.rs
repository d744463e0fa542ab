#![doc = include_str!("../README.md")]

mod bulk;
mod commit;
mod error;
mod failpoint;
mod feed;
mod grants;
mod leases;
mod list;
mod migrate;
mod pool;
mod queries;
mod ready;
mod records;
mod row;
mod session;
mod settings;
mod sql;
mod tls;
mod tokens;
mod upkeep;
mod value;

use std::fmt;
use std::sync::Arc;

use tenure::Invalid;

#[doc(hidden)]
pub use list::list_statement;
pub use migrate::{MigrateError, MigrateOptions, Migrated, migrate};
pub use settings::{Options, Statements};
#[doc(hidden)]
pub use sql::statements;

use session::Database;
use settings::Settings;

/// A store in PostgreSQL. Cloning it is cheap and shares the connections.
#[derive(Clone)]
pub struct PostgresStore {
    database: Arc<Database>,
}

impl PostgresStore {
    /// Makes a store of a URL. It connects when it is first used, so the database may be down, or
    /// not migrated yet: then calls fail and [`readiness`](tenure::Upkeep::readiness) says what to do.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if the URL can't be used; its text never holds the password.
    pub fn connect(url: &str, options: Options) -> Result<Self, Invalid> {
        let database = Database::new(Settings::parse(url, options)?)?;
        Ok(Self {
            database: Arc::new(database),
        })
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("options", &self.database.options)
            .field("connections", &self.database.pool.status())
            .finish()
    }
}
