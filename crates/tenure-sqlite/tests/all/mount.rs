//! A small file system of one's own, to fill up or to make read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory, taken away when dropped.
#[derive(Debug)]
pub(crate) struct Mount(TempDir);

impl Mount {
    /// Makes one of a size; `None`, and said so, where this user may not.
    pub(crate) fn of(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tenure"],
            directory.path(),
        );
        if !mounted {
            tenure::conformance::skip("this user can't mount a file system; run as root");
            return None;
        }
        Some(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn remount(&self, how: &str) {
        assert!(
            run("mount", &["-o", &format!("remount,{how}")], self.path()),
            "remount {how}"
        );
    }

    /// Takes all the room that is left but a little, with a file that it names.
    pub(crate) fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let mut size = 256 * 1024;
        let mut content: Vec<u8> = Vec::new();
        // A write that does not fit is cut short, so halve the steps until nothing fits.
        while size >= 64 * 1024 {
            let next = [content.as_slice(), &vec![0; size]].concat();
            if fs::write(&ballast, &next).is_ok() {
                content = next;
            } else {
                size /= 2;
            }
        }
        fs::write(&ballast, &content).unwrap();
        ballast
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}
