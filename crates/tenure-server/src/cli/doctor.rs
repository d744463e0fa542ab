//! `doctor`: checks what a store holds against its own rules, and what is wanted against the
//! configuration.

use std::collections::BTreeSet;

use serde::Serialize;
use tenure::check::{Finding, Verified, verify_all};
use tenure::{ClassRules as _, PageSize, Query, Revision, Store, StoreError, TenantId, TenantName};

use super::args::{Doctor, Format, Global};
use super::error::{Exit, Failed};
use super::output::{Table, print_lines, print_value, tell};
use super::progress::Bar;
use super::store::{configured, open_existing, store_url};
use crate::classes::Classes;

/// Findings beyond this many are counted but not shown: the first ones are enough to start with.
const FINDINGS_SHOWN: usize = 1_000;

#[derive(Serialize)]
struct Verdict {
    tenants: u64,
    sound: u64,
    findings: Vec<Finding>,
    config_findings: Vec<Misfit>,
}

/// A living tenant that the configuration would not have so today.
#[derive(Serialize)]
struct Misfit {
    tenant: TenantId,
    name: TenantName,
    revision: Revision,
    rule: &'static str,
    detail: String,
}

pub(super) async fn run(global: &Global, args: &Doctor) -> anyhow::Result<()> {
    let url = &store_url(global, "doctor")?;
    let config = configured(args.config.as_deref())?;
    let store = open_existing(url).await?;
    let mut verdict = Verdict {
        tenants: 0,
        sound: 0,
        findings: Vec::new(),
        config_findings: Vec::new(),
    };
    let verified = look(&*store, &mut verdict).await;
    let misfits = match (&verified, &config) {
        // What is damaged is not compared: it may not even be readable.
        (Ok(verified), Some(config)) if verified.findings == 0 => {
            compare(&*store, &config.classes(), &mut verdict).await
        }
        _ => Ok(0),
    };
    store.close().await;
    let unfinished = |error: StoreError| {
        anyhow::Error::new(error).context("the check could not be finished; nothing was changed")
    };
    let (verified, misfits) = (verified.map_err(unfinished)?, misfits.map_err(unfinished)?);
    print_verdict(global.output, &verdict)?;
    tell(format_args!(
        "{} tenants checked, {} sound, {} findings{}",
        verified.tenants,
        verified.sound,
        verified.findings,
        match &config {
            None => String::new(),
            Some(_) if verified.findings > 0 => "; not compared with tenure.toml".to_owned(),
            Some(_) => format!("; {misfits} that tenure.toml would refuse"),
        }
    ));
    judge(verified.findings, misfits)
}

async fn look(store: &dyn Store, verdict: &mut Verdict) -> Result<Verified, StoreError> {
    let bar = Bar::shown("tenants checked:", None);
    let verified = verify_all(store, |progress| {
        bar.step();
        let room = FINDINGS_SHOWN.saturating_sub(verdict.findings.len());
        let found = progress.findings.iter().take(room).cloned();
        verdict.findings.extend(found);
    })
    .await;
    bar.done();
    if let Ok(verified) = &verified {
        (verdict.tenants, verdict.sound) = (verified.tenants, verified.sound);
    }
    verified
}

/// Asks of each living tenant whether its class would have it so today; gives how many are not.
async fn compare(
    store: &dyn Store,
    classes: &Classes,
    verdict: &mut Verdict,
) -> Result<u64, StoreError> {
    let mut query = Query {
        limit: PageSize::MAX,
        ..Query::default()
    };
    let mut misfits = 0;
    loop {
        let page = store.list(&query).await?;
        let ids: Vec<TenantId> = page.items.iter().map(|summary| summary.id).collect();
        for record in store.get_many(&ids).await? {
            let tenant = record.tenant;
            let (rule, detail) = if !classes.has(&tenant.class) {
                ("class", format!("class {} is not configured", tenant.class))
            } else if let Err(invalid) = classes.check(&tenant.class, &tenant.desired) {
                ("schema", invalid.to_string())
            } else {
                continue;
            };
            misfits += 1;
            if verdict.config_findings.len() < FINDINGS_SHOWN {
                verdict.config_findings.push(Misfit {
                    tenant: tenant.id,
                    name: tenant.name,
                    revision: tenant.revision,
                    rule,
                    detail,
                });
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(misfits),
        }
    }
}

fn judge(findings: u64, misfits: u64) -> anyhow::Result<()> {
    let why = match (findings, misfits) {
        (0, 0) => return Ok(()),
        (0, _) => {
            "the store is sound, but the configuration would refuse tenants that it holds; correct \
             what is wanted of them, or their class in tenure.toml; meanwhile they are served as ever"
        }
        _ => {
            "the store does not hold what it should; stop writing to it, keep a copy, and restore \
             the tenants that are named from a backup"
        }
    };
    Err(Failed::new(Exit::Error, why).into())
}

fn print_verdict(format: Format, verdict: &Verdict) -> anyhow::Result<()> {
    if matches!(format, Format::Json | Format::Yaml) {
        return print_value(format, verdict);
    }
    if format == Format::Name {
        let found = verdict.findings.iter().map(|finding| finding.tenant);
        let misfits = verdict.config_findings.iter().map(|misfit| misfit.tenant);
        return print_lines(found.chain(misfits).collect::<BTreeSet<_>>());
    }
    if verdict.findings.is_empty() && verdict.config_findings.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["TENANT", "REVISION", "RULE", "FOUND"]);
    for finding in &verdict.findings {
        let revision = finding.revision.map(|revision| revision.to_string());
        table.row(vec![
            finding.tenant.to_string(),
            revision.unwrap_or_else(|| "-".to_owned()),
            finding.rule.to_owned(),
            finding.detail.clone(),
        ]);
    }
    for misfit in &verdict.config_findings {
        table.row(vec![
            misfit.tenant.to_string(),
            misfit.revision.to_string(),
            misfit.rule.to_owned(),
            format!("{}: {}", misfit.name, misfit.detail),
        ]);
    }
    table.print()
}
