//! Who may use the API.

use async_trait::async_trait;
use tenure::{ClassName, Hash, PageSize, Result, Revoked, StoreError, Timestamp, Token, Tokens};

use crate::PostgresStore;

#[async_trait]
impl Tokens for PostgresStore {
    async fn add_token(&self, _token: &Token) -> Result<bool> {
        Err(StoreError::Closed)
    }

    async fn token(&self, _name: &ClassName) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn token_of(&self, _hash: &Hash) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn tokens(&self, _after: Option<&ClassName>, _limit: PageSize) -> Result<Vec<Token>> {
        Err(StoreError::Closed)
    }

    async fn rotate_token(
        &self,
        _name: &ClassName,
        _hash: &Hash,
        _previous_until: Timestamp,
    ) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn revoke_token(&self, _name: &ClassName, _revoked: &Revoked) -> Result<Option<Token>> {
        Err(StoreError::Closed)
    }

    async fn note_token_uses(&self, _uses: &[(ClassName, Timestamp)]) -> Result<()> {
        Err(StoreError::Closed)
    }
}
