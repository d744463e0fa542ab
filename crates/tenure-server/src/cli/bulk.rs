//! Whole fleets: `export` writes them down as lines of JSON, `import` makes tenants of such lines.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::args::{Export, Format, Import};
use super::client::{Call, Client};
use super::error::{Exit, Failed};
use super::output::{self, Table, one_of_many, print, print_lines, stream, tell};
use super::progress::Bar;
use crate::api::ImportSummary;

/// Most lines that are sent at once.
const LINES_MAX: usize = 1_000;

/// Most bytes that are sent at once: half of what a server takes, since a line may be long.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Writes tenants down, to standard output or to a file that is there whole or not at all.
pub(super) async fn export(client: &Client, args: &Export, format: Format) -> anyhow::Result<()> {
    if !matches!(format, Format::Table | Format::Json) || output::is_picking() {
        let why = "export writes lines of JSON and nothing else; leave -o out";
        return Err(Failed::new(Exit::Usage, why).into());
    }
    let call = Call::get("/v1/export")
        .with("class", args.class.as_ref())
        .with("selector", args.selector.as_ref());
    let mut target = Target::of(args.file.as_deref())?;
    let mut lines = client.lines(&call).await?;
    let bar = Bar::shown("exporting", None);
    let mut count = 0;
    while let Some(line) = lines.next().await? {
        client.check_line(&line)?;
        target.write(&line)?;
        if args.file.is_some() {
            count += 1;
            bar.at(count);
        }
    }
    bar.done();
    if let Some(path) = target.finish()? {
        tell(format_args!(
            "{count} tenants exported to {}",
            path.display()
        ));
    }
    Ok(())
}

/// Where an export goes.
enum Target<'a> {
    Stdout,
    /// A file beside the one that it becomes, so that becoming it is one step; and which that is.
    Beside(&'a Path, tempfile::NamedTempFile, PathBuf),
    /// A device or a pipe, which nothing can take the place of.
    Straight(&'a Path, std::fs::File),
}

impl<'a> Target<'a> {
    fn of(path: Option<&'a Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout);
        };
        let unwritable = || format!("can't write {}", path.display());
        // Both follow links: what a link leads to is meant, and not the link.
        let is_there = std::fs::metadata(path).ok();
        if is_there.as_ref().is_some_and(|there| !there.is_file())
            || (is_there.is_none() && path.is_symlink())
        {
            let file = std::fs::File::create(path).with_context(unwritable)?;
            return Ok(Self::Straight(path, file));
        }
        let becomes = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = match becomes.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let file = tempfile::NamedTempFile::new_in(folder).with_context(unwritable)?;
        if let Some(there) = is_there {
            let kept = file.as_file().set_permissions(there.permissions());
            kept.with_context(unwritable)?;
        }
        Ok(Self::Beside(path, file, becomes))
    }

    fn write(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let (path, file) = match self {
            Self::Stdout => {
                return stream(&format!("{}\n", String::from_utf8_lossy(line)));
            }
            Self::Beside(path, file, _) => (path, file.as_file_mut()),
            Self::Straight(path, file) => (path, file),
        };
        let line = [line, b"\n"].concat();
        file.write_all(&line)
            .with_context(|| format!("can't write {}", path.display()))
    }

    /// Ends it; gives the file, if it is one.
    fn finish(self) -> anyhow::Result<Option<&'a Path>> {
        match self {
            Self::Stdout => Ok(None),
            Self::Straight(path, _) => Ok(Some(path)),
            Self::Beside(path, file, becomes) => {
                let unwritable = || format!("can't write {}", path.display());
                file.as_file().sync_all().with_context(unwritable)?;
                file.persist(&becomes).with_context(unwritable)?;
                Ok(Some(path))
            }
        }
    }
}

/// What a server says of a line.
#[derive(Debug, Deserialize, Serialize)]
struct Told {
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Summary { summary: ImportSummary },
    Line(Box<Told>),
}

/// Makes tenants of lines, in parts that a server takes.
pub(super) async fn import(client: &Client, args: &Import, format: Format) -> anyhow::Result<()> {
    let name = args.file.display().to_string();
    let source: Box<dyn BufRead + Send> = if name == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = std::fs::File::open(&args.file).with_context(|| format!("can't read {name}"))?;
        Box::new(BufReader::new(file))
    };
    let mut import = Importing {
        client,
        args,
        format,
        tenants: 0,
        done: ImportSummary::default(),
        bar: Bar::shown("importing", None),
    };
    let (mut part, mut lines, mut before) = (Vec::new(), 0, 0);
    for line in source.split(b'\n') {
        let line = line.with_context(|| format!("can't read {name}"))?;
        if lines == LINES_MAX || part.len() + line.len() > BYTES_MAX {
            import.send(std::mem::take(&mut part), before).await?;
            before += std::mem::take(&mut lines);
        }
        import.tenants += usize::from(!line.trim_ascii().is_empty());
        part.extend_from_slice(&import.with_message(line));
        part.push(b'\n');
        lines += 1;
    }
    if import.tenants == 0 {
        let why = format!("{name} holds no tenant; nothing was sent");
        return Err(Failed::new(Exit::Error, why).into());
    }
    import.send(part, before).await?;
    import.end()
}

struct Importing<'a> {
    client: &'a Client,
    args: &'a Import,
    format: Format,
    /// How many lines there are beside empty ones.
    tenants: usize,
    done: ImportSummary,
    bar: Bar,
}

impl Importing<'_> {
    /// The line with the message of the whole import, where it has none and can have one.
    fn with_message(&self, line: Vec<u8>) -> Vec<u8> {
        if self.args.message.as_str().is_empty() {
            return line;
        }
        let Ok(mut object) = serde_json::from_slice::<Map<String, Value>>(&line) else {
            return line;
        };
        object
            .entry("message")
            .or_insert_with(|| json!(self.args.message));
        serde_json::to_vec(&object).unwrap_or(line)
    }

    /// Sends a part, before which so many lines stand in the file.
    async fn send(&mut self, part: Vec<u8>, before: usize) -> anyhow::Result<()> {
        let call = Call::new(Method::POST, "/v1/import")
            .with("dry_run", self.args.dry_run.then_some(true))
            .with_lines(Bytes::from(part));
        let mut lines = self.client.lines(&call).await?;
        let mut whole = false;
        while let Some(line) = lines.next().await? {
            self.client.check_line(&line)?;
            let answer = serde_json::from_slice(&line).context(
                "the server's answer is not what this program expects; use the same version of both",
            )?;
            match answer {
                Answer::Summary { summary } => {
                    whole = true;
                    self.add(summary);
                }
                Answer::Line(mut told) => {
                    told.line += before;
                    self.tell(&told)?;
                }
            }
        }
        if whole {
            return Ok(());
        }
        let why = "the import broke off; import the same again: what is done is not done twice";
        Err(Failed::new(Exit::Error, why).into())
    }

    fn add(&mut self, part: ImportSummary) {
        self.done.lines += part.lines;
        self.done.created += part.created;
        self.done.changed += part.changed;
        self.done.unchanged += part.unchanged;
        self.done.replayed += part.replayed;
        self.done.refused += part.refused;
        self.bar.at(self.done.lines);
    }

    fn tell(&self, told: &Told) -> anyhow::Result<()> {
        let name = told.name.as_deref().unwrap_or("?");
        if let Some(problem) = &told.problem {
            let said = |member: &str| problem.get(member).and_then(Value::as_str).unwrap_or("");
            let place = format!("{}:{}", self.args.file.display(), told.line);
            let (code, detail) = (said("code"), said("detail"));
            tell(format_args!("{place}: {name}: {detail} ({code})"));
        }
        let effect = match told.effect.as_deref() {
            None => "refused",
            Some("changed") => "configured",
            Some("replayed") => "unchanged",
            Some(effect) => effect,
        };
        match self.format {
            Format::Json | Format::Yaml => print(&one_of_many(self.format, told)?),
            _ if told.problem.is_some() => Ok(()),
            Format::Name => print_lines([name]),
            Format::Table => print_lines([format_args!("{name} {effect}")]),
            Format::Wide => {
                let mut table = Table::plain();
                let revision = told.revision.map(|revision| revision.to_string());
                table.row(vec![
                    name.to_owned(),
                    effect.to_owned(),
                    revision.unwrap_or_default(),
                    told.id.clone().unwrap_or_default(),
                ]);
                table.print()
            }
        }
    }

    /// The summary, and whether all is well.
    fn end(self) -> anyhow::Result<()> {
        self.bar.done();
        let ImportSummary {
            lines,
            created,
            changed,
            unchanged,
            replayed,
            refused,
        } = self.done;
        let unchanged = unchanged + replayed;
        let dry = if self.args.dry_run {
            " (dry run: nothing was done)"
        } else {
            ""
        };
        tell(format_args!(
            "{lines} tenants: {created} created, {changed} configured, {unchanged} unchanged, \
             {refused} refused{dry}"
        ));
        if refused == 0 {
            return Ok(());
        }
        let why = format!("{refused} lines were refused; correct them and import the same again");
        Err(Failed::new(Exit::Error, why).into())
    }
}
