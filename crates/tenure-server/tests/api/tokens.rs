//! Tokens: their life, what their scope leaves of the fleet, and that nobody else ever sees one.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tenure::{Clock, Engine, Store, SystemClock};
use tenure_server::api::{self, ApiOptions, ApiState, Identity, Refused, Verifier};
use tenure_server::config::Config;
use tenure_server::ids::{IdSource, SystemIds};
use tenure_server::pull::Pull;
use tenure_server::reconciler::Board;
use tenure_server::server::ConnectionLimits;
use tower::ServiceExt as _;

use super::stores::each_store_with;
use super::support::{Reply, Server, memory};

/// A server that asks for tokens, and whose classes `default` and `other` are pulled.
fn options(store: &Arc<dyn Store>) -> ApiOptions {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenure.toml");
    std::fs::write(
        &file,
        "[classes.default]\npull = true\n[classes.other]\npull = true\n",
    )
    .unwrap();
    let config = Config::read(&file).unwrap();
    let board = Board::from(&config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn IdSource> = Arc::new(SystemIds);
    let engine = Engine::new(Arc::clone(store));
    let pull = Pull::new(engine, &config, (clock, ids), board.clone()).unwrap();
    ApiOptions {
        pull: Some(Arc::new(pull)),
        board,
        auth_required: true,
        ..ApiOptions::default()
    }
}

pub(crate) async fn closed() -> Server {
    let store = memory();
    let options = options(&store);
    Server::start(store, options, ConnectionLimits::default()).await
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Makes a token straight on the store, as `tenure token create --store` does.
pub(crate) async fn make(server: &Server, body: Value) -> String {
    let engine = Engine::new(Arc::clone(&server.store));
    let api = api::router(ApiState::new(engine, ApiOptions::default()));
    let request = Request::post("/v1/tokens").header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let answer = api.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 201, "{body}");
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let view: Value = serde_json::from_slice(&bytes).unwrap();
    view["token"].as_str().unwrap().to_owned()
}

/// One caller of a server.
struct Caller<'a>(&'a Server, String);

impl Caller<'_> {
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let ask = self
            .0
            .ask(method, path)
            .header("authorization", &bearer(&self.1));
        match body {
            Some(body) => ask.json(body).send().await,
            None => ask.send().await,
        }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(body)).await
    }
}

async fn caller<'a>(server: &'a Server, name: &str, role: &str, scope: &str) -> Caller<'a> {
    let body = json!({"name": name, "role": role, "scope": scope});
    Caller(server, make(server, body).await)
}

fn tenant(name: &str, tier: &str) -> Value {
    json!({"name": name, "labels": {"tier": tier}, "desired": {"plan": "gold"}})
}

#[tokio::test]
async fn p5_a_rotation_that_is_sent_again_cuts_off_nobody_who_was_promised_a_while() {
    each_store_with(options, async |server| {
        let admin = caller(server, "root", "admin", "").await;
        let first = caller(server, "ci", "operator", "").await;
        let rotate = async |body| admin.post("/v1/tokens/ci/rotate", body).await;
        let rotated = rotate(json!({"grace_seconds": 60})).await.expect(200);
        let again = rotate(json!({"grace_seconds": 60})).await;
        again.refused(409, "token_rotated");
        first.get("/v1/whoami").await.expect(200);
        let both = rotate(json!({"grace_seconds": 60, "lost": true})).await;
        both.refused(422, "invalid");

        // Also if all are sent at once.
        let other = caller(server, "cd", "operator", "").await;
        let rotate_other = || admin.post("/v1/tokens/cd/rotate", json!({"grace_seconds": 60}));
        let (a, b, c) = tokio::join!(rotate_other(), rotate_other(), rotate_other());
        let mut statuses = [a.status, b.status, c.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409]);
        other.get("/v1/whoami").await.expect(200);

        // Its answer was lost.
        let lost = Caller(server, rotated.text("token").to_owned());
        let anew = rotate(json!({"lost": true})).await.expect(200);
        assert_eq!(anew.body["previous_until"], rotated.body["previous_until"]);
        let second = Caller(server, anew.text("token").to_owned());
        first.get("/v1/whoami").await.expect(200);
        lost.get("/v1/whoami").await.refused(401, "unauthorized");
        second.get("/v1/whoami").await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn p12_a_token_is_made_used_rotated_and_revoked() {
    each_store_with(options, async |server| {
        let admin = caller(server, "root", "admin", "").await;
        let made = admin
            .post("/v1/tokens", json!({"name": "ci", "role": "operator"}))
            .await
            .expect(201);
        assert_eq!(made.header("location"), "/v1/tokens/ci");
        assert_eq!(made.header("cache-control"), "no-store");
        assert_eq!(made.body["created_by"], "token:root");
        let first = Caller(server, made.text("token").to_owned());
        // A header does not make it somebody else.
        let ask = server
            .ask("POST", "/v1/tenants")
            .header("authorization", &bearer(&first.1));
        let ask = ask.header("tenure-actor", "user:maria");
        ask.json(tenant("acme", "gold")).send().await.expect(201);
        let history = first.get("/v1/tenants/acme/history").await.expect(200);
        assert_eq!(history.items("actor"), ["token:ci"]);

        let again = json!({"name": "ci", "role": "operator"});
        let ask = server
            .ask("POST", "/v1/tokens")
            .header("authorization", &bearer(&admin.1));
        let repeated = ask.header("idempotency-key", "k").json(again).send().await;
        repeated.refused(409, "token_exists");

        let rotated = admin
            .post("/v1/tokens/ci/rotate", json!({"grace_seconds": 60}))
            .await
            .expect(200);
        let second = Caller(server, rotated.text("token").to_owned());
        assert!(rotated.body["previous_until"].is_string());
        first.get("/v1/whoami").await.expect(200);
        second.get("/v1/whoami").await.expect(200);
        let rotated = admin
            .send("POST", "/v1/tokens/ci/rotate", None)
            .await
            .expect(200);
        let third = Caller(server, rotated.text("token").to_owned());
        first.get("/v1/whoami").await.refused(401, "unauthorized");
        second.get("/v1/whoami").await.refused(401, "unauthorized");
        third.get("/v1/whoami").await.expect(200);

        let revoked = admin
            .send("POST", "/v1/tokens/ci/revoke", None)
            .await
            .expect(200);
        assert_eq!(revoked.body["revoked_by"], "token:root");
        third.get("/v1/whoami").await.refused(401, "unauthorized");
        let twice = admin
            .send("POST", "/v1/tokens/ci/revoke", None)
            .await
            .expect(200);
        assert_eq!(twice.body["revoked_at"], revoked.body["revoked_at"]);
        let dead = admin.send("POST", "/v1/tokens/ci/rotate", None).await;
        dead.refused(409, "token_revoked");
        for verb in ["rotate", "revoke"] {
            let path = format!("/v1/tokens/nobody/{verb}");
            let none = admin.send("POST", &path, None).await;
            none.refused(404, "token_not_found");
        }
        let page = admin.get("/v1/tokens?page_size=1").await.expect(200);
        assert_eq!(
            (page.items("name"), page.text("next")),
            (vec!["ci".to_owned()], "ci")
        );
        let rest = admin.get("/v1/tokens?page_token=ci").await.expect(200);
        assert_eq!(
            (rest.items("name"), &rest.body["next"]),
            (vec!["root".to_owned()], &Value::Null)
        );
        assert_eq!(rest.body["items"][0]["token"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn p12_a_token_expires_and_tells_when_it_was_used() {
    let server = closed().await;
    let admin = caller(&server, "root", "admin", "").await;
    let soon = SystemClock
        .now()
        .plus(std::time::Duration::from_millis(300));
    let body = json!({"name": "short", "role": "viewer", "expires_at": soon});
    let short = admin
        .post("/v1/tokens", body)
        .await
        .expect(201)
        .text("token")
        .to_owned();
    let short = Caller(&server, short);
    // It may be remembered as good; its end counts all the same.
    loop {
        let now = SystemClock.now();
        let reply = short.get("/v1/whoami").await;
        if now >= soon {
            reply.refused(401, "unauthorized");
            break;
        }
    }
    let noted =
        async { while admin.get("/v1/tokens/root").await.body["last_used_at"].is_null() {} };
    let patience = std::time::Duration::from_mins(1);
    tokio::time::timeout(patience, noted).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn p12_a_token_that_is_over_is_not_given_anew() {
    let server = closed().await;
    let admin = caller(&server, "root", "admin", "").await;
    let soon = SystemClock.now().plus(std::time::Duration::from_millis(50));
    let body = json!({"name": "short", "role": "viewer", "expires_at": soon});
    make(&server, body).await;
    while SystemClock.now() < soon {
        tokio::task::yield_now().await;
    }
    for query in ["", "?dry_run=true"] {
        let path = format!("/v1/tokens/short/rotate{query}");
        let over = admin.send("POST", &path, None).await;
        let over = over.refused(409, "token_revoked");
        assert!(over.text("detail").contains("has expired"), "{over:?}");
    }
    server.stop().await;
}

/// A token of the right form, which nobody made.
fn forged(number: u64) -> String {
    let mut bytes = [number.to_be_bytes(); 4].concat();
    let check = crc32fast::hash(&bytes);
    bytes.extend(check.to_be_bytes());
    let text = data_encoding::BASE32_NOPAD.encode(&bytes);
    format!("tnr_{}", text.to_ascii_lowercase())
}

#[tokio::test]
async fn p12_forging_tokens_ends_before_the_store_and_hurts_nobody_who_was_known() {
    let server = closed().await;
    let admin = caller(&server, "root", "admin", "").await;
    admin.get("/v1/whoami").await.expect(200);
    let mut refused = [0, 0];
    for number in 0..150 {
        let reply = Caller(&server, forged(number)).get("/v1/tenants").await;
        match (reply.status, reply.code()) {
            (401, "unauthorized") => refused[0] += 1,
            (429, "rate_limited") => refused[1] += 1,
            _ => panic!("{reply:?}"),
        }
    }
    // One more for each second that this took.
    assert!(refused[0] >= 100 && refused[1] > 0, "{refused:?}");
    admin.get("/v1/whoami").await.expect(200);
    // A token is not known by its form: who is new waits with the others.
    let new = caller(&server, "new", "viewer", "").await;
    let wait = async { while new.get("/v1/whoami").await.status != 200 {} };
    let patience = std::time::Duration::from_mins(1);
    tokio::time::timeout(patience, wait).await.unwrap();
    server.stop().await;
}

const MISTAKES: &str = r#"
{"name": "A", "role": "viewer"} | name must be 1 to 63
{"name": "a"} | missing field `role`
{"name": "a", "role": "root"} | role must be viewer, operator
{"name": "a", "role": "viewer", "rights": 1} | unknown field `rights`
{"name": "a", "role": "provisioner"} | classes must name the classes
{"name": "a", "role": "provisioner", "classes": ["x"], "scope": "a=b"} | scope must be absent
{"name": "a", "role": "admin", "scope": "a=b"} | scope must be absent for an admin
{"name": "a", "role": "viewer", "classes": ["x"]} | classes must be absent
{"name": "a", "role": "viewer", "scope": "a b"} | scope must consist of
{"name": "a", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"} | expires_at must be in the future
{"name": "a", "role": "viewer", "expires_at": "soon"} | expires_at must
{"name": "a", "role": "viewer", "expires_in_seconds": 0} | expires_in_seconds must be 1 to
{"name": "a", "role": "viewer", "expires_in_seconds": 9, "expires_at": "2999-01-01T00:00:00Z"} | expires_in_seconds must be absent
"#;

#[tokio::test]
async fn what_a_token_can_not_be_is_said_by_name() {
    let server = Server::usual().await;
    for row in MISTAKES.trim().lines() {
        let (body, says) = row.split_once(" | ").unwrap();
        let reply = server
            .post("/v1/tokens", serde_json::from_str(body).unwrap())
            .await;
        let reply = reply.refused(422, "invalid");
        assert!(reply.text("detail").contains(says), "{body}: {reply:?}");
    }
    assert!(server.get("/v1/tokens").await.items("name").is_empty());
    let dry = json!({"name": "a", "role": "viewer"});
    let dry = server
        .post("/v1/tokens?dry_run=true", dry)
        .await
        .expect(200);
    assert_eq!(dry.body["token"], Value::Null);
    assert!(server.get("/v1/tokens").await.items("name").is_empty());
    server.stop().await;
}

#[tokio::test]
async fn p12_who_has_a_scope_sees_and_touches_nothing_else() {
    each_store_with(options, async |server| {
        let admin = caller(server, "root", "admin", "").await;
        let gold = caller(server, "gold", "operator", "tier=gold").await;
        admin
            .post("/v1/tenants", tenant("hidden", "iron"))
            .await
            .expect(201);
        gold.post("/v1/tenants", tenant("acme", "gold"))
            .await
            .expect(201);
        let outside = gold.post("/v1/tenants", tenant("b", "iron")).await;
        outside.refused(403, "forbidden");
        let bare = gold
            .post("/v1/tenants", json!({"name": "b", "desired": {}}))
            .await;
        bare.refused(403, "forbidden");

        assert_eq!(gold.get("/v1/tenants").await.items("name"), ["acme"]);
        let all = gold.get("/v1/tenants?selector=tier").await;
        assert_eq!(all.items("name"), ["acme"]);
        assert_eq!(gold.get("/v1/counts").await.body["total"], 1);
        assert_eq!(admin.get("/v1/counts").await.body["total"], 2);
        let many = (0..16)
            .map(|n| format!("k{n}"))
            .collect::<Vec<_>>()
            .join(",");
        let many = gold.get(&format!("/v1/tenants?selector={many}")).await;
        let many = many.refused(422, "invalid");
        assert!(
            many.text("detail")
                .contains("selector must have at most 16"),
            "{many:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn p12_nobody_leaves_a_scope() {
    each_store_with(options, async |server| {
        let admin = caller(server, "root", "admin", "").await;
        let gold = caller(server, "gold", "operator", "tier=gold").await;
        admin
            .post("/v1/tenants", tenant("hidden", "iron"))
            .await
            .expect(201);
        gold.post("/v1/tenants", tenant("acme", "gold"))
            .await
            .expect(201);
        // Neither by leaving with a tenant, nor by taking one's name, nor by asking for its revision.
        let labels = json!({"labels": {"tier": "iron"}});
        gold.send("PATCH", "/v1/tenants/acme", Some(labels.clone()))
            .await
            .refused(403, "forbidden");
        let whole = json!({"labels": {"tier": "iron"}, "desired": {"plan": "gold"}});
        gold.send("PUT", "/v1/tenants/acme", Some(whole.clone()))
            .await
            .refused(403, "forbidden");
        gold.send("PUT", "/v1/tenants/hidden", Some(whole))
            .await
            .refused(409, "name_taken");
        gold.post("/v1/tenants", tenant("hidden", "gold"))
            .await
            .refused(409, "name_taken");
        let ask = server
            .ask("DELETE", "/v1/tenants/hidden")
            .header("authorization", &bearer(&gold.1));
        let asked = ask
            .header("if-match", "\"1\"")
            .send()
            .await
            .refused(412, "revision_conflict");
        assert_eq!(asked.body["revision"], 0);
        assert_eq!(gold.get("/v1/tenants/acme").await.revision(), 1);

        // What it did with a key is not told again once the tenant has left.
        let suspend = || {
            let ask = server.ask("POST", "/v1/tenants/acme/suspend");
            let ask = ask.header("authorization", &bearer(&gold.1));
            ask.header("idempotency-key", "one").send()
        };
        suspend().await.expect(200);
        assert_eq!(
            suspend().await.expect(200).header("idempotency-replayed"),
            "true"
        );
        admin
            .send("PATCH", "/v1/tenants/acme", Some(labels))
            .await
            .expect(200);
        suspend().await.refused(404, "tenant_not_found");
        for path in ["", "?revision=1", "/history", "/explain"] {
            let gone = gold.get(&format!("/v1/tenants/acme{path}")).await;
            gone.refused(404, "tenant_not_found");
        }
        assert!(gold.get("/v1/tenants").await.items("name").is_empty());
    })
    .await;
}

#[tokio::test]
async fn p12_drift_outside_of_a_scope_is_not_told() {
    let server = Server::usual().await;
    for tier in ["gold", "iron"] {
        let made = server
            .post("/v1/tenants", tenant(tier, tier))
            .await
            .expect(201);
        server.work_off(made.id()).await;
        let seen = json!({"plan": "other"});
        server.look(made.id(), seen, tenure::Correction::None).await;
    }
    let gold = caller(&server, "gold", "viewer", "tier=gold").await;
    assert_eq!(
        server.get("/v1/drift").await.items("name"),
        ["gold", "iron"]
    );
    assert_eq!(gold.get("/v1/drift").await.items("name"), ["gold"]);
    drop(gold);
    server.stop().await;
}

#[tokio::test]
async fn p12_a_provisioner_gets_the_work_of_its_classes() {
    each_store_with(options, async |server| {
        let admin = caller(server, "root", "admin", "").await;
        let mut body = tenant("acme", "gold");
        body["class"] = "other".into();
        admin.post("/v1/tenants", body).await.expect(201);
        admin
            .post("/v1/tenants", tenant("globex", "gold"))
            .await
            .expect(201);
        let works = json!({"name": "works", "role": "provisioner", "classes": ["default"]});
        let works = Caller(server, make(server, works).await);
        let claimed = works
            .post("/v1/work/claim", json!({"limit": 10}))
            .await
            .expect(200);
        let items = claimed.body["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        let request = &items[0]["request"];
        let mut said = items[0]["lease"].clone();
        said.as_object_mut().unwrap().remove("seconds");
        said["answer"] = json!({
            "contract": request["contract"],
            "operation_id": request["operation_id"],
            "result": "done",
        });
        works.post("/v1/work/report", said).await.expect(200);
        let history = admin.get("/v1/tenants/globex/history").await.expect(200);
        assert_eq!(history.items("actor").pop().unwrap(), "token:works");
        let whoami = works.get("/v1/whoami").await.expect(200);
        assert_eq!(
            (&whoami.body["role"], &whoami.body["classes"]),
            (&"provisioner".into(), &json!(["default"]))
        );
        works.get("/v1/tenants").await.refused(403, "forbidden");
    })
    .await;
}

#[tokio::test]
async fn p12_an_open_server_asks_nobody_but_takes_no_bad_token() {
    let server = Server::usual().await;
    let anybody = server.get("/v1/whoami").await.expect(200);
    assert_eq!(
        (anybody.text("actor"), anybody.text("role")),
        ("user:anonymous", "admin")
    );
    assert_eq!(anybody.body["authenticated"], false);
    let viewer = caller(&server, "eye", "viewer", "").await;
    let known = viewer.get("/v1/whoami").await.expect(200);
    assert_eq!(
        (known.text("actor"), known.text("role")),
        ("token:eye", "viewer")
    );
    viewer
        .post("/v1/tenants", tenant("acme", "gold"))
        .await
        .refused(403, "forbidden");
    let ask = server
        .ask("GET", "/v1/tenants")
        .header("authorization", "Bearer tnr_x");
    ask.send().await.refused(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn p12_somebody_elses_token_counts_if_its_verifier_says_so() {
    let verify = |text: String| async move {
        let roles = match text.as_str() {
            "maria" => [tenure::Role::Viewer, tenure::Role::Operator].into(),
            "works" => [tenure::Role::Provisioner].into(),
            _ => {
                return Err(Refused {
                    reason: "signature",
                });
            }
        };
        let good_until = SystemClock.now().plus(std::time::Duration::from_mins(1));
        Ok(Identity {
            name: text,
            roles,
            good_until,
        })
    };
    let options = ApiOptions {
        auth_required: true,
        verifier: Some(Verifier::new(verify)),
        ..ApiOptions::default()
    };
    let server = Server::start(memory(), options, ConnectionLimits::default()).await;
    let maria = Caller(&server, "maria".to_owned());
    maria
        .post("/v1/tenants", tenant("acme", "gold"))
        .await
        .expect(201);
    let history = maria.get("/v1/tenants/acme/history").await.expect(200);
    assert_eq!(history.items("actor"), ["user:maria"]);
    for bad in ["works", "other"] {
        let nobody = Caller(&server, bad.to_owned()).get("/v1/tenants").await;
        nobody.refused(401, "unauthorized");
    }
    server.stop().await;
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A canary: what is shown once is nowhere else, whatever goes right or wrong with it.
#[tokio::test]
async fn p12_a_token_is_in_no_log_no_answer_and_no_history() {
    // While there is one subscriber only, whatever another test is the first to say is heard by none.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = closed().await;
    let admin = caller(&server, "root", "admin", "").await;
    let viewer = caller(&server, "eye", "viewer", "").await;
    let mut bodies = String::new();
    for path in [
        "/v1/tokens",
        "/v1/tokens/root",
        "/v1/whoami",
        "/v1/tenants/none",
    ] {
        bodies.push_str(&admin.get(path).await.body.to_string());
    }
    let made = admin.post("/v1/tenants", tenant("acme", "gold")).await;
    bodies.push_str(&made.body.to_string());
    for path in ["/v1/tenants/acme/history", "/v1/changes"] {
        bodies.push_str(&admin.get(path).await.body.to_string());
    }
    let denied = viewer.post("/v1/tenants", tenant("b", "gold")).await;
    bodies.push_str(&denied.refused(403, "forbidden").body.to_string());
    let wrong = Caller(&server, format!("{}x", admin.1));
    let wrong = wrong.get("/v1/tenants").await.refused(401, "unauthorized");
    bodies.push_str(&wrong.body.to_string());
    let rotated = admin
        .send("POST", "/v1/tokens/eye/rotate", None)
        .await
        .expect(200);
    let tokens = [admin.1, viewer.1, rotated.text("token").to_owned()];
    server.stop().await;
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for said in [
        "a request was refused",
        "reason=\"role\"",
        "reason=\"malformed\"",
        "a token was rotated",
        "route=\"/v1/tenants\"",
        "client=\"127.0.0.1\"",
    ] {
        assert!(logged.contains(said), "{said} is not in:\n{logged}");
    }
    for token in &tokens {
        let hash = tenure::Hash::of(token.as_bytes()).to_string();
        for secret in [token.get(4..40).unwrap(), &hash] {
            assert!(!logged.contains(secret) && !bodies.contains(secret));
        }
    }
}
