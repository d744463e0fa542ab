//! `tenure provisioner test`, against provisioners that are broken in one way each, and good ones.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod broken;
mod command;
mod examples;
#[path = "../../../tenure-postgres/tests/support/mod.rs"]
mod postgres;
mod support;
