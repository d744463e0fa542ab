//! The program itself, run as people run it; what a test starts ends with the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far more than anything here takes, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How long a server serves on after SIGTERM.
pub(crate) const DRAIN_DELAY: &str = "TENURE_DRAIN_DELAY_SECONDS";

/// The program, in an environment of which only `PATH` comes from the test's own.
pub(crate) fn tenure(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TENURE_ACTOR", "user:test")
        .stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Fails unless the command ended with this exit code; gives what it printed.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn saying(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in:\n{}", self.err);
        }
        self
    }

    /// The lines in order of the alphabet: tenants that were applied together come in any.
    pub(crate) fn sorted(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.out.lines().collect();
        lines.sort_unstable();
        lines
    }

    /// How many lines of data there were.
    pub(crate) fn lines(&self) -> usize {
        self.out.lines().count()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// `up` of the folder it runs in, until all is as it should be.
pub(crate) const UP: [&str; 7] = [
    "up",
    ".",
    "--exit-when-ready",
    "--listen",
    "127.0.0.1:0",
    "--timeout",
    "100s",
];

/// A folder with what `up` and `serve` need.
pub(crate) struct Project {
    pub(crate) folder: TempDir,
}

/// A provisioner for tests: says that all is as it should be; fails a tenant whose plan is `broken`,
/// sees another plan than `loose`, and never ends for one whose plan is `stuck`, as long as its server
/// lives.
const PROVISIONER: &str = r#"#!/bin/sh
read -r request
op=$(printf %s "$request" | sed 's/.*"operation_id":"\([^"]*\)".*/\1/')
say() { printf '{"contract":"tenure.provisioner/v1","operation_id":"%s",%s}\n' "$op" "$1"; }
case $request in
*'"plan":"broken"'*) say '"result":"failed","reason":"PlanBroken","message":"mend it","permanent":true' ;;
*'"plan":"loose"'*) say '"result":"done","observed":{"plan":"tight"}' ;;
*'"plan":"stuck"'*) while kill -0 $PPID 2>/dev/null; do sleep 0.1; done ;;
*) say '"result":"done"' ;;
esac
"#;

impl Project {
    /// A small one, with a class `shared`.
    pub(crate) fn small() -> Self {
        let project = Self {
            folder: TempDir::new().unwrap(),
        };
        project.write("provision.sh", PROVISIONER);
        project.write(
            "tenure.toml",
            "listen = '127.0.0.1:0'\n[classes.shared]\nexec = ['sh', 'provision.sh']\nlease_seconds = 2\n",
        );
        project
    }

    /// A copy of the example, with leases that end soon after their holder was killed.
    pub(crate) fn example() -> Self {
        let project = Self {
            folder: TempDir::new().unwrap(),
        };
        let example =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sqlite-per-tenant");
        for name in [
            "provision.py",
            "schema.sql",
            "shared.schema.json",
            "dedicated.schema.json",
            "tenants.yaml",
            "tenure.toml",
        ] {
            let text = std::fs::read_to_string(example.join(name)).unwrap();
            let text = match name {
                "tenure.toml" => {
                    text.replace("deadline_seconds", "lease_seconds = 2\ndeadline_seconds")
                }
                _ => text,
            };
            project.write(name, &text);
        }
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        tenure(self.path(), arguments).output().unwrap().into()
    }

    /// The same, with something on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = tenure(self.path(), arguments);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// The store that the project's configuration names.
    pub(crate) fn store(&self) -> String {
        format!("sqlite:{}", self.database().display())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join(".tenure/tenure.db")
    }

    /// `up` until all is as it should be.
    pub(crate) fn up(&self) -> Ended {
        self.run(&UP)
    }

    /// All tenants, as JSON.
    pub(crate) fn tenants(&self) -> Vec<serde_json::Value> {
        let listed = self
            .run(&["list", "--all", "-o", "json", "--store", &self.store()])
            .with(0);
        listed.json()["items"].as_array().unwrap().clone()
    }
}

/// A program that runs until it is told to end.
pub(crate) struct Background {
    child: Child,
    lines: Receiver<String>,
    pub(crate) said: Vec<String>,
}

impl Background {
    pub(crate) fn start(mut command: Command) -> Self {
        // No load balancer needs to see that it stops, but where a test is about that.
        if !command.get_envs().any(|(name, _)| name == DRAIN_DELAY) {
            command.env(DRAIN_DELAY, "0");
        }
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the program, or with the test.
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for the next line that it says; `None` when it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.said.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it says nothing more: {:#?}", self.said),
        }
    }

    /// Waits until it says where it serves.
    #[track_caller]
    pub(crate) fn url(&mut self) -> String {
        while let Some(line) = self.line() {
            if let Some((_, rest)) = line.split_once("serving on ") {
                return rest.split(';').next().unwrap().to_owned();
            }
        }
        panic!("it ended: {:#?}", self.said)
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        while self.line().is_some() {}
        self.child.wait().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it says this; the line.
    #[track_caller]
    pub(crate) fn until(&mut self, words: &str) -> String {
        while let Some(line) = self.line() {
            if line.contains(words) {
                return line;
            }
        }
        panic!("it ended: {:#?}", self.said)
    }

    /// Waits until it has ended; how.
    pub(crate) fn end(&mut self) -> ExitStatus {
        while self.line().is_some() {}
        self.child.wait().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
