//! `wait`: until tenants are as they should be, or can't become so.

use std::time::Duration;

use tenure::{State, TenantRef};
use tokio::time::{Instant, sleep, timeout_at};

use super::args::Wait;
use super::client::{Call, Client, path_of, shown};
use super::error::{Exit, Failed, exit_of};
use super::output::print;
use crate::api::tenants::wire::TenantView;

/// How often a tenant is looked at: at first often, then ever less.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_secs(1);

pub(super) async fn run(client: &Client, args: &Wait) -> anyhow::Result<()> {
    let end = Instant::now() + args.timeout;
    for who in &args.who {
        let mut last = None;
        let waited = timeout_at(end, one(client, who, args.state, &mut last)).await;
        waited.unwrap_or_else(|_| {
            let name = shown(who);
            let stands = last.map_or_else(|| "was not seen".to_owned(), |view| stands(&view));
            let why = format!(
                "{name} {stands} after {} s and not {}; `tenure explain {name}` says why",
                args.timeout.as_secs(),
                args.state
            );
            Err(Failed::new(Exit::Timeout, why).into())
        })?;
        print(&format!("{} {}\n", shown(who), args.state))?;
    }
    Ok(())
}

async fn one(
    client: &Client,
    who: &TenantRef,
    state: State,
    last: &mut Option<TenantView>,
) -> anyhow::Result<()> {
    let mut who = who.clone();
    let mut pause = LOOK_FIRST;
    loop {
        match client.call(&Call::get(path_of(&who, ""))).await {
            // No living tenant of that name: deleted is what it is.
            Err(error) if state == State::Deleted && exit_of(&error) == Exit::NotFound => {
                return Ok(());
            }
            Err(error) => return Err(error),
            Ok(answer) => {
                let view: TenantView = answer.json()?;
                // From here on this very tenant is meant, even if its name goes to another.
                who = TenantRef::Id(view.tenant.id);
                if is_there(&view, state) {
                    return Ok(());
                }
                never(&view, state)?;
                *last = Some(view);
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
}

fn is_there(view: &TenantView, state: State) -> bool {
    let tenant = &view.tenant;
    // At rest but with something newer wanted, it is about to leave.
    tenant.state == state && (!state.is_resting() || tenant.is_at_rest())
}

/// Fails if waiting is of no use.
fn never(view: &TenantView, state: State) -> anyhow::Result<()> {
    let tenant = &view.tenant;
    let name = &tenant.name;
    let help = if tenant.state == State::Deleted {
        "create it anew".to_owned()
    } else if let Some(failing) = tenant.conditions.failing.as_ref().filter(|f| f.halted) {
        format!(
            "{}: {}; correct that, then `tenure retry {name}`",
            failing.reason, failing.message
        )
    } else if tenant.conditions.held.is_some() && !tenant.is_at_rest() {
        format!("`tenure release {name}` lets it go on")
    } else {
        return Ok(());
    };
    let why = format!(
        "{name} {} and will not be {state} by itself; {help}",
        stands(view)
    );
    Err(Failed::new(Exit::Error, why).into())
}

fn stands(view: &TenantView) -> String {
    let tenant = &view.tenant;
    let conditions: Vec<&str> = tenant
        .conditions
        .kinds()
        .iter()
        .map(|kind| kind.as_str())
        .collect();
    if conditions.is_empty() {
        format!("is {}", tenant.state)
    } else {
        format!("is {} ({})", tenant.state, conditions.join(", "))
    }
}
