//! Who may use the API: roles, and the tokens that carry them.
//!
//! A token is no part of any tenant's record: it is in no history and no feed, and says of itself
//! who made it, who ended it and when it was used.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::store::Result;
use crate::{Actor, ClassName, Hash, Invalid, PageSize, Selector, Timestamp};

/// What somebody may do. Each role is one word in tokens, claims and the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads tenants, their history, drift, counts and the feed.
    Viewer,
    /// What a viewer may, and every command on tenants.
    Operator,
    /// What an operator may, and tokens.
    Admin,
    /// Claims and reports the work of its classes, and nothing else.
    Provisioner,
    /// What a viewer may, and exports and the list of tokens.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Operator,
        Self::Admin,
        Self::Provisioner,
        Self::Auditor,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Provisioner => "provisioner",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> std::result::Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            let rule = "must be viewer, operator, admin, provisioner or auditor";
            Invalid::new("role", rule)
        })
    }
}

/// A token for the API, as the store keeps it: everything but the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// What it is called: a DNS label, never used again. History calls its bearer `token:NAME`.
    pub name: ClassName,
    /// What its bearer may do.
    pub role: Role,
    /// For provisioners: the classes whose work it may claim.
    pub classes: BTreeSet<ClassName>,
    /// Only the tenants whose labels match; all if empty.
    pub scope: Selector,
    /// The SHA-256 of the token. Never shown.
    #[serde(skip)]
    pub hash: Hash,
    /// After a rotation: the hash of the token before it, and until when that is good still.
    #[serde(skip)]
    pub previous: Option<(Hash, Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Actor,
    /// From when on it is no good; never if absent.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute or so.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, and by whom.
    #[serde(flatten)]
    pub revoked: Option<Revoked>,
}

/// The end of a token before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// When.
    pub revoked_at: Timestamp,
    /// By whom.
    pub revoked_by: Actor,
}

impl Token {
    /// Whether the bearer of a token with this hash may come in now: it is this one or the one
    /// before a rotation that still counts, is not revoked and has not expired.
    pub fn admits(&self, hash: &Hash, now: Timestamp) -> bool {
        let current = self.hash == *hash;
        let previous = self
            .previous
            .as_ref()
            .is_some_and(|(before, until)| before == hash && now < *until);
        (current || previous)
            && self.revoked.is_none()
            && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Keeping tokens. All times are those of the callers.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Adds a token; `false` if its name or its hash was ever used, then nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutcomeUnknown`](crate::StoreError::OutcomeUnknown): look whether it is there.
    /// Otherwise nothing was written.
    async fn add_token(&self, token: &Token) -> Result<bool>;

    /// The token of this name.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn token(&self, name: &ClassName) -> Result<Option<Token>>;

    /// The token that has this hash, or had it before its last rotation. [`Token::admits`] says
    /// whether it is good: the store judges nothing.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn token_of(&self, hash: &Hash) -> Result<Option<Token>>;

    /// Tokens in the order of their names, from beyond one on, revoked and expired ones too.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn tokens(&self, after: Option<&ClassName>, limit: PageSize) -> Result<Vec<Token>>;

    /// Gives a token another hash, the second, if it has the first, which was seen. That counts until
    /// `previous_until`, and the one before it no more; without `previous_until` it counts no more, and
    /// the one before it as long as it did. Answers what the token is then, or `None` if there is none
    /// of the name that has the hash and is not revoked: look again. To a token that has the second
    /// already, nothing is done: so it may be sent again.
    ///
    /// # Errors
    ///
    /// As [`Tokens::add_token`].
    async fn rotate_token(
        &self,
        name: &ClassName,
        seen_and_next: (&Hash, &Hash),
        previous_until: Option<Timestamp>,
    ) -> Result<Option<Token>>;

    /// Revokes a token for ever. Answers what it is then, or `None` if there is none of the name.
    /// One that is revoked stays revoked as it was.
    ///
    /// # Errors
    ///
    /// As [`Tokens::add_token`].
    async fn revoke_token(&self, name: &ClassName, revoked: &Revoked) -> Result<Option<Token>>;

    /// Notes when tokens were last used; an earlier time than is noted changes nothing, nor does
    /// the name of no token.
    ///
    /// # Errors
    ///
    /// As its advice says; a note that is lost costs nothing.
    async fn note_token_uses(&self, uses: &[(ClassName, Timestamp)]) -> Result<()>;
}
