//! What is killed and started again: the server, and the database that it keeps its record in.

use std::path::Path;

use super::clients::Run;
use super::postgres::{Cluster, ClusterOptions};
use super::support::{Background, Project, tenure};

/// A provisioner that notes each operation in a file of its own, and says that it is done. One
/// whose server was killed before it said what to do has no operation.
const PROVISIONER: &str = r#"#!/bin/sh
read -r request || exit 1
op=${request#*'"operation_id":"'}
op=${op%%'"'*}
echo "$op" >>operations.log
printf '{"contract":"tenure.provisioner/v1","operation_id":"%s","result":"done"}\n' "$op"
"#;

/// Where the record is kept.
pub(crate) enum Kept {
    File,
    Cluster(Cluster),
}

impl Kept {
    pub(crate) async fn in_a_cluster() -> Self {
        Self::Cluster(Cluster::start(&ClusterOptions::default().durable()).await)
    }
}

/// The server and its database. Both end when this is dropped.
pub(crate) struct Machine {
    // The server goes before its database.
    server: Option<Background>,
    kept: Kept,
    project: Project,
    address: tokio::sync::watch::Sender<Option<String>>,
}

impl Machine {
    /// Writes the configuration, migrates, and starts the server.
    pub(crate) fn start(kept: Kept, run: &Run) -> Self {
        let mut machine = Self {
            server: None,
            kept,
            project: Project::small(),
            address: run.address.clone(),
        };
        let url = machine.url();
        // A killed server's leases must end soon, or the test takes long.
        let configuration = format!(
            "listen = '127.0.0.1:0'\nstore = '{url}'\n\
             [classes.default]\nexec = ['sh', 'provision.sh']\nlease_seconds = 2\n"
        );
        machine.project.write("provision.sh", PROVISIONER);
        // A look at what rests would write after the reader has ended; others test drift.
        let configuration = format!("{configuration}\n[classes.default.drift]\nmode = 'off'\n");
        machine.project.write("tenure.toml", &configuration);
        machine.project.write("operations.log", "");
        machine.project.run(&["migrate", "--store", &url]).with(0);
        machine.serve();
        machine
    }

    pub(crate) fn folder(&self) -> &Path {
        self.project.path()
    }

    /// The URL of the store.
    pub(crate) fn url(&self) -> String {
        match &self.kept {
            Kept::File => format!("sqlite:{}", self.folder().join("tenure.db").display()),
            Kept::Cluster(cluster) => cluster.url("postgres"),
        }
    }

    /// The operations that the provisioner was asked for, in their order.
    pub(crate) fn operations(&self) -> String {
        self.project.read("operations.log")
    }

    fn serve(&mut self) {
        let command = tenure(self.folder(), &["serve"]);
        let server = tokio::task::block_in_place(|| {
            let mut server = Background::start(command);
            let address = server.url();
            self.address.send_replace(Some(address));
            server
        });
        self.server = Some(server);
    }

    fn kill_server(&mut self) {
        let server = self.server.take().expect("the server runs");
        tokio::task::block_in_place(|| server.kill());
        self.address.send_replace(None);
    }

    /// Kills the server, the database or both, in turn, and starts again what was killed; what it
    /// was.
    pub(crate) async fn crash(&mut self, turn: u64) -> &'static str {
        if matches!(self.kept, Kept::File) {
            self.kill_server();
            self.serve();
            return "the server";
        }
        let (server, victim) = match turn % 3 {
            0 => (true, "the server"),
            1 => (false, "the database"),
            _ => (true, "the server and the database"),
        };
        if server {
            self.kill_server();
        }
        if victim.ends_with("the database")
            && let Kept::Cluster(cluster) = &mut self.kept
        {
            cluster.kill_9().await;
            cluster.restart().await;
        }
        if server {
            self.serve();
        }
        victim
    }

    /// Stops the server in order.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().expect("the server runs");
        let status = tokio::task::block_in_place(|| server.terminate());
        assert!(status.success(), "{status}: {:#?}", server.said);
    }

    /// Checks the store as an operator would.
    pub(crate) fn doctor(&self) {
        let ended = self.project.run(&["doctor", "--store", &self.url()]);
        ended.with(0).saying(&[" 0 findings"]);
    }
}
