//! Logs of commands: quiet, as their errors speak for themselves. What serves begins to log once its
//! configuration is read, which says how.

use super::args::{Cli, Command};
use super::error::{Failed, exit_of};
use crate::config::Telemetry;
use crate::telemetry::{self, Traces};

/// Begins to log, except for what serves.
pub(super) fn start(cli: &Cli) {
    if !matches!(cli.command, Command::Serve(_) | Command::Up(_)) {
        // Without a collector there is nothing that can fail.
        drop(telemetry::log(of_commands(cli.global.verbose), false, None));
    }
}

/// What commands log, `up` among them.
pub(super) const fn of_commands(verbose: u8) -> &'static str {
    match verbose {
        0 => "error",
        more => serving(more - 1),
    }
}

/// Begins to log for what serves, as JSON if so asked, and to send traces to a collector, if there is
/// one.
///
/// # Errors
///
/// If the collector's address can't be used.
pub(super) fn start_serving(
    verbose: u8,
    (telemetry, json): (&Telemetry, bool),
) -> anyhow::Result<Option<Traces>> {
    let collector = telemetry.otlp_endpoint.as_deref();
    telemetry::log(serving(verbose), json, collector)
}

/// How something that serves ended, told already if its log is JSON and it failed: then the error is a
/// line of JSON too, and whatever reads the log need not read anything else.
///
/// # Errors
///
/// The same, with the same exit code.
pub(crate) fn told_as_logged(done: anyhow::Result<()>, json: bool) -> anyhow::Result<()> {
    let Err(error) = done else {
        return Ok(());
    };
    let why = format!("{error:#}");
    // Who has turned errors off in the log is told as by any command.
    if !json || why.is_empty() || !tracing::enabled!(tracing::Level::ERROR) {
        return Err(error);
    }
    tracing::error!("{why}");
    Err(Failed::told(exit_of(&error)).into())
}

const fn serving(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn,tenure=info,tenure_server=info",
        1 => "info,tenure=debug,tenure_server=debug",
        _ => "trace",
    }
}
