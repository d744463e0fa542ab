//! Pages of the documentation, as far as they are run: their blocks of commands and of output.

/// How a block of commands is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// To its end, which must be good: a fence with `sh`.
    Plain,
    /// Until the page ends, in the background; the next block waits until the server answers:
    /// `sh background`.
    Background,
    /// As plain, after what runs in the background was stopped: `sh stopped`.
    Stopped,
    /// To its end, which must be bad, and say what the page says: `sh fails`.
    Fails,
    /// Not at all, because it is for another machine or another time: `sh elsewhere`.
    Elsewhere,
}

/// A block of commands, and what it must print.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Where it begins.
    pub(crate) line: usize,
    pub(crate) manner: Manner,
    pub(crate) commands: String,
    /// The lines of the `output` fence that follows it. Each must be in the output, in this order;
    /// `…` in it stands for anything.
    pub(crate) output: Vec<String>,
}

/// Reads the blocks of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let inside: Vec<String> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| line.trim() != "```")
            .map(|line| {
                line.get(indent..)
                    .unwrap_or_else(|| line.trim_start())
                    .to_owned()
            })
            .collect();
        match info.trim() {
            "output" => {
                let block = blocks.last_mut();
                block.expect("an output stands after its commands").output = inside;
            }
            info if info == "sh" || info.starts_with("sh ") => blocks.push(Block {
                line: index + 1,
                manner: manner(
                    info.strip_prefix("sh").unwrap_or_default().trim(),
                    index + 1,
                ),
                commands: inside.join("\n"),
                output: Vec::new(),
            }),
            _ => {}
        }
    }
    blocks
}

fn manner(word: &str, line: usize) -> Manner {
    match word {
        "" => Manner::Plain,
        "background" => Manner::Background,
        "stopped" => Manner::Stopped,
        "fails" => Manner::Fails,
        "elsewhere" => Manner::Elsewhere,
        other => panic!("line {line}: a block of commands is run in no manner {other:?}"),
    }
}

/// The first expected line that is not in the output, from where the one before was found.
pub(crate) fn missing<'a>(expected: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    expected
        .iter()
        .filter(|line| !line.trim().is_empty())
        .find(|wanted| {
            !lines
                .by_ref()
                .any(|line| matches(wanted.trim(), line.trim()))
        })
        .map(String::as_str)
}

/// Whether a line is as expected; runs of spaces count as one.
fn matches(wanted: &str, line: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (wanted, line) = (squeezed(wanted), squeezed(line));
    let mut parts = wanted.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn blocks_are_read_with_their_manner_and_output() {
    let page = "a\n```sh\none\ntwo\n```\ntext\n```output\nt…o\n```\n  ```sh fails\n  bad\n  ```\n```toml\nx = 1\n```\n";
    let read = blocks(page);
    let seen: Vec<_> = read
        .iter()
        .map(|b| (b.line, b.manner, b.commands.as_str()))
        .collect();
    let expected = [(2, Manner::Plain, "one\ntwo"), (10, Manner::Fails, "bad")];
    assert_eq!(seen, expected);
    assert_eq!(read.first().unwrap().output, ["t…o"]);
}

#[test]
fn output_is_found_in_order() {
    let wanted = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    let output = "NAME   STATE\nacme   ready  since 12:00\nbolt   failing\n";
    assert_eq!(
        missing(&wanted(&["NAME STATE", "acme ready …"]), output),
        None
    );
    assert_eq!(missing(&wanted(&["…bolt…"]), output), None);
    assert_eq!(
        missing(&wanted(&["bolt …", "acme …"]), output),
        Some("acme …")
    );
    assert_eq!(missing(&wanted(&["acme"]), output), Some("acme"));
    assert_eq!(missing(&wanted(&["a…x"]), output), Some("a…x"));
}
