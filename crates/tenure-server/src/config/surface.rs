//! How the API is reached and by whom, what requests may take, and what the server tells of itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tenure::Role;

use super::{Broken, all_noted, broken, count, made, noted, seconds};
use crate::api::Limits;

/// TLS, ended by this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and what leads to its authority, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// The authorities of clients' certificates, PEM; if named, each client must have one.
    pub client_ca_file: Option<PathBuf>,
}

/// Who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Whether requests must say who they are, on loopback too.
    pub required: bool,
    /// Bearer tokens of an identity provider, beside those that Tenure made.
    pub oidc: Option<Oidc>,
}

/// An identity provider whose tokens are taken, as `OpenID` Connect Discovery describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    /// Its address, exactly as its tokens have it in `iss`.
    pub issuer: String,
    /// What its tokens must have in `aud`.
    pub audience: String,
    /// The claim that says who it is, for the history.
    pub name_claim: String,
    /// The claim with a word, or a list of words, that `roles` knows.
    pub roles_claim: String,
    /// The role of each word. The strongest that somebody has counts; without any, nobody comes in.
    pub roles: BTreeMap<String, Role>,
    /// The certificates that vouch for it, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What the server tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// How logs are written.
    pub log_format: LogFormat,
    /// Where traces go, by OTLP over HTTP; nowhere if absent.
    pub otlp_endpoint: Option<String>,
}

/// The rate of requests that one principal may keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, over time.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

impl Default for Rate {
    /// 200 a second, 400 at once.
    fn default() -> Self {
        Self {
            per_second: 200,
            burst: 400,
        }
    }
}

#[derive(Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "it is the shape of the file, where each key says that it names one"
)]
pub(super) struct FileTls {
    cert_file: Option<String>,
    key_file: Option<String>,
    client_ca_file: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct FileAuth {
    required: Option<bool>,
    oidc: Option<FileOidc>,
}

#[derive(Deserialize)]
pub(super) struct FileOidc {
    issuer: Option<String>,
    audience: Option<String>,
    name_claim: Option<String>,
    roles_claim: Option<String>,
    #[serde(default)]
    roles: BTreeMap<String, String>,
    ca_file: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct FileLimits {
    request_seconds: Option<u64>,
    body_seconds: Option<u64>,
    requests_at_once: Option<u32>,
    requests_per_second: Option<u32>,
    requests_burst: Option<u32>,
    idempotency_hours: Option<u32>,
}

#[derive(Default, Deserialize)]
pub(super) struct FileTelemetry {
    log_format: Option<LogFormat>,
    otlp_endpoint: Option<String>,
}

impl FileTls {
    pub(super) fn check(self, folder: &Path) -> Result<Tls, Vec<Broken>> {
        let mut wrong = Vec::new();
        let mut needed = |key, file: Option<String>| {
            let file = file.ok_or_else(|| broken(key, "must name a PEM file"));
            noted(&mut wrong, file).map(|file| folder.join(file))
        };
        let cert_file = needed("cert_file", self.cert_file);
        let key_file = needed("key_file", self.key_file);
        let client_ca_file = self.client_ca_file.map(|file| folder.join(file));
        let tls = cert_file.zip(key_file).map(|(cert_file, key_file)| Tls {
            cert_file,
            key_file,
            client_ca_file,
        });
        made(wrong, tls)
    }
}

impl FileAuth {
    pub(super) fn check(self, folder: &Path) -> Result<Auth, Vec<Broken>> {
        let mut wrong = Vec::new();
        let oidc = self.oidc.map(|oidc| oidc.check(folder)).transpose();
        let oidc = all_noted(&mut wrong, "oidc", oidc);
        let required = self.required.unwrap_or(false);
        made(wrong, oidc.map(|oidc| Auth { required, oidc }))
    }
}

impl FileOidc {
    fn check(self, folder: &Path) -> Result<Oidc, Vec<Broken>> {
        let mut wrong = Vec::new();
        let rule = "must be the https:// address of the identity provider, as its tokens name it";
        let is_good = |issuer: &String| issuer.starts_with("https://") || is_loopback(issuer);
        let issuer = self.issuer.filter(is_good);
        let issuer = noted(&mut wrong, issuer.ok_or_else(|| broken("issuer", rule)));
        let audience = self.audience.filter(|audience| !audience.is_empty());
        let rule = "must be the audience that tokens for Tenure have in aud";
        let audience = noted(&mut wrong, audience.ok_or_else(|| broken("audience", rule)));
        if self.roles.is_empty() {
            let rule =
                "must give at least one word of the claim a role, such as { ops = \"operator\" }";
            wrong.push(broken("roles", rule));
        }
        let mut roles = BTreeMap::new();
        for (word, role) in self.roles {
            let parsed = role.parse().map_err(|invalid: tenure::Invalid| {
                broken(&format!("roles.{word}"), invalid.rule())
            });
            roles.extend(noted(&mut wrong, parsed).map(|role| (word, role)));
        }
        let both = issuer.zip(audience);
        let oidc = both.map(|(issuer, audience)| Oidc {
            issuer,
            audience,
            name_claim: self.name_claim.unwrap_or_else(|| "sub".to_owned()),
            roles_claim: self.roles_claim.unwrap_or_else(|| "roles".to_owned()),
            roles,
            ca_file: self.ca_file.map(|file| folder.join(file)),
        });
        made(wrong, oidc)
    }
}

/// Whether an address is one of this machine, where tests have their providers.
fn is_loopback(address: &str) -> bool {
    let Ok(url) = address.parse::<http::Uri>() else {
        return false;
    };
    let is_plain = url.scheme_str() == Some("http") && !address.contains('@');
    is_plain && matches!(url.host(), Some("127.0.0.1" | "[::1]"))
}

impl FileLimits {
    pub(super) fn check(&self) -> Result<Limits, Vec<Broken>> {
        let mut wrong = Vec::new();
        let default = Limits::default();
        let mut number = |key, given, absent| noted(&mut wrong, count(key, given, absent));
        let many = number("requests_at_once", self.requests_at_once, 256);
        let hours = number("idempotency_hours", self.idempotency_hours, 24);
        let per_second = number("requests_per_second", self.requests_per_second, 200);
        let twice = per_second.map_or(1, |per_second| per_second.saturating_mul(2));
        let burst = number("requests_burst", self.requests_burst, twice);
        let mut time = |key, given, absent| noted(&mut wrong, seconds(key, given, absent));
        let body = time("body_seconds", self.body_seconds, default.body);
        let request = time("request_seconds", self.request_seconds, default.request);
        let limits = || {
            let (per_second, burst) = per_second.zip(burst)?;
            Some(Limits {
                body: body?,
                request: request?,
                in_flight: usize::try_from(many?).unwrap_or(default.in_flight),
                key_ttl: Duration::from_hours(u64::from(hours?)),
                rate: Rate { per_second, burst },
            })
        };
        made(wrong, limits())
    }
}

impl FileTelemetry {
    pub(super) fn check(self) -> Result<Telemetry, Broken> {
        let web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if self.otlp_endpoint.as_ref().is_some_and(|url| !web(url)) {
            let rule = "must be an http:// or https:// address, such as http://127.0.0.1:4318";
            return Err(broken("otlp_endpoint", rule));
        }
        Ok(Telemetry {
            log_format: self.log_format.unwrap_or_default(),
            otlp_endpoint: self.otlp_endpoint,
        })
    }
}
