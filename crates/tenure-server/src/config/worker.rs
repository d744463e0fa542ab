//! Workers: who may ask for the operations of classes with `pull = true`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use tenure::{ClassName, Hash, Invalid};

use super::class::Class;
use super::transport::Transport;
use super::{Broken, all_noted, broken, made, noted};

/// Fewest bytes of a token: fewer can be guessed.
const TOKEN_MIN: usize = 16;

/// A worker that may ask for work.
#[derive(Clone, PartialEq, Eq)]
pub struct Worker {
    /// The SHA-256 of the token that it shows. The token itself is nowhere.
    pub token: Hash,
    /// The classes whose operations it gets; at least one, and all of them are there and `pull`.
    pub classes: BTreeSet<ClassName>,
}

/// Shows nothing of the token.
impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
pub(super) struct FileWorker {
    token_sha256: Option<String>,
    token_file: Option<String>,
    #[serde(default)]
    classes: Vec<String>,
}

/// Checks all workers; what classes there are is known if nothing is wrong with those.
pub(super) fn check(
    workers: BTreeMap<String, FileWorker>,
    classes: Option<&BTreeMap<ClassName, Class>>,
    folder: &Path,
) -> Result<BTreeMap<String, Worker>, Vec<Broken>> {
    let mut wrong = Vec::new();
    let mut checked: BTreeMap<String, Worker> = BTreeMap::new();
    for (name, worker) in workers {
        // The history calls it by this name, so it is as short and plain as that of a class.
        let named = name.parse::<ClassName>();
        let named = named.map_err(|invalid| broken(&name, invalid.rule()));
        let named = noted(&mut wrong, named).is_some();
        let worker = all_noted(&mut wrong, &name, worker.check(classes, folder));
        let Some(worker) = worker.filter(|_| named) else {
            continue;
        };
        if let Some((other, _)) = checked.iter().find(|(_, w)| w.token == worker.token) {
            let rule = format!("has the token of workers.{other}; give each its own");
            wrong.push(broken(&name, rule));
        }
        checked.insert(name, worker);
    }
    made(wrong, Some(checked))
}

impl FileWorker {
    fn check(
        self,
        known: Option<&BTreeMap<ClassName, Class>>,
        folder: &Path,
    ) -> Result<Worker, Vec<Broken>> {
        let mut wrong = Vec::new();
        let token = match (&self.token_sha256, &self.token_file) {
            (Some(hex), None) => digest(hex),
            (None, Some(file)) => read(&folder.join(file)),
            _ => Err(broken(
                "",
                "must have exactly one of token_sha256 and token_file",
            )),
        };
        let token = noted(&mut wrong, token);
        if self.classes.is_empty() {
            let rule = "must name the classes that it works for, such as [\"shared\"]";
            wrong.push(broken("classes", rule));
        }
        let classes = self.classes.iter().filter_map(|name| {
            let class = class(name, known).map_err(|rule| broken("classes", rule));
            noted(&mut wrong, class)
        });
        let classes = classes.collect();
        made(wrong, token.map(|token| Worker { token, classes }))
    }
}

/// A class that workers may work for.
fn class(name: &str, known: Option<&BTreeMap<ClassName, Class>>) -> Result<ClassName, String> {
    let class: ClassName = name
        .parse()
        .map_err(|invalid: Invalid| invalid.rule().to_owned())?;
    let Some(known) = known else {
        return Ok(class);
    };
    match known.get(&class).map(|class| &class.transport) {
        Some(Transport::Pull) => Ok(class),
        Some(_) => Err(format!(
            "names {name}, which workers don't make; give it pull = true"
        )),
        None => Err(format!(
            "names {name}, which there is not; add [classes.{name}]"
        )),
    }
}

fn digest(hex: &str) -> Result<Hash, Broken> {
    // Read as hashes are everywhere, in either case: `sha256sum` and others differ.
    serde_json::from_value(hex.to_ascii_lowercase().into()).map_err(|_| {
        broken(
            "token_sha256",
            "must be 64 hexadecimal digits, as printf %s TOKEN | sha256sum gives them",
        )
    })
}

/// The hash of the token in a file, whose last line may end.
fn read(file: &Path) -> Result<Hash, Broken> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| broken("token_file", format!("can't be read: {shown}: {error}")))?;
    let token = text.trim_ascii_end();
    if token.len() < TOKEN_MIN || token.contains(|c: char| !c.is_ascii_graphic()) {
        let rule = format!(
            "must name a file with one token of at least {TOKEN_MIN} characters, without spaces, \
             such as openssl rand -hex 32 gives; {shown} holds none"
        );
        return Err(broken("token_file", rule));
    }
    Ok(Hash::of(token.as_bytes()))
}
