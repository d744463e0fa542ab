//! `wait`: until tenants are as they should be, or can't become so.

use std::time::Duration;

use tenure::{State, TenantRef};
use tokio::time::{Instant, sleep, timeout_at};

use super::args::Wait;
use super::client::{Call, Client, path_of, shown};
use super::error::{Exit, Failed, exit_of};
use super::output::print;
use super::tenants::selected;
use super::values::Goal;
use crate::api::tenants::wire::TenantView;

/// How often a tenant is looked at: at first often, then ever less.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_secs(1);

pub(super) async fn run(client: &Client, args: &Wait) -> anyhow::Result<()> {
    let end = Instant::now() + args.timeout;
    let goal = args.goal;
    let who = match &args.selector {
        None => args
            .who
            .iter()
            .map(|who| (shown(who), who.clone()))
            .collect(),
        Some(selector) => {
            let found = selected(client, selector).await?;
            if found.is_empty() {
                let why =
                    format!("no tenant has labels that match {selector}; `tenure list` shows all");
                return Err(Failed::new(Exit::NotFound, why).into());
            }
            let named = found
                .iter()
                .map(|one| (one.name.to_string(), TenantRef::Id(one.id)));
            named.collect::<Vec<_>>()
        }
    };
    for (name, who) in &who {
        let mut last = None;
        let waited = timeout_at(end, one(client, who, goal, &mut last)).await;
        waited.unwrap_or_else(|_| {
            let stands = last.map_or_else(|| "was not seen".to_owned(), |view| stands(&view));
            let goal = match goal {
                Goal::Lacks(kind) => format!("still {kind}"),
                goal => format!("not {goal}"),
            };
            let why = format!(
                "{name} {stands} after {} s and {goal}; `tenure explain {name}` says why",
                args.timeout.as_secs(),
            );
            Err(Failed::new(Exit::Timeout, why).into())
        })?;
        print(&format!("{name} {goal}\n"))?;
    }
    Ok(())
}

async fn one(
    client: &Client,
    who: &TenantRef,
    goal: Goal,
    last: &mut Option<TenantView>,
) -> anyhow::Result<()> {
    let mut who = who.clone();
    let mut pause = LOOK_FIRST;
    loop {
        match client.call(&Call::get(path_of(&who, ""))).await {
            // No living tenant of that name: deleted is what it is.
            Err(error)
                if goal == Goal::State(State::Deleted) && exit_of(&error) == Exit::NotFound =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
            Ok(answer) => {
                let view: TenantView = answer.json()?;
                // From here on this very tenant is meant, even if its name goes to another.
                who = TenantRef::Id(view.tenant.id);
                if is_there(&view, goal) {
                    return Ok(());
                }
                never(&view, goal)?;
                *last = Some(view);
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
}

fn is_there(view: &TenantView, goal: Goal) -> bool {
    let tenant = &view.tenant;
    match goal {
        // At rest but with something newer wanted, it is about to leave.
        Goal::State(state) => tenant.state == state && (!state.is_resting() || tenant.is_at_rest()),
        Goal::Has(kind) => tenant.conditions.kinds().contains(&kind),
        Goal::Lacks(kind) => !tenant.conditions.kinds().contains(&kind),
    }
}

/// Fails if waiting is of no use.
fn never(view: &TenantView, goal: Goal) -> anyhow::Result<()> {
    let tenant = &view.tenant;
    let name = &tenant.name;
    let waits_for_state = matches!(goal, Goal::State(_));
    let help = if tenant.state == State::Deleted {
        "create it anew".to_owned()
    } else if !waits_for_state {
        // Conditions come and go by what happens around a tenant.
        return Ok(());
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
        "{name} {} and will not be {goal} by itself; {help}",
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
