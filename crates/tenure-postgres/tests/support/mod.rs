//! A real PostgreSQL for tests, which never outlives them.
//!
//! - [`TestCluster`] is what most tests want: one cluster for the whole test process, and a database
//!   of its own for each test, cloned from a migrated template.
//! - [`Cluster`] is a server that one test has to itself, to kill, to restart or to speak TLS with.
//! - [`PgBouncer`] stands in front of either, in transaction mode.
//!
//! Other crates include it with `#[path]`, so it needs nothing but `tokio` (`macros`, `rt`, `sync`,
//! `time`), `tokio-postgres` and the programs of PostgreSQL.
//!
//! # Invariants
//!
//! - No server and no directory outlives the test process, however that ends, `kill -9` included:
//!   each server runs under a small shell that watches a pipe held by the test process.
//! - A program that is missing fails the test, with a message that says what to install.
//!   Nothing is skipped.
//! - Nothing listens on the network, except on 127.0.0.1 where a test asks for TLS or TCP.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses another part of this"
)]
#![expect(clippy::panic, reason = "what goes wrong here fails the test")]

mod bouncer;
mod cluster;
mod databases;
mod options;
pub(crate) mod processes;
mod programs;
mod scratch;
mod tls;

pub(crate) use bouncer::PgBouncer;
pub(crate) use cluster::Cluster;
pub(crate) use databases::{Template, TestCluster, TestDatabase};
pub(crate) use options::ClusterOptions;
pub(crate) use programs::postgres_programs;
