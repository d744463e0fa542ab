//! Every key that there is: what it takes, what counts without it, and what it means.

use super::keys::Absent::{Boolean, Nothing, Number, Said, Text, Times};
use super::keys::Below::{Named, Optional, Table};
use super::keys::{Key, Keys, Kind, key, value};

/// An hour, in seconds.
const HOUR: u32 = 3_600;

/// A day, in seconds, and the most of what takes seconds.
const DAY: u32 = 86_400;

/// 30 days, in seconds.
const MONTH: u32 = 30 * DAY;

/// The most of what is counted.
const MANY: u32 = 1_000_000;

/// Two keys of the file of which a layer has one at most; it goes before both in the layers below.
pub(super) const INSTEAD: (&str, &str) = ("store", "store_file");

/// The keys of the file.
pub(super) static ROOT: Keys = Keys::of(&[
    value(
        "store",
        Kind::Store,
        Text("sqlite:.tenure/tenure.db"),
        "where the record is kept",
    ),
    value(
        "store_file",
        Kind::Path,
        Nothing,
        "instead of `store`: the file that holds the URL, if there is a password in it",
    ),
    value(
        "listen",
        Kind::Address,
        Text("127.0.0.1:7310"),
        "where the API listens",
    ),
    value(
        "concurrency",
        Kind::Number(1, 1_000),
        Number(8),
        "how many operations run at once",
    ),
    value(
        "behind_proxy",
        Kind::Boolean,
        Boolean(false),
        "a proxy ends TLS before this server",
    ),
    value(
        "require_if_match",
        Kind::Boolean,
        Boolean(false),
        "changes of a tenant must say which revision they saw, with `If-Match`",
    ),
    value(
        "drain_delay_seconds",
        Kind::Number(0, HOUR),
        Number(5),
        "how long the server serves on after SIGTERM, while `/readyz` says that it stops; Ctrl-C and \
         a second signal cut it short",
    ),
    key("tls", Optional(&TLS)),
    key("auth", Table(&AUTH)),
    key("limits", Table(&LIMITS)),
    key("telemetry", Table(&TELEMETRY)),
    key("classes", Named(&CLASS)),
    key("workers", Named(&WORKER)),
]);

static TLS: Keys = Keys::of(&[
    value(
        "cert_file",
        Kind::Path,
        Nothing,
        "the certificate and what leads to its authority, PEM",
    ),
    value("key_file", Kind::Path, Nothing, "its private key, PEM"),
    value(
        "client_ca_file",
        Kind::Path,
        Said("none"),
        "the authorities of clients' certificates, PEM; if named, each client must have one",
    ),
])
.needing(&["cert_file", "key_file"]);

static AUTH: Keys = Keys::of(&[
    value(
        "required",
        Kind::Boolean,
        Boolean(false),
        "requests must say who they are, on loopback too",
    ),
    key("oidc", Optional(&OIDC)),
]);

static OIDC: Keys = Keys::of(&[
    value(
        "issuer",
        Kind::Web,
        Nothing,
        "the identity provider's `https://` address, exactly as its tokens have it in `iss`",
    ),
    value(
        "audience",
        Kind::Text,
        Nothing,
        "what its tokens must have in `aud`",
    ),
    value(
        "name_claim",
        Kind::Text,
        Text("sub"),
        "the claim that says who it is, for the history",
    ),
    value(
        "roles_claim",
        Kind::Text,
        Text("roles"),
        "the claim with a word, or a list of words, that `roles` knows",
    ),
    value("roles", Kind::Table, Nothing, "the role of each word"),
    value(
        "ca_file",
        Kind::Path,
        Said("none"),
        "the certificates that vouch for the provider, instead of the system's",
    ),
])
.needing(&["issuer", "audience", "roles"]);

static LIMITS: Keys = Keys::of(&[
    value(
        "request_seconds",
        Kind::Number(1, DAY),
        Number(30),
        "how long a request may take in all",
    ),
    value(
        "body_seconds",
        Kind::Number(1, DAY),
        Number(20),
        "how long a client may take to send a body",
    ),
    value(
        "requests_at_once",
        Kind::Number(1, MANY),
        Number(256),
        "how many requests may be at work in the store; more are turned away",
    ),
    value(
        "requests_per_second",
        Kind::Number(1, MANY),
        Number(200),
        "requests a second that one principal may keep up",
    ),
    value(
        "requests_burst",
        Kind::Number(1, MANY),
        Times("twice that", 2, "limits.requests_per_second"),
        "requests at once that one principal may make",
    ),
    value(
        "idempotency_hours",
        Kind::Number(1, MANY),
        Number(24),
        "how long an idempotency key is remembered",
    ),
]);

static TELEMETRY: Keys = Keys::of(&[
    value(
        "log_format",
        Kind::Word(&["auto", "text", "json"]),
        Text("auto"),
        "`text`, `json`, or `auto`: text on a terminal, JSON elsewhere",
    ),
    value(
        "otlp_endpoint",
        Kind::Web,
        Said("none"),
        "where traces go, by OTLP over HTTP",
    ),
]);

static CLASS: Keys = Keys::of(&[
    value(
        "exec",
        Kind::Program,
        Nothing,
        "the program that makes the tenants, and its arguments",
    ),
    value(
        "http",
        Kind::Endpoint,
        Nothing,
        "the `https://` address that operations are sent to; `http://` only with \
         `allow_private_addresses`",
    ),
    value(
        "pull",
        Kind::True,
        Nothing,
        "workers ask for the operations",
    ),
    value(
        "env",
        Kind::Secrets,
        Said("none"),
        "for `exec`: what its environment has beside `PATH`, `HOME`, `LANG` and `TMPDIR`",
    ),
    value(
        "signing_secret_file",
        Kind::Path,
        Said("none"),
        "for `http`: the file with the secret that requests are signed with",
    ),
    value(
        "allow_private_addresses",
        Kind::Boolean,
        Said("`false`"),
        "for `http`: whether the address may be of a private network or of this machine",
    ),
    value(
        "ca_file",
        Kind::Path,
        Said("none"),
        "for `http`: the certificates that vouch for the address, instead of the system's",
    ),
    value(
        "secrets",
        Kind::Texts,
        Said("none"),
        "the secrets that `desired` may name: `env:NAME` or `file:/PATH`; a `*` at the end stands \
         for all that begin so",
    ),
    value(
        "schema",
        Kind::Path,
        Said("none"),
        "the JSON Schema that `desired` must satisfy",
    ),
    value(
        "defaults",
        Kind::Object,
        Said("none"),
        "what stands under `desired` where that says nothing",
    ),
    value(
        "deadline_seconds",
        Kind::Number(1, DAY),
        Number(300),
        "how long one operation may take",
    ),
    value(
        "lease_seconds",
        Kind::Number(1, DAY),
        Number(30),
        "how long work stays claimed by a server that died",
    ),
    value(
        "attempts_max",
        Kind::Number(1, u32::MAX),
        Number(20),
        "after how many failures in a row a tenant halts",
    ),
    value(
        "retry_base_seconds",
        Kind::Number(1, DAY),
        Number(1),
        "the longest wait after the first failure; it doubles with each further one",
    ),
    value(
        "retry_cap_seconds",
        Kind::Number(1, DAY),
        Number(300),
        "the longest wait at all",
    ),
    value(
        "concurrency",
        Kind::Number(1, 1_000),
        Times("as the server", 1, "concurrency"),
        "most operations of the class at once on this server",
    ),
    value(
        "per_minute",
        Kind::Number(1, MANY),
        Said("no limit"),
        "most operations of the class begun in a minute on this server",
    ),
    value(
        "checks_per_minute",
        Kind::Number(1, MANY),
        Number(600),
        "most routine checks of the class begun in a minute on this server",
    ),
    key("deadlines", Table(&DEADLINES)),
    key("drift", Table(&DRIFT)),
    key("breaker", Table(&BREAKER)),
])
.with_one_of(&["exec", "http", "pull"]);

static DEADLINES: Keys = Keys::of(&[
    deadline("requested", "until work on it begins"),
    deadline("provisioning", "until it is there"),
    deadline("updating", "until it is as is wanted"),
    deadline("suspending", "until it is stopped"),
    deadline("resuming", "until it runs again"),
    deadline("deleting", "until it is torn down"),
]);

const fn deadline(state: &'static str, meaning: &'static str) -> Key {
    value(state, Kind::Number(0, MONTH), Number(3_600), meaning)
}

static DRIFT: Keys = Keys::of(&[
    value(
        "mode",
        Kind::Word(&["off", "observe", "correct"]),
        Text("observe"),
        "`off`: nobody looks; `observe`: drift is recorded; `correct`: it is repaired too",
    ),
    value(
        "interval_seconds",
        Kind::Number(1, MONTH),
        Number(3_600),
        "how long a tenant rests between two looks, give or take a fifth",
    ),
    value(
        "corrections_per_hour",
        Kind::Number(1, MANY),
        Number(10),
        "most automatic corrections of the class in an hour, over all servers",
    ),
    value(
        "paths",
        Kind::Pointers,
        Said("all"),
        "the parts of `desired` that count, with all below them",
    ),
    value(
        "ignore",
        Kind::Pointers,
        Said("none"),
        "the parts that don't count, with all below them",
    ),
    value(
        "lists",
        Kind::Table,
        Said("none"),
        "by JSON Pointer, the lists whose order doesn't matter: `set`, or `key:MEMBER` if that \
         member names each object in it",
    ),
]);

static BREAKER: Keys = Keys::of(&[
    value(
        "failures",
        Kind::Number(1, MANY),
        Number(5),
        "after how many failures in a row operations of the class pause",
    ),
    value(
        "cooldown_seconds",
        Kind::Number(1, DAY),
        Number(30),
        "for how long",
    ),
]);

static WORKER: Keys = Keys::of(&[
    value(
        "token_sha256",
        Kind::Digest,
        Nothing,
        "the SHA-256 of its token: `printf %s TOKEN | sha256sum`",
    ),
    value(
        "token_file",
        Kind::Path,
        Nothing,
        "the file that holds its token, 16 characters or more; it is read at the start, and only \
         its hash is kept",
    ),
    value(
        "classes",
        Kind::Texts,
        Nothing,
        "the classes whose operations it may ask for; each has `pull = true`",
    ),
])
.needing(&["classes"])
.with_one_of(&["token_sha256", "token_file"]);
