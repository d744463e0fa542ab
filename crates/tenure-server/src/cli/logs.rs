//! Logs of commands: quiet, as their errors speak for themselves. What serves begins to log once its
//! configuration is read, which says how.

use super::args::{Cli, Command};
use crate::config::Telemetry;
use crate::telemetry;

/// Begins to log, except for what serves.
pub(super) fn start(cli: &Cli) {
    if !matches!(cli.command, Command::Serve(_)) {
        let level = match cli.global.verbose {
            0 => "error",
            more => serving(more - 1),
        };
        telemetry::log(level, false);
    }
}

/// Begins to log for what serves; says whether as JSON.
pub(super) fn start_serving(verbose: u8, telemetry: &Telemetry) -> bool {
    let json = telemetry::is_json(telemetry.log_format);
    telemetry::log(serving(verbose), json);
    json
}

const fn serving(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn,tenure=info,tenure_server=info",
        1 => "info,tenure=debug,tenure_server=debug",
        _ => "trace",
    }
}
