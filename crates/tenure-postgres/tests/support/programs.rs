//! Finds the programs that the harness runs, and the user to run them as.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder that holds `initdb` and `postgres`.
///
/// Looks where `pg_config` points, then for Debian's newest version, then along `PATH`.
///
/// # Panics
///
/// When there is none, with a message that says what to install.
pub(crate) fn postgres_programs() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let candidates = pg_config().into_iter().chain(debian()).chain(path());
        candidates
            .into_iter()
            .find(|folder| {
                ["initdb", "postgres"]
                    .iter()
                    .all(|name| folder.join(name).is_file())
            })
            .expect(
                "these tests need PostgreSQL 15 or newer: `apt-get install postgresql` on Debian, \
                 or put the folder of `initdb` and `postgres` on PATH; or set \
                 TENURE_TEST_POSTGRES_URL for the tests that need no server of their own",
            )
    })
}

/// The path of a program that Debian's package of the same name installs.
///
/// # Panics
///
/// When there is none, with a message that says what to install.
pub(crate) fn program(name: &str) -> PathBuf {
    path()
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()])
        .map(|folder: PathBuf| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("these tests need {name}: `apt-get install {name}` on Debian"))
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim()))
}

/// Debian keeps one folder a version; the newest is the first.
fn debian() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut numbered: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    numbered.sort_by(|a, b| b.cmp(a));
    numbered.into_iter().map(|(_, folder)| folder).collect()
}

fn path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// A command that runs `program` as a user that PostgreSQL agrees to run as.
///
/// That is the present user, or for root `postgres` where it exists and `nobody` where it does not:
/// the servers refuse to run as root.
pub(crate) fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    static PREFIX: OnceLock<Vec<String>> = OnceLock::new();
    let prefix = PREFIX.get_or_init(|| {
        if id(&["-u"]).as_deref() != Some("0") {
            return Vec::new();
        }
        let user = if id(&["-u", "postgres"]).is_some() {
            "postgres"
        } else {
            "nobody"
        };
        let group = id(&["-g", user]).expect("the user has a group");
        [
            "setpriv",
            "--reuid",
            user,
            "--regid",
            &group,
            "--init-groups",
            "--",
        ]
        .map(str::to_owned)
        .to_vec()
    });
    let mut command = match prefix.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    // What a developer has set for psql must not reach a test's server.
    command
        .env_remove("PGDATA")
        .env_remove("PGPORT")
        .env("LC_ALL", "C");
    command
}

fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id")
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
