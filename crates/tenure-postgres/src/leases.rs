//! Handing out work.

use std::time::Duration;

use async_trait::async_trait;
use tenure::{
    Attempt, ClassName, Fence, LEASES_MAX, Lease, ROUTINE_PATIENCE, Result, Room, Wake, Work,
};

use crate::row::Columns;
use crate::session::{Call, Param};
use crate::value::{At, micros, number};
use crate::{PostgresStore, commit, sql};

#[async_trait]
impl Work for PostgresStore {
    async fn claim(&self, holder: &str, rooms: &[Room]) -> Result<Vec<Lease>> {
        let rooms = Room::usable(rooms);
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        let classes: Vec<&str> = rooms.iter().map(|room| room.class.as_str()).collect();
        let lengths: Vec<i64> = rooms.iter().map(|room| micros(room.lease)).collect();
        let limits: Vec<i64> = rooms.iter().map(|room| room.limit.into()).collect();
        let checks: Vec<i64> = rooms.iter().map(|room| room.routine.into()).collect();
        let params: [Param<'_>; 7] = [
            &holder,
            &classes,
            &lengths,
            &limits,
            &checks,
            &micros(ROUTINE_PATIENCE),
            &i64::from(LEASES_MAX),
        ];
        let rows = self
            .database
            .run(Call::write("claim", &sql::CLAIM, &params))
            .await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::from(row, 0, "work");
                Ok(Lease {
                    tenant: columns.id()?,
                    class: columns.parse()?,
                    routine: columns.next()?,
                    fence: Fence::new(columns.number()?),
                    attempt: columns.small()?,
                    until: columns.next::<At>()?.0,
                    taken_over: columns.next()?,
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
        let params: [Param<'_>; 7] = [
            &lease.tenant.as_uuid(),
            &number(lease.fence.get()),
            &commit::after(next),
            &(next == Wake::Unchanged),
            &word,
            &error,
            &matches!(next, Wake::Check(_)),
        ];
        let rows = self
            .database
            .run(Call::write("release", &sql::RELEASE, &params))
            .await?;
        Ok(!rows.is_empty())
    }

    async fn idle(&self, classes: &[ClassName], at_most: Duration) {
        let told = self.database.due.notified();
        // What other processes make due meanwhile is found when the time is over.
        let wait = self
            .next_due(classes)
            .await
            .map_or(at_most, |due| due.max(SHORTEST).min(at_most));
        drop(tokio::time::timeout(wait, told).await);
    }
}

/// The shortest wait: work that is due but in other hands must not make a worker spin.
const SHORTEST: Duration = Duration::from_millis(10);

impl PostgresStore {
    /// In how long the next work of these classes is due, if any is planned and the database says so.
    async fn next_due(&self, classes: &[ClassName]) -> Option<Duration> {
        if classes.is_empty() {
            return None;
        }
        let classes: Vec<&str> = classes.iter().map(ClassName::as_str).collect();
        let rows = self
            .database
            .run(Call::read("idle", &sql::NEXT_DUE, &[&classes]))
            .await
            .ok()?;
        let micros: Option<i64> = Columns::from(rows.first()?, 0, "work").next().ok()?;
        Some(Duration::from_micros(u64::try_from(micros?).unwrap_or(0)))
    }
}
