//! One server for a whole test process, and a database of its own for each test.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::{Client, NoTls};

use super::cluster::Cluster;
use super::options::ClusterOptions;

/// The variable that names a server to use instead of one of our own.
const GIVEN: &str = "TENURE_TEST_POSTGRES_URL";

/// A PostgreSQL server that all tests of the process share.
///
/// It is a [`Cluster`] of our own, or the server that `TENURE_TEST_POSTGRES_URL` names: the URL of a
/// database there, without TLS, whose user may create databases. There the templates stay, and what
/// a killed run could not drop; a later run drops them when they are two hours old.
#[derive(Debug)]
pub(crate) struct TestCluster {
    server: Server,
    /// What the names of this process's databases begin with: when it began, by the server's clock,
    /// and a number that no other process has.
    run: String,
    names: AtomicU32,
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

/// A database that only one test uses. It goes, with all connections to it, when this is dropped.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
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
        let admin = server.connect().await;
        if matches!(server, Server::Given(_)) {
            sweep(&admin).await;
        }
        let row = admin
            .query_one("SELECT extract(epoch FROM now())::bigint", &[])
            .await;
        let began: i64 = row.expect("ask the time").get(0);
        let random = RandomState::new().build_hasher().finish();
        Self {
            server,
            run: format!("tenure_test_{began}_{random:016x}"),
            names: AtomicU32::default(),
            templates: Mutex::default(),
        }
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
        let database = self.new_name();
        self.execute(&format!("CREATE DATABASE {database}")).await;
        migrate(self.server.url(&database)).await;
        self.execute(&format!(
            "ALTER DATABASE {database} ALLOW_CONNECTIONS false"
        ))
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
        let name = self.new_name();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log");
        let alone = self.templates.lock().await; // one at a time copies the template
        self.execute(&create).await;
        drop(alone);
        TestDatabase {
            url: self.server.url(&name),
            admin_url: self.server.admin_url(),
            name,
        }
    }

    fn new_name(&self) -> String {
        let count = self.names.fetch_add(1, Ordering::Relaxed);
        format!("{}_{count}", self.run)
    }

    async fn execute(&self, statement: &str) {
        let done = self.server.connect().await.batch_execute(statement).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

impl Server {
    fn url(&self, database: &str) -> String {
        match self {
            Self::Own(cluster) => cluster.url(database),
            Self::Given(url) => with_database(url, database),
        }
    }

    fn admin_url(&self) -> String {
        match self {
            Self::Own(cluster) => cluster.url("postgres"),
            Self::Given(url) => url.clone(),
        }
    }

    async fn connect(&self) -> Client {
        let connected = connect(&self.admin_url()).await;
        connected.unwrap_or_else(|error| match self {
            Self::Own(cluster) => panic!("{error:?}\n{}", cluster.log()),
            Self::Given(_) => panic!("the server that {GIVEN} names: {error:?}"),
        })
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

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let url = std::mem::take(&mut self.admin_url);
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread, because the test's own runtime waits for this very call. What fails here goes
        // with its server, or is left to the sweep of a later run.
        let dropping = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().ok()?;
            runtime.block_on(async {
                let client = connect(&url).await.ok()?;
                client.batch_execute(&statement).await.ok()
            })
        });
        drop(dropping.join());
    }
}

/// A connection to the server, driven by a task of the present runtime.
async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
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
        // It fails where somebody still uses it, or sweeps too.
        drop(client.batch_execute(&format!("DROP DATABASE {name}")).await);
    }
}

/// The URL with another database in its path.
fn with_database(url: &str, database: &str) -> String {
    let parts = url.split_once("://");
    let (scheme, rest) = parts.unwrap_or_else(|| panic!("{GIVEN} is not a URL: {url}"));
    let (place, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let authority = place.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{database}{query}")
}
