//! A server to speak HTTP to, over every store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tenure::conformance::{MemoryStore, report, room, succeeded};
use tenure::{
    Clock, Context, Correction, Engine, Message, Operation, Outcome, Room, State, Store,
    SystemClock, Tenant, TenantId, TenantRef,
};
use tenure_server::api::{self, ApiOptions, ApiState};
use tenure_server::ids::{IdSource, SystemIds};
use tenure_server::server::{self, ConnectionLimits, Exposure, ListenError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::described;

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) api: ApiState,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), ListenError>>,
    /// What workers of the tests take the time from.
    pub(crate) clock: Arc<dyn Clock>,
    /// What workers of the tests take the ids of their requests from.
    pub(crate) ids: Arc<dyn IdSource>,
    /// Whether the store is broken on purpose, and says what none would in its place.
    pub(crate) broken: bool,
    pub(crate) client: Client<HttpConnector, Body>,
}

/// A store in memory, for what does not depend on the store.
pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Arc::new(SystemClock)))
}

impl Server {
    /// Serves a store as a user would, with limits of the test's choice.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        options: ApiOptions,
        limits: ConnectionLimits,
    ) -> Self {
        let api = ApiState::new(Engine::new(Arc::clone(&store)), options);
        Self::start_with(store, api, limits).await
    }

    /// Serves an API over a store that the test has too.
    pub(crate) async fn start_with(
        store: Arc<dyn Store>,
        api: ApiState,
        limits: ConnectionLimits,
    ) -> Self {
        let listener: TcpListener =
            server::listen("127.0.0.1:0".parse().unwrap(), Exposure::Loopback)
                .await
                .unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = server::serve(listener, api::router(api.clone()), limits, shutdown.clone());
        Self {
            store,
            api,
            address,
            shutdown,
            served: tokio::spawn(serving),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            broken: false,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Serves a store in memory with the usual limits.
    pub(crate) async fn usual() -> Self {
        Self::start(memory(), ApiOptions::default(), ConnectionLimits::default()).await
    }

    /// A request, yet to be sent.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let method: Method = method.parse().unwrap();
        Ask {
            server: self,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask("POST", path).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.ask("PUT", path).json(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.ask("PATCH", path).json(body).send().await
    }

    /// Creates a tenant of this name, and nothing more.
    pub(crate) async fn create(&self, name: &str) -> Reply {
        let body = serde_json::json!({"name": name, "desired": {"plan": "gold"}});
        let reply = self.post("/v1/tenants", body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply
    }

    /// A connection to write to by hand.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What a worker says of itself.
    fn worker(&self) -> Context {
        Context {
            at: self.clock.now(),
            actor: "worker:test".parse().unwrap(),
            request_id: self.ids.fresh(),
            message: Message::none(),
        }
    }

    /// Does all the work that a tenant has, as a worker would, until it rests.
    pub(crate) async fn work_off(&self, id: TenantId) -> Tenant {
        let engine = Engine::new(Arc::clone(&self.store));
        let context = self.worker();
        let who = TenantRef::Id(id);
        let found = self.store.get(&who, tenure::Freshness::Primary).await;
        let rooms = [Room {
            class: found.unwrap().unwrap().tenant.class,
            ..room(Duration::from_mins(1))
        }];
        loop {
            let leases = self.store.claim("test", &rooms).await;
            for lease in leases.unwrap() {
                let who = TenantRef::Id(lease.tenant);
                let tenant = self.store.get(&who, tenure::Freshness::Primary).await;
                let tenant = tenant.unwrap().unwrap().tenant;
                let operation = match tenant.state {
                    State::Deleting => Operation::Destroy,
                    _ => Operation::Apply,
                };
                let started = report(&tenant, operation, Outcome::Started);
                engine
                    .report(&lease, &started, &context, false)
                    .await
                    .unwrap();
                let done = succeeded(&tenant, operation);
                engine.report(&lease, &done, &context, true).await.unwrap();
            }
            let found = self
                .store
                .get(&TenantRef::Id(id), tenure::Freshness::Primary)
                .await;
            let tenant = found.unwrap().unwrap().tenant;
            if tenant.is_at_rest() {
                return tenant;
            }
        }
    }

    /// Has a worker look at a tenant that rests, which reports what it has seen.
    pub(crate) async fn look(&self, id: TenantId, seen: Value, correction: Correction) -> Tenant {
        // What rests is due later; letting go of it makes it due now.
        for verb in ["hold", "release"] {
            let path = format!("/v1/tenants/{id}/{verb}");
            self.ask("POST", &path).send().await.expect(200);
        }
        let rooms = [room(Duration::from_mins(1))];
        let claim = self.store.claim("test", &rooms);
        let leases = claim.await.unwrap();
        let lease = leases.iter().find(|lease| lease.tenant == id).unwrap();
        let who = TenantRef::Id(id);
        let fresh = tenure::Freshness::Primary;
        let tenant = self.store.get(&who, fresh).await.unwrap().unwrap().tenant;
        let mut report = succeeded(&tenant, Operation::Observe);
        if let Outcome::Succeeded { observed, .. } = &mut report.outcome {
            *observed = Some(tenure::Document::from_value(&seen).unwrap());
        }
        report.policy.drift.mode = match correction {
            Correction::None => tenure::DriftMode::Observe,
            _ => tenure::DriftMode::Correct,
        };
        report.correction = correction;
        let context = self.worker();
        let engine = Engine::new(Arc::clone(&self.store));
        engine.report(lease, &report, &context, true).await.unwrap();
        self.store.get(&who, fresh).await.unwrap().unwrap().tenant
    }

    /// Stops the server, after which nothing of it runs, and checks every tenant.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.served.await.unwrap().unwrap();
        self.api.finish().await;
        let mut findings = Vec::new();
        tenure::check::verify_all(&*self.store, |progress| {
            findings.extend(progress.findings.iter().map(ToString::to_string));
        })
        .await
        .unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
        self.store.close().await;
    }
}

/// A request, yet to be sent.
pub(crate) struct Ask<'a> {
    server: &'a Server,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// With a JSON body, of the type that the method takes.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that a test can write it in place"
    )]
    pub(crate) fn json(self, body: Value) -> Self {
        let media = match self.method.as_str() {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.header("content-type", media).raw(body.to_string())
    }

    pub(crate) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) async fn send(self) -> Reply {
        let (status, headers, body) = self.sent().await;
        Reply::new(status, headers, &body)
    }

    /// Sends it, and reads the answer as lines of JSON.
    pub(crate) async fn lines(self) -> Vec<Value> {
        let (status, headers, body) = self.sent().await;
        assert_eq!(status, 200, "{body:?}");
        assert_eq!(headers["content-type"], "application/x-ndjson");
        let lines = body.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// Sends it, and reads the answer as a page for people.
    pub(crate) async fn page(self) -> (u16, String) {
        let (status, headers, body) = self.sent().await;
        let media = headers["content-type"].to_str().unwrap();
        assert!(media.starts_with("text/html"), "{media}");
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Sends it, and gives the answer as it came.
    pub(crate) async fn packed(self) -> (HeaderMap, Bytes) {
        let (_, headers, body) = self.sent().await;
        (headers, body)
    }

    async fn sent(self) -> (u16, HeaderMap, Bytes) {
        let url = format!("http://{}{}", self.server.address, self.path);
        let mut request = Request::builder().method(self.method.clone()).uri(url);
        request.headers_mut().unwrap().extend(self.headers);
        let request = request
            .body(self.body.map_or_else(Body::empty, Body::from))
            .unwrap();
        let response = self.server.client.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let status = head.status.as_u16();
        if !head.headers.contains_key("content-encoding") {
            let asked = described::Asked {
                method: &self.method,
                path: &self.path,
                broken: self.server.broken,
            };
            described::check(&asked, status, &head.headers, &body);
        }
        (status, head.headers, body)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// Takes an answer, and checks what must hold of every one.
    pub(crate) fn new(status: u16, headers: HeaderMap, body: &[u8]) -> Self {
        let body: Value = match body {
            b"" => Value::Null,
            text if headers["content-type"]
                .as_bytes()
                .starts_with(b"text/plain") =>
            {
                String::from_utf8_lossy(text).into()
            }
            body => serde_json::from_slice(body).unwrap(),
        };
        let reply = Self {
            status,
            headers,
            body,
        };
        let id = reply.header("tenure-request-id");
        assert!(!id.is_empty(), "an answer without an id: {reply:?}");
        if status >= 400 {
            assert_eq!(
                reply.header("content-type"),
                "application/problem+json",
                "{reply:?}"
            );
            assert_eq!(reply.body["status"], status, "{reply:?}");
            assert_eq!(reply.body["instance"], format!("urn:uuid:{id}"));
            for member in ["type", "code", "title", "detail"] {
                assert!(reply.body[member].is_string(), "no {member}: {reply:?}");
            }
        }
        reply
    }

    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The revision that the answer's `ETag` names, if it names that of its tenant.
    pub(crate) fn revision(&self) -> u64 {
        let tag = self.header("etag").trim_matches('"');
        let (revision, id) = tag.split_once('.').unwrap();
        assert!(self.body["id"].is_null() || self.body["id"] == id, "{tag}");
        revision.parse().unwrap()
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    pub(crate) fn id(&self) -> TenantId {
        self.text("id").parse().unwrap()
    }

    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member}: {self:?}"))
    }

    /// One member of each item on a page.
    pub(crate) fn items(&self, member: &str) -> Vec<String> {
        let items = self.body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no items: {self:?}"));
        let text = |item: &Value| match &item[member] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        items.iter().map(text).collect()
    }

    /// The same answer, once it is known to be of this status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The same answer, once it is known to be this problem.
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
        self
    }
}
