//! Manifests: what tenants should be, written down in YAML or JSON.
//!
//! Everything is checked before anything is sent, and all that is wrong is said at once, each with its
//! file and line: a manifest is applied whole or refused.
//!
//! YAML is read as its version 1.2 has it: `no` is a word, `false` is false.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use tenure::{Annotations, ClassName, Document, Invalid, Labels, TenantName};

use crate::yaml;

/// The name of the manifest in a folder that has a `tenure.toml`.
pub const FILE_NAME: &str = "tenants.yaml";

/// What tenants should be, in the order in which it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// One entry a tenant.
    pub entries: Vec<Entry>,
}

/// What one tenant should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: TenantName,
    /// Its class; `None` means the one that it has, or `default`.
    pub class: Option<ClassName>,
    /// All its labels; `None` leaves those that it has.
    pub labels: Option<Labels>,
    /// All its annotations; `None` leaves those that it has.
    pub annotations: Option<Annotations>,
    /// What is wanted of it, whole.
    pub desired: Document,
    /// Whether it should run; `None` leaves it as it is, or `true`.
    pub running: Option<bool>,
    /// Where it is written.
    pub place: Place,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named; `-` is standard input.
    pub file: String,
    /// The line, from 1; 0 if it is the file as a whole.
    pub line: u64,
    /// The column, from 1; 0 if it is the line as a whole.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// What is wrong with a manifest: each problem with its place. Nothing was sent.
#[derive(Debug, Default)]
pub struct ManifestError {
    problems: Vec<(Place, String)>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in &self.problems {
            writeln!(f, "{place}: {problem}")?;
        }
        f.write_str("nothing was sent; correct the manifest")
    }
}

impl std::error::Error for ManifestError {}

impl ManifestError {
    fn one(place: Place, problem: impl fmt::Display) -> Self {
        Self {
            problems: vec![(place, problem.to_string())],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    class: Option<Spanned<String>>,
    labels: Option<Spanned<BTreeMap<String, String>>>,
    annotations: Option<Spanned<BTreeMap<String, String>>>,
    desired: Spanned<Map<String, Value>>,
    running: Option<bool>,
}

impl Manifest {
    /// Reads a file, a folder, or standard input (`-`).
    ///
    /// Of a folder with a `tenure.toml` it is `tenants.yaml`; of another, all `*.yaml`, `*.yml` and
    /// `*.json` in the order of their names.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] with all that is wrong.
    pub fn read(from: &Path) -> Result<Self, ManifestError> {
        let mut texts = Vec::new();
        if from == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| ManifestError::one(whole(from), format!("can't be read: {e}")))?;
            texts.push(("-".to_owned(), text));
        } else {
            for path in files(from)? {
                let text = std::fs::read_to_string(&path)
                    .map_err(|e| ManifestError::one(whole(&path), format!("can't be read: {e}")))?;
                texts.push((path.display().to_string(), text));
            }
        }
        Self::parse(
            texts
                .iter()
                .map(|(file, text)| (file.as_str(), text.as_str())),
        )
    }

    /// Reads texts, each with the name of its file.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] with all that is wrong.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        let mut seen = BTreeMap::new();
        let mut wrong = ManifestError::default();
        for (file, text) in texts {
            match documents(file, text) {
                Ok(written) => {
                    for one in written {
                        let Some(entry) = take(file, one, &mut wrong) else {
                            continue;
                        };
                        match seen.insert(entry.name.clone(), entry.place.clone()) {
                            None => manifest.entries.push(entry),
                            Some(first) => wrong.problems.push((
                                entry.place,
                                format!("{} is written here and at {first}; keep one", entry.name),
                            )),
                        }
                    }
                }
                Err(problem) => wrong.problems.push(problem),
            }
        }
        if wrong.problems.is_empty() {
            Ok(manifest)
        } else {
            Err(wrong)
        }
    }

    /// Refuses a manifest that holds nothing: a wrong file must not pass for one that is applied.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] if there is no tenant in it.
    pub fn of_some(self, from: &Path) -> Result<Self, ManifestError> {
        if self.entries.is_empty() {
            return Err(ManifestError::one(whole(from), "holds no tenant"));
        }
        Ok(self)
    }

    /// Refuses classes that are not known, if it is known which there are.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] with every tenant whose class is not among them.
    pub fn check_classes(&self, known: &BTreeSet<ClassName>) -> Result<(), ManifestError> {
        let names: Vec<&str> = known.iter().map(ClassName::as_str).collect();
        let help = match names.as_slice() {
            [] => "tenure.toml has no class yet; add [classes.NAME] with exec".to_owned(),
            names => format!("known are {}", names.join(", ")),
        };
        let problems: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry, entry.class.clone().unwrap_or_default()))
            .filter(|(_, class)| !known.contains(class))
            .map(|(entry, class)| {
                (
                    entry.place.clone(),
                    format!("{} is of class {class}; {help}", entry.name),
                )
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ManifestError { problems })
        }
    }
}

/// Checks one document; `None` if it breaks a rule, which is then among what is wrong.
fn take(file: &str, written: Written, wrong: &mut ManifestError) -> Option<Entry> {
    let at = |line: u64| Place {
        file: file.to_owned(),
        line,
        column: 0,
    };
    let place = at(written.name.referenced.line());
    let before = wrong.problems.len();
    let mut check = |line: u64, invalid: Invalid| {
        let problem = format!(
            "{} of {}: {}",
            invalid.field(),
            written.name.value,
            invalid.rule()
        );
        wrong.problems.push((at(line), problem));
    };
    let name = written
        .name
        .value
        .parse()
        .map_err(|e| check(place.line, e))
        .ok();
    let class = written.class.and_then(|class| {
        class
            .value
            .parse()
            .map_err(|e| check(class.referenced.line(), e))
            .ok()
    });
    let labels = written.labels.and_then(|labels| {
        Labels::parse(labels.value)
            .map_err(|e| check(labels.referenced.line(), e))
            .ok()
    });
    let annotations = written.annotations.and_then(|notes| {
        Annotations::parse(notes.value)
            .map_err(|e| check(notes.referenced.line(), e))
            .ok()
    });
    let line = written.desired.referenced.line();
    let desired = Document::from_value(&Value::Object(written.desired.value))
        .map_err(|e| check(line, Invalid::new("desired", e.rule())))
        .ok();
    if wrong.problems.len() > before {
        return None;
    }
    let running = written.running;
    Some(Entry {
        name: name?,
        class,
        labels,
        annotations,
        desired: desired?,
        running,
        place,
    })
}

fn whole(path: &Path) -> Place {
    Place {
        file: path.display().to_string(),
        line: 0,
        column: 0,
    }
}

fn documents(file: &str, text: &str) -> Result<Vec<Written>, (Place, String)> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: None,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let ((line, column), said) = yaml::problem(&error);
        let file = file.to_owned();
        (Place { file, line, column }, said)
    })
}

fn files(from: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    if !from.is_dir() {
        return Ok(vec![from.to_owned()]);
    }
    if from.join(crate::config::FILE_NAME).exists() {
        return Ok(vec![from.join(FILE_NAME)]);
    }
    let unreadable = |e| ManifestError::one(whole(from), format!("can't be read: {e}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(from).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    if files.is_empty() {
        let problem = "holds no *.yaml, *.yml or *.json; name a file or another folder";
        return Err(ManifestError::one(whole(from), problem));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse([("t.yaml", text)]).map_err(|e| e.to_string())
    }

    #[test]
    fn documents_are_read_in_order_with_their_lines() {
        let manifest = parse(
            "# a comment\n---\nname: acme\nclass: shared\nlabels: {country: no, n: 24}\ndesired:\n  \
             seats: 3\n  word: no\n---\nname: b\nrunning: false\ndesired: {}\n",
        )
        .unwrap();
        let [acme, b] = manifest.entries.as_slice() else {
            panic!("{manifest:?}")
        };
        assert_eq!(acme.place.to_string(), "t.yaml:3");
        assert_eq!(acme.labels.as_ref().unwrap().get("country"), Some("no"));
        assert_eq!(acme.labels.as_ref().unwrap().get("n"), Some("24"));
        assert_eq!(acme.desired.as_str(), r#"{"seats":3,"word":"no"}"#);
        assert_eq!((acme.running, b.running), (None, Some(false)));
        assert_eq!((b.place.line, &b.class, &b.labels), (10, &None, &None));
    }

    #[test]
    fn json_is_read_too() {
        let manifest = parse(r#"{"name": "acme", "desired": {"a": [1, 2.5, null, "x"]}}"#).unwrap();
        assert_eq!(
            manifest.entries[0].desired.as_str(),
            r#"{"a":[1,2.5,null,"x"]}"#
        );
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let error =
            parse("name: a\ndesired: {}\n---\nname: b\nlables: {}\ndesired: {}").unwrap_err();
        assert!(error.starts_with("t.yaml:5:1: "), "{error}");
        assert!(error.contains("did you mean labels?"), "{error}");
    }

    #[test]
    fn two_tenants_of_one_name_are_refused_with_both_places() {
        let texts = [
            ("a.yaml", "name: x\ndesired: {}"),
            ("b.yaml", "\nname: x\ndesired: {}"),
        ];
        let error = Manifest::parse(texts).unwrap_err().to_string();
        assert!(
            error.starts_with("b.yaml:2: x is written here and at a.yaml:1; keep one"),
            "{error}"
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let error = parse(
            "name: Acme\ndesired: {}\n---\nname: b\nlabels: {'a b': c}\ndesired: {n: 9007199254740993}",
        )
        .unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert!(
            lines[0].starts_with("t.yaml:1: name of Acme: must be 1 to 63"),
            "{error}"
        );
        assert!(
            lines[1].starts_with("t.yaml:5: labels of b: has the key \"a b\""),
            "{error}"
        );
        assert!(
            lines[2].starts_with("t.yaml:6: desired of b: must hold whole numbers"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_line() {
        for (text, line, word) in [
            ("name: a\n", 1, "desired"),
            ("name: a\ndesired: [1]\n", 2, "map"),
            ("name: a\nname: b\ndesired: {}", 2, "name stands twice"),
            ("name: a\ndesired: {\n", 2, "unclosed"),
            ("- name: a\n", 1, ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("t.yaml:"), "{text:?}: {error}");
            assert!(error.contains(word), "{text:?}: {error}");
            assert!(
                error.contains(&format!("t.yaml:{line}:")),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn a_class_that_is_not_known_is_refused() {
        let manifest = parse("name: a\nclass: gold\ndesired: {}").unwrap();
        let known = BTreeSet::from(["shared".parse().unwrap()]);
        let error = manifest.check_classes(&known).unwrap_err().to_string();
        assert!(
            error.starts_with("t.yaml:1: a is of class gold; known are shared"),
            "{error}"
        );
    }
}
