//! The contract `tenure.provisioner/v1`: what goes to a provisioner and what may come back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenure::{
    Annotations, ClassName, Document, Fence, Generation, Labels, Message, Operation, Reason,
    TenantId, TenantName,
};

use super::{Answer, Call, Failure, Fault};

/// The name of the contract, in every request and every line of an answer.
pub const CONTRACT: &str = "tenure.provisioner/v1";

/// The longest that a provisioner can ask to be left alone: a day.
const RETRY_AFTER_MAX: u64 = 24 * 60 * 60;

#[derive(Serialize)]
struct Request<'a> {
    contract: &'static str,
    operation: Operation,
    operation_id: String,
    tenant: RequestTenant<'a>,
    generation: Generation,
    fence: Fence,
    desired: &'a Document,
    running: bool,
    observed: Option<&'a Document>,
    resources: &'a [String],
}

#[derive(Serialize)]
struct RequestTenant<'a> {
    id: TenantId,
    name: &'a TenantName,
    class: &'a ClassName,
    labels: &'a Labels,
    annotations: &'a Annotations,
}

/// The request, as one line.
pub(super) fn request(call: &Call) -> Result<Vec<u8>, serde_json::Error> {
    let tenant = &call.tenant;
    let mut line = serde_json::to_vec(&Request {
        contract: CONTRACT,
        operation: call.operation,
        operation_id: call.operation_id(),
        tenant: RequestTenant {
            id: tenant.id,
            name: &tenant.name,
            class: &tenant.class,
            labels: &tenant.labels,
            annotations: &tenant.annotations,
        },
        generation: tenant.generation,
        fence: call.fence,
        desired: &tenant.desired,
        running: tenant.running,
        observed: tenant.observed.as_ref(),
        resources: &tenant.resources,
    })?;
    line.push(b'\n');
    Ok(line)
}

#[derive(Deserialize)]
#[serde(tag = "result", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Progress {
        message: String,
    },
    Done {
        observed: Option<Map<String, Value>>,
        resources: Option<Vec<String>>,
        message: Option<String>,
    },
    Failed {
        reason: Reason,
        message: String,
        #[serde(default)]
        permanent: bool,
        retry_after_seconds: Option<u64>,
    },
}

/// Reads what a provisioner says, line by line, and holds it to the contract.
#[derive(Debug)]
pub(super) struct Reading {
    operation_id: String,
    lines: u32,
    answer: Option<Answer>,
}

impl Reading {
    pub(super) const fn new(operation_id: String) -> Self {
        Self {
            operation_id,
            lines: 0,
            answer: None,
        }
    }

    /// Takes one line; gives the message if it tells of progress.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Option<Message>, Failure> {
        self.lines += 1;
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let mut said = self.object(line)?;
        self.check_contract(said.remove("contract"))?;
        self.check_operation(said.remove("operation_id"))?;
        if self.answer.is_some() {
            return Err(self.malformed("comes after the answer; let it say nothing more then"));
        }
        let said = serde_json::from_value(Value::Object(said))
            .map_err(|e| self.malformed(&format!("breaks the contract: {e}")))?;
        self.take(said)
    }

    /// The answer, if there was one.
    pub(super) fn into_answer(self) -> Option<Answer> {
        self.answer
    }

    fn object(&self, line: &[u8]) -> Result<Map<String, Value>, Failure> {
        serde_json::from_slice(line).map_err(|e| {
            let start = String::from_utf8_lossy(line)
                .chars()
                .take(80)
                .collect::<String>();
            self.malformed(&format!(
                "is no JSON object ({e}): {start:?}; let it print answers only, notes go to stderr"
            ))
        })
    }

    fn check_contract(&self, contract: Option<Value>) -> Result<(), Failure> {
        match contract {
            Some(Value::String(contract)) if contract == CONTRACT => Ok(()),
            Some(other) => Err(Fault::ContractUnknown.failure(&format!(
                "the provisioner answers by the contract {other}, and Tenure knows {CONTRACT}; use \
                 a provisioner of that contract"
            ))),
            None => Err(self.malformed(&format!("lacks \"contract\": {CONTRACT:?}"))),
        }
    }

    fn check_operation(&self, id: Option<Value>) -> Result<(), Failure> {
        match id {
            Some(Value::String(id)) if id == self.operation_id => Ok(()),
            Some(other) => Err(Fault::AnswerForAnotherOperation.failure(&format!(
                "the provisioner answers for {other} but was asked for {}; let it repeat the \
                 operation_id that it was given",
                self.operation_id
            ))),
            None => {
                Err(self.malformed("lacks \"operation_id\"; let it repeat the one it was given"))
            }
        }
    }

    fn take(&mut self, said: Said) -> Result<Option<Message>, Failure> {
        match said {
            Said::Progress { message } => return Ok(Some(Message::lossy(&message))),
            Said::Done {
                observed,
                resources,
                message,
            } => {
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
            }
            Said::Failed {
                reason,
                message,
                permanent,
                retry_after_seconds,
            } => {
                self.answer = Some(Answer::Failed(Failure {
                    reason,
                    message: Message::lossy(&message),
                    permanent,
                    retry_after: retry_after_seconds
                        .map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_MAX))),
                }));
            }
        }
        Ok(None)
    }

    fn malformed(&self, what: &str) -> Failure {
        let line = self.lines;
        Fault::AnswerMalformed.failure(&format!("line {line} of the provisioner's answer {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<Answer>, String> {
        let mut reading = Reading::new("op".to_owned());
        for line in lines {
            let line = line.replace(
                '@',
                r#""contract":"tenure.provisioner/v1","operation_id":"op""#,
            );
            reading
                .line(line.as_bytes())
                .map_err(|f| format!("{}: {}", f.reason, f.message))?;
        }
        Ok(reading.into_answer())
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
                vec![r#"{@,"result":"done","observd":{}}"#],
                "AnswerMalformed",
                "observd",
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
}
