//! Finds what a program left behind outside of its process group.
//!
//! Killing a group misses a process that has moved to a session of its own, as daemons do. On Linux
//! such a stray is known by its environment, which every process inherits: it still names the
//! operation that it was started for. Elsewhere, and if it has cleared its environment, it escapes.

/// The variable that names the operation, in the environment of all that a run starts.
pub(super) const MARK: &str = "TENURE_OPERATION_ID";

/// A stray may fork while it is looked for. Whoever forks faster than this many looks is not chased.
#[cfg(target_os = "linux")]
const LOOKS_MAX: u32 = 20;

/// Kills all that still runs for an operation. Blocks for as long as a look at `/proc` takes.
#[cfg(target_os = "linux")]
pub(super) fn kill(operation_id: &str) {
    let mark = format!("{MARK}={operation_id}");
    for _ in 0..LOOKS_MAX {
        if look(mark.as_bytes()) == 0 {
            return;
        }
    }
    tracing::warn!(
        operation_id,
        "a provisioner's strays multiply faster than they can be killed"
    );
}

/// Kills every process whose environment has the mark; says how many.
#[cfg(target_os = "linux")]
fn look(mark: &[u8]) -> usize {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let kill = |entry: std::fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        // Opened before it is looked at: a process that takes the same number later is another one.
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let marked = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark);
        marked
            .then(|| pidfd_send_signal(process, Signal::KILL).ok())
            .flatten()
    };
    processes.filter_map(|entry| kill(entry.ok()?)).count()
}

/// Does nothing: there is no `/proc` to look at.
#[cfg(not(target_os = "linux"))]
pub(super) fn kill(_operation_id: &str) {}
