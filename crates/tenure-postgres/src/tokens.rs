//! Who may use the API.

use async_trait::async_trait;
use tenure::{ClassName, Hash, PageSize, Result, Revoked, Timestamp, Token, Tokens};
use tokio_postgres::Row;

use crate::row::Columns;
use crate::session::{Call, Param};
use crate::value::{At, Sha};
use crate::{PostgresStore, sql};

#[async_trait]
impl Tokens for PostgresStore {
    async fn add_token(&self, token: &Token) -> Result<bool> {
        let classes: Vec<&str> = token.classes.iter().map(ClassName::as_str).collect();
        let (classes, scope) = (classes.join(","), token.scope.to_string());
        let (previous, until) = token.previous.unzip();
        let (previous, until) = (previous.map(Sha), until.map(At));
        let revoked = token.revoked.as_ref();
        let revoked_at = revoked.map(|revoked| At(revoked.revoked_at));
        let revoked_by = revoked.map(|revoked| revoked.revoked_by.as_str());
        let params: [Param<'_>; 13] = [
            &token.name.as_str(),
            &token.role.as_str(),
            &classes,
            &scope,
            &Sha(token.hash),
            &previous,
            &until,
            &At(token.created_at),
            &token.created_by.as_str(),
            &token.expires_at.map(At),
            &token.last_used_at.map(At),
            &revoked_at,
            &revoked_by,
        ];
        let call = Call::write("add_token", &sql::ADD_TOKEN, &params);
        Ok(!self.database.run(call).await?.is_empty())
    }

    async fn token(&self, name: &ClassName) -> Result<Option<Token>> {
        let params: [Param<'_>; 1] = [&name.as_str()];
        let call = Call::read("token", &sql::TOKEN, &params);
        self.database
            .run(call)
            .await?
            .first()
            .map(token)
            .transpose()
    }

    async fn token_of(&self, hash: &Hash) -> Result<Option<Token>> {
        let params: [Param<'_>; 1] = [&Sha(*hash)];
        let call = Call::read("token_of", &sql::TOKEN_OF, &params);
        self.database
            .run(call)
            .await?
            .first()
            .map(token)
            .transpose()
    }

    async fn tokens(&self, after: Option<&ClassName>, limit: PageSize) -> Result<Vec<Token>> {
        let after = after.map_or("", ClassName::as_str);
        let params: [Param<'_>; 2] = [&after, &i64::from(limit.get())];
        let call = Call::read("tokens", &sql::TOKENS, &params);
        self.database.run(call).await?.iter().map(token).collect()
    }

    async fn rotate_token(
        &self,
        name: &ClassName,
        (seen, hash): (&Hash, &Hash),
        previous_until: Option<Timestamp>,
    ) -> Result<Option<Token>> {
        let (until, seen) = (previous_until.map(At), Sha(*seen));
        let params: [Param<'_>; 4] = [&name.as_str(), &Sha(*hash), &until, &seen];
        let call = Call::write("rotate_token", &sql::ROTATE_TOKEN, &params);
        self.database
            .run(call)
            .await?
            .first()
            .map(token)
            .transpose()
    }

    async fn revoke_token(&self, name: &ClassName, revoked: &Revoked) -> Result<Option<Token>> {
        let (at, by) = (At(revoked.revoked_at), revoked.revoked_by.as_str());
        let params: [Param<'_>; 3] = [&name.as_str(), &at, &by];
        let call = Call::write("revoke_token", &sql::REVOKE_TOKEN, &params);
        self.database
            .run(call)
            .await?
            .first()
            .map(token)
            .transpose()
    }

    async fn note_token_uses(&self, uses: &[(ClassName, Timestamp)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = uses.iter().map(|(name, _)| name.as_str()).collect();
        let times: Vec<At> = uses.iter().map(|(_, at)| At(*at)).collect();
        let params: [Param<'_>; 2] = [&names, &times];
        let call = Call::write("note_token_uses", &sql::NOTE_TOKEN_USES, &params);
        self.database.run(call).await?;
        Ok(())
    }
}

fn token(row: &Row) -> Result<Token> {
    let mut columns = Columns::from(row, 0, "tokens");
    Ok(Token {
        name: columns.parse()?,
        role: columns.parse()?,
        classes: columns.parse_list()?,
        scope: columns.parse()?,
        hash: columns.next::<Sha>()?.0,
        previous: {
            let (hash, until) = (columns.next::<Option<Sha>>()?, columns.time_option()?);
            hash.map(|hash| hash.0).zip(until)
        },
        created_at: columns.time()?,
        created_by: columns.parse()?,
        expires_at: columns.time_option()?,
        last_used_at: columns.time_option()?,
        revoked: {
            let (at, by) = (columns.time_option()?, columns.parse_option()?);
            at.zip(by).map(|(revoked_at, revoked_by)| Revoked {
                revoked_at,
                revoked_by,
            })
        },
    })
}
