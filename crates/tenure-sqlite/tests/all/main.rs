//! What the store does on real files: one program, so that SQLite is linked once.

mod conformance;
mod guards;
mod support;
