//! A PostgreSQL server that one test has to itself.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::options::{ClusterOptions, Network};
use super::processes;
use super::programs::{postgres_programs, unprivileged};
use super::scratch::{Scratch, Supervised};
use super::tls::make_certificates;

const LOG: &str = "postgres.log";
const PATIENCE: Duration = Duration::from_mins(1);

/// A throw-away PostgreSQL server with the superuser `postgres`, who needs no password.
///
/// It ends, and its folder goes, when this is dropped and also when the test process ends in any
/// other way. Its socket, port and data stay the same from start to restart.
#[derive(Debug)]
pub(crate) struct Cluster {
    // The order matters: the server must be gone before its folder is removed.
    server: Option<Supervised>,
    postmaster: Option<u32>,
    port: u16,
    scratch: Scratch,
}

impl Cluster {
    /// Makes a new cluster and starts it. On return it takes connections.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed, and when it does not start, with its log.
    pub(crate) async fn start(options: &ClusterOptions) -> Self {
        let scratch = if options.durable {
            Scratch::on_disk()
        } else {
            Scratch::in_memory()
        };
        let arguments = "-D data -U postgres --auth=trust --no-locale -E UTF8 -k --no-sync";
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let initdb = postgres_programs().join("initdb");
        scratch.run(&initdb, &arguments).await;
        if options.network == Some(Network::Tls) {
            make_certificates(&scratch).await;
        }
        let port = options.network.map_or(5432, |_| free_port());
        scratch.write(
            "postgresql.conf",
            &options.configuration(scratch.path(), port),
        );
        scratch.write("pg_hba.conf", &options.access());
        let mut cluster = Self {
            server: None,
            postmaster: None,
            port,
            scratch,
        };
        cluster.restart().await;
        cluster
    }

    /// The URL of a database, over the Unix socket.
    pub(crate) fn url(&self, database: &str) -> String {
        self.scratch.url(self.port, database)
    }

    /// The URL of a database over TCP, for a server started with [`ClusterOptions::tcp`].
    pub(crate) fn tcp_url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a database over TLS, for a server started with [`ClusterOptions::tls`].
    pub(crate) fn tls_url(&self, database: &str) -> String {
        self.tcp_url(database) + "?sslmode=require"
    }

    /// The PEM file of the authority that signed the server's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.scratch.path().join("ca.crt")
    }

    /// The folder of the Unix socket; the data is in `data` there.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The port, which is also in the socket's name.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged since it was made.
    pub(crate) fn log(&self) -> String {
        self.scratch.log(LOG)
    }

    /// The id of the server's first process.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub(crate) fn postmaster(&self) -> u32 {
        self.postmaster.expect("the server runs")
    }

    /// Kills the server with all its processes, as `kill -9` does, and waits until they are gone.
    ///
    /// Nothing is flushed, no client is told. The data stays as it is, for [`Cluster::restart`].
    pub(crate) async fn kill_9(&mut self) {
        let postmaster = self.postmaster();
        processes::signal("STOP", &[postmaster]); // so that it starts no more of them meanwhile
        let mut all = processes::descendants(postmaster);
        all.push(postmaster);
        processes::signal("KILL", &all);
        self.gone().await;
        while all.iter().any(|&pid| processes::alive(pid)) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Shuts the server down in good order, without waiting for its clients, until it is gone.
    pub(crate) async fn stop_gracefully(&mut self) {
        let server = self.server.as_mut().expect("the server runs");
        server.signal("INT");
        let status = self.gone().await;
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Starts the server again on the same data, after it was killed or stopped.
    ///
    /// Stops it first where it still runs. On return it takes connections.
    pub(crate) async fn restart(&mut self) {
        if self.server.is_some() {
            self.stop_gracefully().await;
        }
        let before = self.announced().map(|killed| killed.pid);
        let configuration = format!("config_file={}/postgresql.conf", self.folder().display());
        let arguments = ["-D", "data", "-c", &configuration];
        let postgres = postgres_programs().join("postgres");
        let mut server = self.scratch.spawn(LOG, &postgres, &arguments);
        let deadline = Instant::now() + PATIENCE;
        let postmaster = loop {
            if let Some(status) = server.try_exited() {
                panic!("PostgreSQL does not start: {status}\n{}", self.log());
            }
            if let Some(Announced { pid, ready, .. }) = self.announced()
                && ready
                && before != Some(pid)
            {
                break pid;
            }
            assert!(
                Instant::now() < deadline,
                "PostgreSQL is not ready in time\n{}",
                self.log()
            );
            sleep(Duration::from_millis(2)).await;
        };
        self.postmaster = Some(postmaster);
        self.server = Some(server);
    }

    async fn gone(&mut self) -> ExitStatus {
        let mut server = self.server.take().expect("the server runs");
        self.postmaster = None;
        server.exited().await
    }

    /// What the server says of itself in `postmaster.pid`, where `pg_ctl` looks too.
    fn announced(&self) -> Option<Announced> {
        let text = std::fs::read_to_string(self.folder().join("data/postmaster.pid")).ok()?;
        let mut lines = text.lines();
        Some(Announced {
            pid: lines.next()?.trim().parse().ok()?,
            shared_memory: lines.nth(5)?.split_whitespace().nth(1)?.to_owned(),
            ready: lines.next()?.trim() == "ready",
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_none()
            && let Some(killed) = self.announced()
        {
            // A restart would have freed it.
            let mut free = unprivileged("ipcrm");
            drop(free.args(["-m", &killed.shared_memory]).status());
        }
    }
}

struct Announced {
    pid: u32,
    /// The id of its System V segment.
    shared_memory: String,
    ready: bool,
}

/// A port of 127.0.0.1 that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind to a free port");
    listener.local_addr().expect("it is bound").port()
}
