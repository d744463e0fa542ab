//! What can be asked of the engine, what it answers, and why it may not.

use crate::{
    Command, Context, IdempotencyKey, Refusal, Revision, Selector, StoreError, Tenant, TenantId,
    TenantRef,
};

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which tenant. For create and apply, the name that is wanted.
    pub who: TenantRef,
    /// What is asked for.
    pub command: Command,
    /// When, by whom, why.
    pub context: Context,
    /// The revision that the client saw; if the tenant is at another one, nothing is done.
    pub if_revision: Option<Revision>,
    /// The tenant that the client saw; if another has the name by now, nothing is done. A name is free
    /// again after deletion, and the next tenant of the name counts its revisions from 1 as well.
    pub if_id: Option<TenantId>,
    /// Only tenants whose labels match are there for the client; all if empty. It can neither touch
    /// another, nor create one or leave one behind that does not match.
    pub scope: Selector,
    /// The client's name for its intent.
    pub key: Option<IdempotencyKey>,
    /// Do everything but write.
    pub dry_run: bool,
}

/// What a request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A tenant was created.
    Created,
    /// It was changed.
    Changed,
    /// All was as asked.
    Unchanged,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The tenant as the request left it.
    pub tenant: Tenant,
    /// What the request did.
    pub effect: Effect,
    /// Whether the same request was answered before, so that this is that answer.
    pub replayed: bool,
}

/// What became of a worker's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It is written, and the tenant is so now.
    Written(Box<Tenant>),
    /// It was no news; the work is planned.
    NoNews,
    /// The lease has ended or moved: the result was dropped, and nothing was written.
    LeaseLost,
    /// The [correction](crate::Correction) that was granted is used up; nothing was written. Report
    /// again with another, or without.
    CorrectionTaken,
}

/// Why a request had no effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The rules refuse it.
    #[error("{0}")]
    Refused(Refusal),
    /// The tenant is not at the revision that the client saw. Look again, then decide.
    #[error("the tenant is at revision {actual} and not at {expected}; get it and decide again")]
    RevisionConflict {
        /// What the client saw.
        expected: Revision,
        /// What is.
        actual: Revision,
    },
    /// The tenant that the client saw is not the one that has the name now. Look again, then decide.
    #[error(
        "the tenant that you saw, {expected}, does not have the name any more; get it and decide again"
    )]
    OtherTenant {
        /// What the client saw.
        expected: TenantId,
        /// The revision of the one that has the name; 0 if none has.
        actual: Revision,
    },
    /// The tenant's labels would not match the scope of the client.
    #[error("its labels would be outside of your scope, which is {scope}; let them match it")]
    OutOfScope {
        /// The scope.
        scope: Selector,
    },
    /// A living tenant has the name.
    #[error("the name is taken by a living tenant")]
    NameTaken,
    /// Another tenant has the id.
    #[error("the id is taken by another tenant")]
    IdTaken,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request; use a new key for a new request")]
    KeyReused,
    /// Too many others change this tenant at once. Try again later.
    #[error("too many others change this tenant at once; try again later")]
    Contended,
    /// Trouble with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}
