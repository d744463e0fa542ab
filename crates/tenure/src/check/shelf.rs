//! A store that holds what it is given, right or wrong: for showing that a check fails.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::Fold;
use crate::store::Result;
use crate::*;

/// What is kept of one tenant.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) tenant: Tenant,
    pub(super) missing: bool,
    pub(super) named: bool,
    pub(super) lines: Vec<Line>,
    pub(super) documents: Vec<Document>,
    /// Documents that a read finds damaged.
    pub(super) damaged: Vec<Hash>,
    pub(super) facets: Facets,
}

impl Kept {
    /// Signs all lines anew and makes record and copies agree with them, so that what is left of a
    /// fault is only what a hash can't tell.
    pub(super) fn agree(&mut self) {
        let Tenant { name, class, .. } = self.tenant.clone();
        let mut previous = None;
        let mut fold = Fold::new(name.clone(), class.clone());
        for line in &mut self.lines {
            let identity = previous.is_none().then_some((&name, &class));
            line.hash = line.digest(previous, identity);
            previous = Some(line.hash);
            fold.push(line);
        }
        self.tenant = fold.tenant(&self.documents).unwrap().unwrap();
        self.named = self.tenant.is_living();
        self.facets = Facets {
            labels: self.tenant.labels.clone().into(),
            conditions: self.tenant.conditions.kinds(),
            state: Some(self.tenant.state),
            feed: (self.tenant.revision.get(), Some(self.tenant.revision)),
        };
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(pub(super) BTreeMap<TenantId, Kept>);

impl Shelf {
    pub(super) fn of(kept: Kept) -> Self {
        Self([(kept.tenant.id, kept)].into())
    }

    fn record(kept: &Kept) -> Result<Option<Record>> {
        let tenant = kept.tenant.clone();
        let needed = [
            Some(tenant.desired.hash()),
            tenant.observed.as_ref().map(Document::hash),
        ];
        if needed
            .iter()
            .flatten()
            .any(|hash| kept.damaged.contains(hash))
        {
            return Err(StoreError::Corrupt {
                what: "documents: damaged".into(),
            });
        }
        Ok((!kept.missing).then(|| Record {
            tenant,
            work: WorkFacts::default(),
        }))
    }
}

#[async_trait]
impl Records for Shelf {
    async fn load(&self, _: &TenantRef, _: Option<(&str, &str)>) -> Result<Loaded> {
        Err(StoreError::Closed)
    }

    async fn commit(&self, _: &Change) -> Result<Commit> {
        Err(StoreError::Closed)
    }

    async fn commit_many(&self, _: &[Change]) -> Vec<Result<Commit>> {
        Vec::new()
    }

    async fn remember(&self, _: TenantId, _: Revision, _: &IdempotencyKey) -> Result<Commit> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl Queries for Shelf {
    async fn get(&self, who: &TenantRef, _: Freshness) -> Result<Option<Record>> {
        let kept = match who {
            TenantRef::Id(id) => self.0.get(id),
            TenantRef::Name(name) => self
                .0
                .values()
                .find(|kept| kept.named && kept.tenant.name == *name),
        };
        kept.map_or(Ok(None), Self::record)
    }

    async fn get_many(&self, _: &[TenantId]) -> Result<Vec<Record>> {
        Err(StoreError::Closed)
    }

    async fn list(&self, query: &Query) -> Result<Page<Summary>> {
        // A page of one, so that walks have pages.
        let fingerprint = query.fingerprint();
        let after = query
            .after
            .as_ref()
            .map(|after| after.as_list(fingerprint))
            .transpose()?;
        let mut rest = self
            .0
            .values()
            .filter(|kept| after.is_none_or(|after| after < kept.tenant.id));
        let items: Vec<Summary> = rest
            .by_ref()
            .take(1)
            .map(|kept| (&kept.tenant).into())
            .collect();
        let next = items.last().filter(|_| rest.next().is_some());
        let next = next.map(|last| Cursor::list(fingerprint, last.id));
        Ok(Page { items, next })
    }

    async fn count(&self, _: &Filter) -> Result<BTreeMap<State, u64>> {
        Err(StoreError::Closed)
    }

    async fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Result<Vec<Line>> {
        // Short pages, so that walks have several.
        let lines = self.0.get(&tenant).map_or(&[][..], |kept| &kept.lines);
        let beyond = |line: &&Line| query.after.is_none_or(|after| line.revision > after);
        Ok(lines.iter().filter(beyond).take(4).cloned().collect())
    }

    async fn as_of(&self, _: TenantId, _: AsOf) -> Result<Option<Tenant>> {
        Err(StoreError::Closed)
    }

    async fn documents(&self, tenant: TenantId, hashes: &[Hash]) -> Result<Vec<Document>> {
        let Some(kept) = self.0.get(&tenant) else {
            return Ok(Vec::new());
        };
        if hashes.iter().any(|hash| kept.damaged.contains(hash)) {
            return Err(StoreError::Corrupt {
                what: "documents: damaged".into(),
            });
        }
        let asked = |document: &&Document| hashes.contains(&document.hash());
        Ok(kept.documents.iter().filter(asked).cloned().collect())
    }

    async fn changes(&self, _: Option<&Cursor>, _: PageSize) -> Result<Changes> {
        Err(StoreError::Closed)
    }

    async fn changes_end(&self) -> Result<Cursor> {
        Ok(Cursor::feed(Uuid::nil(), (0, 0)))
    }
}

#[async_trait]
impl Work for Shelf {
    async fn claim(&self, _: &str, _: &[Room]) -> Result<Vec<Lease>> {
        Err(StoreError::Closed)
    }

    async fn renew(&self, _: &Lease, _: Duration) -> Result<Option<Lease>> {
        Err(StoreError::Closed)
    }

    async fn release(&self, _: &Lease, _: &Attempt, _: Wake) -> Result<bool> {
        Err(StoreError::Closed)
    }

    async fn idle(&self, _: &[ClassName], _: Duration) {}
}

#[async_trait]
impl Upkeep for Shelf {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            multi_process: false,
            multi_node: false,
        }
    }

    async fn readiness(&self) -> Readiness {
        Readiness::Ready { schema: 1 }
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(Timestamp::EPOCH)
    }

    async fn sweep(&self, _: Sweep) -> Result<u64> {
        Ok(0)
    }

    async fn facets(&self, tenant: TenantId) -> Result<Facets> {
        Ok(self
            .0
            .get(&tenant)
            .map(|kept| kept.facets.clone())
            .unwrap_or_default())
    }

    async fn standing(&self) -> Result<Standing> {
        Err(StoreError::Closed)
    }

    async fn close(&self) {}
}

#[async_trait]
impl Tokens for Shelf {
    async fn add_token(&self, _: &Token) -> Result<bool> {
        Err(StoreError::Closed)
    }

    async fn token(&self, _: &ClassName) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn token_of(&self, _: &Hash) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn tokens(&self, _: Option<&ClassName>, _: PageSize) -> Result<Vec<Token>> {
        Err(StoreError::Closed)
    }

    async fn rotate_token(
        &self,
        _: &ClassName,
        _: (&Hash, &Hash),
        _: Option<Timestamp>,
    ) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn revoke_token(&self, _: &ClassName, _: &Revoked) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn note_token_uses(&self, _: &[(ClassName, Timestamp)]) -> Result<()> {
        Err(StoreError::Closed)
    }
}
