//! The handshake: whether this binary and the database's schema fit each other.

use tenure::{Readiness, SchemaLevels, StoreError};
use tokio::time::Instant;

use crate::error::{Failure, Sent, judge, unreachable};
use crate::session::{Call, Database};
use crate::sql;

/// The schema levels that this binary can use.
pub(crate) const LOWEST: u32 = 1;
/// See [`LOWEST`].
pub(crate) const HIGHEST: u32 = 1;

impl Database {
    /// Asks the database, and remembers a good answer.
    pub(crate) async fn readiness(&self) -> Readiness {
        if let Err(error) = self.pool.get().await {
            self.remember_fit(false);
            return Readiness::Unreachable {
                why: unreachable(&error),
            };
        }
        match self.ask().await {
            Ok(readiness) => readiness,
            Err(StoreError::Closed) => Readiness::Unreachable {
                why: "it was closed".to_owned(),
            },
            Err(_) => Readiness::Unreachable {
                why: "it does not answer in time".to_owned(),
            },
        }
    }

    async fn ask(&self) -> Result<Readiness, StoreError> {
        let answer = self
            .run_unchecked(Call::read("readiness", &sql::READINESS, &[]))
            .await;
        let readiness = match answer {
            Ok(rows) => rows.first().map_or(Ok(Readiness::NotMigrated), judge_row),
            Err(Failure::Schema(_)) => Ok(Readiness::NotMigrated),
            Err(failure) => Err(failure.into()),
        };
        let fits = matches!(readiness, Ok(Readiness::Ready { .. } | Readiness::ReadOnly));
        self.remember_fit(fits);
        readiness
    }

    fn remember_fit(&self, fits: bool) {
        if let Ok(mut seen) = self.fits.lock() {
            *seen = fits.then(Instant::now);
        }
    }

    /// Lets a call pass if the schema was found to fit lately, and asks otherwise.
    pub(crate) async fn ensure_fits(&self) -> Result<(), StoreError> {
        if self.fitted_lately() {
            return Ok(());
        }
        match self.ask().await? {
            Readiness::Ready { .. } | Readiness::ReadOnly => Ok(()),
            other => Err(StoreError::NotReady(other)),
        }
    }

    /// Whether the last good answer still counts. Whoever finds that it does not asks again, while
    /// the others go by it until then.
    fn fitted_lately(&self) -> bool {
        let Ok(mut seen) = self.fits.lock() else {
            return false;
        };
        let Some(at) = *seen else {
            return false;
        };
        let fresh = at.elapsed() < self.options.readiness_ttl;
        if !fresh {
            *seen = Some(Instant::now());
        }
        fresh
    }

    /// Says why a statement met a schema that it does not know.
    pub(crate) async fn misfit(&self, error: StoreError) -> StoreError {
        match self.ask().await {
            Ok(readiness) if !readiness.is_ready() => StoreError::NotReady(readiness),
            _ => error,
        }
    }
}

fn judge_row(row: &tokio_postgres::Row) -> Result<Readiness, StoreError> {
    let level = |index: usize| -> Result<u32, StoreError> {
        let level: i32 = row.try_get(index).map_err(|e| judge(&e, Sent::Harmless))?;
        Ok(u32::try_from(level).unwrap_or(0))
    };
    let levels = SchemaLevels {
        level: level(0)?,
        min_reader: level(1)?,
        min_writer: level(2)?,
    };
    let read_only: bool = row.try_get(3).map_err(|e| judge(&e, Sent::Harmless))?;
    let durable: bool = row.try_get(4).map_err(|e| judge(&e, Sent::Harmless))?;
    Ok(match Readiness::judge(levels, LOWEST, HIGHEST) {
        Readiness::Ready { .. } if read_only => Readiness::ReadOnly,
        Readiness::Ready { .. } if !durable => Readiness::NotDurable,
        verdict => verdict,
    })
}
