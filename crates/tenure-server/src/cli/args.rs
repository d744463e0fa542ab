//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tenure::{Actor, ClassName, Message, Pointer, Revision, TenantRef};

pub(super) use super::asks::{
    ContextCommand, Diff, Edit, Export, Get, History, Import, List, Wait, Watch,
};
use super::hints::{FORMATS, Hinted};
pub(super) use super::values::Until;
use super::values::{
    Shape, annotation, label, person, revision, selector, shape, time, until, variable,
};
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
    /// The server to ask, https://HOST:PORT; otherwise `TENURE_SERVER`, the context's, or port 7310 of
    /// this machine.
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
    /// Who the history says it was, such as user:maria; otherwise `TENURE_ACTOR`, the context's, or the
    /// user of this machine.
    #[arg(long, global = true, value_parser = person, help_heading = "Connection")]
    pub(super) actor: Option<Actor>,
    /// How to print what was asked for: table, wide, json, yaml, name, or jsonpath=EXPR, such as
    /// jsonpath={.items[*].name}.
    #[arg(
        long = "output",
        short = 'o',
        global = true,
        default_value = "table",
        value_name = "FORMAT",
        value_parser = Hinted::new(shape, FORMATS),
        hide_possible_values = true,
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
pub(super) enum Command {
    /// Run the server: API and reconciler.
    Serve(Serve),
    /// Bring a folder to life: its store, server and reconciler, and the tenants of its manifest.
    Up(Up),
    /// Make tenants what a manifest says.
    Apply(Apply),
    /// Say how tenants differ from a manifest; exits with 1 if one does.
    Diff(Diff),
    /// Change what is wanted of a tenant in an editor.
    Edit(Edit),
    /// Show tenants, as they are or as they were.
    Get(Get),
    /// Show all that there is to know about a tenant on a page.
    Describe {
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
    /// Put labels on a tenant, change them, and take them away. Labels select.
    Label(Label),
    /// Put annotations on a tenant, change them, and take them away. Annotations only say.
    Annotate(Annotate),
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
    /// Write down all tenants, as lines of JSON.
    Export(Export),
    /// Make tenants of what `export` wrote.
    Import(Import),
    /// Bring a store's schema to this program's level.
    Migrate(Migrate),
    /// Copy a fleet with its whole history from one store to another.
    Copy(Copy),
    /// Copy an embedded store, whole, into a file. A server that has it open must be stopped meanwhile.
    Backup(Backup),
    /// Check all that a store holds against its history, its own rules and the configuration.
    Doctor(Doctor),
    /// Keep servers under names, and choose the one that commands go to.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Show and check what is configured, and what there is to configure.
    #[command(subcommand)]
    Config(super::config::ConfigCommand),
    /// Print what makes a shell complete commands.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual's pages into a folder.
    Man {
        /// The folder; made if it is not there.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Work on provisioners.
    #[command(subcommand)]
    Provisioner(Provisioner),
    /// Make, list and end the tokens that let people and programs use the API.
    #[command(subcommand)]
    Token(super::token::Token),
    /// Say who the server takes you for, and what you may do.
    Whoami,
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
    /// The configuration; otherwise `TENURE_CONFIG`, or tenure.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) flags: Served,
}

/// What the command line may say instead of the configuration.
#[derive(Debug, Args)]
pub(super) struct Served {
    /// Where the API listens, instead of what the configuration says.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// A proxy ends TLS before this server.
    #[arg(long)]
    pub(super) behind_proxy: bool,
    /// The server's certificate and what leads to its authority, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// Where traces go, by OTLP over HTTP.
    #[arg(long, value_name = "URL")]
    pub(super) otlp_endpoint: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Copy {
    /// The store to copy from, which nothing may write to meanwhile.
    #[arg(long, value_name = "URL")]
    pub(super) from: String,
    /// The store to copy to: empty, or left by a copy that was interrupted.
    #[arg(long, value_name = "URL")]
    pub(super) to: String,
}

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to write, which must not be there yet.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The configuration to compare with; otherwise `TENURE_CONFIG`, or tenure.toml in this folder if
    /// there is one.
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
    /// Until when, such as 2026-12-01T00:00:00Z or 2026-12-01; how long from now, such as 2h or 3d; or now, which
    /// ends it.
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub(super) until: Until,
    #[command(flatten)]
    pub(super) why: Why,
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
pub(super) struct Label {
    #[command(flatten)]
    pub(super) marks: Marks,
    /// The labels: KEY=VALUE puts or changes one, KEY- takes it away; all others stay.
    #[arg(value_name = "KEY=VALUE|KEY-", required = true, value_parser = label)]
    pub(super) changes: Vec<(String, Option<String>)>,
}

#[derive(Debug, Args)]
pub(super) struct Annotate {
    #[command(flatten)]
    pub(super) marks: Marks,
    /// The annotations: KEY=VALUE puts or changes one, KEY- takes it away; all others stay.
    #[arg(value_name = "KEY=VALUE|KEY-", required = true, value_parser = annotation)]
    pub(super) changes: Vec<(String, Option<String>)>,
}

#[derive(Debug, Args)]
pub(super) struct Marks {
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
pub(super) struct Migrate {
    /// The role that the server will use, to be given what it needs and no more.
    #[arg(long, value_name = "NAME")]
    pub(super) app_role: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
