//! The servers, and what is done to them.

use std::fs::{File, OpenOptions, create_dir, read_to_string};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{sleep, timeout};

use super::clients::{Address, Servers};
use super::dice::Dice;
use super::postgres::Cluster;
use super::support::{Background, Project, tenure};

const PROVISIONER: &str = include_str!("provision.sh");

/// As short as can be renewed on a busy machine.
const LEASE: Duration = Duration::from_secs(2);

/// Where the record is kept.
pub(crate) enum Kept {
    File,
    Cluster(Cluster),
}

/// The servers and their database. All of it ends when this is dropped.
pub(crate) struct Fleet {
    // The servers go before their database.
    servers: Vec<Server>,
    _kept: Kept,
    project: Project,
    url: String,
}

/// One server, which runs or is about to.
pub(crate) struct Server {
    process: Option<Background>,
    folder: PathBuf,
    address: watch::Sender<Address>,
    journal: Journal,
}

/// The provisioner's own log, to which the test appends what it does to servers.
struct Journal(File);

impl Journal {
    fn note(&mut self, server: &Background, what: &str) {
        let up = read_to_string("/proc/uptime").unwrap();
        let up = up.split(' ').next().unwrap();
        let id = server.id().as_raw_nonzero();
        // One write, so that it stays one line.
        let line = format!("{up} {id} - 0 {what}\n");
        self.0.write_all(line.as_bytes()).unwrap();
    }
}

impl Fleet {
    /// Writes the configuration, migrates, and starts the servers.
    pub(crate) fn start(kept: Kept, servers: &Servers, seed: u64) -> Self {
        let project = Project::small();
        let url = match &kept {
            Kept::File => format!("sqlite:{}", project.path().join("tenure.db").display()),
            Kept::Cluster(cluster) => cluster.url("postgres"),
        };
        project.write("provision.sh", PROVISIONER);
        project.write(
            "tenure.toml",
            &format!(
                "listen = '127.0.0.1:0'\nstore = '{url}'\nconcurrency = 4\n\
                 [classes.default]\nexec = ['sh', 'provision.sh']\nenv = {{ CHAOS_SEED = '{}' }}\n\
                 lease_seconds = {}\nattempts_max = 1000\nretry_base_seconds = 1\nretry_cap_seconds = 1\n\
                 drift = {{ interval_seconds = 4 }}\n",
                seed >> 2,
                LEASE.as_secs(),
            ),
        );
        project.write("runs.log", "");
        create_dir(project.path().join("worlds")).unwrap();
        project.run(&["migrate", "--store", &url]).with(0);
        let append = |path: PathBuf| OpenOptions::new().append(true).open(path).unwrap();
        let server = |address: &watch::Sender<Address>| {
            let mut server = Server {
                process: None,
                folder: project.path().to_owned(),
                address: address.clone(),
                journal: Journal(append(project.path().join("runs.log"))),
            };
            server.serve();
            server
        };
        Self {
            servers: servers.addresses().iter().map(server).collect(),
            _kept: kept,
            project,
            url,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.project.path()
    }

    /// The URL of the store.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Disturbs each server by itself, until it is over.
    pub(crate) fn disturb(
        &mut self,
        dice: &mut Dice,
        over: &watch::Sender<bool>,
    ) -> JoinSet<Server> {
        let mut disturbed = JoinSet::new();
        for server in self.servers.drain(..) {
            disturbed.spawn(server.disturb(Dice::new(dice.next()), over.subscribe()));
        }
        disturbed
    }

    /// Waits until all servers run undisturbed.
    pub(crate) async fn settle(&mut self, disturbed: JoinSet<Server>) {
        self.servers = disturbed.join_all().await;
    }

    /// Stops the servers in order.
    pub(crate) fn stop(&mut self) {
        for server in &mut self.servers {
            let process = server.process.as_mut().expect("the server runs");
            let status = block_in_place(|| process.terminate());
            assert!(status.success(), "{status}: {:#?}", process.said);
        }
    }

    /// Checks the store as an operator would.
    pub(crate) fn doctor(&self) {
        let ended = self.project.run(&["doctor", "--store", &self.url]);
        ended.with(0).saying(&[" 0 findings"]);
    }
}

impl Server {
    fn serve(&mut self) {
        let command = tenure(&self.folder, &["serve"]);
        let process = block_in_place(|| {
            let mut process = Background::start(command);
            self.address.send_replace(Some(process.url()));
            process
        });
        self.journal.note(&process, "serve");
        self.process = Some(process);
    }

    fn kill(&mut self) {
        let process = self.process.take().expect("the server runs");
        self.journal.note(&process, "kill");
        block_in_place(|| process.kill());
        self.address.send_replace(None);
    }

    fn signal(&mut self, signal: Signal, word: &str) {
        let process = self.process.as_ref().expect("the server runs");
        self.journal.note(process, word);
        kill_process(process.id(), signal).unwrap();
    }

    /// Lets it run for a while, and then kills it or stops it for longer than a lease, until it is
    /// over; then it runs.
    async fn disturb(mut self, mut dice: Dice, mut over: watch::Receiver<bool>) -> Self {
        for turn in 0_u64.. {
            let calm = Duration::from_millis(500 + dice.below(2_500));
            if timeout(calm, over.wait_for(|over| *over)).await.is_ok() {
                break;
            }
            // Both come early, so that no run goes without.
            let killed = match turn {
                0 | 1 => turn == 0,
                _ => dice.below(5) < 2,
            };
            if !killed {
                self.signal(Signal::STOP, "stop");
                sleep(LEASE + Duration::from_millis(100 + dice.below(1_400))).await;
            }
            if killed || dice.below(5) == 0 {
                self.kill();
                sleep(Duration::from_millis(dice.below(500))).await;
                self.serve();
            } else {
                self.signal(Signal::CONT, "cont");
            }
        }
        self
    }
}
