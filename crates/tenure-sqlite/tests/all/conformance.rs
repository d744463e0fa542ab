//! What every store must do, on files.

use std::sync::Arc;

use async_trait::async_trait;
use tenure::conformance::{Database, Factory};

use crate::support::Scratch;

/// Gives each case a file of its own.
#[derive(Debug)]
pub(crate) struct Files;

#[async_trait]
impl Factory for Files {
    async fn fresh(&self) -> Arc<dyn Database> {
        Arc::new(Scratch::new())
    }
}

tenure::store_conformance!(Files);
