//! Requests of another version.

use serde_json::{Map, Value, json};
use tenure::Operation;

use crate::kit::bench::{Bench, Ended};
use crate::kit::rules;
use crate::kit::sight::described;
use crate::kit::subject::{Subject, agrees, did, other};
use crate::provisioner::{Answer, Fault};

/// Faults that tell of a refusal, as good as an answer that says so.
const REFUSALS: [Fault; 3] = [
    Fault::ProvisionerCrashed,
    Fault::EndpointRefused,
    Fault::EndpointUnavailable,
];

pub(super) async fn run(bench: &Bench<'_>) -> Result<String, Ended> {
    let mut subject = Subject::new(bench);
    let call = subject.next(Operation::Apply);
    let answer = bench
        .ask_altered(&call, |request| with_unknown_fields(&request))
        .await?;
    let when = "with unknown fields in the request and in its tenant";
    let Answer::Done { .. } = &answer else {
        return Err(rules::PASSES_OVER.breach(did(&call, when), described(&answer)));
    };
    subject.hear(&answer);
    let wanted = subject.wanted();
    agrees(&subject.seen(), &wanted, &call, when, rules::PASSES_OVER)?;
    let before = subject.observe("after it", rules::LOOKS).await?;

    let rule = rules::KNOWS;
    let mut later = subject.clone();
    later.want(other(bench));
    let call = later.next(Operation::Apply);
    let answer = bench
        .ask_altered(&call, |request| of_an_unknown_contract(&request))
        .await?;
    let when = "by the contract tenure.provisioner/v999";
    let is_refused = match &answer {
        Answer::Failed(failure) => {
            failure.permanent
                || REFUSALS
                    .iter()
                    .any(|fault| fault.reason() == failure.reason)
        }
        _ => false,
    };
    if !is_refused {
        return Err(rule.breach(did(&call, when), described(&answer)));
    }
    subject.next(Operation::Observe);
    let after = subject
        .observe("after a request that was refused", rule)
        .await?;
    if before.sight(&wanted) != after.sight(&wanted) {
        let came = format!("before {}; then {}", before.shown(), after.shown());
        return Err(rule.breach(did(&call, when), came));
    }
    Ok(String::new())
}

fn altered(request: &[u8], alter: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    let Ok(mut object) = serde_json::from_slice(request) else {
        unreachable!("a request is an object")
    };
    alter(&mut object);
    let mut line = Value::Object(object).to_string().into_bytes();
    line.push(b'\n');
    line
}

fn with_unknown_fields(request: &[u8]) -> Vec<u8> {
    altered(request, |object| {
        let unknown = json!({"of": ["a", "later", "version"]});
        if let Some(Value::Object(tenant)) = object.get_mut("tenant") {
            tenant.insert("kit_unknown".to_owned(), unknown.clone());
        }
        object.insert("kit_unknown".to_owned(), unknown);
    })
}

fn of_an_unknown_contract(request: &[u8]) -> Vec<u8> {
    altered(request, |object| {
        object.insert(
            "contract".to_owned(),
            Value::from("tenure.provisioner/v999"),
        );
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_altered_in_one_place() {
        let request = br#"{"contract":"tenure.provisioner/v1","tenant":{"id":"t"},"fence":1}"#;
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
        let more = read(with_unknown_fields(request));
        assert!(more["kit_unknown"].is_object() && more["tenant"]["kit_unknown"].is_object());
        assert_eq!(
            (&more["tenant"]["id"], &more["fence"]),
            (&json!("t"), &json!(1))
        );
        let other = read(of_an_unknown_contract(request));
        assert_eq!(other["contract"], "tenure.provisioner/v999");
        assert_eq!(other["tenant"], json!({"id": "t"}));
    }
}
