//! The statements, one a file under `sql/`. Each is prepared and planned by a test.

macro_rules! statements {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../sql/", $file, ".sql"));)*
        /// All of them, by the name of the file.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($file, $name),)*];
    };
}

statements! {
    ADD_TOKEN = "add_token";
    AS_OF = "as_of";
    AS_OF_TIME = "as_of_time";
    CHANGES = "changes";
    CHANGES_END = "changes_end";
    CLAIM = "claim";
    COUNT = "count";
    DOCUMENTS = "documents";
    DROP_CONDITION = "drop_condition";
    DROP_LABEL = "drop_label";
    DUE = "due";
    END_WORK = "end_work";
    FACET_CONDITIONS = "facet_conditions";
    FACET_LABELS = "facet_labels";
    FACETS = "facets";
    FREE = "free";
    GET = "get";
    GET_BY_NAME = "get_by_name";
    GET_MANY = "get_many";
    HEAD = "head";
    HISTORY = "history";
    HISTORY_NEWEST = "history_newest";
    HISTORY_SELECTED = "history_selected";
    HISTORY_SELECTED_NEWEST = "history_selected_newest";
    KEEP_WORK = "keep_work";
    KEY_USED = "key_used";
    LINE_HASH = "line_hash";
    LOAD = "load";
    NAME_TAKEN = "name_taken";
    NEXT_DUE = "next_due";
    NOTE_TOKEN_USES = "note_token_uses";
    READINESS = "readiness";
    RELEASE = "release";
    REMEMBER = "remember";
    RENEW = "renew";
    REVOKE_TOKEN = "revoke_token";
    ROTATE_TOKEN = "rotate_token";
    STANDING = "standing";
    SWEEP_FEED = "sweep_feed";
    SWEEP_KEYS = "sweep_keys";
    TOKEN = "token";
    TOKEN_OF = "token_of";
    TOKENS = "tokens";
    WAKE_WORK = "wake_work";
    WRITE_CONDITION = "write_condition";
    WRITE_DOCUMENT = "write_document";
    WRITE_FEED = "write_feed";
    WRITE_HISTORY = "write_history";
    WRITE_LABEL = "write_label";
    WRITE_TENANT = "write_tenant";
    WRITE_WORK = "write_work";
}
