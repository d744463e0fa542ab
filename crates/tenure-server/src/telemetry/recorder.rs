//! The recorder: where everything that is counted goes, one of each process.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tenure::{Clock as _, SystemClock};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::table::{Kind, METRICS};

/// How often what was measured is put into its buckets, so that it does not pile up unread.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The process's recorder, and when it began.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) handle: PrometheusHandle,
    /// In seconds since 1970.
    pub(super) since: f64,
}

/// The recorder, installed by whoever asks first; `None` if the program that embeds this one has
/// another. Then what is counted is there, and not here.
pub(super) fn recorded() -> Option<&'static Recorded> {
    static RECORDED: OnceLock<Option<Recorded>> = OnceLock::new();
    RECORDED.get_or_init(install).as_ref()
}

fn install() -> Option<Recorded> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(buckets) = metric.kind {
            let matcher = Matcher::Full(metric.name.to_owned());
            // Fails without buckets only, and the table has some.
            builder = builder.set_buckets_for_metric(matcher, buckets).ok()?;
        }
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    let now = SystemClock.now();
    Some(Recorded {
        handle,
        since: now.since(now.minus(Duration::MAX)).as_secs_f64(),
    })
}

/// Installs the recorder and keeps it in order until `stop`.
pub(crate) async fn keep(stop: CancellationToken) {
    let Some(recorded) = recorded() else {
        tracing::info!("metrics go to the recorder of the program around this server");
        return;
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(UPKEEP_INTERVAL) => recorded.handle.run_upkeep(),
        }
    }
}
