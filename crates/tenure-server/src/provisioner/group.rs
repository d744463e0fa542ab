//! A program and all that it started, as long as that stays in its process group.

use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::strays;
use crate::config::Exec;

/// A program that was started in a process group of its own. Nothing of it survives its drop.
#[derive(Debug)]
pub(crate) struct Group {
    /// The program, with pipes to its standard input, output and error.
    pub(crate) child: Child,
    /// The group's number, which is the program's; `None` once it is killed.
    id: Option<Pid>,
}

impl Group {
    /// Starts a program for an operation, whose name all that it starts is marked with.
    pub(crate) fn start(exec: &Exec, operation_id: &str) -> io::Result<Self> {
        let child = Command::new(&exec.program)
            .args(&exec.arguments)
            .current_dir(&exec.folder)
            .env_clear()
            .envs(&exec.environment)
            .env(strays::MARK, operation_id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let id = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, id })
    }

    /// Lets the whole group stand still, or go on.
    pub(crate) fn pause(&self, still: bool) {
        if let Some(id) = self.id {
            let signal = if still { Signal::STOP } else { Signal::CONT };
            // No such group: all of it has ended by itself.
            let _: rustix::io::Result<()> = kill_process_group(id, signal);
        }
    }

    /// Kills whatever still runs, waits for the program to be gone, and looks for strays.
    pub(crate) async fn end(&mut self, operation_id: String) {
        self.kill();
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a provisioner that was killed could not be waited for");
        }
        let looked = tokio::task::spawn_blocking(move || strays::kill(&operation_id)).await;
        if let Err(error) = looked {
            tracing::warn!(%error, "a provisioner's strays could not be looked for");
        }
    }

    /// The program may have ended just now. Its number is not given to another process before the
    /// system has used all others, and not at all while a member of the group is left.
    fn kill(&mut self) {
        if let Some(id) = self.id.take() {
            // No such group: all of it has ended by itself.
            let _: rustix::io::Result<()> = kill_process_group(id, Signal::KILL);
        }
    }
}

/// For a run whose future is dropped: nothing survives it, and the runtime reaps what is killed.
impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
