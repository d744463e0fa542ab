//! What a provisioner does in an ordinary life, and twice: apply, change, suspend, resume, destroy.

use tenure::Operation;

use crate::kit::bench::{Bench, Ended};
use crate::kit::rules;
use crate::kit::sight::{Seen, Wanted, described, wanted_paths};
use crate::kit::subject::{Subject, agrees, did, other};
use crate::provisioner::Answer;

pub(super) async fn apply(bench: &Bench<'_>) -> Result<String, Ended> {
    let mut subject = Subject::new(bench);
    let call = subject.next(Operation::Apply);
    let answer = subject.ask(&call).await?;
    let when = "of a new tenant";
    let Answer::Done {
        observed,
        resources,
        ..
    } = &answer
    else {
        return Err(rules::MADE.breach(did(&call, when), described(&answer)));
    };
    let wanted = subject.wanted();
    let paths = wanted_paths(&wanted);
    if resources.is_none() || (observed.is_none() && paths > 0) {
        return Err(rules::TOLD.breach(did(&call, when), described(&answer)));
    }
    let seen = subject.seen();
    agrees(&seen, &wanted, &call, when, rules::TRUE)?;
    let sight = seen.sight(&wanted);
    let note = if sight.paths.len() < paths {
        let reported = sight.paths.len();
        format!(
            "reports {reported} of {paths} values of desired: the others count as drift, or none does if it reports none"
        )
    } else {
        String::new()
    };
    Ok(note)
}

pub(super) async fn apply_again(bench: &Bench<'_>) -> Result<String, Ended> {
    let rule = rules::AGAIN;
    let mut subject = Subject::new(bench);
    let before = subject.apply("of a new tenant", rules::MADE).await?;
    let call = subject.next(Operation::Apply);
    for when in ["again, with nothing new", "once more, under the same fence"] {
        let after = subject.must(&call, when, rule).await?;
        if before != after {
            let came = format!("first {}; then {}", before.shown(), after.shown());
            return Err(rule.breach(did(&call, when), came));
        }
    }
    Ok(String::new())
}

pub(super) async fn change(bench: &Bench<'_>) -> Result<String, Ended> {
    let mut subject = Subject::new(bench);
    let before = subject.apply("of a new tenant", rules::MADE).await?;
    subject.want(other(bench));
    subject.apply("with a change", rules::TRUE).await?;
    let seen = subject.observe("after the change", rules::LOOKS).await?;
    let contradictions = seen.contradictions(&subject.wanted());
    if !contradictions.is_empty() {
        let did = "observe after an apply with a change was done";
        return Err(rules::TRUE.breach(did, contradictions.join("; ")));
    }
    Ok(blind_spot(bench, &before))
}

/// What to say where little or nothing tells a change, by what is seen without it.
pub(super) fn blind_spot(bench: &Bench<'_>, before: &Seen) -> String {
    if !tells_apart(bench, before) {
        return "nothing that is reported tells of the change; report what --changed changes, or \
                observed.running"
            .to_owned();
    }
    match bench.asked.changed {
        Some(_) => String::new(),
        None => "only running was changed; --changed FILE changes more".to_owned(),
    }
}

/// Whether what is reported would show that a change did not come into force.
pub(super) fn tells_apart(bench: &Bench<'_>, before: &Seen) -> bool {
    !before.contradictions(&other(bench)).is_empty()
}

pub(super) async fn suspend(bench: &Bench<'_>) -> Result<String, Ended> {
    let mut subject = Subject::new(bench);
    let wanted = subject.wanted();
    let before = subject.apply("of a new tenant", rules::MADE).await?;
    subject.want(Wanted {
        running: false,
        ..wanted.clone()
    });
    let rule = rules::PAUSES;
    let suspended = subject.apply("with running false", rule).await?;
    let is_told = suspended.sight(&wanted).running.is_some();
    subject.want(wanted.clone());
    let after = subject.apply("with running true again", rule).await?;
    if before.sight(&wanted) != after.sight(&wanted) {
        let came = format!("before {}; then {}", before.shown(), after.shown());
        return Err(rule.breach("apply with running false, then with running true", came));
    }
    Ok(if is_told {
        String::new()
    } else {
        "observed.running is not reported".to_owned()
    })
}

pub(super) async fn destroy(bench: &Bench<'_>) -> Result<String, Ended> {
    let mut subject = Subject::new(bench);
    let rule = rules::ENDS;
    subject.apply("of a new tenant", rules::MADE).await?;
    subject.destroy("of what is there", rule).await?;
    subject.destroy("of what is gone", rule).await?;
    let mut never = Subject::new(bench);
    never.destroy("of what never was there", rule).await?;
    Ok(String::new())
}
