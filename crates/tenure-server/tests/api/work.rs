//! The pull transport: what a worker gets, what it may say, and whose word counts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::{Attempt, ClassName, Clock, Engine, Lease, Store, SystemClock, Wake};
use tenure_server::api::ApiOptions;
use tenure_server::config::Config;
use tenure_server::ids::{IdSource, SystemIds};
use tenure_server::provisioner::REQUEST_SCHEMA;
use tenure_server::pull::Pull;
use tenure_server::reconciler::Board;

use crate::stores::each_store_with;
use crate::support::{Reply, Server};

const TOKEN: &str = "a-token-that-nobody-guesses";
const OTHER: &str = "another-token-nobody-guesses";
const BOTH: &str = "the-token-of-the-fourth";
const SECRET: &str = "correct horse battery staple";

/// Two workers of one class, a third of another, and a fourth of both.
fn options(store: &Arc<dyn Store>) -> ApiOptions {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for (name, token) in [
        ("one", TOKEN),
        ("two", OTHER),
        ("three", "the-token-of-the-third"),
        ("four", BOTH),
    ] {
        write(name, token);
    }
    let secret = std::env::temp_dir().join("tenure-test-pull-secret");
    std::fs::write(&secret, SECRET).unwrap();
    let text = format!(
        "[classes.default]\npull = true\nlease_seconds = 30\nsecrets = ['file:{}*']\n\
         [classes.default.drift]\nmode = 'correct'\ninterval_seconds = 1\n\
         [classes.other]\npull = true\n\
         [workers.one]\ntoken_file = 'one'\nclasses = ['default']\n\
         [workers.two]\ntoken_file = 'two'\nclasses = ['default']\n\
         [workers.three]\ntoken_file = 'three'\nclasses = ['other']\n\
         [workers.four]\ntoken_file = 'four'\nclasses = ['default', 'other']\n",
        secret.display()
    );
    write("tenure.toml", &text);
    let config = Config::read(&folder.path().join("tenure.toml")).unwrap();
    let engine = Engine::new(Arc::clone(store));
    let board = Board::from(&config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn IdSource> = Arc::new(SystemIds);
    let pull = Pull::new(engine, &config, (clock, ids), board.clone()).unwrap();
    ApiOptions {
        pull: Some(Arc::new(pull)),
        board,
        ..ApiOptions::default()
    }
}

async fn call(server: &Server, token: &str, what: &str, body: Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let ask = server.ask("POST", &format!("/v1/work/{what}"));
    ask.header("authorization", &bearer).json(body).send().await
}

/// Claims the one operation that is due.
async fn claim_one(server: &Server, token: &str) -> Value {
    let body = json!({"limit": 10, "wait_seconds": 20});
    let claimed = call(server, token, "claim", body).await.expect(200);
    let items = claimed.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    items[0].clone()
}

fn said(item: &Value, mut answer: Value) -> Value {
    answer["contract"] = item["request"]["contract"].clone();
    answer["operation_id"] = item["request"]["operation_id"].clone();
    json!({"tenant": item["lease"]["tenant"], "fence": item["lease"]["fence"], "answer": answer})
}

async fn report(server: &Server, token: &str, item: &Value, answer: Value) -> Reply {
    call(server, token, "report", said(item, answer)).await
}

#[tokio::test]
async fn a_worker_leads_a_tenant_through_its_life() {
    each_store_with(options, async |server| {
        server.create("acme").await;
        let item = claim_one(server, TOKEN).await;
        let schema = serde_json::from_str(REQUEST_SCHEMA).unwrap();
        let request = &item["request"];
        jsonschema::draft202012::validate(&schema, request).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((&request["operation"], &item["lease"]["seconds"]), (&"apply".into(), &30.0.into()));
        let steps = json!([{"name": "copy", "state": "running", "percent": 40}]);
        let told = json!({"result": "progress", "message": "half", "steps": steps});
        report(server, TOKEN, &item, told).await.expect(200);
        let tenant = server.get("/v1/tenants/acme").await.expect(200).body;
        assert_eq!((&tenant["message"], &tenant["steps"]), (&"half".into(), &steps));
        let renewed = call(server, TOKEN, "renew", item["lease"].clone()).await;
        renewed.refused(422, "invalid");
        let lease = json!({"tenant": item["lease"]["tenant"], "fence": item["lease"]["fence"]});
        let renewed = call(server, TOKEN, "renew", lease.clone()).await.expect(200);
        assert_eq!(renewed.body["seconds"], 30.0);
        let done = json!({"result": "done", "observed": {"plan": "gold"}, "steps": [{"name": "copy", "state": "done"}]});
        let state = report(server, TOKEN, &item, done.clone()).await.expect(200);
        assert_eq!(state.body["state"], "ready");
        // It has ended, so nothing more counts.
        report(server, TOKEN, &item, done).await.refused(409, "lease_lost");
        call(server, TOKEN, "renew", lease).await.refused(409, "lease_lost");
        let history = server.get("/v1/tenants/acme/history").await.expect(200).body;
        let last = history["items"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["actor"], &last["reason"]), (&"worker:one".into(), &"Provisioned".into()));

        // It rests: a look is due within seconds, finds drift, and that is corrected.
        let look = claim_one(server, TOKEN).await;
        assert_eq!(look["request"]["operation"], "observe");
        let seen = json!({"result": "done", "observed": {"plan": "stolen"}});
        let state = report(server, TOKEN, &look, seen).await.expect(200);
        assert_eq!(state.body["state"], "updating");
        let item = claim_one(server, TOKEN).await;
        let failed = json!({"result": "failed", "reason": "Full", "message": "no room"});
        report(server, TOKEN, &item, failed).await.expect(200);
        let tenant = server.get("/v1/tenants/acme").await.expect(200).body;
        assert_eq!(tenant["conditions"]["failing"]["reason"], "Full");
        assert!(tenant["work"]["due_at"].is_string(), "{tenant}");

        server.ask("DELETE", "/v1/tenants/acme").send().await.expect(200);
        let item = claim_one(server, TOKEN).await;
        assert_eq!(item["request"]["operation"], "destroy");
        let state = report(server, TOKEN, &item, json!({"result": "done"})).await.expect(200);
        assert_eq!(state.body["state"], "deleted");
    })
    .await;
}

#[tokio::test]
async fn p6_only_the_holder_of_the_newest_lease_may_speak() {
    each_store_with(options, async |server| {
        server.create("acme").await;
        let item = claim_one(server, TOKEN).await;
        let done = || json!({"result": "done"});
        report(server, OTHER, &item, done())
            .await
            .refused(409, "lease_lost");
        let mut guessed = item.clone();
        guessed["lease"]["fence"] = 99.into();
        report(server, TOKEN, &guessed, done())
            .await
            .refused(409, "lease_lost");
        let third = "the-token-of-the-third";
        report(server, third, &item, done())
            .await
            .refused(409, "lease_lost");
        let nothing = call(server, third, "claim", json!({})).await.expect(200);
        assert_eq!(nothing.body["items"], json!([]));
        let tenant = server.get("/v1/tenants/acme").await.expect(200).body;
        assert_eq!(tenant["state"], "provisioning");
        report(server, TOKEN, &item, done()).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn p6_what_comes_after_anothers_claim_is_dropped() {
    each_store_with(options, async |server| {
        server.create("acme").await;
        let item = claim_one(server, TOKEN).await;
        let lease = Lease {
            tenant: serde_json::from_value(item["lease"]["tenant"].clone()).unwrap(),
            class: ClassName::default(),
            routine: false,
            fence: serde_json::from_value(item["lease"]["fence"].clone()).unwrap(),
            attempt: 1,
            until: SystemClock.now(),
            taken_over: false,
        };
        // As if it had run out, which nobody waits for here.
        let ended = server
            .store
            .release(&lease, &Attempt::Returned, Wake::Now)
            .await;
        assert!(ended.unwrap());
        let newer = claim_one(server, OTHER).await;
        let fence = |item: &Value| item["lease"]["fence"].as_u64().unwrap();
        assert!(fence(&newer) > fence(&item));
        let before = server.get("/v1/tenants/acme").await.expect(200).body;
        for answer in [
            json!({"result": "progress", "message": "half"}),
            json!({"result": "done", "observed": {"plan": "gold"}}),
            json!({"result": "failed", "reason": "Full", "message": "no room"}),
        ] {
            let reply = report(server, TOKEN, &item, answer).await;
            reply.refused(409, "lease_lost");
        }
        let held = json!({"tenant": item["lease"]["tenant"], "fence": item["lease"]["fence"]});
        let renewed = call(server, TOKEN, "renew", held).await;
        renewed.refused(409, "lease_lost");
        let after = server.get("/v1/tenants/acme").await.expect(200).body;
        assert_eq!(before, after);
        let done = json!({"result": "done", "observed": {"plan": "gold"}});
        let state = report(server, OTHER, &newer, done).await.expect(200);
        assert_eq!(state.body["state"], "ready");
    })
    .await;
}

#[tokio::test]
async fn no_class_waits_for_another_to_run_dry() {
    each_store_with(options, async |server| {
        for name in ["acme", "globex", "initech"] {
            server.create(name).await;
        }
        let other = json!({"name": "umbrella", "class": "other", "desired": {"plan": "gold"}});
        server.post("/v1/tenants", other).await.expect(201);
        let unasked = server.get("/v1/tenants/umbrella/explain").await.expect(200);
        assert!(
            unasked.body.to_string().contains("no_worker"),
            "{unasked:?}"
        );
        let mut classes = Vec::new();
        for _ in 0..2 {
            let claimed = call(server, BOTH, "claim", json!({})).await.expect(200);
            classes.push(claimed.body["items"][0]["request"]["tenant"]["class"].clone());
            if classes.len() == 1 {
                // It was asked for all the same.
                let asked = server.get("/v1/tenants/umbrella/explain").await.expect(200);
                assert!(!asked.body.to_string().contains("no_worker"), "{asked:?}");
            }
        }
        assert_eq!(classes, ["default", "other"]);
    })
    .await;
}

#[tokio::test]
async fn p12_who_shows_no_known_token_gets_nothing() {
    let store = crate::support::memory();
    let options = options(&store);
    let server = Server::start(
        store,
        options,
        tenure_server::server::ConnectionLimits::default(),
    )
    .await;
    for what in ["claim", "renew", "report"] {
        for token in ["", "wrong", "a-token-that-nobody-guesse"] {
            let body =
                json!({"tenant": "tnt_01m82w93n9eh6aas31aqeydhs3", "fence": 1, "answer": {}});
            let body = if what == "claim" { json!({}) } else { body };
            let body = if what == "renew" {
                json!({"tenant": body["tenant"], "fence": 1})
            } else {
                body
            };
            // Nor does it learn what a body must be.
            for body in [body, json!({"unknown": 1})] {
                let reply = call(&server, token, what, body).await;
                let reply = reply.refused(401, "unauthorized");
                assert_eq!(reply.headers["www-authenticate"], "Bearer");
            }
        }
    }
    server.stop().await;
    // Nobody may where no worker is configured.
    let server = Server::usual().await;
    call(&server, TOKEN, "claim", json!({}))
        .await
        .refused(401, "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn a_claim_waits_for_work_and_gets_it_at_once() {
    each_store_with(options, async |server| {
        let waiting = claim_one(server, TOKEN);
        let created = async {
            // Whether it comes before the claim or after, it is found.
            server.create("acme").await;
        };
        let within = tokio::time::timeout(Duration::from_secs(15), async {
            tokio::join!(waiting, created).0
        });
        assert_eq!(within.await.unwrap()["request"]["tenant"]["name"], "acme");
        for body in [
            json!({"limit": 0}),
            json!({"limit": 101}),
            json!({"wait_seconds": 26}),
            json!({"wait_seconds": -1}),
        ] {
            call(server, TOKEN, "claim", body)
                .await
                .refused(422, "invalid");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_the_contract_is_refused_and_the_lease_goes_on() {
    each_store_with(options, async |server| {
        server.create("acme").await;
        let item = claim_one(server, TOKEN).await;
        let mut other = item.clone();
        other["request"]["operation_id"] = "tnt_1/1/1/apply".into();
        let mut later = item.clone();
        let id = item["request"]["operation_id"]
            .as_str()
            .unwrap()
            .replacen("/1/", "/7/", 1);
        later["request"]["operation_id"] = id.into();
        let mut version = said(&item, json!({"result": "done"}));
        version["answer"]["contract"] = "tenure.provisioner/v9".into();
        for body in [
            said(&item, json!({"result": "great"})),
            said(&item, json!({"result": "done", "observed": 3})),
            said(&other, json!({"result": "done"})),
            said(&later, json!({"result": "done"})),
            version,
        ] {
            call(server, TOKEN, "report", body)
                .await
                .refused(422, "answer_invalid");
        }
        report(server, TOKEN, &item, json!({"result": "done"}))
            .await
            .expect(200);
    })
    .await;
}

#[tokio::test]
async fn p12_a_secret_goes_to_the_worker_and_nowhere_else() {
    each_store_with(options, async |server| {
        let path = std::env::temp_dir().join("tenure-test-pull-secret");
        let reference = json!({"secret_ref": format!("file:{}", path.display())});
        let body = json!({"name": "acme", "desired": {"password": reference, "plan": "gold"}});
        server.post("/v1/tenants", body).await.expect(201);
        let item = claim_one(server, TOKEN).await;
        assert_eq!(item["request"]["desired"]["password"], SECRET);
        let observed = json!({"plan": "gold", "password": SECRET});
        let answer = json!({"result": "done", "observed": observed, "message": SECRET});
        report(server, TOKEN, &item, answer).await.expect(200);
        for path in ["/v1/tenants/acme", "/v1/tenants/acme/history"] {
            let text = server.get(path).await.expect(200).body.to_string();
            assert!(!text.contains(SECRET), "{text}");
        }

        let body = json!({"name": "globex", "desired": {"password": {"secret_ref": "env:HOME"}}});
        server.post("/v1/tenants", body).await.expect(201);
        let nothing = call(server, TOKEN, "claim", json!({})).await.expect(200);
        assert_eq!(nothing.body["items"], json!([]));
        let tenant = server.get("/v1/tenants/globex").await.expect(200).body;
        assert_eq!(tenant["conditions"]["failing"]["reason"], "SecretRefused");
    })
    .await;
}

#[tokio::test]
async fn p11_a_claim_waits_no_longer_than_a_request_may_take() {
    let store = crate::support::memory();
    let mut options = options(&store);
    options.limits.request = Duration::from_millis(500);
    let limits = tenure_server::server::ConnectionLimits::default();
    let server = Server::start(store, options, limits).await;
    let body = json!({"wait_seconds": 20});
    let claimed = call(&server, TOKEN, "claim", body).await.expect(200);
    assert_eq!(claimed.body["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn p12_a_secret_is_known_again_after_it_is_not_wanted_any_more() {
    each_store_with(options, async |server| {
        let path = std::env::temp_dir().join("tenure-test-pull-secret");
        let gone = tempfile::Builder::new()
            .prefix("tenure-test-pull-secret-")
            .tempfile()
            .unwrap();
        std::fs::write(gone.path(), "a secret that is taken away").unwrap();
        let reference =
            |path: &std::path::Path| json!({"secret_ref": format!("file:{}", path.display())});
        let desired = json!({"a": reference(gone.path()), "b": reference(&path), "plan": "gold"});
        let body = json!({"name": "acme", "desired": desired});
        server.post("/v1/tenants", body).await.expect(201);
        let item = claim_one(server, TOKEN).await;
        assert_eq!(item["request"]["desired"]["b"], SECRET);
        // One secret is gone, and the other is not wanted any more.
        drop(gone);
        let changed = json!({"desired": {"a": null, "b": null}});
        server.patch("/v1/tenants/acme", changed).await.expect(200);
        let told = json!({"result": "progress", "message": format!("half of {SECRET}")});
        report(server, TOKEN, &item, told).await.expect(200);
        let done = json!({"result": "done", "observed": {"b": SECRET, "plan": "gold"},
            "resources": [SECRET], "message": format!("made {SECRET}")});
        report(server, TOKEN, &item, done).await.expect(200);
        let tenant = server
            .get("/v1/tenants/acme")
            .await
            .expect(200)
            .body
            .to_string();
        assert!(tenant.contains("[secret]"), "{tenant}");
        let history = server
            .get("/v1/tenants/acme/history")
            .await
            .expect(200)
            .body
            .to_string();
        assert!(
            !tenant.contains(SECRET) && !history.contains(SECRET),
            "{tenant} {history}"
        );
        let next = claim_one(server, TOKEN).await;
        assert_eq!(next["request"]["desired"], json!({"plan": "gold"}));
    })
    .await;
}
