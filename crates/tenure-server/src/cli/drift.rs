//! Commands about drift: where it is, and to let it not count.

use http::Method;
use serde_json::{Value, json};
use tenure::{Clock as _, Difference, SystemClock, Timestamp};

use super::args::{Drift, Format, Until, Waive};
use super::client::{Call, Client, path_of};
use super::output::{Table, age, print_lines, print_value, short};
use super::tenants::{WHOLE_PAGE, changed};
use crate::api::DriftPage;

pub(super) async fn list(client: &Client, args: &Drift, format: Format) -> anyhow::Result<()> {
    let call = Call::get("/v1/drift")
        .with("class", args.class.as_ref())
        .with("selector", args.selector.as_ref())
        .with("page_size", Some(WHOLE_PAGE));
    let mut whole = DriftPage {
        items: Vec::new(),
        next: None,
    };
    loop {
        let call = call.clone().with("page_token", whole.next.as_ref());
        let page: DriftPage = client.call(&call).await?.json()?;
        whole.items.extend(page.items);
        whole.next = page.next;
        if whole.next.is_none() {
            break;
        }
    }
    match format {
        Format::Json | Format::Yaml => print_value(format, &whole),
        Format::Name => print_lines(whole.items.iter().map(|tenant| &tenant.name)),
        Format::Table | Format::Wide => {
            let mut table = Table::new(&["NAME", "CLASS", "PATH", "WANTED", "FOUND", "SINCE"]);
            for tenant in &whole.items {
                for difference in &tenant.paths {
                    let mut row = vec![tenant.name.to_string(), tenant.class.to_string()];
                    row.extend(cells(difference, format));
                    table.row(row);
                }
            }
            table.print()
        }
    }
}

/// The drift of one tenant.
pub(super) fn table(paths: &[Difference], format: Format) -> Table {
    let mut table = Table::new(&["PATH", "WANTED", "FOUND", "SINCE"]);
    for difference in paths {
        table.row(cells(difference, format).into());
    }
    table
}

fn cells(difference: &Difference, format: Format) -> [String; 4] {
    let value = |value: &Value| match format {
        Format::Wide => value.to_string(),
        _ => short(&value.to_string()),
    };
    [
        difference.path.to_string(),
        value(&difference.wanted),
        value(&difference.found),
        age(SystemClock.now().since(difference.since)),
    ]
}

pub(super) async fn waive(client: &Client, args: &Waive, format: Format) -> anyhow::Result<()> {
    let until = match args.until {
        Until::At(at) => at,
        Until::For(length) => SystemClock.now().plus(length),
        // Long over by any clock.
        Until::Now => Timestamp::EPOCH,
    };
    let call = Call::new(Method::POST, path_of(&args.who, "/waive"))
        .with_body(json!({"path": args.path, "until": until, "message": args.why.message}))
        .if_revision(args.why.if_revision);
    changed(client, &call, format).await
}
