//! What the server counted: statements, commits, log, pages and bytes.

use tokio_postgres::Client;

/// What the server had counted at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    commits: i64,
    statements: i64,
    wal_bytes: i64,
    updates: i64,
    hot_updates: i64,
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

impl Counters {
    /// Reads them, once the server has put its own statistics down.
    pub(crate) async fn read(client: &Client) -> Self {
        client
            .batch_execute("SELECT pg_stat_force_next_flush()")
            .await
            .unwrap();
        // What other sessions count reaches the view at most a second later.
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let tables = "SELECT sum({})::bigint FROM pg_stat_user_tables WHERE relname = 'tenants'";
        Self {
            // Transaction ids are given to transactions that write, and are exact at once.
            commits: number(
                client,
                "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
            )
            .await,
            statements: number(
                client,
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
                 WHERE query LIKE '%INSERT INTO history%'",
            )
            .await,
            wal_bytes: number(
                client,
                "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint",
            )
            .await,
            updates: number(client, &tables.replace("{}", "n_tup_upd")).await,
            hot_updates: number(client, &tables.replace("{}", "n_tup_hot_upd")).await,
        }
    }

    /// Prints what was counted since `before`, for so many commands.
    pub(crate) fn print_since(&self, before: &Self, name: &str, commands: u64) {
        let each = |now: i64, then: i64| (now - then) as f64 / commands as f64;
        let updates = (self.updates - before.updates).max(1);
        print!(
            "{name:<12} statements/command {:.3}  commits/command {:.3}  WAL bytes/command {:.0}",
            each(self.statements, before.statements),
            each(self.commits, before.commits),
            each(self.wal_bytes, before.wal_bytes),
        );
        if self.updates > before.updates {
            let hot = self.hot_updates - before.hot_updates;
            print!("  HOT {:.1} %", 100.0 * hot as f64 / updates as f64);
        }
        println!();
    }
}

/// Prints the bytes a row of each table, its indexes included, after the table was packed.
pub(crate) async fn print_bytes(client: &Client) {
    for table in ["tenants", "history", "documents", "work", "feed"] {
        client
            .batch_execute(&format!("VACUUM FULL {table}"))
            .await
            .unwrap();
        let row = client
            .query_one(
                &format!(
                    "SELECT pg_total_relation_size('{table}'), pg_indexes_size('{table}'),
                     (SELECT count(*) FROM {table})"
                ),
                &[],
            )
            .await
            .unwrap();
        let (all, indexes, rows): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        println!(
            "{table:<12} {:>6.0} bytes a row, {:>4.0} of them indexes ({rows} rows)",
            all as f64 / rows as f64,
            indexes as f64 / rows as f64,
        );
    }
}
