//! The kit as people run it, and what it found.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// Every case.
pub(crate) const CASES: usize = 13;

/// The interpreter itself: what starts it by name may be a script that takes a second.
pub(crate) fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let found = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .unwrap();
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}

/// A provisioner to put to the proof, and what the kit is told about it.
pub(crate) struct Proof<'a> {
    /// The folder that everything runs in.
    pub(crate) folder: &'a Path,
    /// The program and its arguments; none for an endpoint, whose `--http` is an option.
    pub(crate) command: &'a [&'a str],
    pub(crate) class: &'a str,
    /// Its environment, and the tampering program's.
    pub(crate) env: &'a [(&'a str, &'a str)],
    pub(crate) desired: Value,
    pub(crate) changed: Option<Value>,
    pub(crate) tamper: Option<&'a str>,
    /// More options.
    pub(crate) options: &'a [&'a str],
}

impl Proof<'_> {
    /// The kit's command line, without the format of its output.
    pub(crate) fn command(&self, notes: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command
            .args(["provisioner", "test", "--class", self.class])
            .current_dir(self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null());
        let document = |name: &str, value: &Value| {
            let path: PathBuf = notes.join(name);
            std::fs::write(&path, value.to_string()).unwrap();
            path
        };
        command
            .arg("--desired")
            .arg(document("desired.json", &self.desired));
        if let Some(changed) = &self.changed {
            command
                .arg("--changed")
                .arg(document("changed.json", changed));
        }
        for (name, value) in self.env {
            command.args(["--env", &format!("{name}={value}")]);
        }
        if let Some(tamper) = self.tamper {
            command.args(["--tamper", tamper]);
        }
        command.args(self.options);
        command
    }

    /// Runs the kit.
    pub(crate) fn run(&self) -> Found {
        let notes = TempDir::new().unwrap();
        let mut command = self.command(notes.path());
        command.args(["-o", "json"]);
        if !self.command.is_empty() {
            command.arg("--").args(self.command);
        }
        Found::from(command.output().unwrap())
    }

    /// Fails unless the provisioner passes every case; one is skipped without tampering.
    #[track_caller]
    pub(crate) fn passes(&self) {
        let found = self.run();
        assert_eq!(found.code, 0, "{}\n{}", found.report, found.err);
        let skipped = usize::from(self.tamper.is_none());
        assert_eq!(
            (&found.report["ok"], &found.report["skipped"]),
            (&Value::from(CASES - skipped), &Value::from(skipped)),
            "{}",
            found.report
        );
    }
}

/// What the kit found.
pub(crate) struct Found {
    pub(crate) code: i32,
    pub(crate) report: Value,
    pub(crate) err: String,
}

impl From<Output> for Found {
    fn from(output: Output) -> Self {
        let err = String::from_utf8(output.stderr).unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            report: serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}\n{err}")),
            err,
        }
    }
}

impl Found {
    fn cases(&self) -> &[Value] {
        self.report["cases"].as_array().unwrap()
    }

    /// The names of the cases that failed.
    pub(crate) fn failed(&self) -> Vec<&str> {
        self.cases()
            .iter()
            .filter(|case| case["verdict"] == "failed")
            .map(|case| case["case"].as_str().unwrap())
            .collect()
    }

    /// Why a case failed, on one line.
    pub(crate) fn failure(&self, case: &str) -> String {
        let case = self.cases().iter().find(|found| found["case"] == case);
        case.unwrap()["failure"].to_string()
    }
}

/// The provisioner of these tests, in a folder of its own.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    /// What is left of tenants: files that have neither a dot nor the end of a lock or a fence.
    pub(crate) fn left(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("tnt_") && !name.contains('.'))
            .collect()
    }
}

/// Where the provisioner of these tests is.
pub(crate) fn program() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kit/provisioner.py").to_owned()
}
