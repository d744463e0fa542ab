//! Those who write and read while the server is killed, and write down what they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tenure::check::{Entry, Seen};
use tenure::{Line, Revision, TenantId};
use tenure_server::api::ChangesPage;
use tenure_server::api::tenants::wire::{TenantPage, TenantView};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::dice::Dice;
use super::support::PATIENCE;

/// How many names the clients share, so that they meet.
const NAMES: u64 = 20;

/// How long a client waits for an answer before it counts it as lost.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long a client waits before it sends again.
const PAUSE: Duration = Duration::from_millis(20);

/// What all clients of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    began: Instant,
    /// Where the server is, while there is one.
    pub(crate) address: watch::Sender<Option<String>>,
    acknowledged: watch::Sender<u64>,
    unknown: AtomicU64,
    stopped: watch::Sender<bool>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acknowledged = *self.acknowledged.borrow();
        let unknown = self.unknown.load(Ordering::Relaxed);
        let seconds = self.began.elapsed().as_secs_f32();
        write!(
            f,
            "{acknowledged} changes acknowledged and {unknown} answers lost after {seconds:.1} s"
        )
    }
}

impl Run {
    pub(crate) fn begin() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            address: watch::Sender::new(None),
            acknowledged: watch::Sender::new(0),
            unknown: AtomicU64::new(0),
            stopped: watch::Sender::new(false),
        })
    }

    /// Waits until this many more changes are acknowledged.
    pub(crate) async fn acknowledge_more(&self, more: u64) {
        let mut acknowledged = self.acknowledged.subscribe();
        let until = *acknowledged.borrow_and_update() + more;
        let reached = acknowledged.wait_for(|now| *now >= until);
        let reached = timeout(PATIENCE, reached).await.is_ok();
        assert!(reached, "the clients get nothing done: {self}");
    }

    /// Tells the writers to settle what they have sent, and to end.
    pub(crate) fn stop_writing(&self) {
        self.stopped.send_replace(true);
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    async fn server(&self) -> String {
        let mut address = self.address.subscribe();
        let there = address.wait_for(Option::is_some).await;
        there.ok().and_then(|there| there.clone()).unwrap()
    }

    /// The time that all clients go by.
    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }
}

type Http = Client<HttpConnector, Body>;

fn http() -> Http {
    // What was lost is sent again by the clients themselves, who write it down.
    Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http()
}

/// An answer.
struct Reply {
    status: StatusCode,
    effect: String,
    body: Value,
}

impl Reply {
    fn read<T: DeserializeOwned>(&self) -> T {
        T::deserialize(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a request; `None` if no answer came.
async fn ask(http: &Http, request: Request<Body>) -> Option<Reply> {
    let exchange = async {
        let (head, body) = http.request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let effect = head.headers.get("tenure-effect");
        Some(Reply {
            status: head.status,
            effect: effect.map_or_else(String::new, |word| word.to_str().unwrap().to_owned()),
            body: serde_json::from_slice(&body).unwrap(),
        })
    };
    timeout(ANSWER_MAX, exchange).await.ok().flatten()
}

/// One thing that a writer wants, under an id that stands in the message of its line.
#[derive(Debug)]
struct Intent {
    id: Uuid,
    method: Method,
    path: String,
    body: Option<Value>,
}

/// What a writer leaves behind.
pub(crate) struct Written {
    /// Its log, as JSON lines.
    pub(crate) log: PathBuf,
    /// What it was told to have been answered before.
    pub(crate) replayed: BTreeSet<Uuid>,
}

/// Wants one thing after the other, and sends each until it knows what became of it.
pub(crate) struct Writer {
    number: u64,
    intents: u64,
    dice: Dice,
    run: Arc<Run>,
    http: Http,
    log: File,
    written: Written,
}

impl Writer {
    pub(crate) fn new(number: u64, seed: u64, run: &Arc<Run>, folder: &Path) -> Self {
        let path = folder.join(format!("client-{number}.jsonl"));
        Self {
            number,
            intents: 0,
            dice: Dice::new(seed),
            run: Arc::clone(run),
            http: http(),
            log: File::create(&path).unwrap(),
            written: Written {
                log: path,
                replayed: BTreeSet::new(),
            },
        }
    }

    /// Writes until the run is stopped.
    pub(crate) async fn write(mut self) -> Written {
        while !self.run.is_stopped() {
            let intent = self.intent();
            self.settle(&intent).await;
        }
        self.written
    }

    fn intent(&mut self) -> Intent {
        self.intents += 1;
        let id = Uuid::from_u64_pair(self.number, self.intents);
        let name = format!("p2-{:02}", self.dice.below(NAMES));
        let plan = if self.dice.below(2) == 0 {
            "free"
        } else {
            "gold"
        };
        let desired = json!({"plan": plan, "seats": self.dice.below(50)});
        let (tenants, tenant) = ("/v1/tenants".to_owned(), format!("/v1/tenants/{name}"));
        let (method, path, body) = match self.dice.below(100) {
            0..15 => (
                Method::POST,
                tenants,
                Some(json!({"name": name, "desired": desired, "message": id})),
            ),
            15..45 => (
                Method::PUT,
                tenant,
                Some(json!({"desired": desired, "message": id})),
            ),
            45..70 => (
                Method::PATCH,
                tenant,
                Some(json!({"desired": {"seats": self.dice.below(50)}, "message": id})),
            ),
            70..78 => (
                Method::POST,
                tenant + "/suspend",
                Some(json!({"message": id})),
            ),
            78..86 => (
                Method::POST,
                tenant + "/resume",
                Some(json!({"message": id})),
            ),
            86..92 => (Method::DELETE, format!("{tenant}?message={id}"), None),
            _ => (Method::GET, tenant, None),
        };
        Intent {
            id,
            method,
            path,
            body,
        }
    }

    /// Sends until it is known what became of it.
    async fn settle(&mut self, intent: &Intent) {
        loop {
            let server = self.run.server().await;
            let mut entry = Entry {
                client: self.number,
                tenant: TenantId::new(Uuid::nil()),
                request_id: intent.id,
                called: self.run.micros(),
                returned: None,
                outcome: Seen::Unknown,
            };
            self.note(&entry);
            let reply = ask(&self.http, self.request(&server, intent)).await;
            if reply
                .as_ref()
                .is_some_and(|reply| reply.effect == "replayed")
            {
                self.written.replayed.insert(intent.id);
            }
            let Learned {
                outcome,
                tenant,
                settled,
            } = learn(intent, reply);
            if outcome == Seen::Unknown {
                self.run.unknown.fetch_add(1, Ordering::Relaxed);
            } else {
                entry.returned = Some(self.run.micros());
                entry.outcome = outcome;
                entry.tenant = tenant.unwrap_or(entry.tenant);
                self.note(&entry);
            }
            if settled {
                if matches!(outcome, Seen::Acknowledged { .. }) {
                    self.run.acknowledged.send_modify(|count| *count += 1);
                }
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Writes down, before it is sent and after it was answered, so that this survives any crash.
    fn note(&mut self, entry: &Entry) {
        writeln!(self.log, "{}", entry.to_json_line()).unwrap();
        self.log.sync_data().unwrap();
    }

    fn request(&self, server: &str, intent: &Intent) -> Request<Body> {
        let media = match intent.method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = intent.body.as_ref().map(Value::to_string);
        let mut request = Request::builder()
            .method(&intent.method)
            .uri(format!("{server}{}", intent.path))
            .header("tenure-actor", format!("user:client-{}", self.number));
        if intent.method != Method::GET {
            request = request.header("idempotency-key", intent.id.to_string());
        }
        if body.is_some() {
            request = request.header("content-type", media);
        }
        request
            .body(body.map_or_else(Body::empty, Body::from))
            .unwrap()
    }
}

/// What an answer tells.
struct Learned {
    outcome: Seen,
    tenant: Option<TenantId>,
    /// Whether there is nothing to be gained by sending it again.
    settled: bool,
}

fn learn(intent: &Intent, reply: Option<Reply>) -> Learned {
    let told = |outcome, settled| Learned {
        outcome,
        tenant: None,
        settled,
    };
    let Some(reply) = reply else {
        return told(Seen::Unknown, false);
    };
    if reply.status.is_success() {
        let TenantView { tenant, .. } = reply.read();
        let revision = tenant.revision;
        let outcome = match reply.effect.as_str() {
            // Whether what was answered before had changed anything is found out later.
            "created" | "changed" | "replayed" => Seen::Acknowledged {
                revision,
                hash: tenant.hash,
            },
            _ => Seen::Read { revision },
        };
        return Learned {
            outcome,
            tenant: Some(tenant.id),
            settled: true,
        };
    }
    match reply.body["code"].as_str().unwrap_or_default() {
        "tenant_not_found" | "tenant_exists" | "tenant_deleting" | "tenant_deleted" => {
            told(Seen::Refused, true)
        }
        "outcome_unknown" => told(Seen::Unknown, false),
        "deadline_exceeded" | "store_unavailable" | "store_closed" | "overloaded" | "contended" => {
            told(Seen::Refused, false)
        }
        _ => panic!("{intent:?} is answered {} {}", reply.status, reply.body),
    }
}

/// Follows the change feed, across all crashes, from its beginning.
pub(crate) struct Reader {
    run: Arc<Run>,
    http: Http,
    lines: Vec<Line>,
    /// The newest line of each tenant.
    newest: BTreeMap<TenantId, Line>,
}

impl Reader {
    pub(crate) fn new(run: &Arc<Run>) -> Self {
        Self {
            run: Arc::clone(run),
            http: http(),
            lines: Vec::new(),
            newest: BTreeMap::new(),
        }
    }

    /// Reads until the writers have stopped and all work has ended; all that it saw.
    pub(crate) async fn read(mut self) -> Vec<Line> {
        let mut next = None;
        loop {
            let after = next
                .as_ref()
                .map_or_else(String::new, |next| format!("&after={next}"));
            let path = format!("/v1/changes?page_size=500{after}");
            let Some(page) = self.get::<ChangesPage>(&path).await else {
                sleep(PAUSE).await;
                continue;
            };
            next = Some(page.next);
            if page.items.is_empty() {
                if self.run.is_stopped() && self.at_rest() && self.caught_up().await {
                    return self.lines;
                }
                sleep(PAUSE).await;
            }
            for line in page.items {
                self.newest.insert(line.tenant, line.clone());
                self.lines.push(line);
            }
        }
    }

    /// Whether no tenant has work left, as far as the feed says.
    fn at_rest(&self) -> bool {
        self.newest.values().all(|line| {
            let reached = line.observed_generation == line.generation;
            line.to.is_resting() && (reached || line.to == tenure::State::Deleted)
        })
    }

    /// Whether the feed has told everything that the list knows.
    async fn caught_up(&self) -> bool {
        let mut listed = BTreeMap::new();
        let mut token = String::new();
        loop {
            let path = format!("/v1/tenants?include_deleted=true&page_size=500{token}");
            let Some(page) = self.get::<TenantPage>(&path).await else {
                return false;
            };
            listed.extend(page.items.into_iter().map(|item| (item.id, item.revision)));
            match page.next {
                Some(next) => token = format!("&page_token={next}"),
                None => break,
            }
        }
        let told = |(id, line): (&TenantId, &Line)| (*id, line.revision);
        let told: BTreeMap<TenantId, Revision> = self.newest.iter().map(told).collect();
        told == listed
    }

    /// Reads; `None` if it can't be had now.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let server = self.run.server().await;
        let request = Request::get(format!("{server}{path}")).body(Body::empty());
        let reply = ask(&self.http, request.unwrap()).await?;
        match reply.status {
            StatusCode::OK => Some(reply.read()),
            StatusCode::SERVICE_UNAVAILABLE => None,
            status => panic!("{path} is answered {status} {}", reply.body),
        }
    }
}
