//! Stores as the command line names them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tenure::{Engine, Readiness, Store};

use super::args::Global;
use super::error::{Exit, Failed};
use super::output::tell;
use crate::api::{self, ApiOptions, ApiState};
use crate::config::{Config, Environment, Sources};
use crate::open;

/// The store that a command needs which goes to no server: `--store`, or the environment's.
///
/// The configuration's is not taken: what a server may do with its store is less than what such a
/// command needs.
pub(super) fn store_url(global: &Global, command: &str) -> anyhow::Result<String> {
    let given = match &global.store {
        Some(url) => Some(url.clone()),
        None => environment()?.store()?,
    };
    given.ok_or_else(|| {
        let why = format!(
            "{command} goes straight to a store; name it with --store URL, or TENURE_STORE_FILE"
        );
        Failed::new(Exit::Usage, why).into()
    })
}

fn environment() -> anyhow::Result<Environment> {
    Environment::of_process().context("this process has no working folder")
}

/// Warns of variables that nothing reads: what they were meant to say does not count.
pub(super) fn warn_of_misspelt() -> anyhow::Result<()> {
    for wrong in environment()?.misspelt() {
        tell(format_args!("warning: {wrong}"));
    }
    Ok(())
}

/// What a configuration is read from: the file that is named, or else the one of the environment or
/// of this folder; and the environment.
pub(super) fn sources(named: Option<&Path>) -> anyhow::Result<Sources> {
    Ok(Sources::of(environment()?).with_file(named.map(Path::to_owned)))
}

/// The configuration, if there is a file.
pub(super) fn configured(named: Option<&Path>) -> anyhow::Result<Option<Config>> {
    let sources = sources(named)?;
    match sources.file() {
        Some(_) => Ok(Some(Config::load(&sources)?)),
        None => Ok(None),
    }
}

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
    let without_query = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    match (url.split_once("://"), url.rsplit_once('@')) {
        // The `@` may be of the query, where there may be a password too.
        (Some((scheme, _)), Some((before, _))) if before.contains('?') => format!("{scheme}://…"),
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{}", without_query(rest)),
        _ => without_query(url),
    }
}

/// Refuses an embedded store whose file is not there: a misspelt path must not become a new, empty
/// store.
pub(super) fn is_there(url: &str) -> anyhow::Result<()> {
    match file_of(url) {
        Some(file) if !file.exists() => Err(anyhow!(
            "there is no database {}; check the path, or make one with `tenure migrate --store {url}`",
            file.display()
        )),
        _ => Ok(()),
    }
}

/// Opens a store that is there.
pub(super) async fn open_existing(url: &str) -> anyhow::Result<Arc<dyn Store>> {
    is_there(url)?;
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
    /// Opens a store, and goes by what a configuration says of classes.
    pub(super) async fn open(url: &str, config: Option<&Config>) -> anyhow::Result<Self> {
        let store = open_existing(url).await?;
        let mut options = ApiOptions::default();
        let engine = match config {
            None => Engine::new(Arc::clone(&store)),
            Some(config) => {
                options.classes = config.classes.keys().cloned().collect();
                Engine::with_rules(Arc::clone(&store), config.rules())
            }
        };
        let api = ApiState::new(engine, options);
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
        for (url, shown) in [
            (
                "postgres://u@db/tenure?password=x",
                "postgres://…@db/tenure",
            ),
            ("postgres://db/tenure?password=x@y", "postgres://…"),
            ("postgres://u:p?q@db/tenure", "postgres://…"),
        ] {
            assert_eq!(redacted(url), shown);
        }
        assert_eq!(redacted("sqlite:/srv/tenure.db"), "sqlite:/srv/tenure.db");
    }
}
