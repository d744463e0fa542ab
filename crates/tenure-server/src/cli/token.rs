//! Commands about tokens: what lets people and programs use the API.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use tenure::{ClassName, Clock as _, Invalid, Role, SystemClock, Timestamp};

use super::args::{Format, Until};
use super::client::{Call, Client};
use super::error::{Exit, Failed};
use super::hints::roles;
use super::output::{Table, age, print, print_lines, print_value, tell};
use super::tenants::WHOLE_PAGE;
use super::values::{selector, time, until};
use crate::api::{TokenPage, TokenView, WhoAmI};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token, and print it: this once.
    ///
    /// The first one of a store is made on the store itself, with --store, before its server starts
    /// or, on PostgreSQL, at any time.
    Create(Create),
    /// List tokens, revoked and expired ones too.
    List,
    /// Show a token: all of it but itself.
    Get {
        /// Its name.
        #[arg(value_parser = name)]
        name: ClassName,
    },
    /// Give a token of the same name in place of the one that there is, and print it: this once.
    Rotate {
        /// Its name.
        #[arg(value_parser = name)]
        name: ClassName,
        /// How long the one before is good still, such as 1h; not at all if absent.
        #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
        grace: std::time::Duration,
        /// The token of the rotation before was lost: another in its place, and the one before that
        /// stays good as long as it is.
        #[arg(long, conflicts_with = "grace")]
        lost: bool,
    },
    /// End a token for ever.
    Revoke {
        /// Its name.
        #[arg(value_parser = name)]
        name: ClassName,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What it is called, and what history calls its bearer: token:NAME.
    #[arg(value_parser = name)]
    name: ClassName,
    /// viewer, operator, admin, provisioner or auditor.
    #[arg(long, value_parser = roles(), hide_possible_values = true)]
    role: Role,
    /// For a provisioner: the classes whose work it may do.
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    class: Vec<ClassName>,
    /// Only the tenants whose labels match, such as 'tier in (gold,silver)'.
    #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = selector)]
    scope: String,
    /// From when on it is no good, such as 2027-01-01T00:00:00Z or 2027-01-01, or how long from now,
    /// such as 90d; never if absent.
    #[arg(long, value_name = "TIME", value_parser = until)]
    expires: Option<Until>,
}

impl Create {
    /// What a role can't have, or must have.
    fn check(&self) -> Result<(), Failed> {
        let why = match (self.role, self.class.is_empty(), self.scope.is_empty()) {
            (Role::Provisioner, true, _) => {
                "--role provisioner needs --class: whose work it may do"
            }
            (Role::Provisioner, _, false) => {
                "--scope is not for a provisioner: --class says what it gets"
            }
            (Role::Admin, _, false) => {
                "--scope is not for an admin, who makes tokens without any; make it an operator"
            }
            (Role::Provisioner, false, true) | (_, true, _) => return Ok(()),
            _ => "--class is for --role provisioner; --scope says which tenants the others see",
        };
        Err(Failed::new(Exit::Usage, why))
    }
}

/// A token's name, which is spelled as a class is.
fn name(text: &str) -> Result<ClassName, String> {
    let parsed = text.parse();
    parsed.map_err(|invalid: Invalid| format!("name {}", invalid.rule()))
}

pub(super) async fn run(client: &Client, command: Token, format: Format) -> anyhow::Result<()> {
    match command {
        Token::Create(args) => create(client, &args, format).await,
        Token::List => list(client, format).await,
        Token::Get { name } => {
            let call = Call::get(format!("/v1/tokens/{name}"));
            one(&client.call(&call).await?.json()?, format)
        }
        Token::Rotate { name, grace, lost } => {
            let call = Call::new(Method::POST, format!("/v1/tokens/{name}/rotate"));
            let call = call.with_body(json!({"grace_seconds": grace.as_secs(), "lost": lost}));
            shown_once(&client.call(&call).await?.json()?, format)
        }
        Token::Revoke { name } => {
            let call = Call::new(Method::POST, format!("/v1/tokens/{name}/revoke"));
            one(&client.call(&call).await?.json()?, format)
        }
    }
}

async fn create(client: &Client, args: &Create, format: Format) -> anyhow::Result<()> {
    let expires_at: Option<Timestamp> = match args.expires {
        None => None,
        Some(Until::At(at)) => Some(at),
        Some(Until::For(length)) => Some(SystemClock.now().plus(length)),
        Some(Until::Now) => {
            let why = "--expires now: the token would be no good at all; name a time to come";
            return Err(Failed::new(Exit::Usage, why).into());
        }
    };
    args.check()?;
    let mut body = json!({
        "name": args.name,
        "role": args.role,
        "classes": args.class,
        "scope": args.scope,
    });
    if let (Some(at), Value::Object(body)) = (expires_at, &mut body) {
        body.insert("expires_at".to_owned(), json!(at));
    }
    let call = Call::new(Method::POST, "/v1/tokens").with_body(body);
    shown_once(&client.call(&call).await?.json()?, format)
}

/// The token on standard output, so that it can go to a file; what to do with it beside that.
fn shown_once(view: &TokenView, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Yaml => print_value(format, view)?,
        _ => print(&format!("{}\n", view.token.as_deref().unwrap_or_default()))?,
    }
    tell(format_args!(
        "this is the token {}, shown this once: keep it in a file that only its bearer can read",
        view.name
    ));
    Ok(())
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let call = Call::get("/v1/tokens").with("page_size", Some(WHOLE_PAGE));
    let mut whole = TokenPage {
        items: Vec::new(),
        next: None,
    };
    loop {
        let call = call.clone().with("page_token", whole.next.as_ref());
        let page: TokenPage = client.call(&call).await?.json()?;
        whole.items.extend(page.items);
        whole.next = page.next;
        if whole.next.is_none() {
            break;
        }
    }
    match format {
        Format::Json | Format::Yaml => print_value(format, &whole),
        _ => rows(&whole.items, format),
    }
}

fn one(view: &TokenView, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Yaml => print_value(format, view),
        _ => rows(std::slice::from_ref(view), format),
    }
}

fn rows(tokens: &[TokenView], format: Format) -> anyhow::Result<()> {
    if format == Format::Name {
        return print_lines(tokens.iter().map(|token| &token.name));
    }
    let now = SystemClock.now();
    let mut table = Table::new(&["NAME", "ROLE", "FOR", "STANDING", "LAST USED", "CREATED BY"]);
    for token in tokens {
        let classes: Vec<&str> = token.classes.iter().map(ClassName::as_str).collect();
        let meant = match (token.scope.as_str(), classes.join(",")) {
            ("", classes) if classes.is_empty() => "all tenants".to_owned(),
            ("", classes) => classes,
            (scope, _) => scope.to_owned(),
        };
        let used = token
            .last_used_at
            .map(|at| format!("{} ago", age(now.since(at))));
        table.row(vec![
            token.name.to_string(),
            token.role.to_string(),
            meant,
            standing(token, now),
            used.unwrap_or_else(|| "never".to_owned()),
            token.created_by.to_string(),
        ]);
    }
    table.print()
}

fn standing(token: &TokenView, now: Timestamp) -> String {
    match (&token.revoked_by, token.expires_at) {
        (Some(by), _) => format!("revoked by {by}"),
        (None, Some(end)) if end <= now => "expired".to_owned(),
        (None, Some(end)) => format!("good for {}", age(end.since(now))),
        (None, None) => "good".to_owned(),
    }
}

pub(super) async fn whoami(client: &Client, format: Format) -> anyhow::Result<()> {
    let whoami: WhoAmI = client.call(&Call::get("/v1/whoami")).await?.json()?;
    match format {
        Format::Json | Format::Yaml => print_value(format, &whoami),
        Format::Name => print_lines([&whoami.actor]),
        Format::Table | Format::Wide => {
            let classes: Vec<&str> = whoami.classes.iter().map(ClassName::as_str).collect();
            let said = if whoami.authenticated {
                "a token says so"
            } else {
                "nobody was asked"
            };
            let mut table = Table::plain();
            for (name, value) in [
                ("Actor", whoami.actor.to_string()),
                ("Role", whoami.role.to_string()),
                ("Scope", whoami.scope),
                ("Classes", classes.join(",")),
                ("May", whoami.may.join(", ")),
                ("Known by", said.to_owned()),
            ] {
                if !value.is_empty() {
                    table.row(vec![name.to_owned(), value]);
                }
            }
            table.print()
        }
    }
}
