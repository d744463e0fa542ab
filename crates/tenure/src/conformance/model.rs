//! Random lives, compared with the model, and many clients at once, judged by the validators.

#![expect(missing_docs, reason = "the name of a case is its rule")]
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::dice::Dice;
use super::fleet::walk;
use super::lockstep::{Lockstep, whole_feed};
use super::{
    Factory, Faulty, MemoryDatabase, Setup, applied, export, fingerprint, room, start, together,
    trace,
};
use crate::check::{
    ClientLog, Entry, Finding, Seen, SinkEntry, converge, durable, feed, feed_order, fences,
    histories, linearizable, no_ghost, once, pages, verify_all,
};
use crate::{
    Attempt, ClassName, Command, Context, Effect, Engine, EngineError, Freshness, IdempotencyKey,
    Lease, Message, Operation, Outcome, PageSize, Query, Report, Reported, Request, Room, State,
    Store, Tenant, TenantId, TenantRef, Wake,
};

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_model {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases model [
            p9_random_lives_are_as_in_the_model,
            p9_random_lives_through_faults_are_as_in_the_model,
            p9_the_same_trace_leaves_the_same_bytes,
            p4_many_clients_at_once_could_have_come_one_by_one,
            p5_many_clients_through_faults_could_have_come_one_by_one,
            p7_no_wake_up_is_lost_among_writers_and_dying_workers,
        ] $($arg)* }
    };
}

pub async fn p9_random_lives_are_as_in_the_model(factory: &dyn Factory) {
    for seed in [11, 12] {
        let setup = Setup::new(factory).await;
        Lockstep::new(seed, Arc::clone(&setup.store), None)
            .run(250)
            .await;
        setup.store.close().await;
    }
}

pub async fn p9_random_lives_through_faults_are_as_in_the_model(factory: &dyn Factory) {
    let seed = 21;
    let setup = Setup::new(factory).await;
    let faulty = Arc::new(Faulty::seeded(Arc::clone(&setup.store), seed, 10));
    let writing = Arc::<Faulty>::clone(&faulty);
    Lockstep::new(seed, Arc::clone(&setup.store), Some(writing))
        .run(250)
        .await;
    assert!(faulty.faults() > 20, "only {} faults", faulty.faults());
}

pub async fn p9_the_same_trace_leaves_the_same_bytes(factory: &dyn Factory) {
    let setup = Setup::new(factory).await;
    let model: Arc<dyn Store> = Arc::new(MemoryDatabase::new().store());
    trace(Arc::clone(&setup.store), 31, 300).await;
    trace(Arc::clone(&model), 31, 300).await;
    let text = export(&*setup.store).await.unwrap();
    assert!(
        text.lines().count() > 200,
        "a trace in which little happens"
    );
    assert_eq!(text, export(&*model).await.unwrap());
}

/// One of many clients, and what it was told.
struct Client {
    number: u64,
    engine: Engine,
    dice: Dice,
    clock: Arc<AtomicU64>,
    log: ClientLog,
}

impl Client {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&mut self, tenant: TenantId, request_id: Uuid, called: u64, outcome: Seen) {
        let returned = (outcome != Seen::Unknown).then(|| self.tick());
        let client = self.number;
        self.log.push(Entry {
            client,
            tenant,
            request_id,
            called,
            returned,
            outcome,
        });
    }

    /// Sends one random command until there is an answer, and reads the tenant strongly.
    async fn command(&mut self, tenant: TenantId, name: &str, step: u64) {
        let command = match self.dice.command(tenant, name) {
            // A tenant that is gone would leave nothing to do.
            Command::Delete => Command::Suspend,
            other => other,
        };
        let request_id = Uuid::from_u64_pair(self.number + 1, step);
        let key = IdempotencyKey::new(
            "crowd",
            request_id.to_string(),
            fingerprint(&format!("{command:?}")),
            Duration::from_hours(1),
        );
        let request = Request {
            who: TenantRef::Id(tenant),
            command,
            context: context(request_id, step),
            if_revision: None,
            if_id: None,
            scope: crate::Selector::default(),
            key: Some(key.unwrap()),
            dry_run: false,
        };
        let called = self.tick();
        let mut outcome = Seen::Unknown;
        for _ in 0..20 {
            outcome = match self.engine.execute(&request).await {
                Ok(answer) => {
                    let Tenant { revision, hash, .. } = answer.tenant;
                    match answer.effect {
                        // Its first send was answered by a lost reply; its line says the rest.
                        _ if answer.replayed => Seen::Unknown,
                        Effect::Created | Effect::Changed => Seen::Acknowledged { revision, hash },
                        Effect::Unchanged => Seen::Read { revision },
                    }
                }
                Err(EngineError::Store(_)) => continue,
                Err(_) => Seen::Refused,
            };
            break;
        }
        self.note(tenant, request_id, called, outcome);
        let called = self.tick();
        let store = self.engine.shared_store();
        let read = store.get(&TenantRef::Id(tenant), Freshness::Strong).await;
        if let Ok(Some(record)) = read {
            let revision = record.tenant.revision;
            let read = Uuid::from_u64_pair(self.number + 1, step + 1_000_000);
            self.note(tenant, read, called, Seen::Read { revision });
        }
    }
}

fn context(request_id: Uuid, step: u64) -> Context {
    Context {
        at: start().plus(Duration::from_secs(step)),
        actor: "user:crowd".parse().unwrap(),
        request_id,
        message: Message::none(),
    }
}

/// Eight clients on six tenants, all at once: every promise to them must have been kept.
async fn crowd(setup: &Setup, seed: u64, percent: u8) {
    let clock = Arc::new(AtomicU64::new(1));
    let mut log = ClientLog::new();
    let mut ids = Vec::new();
    for n in 0..6 {
        let creation = setup.creation(setup.wanted(&format!("c{n}")));
        let (tenant, request_id) = (creation.tenant().id, creation.line().request_id);
        let called = clock.fetch_add(1, Ordering::SeqCst);
        let revision = applied(setup.store.commit(&creation).await);
        let outcome = Seen::Acknowledged {
            revision,
            hash: creation.line().hash,
        };
        let returned = Some(clock.fetch_add(1, Ordering::SeqCst));
        log.push(Entry {
            client: 0,
            tenant,
            request_id,
            called,
            returned,
            outcome,
        });
        ids.push(tenant);
    }
    let tasks: Vec<_> = (1..=8)
        .map(|number| {
            let store = Faulty::seeded(Arc::clone(&setup.store), seed * 100 + number, percent);
            let mut client = Client {
                number,
                engine: Engine::new(Arc::new(store)),
                dice: Dice::new(seed * 100 + number),
                clock: Arc::clone(&clock),
                log: ClientLog::new(),
            };
            let ids = ids.clone();
            async move {
                for step in 1..=25 {
                    let n = client.dice.below(ids.len());
                    client.command(ids[n], &format!("c{n}"), step).await;
                }
                client.log
            }
        })
        .collect();
    let walking = async {
        let query = Query {
            limit: PageSize::new(2).unwrap(),
            ..Query::default()
        };
        walk(&*setup.store, &query).await
    };
    let (logs, walked) = tokio::join!(together(tasks), walking);
    for client in logs {
        log.extend(client);
    }
    let acknowledged = log
        .entries()
        .iter()
        .filter(|e| matches!(e.outcome, Seen::Acknowledged { .. }))
        .count();
    assert!(
        acknowledged > 60,
        "only {acknowledged} changes were acknowledged"
    );

    let walked: Vec<TenantId> = walked.into_iter().map(|tenant| tenant.id).collect();
    let findings = pages(&walked, &ids.into_iter().collect());
    assert_eq!(findings, [], "seed {seed}");
    assert_eq!(judge(&*setup.store, &log).await, [], "seed {seed}");
}

/// What all validators find of a run that is over.
async fn judge(store: &dyn Store, log: &ClientLog) -> Vec<Finding> {
    let histories = histories(store).await.unwrap();
    let total = histories.values().map(Vec::len).sum();
    let read = whole_feed(store, total).await;
    let mut findings = [
        durable(log, &histories),
        once(log, &histories),
        no_ghost(log, &histories),
        linearizable(log, &histories),
        feed(&read, &histories, &BTreeMap::new()),
        feed_order(&read, log),
    ]
    .concat();
    let verified = verify_all(store, |progress| {
        findings.extend_from_slice(progress.findings);
    });
    assert_eq!(verified.await.unwrap().tenants, 6);
    findings
}

pub async fn p4_many_clients_at_once_could_have_come_one_by_one(factory: &dyn Factory) {
    crowd(&Setup::new(factory).await, 41, 0).await;
}

pub async fn p5_many_clients_through_faults_could_have_come_one_by_one(factory: &dyn Factory) {
    crowd(&Setup::new(factory).await, 51, 10).await;
}

/// A worker that takes whatever is due, does it, and sometimes dies with it.
async fn worker(number: u64, setup: Arc<Setup>, writing: Arc<AtomicU64>) -> Vec<SinkEntry> {
    let mut dice = Dice::new(number);
    let mut sink = Vec::new();
    let short = setup.short().await;
    loop {
        let done = writing.load(Ordering::SeqCst) == 0;
        let rooms = [Room {
            limit: 2,
            ..room(short)
        }];
        let holder = format!("worker-{number}");
        let leases = setup.store.claim(&holder, &rooms).await.unwrap();
        for lease in &leases {
            // The dead say nothing; their leases end, and others take over.
            if !done && dice.once_in(10) {
                continue;
            }
            let accepted = work(&setup, lease).await;
            let operation = Uuid::from_u64_pair(number, lease.fence.get());
            sink.push(SinkEntry {
                tenant: lease.tenant,
                fence: lease.fence,
                operation,
                accepted,
            });
        }
        if leases.is_empty() {
            let records = setup.store.list(&Query::default()).await.unwrap().items;
            let ids: Vec<TenantId> = records.iter().map(|tenant| tenant.id).collect();
            let records = setup.store.get_many(&ids).await.unwrap();
            if done && converge(&records).is_empty() {
                return sink;
            }
            // What is left is leased by the dead, or by a worker beside this one.
            if done && dice.once_in(4) {
                setup.pass(short / 4).await;
            }
            let classes = [ClassName::default()];
            setup.store.idle(&classes, Duration::from_millis(5)).await;
        }
    }
}

/// Lets whoever else is ready go first, for a while.
async fn stand_back(turns: u32) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Does the work of one lease; whether it was accepted.
async fn work(setup: &Setup, lease: &Lease) -> bool {
    let loaded = setup
        .store
        .load(&TenantRef::Id(lease.tenant), None)
        .await
        .unwrap();
    let mut tenant = loaded.record.unwrap().tenant;
    // The work takes a while; meanwhile, someone may want something else.
    stand_back(1_000).await;
    if tenant.is_at_rest() {
        return setup
            .store
            .release(lease, &Attempt::Clean, Wake::Never)
            .await
            .unwrap();
    }
    if tenant.state == State::Requested {
        let report = of(&tenant, Outcome::Started);
        match setup
            .engine
            .report(lease, &report, &setup.context(), false)
            .await
        {
            Ok(Reported::Written(begun)) => tenant = *begun,
            Ok(_) | Err(_) => return false,
        }
    }
    let message = Message::none();
    let done = Outcome::Succeeded {
        observed: None,
        resources: None,
        message,
    };
    let report = of(&tenant, done);
    let answer = setup
        .engine
        .report(lease, &report, &setup.context(), true)
        .await;
    matches!(answer, Ok(Reported::Written(_) | Reported::NoNews))
}

fn of(tenant: &Tenant, outcome: Outcome) -> Report {
    let Tenant {
        generation,
        running,
        ..
    } = *tenant;
    Report {
        operation: Operation::Apply,
        generation,
        running,
        outcome,
        steps: Vec::new(),
        policy: crate::Policy::default(),
        correction: crate::Correction::None,
    }
}

pub async fn p7_no_wake_up_is_lost_among_writers_and_dying_workers(factory: &dyn Factory) {
    let setup = Arc::new(Setup::new(factory).await);
    let mut ids = Vec::new();
    for n in 0..24 {
        ids.push(setup.create(&format!("t{n}")).await.id);
    }
    let writing = Arc::new(AtomicU64::new(4));
    let writers = (0..4).map(|number| {
        let (setup, writing, ids) = (Arc::clone(&setup), Arc::clone(&writing), ids.clone());
        async move {
            let mut dice = Dice::new(number);
            for _ in 0..24 {
                let id = *dice.pick(&ids);
                let commands = match dice.below(4) {
                    0 => vec![Command::Suspend],
                    1 => vec![Command::Resume],
                    2 => vec![super::patch("n", setup.tick())],
                    // Wakes the work of a tenant, though it may rest.
                    _ => vec![Command::Hold, Command::Release],
                };
                for command in commands {
                    let request = setup.request(TenantRef::Id(id), command);
                    setup.engine.execute(&request).await.unwrap();
                }
                stand_back(256).await;
            }
            writing.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let workers = (0..3).map(|number| worker(number, Arc::clone(&setup), Arc::clone(&writing)));
    let all = async { tokio::join!(together(writers), together(workers)) };
    let (_, sinks) = tokio::time::timeout(Duration::from_secs(30), all)
        .await
        .unwrap();
    // Who was first is known to the store alone, but no fence can have served two.
    let mut sink = sinks.concat();
    sink.sort_by_key(|entry| (entry.tenant, entry.fence));
    assert_eq!(fences(&sink), []);
    for id in ids {
        let tenant = setup.tenant(id).await;
        assert!(
            tenant.is_at_rest(),
            "{} is still {}",
            tenant.name,
            tenant.state
        );
    }
}
