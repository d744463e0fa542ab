//! What every store must do, on files.

tenure::store_conformance!(crate::support::Files);
