//! What lets somebody go on with what they began: asked again and again, for as long as it takes.

use std::time::Duration;

use tenure::{Hash, Timestamp, Token};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::super::code::Code;
use super::super::problem::Problem;
use super::super::state::ApiState;
use super::known::TRUST;
use super::{Principal, Turn, Turned, good_token, unknown};

/// The longest that is gone by without a look at the clock.
const LOOK: Duration = Duration::from_mins(1);

/// What proves who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing that ends: nobody was asked, or the configuration names them.
    Lasting,
    /// A token of the store's, by its hash.
    Token(Hash),
    /// A provider's word, which is good until then.
    Until(Timestamp),
}

/// What lets somebody go on. A token that is revoked, rotated or over lets nobody.
#[derive(Debug)]
pub(crate) struct Pass {
    api: ApiState,
    principal: Principal,
    /// Tells when a token was changed here.
    changed: watch::Receiver<()>,
    /// Until when it need not be asked again, if it was asked.
    due: Option<Instant>,
}

impl Pass {
    /// Somebody who was let in.
    pub(crate) fn new(api: &ApiState, principal: &Principal) -> Self {
        Self {
            api: api.clone(),
            principal: principal.clone(),
            changed: api.known().forgotten(),
            due: None,
        }
    }

    /// Fails once they may not go on. It costs nothing while that can't be.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthorized`], or what is the matter with the store.
    pub(crate) async fn check(&mut self) -> Result<(), Problem> {
        let changed = self.changed.has_changed().unwrap_or(true);
        if !changed && self.due.is_some_and(|due| Instant::now() < due) {
            return Ok(());
        }
        self.changed.mark_unchanged();
        match self.ask().await {
            Ok(due) => self.due = Some(due),
            Err(Turned(reason, problem)) => {
                if problem.code() == Code::Unauthorized {
                    let actor = &self.principal.actor;
                    tracing::warn!(%actor, reason, "what was going on was ended: it needs a good token");
                    metrics::counter!("tenure_auth_refusals_total", "reason" => reason)
                        .increment(1);
                }
                return Err(problem);
            }
        }
        Ok(())
    }

    /// Returns when it is time for another [`Self::check`].
    pub(crate) async fn due(&mut self) {
        let due = self.due.unwrap_or_else(Instant::now);
        tokio::select! {
            _ = self.changed.changed() => self.due = None,
            () = sleep_until(due) => {}
        }
    }

    /// Whether they may go on, and until when that is so.
    async fn ask(&self) -> Result<Instant, Turned> {
        let (now, asked) = (self.api.options().clock.now(), Instant::now());
        let (end, due) = match &self.principal.proof {
            Proof::Lasting => (None, asked + LOOK),
            Proof::Until(end) if now < *end => (Some(*end), asked + LOOK),
            Proof::Until(_) => return Err(unknown("expired")),
            Proof::Token(hash) => {
                let (token, since) = good_token(&self.api, *hash, Turn::Wait).await?;
                (end_of(&token, hash), since + TRUST)
            }
        };
        let left = end.map_or(LOOK, |end| end.since(now).min(LOOK));
        Ok(due.min(asked + left))
    }
}

/// From when on a token lets nobody in who shows this hash.
fn end_of(token: &Token, hash: &Hash) -> Option<Timestamp> {
    let grace = token.previous.filter(|(before, _)| before == hash);
    let ends = [token.expires_at, grace.map(|(_, until)| until)];
    ends.into_iter().flatten().min()
}
