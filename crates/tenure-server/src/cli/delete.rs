//! `delete`: tears a tenant down, once its name was typed.

use std::io::IsTerminal as _;

use http::Method;
use tenure::{Revision, TenantRef};

use super::args::{Delete, Format};
use super::client::{Call, Client, path_of, shown};
use super::error::{Exit, Failed};
use super::output::tell;
use super::tenants::changed;
use crate::api::tenants::wire::TenantView;

pub(super) async fn run(client: &Client, args: &Delete, format: Format) -> anyhow::Result<()> {
    let (who, revision) = if args.yes {
        (args.who.clone(), args.why.if_revision)
    } else {
        confirmed(client, args).await?
    };
    let message = args.why.message.as_str();
    let call = Call::new(Method::DELETE, path_of(&who, ""))
        .with("message", (!message.is_empty()).then_some(message))
        .if_revision(revision);
    changed(client, &call, format).await
}

/// Has the name typed once more, which nobody does by accident; gives what was seen while it was typed.
async fn confirmed(
    client: &Client,
    args: &Delete,
) -> anyhow::Result<(TenantRef, Option<Revision>)> {
    if !std::io::stdin().is_terminal() {
        let why = format!(
            "delete asks before it acts, and nobody can answer here; pass --yes to delete {}",
            shown(&args.who)
        );
        return Err(Failed::new(Exit::Usage, why).into());
    }
    let view: TenantView = client
        .call(&Call::get(path_of(&args.who, "")))
        .await?
        .json()?;
    let tenant = view.tenant;
    let who = TenantRef::Id(tenant.id);
    let name = tenant.name.as_str();
    if !tenant.is_living() {
        // Asking again for what is so already does nothing.
        return Ok((who, args.why.if_revision));
    }
    let (class, state) = (&tenant.class, tenant.state);
    tell(format_args!(
        "This tears down what {name} has (class {class}, {state}). Type {name} to go on:"
    ));
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim() != name {
        let why = format!("that is not {name}; nothing was done");
        return Err(Failed::new(Exit::Error, why).into());
    }
    Ok((who, args.why.if_revision.or(Some(tenant.revision))))
}
