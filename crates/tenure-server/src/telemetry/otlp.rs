//! Where traces go, if anywhere: to a collector, by OTLP over HTTP.
//!
//! # Invariants
//!
//! - Nothing waits for the collector: spans queue up to a bound, and beyond it are lost.
//! - What can't be sent is counted, said once in the log, and changes nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// How long the collector may take.
const SEND_MAX: Duration = Duration::from_secs(10);

/// How long the last spans may take to leave when the server stops.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Whether this process makes spans for a collector.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether spans that only a collector cares for are of use.
pub(crate) fn is_tracing() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The way to a collector.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: Tracer,
}

impl Traces {
    /// A way to the collector at this address; it is not asked whether it is there.
    ///
    /// # Errors
    ///
    /// If the address, or what the system says of certificates, can't be used.
    pub(super) fn to(endpoint: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(SEND_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("can't make a client for otlp_endpoint")?;
        let courier = Courier {
            client,
            runtime: Handle::current(),
            failed: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(SEND_MAX)
            .with_http_client(courier)
            .build()
            .context("can't use otlp_endpoint")?;
        let resource = Resource::builder()
            .with_service_name("tenure")
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("tenure");
        Ok(Self { provider, tracer })
    }

    /// What turns our spans into the collector's.
    pub(super) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours =
            |metadata: &Metadata<'_>| metadata.is_span() && metadata.target().starts_with("tenure");
        ON.store(true, Ordering::Relaxed);
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(ours))
            .boxed()
    }

    /// Sends what is left, for a few seconds at most.
    pub(crate) async fn finish(self) {
        let flushed = spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_MAX)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be sent");
        }
    }
}

/// Carries spans with the server's own client, on its own runtime: the exporter has a thread that
/// knows neither.
#[derive(Debug)]
struct Courier {
    client: reqwest::Client,
    runtime: Handle,
    /// Whether the last send failed.
    failed: AtomicBool,
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        let sent = sent.await?;
        let well = sent.as_ref().is_ok_and(|(status, _)| status.is_success());
        let outcome = if well { "sent" } else { "failed" };
        metrics::counter!("tenure_trace_exports_total", "outcome" => outcome).increment(1);
        if !self.failed.swap(!well, Ordering::Relaxed) && !well {
            let status = sent.as_ref().ok().map(|(status, _)| status.as_u16());
            tracing::warn!(
                status,
                "traces can't be sent to otlp_endpoint; some are lost until they can"
            );
        }
        let (status, body) = sent.map_err(reqwest::Error::without_url)?;
        Ok(Response::builder().status(status).body(body)?)
    }
}
