//! What the API refuses, in the words of the command line.
//!
//! The API speaks to programs: of methods, headers and paths. Who typed a command is told what to type
//! instead.

use anyhow::anyhow;
use tenure::{Summary, TenantName, TenantRef};

use super::client::{Call, Client};
use super::error::{Exit, Failed, exit_of, missing_in};
use super::tenants::WHOLE_PAGE;
use crate::api::tenants::wire::TenantPage;
use crate::config::nearest;

/// Where to look for a tenant.
const ALL: &str = "`tenure list --include-deleted` lists all there are and were";

/// What was refused: the path of the request, and what the API says of it.
pub(super) struct Refused<'a> {
    pub(super) path: &'a str,
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) detail: &'a str,
    /// Where the token came from that was sent, if one was.
    pub(super) token_from: Option<&'a str>,
}

impl Refused<'_> {
    /// The same for who typed the command.
    pub(super) fn failed(&self) -> Failed {
        let exit = match self.status {
            401 | 403 => Exit::Denied,
            404 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            _ => Exit::Error,
        };
        let tenant = self.named("/v1/tenants/");
        let why = match (self.code, self.token_from) {
            (_, None) if self.status == 401 => {
                "the server wants to know who you are: name a token with --token-file, \
                 TENURE_TOKEN_FILE or a context; an admin makes one with `tenure token create`"
                    .to_owned()
            }
            (_, Some(origin)) if self.status == 401 => format!(
                "the token of {origin} is not taken: it may be over or revoked; have an admin make \
                 a new one with `tenure token create`"
            ),
            ("tenant_not_found", _) => match tenant {
                Some(tenant) => format!("there is no tenant {tenant}"),
                None => "there is no such tenant".to_owned(),
            },
            ("token_not_found", _) => {
                let name = self.named("/v1/tokens/").unwrap_or_default();
                format!("there is no token {name}; `tenure token list` shows those there are")
            }
            ("cursor_invalid" | "cursor_expired", _) => {
                "the page token is not one that this list gave; leave --page-token out to begin anew"
                    .to_owned()
            }
            ("precondition_required", _) => {
                "this server takes a change only with the revision that you saw: add --if-revision \
                 NUMBER, as `tenure get -o wide` shows it"
                    .to_owned()
            }
            _ => self.detail.to_owned(),
        };
        let code = self.code;
        let help = match self.status {
            403 => "; `tenure whoami` says who you are here and what you may",
            _ => "",
        };
        let name = tenant.filter(|_| code == "tenant_not_found");
        Failed::new(exit, format!("{why} ({code}){help}"))
            .missing(name.and_then(|name| name.parse().ok()))
    }

    /// Who is named in the path, after what it begins with.
    fn named(&self, begin: &str) -> Option<&str> {
        self.path.strip_prefix(begin)?.split('/').next()
    }
}

/// The same error; if it is that no tenant has a name, with what may have been meant.
pub(super) async fn with_near(client: &Client, error: anyhow::Error) -> anyhow::Error {
    let Some(name) = missing_in(&error) else {
        return error;
    };
    let help = near(client, name).await;
    // Why it can't be asked is beside the point.
    let help = help.unwrap_or_else(|_| format!("; {ALL}"));
    let exit = exit_of(&error);
    anyhow!(Failed::new(exit, format!("{error:#}{help}")))
}

/// Looks once among those that begin like the name.
async fn near(client: &Client, name: &TenantName) -> anyhow::Result<String> {
    let whole = name.as_str();
    let prefix = whole.get(..whole.len().div_ceil(2)).unwrap_or(whole);
    let call = Call::get("/v1/tenants")
        .with("name_prefix", Some(prefix))
        .with("include_deleted", Some(true))
        .with("order", Some("desc"))
        .with("page_size", Some(WHOLE_PAGE));
    let page: TenantPage = client.call(&call).await?.json()?;
    let (gone, living): (Vec<&Summary>, Vec<&Summary>) = page
        .items
        .iter()
        .partition(|tenant| tenant.state == tenure::State::Deleted);
    if let Some(gone) = gone.iter().find(|tenant| tenant.name == *name) {
        let id = gone.id;
        return Ok(format!(
            "; it was deleted: `tenure get {id}` and `tenure history {id}` show what it was"
        ));
    }
    if living.iter().any(|tenant| tenant.name == *name) {
        return Ok("; it is made just now: ask again".to_owned());
    }
    let names: Vec<&str> = living.iter().map(|tenant| tenant.name.as_str()).collect();
    Ok(match nearest(whole, &names) {
        Some(near) => format!("; did you mean {near}? {ALL}"),
        None => format!("; {ALL}"),
    })
}

/// The deleted tenant of a name, the latest if there were several.
pub(super) async fn deleted(
    client: &Client,
    name: &TenantName,
) -> anyhow::Result<Option<TenantRef>> {
    let mut token: Option<String> = None;
    loop {
        let call = Call::get("/v1/tenants")
            .with("name_prefix", Some(name))
            .with("include_deleted", Some(true))
            .with("state", Some(tenure::State::Deleted))
            .with("order", Some("desc"))
            .with("page_size", Some(WHOLE_PAGE))
            .with("page_token", token.as_ref());
        let page: TenantPage = client.call(&call).await?.json()?;
        if let Some(found) = page.items.iter().find(|tenant| tenant.name == *name) {
            return Ok(Some(TenantRef::Id(found.id)));
        }
        token = page.next;
        if token.is_none() {
            return Ok(None);
        }
    }
}
