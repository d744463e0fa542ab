//! `provisioner test`: runs the kit against a provisioner and tells what it found.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value};
use tenure::Document;
use tokio_util::sync::CancellationToken;

use super::args::{Format, ProvisionerTest};
use super::error::{Exit, Failed};
use super::output::{Table, print, print_lines, print_value, tell};
use crate::kit::{self, Asked, Breach, CaseReport, Event, Report, Tamper, Target, Verdict};
use crate::provisioner::{HttpOptions, SecretSources, SigningSecret};
use crate::signals::Signals;

pub(super) async fn test(args: ProvisionerTest, format: Format) -> anyhow::Result<()> {
    let asked = asked(args)?;
    let stop = CancellationToken::new();
    let mut signals = Signals::listen().context("can't listen for signals")?;
    let report = {
        let running = kit::run(&asked, &stop, told);
        tokio::pin!(running);
        tokio::select! {
            report = &mut running => report,
            _ = signals.next() => {
                tell("stopping; what the case has made is destroyed first");
                stop.cancel();
                tokio::select! {
                    report = &mut running => report,
                    _ = signals.next() => {
                        let why = "stopped at once; tenants named kit-… may be left behind";
                        return Err(Failed::new(Exit::Error, why).into());
                    }
                }
            }
        }
    };
    print_report(format, &report)?;
    verdict(&report)
}

fn told(event: &Event<'_>) {
    match event {
        Event::Begun(case) => tell(format_args!("{case} …")),
        Event::Ended(done) => {
            let (case, verdict) = (done.case, done.verdict.as_str());
            tell(format_args!("{case} {verdict}"));
        }
    }
}

fn verdict(report: &Report) -> anyhow::Result<()> {
    let Report {
        ok,
        failed,
        skipped,
        ..
    } = report;
    tell(format_args!("{ok} ok, {failed} failed, {skipped} skipped"));
    let why = if !report.is_whole {
        match report.left.as_slice() {
            [] => "stopped before the end; nothing is left behind".to_owned(),
            left => format!("stopped before the end; left behind: {}", left.join("; ")),
        }
    } else if *failed > 0 {
        "the provisioner breaks the contract; correct what the failed cases name, and run them again \
         with --only"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(Failed::new(Exit::Error, why).into())
}

fn print_report(format: Format, report: &Report) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Yaml => return print_value(format, report),
        Format::Name => {
            let failed = report.cases.iter().filter(|c| c.verdict == Verdict::Failed);
            return print_lines(failed.map(|done| done.case));
        }
        Format::Table | Format::Wide => {}
    }
    let mut table = Table::new(&["CASE", "VERDICT", "TIME", "NOTE"]);
    for done in &report.cases {
        table.row(vec![
            done.case.to_string(),
            done.verdict.as_str().to_owned(),
            format!(
                "{}.{:03} s",
                done.duration_ms / 1_000,
                done.duration_ms % 1_000
            ),
            done.note.clone(),
        ]);
    }
    table.print()?;
    for CaseReport { case, failure, .. } in &report.cases {
        if let Some(Breach {
            did,
            came,
            contract,
            section,
        }) = failure
        {
            print(&format!(
                "\n{case} failed\n  did       {did}\n  came      {came}\n  contract  {contract}\n  see       \
                 docs/reference/provisioner.md, {section:?}\n"
            ))?;
        }
    }
    Ok(())
}

fn usage(why: impl Into<String>) -> Failed {
    Failed::new(Exit::Usage, why)
}

fn asked(args: ProvisionerTest) -> anyhow::Result<Asked> {
    let deadline = Duration::from_secs(args.deadline);
    let env: BTreeMap<String, String> = args.env.into_iter().collect();
    let tamper = tamper(&args.tamper, &env, deadline)?;
    let target = if let Some(url) = args.http {
        let signing_secret = args.signing_secret_file.as_deref();
        Target::http(HttpOptions {
            url,
            signing_secret: signing_secret.map(signing_secret_of).transpose()?,
            deadline,
            allow_private_addresses: true,
            ca_file: None,
            secrets: SecretSources::default(),
        })
    } else {
        let folder = std::env::current_dir().context("can't tell which folder this is")?;
        Target::exec(&args.command, &folder, env, deadline)
    };
    let target = target.map_err(|error| usage(error.to_string()))?;
    let document = |file: &Option<_>| file.as_deref().map(document).transpose();
    Ok(Asked {
        target,
        class: args.class,
        desired: document(&args.desired)?.unwrap_or_else(Document::empty),
        changed: document(&args.changed)?,
        tamper,
        kills: args.kills,
        only: args.only,
    })
}

/// One argument is a command line, split as a shell would; several are its parts as they are.
fn tamper(
    given: &[String],
    env: &BTreeMap<String, String>,
    deadline: Duration,
) -> Result<Option<Tamper>, Failed> {
    let parts = match given {
        [] => return Ok(None),
        [line] => shlex::split(line)
            .ok_or_else(|| usage("--tamper has a quote that does not end; close it"))?,
        parts => parts.to_vec(),
    };
    let mut parts = parts.into_iter();
    let program = parts
        .next()
        .ok_or_else(|| usage("--tamper must name a program"))?;
    Ok(Some(Tamper {
        program,
        arguments: parts.collect(),
        environment: env.clone().into_iter().collect(),
        deadline,
    }))
}

fn signing_secret_of(file: &Path) -> Result<SigningSecret, Failed> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| usage(format!("can't read {}: {error}", file.display())))?;
    SigningSecret::parse(text.trim_end())
        .map_err(|error| usage(format!("{}: {error}", file.display())))
}

/// Reads what is wanted, as JSON or YAML.
fn document(file: &Path) -> Result<Document, Failed> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| usage(format!("can't read {shown}: {error}")))?;
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: None,
        with_snippet: false,
    };
    let object: Map<String, Value> = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| usage(format!("{shown}: must be a JSON or YAML object: {error}")))?;
    Document::from_value(&Value::Object(object))
        .map_err(|error| usage(format!("{shown}: desired {}", error.rule())))
}
