//! `watch`: a tenant's history, each line as it is written.

use std::time::Duration;

use tenure::{Line, State, TenantRef};
use tokio::time::sleep;

use super::args::{Format, Watch};
use super::client::{Call, Client, path_of};
use super::output::{one_line, print};
use super::tenants::{state_of, to_the_second};
use crate::api::tenants::wire::{HistoryPage, TenantView};

/// How often it asks for what is new.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// Prints lines until it is interrupted, or the tenant is gone, after which nothing comes.
pub(super) async fn run(client: &Client, args: &Watch, format: Format) -> anyhow::Result<()> {
    let view: TenantView = client
        .call(&Call::get(path_of(&args.who, "")))
        .await?
        .json()?;
    // From here on this very tenant is meant, even if its name goes to another.
    let path = path_of(&TenantRef::Id(view.tenant.id), "/history");
    let newest = view.tenant.revision.get();
    let mut after = newest.saturating_sub(args.last);
    loop {
        let call = Call::get(path.clone()).with("after", (after > 0).then_some(after));
        let page: HistoryPage = client.call(&call).await?.json()?;
        for line in &page.items {
            print(&shown(line, format)?)?;
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
    Ok(match format {
        Format::Json => format!("{}\n", serde_json::to_string(line)?),
        Format::Yaml => format!("---\n{}", serde_saphyr::to_string(line)?),
        Format::Name => format!("{}\n", line.revision),
        Format::Table | Format::Wide => {
            let words = [
                to_the_second(line.at),
                line.revision.to_string(),
                state_of(line),
                line.reason.to_string(),
                one_line(line.message.as_str()),
            ];
            format!("{}\n", words.join("  ").trim_end())
        }
    })
}
