//! Killed, and run again.

use std::time::Duration;

use tenure::Operation;
use tokio::time::Instant;

use crate::kit::bench::{Bench, Ended};
use crate::kit::cut;
use crate::kit::rules;
use crate::kit::sight::{Seen, Sight};
use crate::kit::subject::Subject;

/// Most lines that are tried: whoever tells more tells of the same kind of thing.
const LINES_MAX: usize = 20;

/// How an apply of a new tenant goes if nobody disturbs it.
pub(super) struct Undisturbed {
    pub(super) took: Duration,
    pub(super) seen: Seen,
    sight: Sight,
}

impl Undisturbed {
    pub(super) async fn measure(bench: &Bench<'_>) -> Result<Self, Ended> {
        let mut subject = Subject::new(bench);
        let began = Instant::now();
        subject.apply("of a new tenant", rules::MADE).await?;
        let took = began.elapsed();
        let seen = subject.observe("after it", rules::LOOKS).await?;
        Ok(Self {
            took,
            sight: seen.sight(&subject.wanted()),
            seen,
        })
    }

    /// Applies once more to a tenant whose apply was cut short, and compares.
    async fn recovers(&self, mut subject: Subject<'_>, cut: &str) -> Result<(), Ended> {
        let rule = rules::KILLED;
        let when = format!("after one that was {cut}");
        let wanted = subject.wanted();
        let made = subject.apply(&when, rule).await?.sight(&wanted);
        let looked = subject.observe(&when, rule).await?.sight(&wanted);
        if let Some(not) = [made, looked].into_iter().find(|now| *now != self.sight) {
            let came = format!("{}; undisturbed {}", not.shown(), self.sight.shown());
            return Err(rule.breach(format!("apply {when}, and observe"), came));
        }
        subject.destroy(&when, rule).await
    }
}

pub(super) async fn at_moments(bench: &Bench<'_>) -> Result<String, Ended> {
    let undisturbed = Undisturbed::measure(bench).await?;
    let kills = bench.asked.kills;
    let mut hit = 0;
    for kill in 0..kills {
        let mut subject = Subject::new(bench);
        let moment = undisturbed.took * (2 * kill + 1) / (2 * kills);
        let call = subject.next(Operation::Apply);
        match bench.ask_and_kill(&call, moment).await? {
            Some(answer) => subject.hear(&answer),
            None => hit += 1,
        }
        let cut = format!("killed after {} ms", moment.as_millis());
        undisturbed.recovers(subject, &cut).await?;
    }
    Ok(format!("{hit} of {kills} kills came before its end"))
}

pub(super) async fn after_lines(bench: &Bench<'_>) -> Result<String, Ended> {
    let undisturbed = Undisturbed::measure(bench).await?;
    let mut subject = Subject::new(bench);
    let call = subject.next(Operation::Apply);
    let lines = cut::after_lines(bench, &call, usize::MAX).await?;
    for line in 1..=lines.min(LINES_MAX) {
        let mut subject = Subject::new(bench);
        let call = subject.next(Operation::Apply);
        cut::after_lines(bench, &call, line).await?;
        let cut = format!("killed right after line {line} of {lines}");
        undisturbed.recovers(subject, &cut).await?;
    }
    Ok(format!("{lines} lines"))
}
