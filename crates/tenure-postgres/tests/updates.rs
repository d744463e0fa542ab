//! Updates stay within their page. Alone in its process: a long transaction of any other test would
//! keep old rows alive, and the pages full.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use fleet::Way;
use tenure::State;
use tenure::conformance::{Setup, patch};

#[tokio::test]
async fn p11_updates_of_tenants_stay_within_their_page() {
    let setup = Setup::new(&Way::Named).await;
    let mut tenants = Vec::new();
    for n in 0..60 {
        tenants.push(setup.lead_to(&format!("client-{n}"), State::Ready).await);
    }
    for round in 0..10 {
        for tenant in &mut tenants {
            *tenant = setup.command(tenant, &patch("round", round)).await;
        }
    }
    setup.store.close().await; // sessions report what they did when they end
    let updated = |share: &str| {
        format!(
            "UPDATE test_clock SET ahead = '0' WHERE EXISTS (SELECT 1 FROM pg_stat_user_tables \
             WHERE relname = 'tenants' AND n_tup_upd >= 700 AND {share})"
        )
    };
    while setup.raw(&updated("true")).await.unwrap().unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let within = updated("n_tup_hot_upd >= 0.95 * n_tup_upd");
    assert_eq!(setup.raw(&within).await.unwrap().unwrap(), 1);
}
