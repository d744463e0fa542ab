//! Workers: who may ask for the operations of classes with `pull = true`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use tenure::{ClassName, Hash, Invalid};

use super::class::Class;
use super::transport::Transport;
use super::{Broken, broken};

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

/// Checks all workers.
pub(super) fn check(
    workers: BTreeMap<String, FileWorker>,
    classes: &BTreeMap<ClassName, Class>,
    folder: &Path,
) -> Result<BTreeMap<String, Worker>, Broken> {
    let mut checked: BTreeMap<String, Worker> = BTreeMap::new();
    for (name, worker) in workers {
        let at = |broken: Broken| broken.under(&format!("workers.{name}"));
        // The history calls it by this name, so it is as short and plain as that of a class.
        name.parse::<ClassName>()
            .map_err(|invalid| at(broken("", invalid.rule())))?;
        let worker = worker.check(classes, folder).map_err(at)?;
        if let Some((other, _)) = checked.iter().find(|(_, w)| w.token == worker.token) {
            let rule = format!("has the token of workers.{other}; give each its own");
            return Err(at(broken("", rule)));
        }
        checked.insert(name, worker);
    }
    Ok(checked)
}

impl FileWorker {
    fn check(self, known: &BTreeMap<ClassName, Class>, folder: &Path) -> Result<Worker, Broken> {
        let token = match (&self.token_sha256, &self.token_file) {
            (Some(hex), None) => digest(hex)?,
            (None, Some(file)) => read(&folder.join(file))?,
            _ => {
                return Err(broken(
                    "",
                    "must have exactly one of token_sha256 and token_file",
                ));
            }
        };
        if self.classes.is_empty() {
            let rule = "must name the classes that it works for, such as [\"shared\"]";
            return Err(broken("classes", rule));
        }
        let mut classes = BTreeSet::new();
        for name in self.classes {
            let class: ClassName = name
                .parse()
                .map_err(|invalid: Invalid| broken("classes", invalid.rule()))?;
            match known.get(&class).map(|class| &class.transport) {
                Some(Transport::Pull) => drop(classes.insert(class)),
                Some(_) => {
                    let rule =
                        format!("names {name}, which workers don't make; give it pull = true");
                    return Err(broken("classes", rule));
                }
                None => {
                    let rule = format!("names {name}, which there is not; add [classes.{name}]");
                    return Err(broken("classes", rule));
                }
            }
        }
        Ok(Worker { token, classes })
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
