//! What a test asks of its server, and how that is told to PostgreSQL.

use std::path::Path;

/// What a [`Cluster`](super::Cluster) is to be like.
///
/// The default is made for speed: in memory where there is room, `fsync` off, a Unix socket only.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterOptions {
    pub(super) durable: bool,
    pub(super) network: Option<Network>,
    settings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Tcp,
    Tls,
}

impl ClusterOptions {
    /// On disk, with `fsync` and `full_page_writes` on, as in production.
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
    /// The certificate is for `localhost` and 127.0.0.1, signed by
    /// [`Cluster::authority`](super::Cluster::authority).
    pub(crate) fn tls(mut self) -> Self {
        self.network = Some(Network::Tls);
        self
    }

    /// Adds a line to `postgresql.conf`, after and so above the harness's own.
    pub(crate) fn setting(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }

    /// The content of `postgresql.conf`.
    pub(super) fn configuration(&self, folder: &Path, port: u16) -> String {
        let folder = folder.display();
        let durable = on(self.durable);
        let tls = on(self.network == Some(Network::Tls));
        let addresses = self.network.map_or("", |_| "127.0.0.1");
        // A killed server must leave nothing outside its folder: that is why `mmap`.
        let mut lines = format!(
            "listen_addresses = '{addresses}'
port = {port}
unix_socket_directories = '{folder}'
hba_file = '{folder}/pg_hba.conf'
ssl = {tls}
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
max_connections = 300
dynamic_shared_memory_type = mmap
synchronous_commit = on
fsync = {durable}
full_page_writes = {durable}
"
        );
        if cfg!(target_os = "linux") {
            lines.push_str("recovery_init_sync_method = syncfs\n");
        }
        lines + &self.settings.join("\n") + "\n"
    }

    /// The content of `pg_hba.conf`.
    pub(super) fn access(&self) -> String {
        let network = match self.network {
            None => "",
            Some(Network::Tcp) => "host all,replication all 127.0.0.1/32 trust\n",
            Some(Network::Tls) => "hostssl all,replication all 127.0.0.1/32 trust\n",
        };
        format!("local all,replication all trust\n{network}")
    }
}

fn on(yes: bool) -> &'static str {
    if yes { "on" } else { "off" }
}
