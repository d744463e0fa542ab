//! A PostgreSQL server that one test has to itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::processes;
use super::programs::postgres_programs;
use super::scratch::{Scratch, Supervised};
use super::tls::make_certificates;

const LOG: &str = "postgres.log";
const PATIENCE: Duration = Duration::from_mins(1);

/// What a [`Cluster`] is to be like. The default is made for speed: `fsync` off, a Unix socket only.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterOptions {
    durable: bool,
    network: Option<Network>,
    settings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Tcp,
    Tls,
}

impl ClusterOptions {
    /// Turns `fsync` and `full_page_writes` on, as in production.
    pub(crate) fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Listens on a free port of 127.0.0.1 too.
    pub(crate) fn tcp(mut self) -> Self {
        self.network = Some(Network::Tcp);
        self
    }

    /// Listens on a free port of 127.0.0.1 too, where it refuses whoever comes without TLS.
    ///
    /// The certificate is for `localhost` and 127.0.0.1, signed by [`Cluster::authority`].
    pub(crate) fn tls(mut self) -> Self {
        self.network = Some(Network::Tls);
        self
    }

    /// Adds a line to `postgresql.conf`, after and so above the harness's own.
    pub(crate) fn setting(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }
}

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
        let scratch = Scratch::new();
        let arguments = "-D data -U postgres --auth=trust --no-locale -E UTF8 -k --no-sync";
        let arguments: Vec<&str> = arguments.split(' ').collect();
        scratch
            .run(&postgres_programs().join("initdb"), &arguments)
            .await;
        let port = if options.network.is_some() {
            free_port()
        } else {
            5432
        };
        if options.network == Some(Network::Tls) {
            make_certificates(&scratch).await;
        }
        scratch.write(
            "postgresql.conf",
            &configuration(options, scratch.path(), port),
        );
        scratch.write("pg_hba.conf", access(options));
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
        let folder = self.socket_folder().to_string_lossy().replace('/', "%2F");
        format!("postgres://postgres@{folder}:{}/{database}", self.port)
    }

    /// The URL of a database over TCP, for a server started with [`ClusterOptions::tcp`].
    pub(crate) fn tcp_url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a database over TLS, for a server started with [`ClusterOptions::tls`].
    pub(crate) fn tls_url(&self, database: &str) -> String {
        format!("{}?sslmode=require", self.tcp_url(database))
    }

    /// The PEM file of the authority that signed the server's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.scratch.path().join("ca.crt")
    }

    /// The folder of the Unix socket.
    pub(crate) fn socket_folder(&self) -> &Path {
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
        self.server.as_mut().expect("the server runs").signal("INT");
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
        let stale = self.announced();
        let configuration = format!(
            "config_file={}/postgresql.conf",
            self.scratch.path().display()
        );
        let arguments = ["-D", "data", "-c", &configuration];
        let mut server = self
            .scratch
            .spawn(LOG, &postgres_programs().join("postgres"), &arguments);
        let deadline = Instant::now() + PATIENCE;
        let postmaster = loop {
            if let Some(status) = server.try_exited() {
                panic!("PostgreSQL does not start: {status}\n{}", self.log());
            }
            let announced = self.announced();
            if let Some(Announced { pid, ready: true }) = announced
                && stale.as_ref().is_none_or(|stale| stale.pid != pid)
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

    async fn gone(&mut self) -> std::process::ExitStatus {
        let mut server = self.server.take().expect("the server runs");
        self.postmaster = None;
        server.exited().await
    }

    /// What the server says of itself in `postmaster.pid`, where `pg_ctl` looks too.
    fn announced(&self) -> Option<Announced> {
        let text = std::fs::read_to_string(self.scratch.path().join("data/postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        Some(Announced {
            pid,
            ready: text.lines().nth(7)?.trim() == "ready",
        })
    }
}

struct Announced {
    pid: u32,
    ready: bool,
}

/// A port of 127.0.0.1 that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind to a free port");
    listener.local_addr().expect("it is bound").port()
}

fn configuration(options: &ClusterOptions, folder: &Path, port: u16) -> String {
    let durable = if options.durable { "on" } else { "off" };
    let addresses = if options.network.is_some() {
        "127.0.0.1"
    } else {
        ""
    };
    let tls = if options.network == Some(Network::Tls) {
        "on"
    } else {
        "off"
    };
    let folder = folder.display();
    let mut lines = vec![
        format!("listen_addresses = '{addresses}'"),
        format!("port = {port}"),
        format!("unix_socket_directories = '{folder}'"),
        format!("hba_file = '{folder}/pg_hba.conf'"),
        "max_connections = 300".to_owned(),
        format!("fsync = {durable}"),
        format!("full_page_writes = {durable}"),
        "synchronous_commit = on".to_owned(),
        // In files of the folder: what a killed server leaves behind must go with it.
        "dynamic_shared_memory_type = mmap".to_owned(),
        format!("ssl = {tls}"),
        format!("ssl_cert_file = '{folder}/server.crt'"),
        format!("ssl_key_file = '{folder}/server.key'"),
    ];
    if cfg!(target_os = "linux") {
        lines.push("recovery_init_sync_method = syncfs".to_owned());
    }
    lines.extend(options.settings.iter().cloned());
    lines.join("\n") + "\n"
}

fn access(options: &ClusterOptions) -> &'static str {
    match options.network {
        None => "local all,replication all trust\n",
        Some(Network::Tcp) => {
            "local all,replication all trust\nhost all,replication all 127.0.0.1/32 trust\n"
        }
        Some(Network::Tls) => {
            "local all,replication all trust\nhostssl all all 127.0.0.1/32 trust\n"
        }
    }
}
