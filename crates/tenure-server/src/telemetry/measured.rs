//! A store that measures another: how long each call takes, and what becomes of each change.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tenure::{
    AsOf, Attempt, Capabilities, Change, Changes, ClassName, Commit, ConditionKind, Cursor,
    Document, Facets, Filter, Freshness, Hash, HistoryQuery, IdempotencyKey, Lease, Line, Loaded,
    Page, PageSize, PoolUse, Queries, Query, Readiness, Record, Records, Result, Revision, Revoked,
    Room, Standing, State, Store, Summary, Sweep, Tenant, TenantId, TenantRef, Timestamp, Token,
    Tokens, Upkeep, Wake, Work,
};
use tracing::{Instrument as _, Span, field};

use super::otlp::is_tracing;

/// A store that measures each call of another, and changes nothing of it.
pub struct Measured {
    inner: Arc<dyn Store>,
}

impl Measured {
    /// Measures a store.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// One call. What nobody waits for any more is measured as well: that is what a slow store causes.
struct Clocked {
    operation: &'static str,
    outcome: &'static str,
    began: Instant,
}

impl Clocked {
    fn begin(operation: &'static str) -> Self {
        Self {
            operation,
            outcome: "dropped",
            began: Instant::now(),
        }
    }

    fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        metrics::histogram!("tenure_store_operation_duration_seconds",
            "operation" => self.operation, "outcome" => self.outcome)
        .record(self.began.elapsed());
    }
}

/// The span of a call, for a collector: as a part of whatever made it. What the server does on its own,
/// such as to ask for work, is a part of nothing and is not told.
fn span(operation: &'static str) -> Span {
    if !is_tracing() || Span::current().is_none() {
        return Span::none();
    }
    let name = format!("store {operation}");
    tracing::debug_span!("store", otel.name = name, operation, outcome = field::Empty)
}

async fn timed<T, F>(operation: &'static str, call: F) -> Result<T>
where
    T: Send,
    F: Future<Output = Result<T>> + Send,
{
    let span = span(operation);
    let clocked = Clocked::begin(operation);
    let result = call.instrument(span.clone()).await;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(error) => error.code(),
    };
    span.record("outcome", outcome);
    clocked.end(outcome);
    result
}

/// Counts what became of a change.
fn count(result: &Result<Commit>, change: Option<&Change>) {
    let word = match result {
        Ok(Commit::Applied { .. }) => "applied",
        Ok(Commit::Conflict { .. }) => "conflict",
        Ok(Commit::NotFound) => "not_found",
        Ok(Commit::NameTaken) => "name_taken",
        Ok(Commit::IdTaken) => "id_taken",
        Ok(Commit::LeaseLost) => "lease_lost",
        Ok(Commit::KeyUsed) => "key_used",
        Err(error) => error.code(),
    };
    metrics::counter!("tenure_commits_total", "result" => word).increment(1);
    if let (Ok(Commit::Applied { .. }), Some(change)) = (result, change)
        && change.conditions_added().contains(&ConditionKind::Drifted)
    {
        let class = change.tenant().class.to_string();
        metrics::counter!("tenure_drift_found_total", "class" => class).increment(1);
    }
}

#[async_trait]
impl Records for Measured {
    async fn load(&self, who: &TenantRef, key: Option<(&str, &str)>) -> Result<Loaded> {
        timed("load", self.inner.load(who, key)).await
    }

    async fn commit(&self, change: &Change) -> Result<Commit> {
        let result = timed("commit", self.inner.commit(change)).await;
        count(&result, Some(change));
        result
    }

    async fn commit_many(&self, changes: &[Change]) -> Vec<Result<Commit>> {
        let clocked = Clocked::begin("commit_many");
        let results = self.inner.commit_many(changes).await;
        let failed = results.iter().find_map(|result| result.as_ref().err());
        clocked.end(failed.map_or("ok", tenure::StoreError::code));
        for (result, change) in results.iter().zip(changes) {
            count(result, Some(change));
        }
        results
    }

    async fn remember(
        &self,
        tenant: TenantId,
        revision: Revision,
        key: &IdempotencyKey,
    ) -> Result<Commit> {
        timed("remember", self.inner.remember(tenant, revision, key)).await
    }
}

#[async_trait]
impl Queries for Measured {
    async fn get(&self, who: &TenantRef, freshness: Freshness) -> Result<Option<Record>> {
        timed("get", self.inner.get(who, freshness)).await
    }

    async fn get_many(&self, ids: &[TenantId]) -> Result<Vec<Record>> {
        timed("get_many", self.inner.get_many(ids)).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Summary>> {
        timed("list", self.inner.list(query)).await
    }

    async fn count(&self, filter: &Filter) -> Result<BTreeMap<State, u64>> {
        timed("count", self.inner.count(filter)).await
    }

    async fn history(&self, tenant: TenantId, query: &HistoryQuery) -> Result<Vec<Line>> {
        timed("history", self.inner.history(tenant, query)).await
    }

    async fn as_of(&self, tenant: TenantId, point: AsOf) -> Result<Option<Tenant>> {
        timed("as_of", self.inner.as_of(tenant, point)).await
    }

    async fn documents(&self, tenant: TenantId, hashes: &[Hash]) -> Result<Vec<Document>> {
        timed("documents", self.inner.documents(tenant, hashes)).await
    }

    async fn changes(&self, after: Option<&Cursor>, limit: PageSize) -> Result<Changes> {
        timed("changes", self.inner.changes(after, limit)).await
    }

    async fn changes_end(&self) -> Result<Cursor> {
        timed("changes_end", self.inner.changes_end()).await
    }
}

#[async_trait]
impl Work for Measured {
    async fn claim(&self, holder: &str, rooms: &[Room]) -> Result<Vec<Lease>> {
        let leases = timed("claim", self.inner.claim(holder, rooms)).await?;
        for lease in leases.iter().filter(|lease| lease.taken_over) {
            let class = lease.class.to_string();
            metrics::counter!("tenure_lease_steals_total", "class" => class).increment(1);
        }
        Ok(leases)
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Option<Lease>> {
        timed("renew", self.inner.renew(lease, length)).await
    }

    async fn release(&self, lease: &Lease, attempt: &Attempt, next: Wake) -> Result<bool> {
        timed("release", self.inner.release(lease, attempt, next)).await
    }

    // It waits by design.
    async fn idle(&self, classes: &[ClassName], at_most: Duration) {
        self.inner.idle(classes, at_most).await;
    }
}

#[async_trait]
impl Upkeep for Measured {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn pool(&self) -> Option<PoolUse> {
        self.inner.pool()
    }

    async fn readiness(&self) -> Readiness {
        let clocked = Clocked::begin("readiness");
        let readiness = self.inner.readiness().await;
        clocked.end(if readiness.is_ready() {
            "ok"
        } else {
            "store_not_ready"
        });
        readiness
    }

    async fn now(&self) -> Result<Timestamp> {
        timed("now", self.inner.now()).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<u64> {
        timed("sweep", self.inner.sweep(sweep)).await
    }

    async fn standing(&self) -> Result<Standing> {
        timed("standing", self.inner.standing()).await
    }

    async fn facets(&self, tenant: TenantId) -> Result<Facets> {
        timed("facets", self.inner.facets(tenant)).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Tokens for Measured {
    async fn add_token(&self, token: &Token) -> Result<bool> {
        timed("add_token", self.inner.add_token(token)).await
    }

    async fn token(&self, name: &ClassName) -> Result<Option<Token>> {
        timed("token", self.inner.token(name)).await
    }

    async fn token_of(&self, hash: &Hash) -> Result<Option<Token>> {
        timed("token_of", self.inner.token_of(hash)).await
    }

    async fn tokens(&self, after: Option<&ClassName>, limit: PageSize) -> Result<Vec<Token>> {
        timed("tokens", self.inner.tokens(after, limit)).await
    }

    async fn rotate_token(
        &self,
        name: &ClassName,
        (seen, hash): (&Hash, &Hash),
        previous_until: Option<Timestamp>,
    ) -> Result<Option<Token>> {
        let call = self.inner.rotate_token(name, (seen, hash), previous_until);
        timed("rotate_token", call).await
    }

    async fn revoke_token(&self, name: &ClassName, revoked: &Revoked) -> Result<Option<Token>> {
        timed("revoke_token", self.inner.revoke_token(name, revoked)).await
    }

    async fn note_token_uses(&self, uses: &[(ClassName, Timestamp)]) -> Result<()> {
        timed("note_token_uses", self.inner.note_token_uses(uses)).await
    }
}
