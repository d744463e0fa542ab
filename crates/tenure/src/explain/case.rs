//! One tenant, its work, its class and the time: all that an explanation follows from.

use super::words::{failure, length, places};
use super::{ClassView, Last, LastResult, Next};
use crate::{
    DriftMode, Failing, Held, Message, Operation, Reason, Record, State, Tenant, Timestamp,
    WorkFacts,
};

/// What is looked at.
pub(super) struct Case<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) work: &'a WorkFacts,
    pub(super) class: Option<&'a ClassView>,
    pub(super) now: Timestamp,
}

impl<'a> Case<'a> {
    pub(super) const fn new(
        record: &'a Record,
        class: Option<&'a ClassView>,
        now: Timestamp,
    ) -> Self {
        Self {
            tenant: &record.tenant,
            work: &record.work,
            class,
            now,
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.tenant.state == State::Deleted
    }

    /// Whether only looks at it are planned.
    pub(super) fn rests(&self) -> bool {
        self.tenant.is_at_rest()
    }

    /// What a worker does to it now.
    pub(super) fn operation(&self) -> Operation {
        match self.tenant.state {
            State::Deleting => Operation::Destroy,
            _ if self.rests() => Operation::Observe,
            _ => Operation::Apply,
        }
    }

    /// Who works on it, and until when that is certain.
    pub(super) fn leased(&self) -> Option<(&'a str, Timestamp)> {
        let holder = self.work.holder.as_deref()?;
        let until = self.work.lease_until.filter(|until| self.now < *until)?;
        Some((holder, until))
    }

    pub(super) fn held(&self) -> Option<&'a Held> {
        self.tenant.conditions.held.as_ref()
    }

    pub(super) fn failing(&self) -> Option<&'a Failing> {
        self.tenant.conditions.failing.as_ref()
    }

    pub(super) fn is_halted(&self) -> bool {
        self.failing().is_some_and(|failing| failing.halted)
    }

    /// Whether it rests and its class never looks for drift.
    pub(super) fn is_left_alone(&self) -> bool {
        self.rests() && self.mode() == Some(DriftMode::Off)
    }

    pub(super) fn mode(&self) -> Option<DriftMode> {
        self.class.map(|class| class.policy.drift.mode)
    }

    /// Why the last attempt that ended had failed, if it had, and what it said.
    pub(super) fn trouble(&self) -> Option<(&'a Reason, &'a Message)> {
        let conditions = &self.tenant.conditions;
        let missed = conditions.unknown.as_ref().filter(|_| self.rests());
        let failing = self.failing();
        let (reason, message) = failing
            .map(|failing| (&failing.reason, &failing.message))
            .or_else(|| missed.map(|unknown| (&unknown.reason, &unknown.message)))?;
        Some((reason, self.work.last_error.as_ref().unwrap_or(message)))
    }

    pub(super) fn last(&self) -> Last {
        let trouble = self.trouble();
        let lost = self.work.holder.is_some() && self.work.lease_until.is_some();
        let result = if self.leased().is_some() {
            LastResult::InProgress
        } else if lost && !self.is_gone() {
            LastResult::Lost
        } else if trouble.is_some() {
            LastResult::Failed
        } else if self.rests() {
            LastResult::Done
        } else {
            LastResult::None
        };
        // What rests was brought there or looked at since: the record does not tell which.
        let operation = match result {
            LastResult::None | LastResult::Done => None,
            LastResult::InProgress | LastResult::Failed | LastResult::Lost => {
                Some(self.operation())
            }
        };
        let counted = operation.is_some() && self.work.attempts > 0;
        Last {
            operation,
            attempt: counted.then_some(self.work.attempts),
            result,
            reason: trouble.map(|(reason, _)| reason.clone()),
            message: trouble.map_or_else(Message::none, |(_, message)| message.clone()),
            at: self
                .work
                .checked_at
                .filter(|_| result == LastResult::Done && !self.is_gone()),
            steps: self.tenant.steps.clone(),
        }
    }

    pub(super) fn summary(&self, next: &Next) -> String {
        let (stands, overdue) = (self.stands(), self.allowance());
        let overdue = match self.tenant.conditions.overdue {
            Some(_) if !self.is_gone() => overdue,
            _ => String::new(),
        };
        let how = match (self.is_gone(), self.rests()) {
            (true, _) => String::new(),
            (false, true) => self.how_it_rests(),
            (false, false) => self.how_it_goes(),
        };
        let name = &self.tenant.name;
        format!("{name} has been {stands}{overdue}{how}; {}.", next.what)
    }

    pub(super) fn stands(&self) -> String {
        let since = length(self.now.since(self.tenant.state_since));
        format!("{} for {since}", self.tenant.state)
    }

    pub(super) fn allowance(&self) -> String {
        let deadline = self
            .class
            .and_then(|class| class.policy.deadlines.of(self.tenant.state));
        deadline.map_or_else(
            || ", longer than its class allows".to_owned(),
            |deadline| format!(", and its class allows {}", length(deadline)),
        )
    }

    fn how_it_rests(&self) -> String {
        let conditions = &self.tenant.conditions;
        let drifted = conditions.drifted.as_ref().map(|drifted| {
            let since = length(self.now.since(drifted.since));
            let spent = if drifted.budget_spent {
                ", and the corrections of its class were used up"
            } else {
                ""
            };
            format!(" and has drifted for {since} at {}{spent}", places(drifted))
        });
        let unknown = conditions.unknown.as_ref().map(|unknown| {
            let since = length(self.now.since(unknown.since));
            format!(", but how it is has been unknown for {since}")
        });
        let looks = match (self.leased(), self.trouble()) {
            (Some(_), _) => " and is being looked at".to_owned(),
            (None, Some((reason, message))) => {
                format!(": the last look ended with {}", failure(reason, message))
            }
            (None, None) => String::new(),
        };
        match (drifted, unknown) {
            (None, None) if self.trouble().is_none() => format!(" and is as wanted{looks}"),
            (drifted, unknown) => format!(
                "{}{}{looks}",
                drifted.unwrap_or_default(),
                unknown.unwrap_or_default()
            ),
        }
    }

    fn how_it_goes(&self) -> String {
        let attempt = match self.work.attempts {
            0 => "an attempt".to_owned(),
            number => format!("attempt {number}"),
        };
        let why = self
            .trouble()
            .map(|(reason, message)| failure(reason, message));
        let so_far = match (self.last().result, why) {
            (LastResult::InProgress, None) => format!("{attempt} is running"),
            (LastResult::InProgress, Some(why)) => format!("{attempt} is running, after {why}"),
            (LastResult::Lost, None) => format!("{attempt} ended without a report"),
            (LastResult::Lost, Some(why)) => {
                format!("{attempt} ended without a report, after {why}")
            }
            (LastResult::Failed | LastResult::Done | LastResult::None, Some(why)) => {
                format!("{attempt} failed with {why}")
            }
            (LastResult::Failed | LastResult::Done | LastResult::None, None) => {
                "nothing was tried yet".to_owned()
            }
        };
        let conditions = &self.tenant.conditions;
        let drifted = conditions
            .drifted
            .as_ref()
            .map(|drifted| format!(", to correct drift at {}", places(drifted)));
        let unknown = conditions
            .unknown
            .as_ref()
            .map(|unknown| format!(", as looks at it ended with {}", unknown.reason));
        format!(
            ": {so_far}{}{}",
            drifted.unwrap_or_default(),
            unknown.unwrap_or_default()
        )
    }
}
