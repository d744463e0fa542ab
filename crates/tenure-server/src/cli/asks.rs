//! What can be typed of commands that look, wait and copy.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tenure::{ClassName, ConditionKind, Kind, Message, Revision, State, TenantRef, Timestamp};

use super::hints::{conditions, goals, kinds, states};
use super::values::{Goal, context, past, revision, selector, time};

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Their names, or their ids, which deleted ones have still.
    #[arg(value_name = "NAME|ID", required_unless_present = "selector")]
    pub(super) who: Vec<TenantRef>,
    /// Instead, all whose labels match, such as 'tier in (gold,silver),!legacy'.
    #[arg(
        long,
        short = 'l',
        value_parser = selector,
        conflicts_with_all = ["who", "revision", "at"]
    )]
    pub(super) selector: Option<String>,
    /// As it was after this revision.
    #[arg(long, value_name = "NUMBER", value_parser = revision, conflicts_with = "at")]
    pub(super) revision: Option<Revision>,
    /// As it was then: a time such as 2026-11-17T09:00:00Z, a day (its begin, UTC) such as
    /// 2026-11-17, or how long ago, such as 90m or 3d.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) at: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The manifest: a file, a folder, or - for standard input.
    #[arg(long, short, value_name = "FILE|DIR|-")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Edit {
    /// The tenant's name or id.
    #[arg(value_name = "NAME|ID")]
    pub(super) who: TenantRef,
    /// Why, for the history.
    #[arg(long, short, default_value = "")]
    pub(super) message: Message,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Lines of JSON as `export` writes them; - is standard input.
    #[arg(value_name = "FILE|-")]
    pub(super) file: PathBuf,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Why, for the history, where a line says nothing itself.
    #[arg(long, short, default_value = "")]
    pub(super) message: Message,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Where to write; standard output if absent, or -. A file is there whole, or not at all.
    #[arg(long, value_name = "FILE|-")]
    pub(super) file: Option<PathBuf>,
    /// Only those of this class.
    #[arg(long)]
    pub(super) class: Option<ClassName>,
    /// Only those whose labels match, such as 'tier in (gold,silver),!legacy'.
    #[arg(long, short = 'l', value_parser = selector)]
    pub(super) selector: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ContextCommand {
    /// List the contexts.
    List,
    /// Show a context.
    Show {
        /// Its name; the current one if absent.
        name: Option<String>,
    },
    /// Choose the context that commands use from now on.
    Use {
        /// Its name.
        name: String,
    },
    /// Make or change a context: give --server, and --token-file, --ca-file and --actor as needed.
    Set {
        /// Its name.
        #[arg(value_parser = context)]
        name: String,
    },
    /// Delete a context. Nothing happens to its server.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those in one of these states.
    #[arg(long, value_delimiter = ',', value_parser = states(), hide_possible_values = true)]
    pub(super) state: Vec<State>,
    /// Only those of this class.
    #[arg(long)]
    pub(super) class: Option<ClassName>,
    /// Only those whose labels match, such as 'tier in (gold,silver),!legacy'.
    #[arg(long, short = 'l', value_parser = selector)]
    pub(super) selector: Option<String>,
    /// Only those with all of these conditions.
    #[arg(long, value_delimiter = ',', value_parser = conditions(), hide_possible_values = true)]
    pub(super) condition: Vec<ConditionKind>,
    /// Only those whose names begin so.
    #[arg(long, value_name = "PREFIX")]
    pub(super) name_prefix: Option<String>,
    /// Only those created at this time or later, such as 2026-11-22T00:00:00Z, 2026-11-22, or 3d ago
    /// as 3d.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) created_from: Option<Timestamp>,
    /// Only those created before this time.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) created_until: Option<Timestamp>,
    /// Only those last changed at this time or later.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) updated_from: Option<Timestamp>,
    /// Only those last changed before this time.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) updated_until: Option<Timestamp>,
    /// Only those in their state since this time or later.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) state_since_from: Option<Timestamp>,
    /// Only those in their state since before this time.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) state_since_until: Option<Timestamp>,
    /// The deleted too.
    #[arg(long)]
    pub(super) include_deleted: bool,
    /// Newest first.
    #[arg(long)]
    pub(super) newest: bool,
    /// How many at most.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(super) page_size: Option<u16>,
    /// Where the page before ended, as it said.
    #[arg(long, value_name = "TOKEN", conflicts_with = "all")]
    pub(super) page_token: Option<String>,
    /// All pages.
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// The tenant's name, or its id, which a deleted one has still.
    #[arg(value_name = "NAME|ID")]
    pub(super) who: TenantRef,
    /// Only the lines that changed the state.
    #[arg(long)]
    pub(super) transitions_only: bool,
    /// Only lines of these kinds.
    #[arg(long, value_delimiter = ',', value_parser = kinds(), hide_possible_values = true)]
    pub(super) kind: Vec<Kind>,
    /// Newest first.
    #[arg(long)]
    pub(super) newest: bool,
    /// How many at most.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// The tenants' names or ids.
    #[arg(value_name = "NAME|ID", required_unless_present = "selector")]
    pub(super) who: Vec<TenantRef>,
    /// Instead, all that there are now whose labels match.
    #[arg(long, short = 'l', value_parser = selector, conflicts_with = "who")]
    pub(super) selector: Option<String>,
    /// What to wait for: state=STATE or just STATE, condition=KIND, or condition!=KIND.
    #[arg(
        long = "for",
        value_name = "WHAT",
        default_value = "ready",
        value_parser = goals(),
        hide_possible_values = true
    )]
    pub(super) goal: Goal,
    /// How long to wait, such as 90s or 5m; 0 looks once.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub(super) timeout: std::time::Duration,
}

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// The tenant's name or id.
    #[arg(value_name = "NAME|ID")]
    pub(super) who: TenantRef,
    /// How many lines of its past to begin with.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(super) last: u64,
}
