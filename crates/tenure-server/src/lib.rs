//! Tenure served: HTTP API, command line and reconciler in one binary.
//!
//! The rules are in `tenure`, what a database does is in the adapters. Here is what faces people and
//! provisioners, and what runs while nobody looks.
//!
//! # Invariants
//!
//! - Everything that writes goes through `tenure::Engine`.
//! - The command line speaks to the API, over the network or in process: what it can do, any client
//!   can do.

pub mod api;
pub mod classes;
pub mod cli;
pub mod config;
pub mod ids;
pub mod kit;
pub mod manifest;
pub mod oidc;
pub mod open;
pub mod provisioner;
pub mod pull;
pub mod reconciler;
mod runners;
pub mod server;
pub mod service;
mod signals;
pub mod telemetry;
pub mod up;
mod yaml;
