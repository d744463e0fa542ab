//! How a command ends: a stable exit code, and a message that says what to do.

use std::fmt;
use std::process::ExitCode;

/// The exit codes. Scripts compare them, so they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
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
}

impl Failed {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl Failed {
    /// An exit code for what was told already.
    pub(crate) const fn told(exit: Exit) -> Self {
        let message = String::new();
        Self { exit, message }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

/// The exit code of any error.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failed>())
        .map_or(Exit::Error, |f| f.exit)
}
