//! Asking two stores the same, and comparing everything that can be seen of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::dice::Dice;
use super::fleet::walk;
use super::{MemoryDatabase, export, fingerprint, start};
use crate::check::{histories, verify};
use crate::{
    Answer, Attempt, Context, Engine, EngineError, Filter, IdempotencyKey, Lease, Line, Message,
    PageSize, Query, Reported, Request, Revision, Store, TenantId, TenantRef,
};

const HOUR: Duration = Duration::from_hours(1);

/// How often a call that failed is sent again. Nothing fails that often by chance.
const SENDS_MAX: u32 = 100;

/// A store, and the model of it, that are asked the same.
pub(super) struct Lockstep {
    seed: u64,
    dice: Dice,
    step: u64,
    /// The store, asked directly: to look at it, and to claim.
    store: Arc<dyn Store>,
    /// What writes to the store, perhaps through faults.
    engine: Engine,
    model: Arc<dyn Store>,
    model_engine: Engine,
    /// Whether calls of the engine can fail: then answers may come as replays.
    flaky: bool,
    /// The newest tenant that was seen under each name.
    ids: BTreeMap<String, TenantId>,
    sent: Vec<Request>,
    leases: Vec<Lease>,
}

impl Lockstep {
    /// Begins with an empty store, reached by writers through `writing`.
    pub(super) fn new(seed: u64, store: Arc<dyn Store>, writing: Option<Arc<dyn Store>>) -> Self {
        let model: Arc<dyn Store> = Arc::new(MemoryDatabase::new().store());
        Self {
            seed,
            dice: Dice::new(seed),
            step: 0,
            flaky: writing.is_some(),
            engine: Engine::new(writing.unwrap_or_else(|| Arc::clone(&store))),
            store,
            model_engine: Engine::new(Arc::clone(&model)),
            model,
            ids: BTreeMap::new(),
            sent: Vec::new(),
            leases: Vec::new(),
        }
    }

    /// Takes this many steps, then compares all that there is.
    pub(super) async fn run(mut self, steps: u64) {
        for _ in 0..steps {
            self.step += 1;
            match self.dice.below(12) {
                0..=5 => self.command().await,
                6..=8 => self.claim().await,
                9 | 10 => self.end_a_lease().await,
                _ => self.send_again().await,
            }
        }
        self.compare().await;
    }

    fn at(&self) -> String {
        format!("seed {}, step {}", self.seed, self.step)
    }

    fn context(&self) -> Context {
        Context {
            at: start().plus(Duration::from_secs(self.step)),
            actor: "user:model".parse().expect("a good actor"),
            request_id: Uuid::from_u64_pair(self.seed, self.step),
            message: Message::none(),
        }
    }

    async fn command(&mut self) {
        let name = format!("m{}", self.dice.below(20));
        let fresh = TenantId::new(Uuid::from_u64_pair(self.step, self.seed));
        let id = self
            .ids
            .get(&name)
            .copied()
            .filter(|_| self.dice.once_in(2));
        let who = id.map_or_else(
            || TenantRef::Name(name.parse().expect("a good name")),
            TenantRef::Id,
        );
        let command = self.dice.command(fresh, &name);
        let if_revision = self
            .dice
            .once_in(6)
            .then(|| Revision::new(self.dice.number() % 6));
        let keyed = self.flaky || self.dice.once_in(3);
        let key = keyed.then(|| {
            let key = format!("k{}", self.step);
            let request = fingerprint(&format!("{command:?}"));
            IdempotencyKey::new("model", key, request, HOUR).expect("a good key")
        });
        let dry_run = self.dice.once_in(10);
        let context = self.context();
        let request = Request {
            who,
            command,
            context,
            if_revision,
            if_id: None,
            scope: crate::Selector::default(),
            key,
            dry_run,
        };
        self.send(&request).await;
        self.sent.push(request);
    }

    /// Sends something that was sent before: its key brings the old answer, or none brings a new.
    async fn send_again(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let request = self.dice.pick(&self.sent).clone();
        if self.flaky && request.key.is_none() {
            return;
        }
        self.send(&request).await;
    }

    async fn send(&mut self, request: &Request) {
        let expected = self.model_engine.execute(request).await;
        let mut answer = self.engine.execute(request).await;
        let mut sends = 1;
        while matches!(&answer, Err(EngineError::Store(_))) && sends < SENDS_MAX && self.flaky {
            answer = self.engine.execute(request).await;
            sends += 1;
        }
        let told = |answer: &Result<Answer, EngineError>| match answer {
            // After a fault, the answer may be the replay of what was done before it.
            Ok(answer) if self.flaky => format!("{:?}", answer.tenant),
            other => format!("{other:?}"),
        };
        assert_eq!(told(&answer), told(&expected), "{}: {request:?}", self.at());
        if let Ok(answer) = answer {
            self.ids
                .insert(answer.tenant.name.to_string(), answer.tenant.id);
        }
    }

    /// Claims all that is due, of some classes and lanes. Everybody's work is due now, never, or in
    /// an hour.
    async fn claim(&mut self) {
        let holder = format!("worker-{}", self.dice.below(3));
        let rooms = self.dice.rooms(HOUR);
        let mut claims = Vec::new();
        for store in [&self.model, &self.store] {
            let mut claimed = store.claim(&holder, &rooms).await.expect("claiming works");
            claimed.sort_by_key(|lease| lease.tenant);
            claims.push(claimed);
        }
        let told = |leases: &[Lease]| {
            leases
                .iter()
                .map(|l| (l.tenant, l.fence, l.attempt, l.class.clone(), l.routine))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(&claims[1]),
            told(&claims[0]),
            "claimed at {}",
            self.at()
        );
        self.leases.extend(claims.remove(1));
    }

    /// Reports on a lease, renews or releases it. One in four is used again, when it has ended.
    async fn end_a_lease(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let place = self.dice.below(self.leases.len());
        let lease = self.leases[place].clone();
        if !self.dice.once_in(4) {
            self.leases.swap_remove(place);
        }
        match self.dice.below(6) {
            0 => {
                let renewed = |answer: Option<Lease>| answer.map(|l| (l.fence, l.attempt));
                let expected = self.model.renew(&lease, HOUR).await.map(renewed);
                let answer = self.store.renew(&lease, HOUR).await.map(renewed);
                assert_eq!(answer.ok(), expected.ok(), "renewed at {}", self.at());
            }
            1 => {
                let error = Message::lossy("no answer");
                let attempts = [Attempt::Clean, Attempt::Failed { error }, Attempt::Returned];
                let attempt = self.dice.pick(&attempts);
                let wake = self.dice.wake(HOUR);
                let expected = self.model.release(&lease, attempt, wake).await;
                let answer = self.store.release(&lease, attempt, wake).await;
                assert_eq!(answer.ok(), expected.ok(), "released at {}", self.at());
            }
            _ => self.report(&lease).await,
        }
    }

    async fn report(&mut self, lease: &Lease) {
        let loaded = self.model.load(&TenantRef::Id(lease.tenant), None).await;
        let record = loaded
            .expect("loading works")
            .record
            .expect("the leased are there");
        let report = self.dice.report(&record.tenant, lease.attempt);
        let (context, release) = (self.context(), !self.dice.once_in(4));
        let expected = self
            .model_engine
            .report(lease, &report, &context, release)
            .await;
        let mut answer = self.engine.report(lease, &report, &context, release).await;
        let mut sends = 1;
        while matches!(&answer, Err(EngineError::Store(_))) && sends < SENDS_MAX && self.flaky {
            answer = self.engine.report(lease, &report, &context, release).await;
            sends += 1;
        }
        let told = |answer: &Result<Reported, EngineError>| match answer {
            // A release whose reply was lost finds its lease gone.
            Ok(Reported::NoNews | Reported::LeaseLost) if self.flaky => "no change".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(told(&answer), told(&expected), "{}: {report:?}", self.at());
    }

    /// Compares all that can be seen of the two.
    async fn compare(&self) {
        let at = self.at();
        let everyone = Filter {
            include_deleted: true,
            ..Filter::default()
        };
        let query = Query {
            filter: everyone,
            limit: PageSize::MAX,
            ..Query::default()
        };
        let expected = walk(&*self.model, &query).await;
        assert_eq!(walk(&*self.store, &query).await, expected, "listed at {at}");
        let past = histories(&*self.store).await.expect("reading works");
        assert_eq!(
            Ok(past),
            histories(&*self.model).await.map_err(|_| ()),
            "history at {at}"
        );
        for tenant in &expected {
            let facts = |store: Arc<dyn Store>| async move {
                let record = store.load(&TenantRef::Id(tenant.id), None).await;
                let record = record
                    .expect("loading works")
                    .record
                    .expect("it was listed");
                let facets = store.facets(tenant.id).await.expect("reading works");
                let work = record.work;
                let planned = (
                    work.due_at.is_some(),
                    work.lease_until.is_some(),
                    work.routine,
                );
                let looked = (work.checked_at.is_some(), work.attempts);
                let counted = (looked, work.last_error, work.holder, work.fence);
                // Whether a store keeps a copy of the state is its own affair.
                (
                    record.tenant,
                    planned,
                    counted,
                    facets.labels,
                    facets.conditions,
                    facets.feed,
                )
            };
            let there = facts(Arc::clone(&self.store)).await;
            assert_eq!(
                there,
                facts(Arc::clone(&self.model)).await,
                "{} at {at}",
                tenant.name
            );
            let findings = verify(&*self.store, tenant.id)
                .await
                .expect("reading works");
            assert_eq!(findings, [], "{at}");
        }
        let total: u64 = expected.iter().map(|tenant| tenant.revision.get()).sum();
        let total = usize::try_from(total).expect("a short feed");
        let feed = whole_feed(&*self.store, total).await;
        assert_eq!(
            feed,
            whole_feed(&*self.model, total).await,
            "the feed at {at}"
        );
        let text = export(&*self.store).await.expect("reading works");
        let model = export(&*self.model).await.expect("reading works");
        assert_eq!(text, model, "exported at {at}");
    }
}

/// The feed, once it has this many changes.
pub(super) async fn whole_feed(store: &dyn Store, total: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let reading = async {
        let mut after = None;
        while lines.len() < total {
            let changes = store.changes(after.as_ref(), PageSize::MAX).await;
            let changes = changes.expect("reading the feed works");
            if changes.lines.is_empty() {
                store.idle(&[], Duration::from_millis(5)).await;
            }
            lines.extend(changes.lines);
            after = Some(changes.next);
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(10), reading).await);
    lines
}
