//! What comes next for a tenant, and which commands would help.

use super::case::Case;
use super::words::{length, noun};
use super::{Block, BlockKind, Help, Next};
use crate::{DriftMode, State, Timestamp};

impl Case<'_> {
    pub(super) fn next(&self, blocked_by: &[Block]) -> Next {
        if self.is_gone() {
            return Next::only("its name is free");
        }
        let name = &self.tenant.name;
        if let Some((holder, _)) = self.leased() {
            let held = match self.held() {
                Some(held) => format!("; {} holds it, so nothing follows then", held.by),
                None => String::new(),
            };
            return Next {
                what: format!("{holder} reports how it ends{held}"),
                operation: Some(self.operation()),
                at: None,
            };
        }
        if let Some(held) = self.held() {
            let retry = if self.is_halted() {
                format!(", then `tenure retry {name}`")
            } else {
                String::new()
            };
            return Next::only(format!(
                "{} holds it, and nothing is done until `tenure release {name}`{retry}",
                held.by
            ));
        }
        if self.is_halted() {
            let or = match self.tenant.state {
                State::Deleting => "",
                _ => " or something else is asked for",
            };
            return Next::only(format!(
                "no more attempts are made until `tenure retry {name}`{or}"
            ));
        }
        if self.is_left_alone() {
            return Next::only("nothing is done until something else is asked for");
        }
        match self.work.due_at {
            Some(due) => self.planned(due, blocked_by),
            None if self.rests() => {
                Next::only("no look is planned; nothing is done until something else is asked for")
            }
            None => Next::only(format!(
                "no attempt is planned, which should not be; {} plans one",
                self.plan_anew()
            )),
        }
    }

    /// What is done when it is due, by whom, and not before when.
    fn planned(&self, due: Timestamp, blocked_by: &[Block]) -> Next {
        let bars = [BlockKind::Breaker, BlockKind::Throttle];
        let bars = blocked_by.iter().filter(|block| bars.contains(&block.kind));
        let at = bars
            .filter_map(|block| block.until)
            .fold(due, Timestamp::max);
        let is = |kind| blocked_by.iter().any(|block| block.kind == kind);
        let when = if at > self.now {
            format!("in {}", length(at.since(self.now)))
        } else if is(BlockKind::Breaker) {
            "due once a trial of its class has succeeded".to_owned()
        } else if is(BlockKind::Concurrency) {
            "due as soon as its class has a place free".to_owned()
        } else if is(BlockKind::NoWorker) {
            format!(
                "due as soon as a worker asks for work of class {}",
                self.tenant.class
            )
        } else {
            "due now".to_owned()
        };
        let what = match (self.rests(), self.mode()) {
            (true, Some(DriftMode::Observe)) => {
                format!("the next look is {when}; drift is recorded, not corrected")
            }
            (true, Some(DriftMode::Correct)) => {
                format!("the next look is {when}; drift is corrected while the budget lasts")
            }
            (true, _) => format!("the next look is {when}"),
            (false, _) if self.work.attempts == 0 && self.failing().is_none() => {
                format!("the first {} is {when}", noun(self.operation()))
            }
            (false, _) => format!("the next {} is {when}", noun(self.operation())),
        };
        let what = match self.class {
            Some(_) => what,
            None => format!(
                "{what}, by a server that has class {} in its tenure.toml: ask that one, or configure \
                 it and start it",
                self.tenant.class
            ),
        };
        Next {
            what,
            operation: Some(self.operation()),
            at: Some(at),
        }
    }

    /// The command that makes work due that nothing else does.
    fn plan_anew(&self) -> String {
        let name = &self.tenant.name;
        match self.failing() {
            Some(_) => format!("`tenure retry {name}`"),
            None => format!("`tenure hold {name}` with `tenure release {name}` after it"),
        }
    }

    pub(super) fn commands(&self) -> Vec<Help> {
        let name = &self.tenant.name;
        let help = |command: &str, why: &str| Help {
            command: format!("tenure {command}"),
            why: why.to_owned(),
        };
        if self.is_gone() {
            return vec![help("apply -f FILE", "makes a new tenant of this name")];
        }
        let mut found = Vec::new();
        if self.held().is_some() {
            found.push(help(&format!("release {name}"), "lets its work go on"));
        }
        let retry = format!("retry {name}");
        let conditions = &self.tenant.conditions;
        let idle = self.leased().is_none() && self.held().is_none();
        if self.is_halted() {
            let why = "tries again with attempts counted from zero; correct the cause first";
            found.push(help(&retry, why));
        } else if self.failing().is_some() && idle {
            let waits = self.work.due_at.is_none_or(|due| due > self.now);
            if waits {
                found.push(help(
                    &retry,
                    "tries again now, with attempts counted from zero",
                ));
            }
        } else if self.rests()
            && self.held().is_none()
            && (conditions.drifted.is_some() || conditions.unknown.is_some())
        {
            found.push(help(&retry, "brings it to what is wanted once more, now"));
        } else if idle && !self.rests() && self.work.due_at.is_none() {
            found.push(help(
                &format!("hold {name}"),
                "first; it has no effect alone",
            ));
            found.push(help(
                &format!("release {name}"),
                "then; it plans the next attempt",
            ));
        }
        if let Some(drifted) = conditions.drifted.as_ref().filter(|_| self.rests()) {
            found.push(help(
                &format!("accept {name}"),
                "takes what was found over into what is wanted",
            ));
            let path = drifted.paths.first().map_or("PATH", |d| d.path.as_str());
            // A shell must see one word, whatever the path has in it.
            let path = path.replace('\'', r"'\''");
            found.push(help(
                &format!("waive {name} '{path}' --until 7d"),
                "lets drift there not count for a time",
            ));
        }
        found
    }
}

impl Next {
    /// Nothing that happens by itself.
    fn only(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            operation: None,
            at: None,
        }
    }
}
