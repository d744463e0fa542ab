//! What is made from the command line's own description: completions and the manual's pages.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::args::Cli;
use super::output::{print, tell};

pub(super) fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tenure", &mut text);
    print(&String::from_utf8(text)?)
}

/// Writes a page for the program and one for each command.
pub(super) fn pages(folder: &Path) -> anyhow::Result<()> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| {
        format!(
            "can't write to {}; name a folder of yours",
            folder.display()
        )
    })?;
    tell(format_args!(
        "read them with `man {}/tenure.1`, or put them where man looks: {}/.local/share/man/man1",
        folder.display(),
        "~"
    ));
    Ok(())
}
