//! Whether a store can serve, and if not, what to do.

use std::fmt;

use serde::Serialize;

/// Whether a store can serve, and if not, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "readiness", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Readiness {
    /// It can.
    Ready {
        /// The level of its schema.
        schema: u32,
    },
    /// It has no schema yet.
    NotMigrated,
    /// Its schema is older than this binary can use.
    TooOld {
        /// What it has.
        schema: u32,
        /// What this binary needs at least.
        needed: u32,
    },
    /// Its schema is newer than this binary can use.
    TooNew {
        /// The level that a binary must know to use it.
        needed: u32,
        /// The level that this binary knows.
        known: u32,
    },
    /// It can be read but not written.
    ReadOnly,
    /// It would acknowledge what a crash can take back.
    NotDurable,
    /// It does not answer.
    Unreachable {
        /// Why, without hosts or secrets.
        why: String,
    },
}

impl Readiness {
    /// Whether it can serve.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// Judges a schema by its own statement and by the levels that this binary supports.
    pub fn judge(schema: SchemaLevels, lowest: u32, highest: u32) -> Self {
        if schema.min_writer > highest {
            Self::TooNew {
                needed: schema.min_writer,
                known: highest,
            }
        } else if schema.level < lowest {
            Self::TooOld {
                schema: schema.level,
                needed: lowest,
            }
        } else {
            Self::Ready {
                schema: schema.level,
            }
        }
    }
}

/// What a schema says about who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaLevels {
    /// The newest migration that was applied.
    pub level: u32,
    /// The lowest level that a binary must know to read it.
    pub min_reader: u32,
    /// The lowest level that a binary must know to write it.
    pub min_writer: u32,
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { schema } => write!(f, "ready, schema level {schema}"),
            Self::NotMigrated => f.write_str("the database has no schema; run `tenure migrate`"),
            Self::TooOld { schema, needed } => write!(
                f,
                "the schema is at level {schema} and this binary needs {needed}; run `tenure migrate`"
            ),
            Self::TooNew { needed, known } => write!(
                f,
                "the schema needs a binary that knows level {needed} and this one knows {known}; \
                 run a newer tenure"
            ),
            Self::ReadOnly => f.write_str("the database takes no writes; connect to the primary"),
            Self::NotDurable => f.write_str(
                "the database acknowledges writes before they are on disk; set synchronous_commit \
                 to on for this role and database",
            ),
            Self::Unreachable { why } => write!(f, "the database does not answer: {why}"),
        }
    }
}
