//! Runs one page: all its blocks in one shell, in a folder with the examples, against servers and
//! databases of its own.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::page::{Block, Manner, blocks, missing};
use crate::postgres::{Cluster, ClusterOptions, postgres_programs};
use crate::root;

/// What the shell does around the blocks: whatever a page starts, ends with it.
const PRELUDE: &str = r#"
set -euo pipefail
set -m
stop() {
    local pid pids
    pids=$(jobs -p)
    for pid in $pids; do kill -TERM -- "-$pid" 2>/dev/null || true; done
    wait || true
    # A shell between does not wait for what it started.
    for pid in $pids; do while kill -0 -- "-$pid" 2>/dev/null; do sleep 0.1; done; done
}
end() {
    status=$?
    trap - EXIT
    stop
    exit $status
}
trap end EXIT
serving() {
    for _ in $(seq 600); do
        # `up` answers before it has applied its manifest, and says when it has.
        if grep -qE 'serving|tenants: ' "background.$2" && curl -kfs -o /dev/null "$TENURE_SERVER/readyz"; then
            return
        fi
        kill -0 "$1" || { echo 'the server has ended:'; cat "background.$2"; exit 1; }
        sleep 0.1
    done
    echo 'the server does not answer:'
    cat "background.$2"
    exit 1
}
"#;

/// Runs a page.
///
/// # Errors
///
/// What went otherwise than the page says.
pub(crate) fn page(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = blocks(&text);
    if blocks.iter().all(|block| block.manner == Manner::Elsewhere) {
        return Ok(());
    }
    let silent = |block: &&Block| block.manner == Manner::Fails && block.output.is_empty();
    if let Some(block) = blocks.iter().find(silent) {
        let line = block.line;
        return Err(format!(
            "line {line}: it fails, and the page does not say how"
        ));
    }
    let folder = TempDir::new().unwrap();
    copy(&root().join("examples"), &folder.path().join("examples"));
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = text
        .contains("$ADMIN")
        .then(|| runtime.block_on(Cluster::start(&ClusterOptions::default().tcp())));
    let mut shell = Command::new("timeout");
    shell
        .args([
            "--kill-after=10",
            "300",
            "bash",
            "-c",
            &script(&blocks, port),
        ])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", folder.path())
        .env("LC_ALL", "C.UTF-8")
        .env("TENURE_SERVER", format!("http://127.0.0.1:{port}"))
        .env("TENURE_LISTEN", format!("127.0.0.1:{port}"))
        .env("TENURE_DRAIN_DELAY_SECONDS", "0")
        // Pages show what people see, who have a terminal.
        .env("TENURE_TELEMETRY__LOG_FORMAT", "text")
        .stdin(Stdio::null());
    if let Some(cluster) = &cluster {
        let as_user = |user: &str, database: &str| {
            let url = cluster.tcp_url(database);
            let (_, host) = url.rsplit_once('@').unwrap();
            format!("postgres://{user}@{host}")
        };
        shell.env("ADMIN", cluster.tcp_url("postgres"));
        shell.env("OWNER", as_user("tenure_owner", "tenure"));
        shell.env("APP", as_user("tenure_app", "tenure"));
    }
    let ended = shell.output().unwrap();
    drop(cluster);
    judge(
        &blocks,
        ended.status.success(),
        &String::from_utf8_lossy(&ended.stdout),
    )
}

/// All blocks as one script, with a mark on stdout before each.
fn script(blocks: &[Block], port: u16) -> String {
    let mut script = PRELUDE.to_owned();
    for block in blocks {
        let commands = block
            .commands
            .replace("cargo run --release -- ", "tenure ")
            .replace("127.0.0.1:7310", &format!("127.0.0.1:{port}"));
        let line = block.line;
        writeln!(script, "printf '\\n@@ {line}\\n'; exec 2>&1").unwrap();
        match block.manner {
            Manner::Plain => writeln!(script, "{commands}"),
            Manner::Background => {
                writeln!(
                    script,
                    "{{\n{commands}\n}} >background.{line} 2>&1 &\nserving $! {line}"
                )
            }
            Manner::Stopped => writeln!(script, "stop\n{commands}"),
            Manner::Fails => writeln!(
                script,
                "if (\n{commands}\n); then echo 'it did not fail'; exit 1; fi"
            ),
            Manner::Elsewhere => Ok(()),
        }
        .unwrap();
    }
    script.push_str("printf '\\n@@ end\\n'\n");
    script
}

/// Compares what was printed with what the page says.
fn judge(blocks: &[Block], good: bool, printed: &str) -> Result<(), String> {
    for block in blocks {
        let mark = format!("\n@@ {}\n", block.line);
        let Some((_, output)) = printed.split_once(&mark) else {
            continue; // what failed stands before
        };
        let (output, rest) = output.split_once("\n@@ ").unwrap_or((output, ""));
        let what = |why: &str| format!("line {}: {why}; it printed:\n{output}", block.line);
        if rest.is_empty() && !good {
            return Err(what("the block failed"));
        }
        if let Some(line) = missing(&block.output, output) {
            return Err(what(&format!("there is no line {line:?}")));
        }
    }
    if good {
        Ok(())
    } else {
        Err(printed.to_owned())
    }
}

/// The program that was built, then what this machine has.
fn search_path() -> std::ffi::OsString {
    let built = Path::new(env!("CARGO_BIN_EXE_tenure"))
        .parent()
        .unwrap()
        .to_owned();
    let given = std::env::var_os("PATH").unwrap();
    let mut folders = vec![built];
    folders.push(postgres_programs().to_owned());
    folders.extend(std::env::split_paths(&given));
    std::env::join_paths(folders).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let made_by_runs = [".tenure", "tenants", "__pycache__"];
        if from.is_dir() && made_by_runs.iter().any(|name| from.ends_with(name)) {
            continue;
        }
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}
