//! `serve`: runs the service until it is told to stop.

use super::args::{Global, Serve};
use super::logs;
use super::output::tell;
use super::store::configured;
use crate::service::Service;
use crate::telemetry;

pub(super) async fn run(global: &Global, args: &Serve) -> anyhow::Result<()> {
    let mut config = configured(args.config.as_deref())?.unwrap_or_default();
    config.listen = args.listen.unwrap_or(config.listen);
    config.store = global.store.clone().unwrap_or(config.store);
    if let Some(endpoint) = &args.otlp_endpoint {
        config.telemetry.otlp_endpoint = Some(endpoint.clone());
    }
    let json = telemetry::is_json(config.telemetry.log_format);
    let traces = logs::start_serving(global.verbose, (&config.telemetry, json))?;
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
    let service = Service::start(&config).await?;
    say(format!(
        "serving on http://{}; Ctrl-C stops",
        service.address()
    ));
    service.asked_to_stop().await;
    service.stop().await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    Ok(())
}
