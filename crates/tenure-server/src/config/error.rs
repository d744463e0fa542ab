//! What is wrong with a configuration, and where.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is no TOML. The line itself is not said: there may be a password in it.
    #[error("{path}:{line}: {why}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Why.
        why: String,
    },
    /// A value has the wrong type.
    #[error("{path}:{line}: {key} {rule}")]
    Type {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key, with the tables that it is in.
        key: String,
        /// What the value must be, starting with a verb.
        rule: String,
    },
    /// A key is not known.
    #[error("{path}:{line}: unknown key {key}; {help}")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key, with the tables that it is in.
        key: String,
        /// The nearest key that is known, or all of them.
        help: String,
    },
    /// A value breaks a rule.
    #[error("{path}{}: {key} {rule}", line.map_or_else(String::new, |line| format!(":{line}")))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, if the key or its table stands in one.
        line: Option<usize>,
        /// The key, with the tables that it is in.
        key: String,
        /// What the value must be, starting with a verb.
        rule: String,
    },
    /// A variable that begins with `TENURE_` is not known.
    #[error("unknown environment variable {name}; {help}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The nearest that is known, or what to do.
        help: String,
    },
    /// The value of a variable breaks a rule. The value is not said: it may be secret.
    #[error("environment variable {name}: {rule}")]
    Variable {
        /// Its name.
        name: String,
        /// What the value must be, starting with a verb.
        rule: String,
    },
    /// The value of a flag breaks a rule.
    #[error("flag {name}: {rule}")]
    Flag {
        /// Its name.
        name: &'static str,
        /// What the value must be, starting with a verb.
        rule: String,
    },
    /// There are several mistakes.
    #[error("{} mistakes in the configuration{}", .0.len(), lines(.0))]
    Several(Vec<Self>),
}

impl ConfigError {
    /// One error of all that were found, in the order of their lines.
    pub(super) fn of_all(mut wrong: Vec<Self>) -> Self {
        wrong.sort_by_key(|error| error.line().map_or((true, 0), |line| (false, line)));
        match wrong.pop() {
            Some(only) if wrong.is_empty() => only,
            last => {
                wrong.extend(last);
                Self::Several(wrong)
            }
        }
    }
}

impl ConfigError {
    const fn line(&self) -> Option<usize> {
        match self {
            Self::Syntax { line, .. } | Self::Type { line, .. } | Self::UnknownKey { line, .. } => {
                Some(*line)
            }
            Self::Invalid { line, .. } => *line,
            _ => None,
        }
    }

    /// The key that could not be read, if it is one.
    pub(super) fn unread(&self) -> Option<&str> {
        match self {
            Self::Type { key, .. } | Self::UnknownKey { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Whether it leaves nothing that could be checked.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Syntax { .. })
    }
}

fn lines(wrong: &[ConfigError]) -> String {
    wrong.iter().fold(String::new(), |mut text, error| {
        // Writing to a string can't fail.
        let _written = write!(text, "\n  {error}");
        text
    })
}
