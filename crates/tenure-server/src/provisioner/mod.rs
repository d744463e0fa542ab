//! Provisioners: what touches the world for Tenure.
//!
//! A provisioner gets one operation at a time, of one tenant, and answers what came of it. It may be
//! run again for what it has done already, and may be stopped at any instant; it must be safe both
//! ways. What it says is checked here, so the reconciler sees only answers that keep the contract.
//!
//! # Invariants
//!
//! - Nothing of a tenant decides which program runs, with which arguments and environment.
//! - When a run is over, however it ended, nothing that it started still runs.
//! - The text of a secret goes into a request and nowhere else: what comes back is redacted before it
//!   leaves this module.

mod contract;
mod exec;
mod fault;
mod group;
mod http;
mod reading;
mod redact;
pub(crate) mod remote;
mod secrets;
mod strays;
mod tail;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tenure::{Document, Fence, Message, Operation, Reason, Step, Tenant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use contract::request;
pub use contract::{ANSWER_SCHEMA, CONTRACT, REQUEST_SCHEMA};
pub use exec::ExecProvisioner;
pub use fault::Fault;
pub(crate) use group::Group;
pub use http::{HttpOptions, HttpProvisioner, SigningSecret};
pub(crate) use reading::OUTPUT_MAX;
pub use secrets::SecretSources;

/// Runs operations.
#[async_trait]
pub trait Provisioner: Send + Sync + fmt::Debug {
    /// Runs one operation to its end, or until `stop`.
    ///
    /// Sends to `progress` how far it is; only the newest matters, and the last that is sent stands
    /// for the whole run: its steps are also those of the answer. When it returns, nothing of the run
    /// is left behind but what it did to the world.
    async fn run(
        &self,
        call: &Call,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer;
}

/// One operation to run.
#[derive(Clone, Debug)]
pub struct Call {
    /// What to do.
    pub operation: Operation,
    /// The tenant as it is recorded, with what is wanted of it.
    pub tenant: Tenant,
    /// The lease that it is run under: higher than that of any run before.
    pub fence: Fence,
}

impl Call {
    /// The operation's name, `<tenant>/<generation>/<fence>/<operation>`: equal only if it is the same
    /// attempt at the same thing.
    pub fn operation_id(&self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.tenant.id,
            self.tenant.generation,
            self.fence,
            self.operation.as_str()
        )
    }
}

/// Alters a request on its way: for trying what a provisioner does with it.
pub(crate) type Alter = fn(Vec<u8>) -> Vec<u8>;

/// The request as it is.
const fn unaltered(request: Vec<u8>) -> Vec<u8> {
    request
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// In a sentence: the newest that was said; empty if nothing was.
    pub message: Message,
    /// Its steps, in the order in which they were first named; at most [`tenure::STEPS_MAX`], and
    /// no two of one name.
    pub steps: Vec<Step>,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done {
        /// What was seen; `None` leaves what was seen before.
        observed: Option<Document>,
        /// What exists now, by the provisioner's own names; `None` leaves what was known.
        resources: Option<Vec<String>>,
        /// In a sentence.
        message: Message,
    },
    /// It failed.
    Failed(Failure),
    /// It was stopped, as asked; nothing is known of how far it came.
    Stopped,
}

impl Answer {
    /// In a word, for the metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Failed(failure) if failure.permanent => "failed_for_good",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In a word.
    pub reason: Reason,
    /// What happened and what to do about it.
    pub message: Message,
    /// Trying again can't help.
    pub permanent: bool,
    /// The provisioner's own wish when to try again.
    pub retry_after: Option<Duration>,
}
