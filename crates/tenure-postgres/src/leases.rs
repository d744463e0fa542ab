//! Handing out work.

use std::time::Duration;

use async_trait::async_trait;
use tenure::{Attempt, Fence, Lease, PageSize, Result, Wake, Work};

use crate::row::Columns;
use crate::session::{Call, Param};
use crate::value::{At, micros, number};
use crate::{PostgresStore, commit, sql};

#[async_trait]
impl Work for PostgresStore {
    async fn claim(&self, holder: &str, lease: Duration, limit: PageSize) -> Result<Vec<Lease>> {
        let params: [Param<'_>; 3] = [&holder, &micros(lease), &i64::from(limit.get())];
        let rows = self
            .database
            .run(Call::write("claim", &sql::CLAIM, &params))
            .await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::from(row, 0, "work");
                Ok(Lease {
                    tenant: columns.id()?,
                    fence: Fence::new(columns.number()?),
                    attempt: columns.small()?,
                    until: columns.next::<At>()?.0,
                })
            })
            .collect()
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Option<Lease>> {
        let params: [Param<'_>; 3] = [
            &lease.tenant.as_uuid(),
            &number(lease.fence.get()),
            &micros(length),
        ];
        let rows = self
            .database
            .run(Call::write("renew", &sql::RENEW, &params))
            .await?;
        rows.first()
            .map(|row| {
                let mut columns = Columns::from(row, 0, "work");
                // It stays the attempt that it was, even if attempts were set to zero meanwhile.
                Ok(Lease {
                    until: columns.next::<At>()?.0,
                    ..lease.clone()
                })
            })
            .transpose()
    }

    async fn release(&self, lease: &Lease, attempt: &Attempt, next: Wake) -> Result<bool> {
        let (word, error) = match attempt {
            Attempt::Clean => ("clean", None),
            Attempt::Failed { error } => ("failed", Some(error.as_str())),
            Attempt::Returned => ("returned", None),
        };
        let params: [Param<'_>; 6] = [
            &lease.tenant.as_uuid(),
            &number(lease.fence.get()),
            &commit::after(next),
            &(next == Wake::Unchanged),
            &word,
            &error,
        ];
        let rows = self
            .database
            .run(Call::write("release", &sql::RELEASE, &params))
            .await?;
        Ok(!rows.is_empty())
    }

    async fn idle(&self, at_most: Duration) {
        let told = self.database.due.notified();
        // What other processes make due meanwhile is found when the time is over.
        let wait = self
            .next_due()
            .await
            .map_or(at_most, |due| due.max(SHORTEST).min(at_most));
        drop(tokio::time::timeout(wait, told).await);
    }
}

/// The shortest wait: work that is due but in other hands must not make a worker spin.
const SHORTEST: Duration = Duration::from_millis(10);

impl PostgresStore {
    /// In how long the next work is due, if any is planned and the database says so.
    async fn next_due(&self) -> Option<Duration> {
        let rows = self
            .database
            .run(Call::read("idle", &sql::NEXT_DUE, &[]))
            .await
            .ok()?;
        let micros: Option<i64> = Columns::from(rows.first()?, 0, "work").next().ok()?;
        Some(Duration::from_micros(u64::try_from(micros?).unwrap_or(0)))
    }
}
