//! Many tenants at once, as lines of JSON: out, and in.

mod export;
mod import;
mod line;

pub(super) use export::export;
pub(super) use import::import;
pub use line::{ExportLine, ImportLine, ImportResult, ImportSummary, Was};
