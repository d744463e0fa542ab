//! What a claim costs. Alone in its process: the rows that it needs take a long transaction, and that
//! would change the plans that other tests look at.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what goes wrong here fails the test"
)]

mod fleet;
mod support;

use fleet::Way;
use tenure_postgres::statements;

/// Sixty thousand tenants with due work, of three classes and in both lanes.
const BUSY: &str = "
    SET session_replication_role = replica;
    INSERT INTO work (tenant_id, class, state, due_at, routine)
    SELECT
        ('019b0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
        CASE i % 3 WHEN 0 THEN 'default' WHEN 1 THEN 'gpu' ELSE 'other' END, 'ready',
        now() - i * interval '1 second', i % 2 = 0
    FROM generate_series(1, 60000) AS i;
    SET session_replication_role = origin;
    ANALYZE";

#[tokio::test]
async fn p11_a_claim_touches_no_more_than_it_may_take_whatever_is_due() {
    let setup = Way::Named.place().await;
    let client = setup.connect().await;
    client.batch_execute(BUSY).await.unwrap();
    let (_, text, _) = statements()
        .into_iter()
        .find(|(name, _, _)| *name == "claim")
        .unwrap();
    for mode in ["force_generic_plan", "force_custom_plan"] {
        client
            .batch_execute(&format!(
                "SET plan_cache_mode = {mode}; PREPARE p (
                    text, text[], bigint[], bigint[], bigint[], bigint, bigint
                ) AS {text}"
            ))
            .await
            .unwrap();
        let claim = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE p (
            'w', '{default,gpu}', '{60000000,60000000}', '{10,6}', '{2,2}', 300000000, 500)";
        let rows = client.query(claim, &[]).await.unwrap();
        client.batch_execute("DEALLOCATE p").await.unwrap();
        let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        let plan = lines.join("\n");
        assert!(!plan.contains("Seq Scan"), "{mode}:\n{plan}");
        // Of each class both lanes up to their limits; then those that are taken.
        assert_eq!(read(&plan, "work_due"), 10 + 2 + 6 + 2, "{mode}:\n{plan}");
        assert_eq!(read(&plan, "work_pkey"), 10 + 6, "{mode}:\n{plan}");
    }
}

/// How many rows the scans of an index gave, in all their loops. PostgreSQL tells a rounded average,
/// so the counts above divide without a rest.
fn read(plan: &str, index: &str) -> u64 {
    let scan = plan
        .lines()
        .find(|line| line.contains(&format!("using {index} ")));
    let line = scan.unwrap_or_else(|| panic!("{index} is not used:\n{plan}"));
    let number = |mark: &str| -> u64 {
        let (_, rest) = line.split_once(mark).unwrap();
        let digits = rest.split([' ', ')', '.']).next().unwrap();
        digits.parse().unwrap()
    };
    number("actual rows=") * number("loops=")
}
