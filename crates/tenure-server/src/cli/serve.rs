//! `serve`: runs the service until it is told to stop.

use super::args::{Global, Serve, Served};
use super::logs;
use super::output::tell;
use super::store::sources;
use crate::config::{Config, Flags};
use crate::service::Service;
use crate::telemetry;

pub(super) async fn run(global: &Global, args: &Serve) -> anyhow::Result<()> {
    let sources = sources(args.config.as_deref())?.with_flags(args.flags.with(global));
    let config = Config::load(&sources)?;
    let json = telemetry::is_json(config.telemetry.log_format);
    let traces = logs::start_serving(global.verbose, (&config.telemetry, json))?;
    let done = serve(&config, json).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    logs::told_as_logged(done, json)
}

async fn serve(config: &Config, json: bool) -> anyhow::Result<()> {
    let say = |text: String| {
        // So that every line is JSON.
        if json {
            tracing::info!("{text}");
        } else {
            tell(text);
        }
    };
    if config.classes.is_empty() {
        let advice = "add [classes.NAME] to tenure.toml";
        say(format!(
            "no class is configured, so no tenant can be made; {advice}"
        ));
    }
    let service = Service::start(config).await?;
    say(format!("serving on {}; Ctrl-C stops", service.url()));
    service.asked_to_stop().await;
    service.stop().await;
    Ok(())
}

impl Served {
    /// What they and `--store` say of the configuration.
    pub(super) fn with(&self, global: &Global) -> Flags {
        Flags {
            listen: self.listen,
            store: global.store.clone(),
            behind_proxy: self.behind_proxy,
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            otlp_endpoint: self.otlp_endpoint.clone(),
        }
    }
}
