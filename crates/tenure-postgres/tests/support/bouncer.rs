//! A `PgBouncer` between a test and its server.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::config::Host;

use super::programs::program;
use super::scratch::{Scratch, Supervised};

const LOG: &str = "pgbouncer.log";
/// In the socket's name; nothing listens on it.
const PORT: u16 = 6432;
const PATIENCE: Duration = Duration::from_secs(20);

/// A `PgBouncer` in transaction mode on a Unix socket of its own, which lets everyone in.
///
/// It ends, and its folder goes, when this is dropped and also when the test process ends in any
/// other way.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    // The order matters: the server must be gone before its folder is removed.
    server: Supervised,
    scratch: Scratch,
}

impl PgBouncer {
    /// Starts one in front of the server that `url` leads to. On return it takes connections.
    ///
    /// `settings` are more lines for its configuration, after and so above the harness's own.
    ///
    /// # Panics
    ///
    /// When `PgBouncer` is not installed, with a message that says what to do, and when it does not
    /// start, with its log.
    pub(crate) async fn start(url: &str, settings: &[&str]) -> Self {
        let scratch = Scratch::in_memory();
        scratch.write(
            "pgbouncer.ini",
            &configuration(url, scratch.path(), settings),
        );
        let mut server = scratch.spawn(LOG, &program("pgbouncer"), &["pgbouncer.ini"]);
        let socket = scratch.path().join(format!(".s.PGSQL.{PORT}"));
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            if let Some(status) = server.try_exited() {
                panic!("PgBouncer does not start: {status}\n{}", scratch.log(LOG));
            }
            assert!(
                Instant::now() < deadline,
                "PgBouncer is late\n{}",
                scratch.log(LOG)
            );
            sleep(Duration::from_millis(2)).await;
        }
        Self { server, scratch }
    }

    /// The URL of one of the server's databases, through the bouncer.
    ///
    /// `pgbouncer` is its own console, where `SHOW POOLS` and the like work.
    pub(crate) fn url(&self, database: &str) -> String {
        self.scratch.url(PORT, database)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.scratch.log(LOG)
    }
}

fn configuration(url: &str, folder: &Path, settings: &[&str]) -> String {
    let server: tokio_postgres::Config = url.parse().expect("a URL of PostgreSQL");
    let host = match server.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => panic!("the URL has no host: {url}"),
    };
    let port = server.get_ports().first().copied().unwrap_or(5432);
    let user = server.get_user().unwrap_or("postgres");
    let password = server.get_password().map(|password| {
        let password = String::from_utf8_lossy(password).replace('\'', "''");
        format!("password='{password}'")
    });
    let password = password.unwrap_or_default(); // an empty one would be a syntax error
    let folder = folder.display();
    format!(
        "[databases]
* = host={host} port={port} user={user} {password}
[pgbouncer]
listen_port = {PORT}
unix_socket_dir = {folder}
auth_type = any
admin_users = postgres
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
{}
",
        settings.join("\n")
    )
}
