//! Asking questions.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tenure::{
    AsOf, Changes, Cursor, Direction, Document, Filter, Freshness, Hash, HistoryQuery, Kind, Line,
    Page, PageSize, Queries, Query, Record, Result, State, StoreError, Summary, Tenant, TenantId,
    TenantRef,
};
use uuid::Uuid;

use crate::row::{self, Columns};
use crate::session::{Call, Param};
use crate::value::{At, Sha, number};
use crate::{PostgresStore, feed, list, sql};

#[async_trait]
impl Queries for PostgresStore {
    async fn get(&self, who: &TenantRef, freshness: Freshness) -> Result<Option<Record>> {
        let barrier = freshness == Freshness::Strong;
        let rows = match who {
            TenantRef::Id(id) => {
                let params: [Param<'_>; 1] = [&id.as_uuid()];
                let call = Call {
                    barrier,
                    ..Call::read("get", &sql::GET, &params)
                };
                self.database.run(call).await?
            }
            TenantRef::Name(name) => {
                let params: [Param<'_>; 1] = [&name.as_str()];
                let call = Call {
                    barrier,
                    ..Call::read("get", &sql::GET_BY_NAME, &params)
                };
                self.database.run(call).await?
            }
        };
        rows.first()
            .map(|row| row::record(&mut Columns::from(row, 0, "tenants")))
            .transpose()
    }

    async fn get_many(&self, ids: &[TenantId]) -> Result<Vec<Record>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let params: [Param<'_>; 1] = [&ids];
        let rows = self
            .database
            .run(Call::read("get_many", &sql::GET_MANY, &params))
            .await?;
        rows.iter()
            .map(|row| row::record(&mut Columns::from(row, 0, "tenants")))
            .collect()
    }

    async fn list(&self, query: &Query) -> Result<Page<Summary>> {
        list::list(&self.database, query, list::SCAN_MAX).await
    }

    async fn count(&self, filter: &Filter) -> Result<BTreeMap<State, u64>> {
        list::count(&self.database, filter).await
    }

    async fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Result<Vec<Line>> {
        let all = query.selects_all();
        let (statement, start) = match (query.direction, all) {
            (Direction::Ascending, true) => (&sql::HISTORY, 0),
            (Direction::Ascending, false) => (&sql::HISTORY_SELECTED, 0),
            (Direction::Descending, true) => (&sql::HISTORY_NEWEST, i64::MAX),
            (Direction::Descending, false) => (&sql::HISTORY_SELECTED_NEWEST, i64::MAX),
        };
        let after = query.after.map_or(start, |revision| number(revision.get()));
        let (id, limit) = (tenant.as_uuid(), i64::from(query.limit.get()));
        let kinds: Vec<&str> = query.kinds().map(Kind::as_str).collect();
        let params: [Param<'_>; 5] = [&id, &after, &limit, &query.transitions_only, &kinds];
        let params = if all { &params[..3] } else { &params[..] };
        let call = Call::read("history", statement, params);
        let rows = self.database.run(call).await?;
        rows.iter()
            .map(|row| row::line(&mut Columns::from(row, 0, "history")))
            .collect()
    }

    async fn as_of(&self, tenant: TenantId, point: AsOf) -> Result<Option<Tenant>> {
        let id = tenant.as_uuid();
        let revision = match point {
            AsOf::Revision(revision) => number(revision.get()),
            AsOf::Time(at) => {
                let params: [Param<'_>; 2] = [&id, &At(at)];
                let call = Call::read("as_of", &sql::AS_OF_TIME, &params);
                let rows = self.database.run(call).await?;
                match rows.first() {
                    Some(row) => Columns::from(row, 0, "history").next()?,
                    None => return Ok(None),
                }
            }
        };
        let params: [Param<'_>; 2] = [&id, &revision];
        let rows = self
            .database
            .run(Call::read("as_of", &sql::AS_OF, &params))
            .await?;
        rows.first()
            .map(|row| row::tenant(&mut Columns::from(row, 0, "history")))
            .transpose()
    }

    async fn documents(&self, tenant: TenantId, hashes: &[Hash]) -> Result<Vec<Document>> {
        let wanted: Vec<Sha> = hashes.iter().copied().map(Sha).collect();
        let params: [Param<'_>; 2] = [&tenant.as_uuid(), &wanted];
        let rows = self
            .database
            .run(Call::read("documents", &sql::DOCUMENTS, &params))
            .await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            let mut columns = Columns::from(row, 0, "documents");
            let (hash, body): (Sha, String) = (columns.next()?, columns.next()?);
            let document = Document::verified(hash.0, body).map_err(|_| StoreError::Corrupt {
                what: format!("documents.body of {tenant}: it is not what its hash names"),
            })?;
            found.insert(hash.0, document);
        }
        Ok(hashes
            .iter()
            .filter_map(|hash| found.get(hash).cloned())
            .collect())
    }

    async fn changes(&self, after: Option<&Cursor>, limit: PageSize) -> Result<Changes> {
        feed::changes(&self.database, after, limit).await
    }

    async fn changes_end(&self) -> Result<Cursor> {
        feed::end(&self.database).await
    }
}
