//! Keeps a tenant in a file, with no server: creates it, reads its history, and asks why it stands
//! where it stands.

#![expect(clippy::print_stdout, reason = "it says what it finds")]
#![expect(
    clippy::disallowed_methods,
    reason = "ids are made where a command comes in"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tenure::{
    ClassView, Clock, Command, Context, Direction, Document, Engine, Freshness, HistoryQuery,
    Message, PageSize, Request, Selector, Store, SystemClock, TenantId, TenantRef, Wanted, explain,
};
use tenure_sqlite::{Options, SqliteStore};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    keep(Path::new("tenants.db")).await
}

/// Keeps a tenant in this file.
pub(crate) async fn keep(file: &Path) -> Result<(), Box<dyn Error>> {
    // One process uses a file; it is made if there is none.
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(file, Options::default())?);
    let engine = Engine::new(Arc::clone(&store));
    let acme = TenantRef::Name("acme".parse()?);

    // `Apply` creates it, or changes it if it is there; `Create` only creates.
    let wanted = Wanted {
        id: TenantId::new(Uuid::now_v7()),
        name: "acme".parse()?,
        class: None,
        labels: None,
        annotations: None,
        desired: Document::parse(r#"{"plan": "gold", "seats": 10}"#)?,
        running: None,
    };
    let answer = engine
        .execute(&Request {
            who: acme.clone(),
            command: Command::Apply(wanted),
            context: Context {
                at: SystemClock.now(),
                actor: "user:maria".parse()?,
                request_id: Uuid::now_v7(),
                message: Message::none(),
            },
            if_id: None,                // whoever has the name
            if_revision: None,          // whatever revision it is at
            scope: Selector::default(), // all tenants are there for whoever asks
            key: None,                  // an idempotency key, if the client gave one
            dry_run: false,
        })
        .await?;
    println!("{:?} at revision {}", answer.effect, answer.tenant.revision);

    let whole = HistoryQuery {
        after: None,
        direction: Direction::Ascending,
        transitions_only: false,
        kinds: BTreeSet::new(),
        limit: PageSize::MAX,
    };
    for line in store.history(answer.tenant.id, &whole).await? {
        println!(
            "{} {} {} by {}",
            line.revision, line.at, line.reason, line.actor
        );
    }

    if let Some(record) = store.get(&acme, Freshness::Primary).await? {
        let class = ClassView::default(); // a class at which nothing happens
        println!(
            "{}",
            explain(&record, Some(&class), SystemClock.now()).summary
        );
    }

    store.close().await;
    Ok(())
}
