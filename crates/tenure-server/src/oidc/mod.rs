//! Bearer tokens of an identity provider: JSON Web Tokens, checked against the provider's own keys.
//!
//! Follows `OpenID` Connect Discovery 1.0 for where the keys are, and RFC 8725 for what is believed of a
//! token: its algorithm must be one with a public key and fit that key, and issuer, audience and expiry
//! must hold.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use tenure::Timestamp;

use self::keys::Keys;
use crate::api::{Identity, Refused, Verifier};
use crate::config::Oidc;

/// By how much the provider's clock and this one may differ, in seconds.
const LEEWAY: u64 = 60;

/// How often the provider may be asked for its keys because a token names one that is not known: so
/// that made-up tokens make no work for it.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The algorithms with a public key. A token that a shared secret signs is never believed.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What verifies the tokens of a provider.
///
/// The provider is asked when its first token comes, and when one names a key that is not known, so it
/// may be away while this server starts.
///
/// # Errors
///
/// If the certificates that vouch for it can't be read.
pub fn verifier(config: &Oidc) -> anyhow::Result<Verifier> {
    verifier_that_asks(config, ASK_AGAIN)
}

/// The same, asking for unknown keys as often as this.
///
/// # Errors
///
/// As [`verifier`].
#[doc(hidden)]
pub fn verifier_that_asks(config: &Oidc, again: Duration) -> anyhow::Result<Verifier> {
    let keys = Keys::new(config, again).context("auth.oidc")?;
    let provider = Arc::new(Provider {
        config: config.clone(),
        keys,
    });
    Ok(Verifier::new(move |token| {
        let provider = Arc::clone(&provider);
        async move { provider.identity(&token).await }
    }))
}

struct Provider {
    config: Oidc,
    keys: Keys,
}

const fn refused(reason: &'static str) -> Refused {
    Refused { reason }
}

impl Provider {
    async fn identity(&self, token: &str) -> Result<Identity, Refused> {
        let header = decode_header(token).map_err(|_| refused("malformed"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("algorithm"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let mut rules = Validation::new(header.alg);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.config.issuer]);
        rules.set_audience(&[&self.config.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        let token = decode::<Map<String, Value>>(token, &key, &rules);
        let claims = token.map_err(|error| refused(why(error.kind())))?.claims;
        self.known(&claims)
    }

    /// Who the claims say it is.
    fn known(&self, claims: &Map<String, Value>) -> Result<Identity, Refused> {
        let name = claim(claims, &self.config.name_claim).and_then(Value::as_str);
        let roles = match claim(claims, &self.config.roles_claim) {
            Some(Value::String(word)) => vec![word.as_str()],
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let roles = roles
            .into_iter()
            .filter_map(|word| self.config.roles.get(word).copied());
        // It was required, and held.
        let end = claims.get("exp").and_then(Value::as_f64);
        let end = end.and_then(|end| Duration::try_from_secs_f64(end).ok());
        let leeway = Duration::from_secs(LEEWAY);
        Ok(Identity {
            name: name.ok_or(refused("name"))?.to_owned(),
            roles: roles.collect(),
            good_until: Timestamp::EPOCH.plus(end.unwrap_or_default()).plus(leeway),
        })
    }
}

/// A claim by its name, or by the way to it with dots, such as `realm_access.roles`.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        claim(claims.get(first)?.as_object()?, rest)
    })
}

/// Why a token is not believed, in a word for the log.
const fn why(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "signature",
        ErrorKind::ExpiredSignature => "expired",
        ErrorKind::ImmatureSignature => "not_yet",
        ErrorKind::InvalidIssuer => "issuer",
        ErrorKind::InvalidAudience => "audience",
        ErrorKind::MissingRequiredClaim(_) => "claims",
        ErrorKind::InvalidAlgorithm => "algorithm",
        _ => "malformed",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_its_name_or_on_its_way() {
        let claims = json!({"a.b": 1, "a": {"b": 2, "c": {"d": 3}}, "x": 4});
        let claims = claims.as_object().unwrap();
        let found = |name| claim(claims, name).and_then(Value::as_u64);
        assert_eq!(found("a.b"), Some(1));
        assert_eq!(found("a.c.d"), Some(3));
        assert_eq!(found("x"), Some(4));
        assert_eq!(
            (found("x.y"), found("y"), found("a.c.e")),
            (None, None, None)
        );
    }
}
