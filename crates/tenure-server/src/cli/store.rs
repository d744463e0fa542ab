//! Stores as the command line names them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tenure::{Engine, Readiness, Store};

use crate::api::{self, ApiOptions, ApiState};
use crate::open;

/// The file of an embedded store.
fn file_of(url: &str) -> Option<&Path> {
    url.strip_prefix("sqlite:").map(Path::new)
}

/// Makes the folder of an embedded store, for commands that may make the store too.
pub(crate) fn make_room(url: &str) -> anyhow::Result<()> {
    let Some(folder) = file_of(url).and_then(Path::parent) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("can't make the folder {}", folder.display()))
}

/// A store's URL without what stands before its host and may be a password.
pub(crate) fn redacted(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.split('?').next().unwrap_or_default().to_owned(),
    }
}

/// Opens a store that is there: a misspelt path must not become a new, empty store.
pub(super) async fn open_existing(url: &str) -> anyhow::Result<Arc<dyn Store>> {
    if let Some(file) = file_of(url)
        && !file.exists()
    {
        return Err(anyhow!(
            "there is no database {}; check the path, or make one with `tenure migrate --store {url}`",
            file.display()
        ));
    }
    let store = open::open(url).await.context(
        "can't open the store; if a server has it open, ask that server instead: use --server",
    )?;
    match store.readiness().await {
        Readiness::Ready { .. } => Ok(store),
        not => {
            store.close().await;
            Err(anyhow!("the store {} is not ready: {not}", redacted(url)))
        }
    }
}

/// The API over a store, in this process.
#[derive(Debug)]
pub(super) struct Local {
    api: ApiState,
    store: Arc<dyn Store>,
}

impl Local {
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let store = open_existing(url).await?;
        let api = ApiState::new(Engine::new(Arc::clone(&store)), ApiOptions::default());
        Ok(Self { api, store })
    }

    pub(super) fn router(&self) -> axum::Router {
        api::router(self.api.clone())
    }

    pub(super) async fn close(self) {
        self.api.finish().await;
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_a_store_is_named_without_its_password() {
        let shown = redacted("postgres://tenure:p@ss@db.example/tenure");
        assert_eq!(shown, "postgres://…@db.example/tenure");
        assert_eq!(
            redacted("postgres://db/tenure?password=x"),
            "postgres://db/tenure"
        );
        assert_eq!(redacted("sqlite:/srv/tenure.db"), "sqlite:/srv/tenure.db");
    }
}
