//! Faults: how a provisioner, or the way to it, breaks, each in a word of its own.

use tenure::{Message, Reason};

use super::Failure;

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
    /// What is wanted refers to a secret that the class does not allow.
    SecretRefused,
    /// There is no such secret, or it is no text.
    SecretMissing,
    /// The endpoint refused the request.
    EndpointRefused,
    /// The endpoint sends elsewhere.
    EndpointRedirects,
    /// The endpoint's address is not one to send to.
    EndpointRefusedAddress,
    /// The endpoint could not be reached, or was in trouble, until it was too late.
    EndpointUnavailable,
}

impl Fault {
    /// All of them, as the reference lists them.
    pub const ALL: [Self; 17] = [
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
        Self::SecretRefused,
        Self::SecretMissing,
        Self::EndpointRefused,
        Self::EndpointRedirects,
        Self::EndpointRefusedAddress,
        Self::EndpointUnavailable,
    ];

    /// The failure of this kind, with a sentence that says what happened and what to do.
    pub fn failure(self, message: &str) -> Failure {
        Failure {
            reason: self.reason(),
            message: Message::lossy(message),
            // What is at fault can be corrected while the tenant waits.
            permanent: false,
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
        assert_eq!(words.len(), 17);
    }
}
