//! What Tenure costs, measured: each contender interleaved with the others in one run.
//!
//! Absolute numbers belong to the machine they were measured on; the ratios are what is shown.
//! It starts a PostgreSQL of its own, on disk and with `fsync`, and takes it down again.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a program for people at a terminal: what goes wrong ends it, and it rounds numbers"
)]

mod counters;
mod pgbench;
mod postgres;
mod run;
mod sqlite;
mod work;

#[path = "../../crates/tenure-postgres/tests/support/mod.rs"]
mod support;

use std::time::Duration;

use clap::Parser;

/// Runs each contender interleaved in one run and prints medians and ratios.
#[derive(Parser)]
struct Arguments {
    /// How long each contender runs in each round, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many rounds. The medians of them are printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many tenants there are before the first round.
    #[arg(long, default_value_t = 10_000)]
    tenants: u64,
    /// What to measure: `postgres`, `sqlite`, or both.
    #[arg(long, value_delimiter = ',', default_value = "postgres,sqlite")]
    only: Vec<String>,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let plan = run::Plan {
        span: Duration::from_secs_f64(arguments.seconds),
        rounds: arguments.rounds,
        tenants: arguments.tenants,
    };
    println!(
        "{} rounds of {} s, {} tenants; each ratio is the median of the rounds' own ratios\n",
        plan.rounds, arguments.seconds, plan.tenants
    );
    if arguments.only.iter().any(|name| name == "postgres") {
        postgres::measure(plan).await;
    }
    if arguments.only.iter().any(|name| name == "sqlite") {
        sqlite::measure(plan).await;
    }
}
