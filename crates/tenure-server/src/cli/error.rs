//! How a command ends: a stable exit code, and a message that says what to do.

use std::fmt;
use std::process::ExitCode;

use tenure::TenantName;

/// The exit codes. Scripts compare them, so they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// There is nothing more to do.
    Done = 0,
    /// It failed.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no such tenant.
    NotFound = 3,
    /// The tenant is not as the command needs it.
    Conflict = 4,
    /// It was not so in time.
    Timeout = 5,
    /// It is not known who asks, or they may not.
    Denied = 6,
    /// `diff` could not compare.
    Uncompared = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Conflict => 4,
            Exit::Timeout => 5,
            Exit::Denied => 6,
            Exit::Uncompared => 7,
        })
    }
}

/// An error with an exit code of its own; any other error exits with 1.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) exit: Exit,
    message: String,
    /// The name that no living tenant has, if that is why.
    missing: Option<TenantName>,
}

impl Failed {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            missing: None,
        }
    }

    /// An exit code for what was told already.
    pub(crate) fn told(exit: Exit) -> Self {
        Self::new(exit, String::new())
    }

    /// The same, because no living tenant has this name.
    pub(super) fn missing(mut self, name: Option<TenantName>) -> Self {
        self.missing = name;
        self
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

/// What may pass: the server was not reached, or could not take the request now.
#[derive(Debug)]
pub(super) struct Passing(pub(super) anyhow::Error);

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Passing {}

/// Whether it may be different in a while, as when a server is started anew.
pub(super) fn may_pass(error: &anyhow::Error) -> bool {
    error.is::<Passing>()
}

/// The exit code of any error.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    failed(error).map_or(Exit::Error, |failed| failed.exit)
}

/// The name that no living tenant has, if that is what is wrong.
pub(super) fn missing_in(error: &anyhow::Error) -> Option<&TenantName> {
    failed(error)?.missing.as_ref()
}

fn failed(error: &anyhow::Error) -> Option<&Failed> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failed>())
}
