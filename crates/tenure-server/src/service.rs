//! The service: a store, the API over it, and the reconciler, started and stopped in order.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use tenure::{Engine, Readiness, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiOptions, ApiState};
use crate::config::Config;
use crate::pull::Pull;
use crate::reconciler::{Board, Reconciler};
use crate::server::{self, ConnectionLimits, Exposure, ServerTls, Terms};
use crate::telemetry::{self, Measured};
use crate::{cli, oidc, open, runners};

/// A running service.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    scheme: &'static str,
    api: ApiState,
    store: Arc<dyn Store>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Service {
    /// Opens the store, listens, and starts to reconcile.
    ///
    /// # Errors
    ///
    /// Why one of them can't be, and what to do. What was begun is ended.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        // First, so that a second server is told where the first one is, not that a file is locked.
        let exposure = Exposure::of(config);
        let listener = server::listen(config.listen, exposure).await?;
        let tls = config.tls.as_ref().map(ServerTls::read).transpose()?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let verifier = config.auth.oidc.as_ref().map(oidc::verifier).transpose()?;
        let board = Board::from(config);
        let options = runners::options(config, board.clone())?;
        let store = open_ready(&config.store).await?;
        let store: Arc<dyn Store> = Arc::new(Measured::new(store));
        let engine = Engine::with_rules(Arc::clone(&store), config.rules());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (clock, ids) = (Arc::clone(&options.clock), Arc::clone(&options.ids));
        let pull = Pull::new(engine.clone(), config, (clock, ids), board.clone())?;
        let api = ApiState::new(
            engine.clone(),
            ApiOptions {
                classes: config.classes.keys().cloned().collect(),
                board,
                limits: config.limits,
                auth_required: config.auth.required,
                require_if_match: config.require_if_match,
                verifier,
                pull: Some(Arc::new(pull)),
                stop: stop.clone(),
                ..ApiOptions::default()
            },
        );
        let serving = server::serve(
            listener,
            api::router(api.clone()),
            Terms {
                limits: ConnectionLimits::default(),
                exposure,
                tls: tls.clone(),
                behind_proxy: config.behind_proxy,
            },
            stop.clone(),
        );
        if let Some(tls) = tls {
            tasks.spawn(tls.follow(stop.clone()));
        }
        let ended = stop.clone();
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the API has ended");
                ended.cancel();
            }
        });
        tasks.spawn(telemetry::keep(stop.clone()));
        tasks.spawn(Reconciler::new(engine, options).run(stop.clone()));
        tasks.close();
        tracing::info!(%address, store = cli::redacted(&config.store), "the API listens");
        if !config.auth.required {
            tracing::warn!(
                "open to everybody on this machine, as admin; set auth.required = true to ask for \
                 tokens"
            );
        }
        Ok(Self {
            address,
            scheme: scheme(config),
            api,
            store,
            stop,
            tasks,
        })
    }

    /// Where the API listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as clients write it.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The same API, to be called in this process.
    pub fn router(&self) -> Router {
        api::local_router(self.api.clone())
    }

    /// The store, for reading.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Returns when the service is told to stop, or has to.
    pub async fn asked_to_stop(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = signalled() => {}
        }
    }

    /// Stops: no new request and no new claim, then what runs ends or is handed back, then the store.
    ///
    /// A second signal meanwhile ends it at once; what is then left undone, leases give back.
    pub async fn stop(self) {
        self.stop.cancel();
        let orderly = async {
            self.tasks.wait().await;
            self.api.finish().await;
            self.store.close().await;
        };
        tokio::select! {
            () = orderly => {}
            () = signalled() => tracing::warn!("stopped at once, without handing work back"),
        }
    }
}

/// What the addresses of the API begin with.
const fn scheme(config: &Config) -> &'static str {
    if config.tls.is_some() {
        "https"
    } else {
        "http"
    }
}

/// Opens a store that can serve.
async fn open_ready(url: &str) -> anyhow::Result<Arc<dyn Store>> {
    cli::make_room(url)?;
    let store = open::open(url).await?;
    match store.readiness().await {
        Readiness::Ready { .. } => Ok(store),
        not => {
            store.close().await;
            Err(anyhow::anyhow!(
                "the store {} is not ready: {not}",
                cli::redacted(url)
            ))
        }
    }
}

/// Returns at the first Ctrl-C or SIGTERM from now on.
pub(crate) async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_tls_says_so_in_its_address() {
        let mut config = Config::default();
        assert_eq!(scheme(&config), "http");
        config.tls = Some(crate::config::Tls {
            cert_file: "cert.pem".into(),
            key_file: "key.pem".into(),
            client_ca_file: None,
        });
        assert_eq!(scheme(&config), "https");
    }
}
