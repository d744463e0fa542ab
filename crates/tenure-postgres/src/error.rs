//! What PostgreSQL and its driver say, in the words of the port.

use std::fmt;

use deadpool_postgres::PoolError;
use tenure::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Whether a statement may already have run when the trouble began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was not sent, or it only reads.
    Harmless,
    /// It writes, and was sent.
    Write,
}

/// How a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A rule of the schema refused it; the statement was undone whole.
    Rule(String),
    /// Nothing was written, and the same statement may well succeed at once.
    Again(StoreError),
    /// The connection's prepared statements are stale; nothing ran.
    Stale(StoreError),
    /// The schema is not what this binary knows.
    Schema(StoreError),
    /// All else.
    Store(StoreError),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rule(rule) => Self::Rejected { rule },
            Failure::Again(error)
            | Failure::Stale(error)
            | Failure::Schema(error)
            | Failure::Store(error) => error,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A cause that can be logged: the code and the sentence, without the detail, which holds row
/// contents, and without the statement.
#[derive(Debug)]
pub(crate) struct Cause(String);

impl Cause {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// Renders a driver's error without detail and statement.
pub(crate) fn cause(error: &Error) -> Cause {
    if let Some(db) = error.as_db_error() {
        let rule = db
            .constraint()
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        return Cause(format!("{}: {}{rule}", db.code().code(), db.message()));
    }
    match std::error::Error::source(error) {
        Some(source) => Cause(format!("{error}: {source}")),
        None => Cause(error.to_string()),
    }
}

/// An unavailable store, or an unknown outcome, by what was sent.
pub(crate) fn lost(sent: Sent, cause: Cause) -> StoreError {
    match sent {
        Sent::Harmless => StoreError::Unavailable(Box::new(cause)),
        Sent::Write => StoreError::OutcomeUnknown(Box::new(cause)),
    }
}

/// Judges what a statement's failure means.
pub(crate) fn judge(error: &Error, sent: Sent) -> Failure {
    let why = cause(error);
    let Some(db) = error.as_db_error() else {
        return Failure::Store(without_code(error, sent, why));
    };
    let rule = || {
        db.constraint()
            .or_else(|| db.column())
            .unwrap_or("unnamed")
            .to_owned()
    };
    match db.code().code() {
        "40003" | "57P01" | "57P02" | "57P05" => Failure::Store(lost(sent, why)),
        "40001" | "40P01" => Failure::Again(StoreError::Unavailable(Box::new(why))),
        "26000" | "42P05" | "0A000" => {
            let hint = format!("{why}; behind a connection pooler, use statements=unnamed");
            Failure::Stale(StoreError::Backend(Box::new(Cause(hint))))
        }
        "57P03" | "55000" => Failure::Store(StoreError::Unavailable(Box::new(why))),
        "25006" => Failure::Store(StoreError::ReadOnly),
        "53100" => Failure::Store(StoreError::Full),
        "57014" | "55P03" => Failure::Store(StoreError::Overloaded),
        "42P01" | "42703" | "42883" => Failure::Schema(StoreError::Backend(Box::new(why))),
        "TN001" => Failure::Rule(rule()),
        "22P02" | "22021" | "XX001" | "XX002" => Failure::Store(StoreError::Corrupt {
            what: why.to_string(),
        }),
        code if code.starts_with("53") => Failure::Store(StoreError::Overloaded),
        code if code.starts_with("23") => Failure::Rule(rule()),
        code if code.starts_with("08") || code.starts_with("28") => Failure::Store(lost(sent, why)),
        _ => Failure::Store(StoreError::Backend(Box::new(why))),
    }
}

/// An error that the server did not send: the connection broke, or a value could not be spelled.
fn without_code(error: &Error, sent: Sent, why: Cause) -> StoreError {
    let never_sent = why.0.starts_with("error serializing parameter");
    if never_sent || error.code() == Some(&SqlState::UNDEFINED_OBJECT) {
        return StoreError::Backend(Box::new(why));
    }
    lost(sent, why)
}

/// What it means that no connection was to be had: nothing was sent.
pub(crate) fn no_connection(error: &PoolError) -> StoreError {
    match error {
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => StoreError::Overloaded,
        PoolError::Closed => StoreError::Closed,
        PoolError::Backend(error) => match error.code().map(SqlState::code) {
            Some(code) if code.starts_with("53") => StoreError::Overloaded,
            _ => StoreError::Unavailable(Box::new(cause(error))),
        },
        _ => StoreError::Unavailable(Box::new(Cause::new("no connection in time"))),
    }
}

/// Why no connection was to be had, for people: without hosts and secrets.
pub(crate) fn unreachable(error: &PoolError) -> String {
    let PoolError::Backend(error) = error else {
        return "no connection in time".to_owned();
    };
    let words = match error.code().map(SqlState::code) {
        Some("28P01" | "28000") => "user or password were refused, or TLS is required",
        Some("3D000") => "there is no such database",
        Some("57P03") => "it is starting up or shutting down",
        Some("53300") => "it has too many connections",
        Some("08P01") => "a connection pooler refused the startup options; use server_timeouts=off",
        Some(code) => return format!("it refused the connection with SQLSTATE {code}"),
        None if error.to_string().contains("TLS") => "the TLS handshake failed",
        None => "no connection could be made",
    };
    words.to_owned()
}
