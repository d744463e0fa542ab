//! What a worker says of its operation: which one it means, and what of it is reported.

use serde_json::Value;
use tenure::{Fence, Generation, Operation, Outcome, Step, Tenant};

use super::PullError;
use crate::provisioner::{Answer, Failure};

/// Which operation an answer is about, as its `operation_id` says.
pub(super) struct Told {
    pub(super) id: String,
    pub(super) operation: Operation,
    pub(super) generation: Generation,
}

impl Told {
    pub(super) fn of(answer: &Value, tenant: &Tenant, fence: Fence) -> Result<Self, PullError> {
        let id = answer.get("operation_id").and_then(Value::as_str);
        let invalid = || {
            PullError::AnswerInvalid(
                "the answer's operation_id must be that of the request which came with the lease"
                    .to_owned(),
            )
        };
        let id = id.ok_or_else(invalid)?;
        let parts: Vec<&str> = id.split('/').collect();
        let [of, generation, under, word] = parts.as_slice() else {
            return Err(invalid());
        };
        let generation = Generation::new(generation.parse().map_err(|_| invalid())?);
        let operations = [Operation::Apply, Operation::Observe, Operation::Destroy];
        let operation = operations.into_iter().find(|o| o.as_str() == *word);
        let fits = *of == tenant.id.to_string()
            && *under == fence.to_string()
            && generation <= tenant.generation;
        match operation.filter(|_| fits) {
            Some(operation) => Ok(Self {
                id: id.to_owned(),
                operation,
                generation,
            }),
            None => Err(invalid()),
        }
    }
}

/// What came of an operation, for a report.
pub(super) fn outcome(answer: Answer, attempt: u32) -> Outcome {
    match answer {
        Answer::Done {
            observed,
            resources,
            message,
        } => Outcome::Succeeded {
            observed,
            resources,
            message,
        },
        Answer::Failed(failure) => failed(failure, attempt),
        // A line says done or failed, and never this.
        Answer::Stopped => Outcome::Waiting,
    }
}

/// The same of one that failed.
pub(super) fn failed(failure: Failure, attempt: u32) -> Outcome {
    Outcome::Failed {
        reason: failure.reason,
        message: failure.message,
        permanent: failure.permanent,
        retry_after: failure.retry_after,
        attempt,
    }
}

/// The steps that are known with those that were told just now; each takes the place of its name.
pub(super) fn merged(known: &[Step], told: Vec<Step>) -> Vec<Step> {
    if told.is_empty() {
        return Vec::new();
    }
    let mut steps = known.to_vec();
    for step in told {
        match steps.iter_mut().find(|known| known.name == step.name) {
            Some(known) => *known = step,
            None => steps.push(step),
        }
    }
    // Those of earlier attempts, which nobody tells of any more, are first.
    steps.split_off(steps.len().saturating_sub(tenure::STEPS_MAX))
}

#[cfg(test)]
mod tests {
    use tenure::{Message, STEPS_MAX, StepState};

    use super::*;

    fn step(name: &str, state: StepState) -> Step {
        Step::new(name.to_owned(), state, Message::none(), None).unwrap()
    }

    #[test]
    fn told_steps_take_the_place_of_their_name_and_old_ones_make_room() {
        let known: Vec<_> = (0..STEPS_MAX)
            .map(|n| step(&format!("old {n}"), StepState::Done))
            .collect();
        assert_eq!(merged(&known, Vec::new()), []);
        let told = || step("old 3", StepState::Failed);
        let after = merged(&known, vec![told()]);
        assert_eq!((after.len(), &after[3]), (STEPS_MAX, &told()));
        let new = || step("new", StepState::Running);
        let after = merged(&known, vec![new()]);
        assert_eq!(after.len(), STEPS_MAX);
        assert_eq!((&after[0], after.last()), (&known[1], Some(&new())));
    }
}
