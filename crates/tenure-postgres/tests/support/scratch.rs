//! A temporary folder, and the programs that run in it, tied to the life of this process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::programs::unprivileged;

/// Removes the folder once nobody holds its stdin any more: neither the test process nor a
/// [`SUPERVISOR`], which holds it as its stdout.
const KEEPER: &str = r#"trap '' HUP INT TERM; cat; rm -rf -- "$0""#;

/// Runs a server as its child and ends as soon as that has ended and been waited for.
///
/// Each line on stdin is a signal to pass on. The end of stdin means that the owner is gone, however
/// that came about: the server is told to quit at once, and is killed if it has not after ten
/// seconds. To quit at once is SIGQUIT for PostgreSQL and new `PgBouncer`s, SIGTERM for old ones;
/// SIGCONT wakes a server that a test has stopped. The shells ignore SIGHUP above all: the kernel
/// sends it to a group with a stopped process when it loses its parent.
const SUPERVISOR: &str = r#"
trap '' HUP INT TERM
ulimit -c 0
exec 3<&0 </dev/null
"$@" 3<&- >>"$0" 2>&1 &
server=$!
{
    while read -r signal <&3; do kill -s "$signal" "$server"; done
    kill -s QUIT "$server"; kill -s TERM "$server"; kill -s CONT "$server"
    tries=0
    while [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -s KILL "$server"
} >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -s KILL "$watcher"
exit "$status"
"#;

/// A folder that is removed when this is dropped, or when the process ends in any way.
///
/// It belongs to the user that servers run as, nobody else can enter it, and its path is short
/// enough for a Unix socket.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    keeper: Child,
}

impl Scratch {
    /// Makes one among the system's temporary files.
    pub(crate) fn on_disk() -> Self {
        Self::among(&[&std::env::temp_dir(), Path::new("/tmp")])
    }

    /// Makes one in memory where there is room for it, and otherwise on disk.
    ///
    /// A database is a thousand files: to make one in memory takes a fifth of the time.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if roomy(memory) {
            Self::among(&[memory, &std::env::temp_dir(), Path::new("/tmp")])
        } else {
            Self::on_disk()
        }
    }

    fn among(parents: &[&Path]) -> Self {
        let folder = parents.iter().find_map(|parent| make_folder(parent));
        let folder = folder.expect("make a folder with a short path, for a Unix socket");
        let keeper = apart("sh", &folder)
            .args(["-c", KEEPER])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a shell");
        Self { folder, keeper }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The URL of a database on the server whose socket is in the folder.
    pub(crate) fn url(&self, port: u16, database: &str) -> String {
        let folder = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://postgres@{folder}:{port}/{database}")
    }

    /// What the programs run here have written to `log`.
    pub(crate) fn log(&self, log: &str) -> String {
        std::fs::read_to_string(self.folder.join(log)).unwrap_or_default()
    }

    /// Starts a server, which is told to quit when the answer is dropped or this process ends.
    ///
    /// Its output goes to the file `log` in the folder.
    pub(crate) fn spawn(&self, log: &str, server: &Path, arguments: &[&str]) -> Supervised {
        let hold = self.keeper.stdin.as_ref().map(std::os::fd::AsFd::as_fd);
        let hold = hold.and_then(|pipe| pipe.try_clone_to_owned().ok());
        let mut supervisor = apart("sh", &self.folder)
            .args(["-c", SUPERVISOR])
            .arg(self.folder.join(log))
            .arg(server)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(hold.expect("the keeper runs"))
            .stderr(Stdio::null())
            .spawn()
            .expect("start a shell");
        let orders = supervisor.stdin.take();
        Supervised { supervisor, orders }
    }

    /// Runs a program to its end, in the folder and as the user that servers run as.
    ///
    /// # Panics
    ///
    /// When it fails, with what it wrote.
    pub(crate) async fn run(&self, program: &Path, arguments: &[&str]) {
        let mut run = self.spawn("run.log", program, arguments);
        let status = run.exited().await;
        let log = self.log("run.log");
        assert!(
            status.success(),
            "{} {arguments:?}: {status}\n{log}",
            program.display()
        );
    }

    /// Writes a file that the servers can read.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let output = File::create(self.folder.join(name));
        std::io::Write::write_all(&mut output.expect("create a file"), content.as_bytes())
            .expect("write a file");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// A server that runs under a shell which ends it when this process ends.
#[derive(Debug)]
pub(crate) struct Supervised {
    supervisor: Child,
    orders: Option<ChildStdin>,
}

impl Supervised {
    /// Sends the server a signal, by its name without `SIG`.
    pub(crate) fn signal(&mut self, signal: &str) {
        let mut orders = self.orders.as_ref().expect("held until dropped");
        std::io::Write::write_all(&mut orders, format!("{signal}\n").as_bytes())
            .expect("the supervisor runs");
    }

    /// How the server ended, if it has.
    pub(crate) fn try_exited(&mut self) -> Option<ExitStatus> {
        self.supervisor
            .try_wait()
            .expect("the supervisor is our child")
    }

    /// Waits until the server has ended and its process is really gone.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.try_exited() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.supervisor.wait());
    }
}

/// A command in a process group of its own, so that a Ctrl-C or a `kill` of the tests' group leaves
/// it alive to clean up.
fn apart(program: &str, folder: &Path) -> Command {
    let mut command = unprivileged(program);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.current_dir(folder);
    command
}

fn make_folder(parent: &Path) -> Option<PathBuf> {
    const LONGEST: usize = 70; // leaves room for the socket's name, in at most 107 bytes
    let pattern = parent.join("tenure-XXXXXX");
    if pattern.as_os_str().len() > LONGEST {
        return None;
    }
    let output = unprivileged("mktemp")
        .arg("-d")
        .arg(pattern)
        .stderr(Stdio::null())
        .output();
    let output = output.expect("run mktemp");
    let folder = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(folder.trim()))
}

/// Whether a gigabyte is free there; a container often has but 64 MB of such memory.
fn roomy(folder: &Path) -> bool {
    let mut df = Command::new("df");
    let output = df.arg("-Pk").arg(folder).stderr(Stdio::null()).output();
    let free = output.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        let fields = text.lines().nth(1)?;
        fields.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    free.is_some_and(|kilobytes| kilobytes >= 1 << 20)
}
