//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tenure::{
    Actor, ClassName, ConditionKind, Message, Pointer, Revision, Selector, State, TenantRef,
    Timestamp,
};

use super::jsonpath::JsonPath;
use crate::kit::Case;

const EXIT_CODES: &str = "\
Exit codes:
  0  it is so
  1  it failed; the message says why and what to do
  2  the command line is wrong
  3  there is no such tenant
  4  the tenant is not as the command needs it: a conflict, or a precondition that does not hold
  5  it was not so in time
  6  it is not known who you are, or you may not
  7  diff could not compare; 1 means there that something differs";

/// A durable record of a product's tenants, and what makes each of them what it should be.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
pub(super) struct Global {
    /// The server to ask, such as https://tenure.example.com; otherwise `TENURE_SERVER`, the context's,
    /// or <http://127.0.0.1:7310>.
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection")]
    pub(super) server: Option<String>,
    /// Go straight to a store instead of a server: sqlite:PATH or postgres://…
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection")]
    pub(super) store: Option<String>,
    /// The file with the token to show to the server; otherwise `TENURE_TOKEN_FILE`, `TENURE_TOKEN`, or
    /// the context's.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) token_file: Option<PathBuf>,
    /// Certificates to trust beside the system's, as PEM; otherwise `TENURE_CA_FILE`, or the context's.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) ca_file: Option<PathBuf>,
    /// The context to use: a server with a name; otherwise `TENURE_CONTEXT`, or the current one.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub(super) context: Option<String>,
    /// Who the history says it was, such as user:maria.
    #[arg(long, global = true, env = "TENURE_ACTOR", help_heading = "Connection")]
    pub(super) actor: Option<Actor>,
    /// How to print what was asked for: table, wide, json, yaml, name, or jsonpath=EXPR, such as
    /// jsonpath={.items[*].name}.
    #[arg(
        long = "output",
        short,
        global = true,
        default_value = "table",
        value_name = "FORMAT",
        value_parser = shape,
        help_heading = "Output"
    )]
    pub(super) shape: Shape,
    /// The same without the expression.
    #[arg(skip)]
    pub(super) output: Format,
    /// Tables without their first line.
    #[arg(long, global = true, help_heading = "Output")]
    pub(super) no_headers: bool,
    /// Whether to colour what differs; auto is on a terminal, unless `NO_COLOR` is set.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    pub(super) color: Color,
    /// Say more on stderr: -v what is done, -vv everything.
    #[arg(
        long,
        short,
        global = true,
        action = clap::ArgAction::Count,
        help_heading = "Output"
    )]
    pub(super) verbose: u8,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// JSON, as the API gives it.
    Json,
    /// The same as YAML.
    Yaml,
    /// Names only, one a line.
    Name,
}

/// A format, with the expression that picks from it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) path: Option<JsonPath>,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
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
        name: String,
    },
    /// Delete a context. Nothing happens to its server.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server: API and reconciler.
    Serve(Serve),
    /// Bring a folder to life: its store, server and reconciler, and the tenants of its manifest.
    Up(Up),
    /// Make tenants what a manifest says.
    Apply(Apply),
    /// Show a tenant.
    Get {
        /// Its name, or its id, which a deleted one has still.
        #[arg(value_name = "NAME|ID")]
        who: TenantRef,
    },
    /// List tenants.
    List(List),
    /// Explain why a tenant stands where it stands, what blocks it, and what comes next.
    Explain {
        /// Its name, or its id, which a deleted one has still.
        #[arg(value_name = "NAME|ID")]
        who: TenantRef,
    },
    /// Show what happened to a tenant, oldest first.
    History(History),
    /// List where tenants have drifted from what is wanted.
    Drift(Drift),
    /// Count tenants by state.
    Counts,
    /// Delete a tenant: tear down what it has. Its record and history stay.
    Delete(Delete),
    /// Stop a tenant. What it holds stays.
    Suspend(Verb),
    /// Start a suspended tenant again.
    Resume(Verb),
    /// Try a failing tenant again now, with its attempts counted from zero.
    Retry(Verb),
    /// Pause reconciliation of a tenant.
    Hold(Verb),
    /// Let reconciliation of a held tenant go on.
    Release(Verb),
    /// Take what was found where a tenant has drifted over into what is wanted of it.
    Accept(Verb),
    /// Let drift of a tenant at a path not count for a time.
    Waive(Waive),
    /// Wait until tenants are as they should be.
    Wait(Wait),
    /// Follow a tenant's history, each line as it is written.
    Watch(Watch),
    /// Bring a store's schema to this program's level.
    Migrate(Migrate),
    /// Check all that a store holds against its history, its own rules and the configuration.
    Doctor(Doctor),
    /// Keep servers under names, and choose the one that commands go to.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Work on provisioners.
    #[command(subcommand)]
    Provisioner(Provisioner),
}

#[derive(Debug, Subcommand)]
pub(super) enum Provisioner {
    /// Prove that a provisioner keeps the contract: runs it through repeats, kills and late calls.
    Test(ProvisionerTest),
}

#[derive(Debug, Args)]
pub(super) struct ProvisionerTest {
    /// The program and its arguments, as `exec` of a class has them; run in this folder.
    #[arg(last = true, value_name = "CMD", required_unless_present = "http")]
    pub(super) command: Vec<String>,
    /// An endpoint instead; it may be at a private address.
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(super) http: Option<String>,
    /// The file with the endpoint's signing secret, whsec_…
    #[arg(
        long,
        value_name = "FILE",
        requires = "http",
        conflicts_with = "command"
    )]
    pub(super) signing_secret_file: Option<PathBuf>,
    /// The class that tenants are said to have.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) class: ClassName,
    /// What is wanted of a tenant, as a JSON or YAML object; {} if absent.
    #[arg(long, value_name = "FILE")]
    pub(super) desired: Option<PathBuf>,
    /// Something else that may be wanted of it; if absent, changes only suspend it.
    #[arg(long, value_name = "FILE")]
    pub(super) changed: Option<PathBuf>,
    /// A command that alters what a tenant has; its environment says which, as the reference tells.
    /// It is split as a shell does, but no shell runs it; or give it again for each argument.
    #[arg(long, value_name = "CMD", allow_hyphen_values = true)]
    pub(super) tamper: Vec<String>,
    /// A variable of the program's environment, as `env` of a class has it, and of --tamper's.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) env: Vec<(String, String)>,
    /// How long one operation may take.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(super) deadline: u64,
    /// At how many moments an apply is killed.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub(super) kills: u32,
    /// Only these cases.
    #[arg(long, value_enum, value_name = "CASE", value_delimiter = ',')]
    pub(super) only: Vec<Case>,
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration; tenure.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where the API listens, instead of what the configuration says.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The configuration to compare with; tenure.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Up {
    /// The folder with tenure.toml and tenants.yaml.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(super) folder: PathBuf,
    /// Where the API listens, instead of what the configuration says; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// End when all tenants are as they should be; fail if one can't be, or not in time.
    #[arg(long)]
    pub(super) exit_when_ready: bool,
    /// How long to wait for that.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub(super) timeout: std::time::Duration,
    /// Why, for the history.
    #[arg(long, short, default_value = "")]
    pub(super) message: Message,
}

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// The manifest: a file, a folder, or - for standard input.
    #[arg(long, short, value_name = "FILE|DIR|-")]
    pub(super) file: PathBuf,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Why, for the history.
    #[arg(long, short, default_value = "")]
    pub(super) message: Message,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those in one of these states.
    #[arg(long, value_delimiter = ',')]
    pub(super) state: Vec<State>,
    /// Only those of this class.
    #[arg(long)]
    pub(super) class: Option<ClassName>,
    /// Only those whose labels match, such as 'tier in (gold,silver),!legacy'.
    #[arg(long, short = 'l', value_parser = selector)]
    pub(super) selector: Option<String>,
    /// Only those with all of these conditions.
    #[arg(long, value_delimiter = ',')]
    pub(super) condition: Vec<ConditionKind>,
    /// Only those created at this time or later, such as 2026-11-22T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(super) created_from: Option<Timestamp>,
    /// Only those created before this time.
    #[arg(long, value_name = "TIME")]
    pub(super) created_until: Option<Timestamp>,
    /// Only those last changed at this time or later.
    #[arg(long, value_name = "TIME")]
    pub(super) updated_from: Option<Timestamp>,
    /// Only those last changed before this time.
    #[arg(long, value_name = "TIME")]
    pub(super) updated_until: Option<Timestamp>,
    /// Only those in their state since this time or later.
    #[arg(long, value_name = "TIME")]
    pub(super) state_since_from: Option<Timestamp>,
    /// Only those in their state since before this time.
    #[arg(long, value_name = "TIME")]
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
}

#[derive(Debug, Args)]
pub(super) struct Drift {
    /// Only those of this class.
    #[arg(long)]
    pub(super) class: Option<ClassName>,
    /// Only those whose labels match, such as 'tier in (gold,silver),!legacy'.
    #[arg(long, short = 'l', value_parser = selector)]
    pub(super) selector: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Waive {
    /// The tenant's name or id.
    #[arg(value_name = "NAME|ID")]
    pub(super) who: TenantRef,
    /// The place in what is wanted, with all below it, such as /limits/seats.
    #[arg(value_name = "PATH")]
    pub(super) path: Pointer,
    /// Until when, such as 2026-12-01T00:00:00Z; how long from now, such as 2h or 3d; or now, which
    /// ends it.
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub(super) until: Until,
    #[command(flatten)]
    pub(super) why: Why,
}

/// Until when something is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until this time.
    At(Timestamp),
    /// For so long from now.
    For(std::time::Duration),
    /// No longer.
    Now,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The tenant's name or id.
    #[arg(value_name = "NAME|ID")]
    pub(super) who: TenantRef,
    /// Do not ask.
    #[arg(long, short)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) why: Why,
}

#[derive(Debug, Args)]
pub(super) struct Verb {
    /// The tenant's name or id.
    #[arg(value_name = "NAME|ID")]
    pub(super) who: TenantRef,
    #[command(flatten)]
    pub(super) why: Why,
}

#[derive(Debug, Args)]
pub(super) struct Why {
    /// Why, for the history.
    #[arg(long, short, default_value = "")]
    pub(super) message: Message,
    /// Only if the tenant is at this revision.
    #[arg(long, value_name = "NUMBER", value_parser = revision)]
    pub(super) if_revision: Option<Revision>,
}

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// The tenants' names or ids.
    #[arg(value_name = "NAME|ID", required = true)]
    pub(super) who: Vec<TenantRef>,
    /// The state to wait for.
    #[arg(long = "for", value_name = "STATE", default_value = "ready")]
    pub(super) state: State,
    /// How long to wait, such as 90s or 5m.
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

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// The role that the server will use, to be given what it needs and no more.
    #[arg(long, value_name = "NAME")]
    pub(super) app_role: Option<String>,
}

fn shape(text: &str) -> Result<Shape, String> {
    if let Some(expression) = text.strip_prefix("jsonpath=") {
        let path = Some(JsonPath::parse(expression)?);
        let format = Format::Json;
        return Ok(Shape { format, path });
    }
    let format = Format::from_str(text, false).map_err(
        |_| "must be table, wide, json, yaml, name, or jsonpath=EXPR such as jsonpath={.state}",
    )?;
    Ok(Shape { format, path: None })
}

fn time(text: &str) -> Result<std::time::Duration, String> {
    let time: Option<jiff::SignedDuration> = match text.parse::<u32>() {
        Ok(seconds) => Some(jiff::SignedDuration::from_secs(i64::from(seconds))),
        Err(_) => text.parse().ok(),
    };
    time.and_then(|time| time.try_into().ok())
        .ok_or_else(|| "must be a time such as 90s, 5m or 1h30m".to_owned())
}

fn until(text: &str) -> Result<Until, String> {
    if text == "now" {
        return Ok(Until::Now);
    }
    if let Ok(at) = text.parse() {
        return Ok(Until::At(at));
    }
    // Days and weeks are what they are without a calendar: 24 hours, and seven of them.
    let span: Option<jiff::Span> = text.parse().ok();
    let length = span.and_then(|span| {
        let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
        length.ok()?.try_into().ok()
    });
    length.map(Until::For).ok_or_else(|| {
        "must be a time such as 2026-12-01T00:00:00Z, a length such as 2h or 3d, or now".to_owned()
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "must be NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn revision(text: &str) -> Result<Revision, String> {
    let number = text
        .parse()
        .map_err(|_| "must be a whole number".to_owned())?;
    Ok(Revision::new(number))
}

/// Checks it here, and sends it as it was typed.
fn selector(text: &str) -> Result<String, tenure::Invalid> {
    text.parse::<Selector>().map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("90").unwrap().as_secs(), 90);
        assert_eq!(time("90s").unwrap().as_secs(), 90);
        assert_eq!(time("1h30m").unwrap().as_secs(), 5400);
        assert!(time("-5s").is_err() && time("soon").is_err());
    }

    #[test]
    fn a_waiver_ends_at_a_time_or_after_one_or_now() {
        let hours = |hours: u64| Until::For(std::time::Duration::from_secs(hours * 3_600));
        for (text, meant) in [
            ("2h", hours(2)),
            ("1d12h", hours(36)),
            ("3d", hours(72)),
            ("1w", hours(168)),
            ("now", Until::Now),
        ] {
            assert_eq!(until(text).unwrap(), meant, "{text}");
        }
        let time = "2026-12-01T00:00:00Z";
        assert_eq!(until(time).unwrap(), Until::At(time.parse().unwrap()));
        for bad in ["", "-2h", "1mo", "soon", "2026-12-01", "3"] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
