//! The same life on any store, and what it leaves as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::dice::Dice;
use super::{applied, start};
use crate::check::histories;
use crate::{
    Context, Decision, Engine, EngineError, Freshness, Hash, Line, Message, Request, Store,
    StoreError, TenantId, TenantRef, decide_report,
};

/// How many tenants a trace is about at a time.
const NAMES: usize = 20;

/// Leads some twenty names through this many random commands and reports, one after the other.
///
/// Times, ids and choices follow from the seed, and nothing asks the store's clock: after the same
/// trace, every store must give the same [`export`].
pub async fn trace(store: Arc<dyn Store>, seed: u64, steps: u64) {
    let engine = Engine::new(Arc::clone(&store));
    let mut dice = Dice::new(seed);
    for step in 1..=steps {
        let name = format!("tenant-{}", dice.below(NAMES));
        let who = TenantRef::Name(name.parse().expect("a good name"));
        let said = *dice.pick(&["", "as asked", "\u{1f980} 'why' \\ not"]);
        let context = Context {
            // Sometimes a clock goes back, or stands still.
            at: start().plus(Duration::from_millis(step - dice.number() % step.min(3))),
            actor: format!("user:u{}", dice.below(3))
                .parse()
                .expect("a good actor"),
            request_id: Uuid::from_u64_pair(seed, step),
            message: Message::lossy(said),
        };
        let loaded = store.load(&who, None).await.expect("loading works");
        let tenant = loaded.record.map(|record| record.tenant);
        if let Some(tenant) = tenant.filter(|_| !dice.once_in(3)) {
            let report = dice.report(&tenant, 1);
            if let Decision::Change(change) = decide_report(&tenant, &report, &context) {
                applied(store.commit(&change).await);
            }
            continue;
        }
        let id = TenantId::new(Uuid::from_u64_pair(step, seed));
        let command = dice.command(id, &name);
        let request = Request {
            who,
            command,
            context,
            if_revision: None,
            if_id: None,
            scope: crate::Selector::default(),
            key: None,
            dry_run: false,
        };
        match engine.execute(&request).await {
            Ok(_) | Err(EngineError::Refused(_)) => {}
            Err(error) => panic!("seed {seed}, step {step}: {error}"),
        }
    }
}

/// All that a store records, as lines of canonical JSON: each tenant, followed by its history and
/// its documents, in the order of their ids, revisions and hashes.
///
/// What is only counted or planned (attempts, leases, due times, idempotency keys) is not in it.
/// Two stores that were asked the same give the same text, byte for byte.
///
/// # Errors
///
/// Trouble with the store, as its advice says.
pub async fn export(store: &dyn Store) -> Result<String, StoreError> {
    let mut text = String::new();
    for (id, lines) in histories(store).await? {
        let record = store.get(&TenantRef::Id(id), Freshness::Primary).await?;
        let tenant = record.map(|record| record.tenant);
        push(&mut text, &json!({"tenant": tenant}));
        for line in &lines {
            push(&mut text, &json!({"line": line}));
        }
        let documents: BTreeMap<Hash, TenantId> = lines
            .iter()
            .flat_map(named)
            .map(|hash| (hash, id))
            .collect();
        for (hash, id) in documents {
            let found = store.documents(id, &[hash]).await?;
            let document = found.first().map(crate::Document::to_value);
            push(
                &mut text,
                &json!({"tenant_id": id, "hash": hash, "document": document}),
            );
        }
    }
    Ok(text)
}

fn push(text: &mut String, value: &Value) {
    let line = serde_json_canonicalizer::to_string(value).expect("this has a canonical form");
    writeln!(text, "{line}").expect("text can be written");
}

fn named(line: &Line) -> impl Iterator<Item = Hash> {
    [
        Some(line.desired),
        line.observed,
        line.metadata,
        line.details,
    ]
    .into_iter()
    .flatten()
}
