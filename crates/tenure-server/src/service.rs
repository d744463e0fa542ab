//! The service: a store, the API over it, and the reconciler, started and stopped in order.
//!
//! # How it stops
//!
//! On SIGTERM it *drains*: `/readyz` says so and nothing more is claimed, but connections are accepted
//! and requests served for [`Config::drain_delay`], so that load balancers send no more before there is
//! nobody to take it. Then it *stops*: it refuses connections, ends what waits for something to happen,
//! and finishes what runs. Ctrl-C is pressed by somebody who waits, and goes without the delay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tenure::{Engine, Readiness, Store};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, ApiOptions, ApiState};
use crate::config::Config;
use crate::pull::Pull;
use crate::reconciler::{Board, Reconciler};
use crate::server::{self, ConnectionLimits, Exposure, ServerTls, Terms};
use crate::signals::{Signal, Signals};
use crate::telemetry::{self, Measured};
use crate::{cli, oidc, open, runners};

/// A running service.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    scheme: &'static str,
    api: ApiState,
    store: Arc<dyn Store>,
    drain_delay: Duration,
    drain: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
    signals: Mutex<Signals>,
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
        // Whoever is told that it serves may tell it to stop; while it starts, a signal just ends it.
        let signals = Signals::listen().context("can't listen for signals")?;
        let store: Arc<dyn Store> = Arc::new(Measured::new(store));
        let engine = Engine::with_rules(Arc::clone(&store), config.rules());
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
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
                drain: drain.clone(),
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
        tasks.spawn(Reconciler::new(engine, options).run(drain.clone()));
        tasks.close();
        say(config, address);
        Ok(Self {
            address,
            scheme: scheme(config),
            api,
            store,
            drain_delay: config.drain_delay,
            drain,
            stop,
            tasks,
            signals: Mutex::new(signals),
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

    /// Returns when the service is to stop: at once at Ctrl-C, and if it has to; at SIGTERM after it
    /// has drained.
    pub async fn asked_to_stop(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            signal = self.signal() => match signal {
                Signal::Terminate => self.drain(self.drain_delay).await,
                Signal::Interrupt => {}
            },
        }
    }

    /// Returns at the next signal, which may have come since the last one was taken.
    async fn signal(&self) -> Signal {
        self.signals.lock().await.next().await
    }

    /// Says that it stops, and serves on for a while, but not if there is another signal.
    async fn drain(&self, delay: Duration) {
        if self.drain.is_cancelled() {
            return;
        }
        self.drain.cancel();
        let delay_seconds = delay.as_secs();
        tracing::info!(
            delay_seconds,
            "the server drains: it claims nothing more and says that it is not ready"
        );
        if delay.is_zero() {
            return;
        }
        tokio::select! {
            () = sleep(delay) => {}
            _ = self.signal() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Stops: no new request and no new claim, then what runs ends or is handed back, then the store.
    ///
    /// A signal meanwhile ends it at once; what is then left undone, leases give back.
    pub async fn stop(self) {
        self.drain(Duration::ZERO).await;
        self.stop.cancel();
        let orderly = async {
            self.tasks.wait().await;
            self.api.finish().await;
            self.store.close().await;
        };
        tokio::select! {
            () = orderly => tracing::info!("the server has stopped"),
            _ = self.signal() => tracing::warn!("stopped at once, without handing work back"),
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

/// Says where the API is, and who may come in.
fn say(config: &Config, address: SocketAddr) {
    tracing::info!(%address, store = cli::redacted(&config.store), "the API listens");
    if !config.auth.required {
        tracing::warn!(
            "open to everybody on this machine, as admin; set auth.required = true to ask for tokens"
        );
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
