//! The edge of the server: TLS with certificates that change, and who may connect.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity};
use tempfile::TempDir;
use tenure::conformance::MemoryStore;
use tenure::{Engine, SystemClock};
use tenure_server::api::{self, ApiOptions, ApiState};
use tenure_server::config::Tls;
use tenure_server::server::{self, ConnectionLimits, Exposure, ServerTls, Terms, TlsError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// An authority, and what it signed: keys and certificates in files.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(TempDir::new().unwrap());
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let ended = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }

    /// Signs a certificate for 127.0.0.1.
    fn sign(&self, name: &str) {
        let (key, csr, pem) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
        );
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &csr,
        ]);
        std::fs::write(
            self.file("names"),
            "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )
        .unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            &pem,
        ]);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap()
    }

    fn files(&self, name: &str) -> Tls {
        Tls {
            cert_file: self.file(&format!("{name}.pem")),
            key_file: self.file(&format!("{name}.key")),
            client_ca_file: None,
        }
    }

    /// A client that trusts this authority and shows no certificate.
    fn client(&self) -> Client {
        let root = Certificate::from_pem(&self.read("ca.pem")).unwrap();
        let client = Client::builder().tls_certs_only([root]).no_proxy();
        client.pool_max_idle_per_host(0).build().unwrap()
    }
}

/// A server with TLS, ended when it is dropped.
struct Served {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Served {
    async fn with(tls: &ServerTls, header: Duration) -> Self {
        let listener = server::listen("127.0.0.1:0".parse().unwrap(), Exposure::Loopback);
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = MemoryStore::new(Arc::new(SystemClock));
        let api = ApiState::new(Engine::new(Arc::new(store)), ApiOptions::default());
        let terms = Terms {
            limits: ConnectionLimits {
                header,
                ..ConnectionLimits::default()
            },
            tls: Some(tls.clone()),
            ..Terms::default()
        };
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(
            listener,
            api::router(api),
            terms,
            stop.clone(),
        ));
        Self { address, stop }
    }

    async fn ask(&self, client: &Client) -> reqwest::Result<u16> {
        let url = format!("https://{}/livez", self.address);
        Ok(client.get(url).send().await?.status().as_u16())
    }
}

const USUAL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn p12_tls_is_spoken_with_a_certificate_that_clients_can_check() {
    let authority = Authority::new();
    authority.sign("server");
    let tls = ServerTls::read(&authority.files("server")).unwrap();
    let served = Served::with(&tls, USUAL).await;
    assert_eq!(served.ask(&authority.client()).await.unwrap(), 200);
    let stranger = Authority::new().client();
    assert!(served.ask(&stranger).await.is_err());
    let plain = format!("http://{}/livez", served.address);
    assert!(
        Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(plain)
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_certificate_that_changed_is_used_from_then_on_and_a_broken_one_is_not() {
    let (old, new) = (Authority::new(), Authority::new());
    old.sign("server");
    new.sign("server");
    let files = old.files("server");
    let tls = ServerTls::read(&files).unwrap();
    let served = Served::with(&tls, USUAL).await;
    assert!(!tls.renew().unwrap(), "nothing changed");
    assert!(served.ask(&new.client()).await.is_err());

    std::fs::write(&files.cert_file, new.read("server.pem")).unwrap();
    let half = tls.renew().unwrap_err();
    assert!(matches!(half, TlsError::Unfit { .. }), "{half}");
    assert_eq!(served.ask(&old.client()).await.unwrap(), 200);

    std::fs::write(&files.key_file, new.read("server.key")).unwrap();
    assert!(tls.renew().unwrap());
    assert_eq!(served.ask(&new.client()).await.unwrap(), 200);
    assert!(served.ask(&old.client()).await.is_err());
}

#[tokio::test]
async fn p12_where_clients_need_a_certificate_nobody_comes_in_without() {
    let authority = Authority::new();
    authority.sign("server");
    authority.sign("client");
    let files = Tls {
        client_ca_file: Some(authority.file("ca.pem")),
        ..authority.files("server")
    };
    let served = Served::with(&ServerTls::read(&files).unwrap(), USUAL).await;
    assert!(served.ask(&authority.client()).await.is_err());
    let stranger = Authority::new();
    stranger.sign("client");
    for (signed_by, welcome) in [(&authority, true), (&stranger, false)] {
        let pem = [signed_by.read("client.pem"), signed_by.read("client.key")].concat();
        let root = Certificate::from_pem(&authority.read("ca.pem")).unwrap();
        let client = Client::builder()
            .tls_certs_only([root])
            .identity(Identity::from_pem(&pem).unwrap())
            .no_proxy()
            .build()
            .unwrap();
        assert_eq!(served.ask(&client).await.is_ok(), welcome);
    }
}

#[tokio::test]
async fn p11_a_handshake_that_does_not_come_to_an_end_is_cut_off() {
    let authority = Authority::new();
    authority.sign("server");
    let tls = ServerTls::read(&authority.files("server")).unwrap();
    let served = Served::with(&tls, Duration::from_millis(100)).await;
    let mut slow = tokio::net::TcpStream::connect(served.address)
        .await
        .unwrap();
    slow.write_all(&[22, 3, 1]).await.unwrap();
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(Duration::from_mins(1), slow.read_to_end(&mut rest));
    assert_eq!(cut.await.unwrap().unwrap_or(0), 0);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_key_and_path() {
    let authority = Authority::new();
    authority.sign("server");
    authority.sign("other");
    let files = authority.files("server");
    let not_there = |path: &Path| path.with_file_name("none.pem");
    let cases = [
        (
            Tls {
                cert_file: not_there(&files.cert_file),
                ..files.clone()
            },
            "tls.cert_file: can't read",
        ),
        (
            Tls {
                key_file: not_there(&files.key_file),
                ..files.clone()
            },
            "tls.key_file: can't read",
        ),
        (
            Tls {
                cert_file: files.key_file.clone(),
                ..files.clone()
            },
            "holds no certificate",
        ),
        (
            Tls {
                key_file: files.cert_file.clone(),
                ..files.clone()
            },
            "holds no private key",
        ),
        (
            Tls {
                key_file: authority.file("other.key"),
                ..files.clone()
            },
            "can't be used",
        ),
        (
            Tls {
                client_ca_file: Some(files.key_file.clone()),
                ..files.clone()
            },
            "tls.client_ca_file",
        ),
    ];
    for (files, expected) in cases {
        let error = ServerTls::read(&files).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
