//! Looking: it changes nothing, and it sees what is there.

use tenure::Operation;

use crate::kit::bench::{Bench, Ended};
use crate::kit::rules;
use crate::kit::subject::{Subject, did};

pub(super) async fn observe(bench: &Bench<'_>) -> Result<String, Ended> {
    let mut subject = Subject::new(bench);
    let wanted = subject.wanted();
    let rule = rules::LOOKS;
    let made = subject.apply("of a new tenant", rules::MADE).await?;
    let first = subject.observe("after an apply", rule).await?;
    if made.sight(&wanted) != first.sight(&wanted) {
        let came = format!("apply: {}; observe: {}", made.shown(), first.shown());
        return Err(rule.breach("observe right after an apply", came));
    }
    let second = subject.observe("again", rule).await?;
    if first != second {
        let came = format!("first {}; then {}", first.shown(), second.shown());
        return Err(rule.breach("observe twice", came));
    }
    Ok(String::new())
}

pub(super) async fn tamper(bench: &Bench<'_>) -> Result<String, Ended> {
    let Some(tamper) = &bench.asked.tamper else {
        let why = "needs --tamper CMD, which alters what a tenant has";
        return Err(Ended::Skipped(why.to_owned()));
    };
    let mut subject = Subject::new(bench);
    let wanted = subject.wanted();
    let rule = rules::SEES;
    subject.apply("of a new tenant", rules::MADE).await?;
    let before = subject.observe("before tampering", rule).await?;
    let before = before.sight(&wanted);
    if let Err(why) = tamper.run(&subject.tenant, bench.stop()).await? {
        return Err(rules::TAMPERED.breach("run --tamper", why));
    }
    for again in ["after tampering", "after tampering, again"] {
        let call = subject.next(Operation::Observe);
        let after = subject.must(&call, again, rule).await?.sight(&wanted);
        if after.paths == before.paths && after.running == before.running {
            let came = format!(
                "still {}; if --tamper changes nothing at a path of desired, correct it",
                after.shown()
            );
            return Err(rule.breach(did(&call, again), came));
        }
    }
    let when = "after tampering";
    let repaired = subject.apply(when, rule).await?.sight(&wanted);
    let looked = subject.observe("after that", rule).await?.sight(&wanted);
    if let Some(not) = [repaired, looked].into_iter().find(|now| *now != before) {
        let came = format!("before {}; then {}", before.shown(), not.shown());
        return Err(rule.breach("apply and observe after tampering", came));
    }
    Ok(String::new())
}
