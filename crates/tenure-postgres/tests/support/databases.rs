//! One server for a whole test process, and a database of its own for each test.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::{Client, NoTls};

use super::cluster::{Cluster, ClusterOptions};

/// The variable that names a server to use instead of one of our own.
const GIVEN: &str = "TENURE_TEST_POSTGRES_URL";

/// A PostgreSQL server that all tests of the process share.
///
/// It is a [`Cluster`] of our own, or the server that `TENURE_TEST_POSTGRES_URL` names: the URL of a
/// database there, without TLS, whose user may create databases. There, each database is dropped
/// with its [`TestDatabase`], and what earlier runs left behind is dropped when it is two hours old.
#[derive(Debug)]
pub(crate) struct TestCluster {
    server: Server,
    templates: Mutex<BTreeMap<String, Template>>,
}

#[derive(Debug)]
enum Server {
    Own(Cluster),
    Given(String),
}

/// A database that was migrated once, and that nobody connects to any more.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    database: String,
}

/// A database that only one test uses.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    name: String,
    url: String,
    drop_at: Option<String>,
}

impl TestCluster {
    /// The server of this process, started by the first who asks.
    ///
    /// # Panics
    ///
    /// When there is no PostgreSQL, with a message that says what to do about it.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests have no command line of their own"
        )]
        let server = match std::env::var(GIVEN) {
            Ok(url) => Server::Given(url),
            Err(_) => Server::Own(Cluster::start(&ClusterOptions::default()).await),
        };
        let cluster = Self {
            server,
            templates: Mutex::default(),
        };
        if let Server::Given(url) = &cluster.server {
            sweep(&connect(url).await).await;
        }
        cluster
    }

    /// The template called `name`, which `migrate` makes of an empty database the first time.
    ///
    /// `migrate` is given the database's URL and should panic when it fails; then the next who asks
    /// begins again. Others who ask meanwhile wait.
    pub(crate) async fn template<M, F>(&self, name: &str, migrate: M) -> Template
    where
        M: FnOnce(String) -> F + Send,
        F: Future<Output = ()> + Send,
    {
        let mut templates = self.templates.lock().await;
        if let Some(template) = templates.get(name) {
            return template.clone();
        }
        let admin = self.admin().await;
        let database = new_name(&admin).await;
        execute(&admin, &format!("CREATE DATABASE {database}")).await;
        migrate(self.url(&database)).await;
        execute(
            &admin,
            &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"),
        )
        .await;
        let template = Template { database };
        templates.insert(name.to_owned(), template.clone());
        drop(templates);
        template
    }

    /// A new database like the template.
    pub(crate) async fn database(&self, template: &Template) -> TestDatabase {
        self.create(&template.database).await
    }

    /// A new, empty database.
    pub(crate) async fn empty_database(&self) -> TestDatabase {
        self.create("template0").await
    }

    async fn create(&self, template: &str) -> TestDatabase {
        let admin = self.admin().await;
        let name = new_name(&admin).await;
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log");
        {
            let _alone = self.templates.lock().await;
            execute(&admin, &create).await;
        }
        let url = self.url(&name);
        let drop_at = match &self.server {
            Server::Own(_) => None, // it goes with its server
            Server::Given(url) => Some(url.clone()),
        };
        TestDatabase { name, url, drop_at }
    }

    fn url(&self, database: &str) -> String {
        match &self.server {
            Server::Own(cluster) => cluster.url(database),
            Server::Given(url) => with_database(url, database),
        }
    }

    async fn admin(&self) -> Client {
        match &self.server {
            Server::Own(cluster) => connect(&cluster.url("postgres")).await,
            Server::Given(url) => connect(url).await,
        }
    }
}

impl TestDatabase {
    /// The URL to connect with.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The database's name, which no other has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(url) = self.drop_at.take() else {
            return;
        };
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread, because the test's own runtime may be busy with this very call. What fails here
        // is left to the sweep of a later run.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("build a runtime")
                .block_on(async { connect(&url).await.batch_execute(&statement).await.is_ok() })
        });
        drop(dropping.join());
    }
}

/// A connection to the server, driven by a task of the present runtime.
async fn connect(url: &str) -> Client {
    let connected = tokio_postgres::connect(url, NoTls).await;
    let (client, connection) = connected.unwrap_or_else(|error| panic!("{GIVEN} or ours: {error}"));
    tokio::spawn(connection);
    client
}

async fn execute(client: &Client, statement: &str) {
    let done = client.batch_execute(statement).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

/// A name that says when the database was made, by the server's clock, and that no process repeats.
async fn new_name(client: &Client) -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let row = client
        .query_one("SELECT extract(epoch FROM now())::bigint", &[])
        .await;
    let seconds: i64 = row.expect("ask the time").get(0);
    format!("tenure_test_{seconds}_{process:016x}_{count}")
}

/// Drops the databases that runs which ended long ago left behind.
async fn sweep(client: &Client) {
    let rows = client
        .query(
            "SELECT datname FROM pg_database WHERE datname ~ '^tenure_test_[0-9]{9,11}_' \
             AND split_part(datname, '_', 3)::bigint < extract(epoch FROM now()) - 7200",
            &[],
        )
        .await
        .expect("list the databases");
    for row in rows {
        let name: &str = row.get(0);
        // Another process may be sweeping too.
        drop(
            client
                .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await,
        );
    }
}

/// The URL with another database in its path.
fn with_database(url: &str, database: &str) -> String {
    let (scheme, rest) = url
        .split_once("://")
        .unwrap_or_else(|| panic!("{GIVEN} is not a URL"));
    let (place, query) = rest
        .split_once('?')
        .map_or((rest, None), |(p, q)| (p, Some(q)));
    let authority = place.split('/').next().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}/{database}{query}")
}
