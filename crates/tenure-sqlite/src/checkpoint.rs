//! Moving the log into the file, beside the writer.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use crate::connect::{Role, connect};

/// How many times over the threshold the log may grow before the writer is made to wait for it.
/// Readers and a busy writer can keep a passive checkpoint from ever finishing.
const PATIENCE: i32 = 4;

/// Lets the writer's connection call for checkpoints, and starts the thread that makes them. It
/// ends when that connection is closed, and gives its own back: the last to be closed.
pub(crate) fn start(
    path: &Path,
    writer: &mut Connection,
    threshold: u32,
) -> Result<thread::JoinHandle<Connection>, Box<dyn std::error::Error + Send + Sync>> {
    let db = connect(path, Role::Checkpointer)?;
    // Restarting the log waits for readers; they are short, and the next call tries again.
    db.busy_timeout(Duration::from_millis(500))?;
    let threshold = i32::try_from(threshold).unwrap_or(i32::MAX);
    let (call, calls): (SyncSender<i32>, _) = sync_channel(1);
    writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        if pages >= threshold {
            // If one is waiting already, this one would do nothing more.
            let _waiting = call.try_send(pages);
        }
        Ok(())
    }))?;
    let thread = thread::Builder::new()
        .name("tenure-sqlite-log".to_owned())
        .spawn(move || {
            while let Ok(pages) = calls.recv() {
                // A checkpoint that fails is made up for by the next; the log only grows meanwhile.
                drop(db.execute_batch("PRAGMA wal_checkpoint(PASSIVE)"));
                if pages >= threshold.saturating_mul(PATIENCE) {
                    drop(db.execute_batch("PRAGMA wal_checkpoint(RESTART)"));
                }
            }
            db
        })?;
    Ok(thread)
}
