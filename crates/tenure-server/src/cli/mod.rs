//! The command line: reads what was typed, asks the API, prints the answer.
//!
//! # Invariants
//!
//! - Data goes to stdout, everything else to stderr; only [`output`] prints.
//! - Exit codes are stable; every error says what to do next.
//! - What it does with `--server` and with `--store` takes the same path, through the API.

mod admin;
mod apply;
mod args;
mod asks;
mod backup;
mod bulk;
mod client;
mod config;
mod context;
mod copy;
mod delete;
mod describe;
mod diff;
mod doctor;
mod drift;
mod edit;
mod error;
mod explain;
mod get;
mod hints;
mod jsonpath;
mod label;
mod link;
mod logs;
mod manual;
mod output;
mod progress;
mod provisioner;
#[cfg(test)]
mod reference;
mod refusal;
mod serve;
mod store;
mod tenants;
mod token;
mod values;
mod wait;
mod watch;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tenure::Actor;

use self::args::{Cli, Command, Global, Provisioner};
use self::context::{Target, variable};
use self::store::{Local, configured};
use crate::config::{FILE_NAME, Flags};
use crate::up;

pub(crate) use self::apply::{apply, summary};
pub(crate) use self::args::Format;
pub(crate) use self::client::Client;
pub(crate) use self::error::{Exit, Failed};
pub(crate) use self::logs::told_as_logged;
pub(crate) use self::output::{is_watched, one_line, tell};
pub(crate) use self::progress::Bar;
pub(crate) use self::store::{make_room, redacted};
pub(crate) use self::tenants::print_summaries;

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let mut cli = Cli::parse();
    output::configure(&mut cli.global);
    logs::start(&cli);
    let compares = matches!(cli.command, Command::Diff(_));
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let why = format!("{error:#}");
            let exit = error::exit_of(&error);
            let exit = match exit {
                // There, 1 says that something differs.
                Exit::Usage | Exit::Done => exit,
                _ if compares && !why.is_empty() => Exit::Uncompared,
                exit => exit,
            };
            if !why.is_empty() {
                tell(format_args!("error: {why}"));
            }
            exit.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start: the system gives no threads")?;
    let done = runtime.block_on(dispatch(cli));
    // What a second signal or an error has left running ends here, provisioners included.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let Cli { global, command } = cli;
    if says_one_thing(&command) && (global.output != Format::Table || output::is_picking()) {
        let why = "this command prints nothing that has another form; leave -o out";
        return Err(Failed::new(Exit::Usage, why).into());
    }
    match command {
        Command::Serve(args) => serve::run(&global, &args).await,
        Command::Up(args) => {
            let actor = actor(&global, None)?;
            let flags = Flags {
                listen: args.listen,
                store: global.store,
                ..Flags::default()
            };
            let asked = up::Up {
                sources: store::sources(Some(&args.folder.join(FILE_NAME)))?.with_flags(flags),
                folder: args.folder,
                exit_when_ready: args.exit_when_ready,
                timeout: args.timeout,
                actor,
                message: args.message,
                log: logs::of_commands(global.verbose),
            };
            up::up(asked).await
        }
        Command::Migrate(args) => admin::migrate(&global, &args).await,
        Command::Copy(args) => copy::run(&args).await,
        Command::Backup(args) => backup::run(&global, &args).await,
        Command::Doctor(args) => doctor::run(&global, &args).await,
        Command::Provisioner(Provisioner::Test(args)) => {
            provisioner::test(args, global.output).await
        }
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::pages(&folder),
        Command::Context(command) => context::run(&global, &command, global.output),
        Command::Config(command) => config::run(&global, &command),
        command => to_the_api(&global, command).await,
    }
}

/// A command that the API answers, of a server or over a store.
async fn to_the_api(global: &Global, command: Command) -> anyhow::Result<()> {
    store::warn_of_misspelt()?;
    let Some(url) = &global.store else {
        let mut target = Target::of(global)?;
        let actor = actor(global, target.actor.take())?;
        let client = Client::server(&target, actor)?;
        return ask(&client, command, global).await;
    };
    if global.server.is_some() || global.context.is_some() {
        let why = "--store goes to no server; leave --server and --context out, or --store";
        return Err(Failed::new(Exit::Usage, why).into());
    }
    // What writes `desired` goes by the classes; everything else works without them.
    let config = match &command {
        Command::Apply(_) | Command::Diff(_) | Command::Edit(_) | Command::Import(_) => {
            configured(None)?
        }
        _ => None,
    };
    let actor = actor(global, None)?;
    let local = Local::open(url, config.as_ref()).await?;
    let client = Client::here(local.router(), actor);
    let done = ask(&client, command, global).await;
    local.close().await;
    done
}

/// Whether what a command prints has one form only.
const fn says_one_thing(command: &Command) -> bool {
    use self::args::ContextCommand::{Delete, Set, Use};
    use self::config::ConfigCommand::{Check, Example};

    matches!(
        command,
        Command::Serve(_)
            | Command::Up(_)
            | Command::Migrate(_)
            | Command::Copy(_)
            | Command::Backup(_)
            | Command::Completions { .. }
            | Command::Man { .. }
            | Command::Context(Use { .. } | Set { .. } | Delete { .. })
            | Command::Config(Check(_) | Example)
    )
}

/// The commands that the API answers.
async fn ask(client: &Client, command: Command, global: &Global) -> anyhow::Result<()> {
    match asked(client, command, global.output).await {
        Ok(()) => Ok(()),
        Err(error) => Err(refusal::with_near(client, error).await),
    }
}

async fn asked(client: &Client, command: Command, format: Format) -> anyhow::Result<()> {
    match command {
        Command::Apply(args) => apply::run(client, &args, format).await,
        Command::Diff(args) => diff::run(client, &args, format).await,
        Command::Edit(args) => edit::run(client, &args, format).await,
        Command::Get(args) => get::run(client, &args, format).await,
        Command::Export(args) => bulk::export(client, &args, format).await,
        Command::Import(args) => bulk::import(client, &args, format).await,
        Command::Describe { who } => describe::run(client, &who, format).await,
        Command::List(args) => tenants::list(client, &args, format).await,
        Command::Explain { who } => explain::run(client, &who, format).await,
        Command::Drift(args) => drift::list(client, &args, format).await,
        Command::History(args) => tenants::history(client, &args, format).await,
        Command::Counts => tenants::counts(client, format).await,
        Command::Delete(args) => delete::run(client, &args, format).await,
        Command::Label(args) => {
            label::run(client, "labels", &args.marks, &args.changes, format).await
        }
        Command::Annotate(args) => {
            label::run(client, "annotations", &args.marks, &args.changes, format).await
        }
        Command::Suspend(args) => tenants::verb(client, "suspend", &args, format).await,
        Command::Resume(args) => tenants::verb(client, "resume", &args, format).await,
        Command::Retry(args) => tenants::verb(client, "retry", &args, format).await,
        Command::Hold(args) => tenants::verb(client, "hold", &args, format).await,
        Command::Release(args) => tenants::verb(client, "release", &args, format).await,
        Command::Accept(args) => tenants::verb(client, "accept", &args, format).await,
        Command::Waive(args) => drift::waive(client, &args, format).await,
        Command::Wait(args) => wait::run(client, &args, format).await,
        Command::Watch(args) => watch::run(client, &args, format).await,
        Command::Token(command) => token::run(client, command, format).await,
        Command::Whoami => token::whoami(client, format).await,
        Command::Serve(_)
        | Command::Up(_)
        | Command::Migrate(_)
        | Command::Copy(_)
        | Command::Backup(_)
        | Command::Doctor(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Context(_)
        | Command::Config(_)
        | Command::Provisioner(_) => unreachable!("dispatched before"),
    }
}

/// Who the history says it was: as asked, as the context has it, or the user of the system.
fn actor(global: &Global, of_context: Option<Actor>) -> anyhow::Result<Actor> {
    let of_environment = || {
        let said = variable("TENURE_ACTOR").map(|text| values::person(&text));
        let said = said.transpose();
        said.map_err(|why| Failed::new(Exit::Usage, format!("TENURE_ACTOR: {why}")))
    };
    let said = match &global.actor {
        Some(actor) => Some(actor.clone()),
        None => of_environment()?,
    };
    if let Some(actor) = said.or(of_context) {
        return Ok(actor);
    }
    let user = format!("user:{}", variable("USER").unwrap_or_default());
    let actor = user.parse().or_else(|_| "user:anonymous".parse());
    actor.context("user:anonymous is an actor")
}
