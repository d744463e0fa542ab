//! `watch`: a tenant's history, each line as it is written.

use std::time::Duration;

use tenure::{Line, State, TenantRef};
use tokio::time::sleep;

use super::args::{Format, Watch};
use super::client::{Call, Client, path_of};
use super::error::may_pass;
use super::output::{one_line, one_of_many, still_read, stream, tell};
use super::tenants::{state_of, to_the_second};
use crate::api::tenants::wire::{HistoryPage, TenantView};

/// How often it asks for what is new.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// How long it leaves a server alone that does not answer.
const SILENCE_PAUSE: Duration = Duration::from_secs(1);

/// Prints lines until it is interrupted, nobody reads them, or the tenant is gone, after which nothing
/// comes. A server that was there is waited for if it goes away.
pub(super) async fn run(client: &Client, args: &Watch, format: Format) -> anyhow::Result<()> {
    let view: TenantView = client
        .call(&Call::get(path_of(&args.who, "")))
        .await?
        .json()?;
    // From here on this very tenant is meant, even if its name goes to another.
    let path = path_of(&TenantRef::Id(view.tenant.id), "/history");
    let newest = view.tenant.revision.get();
    let mut after = newest.saturating_sub(args.last);
    let mut is_silent = false;
    loop {
        still_read()?;
        let call = Call::get(path.clone()).with("after", (after > 0).then_some(after));
        let page: HistoryPage = match client.call(&call).await {
            Ok(answer) => answer.json()?,
            Err(error) if may_pass(&error) => {
                if !is_silent {
                    tell(format_args!(
                        "{error:#}; watching goes on once it answers again"
                    ));
                }
                is_silent = true;
                sleep(SILENCE_PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        is_silent = false;
        for line in &page.items {
            stream(&shown(line, format)?)?;
            after = line.revision.get();
            if line.to == State::Deleted {
                return Ok(());
            }
        }
        if page.next.is_none() {
            sleep(ASK_INTERVAL).await;
        }
    }
}

fn shown(line: &Line, format: Format) -> anyhow::Result<String> {
    let mut words = vec![
        to_the_second(line.at),
        line.revision.to_string(),
        state_of(line),
        line.reason.to_string(),
    ];
    match format {
        Format::Json | Format::Yaml => return one_of_many(format, line),
        Format::Name => return Ok(format!("{}\n", line.revision)),
        Format::Table => {}
        Format::Wide => words.extend([line.actor.to_string(), line.kind.to_string()]),
    }
    words.push(one_line(line.message.as_str()));
    Ok(format!("{}\n", words.join("  ").trim_end()))
}
