//! `backup`: copies an embedded store into a file, whole, with a feed of its own.

use super::args::{Backup, Global};
use super::error::{Exit, Failed};
use super::output::tell;
use super::store::{is_there, redacted, store_url};
use crate::open::{self, OpenError};

pub(super) async fn run(global: &Global, args: &Backup) -> anyhow::Result<()> {
    let url = &store_url(global, "backup")?;
    let file = args.file.display();
    // A backup of yesterday is not written over by one of today.
    if args.file.symlink_metadata().is_ok() {
        let why = format!("{file} is there already, and is left as it is; name another file");
        return Err(Failed::new(Exit::Error, why).into());
    }
    is_there(url)?;
    match open::backup(url, &args.file).await {
        Ok(()) => {}
        Err(OpenError::NotEmbedded) => {
            let why = format!("{}; nothing was written", OpenError::NotEmbedded);
            return Err(Failed::new(Exit::Usage, why).into());
        }
        Err(error) => return Err(error.into()),
    }
    tell(format_args!(
        "{} is in {file}, whole; check it with `tenure doctor --store sqlite:{file}`",
        redacted(url)
    ));
    Ok(())
}
