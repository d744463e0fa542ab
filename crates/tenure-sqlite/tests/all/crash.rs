//! What was acknowledged outlives `kill -9`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tenure::TenantId;
use tenure::conformance::Setup;

use crate::support::{On, Scratch};

/// Names the directory to work in, to the process that is to be killed.
const CHILD: &str = "TENURE_TEST_WRITES_UNTIL_KILLED";

/// Not a test of its own: what the process runs that the test below kills.
#[tokio::test]
async fn writes_until_killed() {
    let Some(directory) = std::env::var_os(CHILD) else {
        return;
    };
    let scratch = Arc::new(Scratch::at(Path::new(&directory)));
    let setup = Setup::new(&On(scratch)).await;
    loop {
        let name = format!("t{}", setup.tick());
        let id = setup.create(&name).await.id;
        // Only what was acknowledged is told, and it is told at once.
        println!("\nacknowledged {id}");
    }
}

#[tokio::test]
async fn p2_what_was_acknowledged_survives_kill_9() {
    for told in [1, 40, 200] {
        let scratch = Arc::new(Scratch::new());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::writes_until_killed", "--nocapture"])
            .env(CHILD, scratch.path().parent().unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        let told: Vec<TenantId> = lines
            .by_ref()
            .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned))
            .take(told)
            .map(|id| id.parse().unwrap())
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        let setup = Setup::new(&On(Arc::clone(&scratch))).await;
        for id in &told {
            assert_eq!(setup.history(*id).await.len(), 1, "{id}");
            setup.tenant(*id).await;
        }
        let feed = setup.feed().await;
        assert!(told.iter().zip(&feed).all(|(id, line)| *id == line.tenant));
    }
}
