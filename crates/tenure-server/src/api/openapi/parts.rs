//! Parameters and headers that many routes have.

use serde_json::{Map, Value, json};

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Every parameter, by the name that [`super::operations`] has for it.
pub(super) fn parameters() -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, parameter: Value| {
        all.insert(name.to_owned(), parameter);
    };
    let path = |name: &str, what: &str, schema: Value| json!({"name": name, "in": "path", "required": true, "description": what, "schema": schema});
    let query = |name: &str, what: &str, schema: Value| json!({"name": name, "in": "query", "description": what, "schema": schema});
    let header = |name: &str, what: &str| json!({"name": name, "in": "header", "description": what, "schema": {"type": "string"}});
    let who = json!({"anyOf": [schema("TenantId"), schema("TenantName")]});
    let what = "The name of a living tenant, or the id of any.";
    put("tenant", path("tenant", what, who));
    put(
        "name_of_tenant",
        path("tenant", "The tenant's name.", schema("TenantName")),
    );
    put(
        "name_of_token",
        path("name", "The token's name.", schema("ClassName")),
    );
    put(
        "code",
        path("code", "The code of an error.", json!({"type": "string"})),
    );
    let list = |name: &str| json!({"type": "array", "items": schema(name)});
    let mut several = |name: &str, of: &str, what: &str| {
        let mut parameter = query(name, what, list(of));
        if let Value::Object(members) = &mut parameter {
            members.insert("style".to_owned(), json!("form"));
            members.insert("explode".to_owned(), json!(true));
        }
        put(name, parameter);
    };
    several(
        "state",
        "State",
        "In one of these states; repeated, or a list with commas.",
    );
    several(
        "condition",
        "ConditionKind",
        "With all of these conditions.",
    );
    several("kind", "Kind", "Only lines of these kinds.");
    put(
        "class",
        query("class", "Of this class.", schema("ClassName")),
    );
    let what = "With labels that match, as in Kubernetes: `tier in (gold,silver),!legacy`.";
    put(
        "selector",
        query("selector", what, json!({"type": "string"})),
    );
    let prefix = json!({"type": "string", "pattern": "^[a-z0-9-]{0,63}$"});
    put(
        "name_prefix",
        query("name_prefix", "With names that begin so.", prefix),
    );
    for (what, verb) in [
        ("created", "Created"),
        ("updated", "Last changed"),
        ("state_since", "In their state since"),
        ("deleted", "Deleted"),
    ] {
        for (end, says) in [
            ("from", "at this time or later"),
            ("until", "before this time"),
        ] {
            let name = format!("{what}_{end}");
            put(
                &name,
                query(&name, &format!("{verb} {says}."), schema("Timestamp")),
            );
        }
    }
    let flag = || json!({"type": "boolean", "default": false});
    put(
        "include_deleted",
        query("include_deleted", "The deleted too.", flag()),
    );
    let what = "Only the lines that changed the state.";
    put("transitions_only", query("transitions_only", what, flag()));
    let what = "Do every check, answer as if it were done, and write nothing.";
    put("dry_run", query("dry_run", what, flag()));
    let order = json!({"enum": ["asc", "desc"]});
    put(
        "order",
        query("order", "Oldest first, or newest first.", order),
    );
    let size = json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50});
    put("page_size", query("page_size", "How many at most.", size));
    let what = "`next` of the page before, with the same filters.";
    put("page_token", query("page_token", what, schema("Cursor")));
    let what = "`next` of the page before.";
    put(
        "page_token_of_tokens",
        query("page_token", what, schema("ClassName")),
    );
    let view = json!({"enum": ["basic", "full"], "default": "basic"});
    put(
        "view",
        query("view", "Without documents, or each tenant whole.", view),
    );
    let revision = || json!({"type": "integer", "minimum": 0, "maximum": (1_u64 << 53) - 1});
    put(
        "revision",
        query("revision", "As it was after this revision.", revision()),
    );
    put(
        "at",
        query(
            "at",
            "As it was at this time; not with `revision`.",
            schema("Timestamp"),
        ),
    );
    let what = "Lines beyond this revision, in the order of reading.";
    put("after_revision", query("after", what, revision()));
    let what = "Where to read on: `next` of the page before, or `now`. Otherwise the oldest change that is kept.";
    put("after", query("after", what, schema("Cursor")));
    let wait = json!({"type": "integer", "minimum": 0, "maximum": 60, "default": 0});
    let what = "How many seconds an empty page waits for a change; not for a stream.";
    put("wait", query("wait", what, wait));
    let message = schema("Message");
    put(
        "message",
        query("message", "Why, for the history.", message),
    );
    let what = "The revision that must be the tenant's, as its `ETag`: `\"3\"`.";
    put("if_match", header("If-Match", what));
    let what =
        "`*`: there must be none. On a read: revisions, of which the tenant must be at none.";
    put("if_none_match", header("If-None-Match", what));
    let what = "The client's name for this request: sent again under it, it has one effect and one answer.";
    put("idempotency_key", header("Idempotency-Key", what));
    let what = "Where a stream was cut off; goes before `after`.";
    put("last_event_id", header("Last-Event-ID", what));
    let what = "Who history says it was, where nobody must prove it: `user:` and a name.";
    put("tenure_actor", header("Tenure-Actor", what));
    Value::Object(all)
}

/// Every header of answers.
pub(super) fn headers() -> Value {
    let text = |what: &str| json!({"description": what, "schema": {"type": "string"}});
    json!({
        "etag": text("The revision, in quotes."),
        "location": text("Where the new tenant is."),
        "tenure_effect": {"description": "What the write did.", "schema": schema("Effect")},
        "idempotency_replayed": text("`true` if this is the answer of the first send."),
        "tenure_request_id": text("The request's own id, as in the log and in the history."),
        "retry_after": text("After how many seconds to try again."),
    })
}
