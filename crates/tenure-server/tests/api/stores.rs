//! The same tests over every store.

use std::sync::Arc;

use tempfile::TempDir;
use tenure::Store;
use tenure_server::api::ApiOptions;
use tenure_server::open;
use tenure_server::server::ConnectionLimits;

use super::postgres::{Template, TestCluster, TestDatabase};
use super::support::{Server, memory};

/// Runs a rule over each store in turn: in memory, in a SQLite file, in PostgreSQL.
#[expect(clippy::future_not_send, reason = "a test stays on its thread")]
pub(crate) async fn each_store(rule: impl AsyncFn(&Server)) {
    each_store_with(|_| ApiOptions::default(), rule).await;
}

/// The same, with options that a store is needed for.
#[expect(clippy::future_not_send, reason = "a test stays on its thread")]
pub(crate) async fn each_store_with(
    options: impl Fn(&Arc<dyn Store>) -> ApiOptions,
    rule: impl AsyncFn(&Server),
) {
    let store = memory();
    over("memory", options(&store), store, &rule).await;

    let (folder, store) = file().await;
    over("sqlite", options(&store), store, &rule).await;
    drop(folder);

    let (database, store) = database().await;
    over("postgres", options(&store), store, &rule).await;
    drop(database);
}

#[expect(
    clippy::print_stderr,
    reason = "a test that fails shows over which store"
)]
#[expect(clippy::future_not_send, reason = "a test stays on its thread")]
async fn over(
    name: &str,
    options: ApiOptions,
    store: Arc<dyn Store>,
    rule: &impl AsyncFn(&Server),
) {
    eprintln!("over {name}");
    let server = Server::start(store, options, ConnectionLimits::default()).await;
    rule(&server).await;
    server.stop().await;
}

async fn file() -> (TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/tenure.db", folder.path().display());
    let store = open::open(&url).await.unwrap();
    (folder, store)
}

/// A migrated database of its own.
async fn database() -> (TestDatabase, Arc<dyn Store>) {
    let cluster = TestCluster::shared().await;
    let migrate = async |url: String| {
        open::migrate(&url, None).await.unwrap();
    };
    let template: Template = cluster.template("migrated", migrate).await;
    let database = cluster.database(&template).await;
    let store = open::open(database.url()).await.unwrap();
    (database, store)
}

/// A database that was never migrated.
pub(crate) async fn bare_database() -> (TestDatabase, Arc<dyn Store>) {
    let database = TestCluster::shared().await.empty_database().await;
    let store = open::open(database.url()).await.unwrap();
    (database, store)
}
