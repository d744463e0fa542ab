//! Bearers whose tokens Tenure did not make.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tenure::{Role, Timestamp};

/// Somebody whom a provider of identities vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever verifies builds it")]
pub struct Identity {
    /// What history calls them, after `user:`.
    pub name: String,
    /// Their roles, of which the strongest counts. `provisioner` does not: no class comes with it.
    pub roles: BTreeSet<Role>,
    /// From when on they are to be asked again who they are.
    pub good_until: Timestamp,
}

/// A token that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever verifies builds it")]
pub struct Refused {
    /// Why, in one `snake_case` word, for logs and counters; the client is not told.
    pub reason: &'static str,
}

type Verdict = Pin<Box<dyn Future<Output = Result<Identity, Refused>> + Send>>;

/// Verifies bearer tokens that do not begin with `tnr_`.
#[derive(Clone)]
pub struct Verifier(Arc<dyn Fn(String) -> Verdict + Send + Sync>);

impl Verifier {
    /// What verifies them. It gets the token, and must neither log nor keep it.
    pub fn new<V, F>(verify: V) -> Self
    where
        V: Fn(String) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Identity, Refused>> + Send + 'static,
    {
        Self(Arc::new(move |text| Box::pin(verify(text))))
    }

    pub(super) async fn verify(&self, text: &str) -> Result<Identity, Refused> {
        (self.0)(text.to_owned()).await
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// The role that counts.
pub(super) fn strongest(roles: &BTreeSet<Role>) -> Option<Role> {
    [Role::Admin, Role::Operator, Role::Auditor, Role::Viewer]
        .into_iter()
        .find(|role| roles.contains(role))
}
