//! What the API can be asked: one row for each route.

use super::super::code::Code;

/// A route, as the document describes it.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    /// What it does, in a sentence.
    pub(super) summary: &'static str,
    /// Which parameters it takes, by their names in `components.json`.
    pub(super) parameters: &'static [&'static str],
    pub(super) body: Body,
    /// The status of a good answer, and what is in it.
    pub(super) answers: &'static [(u16, Content)],
    /// What it is refused with, beside what every route is.
    pub(super) refusals: &'static [Code],
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Body {
    None,
    /// JSON of this schema.
    Json(&'static str),
    /// The same, which may be left out.
    MaybeJson(&'static str),
    /// A merge patch of this schema.
    Patch(&'static str),
    /// Lines of this schema.
    Lines(&'static str),
}

/// What is answered.
#[derive(Clone, Copy)]
pub(super) enum Content {
    None,
    /// JSON of this schema, or lists of this one or that.
    Json(&'static str),
    Either(&'static str, &'static str),
    /// Lines of this schema.
    Lines(&'static str),
    /// JSON of this schema, or events.
    Events(&'static str),
    Text,
    Page,
    Document,
}

const READ: &[Code] = &[Code::Invalid];
const READ_ONE: &[Code] = &[Code::Invalid, Code::TenantNotFound];
const VERB: &[Code] = &[
    Code::Invalid,
    Code::InvalidJson,
    Code::UnsupportedMediaType,
    Code::TenantNotFound,
    Code::TenantDeleting,
    Code::TenantDeleted,
    Code::RevisionConflict,
    Code::PreconditionRequired,
    Code::IdempotencyKeyReused,
];
const WRITE: &[Code] = &[
    Code::Invalid,
    Code::InvalidJson,
    Code::UnsupportedMediaType,
    Code::TenantExists,
    Code::NameTaken,
    Code::IdTaken,
    Code::TenantDeleting,
    Code::ClassFixed,
    Code::UnknownClass,
    Code::SchemaViolation,
    Code::RevisionConflict,
    Code::PreconditionRequired,
    Code::IdempotencyKeyReused,
];
const PATCH: &[Code] = &[
    Code::Invalid,
    Code::InvalidJson,
    Code::UnsupportedMediaType,
    Code::TenantNotFound,
    Code::TenantDeleting,
    Code::TenantDeleted,
    Code::SchemaViolation,
    Code::RevisionConflict,
    Code::PreconditionRequired,
    Code::IdempotencyKeyReused,
];
const WORK: &[Code] = &[
    Code::Invalid,
    Code::InvalidJson,
    Code::UnsupportedMediaType,
    Code::LeaseLost,
    Code::AnswerInvalid,
    Code::ReportOutOfOrder,
];
const TOKEN: &[Code] = &[
    Code::Invalid,
    Code::InvalidJson,
    Code::UnsupportedMediaType,
    Code::TokenNotFound,
    Code::TokenExists,
    Code::TokenRevoked,
];
const FILTERS: [&str; 14] = [
    "state",
    "class",
    "condition",
    "selector",
    "name_prefix",
    "created_from",
    "created_until",
    "updated_from",
    "updated_until",
    "state_since_from",
    "state_since_until",
    "deleted_from",
    "deleted_until",
    "include_deleted",
];

/// All filters of lists, and these.
const fn and_filters<const N: usize, const M: usize>(more: [&'static str; N]) -> [&'static str; M] {
    let mut all = [""; M];
    let mut at = 0;
    while at < M {
        all[at] = if at < FILTERS.len() {
            FILTERS[at]
        } else {
            more[at - FILTERS.len()]
        };
        at += 1;
    }
    all
}
const LIST: &[&str] = &and_filters::<4, 18>(["order", "page_size", "page_token", "view"]);
const ALL_FILTERS: &[&str] = &FILTERS;
const CHANGE: &[&str] = &["tenant", "dry_run", "if_match", "idempotency_key"];
const TENANT: &[(u16, Content)] = &[(200, Content::Json("Tenant"))];

const fn read(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: &'static [&'static str],
    answers: &'static [(u16, Content)],
    refusals: &'static [Code],
) -> Operation {
    Operation {
        method: "GET",
        path,
        id,
        summary,
        parameters,
        body: Body::None,
        answers,
        refusals,
    }
}

const fn verb(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation {
        method: "POST",
        path,
        id,
        summary,
        parameters: CHANGE,
        body: Body::MaybeJson("VerbBody"),
        answers: TENANT,
        refusals: VERB,
    }
}

const fn write(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: &'static [&'static str],
    (body, answers, refusals): (Body, &'static [(u16, Content)], &'static [Code]),
) -> Operation {
    Operation {
        method,
        path,
        id,
        summary,
        parameters,
        body,
        answers,
        refusals,
    }
}

/// Every route of [`RULES`](super::super::RULES).
pub(super) const OPERATIONS: &[Operation] = &[
    write(
        "POST",
        "/v1/tenants",
        "createTenant",
        "Creates a tenant. Exactly the same as one that there is answers 200.",
        &["dry_run", "if_there_is_none", "idempotency_key"],
        (
            Body::Json("CreateBody"),
            &[
                (200, Content::Json("Tenant")),
                (201, Content::Json("Tenant")),
            ],
            WRITE,
        ),
    ),
    read(
        "/v1/tenants",
        "listTenants",
        "Lists tenants, in the order of their creation.",
        LIST,
        &[(200, Content::Either("TenantPage", "FullTenantPage"))],
        &[Code::Invalid, Code::CursorInvalid],
    ),
    read(
        "/v1/tenants/{tenant}",
        "getTenant",
        "Gets a tenant, as it is or as it was.",
        &["tenant", "revision", "at", "if_none_match"],
        &[(200, Content::Json("Tenant")), (304, Content::None)],
        &[Code::Invalid, Code::TenantNotFound, Code::RevisionNotFound],
    ),
    write(
        "PUT",
        "/v1/tenants/{tenant}",
        "applyTenant",
        "Creates the tenant of this name, or changes what is wanted of it to exactly this.",
        &[
            "name_of_tenant",
            "dry_run",
            "if_match",
            "if_there_is_none",
            "idempotency_key",
        ],
        (
            Body::Json("ApplyBody"),
            &[
                (200, Content::Json("Tenant")),
                (201, Content::Json("Tenant")),
            ],
            WRITE,
        ),
    ),
    write(
        "PATCH",
        "/v1/tenants/{tenant}",
        "patchTenant",
        "Changes a part of what is wanted: either `desired`, or labels and annotations, or `running`.",
        CHANGE,
        (Body::Patch("PatchBody"), TENANT, PATCH),
    ),
    write(
        "DELETE",
        "/v1/tenants/{tenant}",
        "deleteTenant",
        "Has a tenant torn down. Its record and its history stay.",
        &[
            "tenant",
            "message",
            "dry_run",
            "if_match",
            "idempotency_key",
        ],
        (Body::MaybeJson("VerbBody"), TENANT, VERB),
    ),
    verb(
        "/v1/tenants/{tenant}/suspend",
        "suspendTenant",
        "Stops a tenant. What it holds stays.",
    ),
    verb(
        "/v1/tenants/{tenant}/resume",
        "resumeTenant",
        "Starts a suspended tenant again.",
    ),
    verb(
        "/v1/tenants/{tenant}/retry",
        "retryTenant",
        "Tries a failing tenant again now, with its attempts counted from zero.",
    ),
    verb(
        "/v1/tenants/{tenant}/hold",
        "holdTenant",
        "Pauses reconciliation of a tenant.",
    ),
    verb(
        "/v1/tenants/{tenant}/release",
        "releaseTenant",
        "Lets reconciliation of a held tenant go on.",
    ),
    verb(
        "/v1/tenants/{tenant}/accept",
        "acceptDrift",
        "Takes what was found where a tenant has drifted over into what is wanted of it.",
    ),
    write(
        "POST",
        "/v1/tenants/{tenant}/waive",
        "waiveDrift",
        "Lets drift at a path not count for a time.",
        CHANGE,
        (Body::Json("WaiveBody"), TENANT, VERB),
    ),
    read(
        "/v1/tenants/{tenant}/history",
        "listHistory",
        "Lists a tenant's history: a line for every revision.",
        &[
            "tenant",
            "after_revision",
            "order",
            "transitions_only",
            "kind",
            "page_size",
        ],
        &[(200, Content::Json("HistoryPage"))],
        READ_ONE,
    ),
    read(
        "/v1/tenants/{tenant}/explain",
        "explainTenant",
        "Explains why a tenant stands where it stands, what blocks it, and what comes next.",
        &["tenant"],
        &[(200, Content::Json("Explanation"))],
        READ_ONE,
    ),
    read(
        "/v1/counts",
        "countTenants",
        "Counts tenants by state.",
        ALL_FILTERS,
        &[(200, Content::Json("Counts"))],
        READ,
    ),
    read(
        "/v1/drift",
        "listDrift",
        "Lists where tenants have drifted from what is wanted.",
        &["class", "selector", "order", "page_size", "page_token"],
        &[(200, Content::Json("DriftPage"))],
        &[Code::Invalid, Code::CursorInvalid],
    ),
    read(
        "/v1/changes",
        "followChanges",
        "Lists the changes of all tenants in the order of their commits; waits for them, or streams them.",
        &["after", "page_size", "wait", "last_event_id"],
        &[(200, Content::Events("ChangesPage"))],
        &[Code::Invalid, Code::CursorInvalid, Code::CursorExpired],
    ),
    read(
        "/v1/export",
        "exportTenants",
        "Writes tenants down, each as a line of JSON.",
        ALL_FILTERS,
        &[(200, Content::Lines("ExportLine"))],
        READ,
    ),
    write(
        "POST",
        "/v1/import",
        "importTenants",
        "Makes each tenant what its line says, and answers with a line for each.",
        &["dry_run", "idempotency_key"],
        (
            Body::Lines("ImportLine"),
            &[(200, Content::Lines("ImportResult"))],
            &[Code::Invalid, Code::UnsupportedMediaType],
        ),
    ),
    write(
        "POST",
        "/v1/work/claim",
        "claimWork",
        "Claims due operations of the worker's classes; waits for some if asked to.",
        &[],
        (
            Body::Json("ClaimBody"),
            &[(200, Content::Json("Claimed"))],
            WORK,
        ),
    ),
    write(
        "POST",
        "/v1/work/renew",
        "renewLease",
        "Makes a lease run for its whole length again.",
        &[],
        (
            Body::Json("RenewBody"),
            &[(200, Content::Json("Renewed"))],
            WORK,
        ),
    ),
    write(
        "POST",
        "/v1/work/report",
        "reportWork",
        "Takes what a worker says of its operation.",
        &[],
        (
            Body::Json("ReportBody"),
            &[(200, Content::Json("Reported"))],
            WORK,
        ),
    ),
    read(
        "/v1/whoami",
        "whoAmI",
        "Says who the server takes the caller for, and what they may do.",
        &[],
        &[(200, Content::Json("WhoAmI"))],
        READ,
    ),
    read(
        "/v1/tokens",
        "listTokens",
        "Lists tokens, revoked and expired ones too.",
        &["page_size", "page_token_of_tokens"],
        &[(200, Content::Json("TokenPage"))],
        READ,
    ),
    write(
        "POST",
        "/v1/tokens",
        "createToken",
        "Makes a token, and shows it this once.",
        &["dry_run"],
        (
            Body::Json("CreateToken"),
            &[
                (200, Content::Json("TokenView")),
                (201, Content::Json("TokenView")),
            ],
            TOKEN,
        ),
    ),
    read(
        "/v1/tokens/{name}",
        "getToken",
        "Gets a token: all of it but itself.",
        &["name_of_token"],
        &[(200, Content::Json("TokenView"))],
        &[Code::Invalid, Code::TokenNotFound],
    ),
    write(
        "POST",
        "/v1/tokens/{name}/rotate",
        "rotateToken",
        "Gives a token of the same name in place of the one that there is, and shows it this once.",
        &["name_of_token", "dry_run"],
        (
            Body::MaybeJson("RotateToken"),
            &[(200, Content::Json("TokenView"))],
            TOKEN,
        ),
    ),
    write(
        "POST",
        "/v1/tokens/{name}/revoke",
        "revokeToken",
        "Ends a token for ever.",
        &["name_of_token", "dry_run"],
        (
            Body::MaybeJson("RevokeToken"),
            &[(200, Content::Json("TokenView"))],
            TOKEN,
        ),
    ),
    read(
        "/livez",
        "isAlive",
        "Says that the process lives.",
        &[],
        &[(200, Content::Json("Alive"))],
        READ,
    ),
    read(
        "/readyz",
        "isReady",
        "Says whether the server can serve.",
        &[],
        &[(200, Content::Json("Ready"))],
        &[Code::Invalid, Code::Draining],
    ),
    read(
        "/metrics",
        "readMetrics",
        "Gives all metrics, in Prometheus's text format.",
        &[],
        &[(200, Content::Text)],
        &[Code::Invalid, Code::RouteNotFound],
    ),
    read(
        "/problems/{code}",
        "explainProblem",
        "Explains an error to people.",
        &["code"],
        &[(200, Content::Page)],
        &[Code::Invalid, Code::RouteNotFound],
    ),
    read(
        "/openapi.json",
        "describeApi",
        "Gives this document.",
        &[],
        &[(200, Content::Document)],
        READ,
    ),
    read(
        "/docs",
        "readDocs",
        "Shows this document to people.",
        &[],
        &[(200, Content::Page)],
        READ,
    ),
];

impl Operation {
    /// Whether something is sent.
    pub(super) const fn body_is_some(&self) -> bool {
        !matches!(self.body, Body::None)
    }
}
