//! Loading and writing records.

use std::sync::Arc;

use async_trait::async_trait;
use tenure::{
    Change, Commit, IdempotencyKey, Loaded, Records, Result, Revision, TenantId, TenantRef,
};

use crate::row::{self, Columns};
use crate::session::{Call, Database, Param};
use crate::{PostgresStore, commit, sql};

#[async_trait]
impl Records for PostgresStore {
    async fn load(&self, who: &TenantRef, key: Option<(&str, &str)>) -> Result<Loaded> {
        let (id, name) = match who {
            TenantRef::Id(id) => (Some(id.as_uuid()), None),
            TenantRef::Name(name) => (None, Some(name.as_str())),
        };
        let params: [Param<'_>; 4] = [&id, &name, &key.map(|key| key.0), &key.map(|key| key.1)];
        let rows = self
            .database
            .run(Call::read("load", &sql::LOAD, &params))
            .await?;
        let Some(found) = rows.first() else {
            return Ok(Loaded::default());
        };
        let mut columns = Columns::from(found, 0, "tenants");
        let record = if columns.ahead_is_null() {
            None
        } else {
            Some(row::record(&mut columns)?)
        };
        Ok(Loaded {
            record,
            prior: row::prior(found)?,
        })
    }

    async fn commit(&self, change: &Change) -> Result<Commit> {
        commit::commit(&self.database, change).await
    }

    async fn commit_many(&self, changes: &[Change]) -> Vec<Result<Commit>> {
        crate::bulk::commit_many(&self.database, changes).await
    }

    async fn remember(
        &self,
        tenant: TenantId,
        revision: Revision,
        key: &IdempotencyKey,
    ) -> Result<Commit> {
        let (database, key) = (Arc::clone(&self.database), key.clone());
        Database::detached(async move { commit::remember(&database, tenant, revision, &key).await })
            .await
    }
}
