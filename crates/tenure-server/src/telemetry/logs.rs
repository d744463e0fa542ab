//! Where logs go: to stderr, as lines for people or as JSON.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use super::line::Lines;
use super::otlp::Traces;
use crate::config::LogFormat;

/// The variable that chooses what is logged, in the syntax of `EnvFilter`, such as `tenure=debug`.
const VARIABLE: &str = "TENURE_LOG";

/// Whether a server logs JSON.
pub(crate) fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

/// Begins to log at this level, unless the environment names another, and to send traces if there is
/// a collector; nothing if logs go elsewhere already.
///
/// # Errors
///
/// If the collector's address can't be used.
pub(crate) fn start(
    level: &str,
    json: bool,
    collector: Option<&str>,
) -> anyhow::Result<Option<Traces>> {
    let traces = collector.map(Traces::to).transpose()?;
    let registry = tracing_subscriber::registry().with(lines(level, json));
    let tracing = traces.as_ref().map(Traces::layer);
    // A program that embeds this one has its own.
    drop(registry.with(tracing).try_init());
    Ok(traces)
}

fn lines<S>(level: &str, json: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if json {
        let lines = lines.fmt_fields(JsonFields::new()).event_format(Lines);
        return lines.with_filter(filter).boxed();
    }
    let ansi = std::io::stderr().is_terminal();
    lines.with_ansi(ansi).with_filter(filter).boxed()
}
