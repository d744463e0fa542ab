//! `serve`: runs the service until it is told to stop.

use super::args::{Global, Serve, Served};
use super::output::tell;
use super::store::sources;
use crate::config::{Config, Flags};
use crate::service::Service;

pub(super) async fn run(global: &Global, args: &Serve) -> anyhow::Result<()> {
    let sources = sources(args.config.as_deref())?.with_flags(args.flags.with(global));
    let config = Config::load(&sources)?;
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

impl Served {
    /// What they and `--store` say of the configuration.
    pub(super) fn with(&self, global: &Global) -> Flags {
        Flags {
            listen: self.listen,
            store: global.store.clone(),
            behind_proxy: self.behind_proxy,
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
        }
    }
}
