//! The API, as its clients see it: a real server, and HTTP over a socket.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod access;
mod bodies;
mod bulk;
mod codes;
mod connections;
mod described;
mod drift;
mod endings;
mod explain;
mod feed;
mod idempotency;
mod oidc;
mod openapi;
#[path = "../../../tenure-postgres/tests/support/mod.rs"]
mod postgres;
mod preconditions;
mod reads;
mod refusals;
mod schema;
mod stores;
mod support;
mod tokens;
mod work;
mod writes;
