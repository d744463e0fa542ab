//! Who asks, and whether they may: before anything else of a request is read.
//!
//! # Invariants
//!
//! - A route without a row in [`rules`] is refused to everybody.
//! - An unknown, expired, revoked or malformed token is answered alike, and no token is ever logged.
//! - A server that requires authentication goes by `Authorization` alone, which no page of another
//!   site can make a browser send unasked: so it needs no guard of `Host` and `Origin`, and has no
//!   cookie that would need one.

mod identity;
mod known;
mod pass;
mod rate;
mod rules;
mod secret;
mod strangers;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq as _;
use tenure::{Actor, ClassName, Hash, Labels, Role, Selector, Token};
use tokio::time::{Instant, sleep};

use super::code::Code;
use super::headers;
use super::problem::Problem;
use super::state::ApiState;
use pass::Proof;
use strangers::Judged;

pub use identity::{Identity, Refused, Verifier};
pub(crate) use known::Known;
pub(crate) use pass::Pass;
pub(crate) use rate::Rates;
pub use rules::{Permission, RULES, Rule, reference};
pub(crate) use secret::Secret;
pub(crate) use strangers::Strangers;

/// How long who watches the server waits for the store to say who they are, if that is known from before.
const WATCHES_WAIT: Duration = Duration::from_secs(2);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// What history calls them. Proven, unless they are anonymous: then they say it themselves.
    pub(crate) actor: Actor,
    pub(crate) role: Role,
    /// The classes whose work they may do.
    pub(crate) classes: BTreeSet<ClassName>,
    /// The tenants that are there for them.
    pub(crate) scope: Selector,
    /// Whom the store has leases for, if they may have any.
    pub(crate) holder: Option<String>,
    /// Whether nobody asked who they are.
    pub(crate) anonymous: bool,
    /// What proves it, and for how long.
    proof: Proof,
}

impl Principal {
    /// Whether tenants with these labels are there for them.
    pub(crate) fn sees(&self, labels: &Labels) -> bool {
        self.scope.matches(labels)
    }
}

/// Where a client is, if the server knows; put into a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the server makes it")]
pub struct ClientAddress(pub IpAddr);

/// A request of this very process, which is asked for no token. Nothing on a socket can carry it.
#[derive(Clone, Copy, Debug)]
pub(super) struct InProcess;

/// Why somebody is turned away: a word for logs and counters, and what they are told.
struct Turned(&'static str, Problem);

/// What is read of a request to know who asks.
struct Asked {
    permission: Permission,
    shown: Shown,
    address: Option<ClientAddress>,
    actor: Result<Actor, Problem>,
    open: bool,
    /// Whether it is this server itself that is asked about.
    watches: bool,
}

/// What `Authorization` shows.
enum Shown {
    Nothing,
    Bearer(String),
    Other,
}

/// Lets those in who may use the route.
pub(super) async fn enter(
    State(api): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let address = request.extensions().get::<ClientAddress>().copied();
    let path = route.as_ref().map_or("none", MatchedPath::as_str);
    let Some(permission) = rules::rule(request.method(), path) else {
        let problem = Problem::new(Code::Forbidden, "no rule says who may use this route");
        return turned_away(&api, Turned("no_rule", problem), (path, address));
    };
    if permission == Permission::Open {
        request.extensions_mut().insert(nobody());
        return next.run(request).await;
    }
    let in_process = request.extensions().get::<InProcess>().is_some();
    let asked = Asked {
        permission,
        shown: shown(request.headers()),
        address,
        actor: headers::actor(request.headers()),
        open: in_process || !api.options().auth_required,
        watches: path == "/metrics",
    };
    match admitted(&api, asked).await {
        Ok(principal) => {
            let actor = tracing::field::display(&principal.actor);
            tracing::Span::current().record("actor", actor);
            request.extensions_mut().insert(principal);
            let response = next.run(request).await;
            if let Some(problem) = response.extensions().get::<Problem>()
                && problem.code() == Code::Forbidden
            {
                refused(&api, "scope", (path, address));
            }
            response
        }
        Err(turned) => turned_away(&api, turned, (path, address)),
    }
}

/// From where somebody came, and to which route.
type Came<'a> = (&'a str, Option<ClientAddress>);

/// Says so in a counter, and in the log unless it was told of many like it; never what was shown.
fn refused(api: &ApiState, reason: &'static str, (route, address): Came<'_>) {
    metrics::counter!("tenure_auth_refusals_total", "reason" => reason).increment(1);
    let Some(untold) = api.strangers().tells(reason, Instant::now()) else {
        return;
    };
    let address = address.map(|address| address.0.to_string());
    let client = address.as_deref().unwrap_or("unknown");
    let untold = (untold > 0).then_some(untold);
    tracing::warn!(route, reason, client, untold, "a request was refused");
}

fn turned_away(api: &ApiState, turned: Turned, came: Came<'_>) -> Response {
    let Turned(reason, problem) = turned;
    // Trouble with the store is not the client's.
    if matches!(
        problem.code(),
        Code::Unauthorized | Code::Forbidden | Code::RateLimited
    ) {
        refused(api, reason, came);
    }
    problem.into_response()
}

fn shown(headers: &HeaderMap) -> Shown {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        let none = !headers.contains_key(header::AUTHORIZATION);
        return if none { Shown::Nothing } else { Shown::Other };
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Shown::Bearer(token.trim().to_owned())
        }
        _ => Shown::Other,
    }
}

/// Who asks, if they may.
async fn admitted(api: &ApiState, asked: Asked) -> Result<Principal, Turned> {
    let principal = match &asked.shown {
        Shown::Nothing if asked.open => anyone(asked.actor)?,
        Shown::Nothing => return Err(unknown("missing")),
        Shown::Other => return Err(unknown("malformed")),
        Shown::Bearer(text) => stranger(api, (text, asked.watches), asked.address).await?,
    };
    let permission = asked.permission;
    if permission == Permission::Work && principal.anonymous {
        return Err(unknown("missing"));
    }
    if !permission.roles().contains(&principal.role) {
        let roles: Vec<&str> = permission
            .roles()
            .iter()
            .map(|role| role.as_str())
            .collect();
        let detail = format!(
            "your role is {}; to {} takes {}",
            principal.role,
            permission.as_str(),
            roles.join(" or ")
        );
        return Err(Turned("role", Problem::new(Code::Forbidden, detail)));
    }
    if permission.is_of_the_fleet() && !principal.scope.is_empty() {
        let detail = format!(
            "your scope is {}; to {} takes a token without a scope",
            principal.scope,
            permission.as_str()
        );
        return Err(Turned("scope", Problem::new(Code::Forbidden, detail)));
    }
    // Who is not known can't be told from the next one; and is on this machine.
    if !principal.anonymous && !api.rates().admits(&principal.actor) {
        let rate = api.options().limits.rate;
        let detail = format!(
            "{} makes more than {} requests a second; nothing was done; try again later",
            principal.actor, rate.per_second
        );
        return Err(Turned("rate", Problem::new(Code::RateLimited, detail)));
    }
    Ok(principal)
}

/// The one answer to all whose token is not good, whatever is the matter with it.
fn unknown(reason: &'static str) -> Turned {
    let detail = "send a token that is good, as `Authorization: Bearer tnr_…`; an admin makes one with \
                  `tenure token create`, and the first is made on the store itself: \
                  `tenure token create NAME --role admin --store URL`";
    let problem = Problem::new(Code::Unauthorized, detail);
    Turned(
        reason,
        problem.with_accept(header::WWW_AUTHENTICATE, "Bearer"),
    )
}

/// Whoever asks for what tells nothing of any tenant.
fn nobody() -> Principal {
    Principal {
        actor: Actor::anonymous(),
        role: Role::Viewer,
        classes: BTreeSet::new(),
        scope: Selector::default(),
        holder: None,
        anonymous: true,
        proof: Proof::Lasting,
    }
}

/// Somebody on this machine, whom nobody asks who they are.
fn anyone(actor: Result<Actor, Problem>) -> Result<Principal, Turned> {
    Ok(Principal {
        actor: actor.map_err(|problem| Turned("actor", problem))?,
        role: Role::Admin,
        ..nobody()
    })
}

/// A bearer, unless too many from the same address were no good.
async fn stranger(
    api: &ApiState,
    (text, watches): (&str, bool),
    address: Option<ClientAddress>,
) -> Result<Principal, Turned> {
    let shown = strangers::Shown {
        hash: Hash::of(text.as_bytes()),
        address: address.map(|address| address.0),
    };
    let strangers = api.strangers();
    let judged = strangers.judge(shown, Instant::now());
    match judged {
        Judged::Familiar | Judged::Unknown => {}
        Judged::Refused(reason) => return Err(unknown(reason)),
        Judged::TooMany => {
            let detail = "too many tokens that are no good came from your address; nothing was done; \
                          try again later";
            return Err(Turned("tries", Problem::new(Code::RateLimited, detail)));
        }
    }
    let known = bearer(api, text, watches).await;
    let now = Instant::now();
    match &known {
        Ok(_) => strangers.was_good(shown, now),
        Err(Turned(reason, problem)) if problem.code() == Code::Unauthorized => {
            strangers.was_bad(shown, reason, now);
            return known;
        }
        // Trouble with the store is not the client's.
        Err(_) => {}
    }
    if judged == Judged::Unknown {
        strangers.was_no_try(shown, now);
    }
    known
}

async fn bearer(api: &ApiState, text: &str, watches: bool) -> Result<Principal, Turned> {
    if text.starts_with(secret::PREFIX) {
        let hash = secret::hash_of(text).ok_or_else(|| unknown("malformed"))?;
        return token(api, hash, watches).await;
    }
    let pull = api.options().pull.as_ref();
    if let Some(worker) = pull.and_then(|pull| pull.caller(text)) {
        return Ok(Principal {
            actor: worker.actor().clone(),
            role: Role::Provisioner,
            classes: worker.classes.iter().cloned().collect(),
            scope: Selector::default(),
            holder: Some(worker.name().to_owned()),
            anonymous: false,
            proof: Proof::Lasting,
        });
    }
    let Some(verifier) = &api.options().verifier else {
        return Err(unknown("unknown"));
    };
    let deadline = Instant::now() + api.options().limits.request;
    let verdict = tokio::time::timeout_at(deadline, verifier.verify(text)).await;
    let verdict = verdict.unwrap_or(Err(Refused { reason: "timeout" }));
    let identity = verdict.map_err(|refused| unknown(refused.reason))?;
    let role = identity::strongest(&identity.roles);
    Ok(Principal {
        actor: format!("user:{}", identity.name)
            .parse()
            .map_err(|_| unknown("name"))?,
        role: role.ok_or_else(|| unknown("no_role"))?,
        classes: BTreeSet::new(),
        scope: Selector::default(),
        holder: None,
        anonymous: false,
        proof: Proof::Until(identity.good_until),
    })
}

/// The bearer of one of our tokens.
async fn token(api: &ApiState, hash: Hash, watches: bool) -> Result<Principal, Turned> {
    let turn = if watches { Turn::Watch } else { Turn::Now };
    let (token, _) = good_token(api, hash, turn).await?;
    let now = api.options().clock.now();
    if let Some(wait) = api.known().used(&token.name, now) {
        note_later(api, wait);
    }
    let actor: Actor = format!("token:{}", token.name)
        .parse()
        .map_err(|_| unknown("name"))?;
    let works = token.role == Role::Provisioner;
    Ok(Principal {
        holder: works.then(|| actor.to_string()),
        actor,
        role: token.role,
        classes: token.classes.clone(),
        scope: token.scope.clone(),
        anonymous: false,
        proof: Proof::Token(hash),
    })
}

/// Whether to be turned away by a server that is busy, or to wait; or only to watch it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Now,
    Wait,
    Watch,
}

/// The token with this hash if it is good, and when the store said so.
async fn good_token(
    api: &ApiState,
    hash: Hash,
    turn: Turn,
) -> Result<(Arc<Token>, Instant), Turned> {
    let (token, since) = match api.known().find(&hash) {
        Ok(found) => found,
        Err(ended) => looked_up(api, hash, ended, turn).await?,
    };
    if !is_its(&token, &hash) || !token.admits(&hash, api.options().clock.now()) {
        return Err(unknown(if token.revoked.is_some() {
            "revoked"
        } else {
            "expired"
        }));
    }
    Ok((token, since))
}

/// The token with this hash, as the store has it; for who only watches, as it was known before if the
/// store can't be asked, and in a time that a scrape has.
async fn looked_up(
    api: &ApiState,
    hash: Hash,
    ended: u64,
    turn: Turn,
) -> Result<(Arc<Token>, Instant), Turned> {
    let known = api.known();
    let in_outage = || {
        let watches = turn == Turn::Watch;
        watches.then(|| known.find_in_outage(&hash)).flatten()
    };
    let asked = (ended, Instant::now());
    let limit = api.options().limits.request;
    let limit = in_outage().map_or(limit, |_| limit.min(WATCHES_WAIT));
    let (ask, deadline) = (api.engine().store().token_of(&hash), asked.1 + limit);
    let found = match turn {
        Turn::Wait => api.read_in_turn(deadline, ask).await,
        Turn::Now | Turn::Watch => api.read(deadline, ask).await,
    };
    match found {
        Ok(Some(token)) => {
            let token = Arc::new(token);
            known.remember(hash, &token, asked);
            Ok((token, asked.1))
        }
        Ok(None) => {
            known.drop(&hash);
            Err(unknown("unknown"))
        }
        // It may have been revoked here meanwhile; then it is not known any more.
        Err(problem) => {
            let known = in_outage().ok_or(Turned("store", problem))?;
            Ok((known, asked.1))
        }
    }
}

/// Whether the hash is a token's. How long it takes tells nothing.
fn is_its(token: &Token, hash: &Hash) -> bool {
    let current = token.hash.as_bytes().ct_eq(hash.as_bytes());
    let before = token
        .previous
        .map_or(*token.hash.as_bytes(), |(before, _)| *before.as_bytes());
    bool::from(current | before.ct_eq(hash.as_bytes()))
}

/// Notes what was used after a while, or when the server stops.
fn note_later(api: &ApiState, wait: Duration) {
    let noting = api.clone();
    api.spawn(async move {
        tokio::select! {
            () = sleep(wait) => {}
            () = noting.finishing() => {}
        }
        let uses = noting.known().take_uses();
        if let Err(error) = noting.engine().store().note_token_uses(&uses).await {
            tracing::warn!(%error, "it could not be noted when tokens were last used");
        }
    });
}
