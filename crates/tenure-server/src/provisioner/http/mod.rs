//! Provisioners that are endpoints: a signed request by HTTP, the answer in the response.
//!
//! One run is one send: it is tried again, under the same id, while the endpoint can't be reached or
//! is in trouble, until the deadline. What the endpoint refuses is not tried again here.

mod address;
mod send;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Certificate, Client, Url, redirect};
use standardwebhooks::Webhook;
use tenure::{Clock, Invalid, SystemClock};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use self::address::PublicOnly;
use self::send::Send;
use super::reading::Reading;
use super::{
    Alter, Answer, Call, Failure, Fault, Progress, Provisioner, SecretSources, contract, secrets,
    unaltered,
};

/// How long one try may take to connect, so that the next address, or try, has its turn.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How requests are signed: the `whsec_…` secret of Standard Webhooks. Its `Debug` tells nothing.
#[derive(Clone)]
pub struct SigningSecret(Arc<Webhook>);

impl SigningSecret {
    /// Takes the secret's text.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if it is no `whsec_` with at least 24 bytes in base64; the error does not repeat it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "signing_secret",
                "must be whsec_ and 24 to 64 random bytes in base64, such as of `openssl rand -base64 32`",
            )
        };
        let key = text.strip_prefix("whsec_").ok_or_else(invalid)?;
        if !(32..=88).contains(&key.len()) {
            return Err(invalid());
        }
        let webhook = Webhook::new(text).map_err(|_| invalid())?;
        Ok(Self(Arc::new(webhook)))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

/// An endpoint, and how patient Tenure is with it.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where requests are sent.
    pub url: String,
    /// How they are signed; unsigned without.
    pub signing_secret: Option<SigningSecret>,
    /// How long one operation may take, with all tries.
    pub deadline: Duration,
    /// Lets the endpoint be at a private address, and speak plain HTTP.
    pub allow_private_addresses: bool,
    /// Certificates to trust beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// The secrets that tenants may refer to.
    pub secrets: SecretSources,
}

/// Sends the operations of a class to its endpoint.
pub struct HttpProvisioner {
    client: Client,
    url: Url,
    signing_secret: Option<SigningSecret>,
    deadline: Duration,
    allow_private_addresses: bool,
    secrets: SecretSources,
    clock: SystemClock,
}

impl fmt::Debug for HttpProvisioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProvisioner")
            .field("url", &self.shown())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl HttpProvisioner {
    /// The provisioner of an endpoint. Reads `ca_file`, and sends nothing.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the option, and what it must be.
    pub fn new(options: HttpOptions) -> Result<Self, Invalid> {
        let url = parse_url(&options.url, options.allow_private_addresses)?;
        let mut builder = Client::builder()
            .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // A proxy would connect to addresses that are not checked here.
            .no_proxy()
            // Each try connects anew, to addresses that are checked anew.
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_MAX);
        if !options.allow_private_addresses {
            builder = builder.https_only(true).dns_resolver(PublicOnly);
        }
        if let Some(path) = &options.ca_file {
            let invalid = |why: String| {
                let rule = format!(
                    "must be a file of PEM certificates: {}: {why}",
                    path.display()
                );
                Invalid::new("ca_file", rule)
            };
            let pem = std::fs::read(path).map_err(|e| invalid(e.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|e| invalid(e.to_string()))?;
            if certificates.is_empty() {
                return Err(invalid("there is none in it".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if url.scheme() == "http" {
            // Plain HTTP must not fail for want of the system's certificates.
            builder = builder.tls_certs_only(Vec::<Certificate>::new());
        }
        let client = builder.build().map_err(|error| {
            let why = send::chain(&error.without_url());
            Invalid::new("url", format!(
                    "must be reachable by TLS, but {why}; install the system's CA certificates, or name \
                     `ca_file`"
                ))
        })?;
        Ok(Self {
            client,
            url,
            signing_secret: options.signing_secret,
            deadline: options.deadline,
            allow_private_addresses: options.allow_private_addresses,
            secrets: options.secrets,
            clock: SystemClock,
        })
    }

    /// As [`Provisioner::run`], with a request that is altered on its way.
    pub(crate) async fn run_altered(
        &self,
        call: &Call,
        alter: Alter,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer {
        let until = Instant::now() + self.deadline;
        tokio::select! {
            biased;
            () = stop.cancelled() => Answer::Stopped,
            answer = timeout_at(until, self.send(call, alter, progress, until)) => {
                answer.unwrap_or_else(|_elapsed| Answer::Failed(self.late()))
            }
        }
    }

    async fn send(
        &self,
        call: &Call,
        alter: Alter,
        progress: &watch::Sender<Progress>,
        until: Instant,
    ) -> Answer {
        let sent = async {
            let resolved = secrets::resolve_document(&call.tenant.desired, &self.secrets).await?;
            let body = contract::request(call, &resolved.desired)
                .map(alter)
                .map_err(|error| Fault::AnswerRefused.failure(&error.to_string()))?;
            let reading = Reading::new(call.operation_id(), Arc::new(resolved.redactor));
            Send::new(self, call, body, reading, progress)
                .until(until)
                .await
        };
        sent.await.unwrap_or_else(Answer::Failed)
    }

    fn late(&self) -> Failure {
        Fault::DeadlineExceeded.failure(&format!(
            "the endpoint {} did not answer within {} s; make it faster, or raise deadline_seconds of \
             the class",
            self.shown(),
            self.deadline.as_secs()
        ))
    }

    /// The endpoint for messages: what stands behind its path may be private.
    fn shown(&self) -> String {
        let mut shown = self.url.clone();
        shown.set_query(None);
        shown.to_string()
    }

    fn now(&self) -> tenure::Timestamp {
        self.clock.now()
    }
}

#[async_trait]
impl Provisioner for HttpProvisioner {
    async fn run(
        &self,
        call: &Call,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer {
        self.run_altered(call, unaltered, progress, stop).await
    }
}

fn parse_url(text: &str, allow_private_addresses: bool) -> Result<Url, Invalid> {
    let invalid = |rule: &str| Err(Invalid::new("url", rule));
    let Ok(mut url) = Url::parse(text) else {
        return invalid("must be an absolute URL, such as https://example.com/tenants");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("must hold no user and password; the signature proves who sends");
    }
    match url.scheme() {
        "https" => {}
        "http" if allow_private_addresses => {}
        "http" => {
            return invalid(
                "must start with https://; http:// needs allow_private_addresses = true of the class",
            );
        }
        _ => return invalid("must start with https://"),
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, allow_private_addresses: bool) -> HttpOptions {
        HttpOptions {
            url: url.to_owned(),
            signing_secret: None,
            deadline: Duration::from_secs(1),
            allow_private_addresses,
            ca_file: None,
            secrets: SecretSources::default(),
        }
    }

    #[test]
    fn options_that_can_not_work_are_refused_by_name() {
        for (url, private, says) in [
            ("example.com", false, "url must be an absolute URL"),
            ("ftp://example.com", true, "url must start with https"),
            ("http://example.com", false, "allow_private_addresses"),
            ("https://u:p@example.com", true, "no user and password"),
        ] {
            let error = HttpProvisioner::new(options(url, private)).unwrap_err();
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
        let mut missing = options("https://example.com", false);
        missing.ca_file = Some("/no/such/file".into());
        let error = HttpProvisioner::new(missing).unwrap_err();
        assert!(error.to_string().starts_with("ca_file must be"), "{error}");
        assert!(HttpProvisioner::new(options("https://example.com/?token=1#x", false)).is_ok());
    }

    #[test]
    fn a_signing_secret_is_checked_and_never_told() {
        for bad in [
            "",
            "whsec_",
            "whsec_short",
            "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
            "whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!",
        ] {
            let error = SigningSecret::parse(bad).unwrap_err().to_string();
            assert!(
                error.starts_with("signing_secret must be whsec_ and"),
                "{error}"
            );
        }
        let secret = SigningSecret::parse("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0").unwrap();
        assert_eq!(format!("{secret:?}"), "SigningSecret");
    }
}
