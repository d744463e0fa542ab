//! SQLite: group commit against one transaction for each command, same code, same file.

use std::sync::Arc;

use tenure::Records;
use tenure_sqlite::{Options, SqliteStore};
use tokio::sync::Mutex;

use crate::run::{Plan, Speeds, print, speed};
use crate::work;

/// Measures durable creates at 1, 32 and 256 callers.
pub(crate) async fn measure(plan: Plan) {
    println!("SQLite, synchronous=FULL: creates, grouped and one transaction each");
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("bench.db"), Options::default()).unwrap();
    let store = Arc::new(store);
    let document = work::document();
    let one_at_a_time = Arc::new(Mutex::new(()));
    for callers in [1, 32, 256] {
        let mut grouped = Speeds::new("grouped");
        let mut single = Speeds::new("single");
        for _ in 0..plan.rounds {
            for (speeds, turns) in [(&mut grouped, None), (&mut single, Some(&one_at_a_time))] {
                let (store, document) = (Arc::clone(&store), document.clone());
                let turns = turns.map(Arc::clone);
                let operation = move |_, _| {
                    let (store, turns) = (Arc::clone(&store), turns.clone());
                    let change = work::create(&document);
                    async move {
                        // Whoever waits for its turn is alone in its transaction.
                        let turn = match &turns {
                            Some(turns) => Some(turns.lock().await),
                            None => None,
                        };
                        store.commit(&change).await.unwrap();
                        drop(turn);
                    }
                };
                speeds
                    .rounds
                    .push(speed(callers, plan.span, operation).await);
            }
        }
        print(&format!("create, {callers} callers"), &[&grouped, &single]);
    }
    println!();
}
