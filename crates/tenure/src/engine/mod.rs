//! The engine: load, decide, commit, and again if someone was faster.

mod request;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub use self::request::{Answer, Effect, EngineError, Reported, Request};
use crate::store::Result as StoreResult;
use crate::{
    Advice, AsOf, Attempt, Change, ClassRules, Command, Commit, Context, Decision, Freshness,
    Lease, Loaded, Prior, Record, Refusal, RefusalCode, Report, Revision, Store, StoreError,
    Tenant, TenantRef, Under, Wake, Written, decide, decide_report,
};

/// How often a lost race is decided anew before the caller is told.
const RACES_MAX: u32 = 100;

/// How often an unknown outcome is resolved by sending again, waiting 50 ms, 100 ms, … between.
const RESENDS_MAX: u32 = 6;

/// Carries commands and reports through a store: the one way to change a tenant.
#[derive(Clone, Debug)]
pub struct Engine {
    store: Arc<dyn Store>,
    rules: Option<Arc<dyn ClassRules>>,
}

impl Engine {
    /// An engine over a store. No class asks anything of `desired`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, rules: None }
    }

    /// An engine over a store that writes no `desired` but as its class asks.
    ///
    /// Only writes of `desired` are checked: what is stored already can be read, suspended, resumed,
    /// retried and deleted whatever its class asks by now.
    pub fn with_rules(store: Arc<dyn Store>, rules: Arc<dyn ClassRules>) -> Self {
        Self {
            store,
            rules: Some(rules),
        }
    }

    /// The store, for reading.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The store, shared.
    pub fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Carries out a request.
    ///
    /// Without `if_revision`, a lost race is decided anew on the tenant as it is then. A lost reply
    /// is resolved by sending the same change again. A request with a key that was used for it
    /// before gives the answer that it gave then.
    ///
    /// # Errors
    ///
    /// Nothing was written, except for [`StoreError::OutcomeUnknown`]: then send the same request
    /// again, with the same `request_id` and key, to learn what became of it.
    pub async fn execute(&self, request: &Request) -> Result<Answer, EngineError> {
        for _ in 0..RACES_MAX {
            let key = request
                .key
                .as_ref()
                .map(|key| (key.scope.as_str(), key.key.as_str()));
            let loaded = self.store.load(&request.who, key).await?;
            if let Some(prior) = loaded.prior {
                return self.replay(request, prior).await;
            }
            if let Some(answer) = self.attempt(request, loaded).await? {
                return Ok(answer);
            }
        }
        Err(EngineError::Contended)
    }

    /// One round of load → decide → commit; `None` if a race was lost and must be run anew.
    async fn attempt(
        &self,
        request: &Request,
        loaded: Loaded,
    ) -> Result<Option<Answer>, EngineError> {
        let tenant = visible(request, loaded.record.map(|record| record.tenant))?;
        seen(request, tenant.as_ref())?;
        let command = self.completed(&request.command, tenant.as_ref())?;
        match decide(tenant.as_ref(), &command, &request.context) {
            Decision::Refused(refusal) => Err(EngineError::Refused(refusal)),
            Decision::AlreadySo { .. } => match tenant {
                Some(tenant) => self.unchanged(request, tenant).await,
                None => Err(EngineError::Contended),
            },
            Decision::Change(change) => {
                self.check(&change, tenant.as_ref())?;
                if !request.scope.matches(&change.tenant().labels) {
                    let scope = request.scope.clone();
                    return Err(EngineError::OutOfScope { scope });
                }
                let change = change.with_key(request.key.clone());
                let effect = if change.expected().is_none() {
                    Effect::Created
                } else {
                    Effect::Changed
                };
                if request.dry_run {
                    self.check_id(&change).await?;
                    return Ok(Some(Answer {
                        tenant: change.tenant().clone(),
                        effect,
                        replayed: false,
                    }));
                }
                let commit = self.commit(&change).await?;
                answer(request, &change, effect, commit)
            }
        }
    }

    /// The command with the defaults of the class under what it wants, so that asking for the same
    /// again finds it so.
    fn completed<'a>(
        &self,
        command: &'a Command,
        tenant: Option<&Tenant>,
    ) -> Result<Cow<'a, Command>, EngineError> {
        let (Some(rules), Command::Create(wanted) | Command::Apply(wanted)) =
            (&self.rules, command)
        else {
            return Ok(Cow::Borrowed(command));
        };
        let class = wanted
            .class
            .clone()
            .or_else(|| tenant.map(|tenant| tenant.class.clone()))
            .unwrap_or_default();
        let desired = rules.complete(&class, &wanted.desired).map_err(|invalid| {
            let detail = invalid.to_string();
            EngineError::Refused(Refusal::new(RefusalCode::Invalid, tenant, detail))
        })?;
        let wanted = crate::Wanted {
            desired,
            ..wanted.clone()
        };
        Ok(Cow::Owned(match command {
            Command::Create(_) => Command::Create(wanted),
            _ => Command::Apply(wanted),
        }))
    }

    /// Refuses a change that makes `desired` something that its class does not ask for.
    fn check(&self, change: &Change, before: Option<&Tenant>) -> Result<(), EngineError> {
        let after = change.tenant();
        let altered = before.is_none_or(|before| before.desired.hash() != after.desired.hash());
        let Some(rules) = self.rules.as_ref().filter(|_| altered) else {
            return Ok(());
        };
        rules
            .check(&after.class, &after.desired)
            .map_err(|invalid| {
                let (code, detail) = (RefusalCode::SchemaViolation, invalid.to_string());
                EngineError::Refused(Refusal::new(code, before, detail))
            })
    }

    /// Refuses a creation under the id of another, which otherwise only its commit would find.
    async fn check_id(&self, change: &Change) -> Result<(), EngineError> {
        if change.expected().is_some() {
            return Ok(());
        }
        let who = TenantRef::Id(change.tenant().id);
        match self.store.get(&who, Freshness::Primary).await? {
            Some(_) => Err(EngineError::IdTaken),
            None => Ok(()),
        }
    }

    async fn unchanged(
        &self,
        request: &Request,
        tenant: Tenant,
    ) -> Result<Option<Answer>, EngineError> {
        if let (Some(key), false) = (&request.key, request.dry_run) {
            let remember = || self.store.remember(tenant.id, tenant.revision, key);
            match resolve(remember).await? {
                Commit::Applied { .. } => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(Answer {
            tenant,
            effect: Effect::Unchanged,
            replayed: false,
        }))
    }

    async fn replay(&self, request: &Request, prior: Prior) -> Result<Answer, EngineError> {
        if request
            .key
            .as_ref()
            .is_none_or(|key| key.fingerprint != prior.fingerprint)
        {
            return Err(EngineError::KeyReused);
        }
        if !request.scope.is_empty() {
            // By the labels that it has now, as everywhere.
            let who = TenantRef::Id(prior.tenant);
            let now = self.store.get(&who, Freshness::Primary).await?;
            let seen = now.is_some_and(|now| request.scope.matches(&now.tenant.labels));
            if !seen {
                let (code, detail) = (RefusalCode::TenantNotFound, "there is no such tenant");
                return Err(EngineError::Refused(Refusal::new(code, None, detail)));
            }
        }
        let point = AsOf::Revision(prior.revision);
        let tenant = self
            .store
            .as_of(prior.tenant, point)
            .await?
            .ok_or_else(|| StoreError::Corrupt {
                what: format!("idempotency points at {} {}", prior.tenant, prior.revision),
            })?;
        let effect = match (prior.wrote, prior.revision.get()) {
            (false, _) => Effect::Unchanged,
            (true, 1) => Effect::Created,
            (true, _) => Effect::Changed,
        };
        Ok(Answer {
            tenant,
            effect,
            replayed: true,
        })
    }

    /// Carries a worker's report, made under a lease. `release` ends the lease with it.
    ///
    /// # Errors
    ///
    /// [`EngineError::Refused`] if the report does not fit; drop the result. Otherwise trouble with
    /// the store: the lease ends by itself, and the work comes due again.
    pub async fn report(
        &self,
        lease: &Lease,
        report: &Report,
        context: &Context,
        release: bool,
    ) -> Result<Reported, EngineError> {
        for _ in 0..RACES_MAX {
            let loaded = self.store.load(&TenantRef::Id(lease.tenant), None).await?;
            let Some(Record { tenant, .. }) = loaded.record else {
                return Ok(Reported::LeaseLost);
            };
            match decide_report(&tenant, report, context) {
                Decision::Refused(refusal) => return Err(EngineError::Refused(refusal)),
                Decision::AlreadySo { .. } if !release => return Ok(Reported::NoNews),
                Decision::AlreadySo { wake } => return self.no_news(lease, report, wake).await,
                Decision::Change(change) => {
                    let change = change.under(Under {
                        fence: lease.fence,
                        release,
                    });
                    match self.commit(&change).await? {
                        Commit::Applied { .. } => {
                            return Ok(Reported::Written(Box::new(change.tenant().clone())));
                        }
                        Commit::LeaseLost => return Ok(Reported::LeaseLost),
                        Commit::KeyUsed => return Ok(Reported::CorrectionTaken),
                        _ => {}
                    }
                }
            }
        }
        Err(EngineError::Contended)
    }

    async fn no_news(
        &self,
        lease: &Lease,
        report: &Report,
        wake: Wake,
    ) -> Result<Reported, EngineError> {
        let attempt = match &report.outcome {
            crate::Outcome::Failed { message, .. } => Attempt::Failed {
                error: message.clone(),
            },
            _ => Attempt::Clean,
        };
        let live = self.store.release(lease, &attempt, wake).await?;
        Ok(if live {
            Reported::NoNews
        } else {
            Reported::LeaseLost
        })
    }

    /// The tenant now, with what is counted for it.
    ///
    /// # Errors
    ///
    /// As [`Queries::get`](crate::Queries::get).
    pub async fn get(&self, who: &TenantRef, freshness: Freshness) -> StoreResult<Option<Record>> {
        self.store.get(who, freshness).await
    }

    /// Commits, and resolves an unknown outcome by sending the same change again.
    async fn commit(&self, change: &Change) -> StoreResult<Commit> {
        resolve(|| self.store.commit(change)).await
    }
}

/// Whether the tenant is the one, and at the revision, that the client saw.
fn seen(request: &Request, tenant: Option<&Tenant>) -> Result<(), EngineError> {
    let actual = tenant.map_or(Revision::new(0), |tenant| tenant.revision);
    match (request.if_id, request.if_revision) {
        (Some(expected), _) if tenant.is_none_or(|tenant| tenant.id != expected) => {
            Err(EngineError::OtherTenant { expected, actual })
        }
        (_, Some(expected)) if actual != expected => {
            Err(EngineError::RevisionConflict { expected, actual })
        }
        _ => Ok(()),
    }
}

/// The tenant, if it is there for the client. Its name is taken even if it is not.
fn visible(request: &Request, tenant: Option<Tenant>) -> Result<Option<Tenant>, EngineError> {
    match tenant {
        Some(hidden) if !request.scope.matches(&hidden.labels) => match request.command {
            Command::Create(_) | Command::Apply(_) => Err(EngineError::NameTaken),
            _ => Ok(None),
        },
        tenant => Ok(tenant),
    }
}

/// What a commit means to the client; `None` if the race was lost and must be run anew.
fn answer(
    request: &Request,
    change: &Change,
    effect: Effect,
    commit: Commit,
) -> Result<Option<Answer>, EngineError> {
    match (commit, request.if_revision) {
        (Commit::Applied { .. }, _) => Ok(Some(Answer {
            tenant: change.tenant().clone(),
            effect,
            replayed: false,
        })),
        (Commit::Conflict { actual }, Some(expected)) => {
            Err(EngineError::RevisionConflict { expected, actual })
        }
        (Commit::NameTaken, _) if matches!(request.who, TenantRef::Id(_)) => {
            Err(EngineError::NameTaken)
        }
        (Commit::IdTaken, _) => Err(EngineError::IdTaken),
        // Someone was faster. A name that was taken since loading is found by the next load: then
        // apply changes that tenant, and create is refused by name.
        (
            Commit::Conflict { .. }
            | Commit::NotFound
            | Commit::NameTaken
            | Commit::KeyUsed
            | Commit::LeaseLost,
            _,
        ) => Ok(None),
    }
}

/// Sends again while the outcome is unknown, a bounded number of times.
async fn resolve<F, R>(send: F) -> StoreResult<Commit>
where
    F: Fn() -> R + Send,
    R: Future<Output = StoreResult<Commit>> + Send,
{
    let mut outcome = send().await;
    let mut unknown = false;
    for round in 0..RESENDS_MAX {
        match &outcome {
            Err(error) if error.effect() == Written::Unknown => unknown = true,
            // Once the outcome was unknown, trouble on the way to learning it keeps it unknown.
            Err(error) if unknown && error.advice() == Advice::Backoff => {}
            _ => return outcome,
        }
        tokio::time::sleep(Duration::from_millis(50 << round)).await;
        outcome = send().await;
    }
    match outcome {
        Err(error) if unknown && error.effect() == Written::No => {
            Err(StoreError::OutcomeUnknown(Box::new(error)))
        }
        other => other,
    }
}
