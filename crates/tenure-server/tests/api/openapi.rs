//! The description of the API: complete, true, and with an example of every good answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tenure::conformance::{ManualClock, MemoryStore, start};
use tenure::{Clock, Correction, Engine, Selector, Store};
use tenure_server::api::{ApiOptions, ApiState, RULES, Rule, openapi_document};
use tenure_server::ids::IdSource;
use tenure_server::server::ConnectionLimits;
use uuid::Uuid;

use super::described;
use super::support::{Ask, Reply, Server};

/// Ids that are the same in every run.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl IdSource for Counted {
    fn fresh(&self) -> Uuid {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        Uuid::from_u128(0x01a2_0795_b000_7000_8000_0000_0000_0000 + u128::from(number))
    }
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file with what it should be, or writes it.
fn check(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, text).unwrap();
    }
    let there = fs::read_to_string(path).unwrap();
    let name = path.display();
    assert!(there == text, "UPDATE_SNAPSHOTS=1 writes {name} anew");
}

fn pretty(value: &impl serde::Serialize) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap())
}

/// Notes what each operation answers first, by its id and the status.
struct Notes<'a> {
    server: &'a Server,
    found: BTreeMap<String, Value>,
}

impl Notes<'_> {
    async fn get(&mut self, id: &str, path: &str) -> Reply {
        self.ask(id, self.server.ask("GET", path)).await
    }

    async fn write(&mut self, id: &str, method: &str, path: &str, body: &Value) -> Reply {
        let ask = self.server.ask(method, path).json(body.clone());
        self.ask(id, ask).await
    }

    async fn ask(&mut self, id: &str, ask: Ask<'_>) -> Reply {
        let reply = ask.send().await;
        assert!(reply.status < 300, "{reply:?}");
        let mut body = reply.body.clone();
        if id.ends_with("Token") && body["token"].is_string() {
            body["token"] = "tnr_shown_this_once".into();
        }
        let key = format!("{id} {}", reply.status);
        self.found.entry(key).or_insert(body);
        reply
    }

    fn lines(&mut self, id: &str, lines: &[Value]) {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let text = format!("{}\n", lines.join("\n"));
        self.found.insert(format!("{id} 200"), text.into());
    }
}

/// A server whose time and ids are the same in every run.
async fn pinned() -> Server {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(start()));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let ids: Arc<dyn IdSource> = Arc::new(Counted::default());
    let options = ApiOptions {
        clock: Arc::clone(&clock),
        ids: Arc::clone(&ids),
        ..ApiOptions::default()
    };
    let api = ApiState::new(Engine::new(Arc::clone(&store)), options);
    let server = Server::start_with(store, api, ConnectionLimits::default()).await;
    Server {
        clock,
        ids,
        ..server
    }
}

#[tokio::test]
async fn the_examples_are_what_a_server_answers() {
    let server = pinned().await;
    let mut notes = Notes {
        server: &server,
        found: BTreeMap::new(),
    };
    a_life(&mut notes).await;
    lists(&mut notes).await;
    many_and_tokens(&mut notes).await;
    work(&mut notes);
    check(
        &folder("src/api/openapi/examples.json"),
        &pretty(&notes.found),
    );
    server.stop().await;
}

/// One tenant, from the request for it on.
async fn a_life(notes: &mut Notes<'_>) {
    let one = "/v1/tenants/acme";
    let acme = json!({"name": "acme", "class": "default", "labels": {"tier": "gold"},
        "desired": {"plan": "gold", "seats": 3}, "message": "signed today"});
    let made = notes
        .write("createTenant", "POST", "/v1/tenants", &acme)
        .await;
    notes
        .write("createTenant", "POST", "/v1/tenants", &acme)
        .await;
    notes.server.work_off(made.id()).await;
    let seats = json!({"desired": {"seats": 5}});
    notes.write("patchTenant", "PATCH", one, &seats).await;
    notes.server.work_off(made.id()).await;
    let seen = json!({"plan": "tin", "seats": 5});
    notes.server.look(made.id(), seen, Correction::None).await;
    notes.get("listDrift", "/v1/drift").await;
    notes.get("getTenant", one).await;
    let waiver = json!({"path": "/plan", "until": "2999-01-01T00:00:00Z", "message": "a trial"});
    let reason = json!({"message": "a reason"});
    for (id, verb, body) in [
        ("waiveDrift", "waive", &waiver),
        ("acceptDrift", "accept", &reason),
        ("holdTenant", "hold", &reason),
        ("releaseTenant", "release", &reason),
        ("retryTenant", "retry", &reason),
        ("suspendTenant", "suspend", &reason),
        ("resumeTenant", "resume", &reason),
    ] {
        notes
            .write(id, "POST", &format!("{one}/{verb}"), body)
            .await;
    }
}

/// What is known of tenants.
async fn lists(notes: &mut Notes<'_>) {
    for (id, path) in [
        ("listTenants", "/v1/tenants?selector=tier%3Dgold"),
        ("listHistory", "/v1/tenants/acme/history?page_size=2"),
        ("explainTenant", "/v1/tenants/acme/explain"),
        ("countTenants", "/v1/counts"),
        ("followChanges", "/v1/changes?page_size=1"),
        ("whoAmI", "/v1/whoami"),
        ("isAlive", "/livez"),
        ("isReady", "/readyz"),
    ] {
        notes.get(id, path).await;
    }
    let page = &notes.found["followChanges 200"];
    let (next, change) = (page["next"].as_str().unwrap(), &page["items"][0]);
    let event = format!("id: {next}\nevent: change\ndata: {change}\n\n");
    notes
        .found
        .insert("followChanges 200 events".into(), event.into());
    let text = "# TYPE tenure_store_ready gauge\ntenure_store_ready 1\n";
    let all = notes.server.get("/metrics").await.expect(200);
    assert!(all.body.as_str().unwrap().contains(text));
    notes.found.insert("readMetrics 200".into(), text.into());
}

/// Tenants by lines, one that goes, and a token's life.
async fn many_and_tokens(notes: &mut Notes<'_>) {
    let (beta, server) = (json!({"desired": {"plan": "tin"}}), notes.server);
    for _ in 0..2 {
        notes
            .write("applyTenant", "PUT", "/v1/tenants/beta", &beta)
            .await;
    }
    let export = server.ask("GET", "/v1/export?name_prefix=beta");
    notes.lines("exportTenants", &export.lines().await);
    let import = server
        .ask("POST", "/v1/import")
        .header("content-type", "application/x-ndjson");
    let lines = "{\"name\":\"gamma\",\"desired\":{}}\n{\"name\":\"G\",\"desired\":{}}\n";
    notes.lines("importTenants", &import.raw(lines).lines().await);
    let left = "/v1/tenants/beta?message=left%20us";
    notes.ask("deleteTenant", server.ask("DELETE", left)).await;

    let token = json!({"name": "deploy", "role": "operator", "scope": "tier=gold"});
    for path in ["/v1/tokens?dry_run=true", "/v1/tokens"] {
        notes.write("createToken", "POST", path, &token).await;
    }
    notes.get("listTokens", "/v1/tokens").await;
    notes.get("getToken", "/v1/tokens/deploy").await;
    for (id, verb) in [("rotateToken", "rotate"), ("revokeToken", "revoke")] {
        let path = format!("/v1/tokens/deploy/{verb}");
        notes.ask(id, server.ask("POST", &path)).await;
    }
}

/// The answers to workers, which need a configuration: written by hand, and judged by their schemas.
fn work(notes: &mut Notes<'_>) {
    let tenant = "tnt_01m83sbc00e008000000000001";
    let request = json!({"contract": "tenure.provisioner/v1", "operation": "apply",
        "operation_id": format!("{tenant}/1/1/apply"), "generation": 1, "fence": 1, "running": true,
        "tenant": {"id": tenant, "name": "acme", "class": "default"}, "desired": {"plan": "gold"}});
    let lease = json!({"tenant": tenant, "fence": 1, "seconds": 30.0});
    let claimed = json!({"items": [{"lease": lease, "request": request}]});
    for (id, answer) in [
        ("claimWork", claimed),
        ("renewLease", json!({"seconds": 30.0})),
        ("reportWork", json!({"state": "ready"})),
    ] {
        notes.found.insert(format!("{id} 200"), answer);
    }
}

#[test]
fn every_good_answer_has_an_example_and_each_is_as_described() {
    let document = openapi_document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let Some(content) = answer.get("content") else {
                    continue;
                };
                for (media, content) in content.as_object().unwrap() {
                    let what = format!("{method} {path} {status} {media}");
                    if media == "text/html" || path == "/openapi.json" {
                        continue;
                    }
                    let examples = content["examples"].as_object();
                    let mut all: Vec<&Value> = examples
                        .into_iter()
                        .flat_map(|all| all.values().map(|example| &example["value"]))
                        .collect();
                    all.extend(content.get("example"));
                    assert!(!all.is_empty(), "{what} has no example");
                    for example in all {
                        let faults = described::faults(&content["schema"], example);
                        assert!(faults.is_empty(), "{what}: {faults:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_selectors_that_are_described_are_those_that_are_read() {
    let schema = json!({"$ref": "#/components/schemas/Selector"});
    for text in [
        "",
        "a",
        "!a",
        "! a",
        "a=b",
        "a==b",
        "a = b",
        "a=",
        "a!=b",
        "a in (b)",
        "a in (b, c)",
        "a notin (,b)",
        "x.io/a",
        "x.io/a=b,!c , d in ()",
        " a ",
        "a.b_c-d",
        "A=B",
        //
        "a=b=c",
        "a in b",
        "a in (b",
        "a like (b)",
        "=b",
        "a,,b",
        "a b",
        "!",
        "a=(b)",
        ",",
        "a,",
        "-a",
        "a-",
        "X.io/a",
        "/a",
        "a/",
        "a/b/c",
        "a=b c",
        "a in(b)(c)",
        "é",
        "a=é",
        "ain (b)",
    ] {
        let described = described::faults(&schema, &json!(text)).is_empty();
        let read = text.parse::<Selector>().is_ok();
        assert_eq!(
            described, read,
            "{text:?} is described otherwise than it is read"
        );
    }
}

/// The names of the query parameters that a route is described with.
fn query_parameters<'a>(document: &'a Value, rule: &Rule) -> Vec<&'a str> {
    let operation = &document["paths"][rule.path][rule.method.to_ascii_lowercase()];
    let parameters = operation["parameters"].as_array().unwrap().iter();
    parameters
        .map(|part| {
            let target = part["$ref"].as_str().unwrap().trim_start_matches('#');
            document.pointer(target).unwrap()
        })
        .filter(|part| part["in"] == "query")
        .map(|part| part["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_parameters_that_are_described_are_those_that_are_known() {
    let server = Server::usual().await;
    server.create("acme").await;
    server
        .post("/v1/tokens", json!({"name": "it", "role": "viewer"}))
        .await
        .expect(201);
    let document = openapi_document();
    for rule in RULES {
        let bodiless =
            rule.method == "GET" || rule.method == "DELETE" || rule.path.ends_with("hold");
        if !bodiless || rule.path.starts_with("/problems") {
            continue;
        }
        let path = rule
            .path
            .replace("{tenant}", "acme")
            .replace("{name}", "it");
        let reply = server
            .ask(rule.method, &format!("{path}?nonsense=1"))
            .send()
            .await;
        let refused = reply.refused(422, "invalid");
        let (_, known) = refused.text("detail").split_once("known are: ").unwrap();
        let known: BTreeSet<&str> = known.split(", ").filter(|name| *name != "none").collect();
        let described = BTreeSet::from_iter(query_parameters(&document, rule));
        assert_eq!(described, known, "{} {}", rule.method, rule.path);
    }
    server.stop().await;
}

#[test]
fn the_document_and_the_reference_are_up_to_date() {
    let document = openapi_document();
    check(
        &folder("../../docs/reference/openapi.json"),
        &pretty(&document),
    );
    let page = folder("../../docs/reference/api.md");
    let text = fs::read_to_string(&page).unwrap();
    let (begin, end) = (
        "<!-- made from the document: begin -->\n",
        "<!-- made from the document: end -->",
    );
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let mut table = String::from("\n| route | what it does | parameters |\n|---|---|---|\n");
    for rule in RULES {
        let operation = &document["paths"][rule.path][rule.method.to_ascii_lowercase()];
        let summary = operation["summary"].as_str().unwrap();
        let parameters = query_parameters(&document, rule);
        let parameters: Vec<String> = parameters.iter().map(|name| format!("`{name}`")).collect();
        let parameters = parameters.join(", ");
        let (method, path) = (rule.method, rule.path);
        writeln!(table, "| `{method} {path}` | {summary} | {parameters} |").unwrap();
    }
    check(&page, &format!("{before}{begin}{table}\n{end}{after}"));
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let server = Server::usual().await;
    let document = server.get("/openapi.json").await.expect(200).body;
    assert_eq!(document, openapi_document());
    let (status, page) = server.ask("GET", "/docs").page().await;
    assert_eq!(status, 200);
    for rule in RULES {
        let operation = &document["paths"][rule.path][rule.method.to_ascii_lowercase()];
        let id = operation["operationId"].as_str().unwrap();
        assert!(
            page.contains(&format!("<article id=\"{id}\">")),
            "{id} is not on the page"
        );
    }
    let outside = ["<script", "http://", "https://", "src="];
    assert!(
        !outside.iter().any(|word| page.contains(word)),
        "the page needs nothing else"
    );
    server.stop().await;
}
