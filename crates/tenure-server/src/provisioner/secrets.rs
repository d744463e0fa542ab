//! Secrets: what is wanted may refer to a text that is kept elsewhere.
//!
//! A tenant's `desired` is written by clients of the API, who must not read the server's environment
//! or files with it. So a reference counts only if the tenant's class allows it, and the text that it
//! stands for lives from here to the request: it is never stored, logged or told.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};
use tenure::drift::SECRET_REF;
use tenure::{Document, Invalid};

use super::redact::Redactor;
use super::{Failure, Fault};

/// Most bytes of a secret.
const SECRET_MAX: u64 = 64 * 1024;

/// Most of a reference that an error repeats.
const SHOWN: usize = 200;

/// The secrets that the tenants of a class may refer to; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretSources(Vec<Source>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// What is named, or how its name starts.
    name: Reference,
    is_prefix: bool,
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reference {
    /// A variable of the server's environment.
    Variable(String),
    /// A file of the server.
    File(String),
}

/// What is wanted, with its secrets in place. It has no `Debug`, so that none is written by mistake.
pub(super) struct Resolved {
    /// The content of `desired`.
    pub(super) desired: Value,
    /// Takes the secrets out of what comes back.
    pub(super) redactor: Redactor,
}

impl SecretSources {
    /// Allows what these name: `env:NAME` or `file:/PATH`, exactly or up to one `*` at the end.
    ///
    /// The `*` stands for any characters but `/`, so `file:/etc/shop/*` allows the files of one folder.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the first that is no source, and what it must be.
    pub fn parse<T: AsRef<str>>(sources: impl IntoIterator<Item = T>) -> Result<Self, Invalid> {
        let source = |text: T| Source::parse(text.as_ref());
        sources
            .into_iter()
            .map(source)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn allows(&self, reference: &Reference) -> bool {
        self.0.iter().any(|source| source.allows(reference))
    }

    /// The text that a reference stands for, and where it is kept if it can't be had.
    fn text(&self, value: &Value) -> Result<String, Failure> {
        let named = value.as_str().unwrap_or_default();
        let Some(reference) = Reference::parse(named) else {
            let shown: String = value.to_string().chars().take(SHOWN).collect();
            return Err(Fault::SecretRefused.failure(&format!(
                "desired refers to the secret {shown}, which is no reference; let it be env:NAME, or \
                 file: and an absolute path without .. or empty parts"
            )));
        };
        if !self.allows(&reference) {
            let shown: String = named.chars().take(SHOWN).collect();
            return Err(Fault::SecretRefused.failure(&format!(
                "desired refers to the secret {shown}, which the class does not allow; add {shown:?} \
                 to `secrets` of the class in tenure.toml, or let desired refer to another"
            )));
        }
        let mut text = reference.read().map_err(|why| {
            Fault::SecretMissing.failure(&format!(
                "the secret {named} can't be had on the server: {why}; correct that, or let desired \
                 refer to another"
            ))
        })?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

impl Source {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "secrets",
                format!(
                    "must be a list of env:NAME and file:/PATH, each exact or with one * at its end \
                     after at least one letter or folder, but {text:?} is none"
                ),
            )
        };
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(name) => (name, true),
            None => (text, false),
        };
        // A folder's own name ends with its `/`: whatever is put behind it makes a path.
        let whole = if is_prefix {
            format!("{name}x")
        } else {
            name.to_owned()
        };
        let has_start = !is_prefix || !matches!(name, "env:" | "file:/");
        let name = match Reference::parse(&whole) {
            Some(Reference::Variable(_)) => name
                .strip_prefix("env:")
                .map(str::to_owned)
                .map(Reference::Variable),
            Some(Reference::File(_)) => name
                .strip_prefix("file:")
                .map(str::to_owned)
                .map(Reference::File),
            None => None,
        };
        match name {
            Some(name) if has_start => Ok(Self { name, is_prefix }),
            _ => Err(invalid()),
        }
    }

    fn allows(&self, reference: &Reference) -> bool {
        let ((Reference::Variable(source), Reference::Variable(named))
        | (Reference::File(source), Reference::File(named))) = (&self.name, reference)
        else {
            return false;
        };
        match named.strip_prefix(source.as_str()) {
            Some(rest) => rest.is_empty() || (self.is_prefix && !rest.contains('/')),
            None => false,
        }
    }
}

impl Reference {
    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("env:") {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let starts_well = name.starts_with(|c: char| is_word(c) && !c.is_ascii_digit());
            return (starts_well && name.chars().all(is_word))
                .then(|| Self::Variable(name.to_owned()));
        }
        let path = text.strip_prefix("file:")?;
        let is_name =
            |part: &str| !["", ".", ".."].contains(&part) && !part.contains(char::is_control);
        let is_path = path.strip_prefix('/')?.split('/').all(is_name);
        is_path.then(|| Self::File(path.to_owned()))
    }

    /// Reads it; if it can't be read, says why in words that hold nothing of it.
    fn read(&self) -> Result<String, String> {
        match self {
            Self::Variable(name) => match std::env::var_os(name) {
                None => Err("there is no such variable in its environment".to_owned()),
                Some(text) => within_limit(text.into_encoded_bytes()),
            },
            Self::File(path) => read_file(Path::new(path)),
        }
    }
}

/// Reads a file that stays in its folder, whatever links lead to it.
fn read_file(path: &Path) -> Result<String, String> {
    let why = |error: std::io::Error| error.to_string();
    let folder = path.parent().unwrap_or(path).canonicalize().map_err(why)?;
    let real = path.canonicalize().map_err(why)?;
    if !real.starts_with(&folder) {
        return Err("it is a link that leads out of its folder".to_owned());
    }
    // A pipe would let the run wait for its writer.
    if !real.metadata().map_err(why)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(real).map_err(why)?;
    file.take(SECRET_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(why)?;
    within_limit(bytes)
}

fn within_limit(bytes: Vec<u8>) -> Result<String, String> {
    if u64::try_from(bytes.len()).map_or(true, |length| length > SECRET_MAX) {
        return Err(format!("it has more than {SECRET_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())
}

/// Puts secrets in the place of what refers to them. Blocks for as long as reading files takes.
///
/// # Errors
///
/// [`Fault::SecretRefused`] and [`Fault::SecretMissing`] name the reference, never the secret.
pub(super) fn resolve(desired: &Value, allowed: &SecretSources) -> Result<Resolved, Failure> {
    let mut desired = desired.clone();
    let mut secrets = Vec::new();
    if desired.as_object().is_some_and(is_reference) {
        return Err(Fault::SecretRefused.failure(
            "the whole of desired is a reference to a secret; let one of its values be the reference",
        ));
    }
    put(&mut desired, allowed, &mut secrets)?;
    Ok(Resolved {
        desired,
        redactor: Redactor::new(secrets),
    })
}

/// As [`resolve`], without blocking.
pub(super) async fn resolve_document(
    desired: &Document,
    allowed: &SecretSources,
) -> Result<Resolved, Failure> {
    let value = desired.to_value();
    if !desired.as_str().contains(SECRET_REF) {
        return resolve(&value, allowed);
    }
    let allowed = allowed.clone();
    match tokio::task::spawn_blocking(move || resolve(&value, &allowed)).await {
        Ok(resolved) => resolved,
        Err(_crash) => Err(unread()),
    }
}

/// Takes the secrets out of what comes back that `desired` refers to and that can be had now.
///
/// One that can't be had any more hides none of the others.
///
/// # Errors
///
/// That they could not be looked for at all.
pub(super) async fn redactor(
    desired: &Document,
    allowed: &SecretSources,
) -> Result<Redactor, Failure> {
    if !desired.as_str().contains(SECRET_REF) {
        return Ok(Redactor::default());
    }
    let (value, allowed) = (desired.to_value(), allowed.clone());
    let found = tokio::task::spawn_blocking(move || {
        let mut secrets = Vec::new();
        find(&value, &allowed, &mut secrets);
        Redactor::new(secrets)
    });
    found.await.map_err(|_crash| unread())
}

fn find(value: &Value, allowed: &SecretSources, secrets: &mut Vec<String>) {
    match value {
        Value::Object(object) if is_reference(object) => {
            let reference = object.get(SECRET_REF).unwrap_or(&Value::Null);
            secrets.extend(allowed.text(reference));
        }
        Value::Object(object) => object
            .values()
            .for_each(|value| find(value, allowed, secrets)),
        Value::Array(items) => items.iter().for_each(|item| find(item, allowed, secrets)),
        _ => {}
    }
}

fn unread() -> Failure {
    Fault::SecretMissing
        .failure("the secrets of desired could not be read; find out why in the server's log")
}

fn put(
    value: &mut Value,
    allowed: &SecretSources,
    secrets: &mut Vec<String>,
) -> Result<(), Failure> {
    match value {
        Value::Object(object) if is_reference(object) => {
            let text = allowed.text(object.get(SECRET_REF).unwrap_or(&Value::Null))?;
            secrets.push(text.clone());
            *value = Value::String(text);
            Ok(())
        }
        Value::Object(object) => object
            .values_mut()
            .try_for_each(|value| put(value, allowed, secrets)),
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| put(item, allowed, secrets)),
        _ => Ok(()),
    }
}

fn is_reference(object: &Map<String, Value>) -> bool {
    object.len() == 1 && object.contains_key(SECRET_REF)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn sources(texts: &[&str]) -> SecretSources {
        SecretSources::parse(texts).unwrap()
    }

    fn one(reference: &str, allowed: &SecretSources) -> Result<String, String> {
        let desired = json!({"list": [{"deep": {"secret_ref": reference}}], "plan": "gold"});
        let resolved =
            resolve(&desired, allowed).map_err(|f| format!("{}: {}", f.reason, f.message))?;
        assert_eq!(resolved.desired["plan"], "gold");
        let text = resolved.desired["list"][0]["deep"].as_str();
        Ok(text.expect("a text stands there").to_owned())
    }

    #[test]
    fn nothing_is_allowed_but_what_the_class_lists() {
        let error = one("env:CARGO_PKG_NAME", &SecretSources::default()).unwrap_err();
        assert!(
            error.starts_with("SecretRefused") && error.contains("add \"env:CARGO_PKG_NAME\""),
            "{error}"
        );
        let listed = sources(&["env:CARGO_PKG_*", "env:CARGO_PKG"]);
        assert_eq!(one("env:CARGO_PKG_NAME", &listed).unwrap(), "tenure-server");
        assert!(
            one("env:CARGO_MANIFEST_DIR", &listed)
                .unwrap_err()
                .starts_with("SecretRefused")
        );
        let error = one("env:CARGO_PKG_NO_SUCH", &listed).unwrap_err();
        assert!(
            error.starts_with("SecretMissing") && error.contains("env:CARGO_PKG_NO_SUCH"),
            "{error}"
        );
    }

    #[test]
    fn files_stay_in_their_folder() {
        let outside = TempDir::new().unwrap();
        let folder = outside.path().join("secrets");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(folder.join(name), text).unwrap();
        write("db", b"hunter2\n");
        write("deep/db", b"deeper");
        write("big", &vec![b'x'; 64 * 1024 + 1]);
        write("binary", &[0xff, 0xfe]);
        std::fs::write(outside.path().join("other"), "other").unwrap();
        std::os::unix::fs::symlink(folder.join("deep/db"), folder.join("inner")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("other"), folder.join("outer")).unwrap();
        let name = folder.to_str().unwrap();
        let allowed = sources(&[&format!("file:{name}/*")]);
        let read = |path: &str| one(&format!("file:{name}/{path}"), &allowed);
        assert_eq!(read("db").unwrap(), "hunter2");
        assert_eq!(read("inner").unwrap(), "deeper");
        for (path, says) in [
            ("outer", "SecretMissing: the secret"),
            ("outer", "leads out of its folder"),
            ("none", "SecretMissing"),
            ("deep", "it is no file"),
            ("big", "more than 65536 bytes"),
            ("binary", "no UTF-8"),
            ("deep/db", "SecretRefused"),
            ("../other", "SecretRefused"),
            ("./db", "SecretRefused"),
            ("/db", "SecretRefused"),
        ] {
            let error = read(path).unwrap_err();
            assert!(error.contains(says), "{path}: {error}");
        }
    }

    #[test]
    fn only_an_object_of_that_one_key_is_a_reference() {
        let desired = json!({"a": {"secret_ref": "env:X", "b": 1}, "secret_ref": "env:X"});
        let resolved = resolve(&desired, &SecretSources::default()).ok().unwrap();
        assert_eq!(resolved.desired, desired);
        for bad in [
            json!({"a": {"secret_ref": 3}}),
            json!({"secret_ref": "env:X"}),
            json!({"a": {"secret_ref": "vault:x"}}),
        ] {
            let failure = resolve(&bad, &SecretSources::default()).err().unwrap();
            assert_eq!(failure.reason.as_str(), "SecretRefused");
            assert!(!failure.permanent);
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for bad in [
            "env:*",
            "file:/*",
            "*",
            "X",
            "env:A*B",
            "env:A**",
            "env:1A",
            "file:a",
            "file:/a/../b",
            "file:/a//b",
            "file:/a/",
            "file:/a/../*",
            "file://*",
            "",
        ] {
            let error = SecretSources::parse([bad]).unwrap_err();
            assert!(
                error.to_string().starts_with("secrets must be"),
                "{bad}: {error}"
            );
        }
        assert!(
            SecretSources::parse(["env:A*", "env:A", "file:/a", "file:/a/*", "file:/a/b_*"])
                .is_ok()
        );
    }
}
