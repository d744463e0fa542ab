//! `up`: brings a folder to life. Store, API and reconciler, and the tenants of its manifest.
//!
//! The manifest goes the same way as with `apply`: through the API. Running it again writes nothing
//! where all is as it should be.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tenure::{Actor, Message, State, Store, Summary, Tenant, TenantId};
use tokio::time::{Instant, sleep, timeout_at};

use crate::cli::{
    Bar, Client, Exit, Failed, Format, apply, is_watched, one_line, print_summaries, summary, tell,
    told_as_logged,
};
use crate::config::{self, Config, LogFormat, Sources};
use crate::manifest::Manifest;
use crate::service::Service;
use crate::telemetry;

/// How often tenants are looked at while people watch.
const LOOK: Duration = Duration::from_millis(100);

/// How many tenants a store gives at once.
const PAGE: usize = 500;

/// What `up` was asked to do.
#[derive(Clone, Debug)]
pub struct Up {
    /// The folder with `tenure.toml` and `tenants.yaml`.
    pub folder: PathBuf,
    /// What the configuration is read from.
    pub sources: Sources,
    /// End when all tenants are as they should be.
    pub exit_when_ready: bool,
    /// How long to wait for that.
    pub timeout: Duration,
    /// Who the history says it was.
    pub actor: Actor,
    /// Why, for the history.
    pub message: Message,
    /// What is logged, in the syntax of `EnvFilter`.
    pub log: &'static str,
}

/// Brings a folder to life.
///
/// # Errors
///
/// What is wrong with the folder, the store or the address, and what to do. A tenant that can't be as
/// it should is an error only if `up` was to end when all are.
pub async fn up(up: Up) -> anyhow::Result<()> {
    let config = Config::load(&up.sources)?;
    // People read this; what they are told otherwise is no JSON either.
    let json = config.telemetry.log_format == LogFormat::Json;
    let traces = telemetry::log(up.log, json, config.telemetry.otlp_endpoint.as_deref())?;
    let done = serve(&config, &up).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    told_as_logged(done, json)
}

async fn serve(config: &Config, up: &Up) -> anyhow::Result<()> {
    let manifest = Manifest::read(&up.folder)?;
    manifest.check_classes(&config.classes.keys().cloned().collect())?;
    let service = Service::start(config).await?;
    let done = tokio::select! {
        done = bring(&service, up, &manifest) => done,
        () = service.asked_to_stop() => Ok(()),
    };
    service.stop().await;
    done
}

/// Applies the manifest and follows its tenants; ends only if that is all that was asked for.
async fn bring(service: &Service, up: &Up, manifest: &Manifest) -> anyhow::Result<()> {
    let url = service.url();
    tell(format_args!("the API listens on {url}"));
    let client = Client::here(service.router(), up.actor.clone());
    let applied = match apply(&client, manifest, &up.message, false).await {
        Ok(applied) => applied,
        Err(error) if up.exit_when_ready => return Err(error),
        Err(error) => {
            // What is there already is looked after, and a tenant that is being deleted gets there.
            tell(format_args!(
                "{error:#}\nserving what is there; Ctrl-C stops"
            ));
            return pending().await;
        }
    };
    tell(summary(&applied, false));
    let ids: Vec<TenantId> = applied.iter().map(|applied| applied.id).collect();
    let mut watch = Watch::new(&ids, up.exit_when_ready);
    let settled = if up.exit_when_ready {
        timeout_at(Instant::now() + up.timeout, watch.settle(service.store())).await
    } else {
        Ok(watch.settle(service.store()).await)
    };
    watch.bar.done();
    if let Ok(outcome) = settled {
        outcome?;
    }
    let tenants = watch.summaries();
    print_summaries(Format::Table, &tenants)?;
    if up.exit_when_ready {
        return watch.verdict(up.timeout);
    }
    tell(next_steps(&tenants, (service.address(), &url)));
    pending().await
}

/// What to try next, with a tenant that is there.
fn next_steps(tenants: &[Summary], (address, url): (SocketAddr, &str)) -> String {
    let name = tenants
        .first()
        .map_or("NAME", |tenant| tenant.name.as_str());
    let server = match address {
        address if address == config::LISTEN && url.starts_with("http:") => String::new(),
        _ => format!(" --server {url}"),
    };
    format!(
        "\nserving on {url}; Ctrl-C stops. Try next, elsewhere:\n  \
         tenure history {name}{server}\n  \
         tenure suspend {name} --message 'invoice overdue'{server}\n  \
         tenure list --state ready{server}"
    )
}

/// Follows tenants until they settle.
struct Watch {
    order: Vec<TenantId>,
    open: Vec<TenantId>,
    seen: BTreeMap<TenantId, Tenant>,
    /// Whether a tenant that fails but is tried again is still awaited.
    patient: bool,
    bar: Bar,
}

impl Watch {
    fn new(ids: &[TenantId], patient: bool) -> Self {
        let bar = Bar::shown("tenants", Some(ids.len()));
        Self {
            order: ids.to_vec(),
            open: ids.to_vec(),
            seen: BTreeMap::new(),
            patient,
            bar,
        }
    }

    async fn settle(&mut self, store: &dyn Store) -> anyhow::Result<()> {
        loop {
            let mut open = Vec::new();
            for ids in self.open.chunks(PAGE) {
                let records = store
                    .get_many(ids)
                    .await
                    .context("can't look at the tenants")?;
                for record in records {
                    let tenant = record.tenant;
                    if !is_settled(&tenant, self.patient) {
                        open.push(tenant.id);
                    }
                    note(
                        &self.bar,
                        self.seen.insert(tenant.id, tenant.clone()).as_ref(),
                        &tenant,
                    );
                }
            }
            self.open = open;
            self.bar.at(self.order.len() - self.open.len());
            if self.open.is_empty() {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    fn summaries(&self) -> Vec<Summary> {
        self.order
            .iter()
            .filter_map(|id| self.seen.get(id))
            .map(Summary::from)
            .collect()
    }

    /// Fails if a tenant is not as it should be.
    fn verdict(&self, waited: Duration) -> anyhow::Result<()> {
        let not: Vec<&Tenant> = self
            .seen
            .values()
            .filter(|tenant| !tenant.is_at_rest())
            .collect();
        let Some(first) = not.first() else {
            return Ok(());
        };
        let name = &first.name;
        let why = first.conditions.failing.as_ref().map_or_else(
            || format!("is {} still", first.state),
            |failing| format!("fails: {}: {}", failing.reason, failing.message),
        );
        let exit = if self.open.is_empty() {
            Exit::Error
        } else {
            Exit::Timeout
        };
        let count = not.len();
        let seconds = waited.as_secs();
        let what = match exit {
            Exit::Timeout => format!("{count} tenants are not as they should be after {seconds} s"),
            _ => format!("{count} tenants can't be as they should be"),
        };
        Err(Failed::new(exit, format!("{what}; {name} {why}")).into())
    }
}

/// Whether nothing more happens to it by itself; the impatient do not wait for another try.
fn is_settled(tenant: &Tenant, patient: bool) -> bool {
    let failing = tenant.conditions.failing.as_ref();
    tenant.is_at_rest()
        || tenant.conditions.held.is_some()
        || failing.is_some_and(|failing| failing.halted || !patient)
}

/// Tells what is new of a tenant: on the bar for who watches, as a line for who reads later.
fn note(bar: &Bar, before: Option<&Tenant>, now: &Tenant) {
    let seen = |tenant: &Tenant| (tenant.state, tenant.conditions.failing.clone());
    if before.map(seen) == Some(seen(now)) || (before.is_none() && is_settled(now, true)) {
        return;
    }
    let line = match &now.conditions.failing {
        Some(failing) => {
            let message = one_line(failing.message.as_str());
            format!(
                "{}: {} fails: {}: {message}",
                now.name, now.state, failing.reason
            )
        }
        None if now.state == State::Requested => return,
        None => format!("{}: {}", now.name, now.state),
    };
    bar.say(line.clone());
    if !is_watched() {
        tell(line);
    }
}
