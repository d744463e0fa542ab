//! What a server tells of itself: metrics, logs and traces.
//!
//! Code counts through the `metrics` facade and logs through `tracing`, and knows nothing of where
//! that goes. Here is where it goes: to `/metrics`, to stderr, and to a collector if one is named.
//!
//! # Invariants
//!
//! - Every metric is in [`METRICS`], which the reference is made from.
//! - No label holds an id, a name or a path that a client chose, so their number is bounded.

mod exposition;
mod http;
mod line;
mod logs;
mod measured;
mod otlp;
mod recorder;
mod table;
mod text;
mod trace;

pub(crate) use exposition::Exposition;
pub(crate) use http::Flight;
pub(crate) use logs::{is_json, start as log};
pub use measured::Measured;
pub(crate) use otlp::{Traces, is_tracing};
pub(crate) use recorder::keep;
pub use table::{Kind, METRICS, Metric, reference};
pub(crate) use trace::{answered, request_span};
