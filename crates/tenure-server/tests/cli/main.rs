//! The command line, as a program, against real servers and real files.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bulk;
mod classes;
mod commands;
mod config;
mod contexts;
mod crash;
mod dice;
mod differences;
mod drift;
mod editing;
mod labels;
mod logs;
mod looking;
mod manifests;
mod metrics;
mod pipes;
mod pull;
mod restarts;
mod stopping;
mod support;
mod tokens;
mod traces;
mod up;
mod words;
