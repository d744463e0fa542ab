//! What the store does on real files: one program, so that SQLite is linked once.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod conformance;
mod crash;
mod embed;
mod guards;
mod keeping;
mod lists;
mod mount;
mod opening;
mod support;
