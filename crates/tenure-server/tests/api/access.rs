//! Who may use which route: each route, by each role, without a scope, with its own and with another.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tenure_server::api::{self, RULES};
use tokio::time::advance;
use tower::ServiceExt as _;

use super::support::Server;
use super::tokens::{bearer, closed, make};

/// Each route, with a body that it takes: who may use it, and what a scope does to them. `many`
/// answers with what there is in the scope; `one` finds no tenant outside of it; `new` makes none
/// outside of it; `apply` finds the name taken; `fleet` has no use for anybody with a scope; `free`
/// does not care. Nothing is written.
const TABLE: &str = r#"
GET /metrics | viewer operator admin auditor | fleet |
GET /v1/whoami | viewer operator admin provisioner auditor | free |
GET /v1/tenants | viewer operator admin auditor | many |
GET /v1/tenants/{tenant} | viewer operator admin auditor | one |
GET /v1/tenants/{tenant}/history | viewer operator admin auditor | one |
GET /v1/tenants/{tenant}/explain | viewer operator admin auditor | one |
GET /v1/counts | viewer operator admin auditor | many |
GET /v1/drift | viewer operator admin auditor | many |
GET /v1/export | viewer operator admin auditor | many |
POST /v1/import | operator admin | lines | 
GET /v1/changes | viewer operator admin auditor | fleet |
POST /v1/tenants | operator admin | new | {"name": "new", "labels": {"tier": "gold"}, "desired": {}}
PUT /v1/tenants/{tenant} | operator admin | apply | {"desired": {"plan": "silver"}}
PATCH /v1/tenants/{tenant} | operator admin | one | {"labels": {"a": "b"}}
DELETE /v1/tenants/{tenant} | operator admin | one |
POST /v1/tenants/{tenant}/suspend | operator admin | one |
POST /v1/tenants/{tenant}/resume | operator admin | one |
POST /v1/tenants/{tenant}/retry | operator admin | one |
POST /v1/tenants/{tenant}/hold | operator admin | one |
POST /v1/tenants/{tenant}/release | operator admin | one |
POST /v1/tenants/{tenant}/accept | operator admin | one |
POST /v1/tenants/{tenant}/waive | operator admin | one | {"path": "/plan", "until": "2999-01-01T00:00:00Z"}
POST /v1/work/claim | provisioner | none | {"limit": 1}
POST /v1/work/renew | provisioner | none | {"tenant": "tnt_01h455vb4pex5vsknk084sn02q", "fence": 1}
POST /v1/work/report | provisioner | none | {"tenant": "tnt_01h455vb4pex5vsknk084sn02q", "fence": 1, "answer": {}}
GET /v1/tokens | admin auditor | fleet |
GET /v1/tokens/{name} | admin auditor | fleet |
POST /v1/tokens | admin | fleet | {"name": "new", "role": "viewer"}
POST /v1/tokens/{name}/rotate | admin | fleet |
POST /v1/tokens/{name}/revoke | admin | fleet |
"#;

struct Row {
    method: &'static str,
    path: &'static str,
    roles: BTreeSet<&'static str>,
    scope: &'static str,
    body: Option<Value>,
}

fn table() -> Vec<Row> {
    let rows = TABLE.trim().lines().map(|line| {
        let parts: Vec<&str> = line.split(" |").map(str::trim).collect();
        let (method, path) = parts[0].split_once(' ').unwrap();
        Row {
            method,
            path,
            roles: parts[1].split(' ').collect(),
            scope: parts[2],
            body: (!parts[3].is_empty()).then(|| serde_json::from_str(parts[3]).unwrap()),
        }
    });
    rows.collect()
}

fn concrete(path: &str) -> String {
    path.replace("{tenant}", "acme").replace("{name}", "it")
}

/// What a caller is answered: the status, and the code of a refusal.
async fn answered(server: &Server, row: &Row, token: &str) -> (u16, String) {
    // The routes of workers have no dry run, and nothing to do here.
    let dry = match row.method {
        "GET" => "",
        _ if row.path.starts_with("/v1/work") => "",
        _ => "?dry_run=true",
    };
    let ask = server.ask(row.method, &format!("{}{dry}", concrete(row.path)));
    let ask = if token.is_empty() {
        ask
    } else {
        ask.header("authorization", &bearer(token))
    };
    let ask = match &row.body {
        Some(body) => ask.json(body.clone()),
        None => ask,
    };
    let reply = ask.send().await;
    (reply.status, reply.code().to_owned())
}

#[tokio::test]
async fn p12_each_role_and_scope_may_do_what_is_its_own() {
    let server = closed().await;
    let admin = make(&server, json!({"name": "it", "role": "admin"})).await;
    let acme = json!({"name": "acme", "labels": {"tier": "gold"}, "desired": {"plan": "gold"}});
    let made = server
        .ask("POST", "/v1/tenants")
        .header("authorization", &bearer(&admin));
    made.json(acme).send().await.expect(201);
    let mut callers = vec![("admin", "", admin)];
    for role in ["viewer", "operator", "auditor"] {
        for (scope, named) in [("", "all"), ("tier=gold", "own"), ("tier=iron", "other")] {
            let body = json!({"name": format!("{role}-{named}"), "role": role, "scope": scope});
            callers.push((role, scope, make(&server, body).await));
        }
    }
    let works = json!({"name": "works", "role": "provisioner", "classes": ["default"]});
    callers.push(("provisioner", "", make(&server, works).await));
    for row in table() {
        let (nobody, _) = answered(&server, &row, "").await;
        assert_eq!(nobody, 401, "{} {} without a token", row.method, row.path);
        for (role, scope, token) in &callers {
            let (status, code) = answered(&server, &row, token).await;
            let expected = match (row.scope, *scope) {
                _ if !row.roles.contains(role) => (403, "forbidden"),
                (_, "") | ("one" | "new" | "apply" | "many" | "free", "tier=gold") => (200, ""),
                ("fleet" | "new", _) => (403, "forbidden"),
                ("one", _) => (404, "tenant_not_found"),
                ("apply", _) => (409, "name_taken"),
                _ => (200, ""),
            };
            let what = format!("{} {} by {role} of {scope:?}", row.method, row.path);
            if expected.0 == 200 {
                // It got in: what else is the matter is told by other tests.
                let turned_away = [401, 403, 404].contains(&status);
                assert!(!turned_away, "{what}: {status} {code}");
            } else {
                assert_eq!((status, code.as_str()), expected, "{what}");
            }
        }
    }
    server.stop().await;
}

/// Every path of a router in the sources.
fn routed() -> BTreeSet<String> {
    fn read(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, into);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // Tests have routers of their own.
            let text = text.split("#[cfg(test)]").next().unwrap();
            let text: String = text.split_whitespace().collect();
            let paths = text.split(".route(\"").skip(1);
            into.extend(paths.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    let mut paths = BTreeSet::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api"),
        &mut paths,
    );
    paths
}

#[tokio::test]
async fn p12_every_route_has_a_rule_and_every_rule_a_route_and_a_test() {
    let tested: BTreeSet<_> = table().iter().map(|row| (row.method, row.path)).collect();
    let ruled: BTreeSet<_> = RULES.iter().map(|rule| (rule.method, rule.path)).collect();
    let open = [
        ("GET", "/livez"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/problems/{code}"),
        ("GET", "/readyz"),
    ]
    .into();
    assert_eq!(
        ruled.difference(&tested).copied().collect::<BTreeSet<_>>(),
        open
    );
    let server = Server::usual().await;
    server.create("acme").await;
    let paths = routed();
    for (method, path) in &ruled {
        assert!(
            paths.contains(*path),
            "the rule of {method} {path} has no route"
        );
    }
    for path in &paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let method: Method = method.parse().unwrap();
            let request = Request::builder().method(&method).uri(concrete(path));
            let request = request
                .header("host", "localhost")
                .body(Body::empty())
                .unwrap();
            let answer = api::router(server.api.clone())
                .oneshot(request)
                .await
                .unwrap();
            let (status, has_rule) = (
                answer.status().as_u16(),
                ruled.contains(&(method.as_str(), path.as_str())),
            );
            // Where there is no rule there must be no route, for it would be nobody's.
            assert_eq!(status == 405, !has_rule, "{method} {path} answers {status}");
            if status == 403 {
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                panic!("{method} {path}: {}", String::from_utf8_lossy(&body));
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn p12_whatever_is_the_matter_with_a_token_the_answer_is_the_same() {
    let server = closed().await;
    let admin = make(&server, json!({"name": "it", "role": "admin"})).await;
    let gone = make(&server, json!({"name": "gone", "role": "viewer"})).await;
    let revoke = server.ask("POST", "/v1/tokens/gone/revoke");
    revoke
        .header("authorization", &bearer(&admin))
        .send()
        .await
        .expect(200);
    let other = closed().await;
    let unknown = make(&other, json!({"name": "it", "role": "admin"})).await;
    other.stop().await;
    let mut typed = admin.clone();
    typed.pop();
    let mut answers = BTreeSet::new();
    for shown in [
        bearer(&gone),
        bearer(&unknown),
        bearer(&typed),
        bearer("tnr_"),
        bearer("eyJhbGciOiJub25lIn0.e30."),
        "Bearer".to_owned(),
        "Basic YTpi".to_owned(),
        admin.clone(),
    ] {
        let ask = server
            .ask("GET", "/v1/tenants")
            .header("authorization", &shown);
        let reply = ask.send().await.refused(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        let echoed = shown.len() > 12 && reply.body.to_string().contains(&shown);
        assert!(!echoed, "{reply:?}");
        let mut body = reply.body;
        body["instance"] = Value::Null;
        answers.insert(body.to_string());
    }
    let none = server.get("/v1/tenants").await.refused(401, "unauthorized");
    let mut body = none.body;
    body["instance"] = Value::Null;
    answers.insert(body.to_string());
    assert_eq!(answers.len(), 1, "{answers:#?}");
    server.get("/livez").await.expect(200);
    server.get("/readyz").await.expect(200);
    server.stop().await;
}

/// Tokens are the one thing that counts on a server that asks for them.
#[tokio::test]
async fn p12_a_server_that_asks_for_tokens_needs_no_guard_of_hosts() {
    let server = closed().await;
    let token = make(&server, json!({"name": "it", "role": "viewer"})).await;
    let ask = || {
        let ask = server
            .ask("GET", "/v1/tenants")
            .header("host", "tenure.example");
        ask.header("origin", "https://evil.example")
    };
    ask().send().await.refused(401, "unauthorized");
    let reply = ask()
        .header("authorization", &bearer(&token))
        .send()
        .await
        .expect(200);
    assert_eq!(reply.header("access-control-allow-origin"), "");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn p12_monitoring_goes_on_in_an_outage_by_a_token_that_was_good_before() {
    let server = closed().await;
    let mut tokens = Vec::new();
    for (name, role) in [
        ("scraper", "viewer"),
        ("gone", "viewer"),
        ("new", "viewer"),
        ("boss", "admin"),
    ] {
        tokens.push(bearer(
            &make(&server, json!({"name": name, "role": role})).await,
        ));
    }
    let [scraper, gone, new, boss] = tokens.try_into().unwrap();
    // In this task, so that the time goes only where it is moved.
    let router = api::router(server.api.clone());
    let ask = async |method: Method, path: &str, token: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", token).body(Body::empty());
        let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
        answer.status().as_u16()
    };
    let scrape = async |token: &str| ask(Method::GET, "/metrics", token).await;
    assert_eq!(scrape(&gone).await, 200);
    let revoke = "/v1/tokens/gone/revoke";
    assert_eq!(ask(Method::POST, revoke, &boss).await, 200);
    assert_eq!(scrape(&scraper).await, 200);

    server.store.close().await;
    advance(Duration::from_secs(6)).await;
    assert_eq!(scrape(&scraper).await, 200);
    // All else is for those whom the store knows now, even what it is not needed for otherwise.
    assert_eq!(ask(Method::GET, "/v1/whoami", &scraper).await, 503);
    assert_eq!(scrape(&gone).await, 503, "revoked, and so known no more");
    assert_eq!(scrape(&new).await, 503, "never seen");
    advance(Duration::from_mins(59)).await;
    assert_eq!(scrape(&scraper).await, 200);
    advance(Duration::from_mins(1)).await;
    assert_eq!(scrape(&scraper).await, 503, "too long ago");
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
}
