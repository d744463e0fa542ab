//! `config`: what is configured and where it comes from, whether it can be used, and what there is to
//! configure. Asks no server and opens no store.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::args::{Format, Global, Serve};
use super::output::{Table, print, print_lines, print_value};
use super::store::sources;
use crate::config::{self, Config, Effective, Sources};
use crate::runners;
use crate::server::{Exposure, ServerTls};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show what counts: all layers and the defaults together. What may be secret is shown as ….
    Show(Show),
    /// Check the configuration and all files that it names, as a server would read them.
    Check(Serve),
    /// Print the JSON Schema of tenure.toml.
    Schema,
    /// Print a tenure.toml with every key at its default.
    Example,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    pub(super) read: Serve,
    /// Say of each key where its value comes from.
    #[arg(long)]
    pub(super) origin: bool,
}

pub(super) fn run(global: &Global, command: &ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show(args) => show(global, args),
        ConfigCommand::Check(args) => check(global, args),
        ConfigCommand::Schema if global.output == Format::Yaml => {
            print_value(Format::Yaml, &config::schema())
        }
        ConfigCommand::Schema => print_value(Format::Json, &config::schema()),
        ConfigCommand::Example => print(&config::example()),
    }
}

/// What a server would read that is given these arguments.
fn read(global: &Global, args: &Serve) -> anyhow::Result<Sources> {
    Ok(sources(args.config.as_deref())?.with_flags(args.flags.with(global)))
}

fn show(global: &Global, args: &Show) -> anyhow::Result<()> {
    let all = config::effective(&read(global, &args.read)?)?;
    match (global.output, args.origin) {
        (Format::Name, _) => print_lines(all.iter().map(|each| &each.key)),
        (Format::Json | Format::Yaml, true) => print_value(global.output, &json!({ "items": all })),
        (Format::Json | Format::Yaml, false) => print_value(global.output, &config::tables(&all)),
        (Format::Table | Format::Wide, true) => {
            let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
            for each in all {
                table.row(vec![each.key, each.value.to_string(), each.origin]);
            }
            table.print()
        }
        (Format::Table | Format::Wide, false) => {
            let text = toml::to_string(&config::tables(&all));
            print(&text.context("can't write this as TOML; use -o json")?)
        }
    }
}

fn check(global: &Global, args: &Serve) -> anyhow::Result<()> {
    let sources = read(global, args)?;
    let config = Config::load(&sources)?;
    let wrong = placed(beyond(&config), &config::effective(&sources)?);
    if let [_, ..] = wrong.as_slice() {
        let mut text = "a server can't use this configuration".to_owned();
        for error in &wrong {
            // Writing to a string can't fail.
            let _written = write!(text, "\n  {error}");
        }
        anyhow::bail!(text);
    }
    let file = sources.file().map(|file| file.display().to_string());
    let file = file.unwrap_or_else(|| "without a file".to_owned());
    let classes = counted(config.classes.len(), "class", "classes");
    let workers = counted(config.workers.len(), "worker", "workers");
    print(&format!("ok: {file}: {classes}, {workers}\n"))
}

fn counted(number: usize, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

/// What is wrong with what the configuration names, and would end a server when it starts; each with
/// the key that says so, as far as that is known.
fn beyond(config: &Config) -> Vec<(String, anyhow::Error)> {
    let exposed = Exposure::of(config).check(config.listen);
    let tls = config.tls.as_ref().map(ServerTls::read).transpose();
    let oidc = config.auth.oidc.as_ref();
    let provider = oidc.and_then(|oidc| oidc.ca_file.as_ref()).map(|file| {
        std::fs::read(file)
            .with_context(|| format!("auth.oidc.ca_file: can't read {}", file.display()))
    });
    let found = [
        ("listen", exposed.err().map(anyhow::Error::from)),
        ("tls", tls.err().map(anyhow::Error::from)),
        ("auth.oidc.ca_file", provider.and_then(Result::err)),
    ];
    let found = found
        .into_iter()
        .filter_map(|(key, error)| Some((key.to_owned(), error?)));
    let classes = runners::unusable(config)
        .into_iter()
        .map(|(class, error)| (format!("classes.{class}"), error));
    found.chain(classes).collect()
}

/// Each with the place where it is said, in the order of the places.
fn placed(wrong: Vec<(String, anyhow::Error)>, all: &[Effective]) -> Vec<String> {
    let mut placed: Vec<(usize, String)> = wrong
        .into_iter()
        .map(|(table, error)| {
            let error = format!("{error:#}");
            let is_said = |each: &&Effective| {
                let name = each.key.rsplit('.').next().unwrap_or_default();
                each.key == table || error.contains(name)
            };
            let is_in = |each: &&Effective| {
                let rest = each.key.strip_prefix(&table);
                let is_in = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                is_in && each.origin != "default"
            };
            let said = all.iter().filter(is_in).find(is_said);
            match said.or_else(|| all.iter().find(is_in)) {
                None => (usize::MAX, error),
                Some(each) => {
                    let line = each.origin.rsplit(':').next().map(str::parse);
                    let line = line.and_then(Result::ok).unwrap_or(usize::MAX);
                    (line, format!("{}: {error}", each.origin))
                }
            }
        })
        .collect();
    placed.sort_by_key(|(line, _)| *line);
    placed.into_iter().map(|(_, text)| text).collect()
}
