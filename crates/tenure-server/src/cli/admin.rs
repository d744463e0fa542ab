//! Commands that go straight to a store: `migrate` and `doctor`.

use serde::Serialize;
use tenure::StoreError;
use tenure::check::{Finding, verify_all};

use super::args::{Format, Global, Migrate};
use super::error::{Exit, Failed};
use super::output::{Table, print, print_value, tell};
use super::progress::Bar;
use super::store::{make_room, open_existing, redacted};
use crate::open;

/// Findings beyond this many are counted but not shown: the first ones are enough to start with.
const FINDINGS_SHOWN: usize = 1_000;

fn store_url<'a>(global: &'a Global, command: &str) -> Result<&'a str, Failed> {
    global.store.as_deref().ok_or_else(|| {
        let why = format!("{command} goes straight to a store; name it with --store URL");
        Failed::new(Exit::Usage, why)
    })
}

pub(super) async fn migrate(global: &Global, args: &Migrate) -> anyhow::Result<()> {
    let url = store_url(global, "migrate")?;
    make_room(url)?;
    let done = open::migrate(url, args.app_role.as_deref()).await?;
    print(&format!("{}: {done}\n", redacted(url)))
}

#[derive(Serialize)]
struct Verdict {
    tenants: u64,
    sound: u64,
    findings: Vec<Finding>,
}

pub(super) async fn doctor(global: &Global) -> anyhow::Result<()> {
    let url = store_url(global, "doctor")?;
    let store = open_existing(url).await?;
    let bar = Bar::shown("tenants checked:", None);
    let mut findings = Vec::new();
    let verified = verify_all(&*store, |progress| {
        bar.step();
        let room = FINDINGS_SHOWN.saturating_sub(findings.len());
        findings.extend(progress.findings.iter().take(room).cloned());
    })
    .await;
    bar.done();
    store.close().await;
    let verified = verified.map_err(|error: StoreError| {
        anyhow::Error::new(error).context("the check could not be finished; nothing was changed")
    })?;
    let verdict = Verdict {
        tenants: verified.tenants,
        sound: verified.sound,
        findings,
    };
    print_verdict(global.output, &verdict)?;
    tell(format_args!(
        "{} tenants checked, {} sound, {} findings",
        verified.tenants, verified.sound, verified.findings
    ));
    if verified.findings == 0 {
        return Ok(());
    }
    let why = "the store does not hold what it should; stop writing to it, keep a copy, and restore \
               the tenants that are named from a backup";
    Err(Failed::new(Exit::Error, why).into())
}

fn print_verdict(format: Format, verdict: &Verdict) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Yaml => print_value(format, verdict),
        Format::Table | Format::Wide | Format::Name if verdict.findings.is_empty() => Ok(()),
        Format::Table | Format::Wide | Format::Name => {
            let mut table = Table::new(&["TENANT", "REVISION", "RULE", "FOUND"]);
            for finding in &verdict.findings {
                table.row(vec![
                    finding.tenant.to_string(),
                    finding
                        .revision
                        .map_or_else(|| "-".to_owned(), |r| r.to_string()),
                    finding.rule.to_owned(),
                    finding.detail.clone(),
                ]);
            }
            table.print()
        }
    }
}
