//! The whole program, reconciling while its servers are killed with `kill -9`, or stopped for longer
//! than a lease and continued: no two of them work on one tenant at once, whoever was paused can't
//! write any more, and every tenant ends as it was wanted last.
//!
//! `TENURE_TEST_SEED` repeats the dice of a run; `TENURE_TEST_TENANTS` sets how many tenants it has.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

mod clients;
#[path = "../cli/dice.rs"]
mod dice;
mod evidence;
mod fleet;
mod journal;
#[path = "../../../tenure-postgres/tests/support/mod.rs"]
mod postgres;
#[path = "../cli/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use clients::{Client, Life, Servers};
use dice::Dice;
use evidence::Evidence;
use fleet::{Fleet, Kept};
use postgres::{Cluster, ClusterOptions};

/// How many tenants live, unless `TENURE_TEST_TENANTS` says so.
const TENANTS: u64 = 120;

/// One tenant of so many is not deleted.
const KEPT_OF: u64 = 10;

const CLIENTS: u64 = 12;

/// How long the clients may take to get all their answers, and then all work to come to its end, for
/// each tenant, but a minute at least.
const EACH_MAX: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p6_p7_p8_two_servers_on_postgres_survive_kills_and_pauses() {
    let cluster = Cluster::start(&ClusterOptions::default()).await;
    survive(Kept::Cluster(cluster), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p6_p7_p8_a_server_on_sqlite_survives_kills_and_pauses() {
    survive(Kept::File, 1).await;
}

async fn survive(kept: Kept, servers: usize) {
    let mut dice = Dice::cast();
    println!("seed {0}: repeat with TENURE_TEST_SEED={0}", dice.seed);
    let began = Instant::now();
    let given = std::env::var_os("TENURE_TEST_TENANTS");
    let tenants = given.map_or(TENANTS, |n| n.to_string_lossy().parse().unwrap());
    let patience = (EACH_MAX * u32::try_from(tenants).unwrap()).max(Duration::from_mins(1));
    let addresses = Servers::new(servers);
    let mut fleet = Fleet::start(kept, &addresses, dice.seed);

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let theirs = (0..tenants).filter(|n| n % CLIENTS == number);
        let lives = theirs.map(|n| Life::new(n, n % KEPT_OF != 0, &mut dice));
        let client = Client::new(number, lives.collect(), dice.next(), &addresses);
        clients.spawn(client.live());
    }
    let over = watch::Sender::new(false);
    let disturbed = fleet.disturb(&mut dice, &over);
    let told = timeout(patience, clients.join_all()).await;
    let told = told.expect("the clients should have ended by now");
    over.send_replace(true);
    fleet.settle(disturbed).await;
    println!("no more disturbances after {:.1?}", began.elapsed());
    let rested = timeout(patience, addresses.rest(tenants)).await;
    rested.expect("all work should have ended by now");
    fleet.stop();

    let store = tenure_server::open::open(fleet.url()).await.unwrap();
    let evidence = Evidence::gather(&*store, told, fleet.folder()).await;
    store.close().await;
    let seconds = began.elapsed().as_secs_f32();
    println!("{evidence}, {seconds:.1} s, seed {}", dice.seed);
    evidence.check();
    fleet.doctor();
}
