//! Printing: data on stdout, everything else on stderr. The one module that prints.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::args::{Color, Format, Global};
use super::error::{Exit, Failed};
use super::jsonpath::JsonPath;

/// The longest message in a table that is not wide.
const MESSAGE_MAX: usize = 60;

/// What the command line says about all that is printed.
#[derive(Debug)]
struct Settings {
    path: Option<JsonPath>,
    headings: bool,
    colored: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Takes over what the command line says about output. Called once, before anything is printed.
pub(super) fn configure(global: &mut Global) {
    global.output = global.shape.format;
    let auto = || {
        let is_unset = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        is_unset && std::io::stdout().is_terminal()
    };
    let colored = match global.color {
        Color::Auto => auto(),
        Color::Always => true,
        Color::Never => false,
    };
    let settings = Settings {
        path: global.shape.path.take(),
        headings: !global.no_headers,
        colored,
    };
    drop(SETTINGS.set(settings));
}

/// How something is painted, where colour is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Added,
    Removed,
    Heading,
}

/// A text in its colour, or plain where no colour is wanted.
pub(super) fn painted(paint: Paint, text: &str) -> String {
    let code = match paint {
        Paint::Added => "32",
        Paint::Removed => "31",
        Paint::Heading => "1",
    };
    if SETTINGS.get().is_some_and(|settings| settings.colored) {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// Prints data. A reader that has enough, such as `head`, is no error, and the work goes on.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    written(text).map(drop)
}

/// Prints data of which there is ever more, and ends the command if nobody reads it.
pub(super) fn stream(text: &str) -> anyhow::Result<()> {
    if written(text)? { Ok(()) } else { Err(gone()) }
}

/// Ends the command if nobody reads what it prints. While nothing is printed, nothing else tells.
pub(super) fn still_read() -> anyhow::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdout = std::io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    // A system that can't say is believed to have a reader: the next write will tell.
    let told = poll(&mut asked, Some(&Timespec::default()));
    let [asked] = asked;
    let is_gone = asked.revents().intersects(PollFlags::ERR | PollFlags::HUP);
    if told.is_ok() && is_gone {
        return Err(gone());
    }
    Ok(())
}

/// A quiet end: who asked has enough.
fn gone() -> anyhow::Error {
    Failed::told(Exit::Done).into()
}

/// Writes, and says whether somebody read it.
fn written(text: &str) -> anyhow::Result<bool> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("can't write to standard output"),
    }
}

/// Prints one item a line.
pub(super) fn print_lines(
    items: impl IntoIterator<Item = impl std::fmt::Display>,
) -> anyhow::Result<()> {
    let mut text = String::new();
    for item in items {
        // Writing to a string can't fail.
        let _written = writeln!(text, "{item}");
    }
    print(&text)
}

/// Tells people something beside the data. If they can't hear it, the work goes on.
pub(crate) fn tell(text: impl std::fmt::Display) {
    // In one piece, so that lines of others don't come in between.
    drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
}

/// Whether a person watches.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// The expression that picks from what would be printed, if one was given.
fn path() -> Option<&'static JsonPath> {
    SETTINGS.get()?.path.as_ref()
}

/// Whether one was given.
pub(super) fn is_picking() -> bool {
    path().is_some()
}

/// Prints a value as JSON or YAML.
pub(super) fn print_value(format: Format, value: &impl Serialize) -> anyhow::Result<()> {
    if let Some(path) = path() {
        return print(&path.picked(&serde_json::to_value(value)?));
    }
    let text = if format == Format::Yaml {
        serde_saphyr::to_string(value).context("can't write this as YAML; use -o json")?
    } else {
        serde_json::to_string_pretty(value)?
    };
    print(&format!("{}\n", text.trim_end()))
}

/// A value of many, one after the other: a line of JSON, a YAML document, or what is picked of it.
pub(super) fn one_of_many(format: Format, value: &impl Serialize) -> anyhow::Result<String> {
    Ok(match (path(), format) {
        (Some(path), _) => path.picked(&serde_json::to_value(value)?),
        (None, Format::Yaml) => format!("---\n{}", serde_saphyr::to_string(value)?),
        (None, _) => format!("{}\n", serde_json::to_string(value)?),
    })
}

/// Columns, two spaces apart; the last is as long as it is.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        if SETTINGS.get().is_some_and(|settings| !settings.headings) {
            return Self::plain();
        }
        let headings = headings.iter().map(|heading| (*heading).to_owned());
        Self {
            rows: vec![headings.collect()],
        }
    }

    /// A table without headings.
    pub(crate) const fn plain() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Prints it.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        print(&self.text())
    }

    /// As it is printed.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string can't fail.
                let _written = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// One line of at most so many characters, so that a table stays a table.
pub(crate) fn short(message: &str) -> String {
    let line = one_line(message);
    if line.chars().count() <= MESSAGE_MAX {
        return line;
    }
    line.chars().take(MESSAGE_MAX - 1).chain(['…']).collect()
}

/// The same text on one line.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A length of time as people say it: `42s`, `5m`, `3h`, `12d`.
pub(crate) fn age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "STATE", "MESSAGE"]);
        table.row(vec!["ä".to_owned(), "ready".to_owned(), String::new()]);
        table.row(vec![
            "acme-corp".to_owned(),
            "x".to_owned(),
            "it is made".to_owned(),
        ]);
        let expected =
            "NAME       STATE  MESSAGE\nä          ready\nacme-corp  x      it is made\n";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn messages_stay_on_their_line() {
        assert_eq!(short("a\n b\tc"), "a b c");
        assert_eq!(short(&"x".repeat(100)).chars().count(), MESSAGE_MAX);
    }

    #[test]
    fn ages_have_one_unit() {
        let ages = [119, 120, 7_199, 7_200, 172_800].map(|s| age(Duration::from_secs(s)));
        assert_eq!(ages, ["119s", "2m", "119m", "2h", "2d"]);
    }
}
