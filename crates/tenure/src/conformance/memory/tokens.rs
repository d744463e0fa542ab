//! Who may use the API, and how the fleet stands.

use async_trait::async_trait;

use super::MemoryStore;
use super::data::Data;
use crate::store::Result;
use crate::{ClassName, DueWork, Hash, PageSize, Revoked, Standing, Timestamp, Token, Tokens};

#[async_trait]
impl Tokens for MemoryStore {
    async fn add_token(&self, token: &Token) -> Result<bool> {
        self.with(|data, _| {
            let used = data.tokens.contains_key(&token.name) || data.bearer(&token.hash).is_some();
            if !used {
                data.tokens.insert(token.name.clone(), token.clone());
            }
            !used
        })
    }

    async fn token(&self, name: &ClassName) -> Result<Option<Token>> {
        self.with(|data, _| data.tokens.get(name).cloned())
    }

    async fn token_of(&self, hash: &Hash) -> Result<Option<Token>> {
        self.with(|data, _| data.bearer(hash).cloned())
    }

    async fn tokens(&self, after: Option<&ClassName>, limit: PageSize) -> Result<Vec<Token>> {
        self.with(|data, _| {
            let beyond = data.tokens.values();
            let beyond = beyond.filter(|token| after.is_none_or(|after| token.name > *after));
            beyond.take(usize::from(limit.get())).cloned().collect()
        })
    }

    async fn rotate_token(
        &self,
        name: &ClassName,
        (seen, hash): (&Hash, &Hash),
        previous_until: Option<Timestamp>,
    ) -> Result<Option<Token>> {
        self.with(|data, _| {
            let token = data.tokens.get_mut(name)?;
            if token.revoked.is_some() || ![*seen, *hash].contains(&token.hash) {
                return None;
            }
            if token.hash != *hash {
                if let Some(until) = previous_until {
                    token.previous = Some((token.hash, until));
                }
                token.hash = *hash;
            }
            Some(token.clone())
        })
    }

    async fn revoke_token(&self, name: &ClassName, revoked: &Revoked) -> Result<Option<Token>> {
        self.with(|data, _| {
            let token = data.tokens.get_mut(name)?;
            token.revoked.get_or_insert_with(|| revoked.clone());
            Some(token.clone())
        })
    }

    async fn note_token_uses(&self, uses: &[(ClassName, Timestamp)]) -> Result<()> {
        self.with(|data, _| {
            for (name, at) in uses {
                if let Some(token) = data.tokens.get_mut(name) {
                    token.last_used_at = token.last_used_at.max(Some(*at));
                }
            }
        })
    }
}

impl Data {
    /// The token that has this hash, or had it before its last rotation.
    fn bearer(&self, hash: &Hash) -> Option<&Token> {
        let had = |token: &&Token| {
            let previous = token.previous.as_ref();
            token.hash == *hash || previous.is_some_and(|(before, _)| before == hash)
        };
        self.tokens.values().find(had)
    }

    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        let mut standing = Standing::none();
        for life in self.tenants.values() {
            let tenant = life.tenant();
            let in_state = standing.states.entry(tenant.state).or_default();
            in_state.tenants += 1;
            note(&mut in_state.oldest, tenant.state_since);
            if tenant.is_living() {
                for kind in tenant.conditions.kinds() {
                    *standing.conditions.entry(kind).or_default() += 1;
                }
            }
            let class = tenant.class.clone();
            if life.is_leased(now) {
                *standing.leased.entry(class).or_default() += 1;
                continue;
            }
            let Some(due) = life.work.due_at.filter(|due| *due <= now) else {
                continue;
            };
            let classes = if life.work.routine {
                &mut standing.checks_due
            } else {
                &mut standing.due
            };
            let work: &mut DueWork = classes.entry(class).or_default();
            work.tenants += 1;
            note(&mut work.oldest, due);
        }
        standing
    }
}

fn note(oldest: &mut Option<Timestamp>, at: Timestamp) {
    *oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
}
