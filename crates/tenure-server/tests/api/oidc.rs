//! Tokens of an identity provider, which is a real one as far as anybody can see over HTTP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tenure::{Clock, Role, SystemClock};
use tenure_server::api::ApiOptions;
use tenure_server::config::Oidc;
use tenure_server::oidc;
use tenure_server::server::{self, ConnectionLimits, Exposure};
use tokio_util::sync::CancellationToken;

use super::endings::last;
use super::feed::Events;
use super::support::{Reply, Server, memory};

/// A key of the provider, with the name that it has now.
struct Key {
    kid: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid, pair }
    }

    /// What the provider publishes of it.
    fn public(&self) -> Value {
        // An uncompressed point: a byte, and two coordinates.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid,
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y)})
    }

    fn signed(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        let der = self.pair.to_pkcs8v1().unwrap();
        encode(&header, claims, &EncodingKey::from_ec_der(der.as_ref())).unwrap()
    }
}

#[derive(Clone, Default)]
struct Provider {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicU32>,
    stop: CancellationToken,
}

async fn discovery(State(provider): State<Provider>) -> String {
    provider.asked.fetch_add(1, Ordering::SeqCst);
    let issuer = &provider.issuer;
    json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string()
}

async fn keys(State(provider): State<Provider>) -> String {
    json!({"keys": *provider.keys.lock().unwrap()}).to_string()
}

impl Provider {
    async fn start(key: &Key) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = server::listen(address, Exposure::Loopback).await.unwrap();
        let provider = Self {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            keys: Arc::new(Mutex::new(vec![key.public()])),
            ..Self::default()
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(provider.clone());
        let stop = provider.stop.clone();
        tokio::spawn(server::serve(
            listener,
            router,
            ConnectionLimits::default(),
            stop,
        ));
        provider
    }

    /// A server that believes this provider, and asks it anew for unknown keys as often as this.
    async fn believed(&self, again: Duration) -> Server {
        let roles = [("ops", Role::Operator), ("look", Role::Viewer)];
        let config = Oidc {
            issuer: self.issuer.clone(),
            audience: "tenure".to_owned(),
            name_claim: "email".to_owned(),
            roles_claim: "realm_access.roles".to_owned(),
            roles: BTreeMap::from(roles.map(|(word, role)| (word.to_owned(), role))),
            ca_file: None,
        };
        let options = ApiOptions {
            auth_required: true,
            verifier: Some(oidc::verifier_that_asks(&config, again).unwrap()),
            ..ApiOptions::default()
        };
        Server::start(memory(), options, ConnectionLimits::default()).await
    }

    /// Good claims of somebody with these roles.
    fn claims(&self, roles: &[&str]) -> Value {
        json!({"iss": self.issuer, "aud": ["other", "tenure"], "exp": now() + 600,
            "sub": "7f", "email": "maria@example.com", "realm_access": {"roles": roles}})
    }
}

fn now() -> i64 {
    SystemClock.now().as_micros() / 1_000_000
}

async fn ask(server: &Server, method: &str, token: &str) -> Reply {
    let ask = server
        .ask(method, "/v1/tenants")
        .header("authorization", &format!("Bearer {token}"));
    if method == "GET" {
        return ask.send().await;
    }
    ask.json(json!({"name": "acme", "desired": {}}))
        .send()
        .await
}

#[tokio::test]
async fn p12_a_provider_says_who_somebody_is_and_the_configuration_what_they_may() {
    let key = Key::new("one");
    let provider = Provider::start(&key).await;
    let server = provider.believed(Duration::ZERO).await;
    let viewer = key.signed(&provider.claims(&["look", "else"]));
    ask(&server, "GET", &viewer).await.expect(200);
    ask(&server, "POST", &viewer)
        .await
        .refused(403, "forbidden");
    let operator = key.signed(&provider.claims(&["look", "ops"]));
    ask(&server, "POST", &operator).await.expect(201);
    let history = server
        .ask("GET", "/v1/tenants/acme/history")
        .header("authorization", &format!("Bearer {operator}"));
    let lines = history.send().await.expect(200);
    assert_eq!(lines.body["items"][0]["actor"], "user:maria@example.com");
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1, "keys are kept");
    let mut word = provider.claims(&[]);
    word["realm_access"]["roles"] = "look".into();
    ask(&server, "GET", &key.signed(&word)).await.expect(200);
    provider.stop.cancel();
    server.stop().await;
}

#[tokio::test]
async fn p12_a_token_that_is_not_quite_right_is_nobodys() {
    let key = Key::new("one");
    let provider = Provider::start(&key).await;
    let server = provider.believed(Duration::ZERO).await;
    let with = |claim: &str, value: Value| {
        let mut claims = provider.claims(&["ops"]);
        claims[claim] = value;
        key.signed(&claims)
    };
    let good = key.signed(&provider.claims(&["ops"]));
    ask(&server, "GET", &good).await.expect(200);
    let parts: Vec<&str> = good.split('.').collect();
    let mut altered = BASE64URL_NOPAD.decode(parts[2].as_bytes()).unwrap();
    altered[9] ^= 1;
    let altered = BASE64URL_NOPAD.encode(&altered);
    let none = BASE64URL_NOPAD.encode(br#"{"alg":"none","kid":"one"}"#);
    // With the public key as the secret, which the whole world has.
    let mut shared = Header::new(Algorithm::HS256);
    shared.kid = Some("one".to_owned());
    let secret = EncodingKey::from_secret(key.pair.public_key().as_ref());
    let other = Key::new("one");
    for (what, token) in [
        ("expired", with("exp", (now() - 120).into())),
        ("without an end", with("exp", Value::Null)),
        ("of a time to come", with("nbf", (now() + 600).into())),
        (
            "of another issuer",
            with("iss", "http://127.0.0.1:1".into()),
        ),
        ("for another audience", with("aud", "other".into())),
        ("of nobody", with("email", Value::Null)),
        (
            "of a name that no history can hold",
            with("email", "a\nb".into()),
        ),
        ("without a role", key.signed(&provider.claims(&["else"]))),
        ("unsigned", format!("{none}.{}.", parts[1])),
        (
            "of a shared secret",
            encode(&shared, &provider.claims(&["ops"]), &secret).unwrap(),
        ),
        ("of another's key", other.signed(&provider.claims(&["ops"]))),
        (
            "of an unknown key",
            Key::new("two").signed(&provider.claims(&["ops"])),
        ),
        ("altered", format!("{}.{}.{altered}", parts[0], parts[1])),
        ("no token", "x.y.z".to_owned()),
    ] {
        let reply = ask(&server, "GET", &token).await;
        assert_eq!(
            (reply.status, reply.code()),
            (401, "unauthorized"),
            "{what}"
        );
        assert!(
            reply
                .text("detail")
                .starts_with("send a token that is good"),
            "{what}"
        );
    }
    provider.stop.cancel();
    server.stop().await;
}

#[tokio::test]
async fn p12_keys_are_changed_kept_while_the_provider_is_away_and_not_asked_for_at_will() {
    let one = Key::new("one");
    let provider = Provider::start(&one).await;
    let patient = provider.believed(Duration::from_hours(1)).await;
    let server = provider.believed(Duration::ZERO).await;
    let by_one = one.signed(&provider.claims(&["look"]));
    for server in [&patient, &server] {
        ask(server, "GET", &by_one).await.expect(200);
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
    let made_up = Key::new("made-up").signed(&provider.claims(&["look"]));
    for _ in 0..5 {
        ask(&patient, "GET", &made_up).await.expect(401);
    }
    assert_eq!(
        provider.asked.load(Ordering::SeqCst),
        2,
        "made-up keys are not asked for"
    );

    let two = Key::new("two");
    *provider.keys.lock().unwrap() = vec![two.public()];
    let by_two = two.signed(&provider.claims(&["look"]));
    ask(&server, "GET", &by_two).await.expect(200);
    ask(&server, "GET", &by_one).await.expect(401);
    provider.stop.cancel();
    ask(&server, "GET", &by_two).await.expect(200);
    ask(&server, "GET", &by_one).await.expect(401);
    patient.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn p12_what_began_with_a_providers_word_ends_with_it() {
    let key = Key::new("one");
    let provider = Provider::start(&key).await;
    let server = provider.believed(Duration::ZERO).await;
    // With a minute for clocks that differ, it is good for two seconds more.
    let (begun, mut claims) = (now(), provider.claims(&["look"]));
    claims["exp"] = (begun - 58).into();
    let header = format!("authorization: Bearer {}", key.signed(&claims));
    let events = Events::try_open(&server, "", &header).await.unwrap();
    let problem = tokio::time::timeout(Duration::from_secs(10), last(events)).await;
    assert_eq!(problem.expect("it ends")["code"], "unauthorized");
    assert!(now() >= begun + 2);
    provider.stop.cancel();
    server.stop().await;
}
