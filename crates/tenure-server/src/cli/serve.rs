//! `serve`: runs the service until it is told to stop.

use std::path::Path;

use super::args::{Global, Serve};
use super::output::tell;
use crate::config::{self, Config};
use crate::service::Service;

pub(super) async fn run(global: &Global, args: &Serve) -> anyhow::Result<()> {
    let file = Path::new(config::FILE_NAME);
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None if file.exists() => Config::read(file)?,
        None => Config::default(),
    };
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
