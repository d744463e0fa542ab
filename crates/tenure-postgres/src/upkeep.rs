//! Keeping the store in order.

use async_trait::async_trait;
use tenure::{
    Capabilities, Facets, PoolUse, Readiness, Result, Revision, Standing, StoreError, Sweep,
    TenantId, Timestamp, Upkeep,
};

use crate::row::Columns;
use crate::session::{Call, Param};
use crate::value::{At, micros};
use crate::{PostgresStore, list, sql};

#[async_trait]
impl Upkeep for PostgresStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            multi_process: true,
            multi_node: true,
        }
    }

    fn pool(&self) -> Option<PoolUse> {
        let status = self.database.pool.status();
        Some(PoolUse {
            most: status.max_size,
            open: status.size,
            idle: status.available,
            waiting: status.waiting,
        })
    }

    async fn readiness(&self) -> Readiness {
        self.database.readiness().await
    }

    async fn now(&self) -> Result<Timestamp> {
        let rows = self
            .database
            .run_unchecked(Call::read("now", &sql::NOW, &[]))
            .await?;
        let row = rows.first().ok_or(StoreError::Overloaded)?;
        Ok(Columns::from(row, 0, "clock").next::<At>()?.0)
    }

    async fn sweep(&self, sweep: Sweep) -> Result<u64> {
        let batch = i64::from(sweep.batch.get());
        let params: [Param<'_>; 1] = [&batch];
        let keys = self
            .database
            .run(Call::write("sweep", &sql::SWEEP_KEYS, &params))
            .await?;
        let mut gone = counted(&keys)?;
        let retention = sweep.feed_retention.map(micros);
        let params: [Param<'_>; 2] = [&retention, &batch];
        let feed = self
            .database
            .run(Call::write("sweep", &sql::SWEEP_FEED, &params))
            .await?;
        gone += counted(&feed)?;
        Ok(gone)
    }

    async fn facets(&self, tenant: TenantId) -> Result<Facets> {
        let params: [Param<'_>; 1] = [&tenant.as_uuid()];
        let rows = self
            .database
            .run(Call::read("facets", &sql::FACETS, &params))
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Facets::default());
        };
        let mut columns = Columns::from(row, 0, "facets");
        let (keys, values): (Vec<String>, Vec<String>) = (columns.next()?, columns.next()?);
        let conditions = list::kinds(Some(columns.next()?))?;
        let state = columns.parse_option()?;
        let entries = columns.number()?;
        let newest: Option<i64> = columns.next()?;
        Ok(Facets {
            labels: keys.into_iter().zip(values).collect(),
            conditions,
            state,
            feed: (
                entries,
                newest
                    .and_then(|n| u64::try_from(n).ok())
                    .map(Revision::new),
            ),
        })
    }

    async fn standing(&self) -> Result<Standing> {
        let call = Call::read("standing", &sql::STANDING, &[]);
        let mut standing = Standing::none();
        for row in self.database.run(call).await? {
            let mut columns = Columns::from(&row, 0, "standing");
            let (what, word): (String, String) = (columns.next()?, columns.next()?);
            let tenants = columns.number()?;
            standing.add(&what, &word, tenants, columns.time_option()?)?;
        }
        Ok(standing)
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

fn counted(rows: &[tokio_postgres::Row]) -> Result<u64> {
    rows.first()
        .map_or(Ok(0), |row| Columns::from(row, 0, "sweep").number())
}
