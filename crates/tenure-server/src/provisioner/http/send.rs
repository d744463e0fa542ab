//! One send: tries until the endpoint answers, or refuses, or it is too late.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::Response;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};
use tenure::{Generation, RetryPolicy, TenantId};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::HttpProvisioner;
use super::address::{AddressRefused, check_literal};
use crate::provisioner::reading::{OUTPUT_MAX, RETRY_AFTER_MAX, Reading};
use crate::provisioner::{Answer, CONTRACT, Call, Failure, Fault, Progress};

/// How much of a response's body goes into a message.
const SHOWN: usize = 300;

/// How long to wait before the next try: doubling from the first to the second.
const WAITS: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(5),
    attempts_max: u32::MAX,
};

/// How one try ended, if without an answer.
enum Ended {
    /// It makes no sense to try again.
    Failed(Failure),
    /// The endpoint may do better soon, or after this time.
    Trouble(String, Option<Duration>),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One operation on its way to an endpoint.
pub(super) struct Send<'a> {
    to: &'a HttpProvisioner,
    id: String,
    tenant: TenantId,
    generation: Generation,
    body: Vec<u8>,
    reading: Reading,
    progress: &'a watch::Sender<Progress>,
}

impl<'a> Send<'a> {
    pub(super) fn new(
        to: &'a HttpProvisioner,
        call: &Call,
        body: Vec<u8>,
        reading: Reading,
        progress: &'a watch::Sender<Progress>,
    ) -> Self {
        Self {
            to,
            // The same for each try of this operation, and for no other.
            id: call.operation_id(),
            tenant: call.tenant.id,
            generation: call.tenant.generation,
            body,
            reading,
            progress,
        }
    }

    /// Tries until there is an answer. A wait that would end past the deadline is not begun.
    pub(super) async fn until(mut self, until: Instant) -> Result<Answer, Failure> {
        if !self.to.allow_private_addresses {
            check_literal(self.to.url.host_str().unwrap_or_default())
                .map_err(|refused| refused_address(&refused))?;
        }
        let mut tries = 0;
        loop {
            let (trouble, after) = match self.once().await {
                Ok(answer) => return Ok(answer),
                Err(Ended::Failed(failure)) => return Err(failure),
                Err(Ended::Trouble(trouble, after)) => (trouble, after),
            };
            tries += 1;
            let wait = self.wait(tries).max(after.unwrap_or_default());
            if Instant::now() + wait >= until {
                let mut failure = Fault::EndpointUnavailable.failure(&format!(
                    "the endpoint {} gave no answer in {tries} tries: {trouble}; see that it runs and \
                     can be reached, it is tried again by itself",
                    self.to.shown()
                ));
                failure.retry_after = after;
                return Err(failure);
            }
            tracing::debug!(tenant = %self.tenant, %trouble, ?wait, "sending it again");
            sleep(wait).await;
        }
    }

    /// Half of the doubling time, and a share of the other half that differs between tenants.
    fn wait(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        let longest = WAITS.base.saturating_mul(1 << doublings).min(WAITS.cap);
        let spread = WAITS.wait(self.tenant, self.generation, tries);
        longest / 2 + spread / 2
    }

    async fn once(&mut self) -> Result<Answer, Ended> {
        self.reading.again();
        let response = self
            .request()?
            .send()
            .await
            .map_err(|error| trouble(&error))?;
        match response.status() {
            StatusCode::OK => self.listen(response).await,
            status if status.is_redirection() => {
                let to = response
                    .headers()
                    .get(LOCATION)
                    .map(|to| to.as_bytes().to_vec());
                let to = String::from_utf8_lossy(&to.unwrap_or_default()).into_owned();
                let to = self.reading.redactor().part(&to, 0..SHOWN);
                Err(Ended::Failed(Fault::EndpointRedirects.failure(&format!(
                    "the endpoint {} answered {status} and sends to {to:?}; a redirect is not followed, \
                     so let `url` of the class be the endpoint's own",
                    self.to.shown()
                ))))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let after = self.retry_after(&response);
                let said = self.excerpt(response).await;
                Err(Ended::Trouble(format!("it answered {status}{said}"), after))
            }
            status => {
                let said = self.excerpt(response).await;
                let help = if status == StatusCode::ACCEPTED {
                    "only 200 with an answer counts; let it answer when it is done, in lines of \
                     application/x-ndjson if that takes long"
                } else {
                    "correct the endpoint, or `url` and `signing_secret` of the class"
                };
                Err(Ended::Failed(Fault::EndpointRefused.failure(&format!(
                    "the endpoint {} answered {status}{said}; {help}",
                    self.to.shown()
                ))))
            }
        }
    }

    /// The request, signed for now.
    fn request(&self) -> Result<reqwest::RequestBuilder, Failure> {
        let at = self.to.now().as_micros() / 1_000_000;
        let mut request = self
            .to
            .client
            .post(self.to.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, &self.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, at);
        if let Some(secret) = &self.to.signing_secret {
            let signature = secret.0.sign(&self.id, at, &self.body).map_err(|error| {
                Fault::AnswerRefused.failure(&format!("the request can't be signed: {error}"))
            })?;
            request = request.header(HEADER_WEBHOOK_SIGNATURE, signature);
        }
        Ok(request.body(self.body.clone()))
    }

    /// Reads one answer, or answers as they come.
    async fn listen(&mut self, mut response: Response) -> Result<Answer, Ended> {
        let is_lines = self.is_lines(&response)?;
        let mut unread = Vec::new();
        let mut length = 0;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // What was answered whole is answered, however the connection ends.
                Err(error) => match self.reading.take_answer() {
                    Some(answer) => return Ok(answer),
                    None => return Err(trouble(&error)),
                },
            };
            length += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if length > OUTPUT_MAX {
                return Err(Ended::Failed(Fault::OutputTooLarge.failure(&format!(
                    "the endpoint {} answered with more than {OUTPUT_MAX} bytes; let it say less",
                    self.to.shown()
                ))));
            }
            unread.extend_from_slice(&chunk);
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n' && is_lines) {
                let rest = unread.split_off(end + 1);
                self.line(&unread)?;
                unread = rest;
            }
        }
        self.line(&unread)?;
        self.reading.take_answer().ok_or_else(|| {
            Ended::Failed(Fault::AnswerMissing.failure(&format!(
                "the endpoint {} answered 200 without an answer; let it end with \"result\": \"done\" or \
                 \"failed\"",
                self.to.shown()
            )))
        })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        if self.reading.line(line)? {
            self.progress.send_replace(self.reading.progress().clone());
        }
        Ok(())
    }

    fn is_lines(&self, response: &Response) -> Result<bool, Failure> {
        let header = response.headers().get(CONTENT_TYPE);
        let header = header
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let kind = header.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/x-ndjson") {
            return Ok(true);
        }
        if kind.eq_ignore_ascii_case("application/json") {
            return Ok(false);
        }
        let kind = self.reading.redactor().part(kind, 0..SHOWN);
        Err(Fault::AnswerMalformed.failure(&format!(
            "the endpoint {} answered with the content type {kind:?}; let it be application/json for \
             one answer of {CONTRACT}, or application/x-ndjson for lines",
            self.to.shown()
        )))
    }

    /// `: …`, the start of a response's body, without secrets; nothing if it has none.
    async fn excerpt(&self, mut response: Response) -> String {
        let redactor = self.reading.redactor();
        let mut body = Vec::new();
        while body.len() < SHOWN + redactor.longest() {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        let text = String::from_utf8_lossy(&body);
        let said = redactor.part(&text, 0..SHOWN);
        let said = said.trim();
        if said.is_empty() {
            return String::new();
        }
        format!(": {said}")
    }

    /// When the endpoint wants to be asked again: in seconds, or at a date.
    fn retry_after(&self, response: &Response) -> Option<Duration> {
        let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = if let Ok(seconds) = text.parse() {
            Duration::from_secs(seconds)
        } else {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            let seconds = date.as_second() - self.to.now().as_micros() / 1_000_000;
            Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        };
        Some(wait.min(RETRY_AFTER_MAX))
    }
}

/// A connection that could not be made, or broke.
fn trouble(error: &reqwest::Error) -> Ended {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<AddressRefused>() {
            return Ended::Failed(refused_address(refused));
        }
        cause = error.source();
    }
    // Its own words only name the URL; the causes say what happened.
    let why = error.source().map_or_else(String::new, chain);
    Ended::Trouble(format!("the connection failed: {why}"), None)
}

fn refused_address(refused: &AddressRefused) -> Failure {
    Fault::EndpointRefusedAddress.failure(&format!(
        "{refused}; let `url` of the class lead to a public address, or set allow_private_addresses = \
         true for the class if it is meant"
    ))
}

/// An error and its causes.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| Error::source(*error));
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
