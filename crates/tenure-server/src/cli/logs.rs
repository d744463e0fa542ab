//! Logs: to stderr, for whoever runs a server; quiet for commands, whose errors speak for themselves.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::args::{Cli, Command};

/// The variable that chooses what is logged, in the syntax of `EnvFilter`, such as `tenure=debug`.
const VARIABLE: &str = "TENURE_LOG";

pub(super) fn start(cli: &Cli) {
    let serves = matches!(cli.command, Command::Serve(_));
    let level = match (serves, cli.global.verbose) {
        (false, 0) => "error",
        (true, 0) | (false, 1) => "warn,tenure=info,tenure_server=info",
        (true, 1) | (false, 2) => "info,tenure=debug,tenure_server=debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
