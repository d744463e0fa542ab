//! Every write, failing at every point: what its caller is told, and that sending it again settles
//! it. The same for every store that has such points; other adapters include it with `#[path]`.

use std::fmt::Debug;
use std::time::Duration;

use tenure::check::verify_all;
use tenure::conformance::{
    Everything, Factory, Setup, fingerprint, key, patch, report, room, succeeded,
};
use tenure::{
    Advice, Attempt, Change, Commit, Effect, EngineError, Filter, IdempotencyKey, Lease, Operation,
    Outcome, PageSize, Query, Reported, Request, Result, Revision, Revoked, Role, State,
    StoreError, Sweep, Tenant, TenantRef, Token, Wake, Written,
};

const MINUTE: Duration = Duration::from_mins(1);

/// How often the engine sends a commit whose outcome stays unknown, and the first time.
const SENDS_OF_THE_ENGINE: usize = 7;

/// A kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Create,
    Update,
    Report,
    CommitMany,
    Remember,
    Claim,
    Renew,
    Release,
    Sweep,
    AddToken,
    RotateToken,
    RevokeToken,
    NoteTokenUses,
}

impl Write {
    pub(crate) const ALL: [Self; 13] = [
        Self::Create,
        Self::Update,
        Self::Report,
        Self::CommitMany,
        Self::Remember,
        Self::Claim,
        Self::Renew,
        Self::Release,
        Self::Sweep,
        Self::AddToken,
        Self::RotateToken,
        Self::RevokeToken,
        Self::NoteTokenUses,
    ];
}

/// A point at which a write can be made to fail.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) name: String,
    /// How often it is passed before it fails.
    pub(crate) spared: u32,
    /// Whether the write has happened when it fails.
    pub(crate) written: bool,
}

impl Point {
    /// Fails once.
    fn arm(&self) {
        let actions = match self.spared {
            0 => "1*return->off".to_owned(),
            spared => format!("{spared}*off->1*return->off"),
        };
        fail::cfg(&self.name, &actions).expect("these are actions");
    }

    /// Checks that it was passed and failed: what it was told is used up.
    fn fired(&self) {
        let left = fail::eval(&self.name, |_| ());
        assert_eq!(left, None, "{} was not passed", self.name);
        fail::remove(&self.name);
    }

    /// Checks what the first send was told.
    fn told<T: Debug>(&self, outcome: Result<T>) {
        let error = outcome.expect_err("the point fails");
        let (effect, advice) = if self.written {
            (Written::Unknown, Advice::Resolve)
        } else {
            (Written::No, Advice::Backoff)
        };
        assert_eq!(
            (error.effect(), error.advice()),
            (effect, advice),
            "{error}"
        );
    }

    /// Sends something that no engine resolves by itself, once, and checks that the store is left
    /// as it says.
    async fn send<T: Debug>(&self, setup: &Setup, call: impl Future<Output = Result<T>>) {
        let before = world(setup).await;
        self.arm();
        self.told(call.await);
        self.fired();
        if !self.written {
            assert_eq!(world(setup).await, before, "it says that it wrote nothing");
        }
    }

    /// Sends a request through the engine until it is settled; the first answer, and once more.
    async fn execute(&self, setup: &Setup, request: &Request, effect: Effect) -> Tenant {
        let before = world(setup).await;
        self.arm();
        let first = setup.engine.execute(request).await;
        self.fired();
        let answer = if self.written {
            first.expect("the engine resolves it")
        } else {
            let Err(EngineError::Store(error)) = first else {
                panic!("the engine hides that the store is in trouble: {first:?}")
            };
            self.told(Err::<(), _>(error));
            assert_eq!(world(setup).await, before, "it says that it wrote nothing");
            setup
                .engine
                .execute(request)
                .await
                .expect("the point is off")
        };
        assert_eq!(answer.effect, effect);
        let settled = world(setup).await;
        let again = setup.engine.execute(request).await.expect("it is settled");
        let first = tenure::Answer {
            replayed: true,
            ..answer.clone()
        };
        assert_eq!(again, first);
        assert_eq!(world(setup).await, settled, "asking again had an effect");
        let key = request.key.as_ref().expect("requests here have a key");
        stands_for(setup, key, &answer.tenant).await;
        answer.tenant
    }
}

/// Takes each write past each of its points, on a fresh database each time.
pub(crate) async fn walk(factory: &dyn Factory, points: impl Fn(Write) -> Vec<Point>) {
    for write in Write::ALL {
        for point in points(write) {
            let setup = Setup::new(factory).await;
            match write {
                Write::Create => create(&setup, &point).await,
                Write::Update => update(&setup, &point).await,
                Write::Report => report_and_release(&setup, &point).await,
                Write::CommitMany => commit_many(&setup, &point).await,
                Write::Remember => remember(&setup, &point).await,
                Write::Claim => claim(&setup, &point).await,
                Write::Renew => renew(&setup, &point).await,
                Write::Release => release(&setup, &point).await,
                Write::Sweep => sweep(&setup, &point).await,
                Write::AddToken
                | Write::RotateToken
                | Write::RevokeToken
                | Write::NoteTokenUses => token(&setup, &point, write).await,
            }
            sound(&setup).await;
            usable(&setup).await;
            sound(&setup).await;
            setup.store.close().await;
        }
    }
}

/// An outcome that stays unknown is told as such, and the same request settles it later.
pub(crate) async fn outlast_the_engine(factory: &dyn Factory, point: &Point) {
    let setup = Setup::new(factory).await;
    let request = keyed(
        &setup,
        "acme",
        "k",
        tenure::Command::Create(setup.wanted("acme")),
    );
    let actions = format!("{SENDS_OF_THE_ENGINE}*return->off");
    fail::cfg(&point.name, &actions).expect("these are actions");
    let Err(EngineError::Store(error)) = setup.engine.execute(&request).await else {
        panic!("the engine makes up an answer")
    };
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error:?}");
    point.fired();
    let again = setup
        .engine
        .execute(&request)
        .await
        .expect("the point is off");
    assert!(again.replayed);
    assert_eq!(again.effect, Effect::Created);
    assert_eq!(setup.history(again.tenant.id).await.len(), 1);
    sound(&setup).await;
}

async fn create(setup: &Setup, point: &Point) {
    let command = tenure::Command::Create(setup.wanted("acme"));
    let request = keyed(setup, "acme", "k", command);
    let made = point.execute(setup, &request, Effect::Created).await;
    assert_eq!(setup.tenant(made.id).await, made);
    assert_eq!(setup.history(made.id).await.len(), 1);
    assert!(
        setup.work(made.id).await.due_at.is_some(),
        "its work is due"
    );
}

async fn update(setup: &Setup, point: &Point) {
    let acme = setup.create("acme").await;
    let request = keyed(setup, "acme", "k", patch("plan", "gold"));
    let changed = point.execute(setup, &request, Effect::Changed).await;
    assert_eq!(changed.revision, acme.revision.next());
    assert_eq!(setup.tenant(acme.id).await, changed);
    assert_eq!(setup.history(acme.id).await.len(), 2);
}

async fn remember(setup: &Setup, point: &Point) {
    let acme = setup.create("acme").await;
    let acme = setup.command(&acme, &patch("plan", "gold")).await;
    let request = keyed(setup, "acme", "k", patch("plan", "gold"));
    let found = point.execute(setup, &request, Effect::Unchanged).await;
    assert_eq!(
        (found.revision, setup.history(acme.id).await.len()),
        (Revision::new(2), 2)
    );
}

async fn report_and_release(setup: &Setup, point: &Point) {
    let acme = setup.create("acme").await;
    let lease = setup.claim_one(acme.id, MINUTE).await;
    let started = report(&acme, Operation::Apply, Outcome::Started);
    let context = setup.context();
    let started = setup.engine.report(&lease, &started, &context, false).await;
    assert!(matches!(started, Ok(Reported::Written(_))), "{started:?}");
    let acme = setup.tenant(acme.id).await;
    let (done, context) = (succeeded(&acme, Operation::Apply), setup.context());
    let before = world(setup).await;
    let send = || setup.engine.report(&lease, &done, &context, true);

    point.arm();
    let first = send().await;
    point.fired();
    let reported = if point.written {
        first
    } else {
        let Err(EngineError::Store(error)) = first else {
            panic!("the engine hides that the store is in trouble: {first:?}")
        };
        point.told(Err::<(), _>(error));
        assert_eq!(world(setup).await, before, "it says that it wrote nothing");
        send().await
    };
    let Ok(Reported::Written(ready)) = reported else {
        panic!("the report should be written: {reported:?}")
    };
    assert_eq!(
        (ready.state, ready.revision),
        (State::Ready, Revision::new(3))
    );
    let settled = world(setup).await;
    assert_eq!(setup.history(acme.id).await.len(), 3);
    let work = setup.work(acme.id).await;
    assert_eq!(
        (work.holder, work.lease_until, work.routine),
        (None, None, true),
        "only a routine look is planned"
    );
    assert!(work.due_at.is_some());
    // The lease has ended with it, so sending it later still has no effect.
    let late = send().await;
    assert!(!matches!(late, Ok(Reported::Written(_))), "{late:?}");
    assert_eq!(
        world(setup).await,
        settled,
        "a report after its lease had an effect"
    );
}

/// Two changes of one tenant, and a third of another, all failing.
async fn commit_many(setup: &Setup, point: &Point) {
    let acme = setup.create("acme").await;
    let gold = setup.change(&acme, &patch("plan", "gold"));
    let silver = setup.change(gold.tenant(), &patch("plan", "silver"));
    let beta = setup.creation(setup.wanted("beta"));
    let keyed = |change: Change, name: &str| change.with_key(Some(key(name, "r")));
    let changes = [keyed(gold, "a"), keyed(silver, "b"), keyed(beta, "c")];
    let before = world(setup).await;
    fail::cfg(&point.name, "return").expect("these are actions");
    let first = setup.store.commit_many(&changes).await;
    fail::remove(&point.name);
    assert_eq!(first.len(), changes.len());
    for outcome in first {
        point.told(outcome);
    }
    if !point.written {
        assert_eq!(world(setup).await, before, "it says that it wrote nothing");
    }
    for _ in 0..2 {
        let again = setup.store.commit_many(&changes).await;
        for (change, outcome) in changes.iter().zip(again) {
            let revision = change.line().revision;
            assert_eq!(
                outcome.expect("the point is off"),
                Commit::Applied { revision }
            );
            stands_for(setup, change.key().expect("it has one"), change.tenant()).await;
        }
    }
    assert_eq!(setup.tenant(acme.id).await, *changes[1].tenant());
    assert_eq!(setup.history(acme.id).await.len(), 3);
    assert_eq!(setup.history(changes[2].tenant().id).await.len(), 1);
}

async fn claim(setup: &Setup, point: &Point) {
    let acme = setup.create("acme").await;
    let rooms = [room(MINUTE)];
    let call = setup.store.claim("lost", &rooms);
    point.send(setup, call).await;
    if point.written {
        let work = setup.work(acme.id).await;
        assert_eq!((work.holder.as_deref(), work.attempts), (Some("lost"), 1));
        let taken = setup.claim("w", MINUTE).await;
        assert!(taken.is_empty(), "two have the same work: {taken:?}");
        setup.pass(MINUTE).await;
    }
    let lease = setup.claim_one(acme.id, MINUTE).await;
    assert_eq!(lease.attempt, 1 + u32::from(point.written));
}

async fn renew(setup: &Setup, point: &Point) {
    let (lease, until) = leased(setup).await;
    point
        .send(setup, setup.store.renew(&lease, MINUTE * 5))
        .await;
    let now = setup
        .work(lease.tenant)
        .await
        .lease_until
        .expect("it is leased");
    assert_eq!(now > until, point.written, "{until} became {now}");
    let renewed = setup.store.renew(&lease, MINUTE * 5).await;
    let renewed = renewed
        .expect("the point is off")
        .expect("the lease is live");
    assert_eq!((renewed.fence, renewed.attempt), (lease.fence, 1));
    let now = setup.work(lease.tenant).await.lease_until;
    assert_eq!(now, Some(renewed.until));
}

async fn release(setup: &Setup, point: &Point) {
    let (lease, _) = leased(setup).await;
    let call = || {
        setup
            .store
            .release(&lease, &Attempt::Clean, Wake::After(MINUTE))
    };
    point.send(setup, call()).await;
    let live = call().await.expect("the point is off");
    assert_eq!(live, !point.written, "whether it was still to be released");
    let work = setup.work(lease.tenant).await;
    assert_eq!((work.holder, work.attempts), (None, 0));
    assert!(work.due_at.is_some(), "the next attempt is planned");
    assert!(!call().await.expect("it works"), "it was released twice");
}

async fn sweep(setup: &Setup, point: &Point) {
    let short = IdempotencyKey::new("conformance", "short", fingerprint("r"), MINUTE);
    let short = short.expect("a good key");
    let change = setup.creation(setup.wanted("acme"));
    setup.write(&change.with_key(Some(short))).await;
    setup.create("beta").await;
    setup.pass(MINUTE * 2).await;
    let all = Sweep {
        batch: PageSize::MAX,
        feed_retention: Some(MINUTE),
    };
    point.send(setup, setup.store.sweep(all)).await;
    let rest = setup.store.sweep(all).await.expect("the point is off");
    assert!(rest > 0 || point.written, "nothing was swept");
    assert_eq!(setup.store.sweep(all).await.expect("it works"), 0);
    let lines = setup.feed().await;
    assert!(
        lines.is_empty(),
        "old changes are still in the feed: {lines:?}"
    );
}

/// A write of a token: sent twice, it has one effect.
async fn token(setup: &Setup, point: &Point, write: Write) {
    setup.create("acme").await;
    let now = setup.context().at;
    let one = Token {
        name: "one".parse().expect("a good name"),
        role: Role::Viewer,
        classes: [].into(),
        scope: tenure::Selector::default(),
        hash: fingerprint("one"),
        previous: None,
        created_at: now,
        created_by: "user:maria".parse().expect("a good actor"),
        expires_at: None,
        last_used_at: None,
        revoked: None,
    };
    let (store, name) = (&setup.store, &one.name);
    if write != Write::AddToken {
        assert!(store.add_token(&one).await.expect("it works"));
    }
    let revoked = Revoked {
        revoked_at: now,
        revoked_by: one.created_by.clone(),
    };
    let (hash, uses) = (fingerprint("another"), [(name.clone(), now)]);
    let send = async || match write {
        Write::AddToken => store.add_token(&one).await.map(drop),
        Write::RotateToken => store
            .rotate_token(name, (&one.hash, &hash), Some(now))
            .await
            .map(drop),
        Write::RevokeToken => store.revoke_token(name, &revoked).await.map(drop),
        _ => store.note_token_uses(&uses).await,
    };
    let found = async || store.token(name).await.expect("reading works");
    let before = found().await;
    point.send(setup, send()).await;
    let after = found().await;
    assert_eq!(after != before, point.written, "{write:?}");
    send().await.expect("the point is off");
    let settled = found().await;
    assert_ne!(settled, before);
    if point.written {
        assert_eq!(settled, after, "sending {write:?} again had an effect");
    }
    send().await.expect("the point is off");
    assert_eq!(
        found().await,
        settled,
        "sending {write:?} again had an effect"
    );
}

/// A claim on a new tenant's work, and until when it runs.
async fn leased(setup: &Setup) -> (Lease, tenure::Timestamp) {
    let acme = setup.create("acme").await;
    let lease = setup.claim_one(acme.id, MINUTE).await;
    let until = lease.until;
    (lease, until)
}

fn keyed(setup: &Setup, who: &str, name: &str, command: tenure::Command) -> Request {
    let who = TenantRef::Name(who.parse().expect("a good name"));
    Request {
        key: Some(key(name, "request")),
        ..setup.request(who, command)
    }
}

/// Checks that a key leads to what it was used for.
async fn stands_for(setup: &Setup, key: &IdempotencyKey, tenant: &Tenant) {
    let who = TenantRef::Id(tenant.id);
    let loaded = setup.store.load(&who, Some((&key.scope, &key.key))).await;
    let prior = loaded
        .expect("loading works")
        .prior
        .expect("the key was used");
    let found = (prior.tenant, prior.revision, prior.fingerprint);
    assert_eq!(found, (tenant.id, tenant.revision, key.fingerprint));
}

/// All that can be seen of all tenants.
async fn world(setup: &Setup) -> Vec<Everything> {
    let query = Query {
        filter: Filter {
            include_deleted: true,
            ..Filter::default()
        },
        limit: PageSize::MAX,
        ..Query::default()
    };
    let page = setup.store.list(&query).await.expect("listing works");
    let mut all = Vec::new();
    for tenant in page.items {
        all.push(setup.everything(tenant.id).await);
    }
    all
}

/// Nothing is wrong with what is stored.
async fn sound(setup: &Setup) {
    let mut findings = Vec::new();
    let verified = verify_all(&*setup.store, |progress| {
        findings.extend(progress.findings.iter().map(ToString::to_string));
    });
    assert!(verified.await.expect("reading works").tenants > 0);
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The next ones are served as if nothing had been.
async fn usable(setup: &Setup) {
    let request = keyed(
        setup,
        "later",
        "later",
        tenure::Command::Create(setup.wanted("later")),
    );
    let later = setup
        .engine
        .execute(&request)
        .await
        .expect("the store is usable");
    assert_eq!(later.effect, Effect::Created);
    let request = keyed(setup, "later", "suspend", tenure::Command::Suspend);
    let later = setup
        .engine
        .execute(&request)
        .await
        .expect("the store is usable");
    assert_eq!(
        (later.effect, later.tenant.revision),
        (Effect::Changed, Revision::new(2))
    );
    let leases = setup.claim("later", MINUTE).await;
    let its = leases.iter().find(|lease| lease.tenant == later.tenant.id);
    let lease = its.expect("its work is due");
    let released = setup
        .store
        .release(lease, &Attempt::Returned, Wake::Now)
        .await;
    assert!(released.expect("the store is usable"));
}
