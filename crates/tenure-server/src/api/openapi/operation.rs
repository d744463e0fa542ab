//! A row of the table of operations, and the ways to write one.

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

pub(super) const READ: &[Code] = &[Code::Invalid];
pub(super) const READ_ONE: &[Code] = &[Code::Invalid, Code::TenantNotFound];
pub(super) const VERB: &[Code] = &[
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
pub(super) const WRITE: &[Code] = &[
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
pub(super) const PATCH: &[Code] = &[
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
pub(super) const WORK: &[Code] = &[
    Code::Invalid,
    Code::InvalidJson,
    Code::UnsupportedMediaType,
    Code::LeaseLost,
    Code::AnswerInvalid,
    Code::ReportOutOfOrder,
];
pub(super) const TOKEN: &[Code] = &[
    Code::Invalid,
    Code::InvalidJson,
    Code::UnsupportedMediaType,
    Code::TokenNotFound,
    Code::TokenExists,
    Code::TokenRevoked,
    Code::TokenRotated,
];
pub(super) const FILTERS: [&str; 14] = [
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
pub(super) const fn and_filters<const N: usize, const M: usize>(
    more: [&'static str; N],
) -> [&'static str; M] {
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
pub(super) const LIST: &[&str] =
    &and_filters::<4, 18>(["order", "page_size", "page_token", "view"]);
pub(super) const ALL_FILTERS: &[&str] = &FILTERS;
pub(super) const CHANGE: &[&str] = &["tenant", "dry_run", "if_match", "idempotency_key"];
pub(super) const TENANT: &[(u16, Content)] = &[(200, Content::Json("Tenant"))];

pub(super) const fn read(
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

pub(super) const fn verb(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
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

pub(super) const fn write(
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
