//! TLS: what `sslmode` and `sslrootcert` promise about who is at the other end.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod fleet;
mod support;

use support::{Cluster, ClusterOptions};
use tenure::{Readiness, Upkeep};
use tenure_postgres::{MigrateOptions, Options, PostgresStore, migrate};

fn store(url: &str) -> PostgresStore {
    PostgresStore::connect(url, Options::default()).unwrap()
}

#[tokio::test]
async fn p12_the_server_is_who_its_certificate_says() {
    let cluster = Cluster::start(&ClusterOptions::default().tls()).await;
    let stranger = Cluster::start(&ClusterOptions::default().tls()).await;
    migrate(&cluster.url("postgres"), MigrateOptions::default())
        .await
        .unwrap();
    let base = cluster.tls_url("postgres");
    let base = base.split('?').next().unwrap().to_owned();
    let ours = cluster.authority().display().to_string();
    let theirs = stranger.authority().display().to_string();
    for (url, parameters, works) in [
        (&base, "sslmode=disable".to_owned(), false),
        (&base, "sslmode=prefer".to_owned(), true),
        (&base, "sslmode=require".to_owned(), true),
        (&base, format!("sslmode=require&sslrootcert={ours}"), true),
        (
            &base,
            format!("sslmode=require&sslrootcert={theirs}"),
            false,
        ),
        (&base, format!("sslmode=verify-ca&sslrootcert={ours}"), true),
        (
            &base,
            format!("sslmode=verify-ca&sslrootcert={theirs}"),
            false,
        ),
        (
            &base,
            format!("sslmode=verify-full&sslrootcert={ours}"),
            true,
        ),
        (
            &base,
            format!("sslmode=verify-full&sslrootcert={theirs}"),
            false,
        ),
    ] {
        let readiness = store(&format!("{url}?{parameters}")).readiness().await;
        assert_eq!(readiness.is_ready(), works, "{parameters}: {readiness:?}");
        if let Readiness::Unreachable { why } = readiness {
            assert!(!why.contains("127.0.0.1"), "{why}");
        }
    }
    // A certificate of the right authority, for another host.
    let hostaddr = |mode: &str| {
        let url = base.replace("127.0.0.1", "example.com");
        format!("{url}?hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={ours}")
    };
    assert!(store(&hostaddr("verify-ca")).readiness().await.is_ready());
    assert!(!store(&hostaddr("verify-full")).readiness().await.is_ready());
}

#[tokio::test]
async fn verifying_without_an_authority_or_with_an_unreadable_one_is_refused() {
    for parameters in [
        "sslmode=verify-full",
        "sslmode=verify-full&sslrootcert=/nowhere/at/all.pem",
    ] {
        let url = format!("postgres://localhost/db?{parameters}");
        let error = PostgresStore::connect(&url, Options::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("sslrootcert"), "{error}");
    }
}
