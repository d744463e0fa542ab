//! What a row costs.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use fleet::Way;

#[tokio::test]
async fn p11_tenants_and_lines_are_narrow() {
    let place = Way::Named.place().await;
    let client = place.connect().await;
    let seed = format!(
        "SET session_replication_role = replica; {}; SET session_replication_role = origin",
        // More, so that what each table and index takes at least counts for little.
        include_str!("seed.sql").replace("1, 2000", "1, 10000")
    );
    client.batch_execute(&seed).await.unwrap();
    for (table, most) in [
        ("tenants", 400_i64),
        ("history", 350),
        ("feed", 160),
        ("work", 310),
    ] {
        let bytes: i64 = client
            .query_one(
                &format!(
                    "SELECT (pg_relation_size('{table}') + pg_indexes_size('{table}')) \
                     / (SELECT count(*) FROM {table})"
                ),
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert!(
            bytes <= most,
            "a row of {table} with its indexes takes {bytes} bytes"
        );
    }
}
