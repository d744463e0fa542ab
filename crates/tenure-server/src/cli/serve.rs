//! `serve`: runs the service until it is told to stop.

use super::args::{Global, Serve};
use super::output::tell;
use super::store::configured;
use crate::service::Service;

pub(super) async fn run(global: &Global, args: &Serve) -> anyhow::Result<()> {
    let mut config = configured(args.config.as_deref())?.unwrap_or_default();
    config.listen = args.listen.unwrap_or(config.listen);
    config.store = global.store.clone().unwrap_or(config.store);
    if config.classes.is_empty() {
        tell("no class is configured, so no tenant can be made; add [classes.NAME] to tenure.toml");
    }
    let service = Service::start(&config).await?;
    tell(format_args!(
        "serving on http://{}; Ctrl-C stops",
        service.address()
    ));
    service.asked_to_stop().await;
    service.stop().await;
    Ok(())
}
