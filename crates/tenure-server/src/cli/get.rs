//! `get`: tenants, as they are or as they were.

use serde::Serialize;
use tenure::{Summary, Tenant, TenantRef};

use super::args::{Format, Get};
use super::client::{Call, Client, path_of};
use super::drift;
use super::error::{Exit, Failed, exit_of};
use super::output::{print, print_value};
use super::refusal::with_near;
use super::tenants::{print_summaries, selected, steps};
use crate::api::tenants::wire::TenantView;

/// Several tenants, as the API's lists have them.
#[derive(Serialize)]
struct Several<'a> {
    items: &'a [TenantView],
}

pub(super) async fn run(client: &Client, args: &Get, format: Format) -> anyhow::Result<()> {
    let who = match &args.selector {
        None => args.who.clone(),
        Some(selector) => {
            let found = selected(client, selector).await?;
            if !matches!(format, Format::Json | Format::Yaml) {
                return print_summaries(format, &found);
            }
            found.iter().map(|one| TenantRef::Id(one.id)).collect()
        }
    };
    let mut views = Vec::new();
    let mut missing = Vec::new();
    for who in &who {
        let call = Call::get(path_of(who, ""))
            .with("revision", args.revision)
            .with("at", args.at);
        match client.call(&call).await {
            Ok(answer) => views.push(answer.json::<TenantView>()?),
            // One that is gone since it was selected is none of them.
            Err(error) if exit_of(&error) == Exit::NotFound && args.selector.is_some() => {}
            Err(error) if exit_of(&error) == Exit::NotFound && who_are_many(args) => {
                missing.push(format!("{:#}", with_near(client, error).await));
            }
            Err(error) => return Err(error),
        }
    }
    print_views(args, format, &views)?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Failed::new(Exit::NotFound, missing.join("\n")).into())
    }
}

const fn who_are_many(args: &Get) -> bool {
    args.who.len() > 1
}

fn print_views(args: &Get, format: Format, views: &[TenantView]) -> anyhow::Result<()> {
    let summaries = || {
        let summaries = views.iter().map(|view| Summary::from(&view.tenant));
        summaries.collect::<Vec<_>>()
    };
    match (format, views) {
        (Format::Json | Format::Yaml, [view]) if args.who.len() == 1 => print_value(format, view),
        (Format::Json | Format::Yaml, items) => print_value(format, &Several { items }),
        (Format::Table | Format::Wide, [view]) => {
            print_summaries(format, &summaries())?;
            print_parts(format, &view.tenant)
        }
        _ if views.is_empty() => Ok(()),
        _ => print_summaries(format, &summaries()),
    }
}

/// What a tenant has beside its row: how far its operation is, and where it has drifted.
fn print_parts(format: Format, tenant: &Tenant) -> anyhow::Result<()> {
    if !tenant.steps.is_empty() {
        print(&format!("\n{}", steps(&tenant.steps).text()))?;
    }
    if let Some(drifted) = &tenant.conditions.drifted {
        print(&format!(
            "\n{}",
            drift::table(&drifted.paths, format).text()
        ))?;
    }
    Ok(())
}
