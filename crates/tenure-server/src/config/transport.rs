//! How operations reach what makes tenants: a program, an address, or workers that ask for work.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;

use super::class::FileClass;
use super::{Broken, all_noted, broken, made, noted};

/// What of the server's own environment a provisioner gets. Everything else, secrets first, it gets
/// only if its class names it.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// How operations reach what makes the tenants of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever runs operations must know them all"
)]
pub enum Transport {
    /// A program on this machine is run for each.
    Exec(Exec),
    /// Each is sent to an address.
    Http(Http),
    /// Workers ask for them.
    Pull,
}

/// A program to run: nothing here comes from a tenant, and no shell reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program: an absolute path, or a bare name that is looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The folder that it runs in.
    pub folder: PathBuf,
    /// Its whole environment.
    pub environment: BTreeMap<String, OsString>,
}

/// Names the environment and shows nothing of it: that is where secrets are.
impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("folder", &self.folder)
            .field("environment", &self.environment.keys())
            .finish()
    }
}

/// An address to send operations to.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// The address: `https`, or `http` where private addresses are allowed. It has a host and no user.
    pub url: Uri,
    /// The file that holds the secret that requests are signed with; absolute, and not read here.
    pub signing_secret_file: Option<PathBuf>,
    /// Whether the address may be one of a private network or of this machine.
    pub allow_private_addresses: bool,
    /// The certificates that the address is known by, instead of the system's; absolute, not read here.
    pub ca_file: Option<PathBuf>,
}

/// Shows no more of the address than its host: path and query may hold a token.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("host", &self.url.host())
            .field("signing_secret_file", &self.signing_secret_file)
            .field("allow_private_addresses", &self.allow_private_addresses)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Takes from a class what says how it is reached.
    pub(super) fn of(class: &mut FileClass, folder: &Path) -> Result<Self, Vec<Broken>> {
        let (exec, http, pull) = (class.exec.take(), class.http.take(), class.pull.take());
        let mut wrong = Vec::new();
        if exec.is_none()
            && let Some(environment) = &class.env
        {
            let names = environment.len();
            wrong.push(broken(
                "env",
                format!("is for exec only; take it away, with its {names} names"),
            ));
        }
        let for_http = [
            ("signing_secret_file", class.signing_secret_file.is_some()),
            (
                "allow_private_addresses",
                class.allow_private_addresses.is_some(),
            ),
            ("ca_file", class.ca_file.is_some()),
        ];
        if http.is_none() {
            let strange = for_http.into_iter().filter(|(_, is_there)| *is_there);
            wrong.extend(strange.map(|(key, _)| broken(key, "is for http only; take it away")));
        }
        let found = match (exec, http, pull) {
            (Some(exec), None, None) => {
                exec_of(exec, class.env.take().unwrap_or_default(), folder).map(Self::Exec)
            }
            (None, Some(http), None) => http_of(&http, class, folder).map(Self::Http),
            (None, None, Some(true)) => Ok(Self::Pull),
            (None, None, Some(false)) => Err(vec![broken(
                "pull",
                "must be true, or give way to exec or http: something has to make the tenants",
            )]),
            _ => Err(vec![broken(
                "",
                "must have exactly one of exec, http and pull: it says what makes the tenants",
            )]),
        };
        let transport = all_noted(&mut wrong, "", found);
        made(wrong, transport)
    }
}

fn exec_of(
    argv: Vec<String>,
    named: BTreeMap<String, String>,
    folder: &Path,
) -> Result<Exec, Vec<Broken>> {
    let mut wrong = Vec::new();
    let mut argv = argv.into_iter();
    let program = argv.next().filter(|program| !program.is_empty());
    let rule = "must name a program, such as [\"python3\", \"provision.py\"]";
    let program = noted(&mut wrong, program.ok_or_else(|| broken("exec", rule)));
    let is_bad = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
    wrong.extend(named.keys().filter(is_bad).map(|name| {
        let rule = format!("has the name {name:?}, which no environment can hold");
        broken("env", rule)
    }));
    let mut environment = inherited();
    environment.extend(named.into_iter().map(|(name, value)| (name, value.into())));
    let exec = program.map(|program| Exec {
        program: resolve_program(&program, folder),
        arguments: argv.collect(),
        folder: folder.to_owned(),
        environment,
    });
    made(wrong, exec)
}

fn http_of(text: &str, class: &mut FileClass, folder: &Path) -> Result<Http, Vec<Broken>> {
    let mut wrong = Vec::new();
    let private = class.allow_private_addresses.unwrap_or(false);
    let url = address(text, private).map_err(|rule| broken("http", rule));
    let url = noted(&mut wrong, url);
    let mut file = |key, given: Option<String>| match given {
        Some(name) if name.is_empty() => {
            wrong.push(broken(key, "must name a file"));
            None
        }
        given => given.map(|name| folder.join(name)),
    };
    let signing_secret_file = file("signing_secret_file", class.signing_secret_file.take());
    let ca_file = file("ca_file", class.ca_file.take());
    let http = url.map(|url| Http {
        signing_secret_file,
        allow_private_addresses: private,
        ca_file,
        url,
    });
    made(wrong, http)
}

/// Reads the address of an endpoint, or says what it must be.
fn address(text: &str, private: bool) -> Result<Uri, &'static str> {
    let url: Uri = text
        .parse()
        .map_err(|_| "must be a URL such as https://provision.example/v1")?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if private => {}
        Some("http") => {
            return Err(
                "must start with https://; plain http:// needs allow_private_addresses = true, and \
                 anyone on the way reads along",
            );
        }
        _ => return Err("must start with https://"),
    }
    if url.host().is_none_or(str::is_empty) || text.contains('#') {
        return Err("must name a host and have no fragment (#)");
    }
    if authority.contains('@') {
        return Err(
            "must hold no user and no password; requests are signed with signing_secret_file",
        );
    }
    Ok(url)
}

/// What a provisioner gets of the server's environment.
pub(crate) fn inherited() -> BTreeMap<String, OsString> {
    let value = |name: &str| Some((name.to_owned(), std::env::var_os(name)?));
    INHERITED.into_iter().filter_map(value).collect()
}

/// A path is relative to the file; a bare name is for `PATH` to find.
pub(crate) fn resolve_program(program: &str, folder: &Path) -> PathBuf {
    if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    }
}
