//! PostgreSQL: the library against pgbench with the same statements, and against two autocommits.

use std::sync::Arc;

use tenure::{Freshness, Queries, Record, Records, Tenant, TenantRef};
use tenure_postgres::{MigrateOptions, Options, PostgresStore, migrate};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::counters::{Counters, print_bytes};
use crate::pgbench::Script;
use crate::run::{Plan, Speeds, mean, print, speed};
use crate::support::{Cluster, ClusterOptions};
use crate::work;

const CALLERS: [usize; 3] = [1, 8, 32];

/// Everything that the contenders share.
struct Bench {
    cluster: Cluster,
    store: Arc<PostgresStore>,
    client: Client,
    plan: Plan,
    /// Each caller's own tenants, so that no race is lost: it is the speed that is measured.
    fleets: Vec<Arc<Mutex<Vec<Tenant>>>>,
    names: Arc<Vec<TenantRef>>,
}

/// Measures creates, transitions and gets at 1, 8 and 32 callers, then counts and weighs.
pub(crate) async fn measure(plan: Plan) {
    println!("PostgreSQL, fsync and full_page_writes on, Unix socket");
    let bench = Bench::new(plan).await;
    let mut ratios = Vec::new();
    for callers in CALLERS {
        bench.settle().await;
        ratios.push(bench.creates(callers).await);
        bench.settle().await;
        ratios.push(bench.transitions(callers).await);
        ratios.push(bench.gets(callers).await);
    }
    println!(
        "library÷pgbench, geometric mean of all cells: {:.2}\n",
        mean(&ratios)
    );
    bench.count().await;
    print_bytes(&bench.client).await;
    println!();
}

impl Bench {
    async fn new(plan: Plan) -> Self {
        let options = ClusterOptions::default()
            .durable()
            .setting("shared_preload_libraries = 'pg_stat_statements'")
            .setting("shared_buffers = '1GB'")
            .setting("max_wal_size = '4GB'");
        let cluster = Cluster::start(&options).await;
        let (admin, connection) = tokio_postgres::connect(&cluster.url("postgres"), NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        admin.batch_execute("CREATE DATABASE bench").await.unwrap();
        let url = cluster.url("bench");
        migrate(&url, MigrateOptions::default()).await.unwrap();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("CREATE EXTENSION pg_stat_statements")
            .await
            .unwrap();
        client
            .batch_execute(include_str!("../sql/wide.sql"))
            .await
            .unwrap();
        let mut options = Options::default();
        options.pool_size = 32;
        let store = Arc::new(PostgresStore::connect(&url, options).unwrap());
        let mut bench = Self {
            cluster,
            store,
            client,
            plan,
            fleets: Vec::new(),
            names: Arc::default(),
        };
        bench.fill().await;
        bench
    }

    /// Makes the tenants that transitions and gets are about, in both designs.
    async fn fill(&mut self) {
        let document = work::document();
        let callers = *CALLERS.iter().max().unwrap_or(&1);
        let mut names = Vec::new();
        let mut fleets: Vec<Vec<Tenant>> = vec![Vec::new(); callers];
        let changes: Vec<_> = (0..self.plan.tenants)
            .map(|_| work::create(&document))
            .collect();
        let mut follow = [Vec::new(), Vec::new()];
        for (n, change) in changes.iter().enumerate() {
            let [started, ready] = work::ready(change.tenant());
            names.push(TenantRef::Name(change.tenant().name.clone()));
            fleets[n % callers].push(ready.tenant().clone());
            follow[0].push(started);
            follow[1].push(ready);
        }
        let [started, ready] = follow;
        for step in [changes, started, ready] {
            for batch in step.chunks(500) {
                for answer in self.store.commit_many(batch).await {
                    answer.unwrap();
                }
            }
        }
        self.names = Arc::new(names);
        self.fleets = fleets
            .into_iter()
            .map(|fleet| Arc::new(Mutex::new(fleet)))
            .collect();
        let fill = format!(
            "CREATE TABLE bench_ids AS SELECT (row_number() OVER ())::int AS n, tenant_id, name FROM tenants;
             ALTER TABLE bench_ids ADD PRIMARY KEY (n);
             INSERT INTO wide_tenants (id, name, status, desired)
             SELECT tenant_id, name, 'ready', '{text}' FROM bench_ids;
             CREATE TABLE wide_ids AS SELECT n, tenant_id AS id FROM bench_ids;
             ALTER TABLE wide_ids ADD PRIMARY KEY (n);
             VACUUM ANALYZE",
            text = document.as_str()
        );
        for statement in fill.split(';') {
            self.client.batch_execute(statement).await.unwrap();
        }
    }

    /// Brings the planner's statistics up to date: pgbench plans anew each time it starts, while the
    /// library keeps the plans that its connections have.
    async fn settle(&self) {
        self.client.batch_execute("VACUUM ANALYZE").await.unwrap();
        self.client.batch_execute("CHECKPOINT").await.unwrap();
    }

    fn pgbench(&self, script: &Script, callers: usize) -> f64 {
        script.run(
            self.cluster.folder(),
            self.cluster.port(),
            callers,
            self.plan.span,
        )
    }

    async fn library_creates(&self, callers: usize) -> f64 {
        let (store, document) = (Arc::clone(&self.store), work::document());
        let operation = move |_, _| {
            let (store, change) = (Arc::clone(&store), work::create(&document));
            async move {
                store.commit(&change).await.unwrap();
            }
        };
        speed(callers, self.plan.span, operation).await
    }

    async fn library_transitions(&self, callers: usize) -> f64 {
        let (store, fleets) = (Arc::clone(&self.store), self.fleets.clone());
        let operation = move |caller: usize, count: u64| {
            let (store, fleet) = (Arc::clone(&store), Arc::clone(&fleets[caller]));
            async move {
                let mut fleet = fleet.lock().await;
                let at = count as usize % fleet.len();
                let change = work::transition(&fleet[at]);
                store.commit(&change).await.unwrap();
                fleet[at] = change.tenant().clone();
            }
        };
        speed(callers, self.plan.span, operation).await
    }

    async fn library_gets(&self, callers: usize) -> f64 {
        let (store, names) = (Arc::clone(&self.store), Arc::clone(&self.names));
        let operation = move |caller: usize, count: u64| {
            let (store, names) = (Arc::clone(&store), Arc::clone(&names));
            async move {
                let at = (caller * 7_919 + count as usize * 104_729) % names.len();
                let found: Option<Record> =
                    store.get(&names[at], Freshness::Primary).await.unwrap();
                assert!(found.is_some());
            }
        };
        speed(callers, self.plan.span, operation).await
    }

    async fn creates(&self, callers: usize) -> f64 {
        let document = work::document();
        let ours = Script::create(document.as_str());
        let theirs = Script::two_autocommits_create(document.as_str());
        let mut library = Speeds::new("library");
        let mut pgbench = Speeds::new("pgbench");
        let mut two = Speeds::new("two-autocommits");
        for _ in 0..self.plan.rounds {
            library.rounds.push(self.library_creates(callers).await);
            pgbench.rounds.push(self.pgbench(&ours, callers));
            two.rounds.push(self.pgbench(&theirs, callers));
        }
        print(
            &format!("create, {callers} callers"),
            &[&library, &pgbench, &two],
        );
        println!(
            "{:<28} pgbench÷two-autocommits {:.2}",
            "",
            pgbench.ratio_to(&two)
        );
        library.ratio_to(&pgbench)
    }

    async fn transitions(&self, callers: usize) -> f64 {
        let document = work::document();
        let ours = Script::transition(&document, self.plan.tenants);
        let theirs = Script::two_autocommits_transition(document.as_str(), self.plan.tenants);
        let mut library = Speeds::new("library");
        let mut pgbench = Speeds::new("pgbench");
        let mut two = Speeds::new("two-autocommits");
        for _ in 0..self.plan.rounds {
            library.rounds.push(self.library_transitions(callers).await);
            two.rounds.push(self.pgbench(&theirs, callers));
        }
        // pgbench moves the same tenants without telling the library, so it comes last.
        for _ in 0..self.plan.rounds {
            pgbench.rounds.push(self.pgbench(&ours, callers));
        }
        self.reload().await;
        print(
            &format!("transition, {callers} callers"),
            &[&library, &pgbench, &two],
        );
        println!(
            "{:<28} pgbench÷two-autocommits {:.2}",
            "",
            pgbench.ratio_to(&two)
        );
        library.ratio_to(&pgbench)
    }

    async fn gets(&self, callers: usize) -> f64 {
        let script = Script::get(self.plan.tenants);
        let mut library = Speeds::new("library");
        let mut pgbench = Speeds::new("pgbench");
        for _ in 0..self.plan.rounds {
            library.rounds.push(self.library_gets(callers).await);
            pgbench.rounds.push(self.pgbench(&script, callers));
        }
        print(
            &format!("get by name, {callers} callers"),
            &[&library, &pgbench],
        );
        library.ratio_to(&pgbench)
    }

    /// Loads the fleets anew, after pgbench has moved them.
    async fn reload(&self) {
        for fleet in &self.fleets {
            let mut fleet = fleet.lock().await;
            for batch in fleet.chunks_mut(500) {
                let ids: Vec<_> = batch.iter().map(|tenant| tenant.id).collect();
                let records = self.store.get_many(&ids).await.unwrap();
                for (tenant, record) in batch.iter_mut().zip(records) {
                    *tenant = record.tenant;
                }
            }
        }
    }

    /// Counts what a hundred commands of each kind cost the server.
    async fn count(&self) {
        let commands = 2_000_u64;
        let document = work::document();
        self.settle().await;
        // What the sessions before this counted arrives late; the second reading is after it.
        Counters::read(&self.client).await;
        let before = Counters::read(&self.client).await;
        for _ in 0..commands {
            self.store.commit(&work::create(&document)).await.unwrap();
        }
        let created = Counters::read(&self.client).await;
        let mut fleet = self.fleets[0].lock().await;
        for n in 0..commands {
            let at = n as usize % fleet.len();
            let change = work::transition(&fleet[at]);
            self.store.commit(&change).await.unwrap();
            fleet[at] = change.tenant().clone();
        }
        drop(fleet);
        let moved = Counters::read(&self.client).await;
        created.print_since(&before, "create", commands);
        moved.print_since(&created, "transition", commands);
    }
}
