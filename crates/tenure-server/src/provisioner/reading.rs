//! Reads what a provisioner says, line by line, and holds it to the contract.
//!
//! What the contract does not name is passed over, at every level: a provisioner of a later version
//! may say more. What it names has its type.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tenure::{Document, Message, Reason, STEPS_MAX, Step, StepState};

use super::redact::Redactor;
use super::{Answer, CONTRACT, Failure, Fault, Progress};

/// The longest that a provisioner can ask to be left alone: a day.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// Most bytes that a provisioner may say: room for any answer that could be recorded.
pub(crate) const OUTPUT_MAX: u64 = 1024 * 1024;

/// How much of a line that is no JSON goes into the message that says so.
const SHOWN: usize = 80;

#[derive(Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum Said {
    Progress {
        message: Option<String>,
        steps: Option<Vec<SaidStep>>,
    },
    Done {
        observed: Option<Map<String, Value>>,
        resources: Option<Vec<String>>,
        message: Option<String>,
        steps: Option<Vec<SaidStep>>,
    },
    Failed {
        reason: Reason,
        message: String,
        #[serde(default)]
        permanent: bool,
        retry_after_seconds: Option<u64>,
        steps: Option<Vec<SaidStep>>,
    },
}

#[derive(Deserialize)]
struct SaidStep {
    name: String,
    state: StepState,
    message: Option<String>,
    percent: Option<u8>,
}

/// What was read of one run so far.
#[derive(Debug)]
pub(super) struct Reading {
    operation_id: String,
    redactor: Arc<Redactor>,
    lines: u32,
    progress: Progress,
    answer: Option<Answer>,
}

impl Reading {
    pub(super) fn new(operation_id: String, redactor: Arc<Redactor>) -> Self {
        Self {
            operation_id,
            redactor,
            lines: 0,
            progress: Progress::default(),
            answer: None,
        }
    }

    /// Takes one line; says whether it tells of progress.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<bool, Failure> {
        self.lines += 1;
        if line.trim_ascii().is_empty() {
            return Ok(false);
        }
        let mut said = self.object(line)?;
        self.check_contract(said.remove("contract"))?;
        self.check_operation(said.remove("operation_id"))?;
        if self.answer.is_some() {
            return Err(self.malformed("comes after the answer; let it say nothing more then"));
        }
        self.redact(&mut said);
        let said = serde_json::from_value(Value::Object(said))
            .map_err(|e| self.malformed(&format!("breaks the contract: {e}")))?;
        self.take(said)
    }

    /// How far the run is.
    pub(super) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Forgets the answer and counts lines anew, for a provisioner that is asked again.
    pub(super) fn again(&mut self) {
        self.lines = 0;
        self.answer = None;
    }

    /// The answer, if there was one.
    pub(super) const fn take_answer(&mut self) -> Option<Answer> {
        self.answer.take()
    }

    /// Takes the secrets out of what comes back.
    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    fn object(&self, line: &[u8]) -> Result<Map<String, Value>, Failure> {
        serde_json::from_slice(line).map_err(|e| {
            let start = self.redactor.part(&String::from_utf8_lossy(line), 0..SHOWN);
            self.malformed(&format!(
                "is no JSON object ({e}): {start:?}; let it print answers only, notes go to stderr"
            ))
        })
    }

    fn check_contract(&self, contract: Option<Value>) -> Result<(), Failure> {
        match contract {
            Some(Value::String(contract)) if contract == CONTRACT => Ok(()),
            Some(other) => Err(self.fault(
                Fault::ContractUnknown,
                &format!(
                    "the provisioner answers by the contract {other}, and Tenure knows {CONTRACT}; \
                     use a provisioner of that contract"
                ),
            )),
            None => Err(self.malformed(&format!("lacks \"contract\": {CONTRACT:?}"))),
        }
    }

    fn check_operation(&self, id: Option<Value>) -> Result<(), Failure> {
        match id {
            Some(Value::String(id)) if id == self.operation_id => Ok(()),
            Some(other) => Err(self.fault(
                Fault::AnswerForAnotherOperation,
                &format!(
                    "the provisioner answers for {other} but was asked for {}; let it repeat the \
                     operation_id that it was given",
                    self.operation_id
                ),
            )),
            None => {
                Err(self.malformed("lacks \"operation_id\"; let it repeat the one it was given"))
            }
        }
    }

    /// Takes the secrets out of all but the contract's own words.
    fn redact(&self, said: &mut Map<String, Value>) {
        for (key, value) in said.iter_mut().filter(|(key, _)| *key != "result") {
            match value {
                Value::Array(steps) if key == "steps" => steps
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .flat_map(Map::iter_mut)
                    .filter(|(key, _)| *key != "state")
                    .for_each(|(_, value)| self.redactor.value(value)),
                value => self.redactor.value(value),
            }
        }
    }

    fn take(&mut self, said: Said) -> Result<bool, Failure> {
        match said {
            Said::Progress { message, steps } => {
                self.take_steps(steps)?;
                if let Some(message) = message {
                    self.progress.message = Message::lossy(&message);
                }
                Ok(true)
            }
            Said::Done {
                observed,
                resources,
                message,
                steps,
            } => {
                let told = self.take_steps(steps)?;
                let observed = observed
                    .map(|object| Document::from_value(&Value::Object(object)))
                    .transpose()
                    .map_err(|e| self.malformed(&format!("has an `observed` that {}", e.rule())))?;
                let message = Message::lossy(&message.unwrap_or_default());
                self.answer = Some(Answer::Done {
                    observed,
                    resources,
                    message,
                });
                Ok(told)
            }
            Said::Failed {
                reason,
                message,
                permanent,
                retry_after_seconds,
                steps,
            } => {
                let told = self.take_steps(steps)?;
                self.answer = Some(Answer::Failed(Failure {
                    reason,
                    message: Message::lossy(&message),
                    permanent,
                    retry_after: retry_after_seconds
                        .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
                }));
                Ok(told)
            }
        }
    }

    /// Puts steps in the place of those of the same name, and new ones at the end.
    fn take_steps(&mut self, said: Option<Vec<SaidStep>>) -> Result<bool, Failure> {
        let Some(said) = said else { return Ok(false) };
        for step in said {
            let message = Message::lossy(&step.message.unwrap_or_default());
            let step = Step::new(step.name, step.state, message, step.percent)
                .map_err(|e| self.malformed(&format!("has a step that {}", e.rule())))?;
            let steps = &mut self.progress.steps;
            if let Some(same) = steps.iter_mut().find(|same| same.name == step.name) {
                *same = step;
            } else if steps.len() < STEPS_MAX {
                steps.push(step);
            } else {
                return Err(self.malformed(&format!(
                    "names more than {STEPS_MAX} steps in all; let one step stand for several"
                )));
            }
        }
        Ok(true)
    }

    fn malformed(&self, what: &str) -> Failure {
        let line = self.lines;
        let message = format!("line {line} of the provisioner's answer {what}");
        self.fault(Fault::AnswerMalformed, &message)
    }

    /// A failure whose message repeats what was said. Redacted before it is cut to its length.
    fn fault(&self, fault: Fault, message: &str) -> Failure {
        fault.failure(&self.redactor.text(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<Answer>, String> {
        let mut reading = Reading::new("op".to_owned(), Arc::default());
        for line in lines {
            let line = line.replace(
                '@',
                r#""contract":"tenure.provisioner/v1","operation_id":"op""#,
            );
            reading
                .line(line.as_bytes())
                .map_err(|f| format!("{}: {}", f.reason, f.message))?;
        }
        Ok(reading.take_answer())
    }

    #[test]
    fn progress_and_then_an_answer() {
        let answer = read(&[
            r#"{@,"result":"progress","message":"half"}"#,
            "",
            r#"{@,"result":"done","observed":{"a":1},"resources":["x"],"message":"made"}"#,
        ]);
        let Ok(Some(Answer::Done {
            observed,
            resources,
            message,
        })) = answer
        else {
            panic!("{answer:?}")
        };
        assert_eq!(observed.unwrap().as_str(), r#"{"a":1}"#);
        assert_eq!(
            (resources.unwrap(), message.as_str()),
            (vec!["x".to_owned()], "made")
        );
    }

    #[test]
    fn a_failure_brings_its_wishes() {
        let said = r#"{@,"result":"failed","reason":"Full","message":"m","retry_after_seconds":9}"#;
        let Ok(Some(Answer::Failed(failure))) = read(&[said]) else {
            panic!("no failure")
        };
        assert_eq!(failure.reason.as_str(), "Full");
        assert!(!failure.permanent);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(9)));
    }

    #[test]
    fn what_breaks_the_contract_is_refused_by_name() {
        let done = r#"{@,"result":"done"}"#;
        for (lines, reason, word) in [
            (
                vec!["hello"],
                "AnswerMalformed",
                "line 1 of the provisioner's answer is no JSON",
            ),
            (vec!["[1]"], "AnswerMalformed", "is no JSON object"),
            (
                vec![r#"{"operation_id":"op"}"#],
                "AnswerMalformed",
                "lacks \"contract\"",
            ),
            (
                vec![r#"{"contract":"tenure.provisioner/v2"}"#],
                "ContractUnknown",
                "v2",
            ),
            (
                vec![r#"{"contract":"tenure.provisioner/v1","operation_id":"xy"}"#],
                "AnswerForAnotherOperation",
                "answers for \"xy\" but was asked for op",
            ),
            (vec![r"{@}"], "AnswerMalformed", "missing field `result`"),
            (
                vec![r#"{@,"result":"ok"}"#],
                "AnswerMalformed",
                "unknown variant `ok`",
            ),
            (
                vec![r#"{@,"result":"done","message":3}"#],
                "AnswerMalformed",
                "expected a string",
            ),
            (
                vec![r#"{@,"result":"progress","steps":[{"name":"","state":"done"}]}"#],
                "AnswerMalformed",
                "has a step that must have a name",
            ),
            (
                vec![r#"{@,"result":"done","observed":3}"#],
                "AnswerMalformed",
                "expected a map",
            ),
            (
                vec![r#"{@,"result":"done","observed":{"n":9007199254740993}}"#],
                "AnswerMalformed",
                "`observed` that must hold whole numbers",
            ),
            (
                vec![done, done],
                "AnswerMalformed",
                "line 2 of the provisioner's answer comes after",
            ),
            (
                vec![r#"{@,"result":"failed","reason":"no word","message":""}"#],
                "AnswerMalformed",
                "CamelCase",
            ),
        ] {
            let error = read(&lines).unwrap_err();
            assert!(
                error.starts_with(reason) && error.contains(word),
                "{lines:?}: {error}"
            );
        }
    }

    #[test]
    fn no_line_is_no_answer() {
        assert_eq!(read(&[]), Ok(None));
    }

    fn progress(lines: &[&str]) -> Progress {
        let mut reading = Reading::new("op".to_owned(), Arc::default());
        for line in lines {
            let head = r#"{"contract":"tenure.provisioner/v1","operation_id":"op","result":"#;
            reading
                .line(format!("{head}{line}}}").as_bytes())
                .unwrap_or_else(|f| panic!("{f:?}"));
        }
        reading.progress().clone()
    }

    #[test]
    fn steps_take_each_others_place_and_last_to_the_end() {
        let found = progress(&[
            r#""progress","message":"m","steps":[{"name":"a","state":"pending"},{"name":"b","state":"pending"}]"#,
            r#""progress","steps":[{"name":"a","state":"running","percent":40,"message":"x"}]"#,
            r#""done","message":"made","steps":[{"name":"c","state":"skipped"},{"name":"a","state":"done"}]"#,
        ]);
        let steps: Vec<_> = found
            .steps
            .iter()
            .map(|step| (step.name.as_str(), step.state.as_str(), step.percent))
            .collect();
        assert_eq!(
            steps,
            [
                ("a", "done", None),
                ("b", "pending", None),
                ("c", "skipped", None)
            ]
        );
        assert_eq!(found.message.as_str(), "m");
    }

    #[test]
    fn too_many_steps_are_refused_but_not_too_many_news() {
        let step = |n: usize| format!(r#"{{"name":"s{n}","state":"done"}}"#);
        let line = |range: std::ops::Range<usize>| {
            let steps: Vec<_> = range.map(step).collect();
            format!(r#"{{@,"result":"progress","steps":[{}]}}"#, steps.join(","))
        };
        let (all, again, more) = (line(0..STEPS_MAX), line(50..80), line(STEPS_MAX..101));
        assert_eq!(read(&[&all, &again]), Ok(None));
        let error = read(&[&all, &again, &more]).unwrap_err();
        assert!(error.contains("AnswerMalformed: line 3") && error.contains("more than 100 steps"));
    }

    #[test]
    fn what_is_not_known_is_passed_over_at_every_level() {
        let answer = read(&[
            r#"{@,"result":"progress","new":1,"steps":[{"name":"a","state":"done","new":{}}]}"#,
            r#"{@,"result":"done","observd":{},"new":[1]}"#,
        ]);
        assert!(
            matches!(answer, Ok(Some(Answer::Done { .. }))),
            "{answer:?}"
        );
    }
}
