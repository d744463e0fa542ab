//! Tokens: made, shown once, rotated, revoked; and who somebody is.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenure::{Actor, ClassName, Invalid, Revoked, Role, Selector, Timestamp, Token};
use tokio::time::Instant;

use super::access::{Permission, Secret};
use super::body::{Json, MaybeJson};
use super::code::Code;
use super::problem::Problem;
use super::request::Call;
use super::state::ApiState;
use super::tenants::json_answer;

/// The longest that a token may be good after its rotation: 30 days.
const GRACE_MAX: u64 = 30 * 86_400;

/// How often a rotation is decided anew because another was faster.
const RACES_MAX: u32 = 5;

/// The longest life of a token that a length of time can say: ten years.
const LIFE_MAX: u64 = 3_653 * 86_400;

/// A token, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct TokenView {
    /// Its name, never used again.
    pub name: ClassName,
    /// What its bearer may do.
    pub role: Role,
    /// The classes whose work its bearer may do; only a provisioner's has any.
    pub classes: BTreeSet<ClassName>,
    /// A selector: only the tenants whose labels match are there for its bearer; all if empty.
    pub scope: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Actor,
    /// From when on it is no good; never if `null`.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute or so.
    pub last_used_at: Option<Timestamp>,
    /// Until when the token before its last rotation is good.
    pub previous_until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    pub revoked_by: Option<Actor>,
    /// The token itself: only in the answer that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A page of tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct TokenPage {
    /// The tokens, in the order of their names.
    pub items: Vec<TokenView>,
    /// Send it as `page_token` for the next page; `null` at the end.
    pub next: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "it is the wire's shape")]
pub struct WhoAmI {
    /// What history calls them.
    pub actor: Actor,
    /// Their role.
    pub role: Role,
    /// The classes whose work they may do.
    pub classes: BTreeSet<ClassName>,
    /// The tenants that are there for them; all if empty.
    pub scope: String,
    /// Whether a token says so. Without, this server asks nobody who they are.
    pub authenticated: bool,
    /// What they may, in words.
    pub may: Vec<String>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        let revoked = token.revoked;
        Self {
            name: token.name,
            role: token.role,
            classes: token.classes,
            scope: token.scope.to_string(),
            created_at: token.created_at,
            created_by: token.created_by,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            previous_until: token.previous.map(|(_, until)| until),
            revoked_at: revoked.as_ref().map(|revoked| revoked.revoked_at),
            revoked_by: revoked.map(|revoked| revoked.revoked_by),
            token: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateToken {
    name: String,
    role: String,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    scope: String,
    expires_at: Option<String>,
    expires_in_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateToken {
    #[serde(default)]
    grace_seconds: u64,
    #[serde(default)]
    lost: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeToken {}

/// The name of a token in a path.
pub(super) struct Named(ClassName);

impl FromRequestParts<ApiState> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, api).await else {
            return Err(Problem::invalid("path", "must be UTF-8"));
        };
        Ok(Self(field("name", &text)?))
    }
}

/// Tells who asks, as the server sees them, and what they may.
pub(super) async fn whoami(call: Call) -> Result<Response, Problem> {
    call.params.finish()?;
    let principal = call.principal;
    let may = |permission: &Permission| {
        let scoped = permission.is_of_the_fleet() && !principal.scope.is_empty();
        let works = *permission != Permission::Work || principal.holder.is_some();
        permission.roles().contains(&principal.role) && !scoped && works
    };
    let may = Permission::ALL.into_iter().filter(may);
    Ok(json_answer(&WhoAmI {
        may: may
            .map(|permission| permission.as_str().to_owned())
            .collect(),
        actor: principal.actor,
        role: principal.role,
        classes: principal.classes,
        scope: principal.scope.to_string(),
        authenticated: !principal.anonymous,
    }))
}

/// Makes a token. The answer is the only place where it is ever shown.
///
/// 201 with the token under `token`. A name that was ever used answers 409 `token_exists`, also if the
/// same request made it: what was shown once can't be shown again, so `Idempotency-Key` changes
/// nothing. Rotate the token then, or make one of another name.
pub(super) async fn create(
    State(api): State<ApiState>,
    mut call: Call,
    Json { value: body, .. }: Json<CreateToken>,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let dry_run = begin(&mut call)?;
    let now = api.options().clock.now();
    let (secret, actor) = (draw()?, call.principal.actor);
    let token = body.token(&secret, (now, actor.clone()))?;
    let mut view = TokenView::from(token.clone());
    if dry_run {
        let name = token.name.clone();
        let store = api.engine().shared_store();
        let read = async move { store.token(&name).await };
        return match api.read(deadline, read).await? {
            Some(_) => Err(exists(&view.name)),
            None => Ok(json_answer(&view)),
        };
    }
    let store = api.engine().shared_store();
    let write = async move { store.add_token(&token).await };
    if !api.write(deadline, write).await? {
        return Err(exists(&view.name));
    }
    tracing::info!(token = %view.name, role = %view.role, by = %actor, "a token was made");
    view.token = Some(secret.reveal());
    let mut response = json_answer(&view);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/tokens/{}", view.name)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(once(response))
}

/// Lists the tokens in the order of their names, revoked and expired ones too. None is shown itself.
pub(super) async fn list(State(api): State<ApiState>, mut call: Call) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let limit = call.params.page_size()?;
    let after = call.params.text("page_token")?;
    call.params.finish()?;
    let after = after
        .as_deref()
        .map(|text| field("page_token", text))
        .transpose()?;
    let store = api.engine().store();
    let tokens = api
        .read(deadline, store.tokens(after.as_ref(), limit))
        .await?;
    let full = tokens.len() >= usize::from(limit.get());
    let next = tokens
        .last()
        .filter(|_| full)
        .map(|token| token.name.to_string());
    let items = tokens.into_iter().map(TokenView::from).collect();
    Ok(json_answer(&TokenPage { items, next }))
}

/// Gets a token: all of it but itself.
pub(super) async fn get(
    State(api): State<ApiState>,
    Named(name): Named,
    call: Call,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    call.params.finish()?;
    let token = found(&api, deadline, &name).await?;
    Ok(json_answer(&TokenView::from(token)))
}

/// Gives a token of the same name, role and end in place of the one that there is.
///
/// The one before is good for `grace_seconds` still (none if absent); one before that, no more. While
/// one is good so, another rotation with a grace answers 409 `token_rotated`; `lost` puts another in
/// place of the newest, whose answer was lost, and leaves the one before.
pub(super) async fn rotate(
    State(api): State<ApiState>,
    Named(name): Named,
    mut call: Call,
    MaybeJson(Json { value: body, .. }): MaybeJson<RotateToken>,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    let dry_run = begin(&mut call)?;
    if body.grace_seconds > GRACE_MAX {
        let rule = format!("must be at most {GRACE_MAX}, which is 30 days");
        return Err(Problem::invalid("grace_seconds", rule));
    }
    for _ in 0..RACES_MAX {
        let before = found(&api, deadline, &name).await?;
        let until = body.previous_until(&before, api.options().clock.now())?;
        if dry_run {
            return Ok(json_answer(&TokenView::from(before)));
        }
        let (secret, seen) = (draw()?, before.hash);
        let (store, name, hash) = (api.engine().shared_store(), name.clone(), secret.hash());
        let work = api.clone();
        let write = async move {
            let rotated = store.rotate_token(&name, (&seen, &hash), until).await;
            work.known().forget();
            rotated
        };
        // Without one, somebody was faster: what is right then, the token as it is then says.
        let Some(token) = api.write(deadline, write).await? else {
            continue;
        };
        tracing::info!(token = %token.name, by = %call.principal.actor, "a token was rotated");
        let mut view = TokenView::from(token);
        view.token = Some(secret.reveal());
        return Ok(once(json_answer(&view)));
    }
    let detail = "too many others rotate this token at once; nothing was done; try again later";
    Err(Problem::new(Code::Contended, detail))
}

/// Ends a token for ever, at once here and within five seconds on every other server of this store.
///
/// Asking again changes nothing.
pub(super) async fn revoke(
    State(api): State<ApiState>,
    Named(name): Named,
    mut call: Call,
    MaybeJson(_): MaybeJson<RevokeToken>,
) -> Result<Response, Problem> {
    let deadline = call.deadline(&api);
    if begin(&mut call)? {
        let token = found(&api, deadline, &name).await?;
        return Ok(json_answer(&TokenView::from(token)));
    }
    let actor = call.principal.actor;
    let revoked = Revoked {
        revoked_at: api.options().clock.now(),
        revoked_by: actor.clone(),
    };
    let (store, work, wanted) = (api.engine().shared_store(), api.clone(), name.clone());
    let write = async move {
        let token = store.revoke_token(&wanted, &revoked).await;
        work.known().forget();
        token
    };
    let token = api.write(deadline, write).await?;
    let token = token.ok_or_else(|| not_found(&name))?;
    tracing::info!(token = %name, by = %actor, "a token was revoked");
    Ok(json_answer(&TokenView::from(token)))
}

impl RotateToken {
    /// Until when the token before counts; `None` if another is to stand in place of the newest.
    ///
    /// Whoever uses the one before was promised a time, which the same request sent again must not cut.
    ///
    /// # Errors
    ///
    /// What keeps it from being rotated at all.
    fn previous_until(&self, before: &Token, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        if before.revoked.is_some() {
            return Err(revoked(&before.name));
        }
        if before.expires_at.is_some_and(|end| end <= now) {
            return Err(expired(&before.name));
        }
        match (self.lost, self.grace_seconds, before.previous) {
            (true, 0, _) => Ok(None),
            (true, ..) => Err(Problem::invalid(
                "grace_seconds",
                "must be absent where lost is true: the one before is good as long as it was",
            )),
            (false, 1.., Some((_, until))) if until > now => {
                let detail = format!(
                    "the token {} was rotated, and the one before is good until {until}, which \
                     another rotation would end; if its answer was lost, send lost: true for another \
                     in place of the newest; to end the one before, leave grace_seconds out",
                    before.name
                );
                Err(Problem::new(Code::TokenRotated, detail))
            }
            (false, grace, _) => Ok(Some(now.plus(Duration::from_secs(grace)))),
        }
    }
}

impl CreateToken {
    fn token(self, secret: &Secret, (now, actor): (Timestamp, Actor)) -> Result<Token, Problem> {
        let role: Role = field("role", &self.role)?;
        let classes = self.classes.iter().map(|class| field("classes", class));
        let classes: BTreeSet<ClassName> = classes.collect::<Result<_, _>>()?;
        let scope: Selector = field("scope", &self.scope)?;
        match (role, classes.is_empty(), scope.is_empty()) {
            (Role::Provisioner, true, _) => Err(Problem::invalid(
                "classes",
                "must name the classes whose work a provisioner may do, such as [\"shared\"]",
            )),
            (Role::Provisioner, _, false) => Err(Problem::invalid(
                "scope",
                "must be absent for a provisioner: its classes say what it gets",
            )),
            (Role::Admin, _, false) => Err(Problem::invalid(
                "scope",
                "must be absent for an admin, who makes tokens without any; make it an operator",
            )),
            (Role::Provisioner, false, true) | (_, true, _) => Ok(()),
            _ => Err(Problem::invalid(
                "classes",
                "must be absent: they are for provisioners",
            )),
        }?;
        let expires_at = self.end(now)?;
        Ok(Token {
            name: field("name", &self.name)?,
            role,
            classes,
            scope,
            hash: secret.hash(),
            previous: None,
            created_at: now,
            created_by: actor,
            expires_at,
            last_used_at: None,
            revoked: None,
        })
    }

    /// From when on the token is no good.
    fn end(&self, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let end = match (&self.expires_at, self.expires_in_seconds) {
            (None, None) => None,
            (Some(at), None) => Some(field::<Timestamp>("expires_at", at)?),
            (None, Some(1..=LIFE_MAX)) => self
                .expires_in_seconds
                .map(|seconds| now.plus(Duration::from_secs(seconds))),
            (None, Some(_)) => {
                return Err(Problem::invalid(
                    "expires_in_seconds",
                    format!("must be 1 to {LIFE_MAX}, which is ten years"),
                ));
            }
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(
                    "expires_in_seconds",
                    "must be absent where expires_at is given",
                ));
            }
        };
        if end.is_some_and(|at| at <= now) {
            return Err(Problem::invalid("expires_at", "must be in the future"));
        }
        Ok(end)
    }
}

/// What a write of tokens takes beside its body. Answers whether it is a dry run.
fn begin(call: &mut Call) -> Result<bool, Problem> {
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        if call.headers.contains_key(&name) {
            let rule = "must be absent: tokens have no revisions";
            return Err(Problem::invalid(format!("header {name}"), rule));
        }
    }
    let dry_run = call.params.flag("dry_run")?;
    std::mem::take(&mut call.params).finish()?;
    Ok(dry_run)
}

fn draw() -> Result<Secret, Problem> {
    Secret::draw().map_err(|error| {
        Problem::new(
            Code::Internal,
            "the system gives no random bytes; nothing was done",
        )
        .caused_by(error.to_string())
    })
}

async fn found(api: &ApiState, deadline: Instant, name: &ClassName) -> Result<Token, Problem> {
    let token = api.read(deadline, api.engine().store().token(name)).await?;
    token.ok_or_else(|| not_found(name))
}

fn not_found(name: &ClassName) -> Problem {
    let detail = format!("there is no token {name}; GET /v1/tokens lists those that there are");
    Problem::new(Code::TokenNotFound, detail)
}

fn exists(name: &ClassName) -> Problem {
    let detail = format!(
        "there is a token {name}, or was, and it can't be shown again; rotate it to be given another, \
         or choose another name"
    );
    Problem::new(Code::TokenExists, detail)
}

fn revoked(name: &ClassName) -> Problem {
    let detail = format!("the token {name} is revoked for ever; make one of another name");
    Problem::new(Code::TokenRevoked, detail)
}

fn expired(name: &ClassName) -> Problem {
    let detail = format!(
        "the token {name} has expired, and what came in its place would have too; make one of another \
         name"
    );
    Problem::new(Code::TokenRevoked, detail)
}

/// Keeps an answer that shows a token out of every cache.
fn once(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// Reads a field, and names it if it breaks a rule.
fn field<T: std::str::FromStr<Err = Invalid>>(
    name: &'static str,
    text: &str,
) -> Result<T, Problem> {
    text.parse()
        .map_err(|invalid: Invalid| Problem::invalid(name, invalid.rule()))
}
