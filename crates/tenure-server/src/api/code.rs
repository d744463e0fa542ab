//! The stable words for everything that the API refuses or fails at.

use axum::http::StatusCode;

/// A stable word for one kind of error, with the status that carries it.
///
/// Programs compare the word; `docs/reference/errors.md` says for each what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the table below says it, and so does the reference"
)]
pub enum Code {
    Invalid,
    InvalidJson,
    UnsupportedMediaType,
    BodyTooLarge,
    RequestTimeout,
    UriTooLong,
    HeadersTooLarge,
    RouteNotFound,
    MethodNotAllowed,
    HostNotAllowed,
    OriginNotAllowed,
    Unauthorized,
    Forbidden,
    TokenNotFound,
    TokenExists,
    TokenRevoked,
    TokenRotated,
    TenantNotFound,
    RevisionNotFound,
    TenantExists,
    NameTaken,
    IdTaken,
    TenantDeleting,
    TenantDeleted,
    ClassFixed,
    UnknownClass,
    SchemaViolation,
    ReportOutOfOrder,
    LeaseLost,
    AnswerInvalid,
    RevisionConflict,
    PreconditionRequired,
    IdempotencyKeyReused,
    CursorInvalid,
    CursorExpired,
    RateLimited,
    Contended,
    Overloaded,
    /// The server stops: it finishes what runs and takes nothing new.
    Draining,
    DeadlineExceeded,
    OutcomeUnknown,
    StoreUnavailable,
    StoreNotReady,
    StoreReadOnly,
    StoreFull,
    StoreClosed,
    StoreCorrupt,
    StoreRejected,
    StoreError,
    Internal,
}

impl Code {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 50] = [
        Self::Invalid,
        Self::InvalidJson,
        Self::UnsupportedMediaType,
        Self::BodyTooLarge,
        Self::RequestTimeout,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::HostNotAllowed,
        Self::OriginNotAllowed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::TokenNotFound,
        Self::TokenExists,
        Self::TokenRevoked,
        Self::TokenRotated,
        Self::TenantNotFound,
        Self::RevisionNotFound,
        Self::TenantExists,
        Self::NameTaken,
        Self::IdTaken,
        Self::TenantDeleting,
        Self::TenantDeleted,
        Self::ClassFixed,
        Self::UnknownClass,
        Self::SchemaViolation,
        Self::ReportOutOfOrder,
        Self::LeaseLost,
        Self::AnswerInvalid,
        Self::RevisionConflict,
        Self::PreconditionRequired,
        Self::IdempotencyKeyReused,
        Self::CursorInvalid,
        Self::CursorExpired,
        Self::RateLimited,
        Self::Contended,
        Self::Overloaded,
        Self::Draining,
        Self::DeadlineExceeded,
        Self::OutcomeUnknown,
        Self::StoreUnavailable,
        Self::StoreNotReady,
        Self::StoreReadOnly,
        Self::StoreFull,
        Self::StoreClosed,
        Self::StoreCorrupt,
        Self::StoreRejected,
        Self::StoreError,
        Self::Internal,
    ];

    /// The word, the status and the title.
    const fn entry(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Invalid => ("invalid", 422, "A value breaks a rule"),
            Self::InvalidJson => ("invalid_json", 400, "The body is not JSON"),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                415,
                "The body is of another media type",
            ),
            Self::BodyTooLarge => ("body_too_large", 413, "The body is too large"),
            Self::RequestTimeout => ("request_timeout", 408, "The request came too slowly"),
            Self::UriTooLong => ("uri_too_long", 414, "The address is too long"),
            Self::HeadersTooLarge => ("headers_too_large", 431, "The headers are too large"),
            Self::RouteNotFound => ("route_not_found", 404, "There is no such route"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "The route has no such method"),
            Self::HostNotAllowed => ("host_not_allowed", 421, "The host is not this server's"),
            Self::OriginNotAllowed => ("origin_not_allowed", 403, "Another site's page asks"),
            Self::Unauthorized => ("unauthorized", 401, "Nobody known asks"),
            Self::Forbidden => ("forbidden", 403, "The caller may not do this"),
            Self::TokenNotFound => ("token_not_found", 404, "There is no such token"),
            Self::TokenExists => ("token_exists", 409, "The token's name was used"),
            Self::TokenRevoked => ("token_revoked", 409, "The token has ended"),
            Self::TokenRotated => ("token_rotated", 409, "The token was rotated a while ago"),
            Self::TenantNotFound => ("tenant_not_found", 404, "There is no such tenant"),
            Self::RevisionNotFound => ("revision_not_found", 404, "The tenant was not there then"),
            Self::TenantExists => ("tenant_exists", 409, "The tenant exists already"),
            Self::NameTaken => ("name_taken", 409, "The name is taken"),
            Self::IdTaken => ("id_taken", 409, "The id is taken"),
            Self::TenantDeleting => ("tenant_deleting", 409, "The tenant is being deleted"),
            Self::TenantDeleted => ("tenant_deleted", 409, "The tenant is deleted"),
            Self::ClassFixed => ("class_fixed", 409, "A tenant's class is for ever"),
            Self::UnknownClass => ("unknown_class", 422, "There is no such class"),
            Self::SchemaViolation => ("schema_violation", 422, "The class asks for something else"),
            Self::ReportOutOfOrder => ("report_out_of_order", 409, "The report does not fit"),
            Self::LeaseLost => ("lease_lost", 409, "The lease is lost"),
            Self::AnswerInvalid => ("answer_invalid", 422, "The answer breaks the contract"),
            Self::RevisionConflict => (
                "revision_conflict",
                412,
                "The tenant is at another revision",
            ),
            Self::PreconditionRequired => (
                "precondition_required",
                428,
                "The request must say which revision it saw",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency_key_reused",
                422,
                "The idempotency key was used before",
            ),
            Self::CursorInvalid => ("cursor_invalid", 400, "The cursor is not of this query"),
            Self::CursorExpired => ("cursor_expired", 410, "The cursor is too old"),
            Self::RateLimited => ("rate_limited", 429, "Too many requests from this caller"),
            Self::Contended => ("contended", 503, "Too many change this tenant at once"),
            Self::Draining => ("draining", 503, "The server stops"),
            Self::Overloaded => ("overloaded", 503, "The server is too busy"),
            Self::DeadlineExceeded => ("deadline_exceeded", 503, "It took too long"),
            Self::OutcomeUnknown => ("outcome_unknown", 503, "The outcome is unknown"),
            Self::StoreUnavailable => ("store_unavailable", 503, "The store is unavailable"),
            Self::StoreNotReady => ("store_not_ready", 503, "The store is not ready"),
            Self::StoreReadOnly => ("store_read_only", 503, "The store takes no writes"),
            Self::StoreFull => ("store_full", 507, "The store's disk is full"),
            Self::StoreClosed => ("store_closed", 503, "The server is stopping"),
            Self::StoreCorrupt => ("store_corrupt", 500, "What is stored is damaged"),
            Self::StoreRejected => ("store_rejected", 500, "The store's guard refused the write"),
            Self::StoreError => ("store_error", 500, "The store failed"),
            Self::Internal => ("internal", 500, "The server failed"),
        }
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// The status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.entry().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same for every error of this code.
    pub const fn title(self) -> &'static str {
        self.entry().2
    }

    /// The code of this word, for words that other crates give.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// After how many seconds it makes sense to try again, if it does.
    pub const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::RateLimited | Self::Contended | Self::Overloaded | Self::OutcomeUnknown => {
                Some("1")
            }
            Self::DeadlineExceeded
            | Self::Draining
            | Self::StoreUnavailable
            | Self::StoreNotReady
            | Self::StoreReadOnly
            | Self::StoreClosed => Some("5"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use tenure::{Readiness, RefusalCode, Source, StoreError};

    use super::*;

    /// The codes of the reference, with the status that it gives each.
    fn reference() -> BTreeMap<&'static str, u16> {
        let text = include_str!("../../../../docs/reference/errors.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| {
            let (code, rest) = row.split_once("` | ").unwrap();
            (code, rest.split_once(" | ").unwrap().0.parse().unwrap())
        })
        .collect()
    }

    #[test]
    fn the_reference_lists_every_code_with_its_status() {
        let codes = Code::ALL.map(|code| (code.as_str(), code.status().as_u16()));
        assert_eq!(reference(), codes.into());
    }

    #[test]
    fn every_refusal_and_every_trouble_of_a_store_has_a_code() {
        for refusal in RefusalCode::ALL {
            assert!(Code::of(refusal.as_str()).is_some(), "{}", refusal.as_str());
        }
        let why = || -> Source { Box::new(io::Error::other("why")) };
        for (trouble, status) in [
            (StoreError::Unavailable(why()), 503),
            (StoreError::OutcomeUnknown(why()), 503),
            (StoreError::Overloaded, 503),
            (StoreError::ReadOnly, 503),
            (StoreError::Full, 507),
            (StoreError::NotReady(Readiness::NotMigrated), 503),
            (StoreError::CursorInvalid, 400),
            (StoreError::CursorExpired, 410),
            (StoreError::Corrupt { what: "x".into() }, 500),
            (StoreError::Rejected { rule: "x".into() }, 500),
            (StoreError::Closed, 503),
            (StoreError::Backend(why()), 500),
        ] {
            let code = Code::of(trouble.code()).unwrap();
            assert_eq!(code.status().as_u16(), status, "{}", trouble.code());
        }
    }

    #[test]
    fn what_may_be_sent_again_says_when() {
        for code in Code::ALL {
            let busy = [
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::TOO_MANY_REQUESTS,
            ]
            .contains(&code.status());
            assert_eq!(code.retry_after().is_some(), busy, "{}", code.as_str());
        }
    }
}
