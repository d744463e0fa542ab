//! Checking: whether what a store holds, and what it told its clients, keeps the promises.
//!
//! [`verify`] reads one tenant back and checks its record against its history; [`verify_all`] does
//! so for every tenant. Both only read, and both are safe beside writers. The other validators
//! judge a run of many clients after it ended: each client writes a [`ClientLog`], and pure
//! functions compare the logs with what the store has ([`histories`]).
//!
//! A validator never repairs. It says what is wrong as [`Finding`]s; no finding means that the
//! promise was kept, as far as the log reaches.
//!
//! # Rules
//!
//! | rule | what does not hold |
//! |---|---|
//! | `record` | a tenant has a record exactly if it has history, and the record can be read |
//! | `gap` | revisions are 1, 2, 3, … up to the record's, each once |
//! | `hash` | a line's hash covers its content and the hash of the line before |
//! | `edge` | the state moves only along the lifecycle, from where the line before left it |
//! | `time` | times never go back |
//! | `kind` | a line says what it changed: `created` first and only first, and so on |
//! | `generation` | the generation counts what is wanted, and what is observed never runs ahead |
//! | `invariant` | the state agrees with `running` and `observed_generation` |
//! | `document` | every document that a line names is there and is what its hash says |
//! | `fold` | folding the history gives the record |
//! | `facet` | the copies that lists go by agree with the record |
//! | `name` | the living are found by name, the deleted are not |
//! | `durable` | what was acknowledged is in the history, as it was acknowledged |
//! | `once` | one request has one effect, and one effect one request |
//! | `ghost` | every line was asked for, and what was refused left none |
//! | `linearizable` | what was acknowledged before a call is visible to it |
//! | `fence` | no stale worker had an effect |
//! | `feed` | the feed gives every change once, in order, and can be resumed anywhere |
//! | `pages` | a walk gives each tenant that was there throughout, once |
//! | `converge` | every tenant rests, or says why not |

mod chain;
mod clients;
mod fold;
mod log;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod planted_runs;
mod readers;
#[cfg(test)]
mod shelf;
mod verify;

use std::fmt;

use serde::Serialize;

use crate::{Revision, TenantId};

pub use chain::legal;
pub use clients::{durable, linearizable, no_ghost, once};
pub use fold::{Fold, FoldError, fold};
pub use log::{ClientLog, Entry, Histories, Seen, SinkEntry, histories};
pub use readers::{converge, feed, feed_order, feed_resumes, fences, pages};
pub use verify::{Progress, Verified, verify, verify_all};

/// A promise that was not kept: where, which, and what was found instead.
///
/// It names fields, hashes and numbers and quotes no document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Whose.
    pub tenant: TenantId,
    /// At which revision, if it concerns one.
    pub revision: Option<Revision>,
    /// The stable word of the rule, as the [module](self) lists them.
    pub rule: &'static str,
    /// What was found, as a clause.
    pub detail: String,
}

impl Finding {
    fn new(
        tenant: TenantId,
        revision: Option<Revision>,
        rule: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            tenant,
            revision,
            rule,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tenant)?;
        if let Some(revision) = self.revision {
            write!(f, " at revision {revision}")?;
        }
        write!(f, " breaks the rule {}: {}.", self.rule, self.detail)
    }
}
