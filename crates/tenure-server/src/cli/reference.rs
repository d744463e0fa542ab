//! The part of `docs/reference/cli.md` that is made from the command line's own description.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p tenure-server --lib reference` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};

use super::args::Cli;

const BEGIN: &str = "<!-- made from the command line's own description: begin -->\n";
const END: &str = "<!-- made from the command line's own description: end -->\n";

#[test]
fn the_reference_says_what_the_command_line_takes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (is, after) = rest.split_once(END).unwrap();
    let would_be = made();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{would_be}{END}{after}")).unwrap();
        return;
    }
    let how = "docs/reference/cli.md is behind: UPDATE_SNAPSHOTS=1 cargo test -p tenure-server --lib \
               reference";
    assert!(is == would_be, "{how}");
}

fn made() -> String {
    let mut program = Cli::command().term_width(0);
    program.build();
    let mut text = String::new();
    for command in program.get_subcommands().filter(|command| is_ours(command)) {
        section(&mut text, "tenure", command);
    }
    text.push_str("\n### Options of all commands\n");
    let options = program.get_arguments().filter(|arg| arg.is_global_set());
    table(&mut text, &options.collect::<Vec<_>>());
    text
}

fn is_ours(command: &Command) -> bool {
    command.get_name() != "help"
}

fn section(text: &mut String, before: &str, command: &Command) {
    let name = format!("{before} {}", command.get_name());
    let inner: Vec<&Command> = command
        .get_subcommands()
        .filter(|command| is_ours(command))
        .collect();
    if !inner.is_empty() {
        for command in inner {
            section(text, &name, command);
        }
        return;
    }
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let mut usage = name.clone();
    for positional in command.get_positionals() {
        let _written = write!(usage, " {positional}");
    }
    let stop = if about.ends_with('.') { "" } else { "." };
    let _written = write!(text, "\n### {name}\n\n{about}{stop}\n\n    {usage}\n");
    let own = command.get_arguments().filter(|arg| !arg.is_global_set());
    let own: Vec<&Arg> = own.filter(|arg| arg.get_id() != "help").collect();
    table(text, &own);
}

fn table(text: &mut String, arguments: &[&Arg]) {
    let rows: Vec<String> = arguments.iter().copied().map(row).collect();
    if !rows.is_empty() {
        let _written = write!(
            text,
            "\n| argument | meaning |\n|---|---|\n{}",
            rows.concat()
        );
    }
}

fn row(arg: &Arg) -> String {
    let takes = arg.get_action().takes_values();
    let values = arg.get_value_names().unwrap_or_default();
    let value = values
        .first()
        .map(|name| format!("<{name}>"))
        .unwrap_or_default();
    let mut name = String::new();
    if let Some(short) = arg.get_short() {
        let _written = write!(name, "-{short}, ");
    }
    match arg.get_long() {
        Some(long) if takes => drop(write!(name, "--{long} {value}")),
        Some(long) => drop(write!(name, "--{long}")),
        None => name.push_str(&value),
    }
    let help = arg.get_help().map(ToString::to_string);
    let mut meaning = help.unwrap_or_default();
    let possible = arg.get_possible_values();
    if takes && !possible.is_empty() && !arg.is_hide_possible_values_set() {
        let words: Vec<&str> = possible
            .iter()
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        let _written = write!(meaning, "; one of {}", words.join(", "));
    }
    let defaults = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy());
    let defaults: Vec<_> = defaults.filter(|value| !value.is_empty()).collect();
    if takes && !defaults.is_empty() {
        let _written = write!(meaning, "; `{}` if absent", defaults.join(", "));
    }
    let meaning = meaning.replace(['<', '>'], "").replace(". One", "; one");
    let escape = |text: &str| text.replace('|', "\\|");
    format!("| `{}` | {} |\n", escape(&name), escape(&meaning))
}
