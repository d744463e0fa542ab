//! The provider's keys: fetched when they are needed, kept while they are good.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Certificate, Client, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use super::refused;
use crate::api::Refused;
use crate::config::Oidc;

/// How long keys are used without asking whether they still are the provider's.
const FRESH: Duration = Duration::from_hours(1);

/// How long they are used while the provider can't be asked.
const GOOD: Duration = Duration::from_hours(24);

/// How long the provider may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Most bytes of an answer.
const BYTES_MAX: usize = 1024 * 1024;

/// What the provider says about itself, as far as it is of use here.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Clone)]
struct Fetched {
    set: Arc<JwkSet>,
    at: Instant,
}

pub(super) struct Keys {
    issuer: String,
    http: Client,
    /// How long to wait after asking before asking again.
    again: Duration,
    known: RwLock<Option<Fetched>>,
    /// When the provider was last asked; held while it is.
    asked: Mutex<Option<Instant>>,
}

impl Keys {
    pub(super) fn new(config: &Oidc, again: Duration) -> anyhow::Result<Self> {
        let mut builder = Client::builder()
            .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(ANSWER);
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path)
                .with_context(|| format!("ca_file: can't read {}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem).with_context(|| {
                format!("ca_file: {} must hold PEM certificates", path.display())
            })?;
            builder = builder.tls_certs_only(certificates);
        } else if config.issuer.starts_with("http://") {
            // Plain HTTP must not fail for want of the system's certificates.
            builder = builder.tls_certs_only(Vec::<Certificate>::new()).no_proxy();
        }
        Ok(Self {
            issuer: config.issuer.clone(),
            http: builder.build().context("no TLS")?,
            again,
            known: RwLock::new(None),
            asked: Mutex::new(None),
        })
    }

    /// The key that a token names.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Refused> {
        if let Some(key) = self.look(kid, algorithm, FRESH).await {
            return key;
        }
        self.fetch().await;
        let found = self.look(kid, algorithm, GOOD).await;
        found.unwrap_or(Err(refused("unknown_key")))
    }

    /// The key among those that are known and not older than this, if it is there.
    async fn look(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        age: Duration,
    ) -> Option<Result<DecodingKey, Refused>> {
        let known = self.known.read().await.clone();
        let known = known.filter(|known| known.at.elapsed() < age)?;
        let mut fit = known.set.keys.iter().filter(|key| {
            let named = kid.is_none() || key.common.key_id.as_deref() == kid;
            named && signs(key, algorithm)
        });
        let (key, other) = (fit.next()?, fit.next());
        if kid.is_none() && other.is_some() {
            return Some(Err(refused("which_key")));
        }
        Some(DecodingKey::from_jwk(key).map_err(|_| refused("bad_key")))
    }

    /// Asks the provider, unless it was asked a moment ago; of many who want it, one does.
    async fn fetch(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < self.again) {
            return;
        }
        *asked = Some(Instant::now());
        match self.ask().await {
            Ok(set) => {
                let (set, at) = (Arc::new(set), Instant::now());
                tracing::info!(
                    issuer = self.issuer,
                    keys = set.keys.len(),
                    "fetched the provider's keys"
                );
                *self.known.write().await = Some(Fetched { set, at });
            }
            Err(error) => {
                let why = format!("{error:#}");
                tracing::warn!(issuer = self.issuer, why, "can't fetch the provider's keys");
            }
        }
        drop(asked);
    }

    async fn ask(&self) -> anyhow::Result<JwkSet> {
        let issuer = self.issuer.trim_end_matches('/');
        let discovery = format!("{issuer}/.well-known/openid-configuration");
        let discovery: Discovery = self.get(&discovery).await?;
        ensure!(
            discovery.issuer == self.issuer,
            "it calls itself {}; write auth.oidc.issuer exactly so",
            discovery.issuer
        );
        self.get(&discovery.jwks_uri).await
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> anyhow::Result<T> {
        let url = Url::parse(address).with_context(|| format!("{address} is no address"))?;
        let near = self.issuer.starts_with("http://");
        ensure!(
            url.scheme() == "https" || near,
            "{address} must be https://"
        );
        let mut answer = self.http.get(url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > BYTES_MAX {
                bail!("{address} answers with more than {BYTES_MAX} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("{address} answers with something else"))
    }
}

/// Whether a key is for signatures with this algorithm.
fn signs(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let for_signatures = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption));
    let said = common.key_algorithm.map(|said| said.to_string());
    let fits = said.is_none_or(|said| said == format!("{algorithm:?}"));
    let public = !matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
    for_signatures && fits && public
}
