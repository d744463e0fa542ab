//! How it is read.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use super::data::{Data, Life};
use crate::store::Result;
use crate::{
    AsOf, Changes, Cursor, Direction, Document, Filter, Freshness, Hash, HistoryQuery, Line, Page,
    PageSize, Queries, Query, Record, State, StoreError, Summary, Tenant, TenantId, TenantRef,
};

#[async_trait]
impl Queries for MemoryStore {
    async fn get(&self, who: &TenantRef, _freshness: Freshness) -> Result<Option<Record>> {
        self.with(|data, _| data.record(who))
    }

    async fn get_many(&self, ids: &[TenantId]) -> Result<Vec<Record>> {
        self.with(|data, _| {
            ids.iter()
                .filter_map(|id| data.record(&TenantRef::Id(*id)))
                .collect()
        })
    }

    async fn list(&self, query: &Query) -> Result<Page<Summary>> {
        self.with(|data, _| data.list(query))?
    }

    async fn count(&self, filter: &Filter) -> Result<BTreeMap<State, u64>> {
        self.with(|data, _| {
            let mut counts: BTreeMap<State, u64> = State::ALL.map(|state| (state, 0)).into();
            for tenant in data.tenants.values().map(Life::tenant) {
                if filter.matches(tenant) {
                    *counts.entry(tenant.state).or_default() += 1;
                }
            }
            counts
        })
    }

    async fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Result<Vec<Line>> {
        self.with(|data, _| data.history(tenant, query))
    }

    async fn as_of(&self, tenant: TenantId, point: AsOf) -> Result<Option<Tenant>> {
        self.with(|data, _| {
            let life = data.tenants.get(&tenant)?;
            let (_, image) = match point {
                AsOf::Revision(revision) => life.at(revision)?,
                AsOf::Time(time) => life.past.iter().rev().find(|(line, _)| line.at <= time)?,
            };
            Some(image.clone())
        })
    }

    async fn documents(&self, tenant: TenantId, hashes: &[Hash]) -> Result<Vec<Document>> {
        self.with(|data, _| {
            let Some(life) = data.tenants.get(&tenant) else {
                return Vec::new();
            };
            hashes
                .iter()
                .filter_map(|hash| life.documents.get(hash).cloned())
                .collect()
        })
    }

    async fn changes(&self, after: Option<&Cursor>, limit: PageSize) -> Result<Changes> {
        self.with(|data, _| data.changes(after, limit))?
    }

    async fn changes_end(&self) -> Result<Cursor> {
        self.with(|data, _| Cursor::feed(data.epoch, (0, data.feed_end)))
    }
}

impl Data {
    fn list(&self, query: &Query) -> Result<Page<Summary>> {
        let fingerprint = query.fingerprint();
        let after = match &query.after {
            Some(cursor) => Some(cursor.as_list(fingerprint)?),
            None => None,
        };
        let beyond = |id: TenantId| match (after, query.direction) {
            (None, _) => true,
            (Some(after), Direction::Ascending) => after < id,
            (Some(after), Direction::Descending) => id < after,
        };
        let mut found: Vec<&Tenant> = self
            .tenants
            .values()
            .map(Life::tenant)
            .filter(|tenant| beyond(tenant.id) && query.filter.matches(tenant))
            .collect();
        if query.direction == Direction::Descending {
            found.reverse();
        }
        let size = usize::from(query.limit.get());
        let more = size < found.len();
        found.truncate(size);
        let next = found
            .last()
            .filter(|_| more)
            .map(|last| Cursor::list(fingerprint, last.id));
        Ok(Page {
            items: found.into_iter().map(Summary::from).collect(),
            next,
        })
    }

    fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Vec<Line> {
        let Some(life) = self.tenants.get(&tenant) else {
            return Vec::new();
        };
        let beyond = |line: &&Line| match (query.after, query.direction) {
            (None, _) => true,
            (Some(after), Direction::Ascending) => after < line.revision,
            (Some(after), Direction::Descending) => line.revision < after,
        };
        let mut lines: Vec<&Line> = life
            .past
            .iter()
            .map(|(line, _)| line)
            .filter(beyond)
            .filter(|line| !query.transitions_only || line.is_transition())
            .filter(|line| query.kinds.is_empty() || query.kinds.contains(&line.kind))
            .collect();
        if query.direction == Direction::Descending {
            lines.reverse();
        }
        lines
            .into_iter()
            .take(usize::from(query.limit.get()))
            .cloned()
            .collect()
    }

    fn changes(&self, after: Option<&Cursor>, limit: PageSize) -> Result<Changes> {
        let after = match after {
            None => self.feed_floor,
            Some(cursor) => {
                let (epoch, (_, position)) = cursor.as_feed()?;
                if epoch != self.epoch || position < self.feed_floor {
                    return Err(StoreError::CursorExpired);
                }
                position
            }
        };
        let entries = || {
            self.feed
                .range(after.saturating_add(1)..)
                .take(usize::from(limit.get()))
        };
        let line = |entry: &super::data::Entry| {
            let (line, _) = self.tenants.get(&entry.tenant)?.at(entry.revision)?;
            Some(line.clone())
        };
        let position = entries().last().map_or(after, |(position, _)| *position);
        Ok(Changes {
            lines: entries().filter_map(|(_, entry)| line(entry)).collect(),
            next: Cursor::feed(self.epoch, (0, position)),
        })
    }
}
