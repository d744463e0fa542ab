//! The statements, each a file under `sql/`, with the types that they take.

use tokio_postgres::types::Type;

/// A statement: its name, its text, and the types of its parameters.
///
/// The types are declared rather than asked for, so that an unnamed statement needs one round trip.
/// A test compares them with what the database infers.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) types: &'static [Type],
}

macro_rules! statements {
    ($($(#[$doc:meta])* $constant:ident = $name:literal ($($kind:ident),*);)*) => {
        $(
            $(#[$doc])*
            pub(crate) static $constant: Statement = Statement {
                name: $name,
                text: include_str!(concat!("../sql/", $name, ".sql")),
                types: &[$(Type::$kind),*],
            };
        )*

        /// All statements.
        pub(crate) static ALL: &[&Statement] = &[$(&$constant),*];
    };
}

statements! {
    ADD_TOKEN = "add_token" (
        TEXT, TEXT, TEXT, TEXT, BYTEA, BYTEA, TIMESTAMPTZ, TIMESTAMPTZ, TEXT, TIMESTAMPTZ,
        TIMESTAMPTZ, TIMESTAMPTZ, TEXT
    );
    AS_OF = "as_of" (UUID, INT8);
    AS_OF_TIME = "as_of_time" (UUID, TIMESTAMPTZ);
    BARRIER = "barrier" ();
    CHANGES = "changes" (TEXT, INT8, INT8);
    CHANGES_END = "changes_end" ();
    CLAIM = "claim" (TEXT, TEXT_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8, INT8);
    COMMIT_CREATE = "commit_create" (
        UUID, TIMESTAMPTZ, INT4, INT4, BOOL, BYTEA, BYTEA, BYTEA, BYTEA, BYTEA, TEXT, TEXT, TEXT,
        TEXT, TEXT, TEXT, TEXT, TEXT, UUID, BYTEA_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        TEXT_ARRAY, INT8, TEXT, TEXT, BYTEA, INT8, BOOL
    );
    COMMIT_FOUND = "commit_found" (UUID, INT8);
    COMMIT_UPDATE = "commit_update" (
        UUID, INT8, TEXT, TIMESTAMPTZ, TEXT, TEXT, BOOL, INT4, INT4, BYTEA, BYTEA, BYTEA, BYTEA,
        BYTEA, TIMESTAMPTZ, TIMESTAMPTZ, TEXT, TEXT, TEXT, TEXT, TEXT, UUID, BYTEA_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8, TEXT_ARRAY, BOOL, INT8,
        BOOL, BOOL, TEXT, TEXT, BYTEA, INT8, BOOL, TEXT
    );
    COUNT = "count" ();
    DOCUMENTS = "documents" (UUID, BYTEA_ARRAY);
    FACETS = "facets" (UUID);
    GET = "get" (UUID);
    GET_BY_NAME = "get_by_name" (TEXT);
    GET_MANY = "get_many" (UUID_ARRAY);
    HISTORY = "history" (UUID, INT8, INT8);
    HISTORY_NEWEST = "history_newest" (UUID, INT8, INT8);
    HISTORY_SELECTED = "history_selected" (UUID, INT8, INT8, BOOL, TEXT_ARRAY);
    HISTORY_SELECTED_NEWEST = "history_selected_newest" (UUID, INT8, INT8, BOOL, TEXT_ARRAY);
    LOAD = "load" (UUID, TEXT, TEXT, TEXT);
    NEXT_DUE = "next_due" (TEXT_ARRAY);
    NOTE_TOKEN_USES = "note_token_uses" (TEXT_ARRAY, TIMESTAMPTZ_ARRAY);
    NOW = "now" ();
    READINESS = "readiness" ();
    RELEASE = "release" (UUID, INT8, INT8, BOOL, TEXT, TEXT, BOOL);
    REMEMBER = "remember" (UUID, INT8, TEXT, TEXT, BYTEA, INT8);
    RENEW = "renew" (UUID, INT8, INT8);
    REVOKE_TOKEN = "revoke_token" (TEXT, TIMESTAMPTZ, TEXT);
    ROTATE_TOKEN = "rotate_token" (TEXT, BYTEA, TIMESTAMPTZ, BYTEA);
    STANDING = "standing" ();
    SWEEP_FEED = "sweep_feed" (INT8, INT8);
    SWEEP_KEYS = "sweep_keys" (INT8);
    TOKEN = "token" (TEXT);
    TOKEN_OF = "token_of" (BYTEA);
    TOKENS = "tokens" (TEXT, INT8);
}

/// Every fixed statement: its name, its text, and the types of its parameters. For the tests that
/// hold them against a database.
#[doc(hidden)]
pub fn statements() -> Vec<(&'static str, &'static str, &'static [Type])> {
    ALL.iter()
        .map(|statement| (statement.name, statement.text, statement.types))
        .collect()
}
