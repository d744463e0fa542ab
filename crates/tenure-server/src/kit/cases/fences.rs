//! What comes too late, and two at once.

use std::time::Duration;

use tenure::{Operation, Tenant};

use super::kills::Undisturbed;
use super::repeats::{blind_spot, tells_apart};
use crate::kit::bench::{Bench, Ended};
use crate::kit::cut;
use crate::kit::rules::{self, Rule};
use crate::kit::sight::{Sight, described};
use crate::kit::subject::{Subject, agrees, did, other};
use crate::provisioner::{Answer, Call, Fault};

/// How long one that stands still may keep another from its turn.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// How often Tenure would try again in the place of the kit.
const TRIES_MAX: u32 = 3;

/// What is wrong with an answer that should refuse, if anything is.
fn not_refused(answer: &Answer) -> bool {
    match answer {
        Answer::Failed(failure) => {
            failure.permanent
                || Fault::ALL
                    .iter()
                    .any(|fault| fault.reason() == failure.reason)
        }
        _ => true,
    }
}

/// Asks for what comes too late; it must be refused. Says the reason if it is not the usual one.
async fn too_late(
    bench: &Bench<'_>,
    call: &Call,
    when: &str,
    rule: Rule,
) -> Result<Option<String>, Ended> {
    let answer = bench.ask(call).await?;
    if not_refused(&answer) {
        return Err(rule.breach(did(call, when), described(&answer)));
    }
    let Answer::Failed(failure) = answer else {
        return Ok(None);
    };
    let reason = failure.reason.as_str();
    Ok((reason != "StaleFence").then(|| format!("refuses with {reason}; StaleFence is usual")))
}

pub(super) async fn stale(bench: &Bench<'_>) -> Result<String, Ended> {
    let rule = rules::FENCED;
    let mut subject = Subject::new(bench);
    let call = subject.under(Operation::Apply, 3);
    let first = subject.must(&call, "of a new tenant", rules::MADE).await?;
    let late_apply = subject.under(Operation::Apply, 4);
    let late_destroy = subject.under(Operation::Destroy, 4);
    subject.want(other(bench));
    let wanted = subject.wanted();
    let call = subject.under(Operation::Apply, 5);
    let seen = subject.must(&call, "with a change", rules::MADE).await?;
    agrees(&seen, &wanted, &call, "with a change", rules::TRUE)?;
    let before = seen.sight(&wanted);
    let mut notes = Vec::new();
    for late in [late_apply, late_destroy] {
        let when = "after an apply under fence 5";
        notes.extend(too_late(bench, &late, when, rule).await?);
        let what = format!("{} was refused", did(&late, when));
        let after = subject.observe(&format!("after {what}"), rule).await?;
        unchanged(&before, &after.sight(&wanted), &what, rule)?;
    }
    notes.push(blind_spot(bench, &first));
    notes.retain(|note| !note.is_empty());
    notes.dedup();
    Ok(notes.join("; "))
}

fn unchanged(before: &Sight, after: &Sight, what: &str, rule: Rule) -> Result<(), Ended> {
    if before == after {
        return Ok(());
    }
    let came = format!("before {}; then {}", before.shown(), after.shown());
    Err(rule.breach(format!("observe after {what}"), came))
}

pub(super) async fn late(bench: &Bench<'_>) -> Result<String, Ended> {
    let rule = rules::OUTLIVES;
    let mut subject = Subject::new(bench);
    let wanted = subject.wanted();
    let call = subject.under(Operation::Apply, 3);
    subject.must(&call, "of a new tenant", rules::MADE).await?;
    let late_apply = subject.under(Operation::Apply, 4);
    let call = subject.under(Operation::Destroy, 5);
    subject.must(&call, "", rules::ENDS).await?;
    let when = "after a destroy under fence 5";
    // What it says of a tenant that is gone is its own affair; whoever finds nothing may also fail.
    let call = subject.next(Operation::Observe);
    let gone = match subject.ask(&call).await? {
        Answer::Done { .. } => Some(subject.seen().sight(&wanted)),
        _ => None,
    };
    let note = too_late(bench, &late_apply, when, rule).await?;
    let call = subject.next(Operation::Observe);
    let what = format!("{} was refused", did(&late_apply, when));
    if let Answer::Done { .. } = subject.ask(&call).await? {
        let seen = subject.seen();
        match gone {
            Some(gone) => unchanged(&gone, &seen.sight(&wanted), &what, rule)?,
            None if seen.shows_something(&wanted) => {
                return Err(rule.breach(did(&call, &what), seen.shown()));
            }
            None => {}
        }
    }
    Ok(note.unwrap_or_default())
}

pub(super) async fn two_at_once(bench: &Bench<'_>) -> Result<String, Ended> {
    let undisturbed = Undisturbed::measure(bench).await?;
    let note = blind_spot(bench, &undisturbed.seen);
    if !tells_apart(bench, &undisturbed.seen) {
        return Err(Ended::Skipped(note));
    }
    for quarter in 0..4 {
        let moment = undisturbed.took * quarter / 4;
        let wait = (undisturbed.took * 2).max(PAUSE_MIN);
        race(bench, moment, wait, quarter % 2 == 1).await?;
    }
    Ok(note)
}

/// Two applies at once, on a new tenant or on one that is there.
async fn race(
    bench: &Bench<'_>,
    moment: Duration,
    wait: Duration,
    is_new: bool,
) -> Result<(), Ended> {
    let rule = rules::TURNS;
    let mut subject = Subject::new(bench);
    if !is_new {
        subject.apply("of a new tenant", rules::MADE).await?;
    }
    let older = subject.under(Operation::Apply, 4);
    subject.want(other(bench));
    let newer = subject.under(Operation::Apply, 5);
    let millis = moment.as_millis();
    let when = format!("while an apply under fence 4 had run for {millis} ms and was not done");
    let mut answer = cut::overtaken(bench, (&older, &newer), moment, wait).await?;
    let mut tries = 0;
    loop {
        match &answer {
            Answer::Done { .. } => break,
            Answer::Failed(failure) if !failure.permanent && tries < TRIES_MAX => tries += 1,
            failed => return Err(rule.breach(did(&newer, &when), described(failed))),
        }
        let call = subject.next(Operation::Apply);
        answer = bench.ask(&call).await?;
    }
    subject.hear(&answer);
    let call = subject.next(Operation::Observe);
    // What is known so far is of no use: what is there now counts.
    forget(&mut subject.tenant);
    let seen = subject.must(&call, "after both", rule).await?;
    let when = format!("after an apply under fence 5 {when}");
    agrees(&seen, &subject.wanted(), &call, &when, rule)
}

fn forget(tenant: &mut Tenant) {
    tenant.observed = None;
    tenant.resources.clear();
}
