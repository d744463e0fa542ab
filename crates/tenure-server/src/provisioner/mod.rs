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

mod contract;
mod exec;
mod strays;
mod tail;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tenure::{Document, Fence, Message, Operation, Reason, Tenant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use contract::CONTRACT;
pub use exec::ExecProvisioner;

/// Runs operations.
#[async_trait]
pub trait Provisioner: Send + Sync + fmt::Debug {
    /// Runs one operation to its end, or until `stop`.
    ///
    /// Sends to `progress` how far it is; only the newest matters. When it returns, nothing of the run
    /// is left behind but what it did to the world.
    async fn run(
        &self,
        call: &Call,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer;
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// In a sentence.
    pub message: Message,
    /// The steps that it told of, each as it stands.
    pub steps: Vec<tenure::Step>,
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
    /// The operation's name: equal only if it is the same attempt at the same thing.
    pub fn operation_id(&self) -> String {
        format!(
            "{}/{}/{}",
            self.tenant.id, self.tenant.generation, self.fence
        )
    }
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

/// Why an operation failed through the provisioner's own fault, in a stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such program.
    ProvisionerMissing,
    /// It may not be run.
    ProvisionerNotExecutable,
    /// The system could not start it.
    ProvisionerNotStarted,
    /// It ended with an error, or by a signal.
    ProvisionerCrashed,
    /// It did not end in time.
    DeadlineExceeded,
    /// It said too much.
    OutputTooLarge,
    /// It ended well but said nothing.
    AnswerMissing,
    /// What it said is no answer.
    AnswerMalformed,
    /// It answered something that it was not asked.
    AnswerForAnotherOperation,
    /// It speaks another contract.
    ContractUnknown,
    /// Its answer breaks a rule for what can be recorded.
    AnswerRefused,
    /// No class of the tenant's name is configured.
    UnknownClass,
}

impl Fault {
    /// All of them, as the reference lists them.
    pub const ALL: [Self; 12] = [
        Self::ProvisionerMissing,
        Self::ProvisionerNotExecutable,
        Self::ProvisionerNotStarted,
        Self::ProvisionerCrashed,
        Self::DeadlineExceeded,
        Self::OutputTooLarge,
        Self::AnswerMissing,
        Self::AnswerMalformed,
        Self::AnswerForAnotherOperation,
        Self::ContractUnknown,
        Self::AnswerRefused,
        Self::UnknownClass,
    ];

    /// The failure of this kind, with a sentence that says what happened and what to do.
    pub fn failure(self, message: &str) -> Failure {
        Failure {
            reason: self.reason(),
            message: Message::lossy(message),
            // A program can be corrected while the tenant waits; a class needs a restart.
            permanent: self == Self::UnknownClass,
            retry_after: None,
        }
    }

    /// The word.
    ///
    /// # Panics
    ///
    /// Never: a test reads every word.
    pub fn reason(self) -> Reason {
        format!("{self:?}")
            .parse()
            .expect("the name of a fault is a reason")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_a_reason() {
        let words: Vec<String> = Fault::ALL
            .iter()
            .map(|fault| fault.reason().to_string())
            .collect();
        assert_eq!(
            words.first().map(String::as_str),
            Some("ProvisionerMissing")
        );
        assert_eq!(words.len(), 12);
    }
}
