//! `wait`: until tenants are as they should be, or can't become so.

use std::time::Duration;

use serde::Serialize;
use tenure::{State, TenantRef};
use tokio::time::{Instant, sleep, timeout_at};

use super::args::{Format, Wait};
use super::client::{Call, Client, path_of, shown};
use super::error::{Exit, Failed, exit_of, may_pass};
use super::output::{print, print_lines, print_value, tell};
use super::refusal::deleted;
use super::tenants::selected;
use super::values::Goal;
use crate::api::tenants::wire::TenantView;

/// How often a tenant is looked at: at first often, then ever less.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_secs(1);

pub(super) async fn run(client: &Client, args: &Wait, format: Format) -> anyhow::Result<()> {
    let end = Instant::now() + args.timeout;
    let goal = args.goal;
    let who = waited_for(client, args).await?;
    let mut waiting = Waiting {
        client,
        goal,
        once: args.timeout.is_zero(),
        answered: args.selector.is_some(),
        silent: false,
    };
    let mut views = Vec::new();
    for (name, who) in &who {
        let mut last = None;
        let waited = if waiting.once {
            waiting.one(who, &mut last).await?
        } else {
            let waited = timeout_at(end, waiting.one(who, &mut last)).await;
            waited.unwrap_or(Ok(None))?
        };
        let Some(view) = waited else {
            let stands = last.map_or_else(|| "was not seen".to_owned(), |view| stands(&view));
            let goal = match goal {
                Goal::Lacks(kind) => format!("still {kind}"),
                goal => format!("not {goal}"),
            };
            let why = format!(
                "{name} {stands} after {} s and {goal}; `tenure explain {name}` says why",
                args.timeout.as_secs(),
            );
            return Err(Failed::new(Exit::Timeout, why).into());
        };
        match format {
            Format::Table | Format::Wide => print(&format!("{name} {goal}\n"))?,
            Format::Name => print_lines([name])?,
            Format::Json | Format::Yaml => views.push(view),
        }
    }
    match (format, views.as_slice()) {
        (Format::Table | Format::Wide | Format::Name, _) => Ok(()),
        (_, [view]) if args.selector.is_none() => print_value(format, view),
        (_, items) => print_value(format, &Several { items }),
    }
}

/// Several tenants, as the API's lists have them.
#[derive(Serialize)]
struct Several<'a> {
    items: &'a [TenantView],
}

/// Those that are named, or those whose labels match now, by what they are called.
async fn waited_for(client: &Client, args: &Wait) -> anyhow::Result<Vec<(String, TenantRef)>> {
    let Some(selector) = &args.selector else {
        let named = args.who.iter().map(|who| (shown(who), who.clone()));
        return Ok(named.collect());
    };
    let found = selected(client, selector).await?;
    if found.is_empty() {
        let why = format!("no tenant has labels that match {selector}; `tenure list` shows all");
        return Err(Failed::new(Exit::NotFound, why).into());
    }
    let named = found
        .iter()
        .map(|one| (one.name.to_string(), TenantRef::Id(one.id)));
    Ok(named.collect())
}

struct Waiting<'a> {
    client: &'a Client,
    goal: Goal,
    /// Whether to look only once.
    once: bool,
    /// Whether the server has ever answered: then a silence is waited out.
    answered: bool,
    /// Whether it is silent now.
    silent: bool,
}

impl Waiting<'_> {
    /// The tenant, once it is there; `None` if it was to be looked at once, and is not.
    async fn one(
        &mut self,
        who: &TenantRef,
        last: &mut Option<TenantView>,
    ) -> anyhow::Result<Option<TenantView>> {
        let mut who = who.clone();
        let mut pause = LOOK_FIRST;
        loop {
            match self.look(&who).await {
                Err(error) if self.answered && may_pass(&error) => {
                    if !self.silent {
                        tell(format_args!("{error:#}; waiting goes on"));
                    }
                    self.silent = true;
                }
                Err(error) => return Err(error),
                Ok(view) => {
                    (self.answered, self.silent) = (true, false);
                    // From here on this very tenant is meant, even if its name goes to another.
                    who = TenantRef::Id(view.tenant.id);
                    if is_there(&view, self.goal) {
                        return Ok(Some(view));
                    }
                    never(&view, self.goal)?;
                    *last = Some(view);
                }
            }
            if self.once {
                return Ok(None);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_LAST);
        }
    }

    async fn look(&self, who: &TenantRef) -> anyhow::Result<TenantView> {
        let client = self.client;
        let get = |who: TenantRef| async move { client.call(&Call::get(path_of(&who, ""))).await };
        match (get(who.clone()).await, who) {
            // No living tenant of that name: deleted is what it may be.
            (Err(error), TenantRef::Name(name))
                if self.goal == Goal::State(State::Deleted)
                    && exit_of(&error) == Exit::NotFound =>
            {
                match deleted(client, name).await? {
                    Some(gone) => get(gone).await?.json(),
                    None => Err(error),
                }
            }
            (answer, _) => answer?.json(),
        }
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
