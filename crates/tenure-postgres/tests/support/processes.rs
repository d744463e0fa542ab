//! Looks at the system's processes and signals them. Linux only: it reads `/proc`.

use std::process::Command;

/// Sends a signal, by its name without `SIG`. A process that is gone already is no error.
pub(crate) fn signal(signal: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let mut kill = Command::new("sh");
    kill.args(["-c", r#"kill -s "$0" "$@" 2>/dev/null"#, signal])
        .args(pids);
    kill.status().expect("run a shell");
}

/// The processes that `root` started, and those that they started.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let everyone: Vec<u32> = std::fs::read_dir("/proc")
        .expect("killing a whole server needs Linux's /proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let parents: Vec<(u32, u32)> = everyone
        .into_iter()
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

/// Whether the process can still do anything: it exists and is not merely waiting to be reaped.
pub(crate) fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state.as_str(), "Z" | "X"))
}

struct Stat {
    state: String,
    parent: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?; // the name before may hold anything
    let mut fields = fields.split_whitespace();
    Some(Stat {
        state: fields.next()?.to_owned(),
        parent: fields.next()?.parse().ok()?,
    })
}
