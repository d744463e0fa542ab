//! TLS to the database, as `sslmode` and `sslrootcert` ask for it.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore};
use tenure::Invalid;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::settings::{invalid, ssl_mode};

/// What of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: the line is encrypted, but who is at its end is not known.
    Nothing,
    /// That the authority signed it.
    Chain,
    /// And that it is for the host that was asked for.
    ChainAndName,
}

/// Whom the connection trusts.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) mode: SslMode,
    pub(crate) check: Check,
    pub(crate) root: Option<PathBuf>,
}

impl Default for Trust {
    /// As libpq: TLS if the server has it.
    fn default() -> Self {
        Self {
            mode: SslMode::Prefer,
            check: Check::Nothing,
            root: None,
        }
    }
}

impl Trust {
    pub(crate) fn set_mode(&mut self, value: &str) -> Result<(), Invalid> {
        (self.mode, self.check) = ssl_mode(value).ok_or_else(|| {
            invalid("must have sslmode=disable, prefer, require, verify-ca or verify-full")
        })?;
        Ok(())
    }

    pub(crate) fn check(&mut self) -> Result<(), Invalid> {
        if self.check != Check::Nothing && self.root.is_none() {
            return Err(invalid(
                "must name the authority with sslrootcert to verify the server",
            ));
        }
        // As libpq: whoever names an authority wants it asked.
        if self.root.is_some() && self.check == Check::Nothing && self.mode == SslMode::Require {
            self.check = Check::Chain;
        }
        Ok(())
    }

    /// Makes what connections shake hands with.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect, Invalid> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authority = match (&self.root, self.check) {
            (_, Check::Nothing) | (None, _) => None,
            (Some(root), _) => Some(read_authority(root, Arc::clone(&provider))?),
        };
        let verifier = Verifier {
            check: self.check,
            authority,
            provider: Arc::clone(&provider),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| invalid(format!("can't be used with TLS: {e}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}

fn read_authority(
    root: &PathBuf,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Invalid> {
    let unreadable =
        |e: String| invalid(format!("must name a readable PEM file as sslrootcert: {e}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(root).map_err(|e| unreadable(e.to_string()))? {
        let certificate = certificate.map_err(|e| unreadable(e.to_string()))?;
        roots
            .add(certificate)
            .map_err(|e| unreadable(e.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| unreadable(e.to_string()))
}

/// Checks as much of the server's certificate as `sslmode` asks for, as libpq does.
#[derive(Debug)]
struct Verifier {
    check: Check,
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        let verdict = authority.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verdict {
            // The chain is checked before the name.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Chain => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
