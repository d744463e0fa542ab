//! The test harness keeps its own promises: servers start, die and go away as it says.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use support::processes::{alive, descendants, signal};
use support::{Cluster, ClusterOptions, PgBouncer, TestCluster};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Tells a test which this file started as a process of its own to hold its servers until killed.
const HOLD: &str = "TENURE_TEST_HOLD";

#[tokio::test]
async fn clones_of_a_template_do_not_see_each_other() {
    static MIGRATIONS: AtomicU32 = AtomicU32::new(0);
    let cluster = TestCluster::shared().await;
    let migrate = async |url: String| {
        MIGRATIONS.fetch_add(1, Ordering::Relaxed);
        connect(&url)
            .await
            .batch_execute("CREATE TABLE note (body text)")
            .await
            .unwrap();
    };
    let template = cluster.template("notes", migrate).await;
    let again = cluster.template("notes", migrate).await;
    assert_eq!(MIGRATIONS.load(Ordering::Relaxed), 1);

    let (one, other) = tokio::join!(cluster.database(&template), cluster.database(&again));
    assert_ne!(one.name(), other.name());
    let client = connect(one.url()).await;
    client
        .batch_execute("INSERT INTO note VALUES ('mine')")
        .await
        .unwrap();
    assert_eq!(count(&client, "SELECT count(*) FROM note").await, 1);
    assert_eq!(
        count(&connect(other.url()).await, "SELECT count(*) FROM note").await,
        0
    );

    let empty = cluster.empty_database().await;
    let unknown = connect(empty.url())
        .await
        .query("SELECT 1 FROM note", &[])
        .await;
    assert_eq!(
        unknown.unwrap_err().code(),
        Some(&SqlState::UNDEFINED_TABLE)
    );

    let named = format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{}'",
        one.name()
    );
    drop(one); // the connection still open
    let rest = connect(other.url()).await;
    assert_eq!(
        count(&rest, &named).await,
        0,
        "a database goes with its test"
    );
}

#[tokio::test]
async fn given_server_is_used_and_cleaned() {
    const OURS: &str = "SELECT count(*) FROM pg_database WHERE datname LIKE 'tenure_test_%'";
    let cluster = Cluster::start(&ClusterOptions::default()).await;
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("CREATE DATABASE tenure_test_1000000000_0_0")
        .await
        .unwrap();

    let mut tests = own_test("clones_of_a_template_do_not_see_each_other");
    tests.env("TENURE_TEST_POSTGRES_URL", cluster.url("postgres"));
    assert!(tests.output().unwrap().status.success());
    assert_eq!(
        count(&client, OURS).await,
        1,
        "all are dropped but the template"
    );
    let old = format!("{OURS} AND datname LIKE '%_1000000000_%'");
    assert_eq!(
        count(&client, &old).await,
        0,
        "an earlier run's is dropped too"
    );
}

#[tokio::test]
async fn tests_killed_leave_no_process_and_no_folder() {
    const NAME: &str = "tests_killed_leave_no_process_and_no_folder";
    if std::env::var_os(HOLD).is_some() {
        let cluster = Cluster::start(&ClusterOptions::default()).await;
        let bouncer = PgBouncer::start(&cluster.url("postgres"), &[]).await;
        connect(&bouncer.url("postgres"))
            .await
            .batch_execute("SELECT 1")
            .await
            .unwrap();
        println!("\nholding {}", cluster.folder().display());
        std::future::pending::<()>().await;
    }
    let mut tests = own_test(NAME)
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = held_folder(&mut tests);
    let servers = descendants(tests.id());
    let names: BTreeSet<_> = servers.iter().filter_map(|&pid| name(pid)).collect();
    assert!(
        names.contains("postgres") && names.contains("pgbouncer"),
        "{names:?}"
    );
    assert!(folder.exists());

    // At its worst: the kernel hangs up on a group that has a stopped process and loses its parent.
    let postmaster = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    signal(
        "STOP",
        &[postmaster.lines().next().unwrap().parse().unwrap()],
    );
    tests.kill().unwrap(); // SIGKILL
    tests.wait().unwrap();
    let killed = Instant::now();
    while servers.iter().any(|&pid| alive(pid)) || folder.exists() {
        assert!(
            killed.elapsed() < Duration::from_secs(10),
            "servers outlive the tests"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn killed_server_comes_back_with_what_it_committed() {
    let mut cluster = Cluster::start(&ClusterOptions::default().durable()).await;
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("CREATE TABLE note (body text)")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO note VALUES ('committed')")
        .await
        .unwrap();
    client
        .batch_execute("BEGIN; INSERT INTO note VALUES ('not committed')")
        .await
        .unwrap();
    let mut processes = descendants(cluster.postmaster());
    processes.push(cluster.postmaster());

    cluster.kill_9().await;
    assert!(!processes.into_iter().any(alive));
    assert!(client.batch_execute("COMMIT").await.is_err());
    cluster.restart().await;
    assert!(
        cluster.log().contains("was not properly shut down"),
        "{}",
        cluster.log()
    );
    let client = connect(&cluster.url("postgres")).await;
    assert_eq!(count(&client, "SELECT count(*) FROM note").await, 1);
    assert_eq!(setting(&client, "fsync").await, "on");
}

#[tokio::test]
async fn killed_server_leaves_no_shared_memory() {
    let segments = || std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let mut cluster = Cluster::start(&ClusterOptions::default()).await;
    let postmaster = format!(" {} ", cluster.postmaster()); // who made the segment
    cluster.kill_9().await;
    assert!(segments().contains(&postmaster), "{}", segments());
    drop(cluster);
    assert!(!segments().contains(&postmaster), "{}", segments());
}

#[tokio::test]
async fn stopped_server_has_nothing_to_recover() {
    let options = ClusterOptions::default().tcp().setting("work_mem = '7MB'");
    let mut cluster = Cluster::start(&options).await;
    let client = connect(&cluster.tcp_url("postgres")).await;
    assert_eq!(setting(&client, "fsync").await, "off");
    assert_eq!(setting(&client, "work_mem").await, "7MB");

    let postmaster = cluster.postmaster();
    cluster.stop_gracefully().await;
    assert!(!alive(postmaster));
    cluster.restart().await;
    cluster.restart().await;
    assert!(
        !cluster.log().contains("was not properly shut down"),
        "{}",
        cluster.log()
    );
    let client = connect(&cluster.tcp_url("postgres")).await;
    assert_eq!(setting(&client, "work_mem").await, "7MB");
}

#[tokio::test]
async fn bouncer_hands_out_the_server_by_the_transaction() {
    let cluster = TestCluster::shared().await;
    let database = cluster.empty_database().await;
    let settings = ["default_pool_size = 1", "query_wait_timeout = 5"];
    let bouncer = PgBouncer::start(database.url(), &settings).await;
    let url = bouncer.url(database.name());
    let (one, other) = tokio::join!(connect(&url), connect(&url));
    assert_eq!(simple(&one, "SELECT 1").await, "1");
    // Two clients, one connection: only by the transaction can both have it.
    let backend = simple(&one, "SELECT pg_backend_pid()").await;
    assert_eq!(
        simple(&other, "SELECT pg_backend_pid()").await,
        backend,
        "{}",
        bouncer.log()
    );
    assert_eq!(
        simple(&other, "SELECT current_database()").await,
        database.name()
    );
}

#[tokio::test]
async fn tls_server_shows_a_certificate_and_refuses_plain_clients() {
    let cluster = Cluster::start(&ClusterOptions::default().tls()).await;
    let url = cluster.tls_url("postgres");
    let client = connect_with(&url, rustls(Some(&cluster.authority())))
        .await
        .unwrap();
    let version = simple(
        &client,
        "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    );
    assert_eq!(version.await, "TLSv1.3");

    let stranger = connect_with(&url, rustls(None)).await.err().unwrap();
    assert!(
        format!("{stranger:?}").contains("UnknownIssuer"),
        "{stranger:?}"
    );
    let plain = connect_with(&cluster.tcp_url("postgres"), NoTls)
        .await
        .err()
        .unwrap();
    assert!(
        format!("{plain:?}").contains("no pg_hba.conf entry"),
        "{plain:?}"
    );
}

/// One test of this file, to be run as a process of its own.
fn own_test(name: &str) -> Command {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests
        .args([name, "--exact", "--nocapture"])
        .stdin(Stdio::null());
    tests
}

fn held_folder(tests: &mut Child) -> PathBuf {
    let lines = BufReader::new(tests.stdout.take().unwrap()).lines();
    let holding = lines
        .map(Result::unwrap)
        .find_map(|line| Some(line.strip_prefix("holding ")?.into()));
    holding.expect("the test starts its servers")
}

fn name(pid: u32) -> Option<String> {
    Some(
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()?
            .trim()
            .to_owned(),
    )
}

async fn connect(url: &str) -> Client {
    connect_with(url, NoTls).await.unwrap()
}

async fn connect_with<T>(url: &str, tls: T) -> Result<Client, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send> + Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = tokio_postgres::connect(url, tls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn count(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn setting(client: &Client, name: &str) -> String {
    simple(client, &format!("SHOW {name}")).await
}

/// The one value that a query answers, without preparing it.
async fn simple(client: &Client, query: &str) -> String {
    let messages = client.simple_query(query).await.unwrap();
    let value = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    value.unwrap().to_owned()
}

/// A TLS client that trusts only what `authority` signed, or nobody.
fn rustls(authority: Option<&Path>) -> MakeRustlsConnect {
    let mut trusted = RootCertStore::empty();
    if let Some(file) = authority {
        trusted
            .add(CertificateDer::from_pem_file(file).unwrap())
            .unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    MakeRustlsConnect::new(config.with_root_certificates(trusted).with_no_client_auth())
}
