//! `migrate`: brings a store's schema to this program's level.

use super::args::{Global, Migrate};
use super::output::print;
use super::store::{make_room, redacted, store_url};
use crate::open;

pub(super) async fn migrate(global: &Global, args: &Migrate) -> anyhow::Result<()> {
    let url = &store_url(global, "migrate")?;
    make_room(url)?;
    let done = open::migrate(url, args.app_role.as_deref()).await?;
    print(&format!("{}: {done}\n", redacted(url)))
}
