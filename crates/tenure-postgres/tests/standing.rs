//! What is told of the feed and of the connections. Alone in its process: a transaction of any other test
//! would keep the feed back too.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use fleet::Way;
use tenure::conformance::Setup;
use tenure::{KeptBack, PageSize, PoolUse, Upkeep as _};

#[tokio::test]
async fn what_an_open_transaction_keeps_from_the_feed_is_counted_until_it_ends() {
    let setup = Setup::new(&Way::Named).await;
    setup.create("before").await;
    let kept_back = async || setup.store.standing().await.unwrap().kept_back;
    // In another database of the same cluster, which is enough.
    let place = Way::Named.place().await;
    let open = place.connect().await;
    // The server's own housekeeping may have some open for a moment.
    while kept_back().await != KeptBack::default() {
        tokio::task::yield_now().await;
    }
    let begin = "BEGIN; SELECT pg_current_xact_id()";
    open.batch_execute(begin).await.unwrap();
    setup.create("acme").await;
    setup.create("globex").await;
    let now = setup.store.now().await.unwrap();
    let kept = kept_back().await;
    assert_eq!(kept.changes, 2);
    let oldest = kept.oldest.unwrap();
    assert!(oldest <= now, "{oldest} is after {now}");
    open.batch_execute("COMMIT").await.unwrap();
    while kept_back().await != KeptBack::default() {
        tokio::task::yield_now().await;
    }
    let changes = setup.store.changes(None, PageSize::MAX).await.unwrap();
    assert_eq!(changes.lines.len(), 3);

    let store = place.store(|_| ());
    let none = PoolUse {
        most: 4,
        ..PoolUse::default()
    };
    assert_eq!(store.pool(), Some(none));
    store.now().await.unwrap();
    let one = PoolUse {
        open: 1,
        idle: 1,
        ..none
    };
    assert_eq!(store.pool(), Some(one));
    store.close().await;
}
