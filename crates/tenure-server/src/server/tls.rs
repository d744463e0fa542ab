//! TLS, ended by this server: certificates from files, and again when the files change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tenure::Hash;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::Tls;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Why TLS can't be spoken with these files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("tls.{key}: can't read {path}: {why}")]
    Unreadable {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// A file holds no certificate or key in PEM.
    #[error("tls.{key}: {path} holds no {what} in PEM")]
    Empty {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The certificate and the key are of no use together.
    #[error("the certificate {cert} and the key {key} can't be used: {why}")]
    Unfit {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The authorities of clients can't be used.
    #[error("tls.client_ca_file: {path} can't be used: {why}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What handshakes are made with: always the newest files that could be used. Cloning it shares it.
#[derive(Clone)]
pub struct ServerTls {
    files: Tls,
    now: Arc<RwLock<(Hash, Arc<ServerConfig>)>>,
}

/// Shows the files and nothing of what is in them.
impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// What the files hold, whole.
struct Held {
    cert: Vec<u8>,
    key: Vec<u8>,
    authority: Option<Vec<u8>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn read(files: &Tls) -> Result<Self, TlsError> {
        let held = Held::read(files)?;
        let config = held.config(files)?;
        Ok(Self {
            files: files.clone(),
            now: Arc::new(RwLock::new((held.hash(), config))),
        })
    }

    /// What the next handshake is made with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&now.1))
    }

    /// Takes the files anew if they have changed; says whether they had.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; then what was there before is used on.
    pub fn renew(&self) -> Result<bool, TlsError> {
        let held = Held::read(&self.files)?;
        let hash = held.hash();
        if self.now.read().unwrap_or_else(PoisonError::into_inner).0 == hash {
            return Ok(false);
        }
        let config = held.config(&self.files)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = (hash, config);
        Ok(true)
    }

    /// Follows the files until the server stops. A pair that can't be used is logged once, and what
    /// was there before is used on.
    pub async fn follow(self, stop: CancellationToken) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => return,
            }
            let tls = self.clone();
            let renewed = tokio::task::spawn_blocking(move || tls.renew()).await;
            match renewed {
                Ok(Ok(true)) => tracing::info!("the server's certificate was renewed"),
                Ok(Ok(false)) => told = None,
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        tracing::error!(error, "the server's certificate was not renewed");
                        told = Some(error);
                    }
                }
                Err(error) => tracing::error!(%error, "the server's certificate was not looked at"),
            }
        }
    }
}

impl Held {
    fn read(files: &Tls) -> Result<Self, TlsError> {
        let authority = files.client_ca_file.as_deref();
        Ok(Self {
            cert: read("cert_file", &files.cert_file)?,
            key: read("key_file", &files.key_file)?,
            authority: authority
                .map(|path| read("client_ca_file", path))
                .transpose()?,
        })
    }

    fn hash(&self) -> Hash {
        let authority = self.authority.as_deref().unwrap_or_default();
        Hash::of(
            &[&self.cert, &self.key, authority]
                .map(Hash::of)
                .map(|h| *h.as_bytes())
                .concat(),
        )
    }

    fn config(&self, files: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = certificates("cert_file", &files.cert_file, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::Empty {
            key: "key_file",
            path: files.key_file.clone(),
            what: "private key",
        })?;
        let unfit = |error: rustls::Error| TlsError::Unfit {
            cert: files.cert_file.clone(),
            key: files.key_file.clone(),
            why: error.to_string(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .map_err(unfit)?;
        let builder = match (&self.authority, &files.client_ca_file) {
            (Some(pem), Some(path)) => {
                let wrong = |why: String| TlsError::Authority {
                    path: path.clone(),
                    why,
                };
                let mut roots = RootCertStore::empty();
                for certificate in certificates("client_ca_file", path, pem)? {
                    roots
                        .add(certificate)
                        .map_err(|error| wrong(error.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| wrong(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|why| TlsError::Unreadable {
        key,
        path: path.to_owned(),
        why,
    })
}

fn certificates(
    key: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Empty {
            key,
            path: path.to_owned(),
            what: "certificate",
        }),
    }
}
