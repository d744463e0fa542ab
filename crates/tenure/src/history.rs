//! Lines of history: one for every change of a tenant, each standing on the one before.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Actor, ClassName, Document, Generation, Hash, Invalid, Message, Reason, Revision, State,
    Tenant, TenantId, TenantName, Timestamp,
};

/// What a line of history is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The tenant was asked for. Always and only revision 1.
    Created,
    /// What is wanted changed, and the state perhaps with it.
    Desired,
    /// The state changed by work that was done.
    State,
    /// What was observed changed.
    Observed,
    /// A condition came, went, or changed its reason.
    Condition,
    /// Labels or annotations changed.
    Metadata,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::Desired,
        Self::State,
        Self::Observed,
        Self::Condition,
        Self::Metadata,
    ];

    /// The word, as SQL, JSON and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Desired => "desired",
            Self::State => "state",
            Self::Observed => "observed",
            Self::Condition => "condition",
            Self::Metadata => "metadata",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                let words = Self::ALL.map(Self::as_str).join(", ");
                Invalid::new("kind", format!("must be one of {words}"))
            })
    }
}

impl Kind {
    /// Whether lines of this kind say why the tenant stands where it stands.
    ///
    /// Those of the others, which note what was seen or labelled, leave the tenant's `reason` and
    /// `message` as they were.
    pub const fn says_why(self) -> bool {
        match self {
            Self::Created | Self::Desired | Self::State | Self::Condition => true,
            Self::Observed | Self::Metadata => false,
        }
    }
}

/// One line of history: what changed, when, by whom and why, and how the tenant was after it.
///
/// The after-image is complete: the facts stand in the line, the documents are named by hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whose history this is.
    pub tenant: TenantId,
    /// The revision that this change made: 1, 2, 3, … without a gap.
    pub revision: Revision,
    /// When. Never before the line before it, even if a clock went back.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What it is about.
    pub kind: Kind,
    /// The state before; `None` for the first line.
    pub from: Option<State>,
    /// The state after. The lines with `from ≠ to` are the state transitions.
    pub to: State,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: Message,
    /// Whether the tenant should run, after it.
    pub running: bool,
    /// What is wanted, counted, after it.
    pub generation: Generation,
    /// What is reached, counted, after it.
    pub observed_generation: Generation,
    /// The document `desired` after it.
    pub desired: Hash,
    /// The document `observed` after it, if there was one.
    pub observed: Option<Hash>,
    /// Labels and annotations after it, as [`Tenant::metadata`] writes them.
    pub metadata: Option<Hash>,
    /// Conditions and resources after it, as [`Tenant::details`] writes them.
    pub details: Option<Hash>,
    /// The request that asked for it. A command that is sent again carries the same one.
    pub request_id: Uuid,
    /// SHA-256 over all of the above and the hash of the line before.
    pub hash: Hash,
}

impl Line {
    /// The hash that this line must have, standing on `previous`.
    ///
    /// The first line also binds what never changes and is kept with the tenant only: its name and
    /// class, as `identity`. Later lines pass `None`.
    pub fn digest(
        &self,
        previous: Option<Hash>,
        identity: Option<(&TenantName, &ClassName)>,
    ) -> Hash {
        let value = json!({
            "tenant": self.tenant,
            "name": identity.map(|(name, _)| name),
            "class": identity.map(|(_, class)| class),
            "revision": self.revision,
            "at": self.at,
            "actor": self.actor,
            "kind": self.kind,
            "from": self.from,
            "to": self.to,
            "reason": self.reason,
            "message": self.message,
            "running": self.running,
            "generation": self.generation,
            "observed_generation": self.observed_generation,
            "desired": self.desired,
            "observed": self.observed,
            "metadata": self.metadata,
            "details": self.details,
            "request_id": self.request_id,
            "previous": previous,
        });
        Hash::of(
            serde_json_canonicalizer::to_string(&value)
                .unwrap_or_default()
                .as_bytes(),
        )
    }

    /// Whether the state changed.
    pub fn is_transition(&self) -> bool {
        self.from != Some(self.to)
    }
}

/// What the decision adds to a line beside the tenant before and after.
pub(crate) struct Draft<'a> {
    pub(crate) kind: Kind,
    pub(crate) reason: Reason,
    pub(crate) message: Message,
    pub(crate) actor: &'a Actor,
    pub(crate) request_id: Uuid,
}

impl Draft<'_> {
    /// Writes the line that leads from `before` to `after`, and signs it.
    pub(crate) fn write(self, before: Option<&Tenant>, after: &Tenant) -> Result<Line, Invalid> {
        let hash_of = |document: Option<Document>| document.map(|d| d.hash());
        let mut line = Line {
            tenant: after.id,
            revision: after.revision,
            at: after.updated_at,
            actor: self.actor.clone(),
            kind: self.kind,
            from: before.map(|tenant| tenant.state),
            to: after.state,
            reason: self.reason,
            message: self.message,
            running: after.running,
            generation: after.generation,
            observed_generation: after.observed_generation,
            desired: after.desired.hash(),
            observed: after.observed.as_ref().map(Document::hash),
            metadata: hash_of(after.metadata()?),
            details: hash_of(after.details()?),
            request_id: self.request_id,
            hash: Hash::new([0; 32]),
        };
        let identity = before.is_none().then_some((&after.name, &after.class));
        line.hash = line.digest(before.map(|tenant| tenant.hash), identity);
        Ok(line)
    }
}
