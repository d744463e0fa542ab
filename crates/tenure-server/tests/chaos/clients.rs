//! Clients that lead tenants through their lives, against whichever server answers.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tenure::{Revision, State, TenantId};
use tenure_server::api::tenants::wire::{TenantPage, TenantView};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::dice::Dice;

/// How long a client waits for an answer before it counts it as lost: a stopped server gives none.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a server is, while there is one.
pub(crate) type Address = Option<String>;

type Http = HttpClient<HttpConnector, Body>;

fn http() -> Http {
    // What was lost is sent again by the clients themselves.
    HttpClient::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http()
}

/// Where the servers are.
#[derive(Clone, Debug)]
pub(crate) struct Servers(Vec<watch::Sender<Address>>);

impl Servers {
    pub(crate) fn new(many: usize) -> Self {
        Self((0..many).map(|_| watch::Sender::new(None)).collect())
    }

    pub(crate) fn addresses(&self) -> &[watch::Sender<Address>] {
        &self.0
    }

    /// One of those that run, or are thought to.
    fn any(&self, dice: &mut Dice) -> Address {
        let running: Vec<String> = self.0.iter().filter_map(|a| a.borrow().clone()).collect();
        let which = usize::try_from(dice.next()).unwrap() % running.len().max(1);
        running.get(which).cloned()
    }

    /// Waits until each of so many tenants rests.
    pub(crate) async fn rest(&self, tenants: u64) {
        let (http, mut dice) = (http(), Dice::new(1));
        let resting = async |dice: &mut Dice| {
            let server = self.any(dice)?;
            let (mut resting, mut token) = (0, String::new());
            loop {
                let path = format!("{server}/v1/tenants?include_deleted=true&page_size=500{token}");
                let request = Request::get(path).body(Body::empty()).unwrap();
                let page: TenantPage =
                    serde_json::from_value(ask(&http, request).await?.body).ok()?;
                let rests = page.items.iter().filter(|item| {
                    let reached = item.observed_generation == item.generation;
                    item.state.is_resting() && (reached || item.state == State::Deleted)
                });
                resting += u64::try_from(rests.count()).unwrap();
                match page.next {
                    Some(next) => token = format!("&page_token={next}"),
                    None => return Some(resting),
                }
            }
        };
        while resting(&mut dice).await != Some(tenants) {
            sleep(PAUSE * 10).await;
        }
    }
}

/// An answer.
struct Reply {
    status: StatusCode,
    effect: String,
    body: Value,
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

/// What is to be asked for a tenant, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Update(u8),
    Suspend,
    Resume,
    Delete,
}

const STEPS: [Step; 6] = [
    Step::Create,
    Step::Update(1),
    Step::Update(2),
    Step::Suspend,
    Step::Resume,
    Step::Delete,
];

/// A tenant's life, as far as it was led.
#[derive(Debug)]
pub(crate) struct Life {
    number: u64,
    tenant: Option<TenantId>,
    next: usize,
    /// Without the last step, for those that are to stay.
    steps: usize,
    /// Whether each step waits until the one before is reached.
    patient: bool,
}

/// That a command was carried out.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) intent: Uuid,
    pub(crate) tenant: TenantId,
    pub(crate) revision: Revision,
}

/// What a tenant should be in the end.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) tenant: TenantId,
    /// Its plan, unless it is to be deleted.
    pub(crate) plan: Option<String>,
}

/// What a client leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) told: Vec<Told>,
    pub(crate) wanted: Vec<Wanted>,
    /// How many requests were sent again.
    pub(crate) repeats: u64,
}

impl Life {
    pub(crate) fn new(number: u64, deleted: bool, dice: &mut Dice) -> Self {
        Self {
            number,
            tenant: None,
            next: 0,
            steps: if deleted {
                STEPS.len()
            } else {
                STEPS.len() - 1
            },
            patient: dice.below(2) == 0,
        }
    }

    fn is_led(&self) -> bool {
        self.next == self.steps
    }

    fn path(&self) -> String {
        let tenant = self.tenant.map_or_else(String::new, |id| format!("/{id}"));
        format!("/v1/tenants{tenant}")
    }

    /// Each plan has a name of its own.
    fn plan(&self, version: u8) -> String {
        format!("t{}-v{version}", self.number)
    }

    /// The next command, under an id that stands in the message of its line.
    fn command(&self, intent: Uuid) -> (Method, String, Option<Value>) {
        let (path, said) = (self.path(), json!({"message": intent}));
        let desired = |version| json!({"plan": self.plan(version)});
        match STEPS[self.next] {
            Step::Create => {
                let name = format!("t{}", self.number);
                let body = json!({"name": name, "desired": desired(0), "message": intent});
                (Method::POST, path, Some(body))
            }
            Step::Update(version) => {
                let body = json!({"desired": desired(version), "message": intent});
                (
                    Method::PUT,
                    format!("/v1/tenants/t{}", self.number),
                    Some(body),
                )
            }
            Step::Suspend => (Method::POST, path + "/suspend", Some(said)),
            Step::Resume => (Method::POST, path + "/resume", Some(said)),
            Step::Delete => (Method::DELETE, format!("{path}?message={intent}"), None),
        }
    }
}

/// Leads some tenants through their lives, in no order.
pub(crate) struct Client {
    number: u64,
    intents: u64,
    lives: Vec<Life>,
    dice: Dice,
    servers: Servers,
    http: Http,
    written: Written,
}

impl Client {
    pub(crate) fn new(number: u64, lives: Vec<Life>, seed: u64, servers: &Servers) -> Self {
        Self {
            number,
            intents: 0,
            lives,
            dice: Dice::new(seed),
            servers: servers.clone(),
            http: http(),
            written: Written::default(),
        }
    }

    /// Goes on until all lives are led.
    pub(crate) async fn live(mut self) -> Written {
        while !self.lives.is_empty() {
            let which = usize::try_from(self.dice.next()).unwrap() % self.lives.len();
            let mut life = self.lives.swap_remove(which);
            if life.patient && life.next > 0 && !self.is_at_rest(&life).await {
                self.lives.push(life);
                sleep(PAUSE).await;
                continue;
            }
            self.lead(&mut life).await;
            if life.is_led() {
                let deleted = life.steps == STEPS.len();
                self.written.wanted.push(Wanted {
                    tenant: life.tenant.unwrap(),
                    plan: (!deleted).then(|| life.plan(2)),
                });
            } else {
                self.lives.push(life);
            }
        }
        self.written
    }

    /// Sends the next command until it is known to be carried out.
    async fn lead(&mut self, life: &mut Life) {
        self.intents += 1;
        let intent = Uuid::from_u64_pair(self.number, self.intents);
        let (method, path, body) = life.command(intent);
        loop {
            let Some(server) = self.servers.any(&mut self.dice) else {
                sleep(PAUSE).await;
                continue;
            };
            let request = Request::builder()
                .method(&method)
                .uri(format!("{server}{path}"))
                .header("content-type", "application/json")
                .header("idempotency-key", intent.to_string())
                .header("tenure-actor", format!("user:client-{}", self.number));
            let content = body.as_ref().map(Value::to_string);
            let content = content.map_or_else(Body::empty, Body::from);
            let reply = ask(&self.http, request.body(content).unwrap()).await;
            if let Some(tenant) = reply.and_then(|reply| read(&reply, life)) {
                let (id, revision) = (tenant.tenant.id, tenant.tenant.revision);
                let told = Told {
                    intent,
                    tenant: id,
                    revision,
                };
                self.written.told.push(told);
                life.tenant = Some(id);
                life.next += 1;
                return;
            }
            self.written.repeats += 1;
            sleep(PAUSE).await;
        }
    }

    async fn is_at_rest(&mut self, life: &Life) -> bool {
        let Some(server) = self.servers.any(&mut self.dice) else {
            return false;
        };
        let request = Request::get(format!("{server}{}", life.path()));
        let request = request.body(Body::empty()).unwrap();
        let tenant = ask(&self.http, request).await;
        let tenant = tenant.and_then(|reply| read(&reply, life));
        tenant.is_some_and(|view| view.tenant.is_at_rest())
    }
}

/// What an answer tells; `None` if the same must be sent again.
fn read(reply: &Reply, life: &Life) -> Option<TenantView> {
    if reply.status.is_success() {
        let effects = ["created", "changed", "replayed", ""];
        assert!(effects.contains(&reply.effect.as_str()), "{}", reply.effect);
        return Some(serde_json::from_value(reply.body.clone()).unwrap());
    }
    match reply.body["code"].as_str().unwrap_or_default() {
        "outcome_unknown" | "deadline_exceeded" | "store_unavailable" | "store_closed"
        | "overloaded" | "contended" => None,
        _ => panic!("{life:?} is answered {} {}", reply.status, reply.body),
    }
}
