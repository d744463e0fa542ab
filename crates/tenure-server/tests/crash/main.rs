//! The whole program, killed with `kill -9` while clients write and provisioners run: what was
//! acknowledged is there, nothing is there twice, and all work comes to its end.
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
mod machine;
#[path = "../../../tenure-postgres/tests/support/mod.rs"]
mod postgres;
#[path = "../cli/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use clients::{Reader, Run, Writer};
use dice::Dice;
use evidence::Evidence;
use machine::{Kept, Machine};
use support::PATIENCE;

/// How often something is killed.
const ROUNDS: u64 = 5;

const WRITERS: u64 = 6;

/// How long work may take to come to its end once nothing is killed any more.
const CONVERGENCE_MAX: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p2_p3_p5_what_was_acknowledged_survives_any_crash_of_the_server_on_sqlite() {
    survive(Kept::File).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p2_p3_p5_what_was_acknowledged_survives_any_crash_of_server_and_database_on_postgres() {
    survive(Kept::in_a_cluster().await).await;
}

async fn survive(kept: Kept) {
    let mut dice = Dice::cast();
    println!("seed {0}: repeat with TENURE_TEST_SEED={0}", dice.seed);
    let run = Run::begin();
    let mut machine = Machine::start(kept, &run);
    let mut writers = JoinSet::new();
    for number in 1..=WRITERS {
        let writer = Writer::new(number, dice.next(), &run, machine.folder());
        writers.spawn(writer.write());
    }
    let reader = tokio::spawn(Reader::new(&run).read());
    let first = dice.next();
    for round in 0..ROUNDS {
        run.acknowledge_more(10 + dice.below(100)).await;
        // Between two acknowledgements as well as at one.
        tokio::time::sleep(Duration::from_micros(dice.below(20_000))).await;
        let victim = machine.crash(first.wrapping_add(round)).await;
        println!("round {}: killed {victim}; {run}", round + 1);
    }
    run.acknowledge_more(20).await;
    run.stop_writing();
    let writers = timeout(PATIENCE, writers.join_all()).await.unwrap();
    let read = timeout(CONVERGENCE_MAX, reader).await;
    let read = read.expect("all work should have ended by now").unwrap();
    machine.stop();
    println!("at rest: {run}");

    let store = tenure_server::open::open(&machine.url()).await.unwrap();
    let evidence = Evidence::gather(&*store, &writers, read, &machine.operations()).await;
    store.close().await;
    println!("{evidence}");
    evidence.check();
    evidence.check_that_faults_would_be_found();
    machine.doctor();
}
