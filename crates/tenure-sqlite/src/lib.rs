#![doc = include_str!("../README.md")]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod checkpoint;
mod clock;
mod commit;
mod connect;
mod copy;
mod error;
mod failpoint;
mod lease;
mod list;
mod migrate;
mod open;
mod options;
mod place;
#[cfg(test)]
mod plans;
mod port;
mod read;
mod readers;
mod row;
mod sql;
mod store;
mod tokens;
mod upkeep;
mod writer;
#[cfg(test)]
mod writer_tests;

pub use open::OpenError;
pub use options::Options;
pub use store::SqliteStore;
