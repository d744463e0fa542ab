//! Endpoints that answer, misbehave, or are somewhere they should not be: each has its own reason.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tempfile::TempDir;
use tenure::{
    Change, Clock as _, Command, Context, Decision, Document, Fence, Message, Operation,
    SystemClock, TenantId, Wanted, decide,
};
use tenure_server::ids::{IdSource as _, SystemIds};
use tenure_server::provisioner::{
    Answer, CONTRACT, Call, Failure, HttpOptions, HttpProvisioner, Progress, Provisioner,
    SecretSources, SigningSecret,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Far more than any run here needs: a run that hangs fails its test instead of stopping all.
const PATIENCE: Duration = Duration::from_mins(1);

const SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

type Part = Result<Bytes, std::io::Error>;

/// A response's body, which a test says piece by piece.
struct Told(mpsc::UnboundedReceiver<Part>);

impl Body for Told {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let part = self.0.poll_recv(poller);
        part.map(|part| part.map(|part| part.map(Frame::data)))
    }
}

/// What an endpoint was sent.
struct Sent {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// A line of an answer to this.
    fn line(&self, result: &str, fields: &Value) -> String {
        let mut line = json!({
            "contract": CONTRACT, "operation_id": self.json()["operation_id"], "result": result,
        });
        let fields = fields.as_object().unwrap().clone();
        line.as_object_mut().unwrap().extend(fields);
        format!("{line}\n")
    }
}

/// A response in the making: its body ends when all of its senders are gone.
struct Reply {
    response: Response<Told>,
    body: mpsc::UnboundedSender<Part>,
}

impl Reply {
    fn new(status: u16, content_type: &str) -> Self {
        let (body, told) = mpsc::unbounded_channel();
        let response = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(Told(told))
            .unwrap();
        Self { response, body }
    }

    fn json(status: u16, text: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json").say(text)
    }

    fn say(self, text: impl Into<Bytes>) -> Self {
        self.body.send(Ok(text.into())).unwrap();
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().unwrap();
        self.response.headers_mut().insert(name, value);
        self
    }

    /// Breaks the connection.
    fn broken(self) -> Self {
        let error = std::io::Error::other("broken by the test");
        self.body.send(Err(error)).unwrap();
        self
    }
}

/// A server on loopback, and what it was sent.
struct Endpoint {
    port: u16,
    sent: Arc<Mutex<Vec<Arc<Sent>>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Endpoint {
    /// Answers the request of this number, counted from 0.
    async fn serve(answer: impl Fn(usize, &Sent) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve_by(None, answer).await
    }

    async fn serve_by(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(usize, &Sent) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (answer, all) = (Arc::new(answer), Arc::clone(&sent));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                let tls = tls.clone();
                tokio::spawn(async move {
                    let Some(tls) = tls else {
                        return converse(stream, answer, all).await;
                    };
                    // A client that does not trust the certificate hangs up.
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, answer, all).await;
                    }
                });
            }
        });
        Self {
            port,
            sent,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    fn sent(&self) -> Vec<Arc<Sent>> {
        self.sent.lock().unwrap().clone()
    }

    fn options(&self) -> HttpOptions {
        HttpOptions {
            url: format!("http://127.0.0.1:{}/tenants?token=private", self.port),
            signing_secret: Some(SigningSecret::parse(SECRET).unwrap()),
            deadline: PATIENCE,
            allow_private_addresses: true,
            ca_file: None,
            secrets: SecretSources::default(),
        }
    }

    async fn run(&self) -> Answer {
        run(self.options(), &call(r#"{"plan":"gold"}"#)).await
    }

    async fn fails(&self, reason: &str, says: &str) -> Failure {
        expect_failure(self.run().await, reason, says)
    }
}

/// Answers the requests of one connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    answer: Arc<impl Fn(usize, &Sent) -> Reply + Send + Sync>,
    all: Arc<Mutex<Vec<Arc<Sent>>>>,
) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| async {
        let (head, body) = request.into_parts();
        let sent = Arc::new(Sent {
            method: head.method,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        });
        let mut all = all.lock().unwrap();
        all.push(Arc::clone(&sent));
        Ok::<_, hyper::Error>(answer(all.len() - 1, &sent).response)
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // It ends with an error wherever a test breaks it.
    drop(connection.await);
}

fn expect_failure(answer: Answer, reason: &str, says: &str) -> Failure {
    let Answer::Failed(failure) = answer else {
        panic!("{answer:?} instead of {reason}")
    };
    assert_eq!(failure.reason.as_str(), reason, "{}", failure.message);
    let message = failure.message.as_str();
    assert!(message.contains(says), "{message}");
    assert!(!message.contains("private\""), "{message}");
    assert!(!message.contains("token="), "{message}");
    assert!(!failure.permanent);
    failure
}

async fn run(options: HttpOptions, call: &Call) -> Answer {
    let (progress, _told) = watch::channel(Progress::default());
    let provisioner = HttpProvisioner::new(options).unwrap();
    let stop = CancellationToken::new();
    let run = provisioner.run(call, &progress, &stop);
    timeout(PATIENCE, run).await.expect("the run ends")
}

fn call(desired: &str) -> Call {
    let context = Context {
        at: SystemClock.now(),
        actor: "user:test".parse().unwrap(),
        request_id: SystemIds.fresh(),
        message: Message::none(),
    };
    let wanted = Wanted {
        id: TenantId::new(SystemIds.fresh()),
        name: "acme".parse().unwrap(),
        class: None,
        labels: None,
        annotations: None,
        desired: Document::parse(desired).unwrap(),
        running: None,
    };
    let Decision::Change(change) = decide(None, &Command::Create(wanted), &context) else {
        panic!("a tenant can be created")
    };
    Call {
        operation: Operation::Apply,
        tenant: Change::tenant(&change).clone(),
        fence: Fence::new(7),
    }
}

fn done(sent: &Sent) -> String {
    sent.line(
        "done",
        &json!({"observed": {"plan": "gold"}, "message": "made"}),
    )
}

#[tokio::test]
async fn a_request_is_signed_and_its_answer_is_taken() {
    let endpoint = Endpoint::serve(|_, sent| Reply::json(200, done(sent))).await;
    let answer = endpoint.run().await;
    let Answer::Done {
        observed, message, ..
    } = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(observed.unwrap().as_str(), r#"{"plan":"gold"}"#);
    assert_eq!(message.as_str(), "made");
    let all = endpoint.sent();
    let [sent] = all.as_slice() else {
        panic!("{} requests", all.len())
    };
    assert_eq!(sent.method, Method::POST);
    assert_eq!(sent.header("content-type"), "application/json");
    Webhook::new(SECRET)
        .unwrap()
        .verify(&sent.body, &sent.headers)
        .unwrap();
    let request = sent.json();
    assert_eq!(request["desired"], json!({"plan": "gold"}));
    assert_eq!(sent.header("webhook-id"), request["operation_id"]);
}

#[tokio::test]
async fn progress_counts_as_it_comes() {
    let (open, mut opened) = mpsc::unbounded_channel();
    let endpoint = Endpoint::serve(move |_, sent| {
        let reply = Reply::new(200, "application/x-ndjson; charset=utf-8");
        let first = json!({"message": "half", "steps": [{"name": "a", "state": "running"}]});
        // A line may come in pieces.
        let (line, last) = (
            sent.line("progress", &first),
            sent.line("done", &json!({"steps": [{"name": "a", "state": "done"}]})),
        );
        let (head, tail) = line.split_at(10);
        let reply = reply.say(head.to_owned()).say(tail.to_owned());
        drop(open.send((reply.body.clone(), last)));
        reply
    })
    .await;
    let (progress, mut told) = watch::channel(Progress::default());
    let provisioner = HttpProvisioner::new(endpoint.options()).unwrap();
    let (call, stop) = (call("{}"), CancellationToken::new());
    let watching = async {
        let (body, last) = opened.recv().await.unwrap();
        told.changed().await.unwrap();
        let seen = told.borrow_and_update().clone();
        body.send(Ok(last.into())).unwrap();
        seen
    };
    let both = async { tokio::join!(provisioner.run(&call, &progress, &stop), watching) };
    let (answer, seen) = timeout(PATIENCE, both).await.unwrap();
    assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    assert_eq!(seen.message.as_str(), "half");
    assert_eq!(seen.steps.first().unwrap().state.as_str(), "running");
    let last = told.borrow().clone();
    assert_eq!(last.steps.first().unwrap().state.as_str(), "done");
    assert_eq!((last.steps.len(), last.message.as_str()), (1, "half"));
}

#[tokio::test]
async fn trouble_is_tried_again_under_one_id() {
    let endpoint = Endpoint::serve(|n, sent| match n {
        0 => Reply::json(500, "oops"),
        1 => Reply::json(429, "").header("retry-after", "0"),
        2 => Reply::json(200, "{").broken(),
        _ => Reply::json(200, done(sent)),
    })
    .await;
    let answer = endpoint.run().await;
    assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    let sent = endpoint.sent();
    assert_eq!(sent.len(), 4);
    let webhook = Webhook::new(SECRET).unwrap();
    for one in &sent {
        webhook.verify(&one.body, &one.headers).unwrap();
        assert_eq!(one.header("webhook-id"), sent[0].header("webhook-id"));
    }
}

#[tokio::test]
async fn trouble_that_lasts_ends_before_a_wait_that_is_too_long() {
    let endpoint =
        Endpoint::serve(|_, _| Reply::json(503, "full").header("retry-after", "900")).await;
    let failure = endpoint
        .fails(
            "EndpointUnavailable",
            "in 1 tries: it answered 503 Service Unavailable: full",
        )
        .await;
    assert_eq!(failure.retry_after, Some(Duration::from_mins(15)));
    assert_eq!(endpoint.sent().len(), 1);

    let date = Endpoint::serve(|_, _| {
        Reply::json(503, "").header("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT")
    });
    let failure = date.await.fails("EndpointUnavailable", "503").await;
    assert_eq!(failure.retry_after, Some(Duration::from_hours(24)));

    let mut options = endpoint.options();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    options.url = format!("http://{}/", listener.local_addr().unwrap());
    options.deadline = Duration::from_millis(500);
    drop(listener);
    let answer = run(options, &call("{}")).await;
    expect_failure(answer, "EndpointUnavailable", "refused");
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    for (status, says) in [
        (
            401,
            "answered 401 Unauthorized: who are you; correct the endpoint",
        ),
        (404, "404"),
        (202, "only 200 with an answer counts"),
        (204, "answered 204"),
    ] {
        let endpoint = Endpoint::serve(move |_, _| {
            let reply = Reply::new(status, "text/plain");
            if status == 204 {
                reply
            } else {
                reply.say("who are you")
            }
        })
        .await;
        endpoint.fails("EndpointRefused", says).await;
        assert_eq!(endpoint.sent().len(), 1);
    }
    let endpoint = Endpoint::serve(|_, _| Reply::json(400, "long ".repeat(10_000))).await;
    let failure = endpoint.fails("EndpointRefused", "long long").await;
    assert!(failure.message.as_str().len() < 600);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let endpoint = Endpoint::serve(|_, _| {
        Reply::json(307, "").header("location", "http://169.254.169.254/meta")
    })
    .await;
    endpoint
        .fails("EndpointRedirects", "http://169.254.169.254/meta")
        .await;
    assert_eq!(endpoint.sent().len(), 1);
}

#[tokio::test]
async fn a_private_address_is_refused_unless_it_is_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint::serve(|_, sent| Reply::json(200, done(sent))).await;
    for host in [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "10.1.2.3",
    ] {
        let mut options = endpoint.options();
        options.url = format!("https://{host}:{port}/?token=private");
        options.allow_private_addresses = false;
        let answer = run(options, &call("{}")).await;
        expect_failure(answer, "EndpointRefusedAddress", "allow_private_addresses");
    }
    // Nobody knocked.
    let knock = std::future::poll_fn(|poller| Poll::Ready(listener.poll_accept(poller).is_ready()));
    assert!(!knock.await);
}

#[tokio::test]
async fn an_answer_that_does_not_end_meets_the_deadline() {
    let (open, _opened) = mpsc::unbounded_channel();
    let endpoint = Endpoint::serve(move |_, sent| {
        let reply = Reply::new(200, "application/x-ndjson").say(done(sent));
        drop(open.send(reply.body.clone()));
        reply
    })
    .await;
    let mut options = endpoint.options();
    options.deadline = Duration::from_millis(400);
    let answer = run(options, &call("{}")).await;
    expect_failure(answer, "DeadlineExceeded", "raise deadline_seconds");
}

#[tokio::test]
async fn p6_a_run_that_is_stopped_lets_go_and_gives_no_result() {
    let (open, mut opened) = mpsc::unbounded_channel();
    let endpoint = Endpoint::serve(move |_, sent| {
        let reply = Reply::new(200, "application/x-ndjson").say(sent.line("progress", &json!({})));
        drop(open.send(reply.body.clone()));
        reply
    })
    .await;
    let provisioner = HttpProvisioner::new(endpoint.options()).unwrap();
    let (progress, _told) = watch::channel(Progress::default());
    let (call, stop) = (call("{}"), CancellationToken::new());
    let stopping = async {
        let body = opened.recv().await.unwrap();
        stop.cancel();
        // The connection is closed, so the body has no reader any more.
        body.closed().await;
    };
    let both = async { tokio::join!(provisioner.run(&call, &progress, &stop), stopping) };
    let (answer, ()) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(answer, Answer::Stopped);
}

#[tokio::test]
async fn p11_a_flood_is_cut() {
    for content_type in ["application/json", "application/x-ndjson"] {
        let endpoint = Endpoint::serve(move |_, sent| {
            let line = sent.line("progress", &json!({"message": "on and on"}));
            Reply::new(200, content_type).say(line.repeat(20_000))
        })
        .await;
        endpoint.fails("OutputTooLarge", "1048576 bytes").await;
    }
}

#[tokio::test]
async fn what_breaks_the_contract_is_refused_by_name() {
    for (text, reason, says) in [
        (
            r#"{"contract":"tenure.provisioner/v9","result":"done"}"#,
            "ContractUnknown",
            CONTRACT,
        ),
        ("hello", "AnswerMalformed", "no JSON"),
        ("", "AnswerMissing", "without an answer"),
    ] {
        let endpoint = Endpoint::serve(move |_, _| Reply::json(200, text)).await;
        endpoint.fails(reason, says).await;
        assert_eq!(endpoint.sent().len(), 1);
    }
    let endpoint = Endpoint::serve(|_, sent| Reply::new(200, "text/html").say(done(sent))).await;
    endpoint
        .fails("AnswerMalformed", "content type \"text/html\"")
        .await;
    let endpoint =
        Endpoint::serve(|_, sent| Reply::json(200, sent.line("progress", &json!({})))).await;
    endpoint.fails("AnswerMissing", "without an answer").await;
}

#[tokio::test]
async fn a_secret_is_sent_and_never_comes_back() {
    // Cargo sets this variable for tests.
    let secret = env!("CARGO_PKG_NAME");
    let with = |endpoint: &Endpoint| {
        let mut options = endpoint.options();
        options.secrets = SecretSources::parse(["env:CARGO_PKG_NAME"]).unwrap();
        options
    };
    let call = call(r#"{"password":{"secret_ref":"env:CARGO_PKG_NAME"}}"#);
    let endpoint = Endpoint::serve(|_, sent| {
        let secret = sent.json()["desired"]["password"].clone();
        let answer =
            json!({"observed": {"password": secret}, "resources": [secret], "message": secret});
        Reply::json(200, sent.line("done", &answer))
    })
    .await;
    let answer = format!("{:?}", run(with(&endpoint), &call).await);
    assert!(
        answer.contains("[secret]") && !answer.contains(secret),
        "{answer}"
    );
    assert_eq!(endpoint.sent()[0].json()["desired"]["password"], secret);

    let endpoint = Endpoint::serve(move |_, _| Reply::json(400, "x".repeat(295) + secret)).await;
    let failure = expect_failure(
        run(with(&endpoint), &call).await,
        "EndpointRefused",
        "[secret]",
    );
    assert!(
        !failure.message.as_str().contains("xtenur"),
        "{}",
        failure.message
    );

    let endpoint = Endpoint::serve(|_, sent| Reply::json(200, done(sent))).await;
    let answer = run(endpoint.options(), &call).await;
    expect_failure(answer, "SecretRefused", "env:CARGO_PKG_NAME");
    assert!(endpoint.sent().is_empty());
}

#[tokio::test]
async fn a_deadline_counts_all_tries() {
    let endpoint = Endpoint::serve(|_, _| Reply::json(500, "")).await;
    let mut options = endpoint.options();
    options.deadline = Duration::from_secs(1);
    let begun = Instant::now();
    let answer = run(options, &call("{}")).await;
    expect_failure(answer, "EndpointUnavailable", "500");
    assert!(begun.elapsed() <= Duration::from_secs(1) + Duration::from_millis(500));
    assert!(endpoint.sent().len() >= 2);
}

/// Makes a certificate that is good for a day, signed by itself, and a server's end of TLS with it.
fn certified(folder: &TempDir) -> TlsAcceptor {
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    let made = std::process::Command::new("openssl")
        .args(
            "req -x509 -days 1 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(' '),
        )
        .args([
            "-subj",
            "/CN=tenure-test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_certificate_is_trusted_if_its_authority_is_named() {
    let folder = TempDir::new().unwrap();
    let tls = certified(&folder);
    let endpoint = Endpoint::serve_by(Some(tls), |_, sent| Reply::json(200, done(sent))).await;
    let mut options = endpoint.options();
    options.url = format!("https://127.0.0.1:{}/", endpoint.port);
    options.deadline = Duration::from_millis(500);
    let answer = run(options.clone(), &call("{}")).await;
    expect_failure(answer, "EndpointUnavailable", "certificate");
    assert!(endpoint.sent().is_empty());
    options.deadline = PATIENCE;
    options.ca_file = Some(folder.path().join("certificate"));
    let answer = run(options, &call("{}")).await;
    assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
}
