//! Who may use the API.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use tenure::{ClassName, Hash, PageSize, Result, Revoked, Timestamp, Token, Tokens};

use crate::readers::{all, one};
use crate::row::{self, Columns};
use crate::sql;
use crate::store::SqliteStore;
use crate::writer::execute;

#[async_trait]
impl Tokens for SqliteStore {
    async fn add_token(&self, token: &Token) -> Result<bool> {
        let token = token.clone();
        self.write(move |db, _| add(db, &token)).await
    }

    async fn token(&self, name: &ClassName) -> Result<Option<Token>> {
        let name = name.clone();
        self.read(move |db| one(db, sql::TOKEN, [name.as_str()], token))
            .await
    }

    async fn token_of(&self, hash: &Hash) -> Result<Option<Token>> {
        let hash = *hash;
        self.read(move |db| one(db, sql::TOKEN_OF, [hash.as_bytes()], token))
            .await
    }

    async fn tokens(&self, after: Option<&ClassName>, limit: PageSize) -> Result<Vec<Token>> {
        let after = after.map_or_else(String::new, ToString::to_string);
        self.read(move |db| all(db, sql::TOKENS, params![after, limit.get()], token))
            .await
    }

    async fn rotate_token(
        &self,
        name: &ClassName,
        (seen, hash): (&Hash, &Hash),
        previous_until: Option<Timestamp>,
    ) -> Result<Option<Token>> {
        let (name, seen, hash) = (name.clone(), *seen, *hash);
        self.write(move |db, _| {
            let until = previous_until.map(Timestamp::as_micros);
            let params = params![name.as_str(), hash.as_bytes(), until, seen.as_bytes()];
            one(db, sql::ROTATE_TOKEN, params, token)
        })
        .await
    }

    async fn revoke_token(&self, name: &ClassName, revoked: &Revoked) -> Result<Option<Token>> {
        let (name, revoked) = (name.clone(), revoked.clone());
        self.write(move |db, _| {
            let at = revoked.revoked_at.as_micros();
            let params = params![name.as_str(), at, revoked.revoked_by.as_str()];
            one(db, sql::REVOKE_TOKEN, params, token)
        })
        .await
    }

    async fn note_token_uses(&self, uses: &[(ClassName, Timestamp)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        self.write(move |db, _| {
            for (name, at) in &uses {
                let params = params![name.as_str(), at.as_micros()];
                execute(db, sql::NOTE_TOKEN_USES, params)?;
            }
            Ok(())
        })
        .await
    }
}

fn add(db: &Connection, token: &Token) -> Result<bool> {
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
    let (previous, until) = token.previous.unzip();
    let classes: Vec<&str> = token.classes.iter().map(ClassName::as_str).collect();
    let revoked = token.revoked.as_ref();
    let params = params![
        token.name.as_str(),
        token.role.as_str(),
        classes.join(","),
        token.scope.to_string(),
        token.hash.as_bytes(),
        previous.as_ref().map(Hash::as_bytes),
        micros(until),
        token.created_at.as_micros(),
        token.created_by.as_str(),
        micros(token.expires_at),
        micros(token.last_used_at),
        micros(revoked.map(|revoked| revoked.revoked_at)),
        revoked.map(|revoked| revoked.revoked_by.as_str()),
    ];
    Ok(one(db, sql::ADD_TOKEN, params, |_| Ok(()))?.is_some())
}

fn token(row: &Row<'_>) -> Result<Token> {
    let mut columns = Columns::new(row, "tokens");
    Ok(Token {
        name: columns.take(row::parsed)?,
        role: columns.take(row::parsed)?,
        classes: columns.take(|value| {
            let text = value.as_str().ok()?;
            let names = text.split(',').filter(|name| !name.is_empty());
            names.map(|name| name.parse().ok()).collect()
        })?,
        scope: columns.take(row::parsed)?,
        hash: columns.take(row::hash)?,
        previous: columns.maybe(row::hash)?.zip(columns.maybe(row::time)?),
        created_at: columns.take(row::time)?,
        created_by: columns.take(row::parsed)?,
        expires_at: columns.maybe(row::time)?,
        last_used_at: columns.maybe(row::time)?,
        revoked: {
            let (at, by) = (columns.maybe(row::time)?, columns.maybe(row::parsed)?);
            at.zip(by).map(|(revoked_at, revoked_by)| Revoked {
                revoked_at,
                revoked_by,
            })
        },
    })
}
