//! What stands in the way of a tenant's next step.

use super::case::Case;
use super::words::{failure, length, noun};
use super::{Block, BlockKind, Breaker, ClassView};
use crate::Timestamp;

/// After how many seconds without a question there is nobody to ask: far longer than a worker waits
/// for an answer.
const WORKER_GONE: u64 = 120;

impl Case<'_> {
    pub(super) fn blocked_by(&self) -> Vec<Block> {
        if self.is_gone() {
            return Vec::new();
        }
        let mut found = self.stopped_by();
        let stopped = [BlockKind::Lease, BlockKind::Hold, BlockKind::Halted];
        if found.iter().any(|block| stopped.contains(&block.kind)) {
            return found;
        }
        let Some(due) = self.work.due_at.filter(|_| !self.is_left_alone()) else {
            found.extend(self.no_class());
            return found;
        };
        if due > self.now && (!self.rests() || self.trouble().is_some()) {
            let wait = length(due.since(self.now));
            let noun = noun(self.operation());
            found.push(
                Block::new(
                    BlockKind::Backoff,
                    format!("the next {noun} waits for {wait}"),
                )
                .until(Some(due)),
            );
        }
        match self.class {
            None => found.extend(self.no_class()),
            Some(class) => self.delayed_by(class, due, &mut found),
        }
        found
    }

    /// What lies in the tenant itself and in its work.
    fn stopped_by(&self) -> Vec<Block> {
        let mut found = Vec::new();
        if let Some((holder, until)) = self.leased() {
            let detail = format!(
                "{holder} works on it under a lease that runs for {} more, unless it is renewed",
                length(until.since(self.now))
            );
            found.push(
                Block::new(BlockKind::Lease, detail)
                    .until(Some(until))
                    .by(holder),
            );
        }
        if let Some(held) = self.held() {
            let why = if held.message.is_empty() {
                "without saying why".to_owned()
            } else {
                format!("and said: {}", held.message)
            };
            let since = length(self.now.since(held.since));
            let detail = format!("{} has held it for {since} {why}", held.by);
            found.push(Block::new(BlockKind::Hold, detail).by(held.by.as_str()));
        }
        if self.is_halted() {
            let detail = "it failed in a way that no further attempt is made by itself";
            found.push(Block::new(BlockKind::Halted, detail));
        }
        if let Some(overdue) = &self.tenant.conditions.overdue {
            let since = length(self.now.since(overdue.since));
            let detail = format!(
                "it is overdue for {since}: {}{}",
                self.stands(),
                self.allowance()
            );
            found.push(Block::new(BlockKind::Deadline, detail));
        }
        let drifted = self.tenant.conditions.drifted.as_ref();
        if drifted.is_some_and(|drifted| drifted.budget_spent) {
            let budget = self.class.map_or_else(String::new, |class| {
                format!(", {} an hour", class.policy.drift.corrections_per_hour)
            });
            let detail = format!(
                "the corrections of class {}{budget}, were used up when it was last looked at",
                self.tenant.class
            );
            found.push(Block::new(BlockKind::Budget, detail));
        }
        found
    }

    fn no_class(&self) -> Option<Block> {
        let detail = format!(
            "class {} is not served where this was asked, and only a server that has it configured works \
             on its tenants",
            self.tenant.class
        );
        self.class
            .is_none()
            .then(|| Block::new(BlockKind::NoClass, detail))
    }

    /// What lies in how its class stands.
    fn delayed_by(&self, class: &ClassView, due: Timestamp, found: &mut Vec<Block>) {
        let (name, status) = (&self.tenant.class, &class.status);
        let before = found.len();
        // What is over before the work is due delays nothing.
        let delays = |until: Timestamp| until > self.now.max(due);
        match &status.breaker {
            Breaker::Open {
                since,
                until,
                reason,
                message,
            } if delays(*until) => {
                let (since, why) = (length(self.now.since(*since)), failure(reason, message));
                let detail = format!(
                    "nothing of class {name} is tried since {since}: it kept failing with {why}"
                );
                found.push(Block::new(BlockKind::Breaker, detail).until(Some(*until)));
            }
            Breaker::Open { .. } | Breaker::HalfOpen if due <= self.now => {
                let detail =
                    format!("after many failures of class {name}, one trial must succeed first");
                found.push(Block::new(BlockKind::Breaker, detail));
            }
            Breaker::Open { .. } | Breaker::HalfOpen | Breaker::Closed => {}
        }
        if let Some(until) = status.throttled_until.filter(|until| delays(*until)) {
            let wait = length(until.since(self.now));
            let detail = format!("class {name} begins no more work for {wait}: it is throttled");
            found.push(Block::new(BlockKind::Throttle, detail).until(Some(until)));
        }
        if due > self.now {
            return;
        }
        if status.concurrency > 0 && status.running >= status.concurrency {
            let most = status.concurrency;
            let detail = format!("class {name} has {most} operations running here, as many as may");
            found.push(Block::new(BlockKind::Concurrency, detail));
        }
        let asked = status.last_claim_at;
        let asked_of_late = asked.is_some_and(|at| self.now.since(at).as_secs() < WORKER_GONE);
        if status.pull && !asked_of_late {
            let since = asked.map_or_else(
                || "since this server started".to_owned(),
                |at| format!("for {}", length(self.now.since(at))),
            );
            let detail = format!("no worker has asked for work of class {name} {since}");
            found.push(Block::new(BlockKind::NoWorker, detail));
        }
        if found.len() == before {
            let since = length(self.now.since(due));
            let looks = if self.rests() {
                "; looks take only a part of the places of their class"
            } else {
                ""
            };
            let detail = format!(
                "it is due for {since} and waits for its turn: the longest due first{looks}"
            );
            found.push(Block::new(BlockKind::Queue, detail));
        }
    }
}

impl Block {
    fn new(kind: BlockKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            until: None,
            by: None,
        }
    }

    fn until(mut self, until: Option<Timestamp>) -> Self {
        self.until = until;
        self
    }

    fn by(mut self, by: &str) -> Self {
        self.by = Some(by.to_owned());
        self
    }
}
