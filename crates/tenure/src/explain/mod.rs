//! Explaining: why a tenant stands where it stands, what blocks it, and what comes next. Pure.
//!
//! What is said follows the rules and what a reconciler does by them. Work is claimed by class. What
//! is held or halted is left alone. What rests is only looked at for drift. All other work is done
//! when it is due, as soon as its class has a place.
//!
//! # Invariants
//!
//! - For every tenant that is not deleted there is a next step, or a command that makes one.
//! - Times are compared with the store's clock, on which leases and due times live.

mod blocks;
mod case;
#[cfg(test)]
mod every;
mod next;
#[cfg(test)]
mod table;
mod words;

use serde::{Deserialize, Serialize};

use self::case::Case;
use crate::{
    ClassName, ConditionKind, Message, Operation, Policy, Reason, Record, State, Step, TenantId,
    TenantName, Timestamp,
};

/// A class as it stands on one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassView {
    /// How it wants its tenants to be treated.
    pub policy: Policy,
    /// How its work goes there.
    pub status: ClassStatus,
}

/// How the work of a class goes on one server. The default is a class at which nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassStatus {
    /// How many operations run there now.
    pub running: u32,
    /// How many may run there at once; 0 if that is not bounded.
    pub concurrency: u32,
    /// Whether its operations are tried at all.
    pub breaker: Breaker,
    /// Until when its work is slowed down, by the store's clock.
    pub throttled_until: Option<Timestamp>,
    /// Workers outside of the server ask for its work.
    pub pull: bool,
    /// When its work was last asked for there, by the store's clock.
    pub last_claim_at: Option<Timestamp>,
}

/// Whether operations of a class are tried: many failures in a row say that it is not the tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// They are.
    #[default]
    Closed,
    /// They are not, for a time.
    Open {
        /// Since when, by the store's clock.
        since: Timestamp,
        /// Until when, by the store's clock.
        until: Timestamp,
        /// Why, as the last failure named it.
        reason: Reason,
        /// What the last failure said.
        message: Message,
    },
    /// One is tried; when it succeeds, all are.
    HalfOpen,
}

/// Why a tenant stands where it stands, what blocks it, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The tenant's id.
    pub id: TenantId,
    /// Its name.
    pub name: TenantName,
    /// Its class.
    pub class: ClassName,
    /// When this was so, by the store's clock.
    pub at: Timestamp,
    /// All of it in a sentence or two.
    pub summary: String,
    /// Where it stands.
    pub state: State,
    /// Since when it stands there.
    pub since: Timestamp,
    /// Why it stands there, in a word.
    pub reason: Reason,
    /// Why it stands there, in a sentence; may be empty.
    pub message: Message,
    /// What is the matter with it.
    pub conditions: Vec<ConditionKind>,
    /// What was last tried.
    pub last: Last,
    /// What stands in the way of the next step, the hardest first; empty if nothing does.
    pub blocked_by: Vec<Block>,
    /// What comes next.
    pub next: Next,
    /// What would help now, the best first; empty if nothing is needed.
    pub commands: Vec<Help>,
}

/// What was last tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// What was done, if the record tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Which attempt it was, from 1, if it is still counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What came of it.
    pub result: LastResult,
    /// Why the last attempt that ended had failed, in a word, if it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What the last attempt that ended had said, if it had failed.
    #[serde(default, skip_serializing_if = "Message::is_empty")]
    pub message: Message,
    /// When it ended, if it was in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How far it came, if its provisioner told of steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// What came of what was last tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastResult {
    /// It goes on.
    InProgress,
    /// It failed.
    Failed,
    /// Its lease ran out without a report: its worker died, or lost the store.
    Lost,
    /// It was in order.
    Done,
    /// Nothing was tried yet for what is wanted now.
    None,
}

impl LastResult {
    /// The word, as JSON and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Done => "done",
            Self::None => "none",
        }
    }
}

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What kind of thing.
    pub kind: BlockKind,
    /// What it is, in a sentence.
    pub detail: String,
    /// Until when, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// By whom: the holder of a lease, or who holds the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What can stand in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// Someone works on it.
    Lease,
    /// Someone has paused it.
    Hold,
    /// It failed in a way that no further attempt is made.
    Halted,
    /// It has stood in its state for longer than its class allows. That stops nothing.
    Deadline,
    /// The corrections of its class are used up.
    Budget,
    /// It waits after a failure.
    Backoff,
    /// Its class is not served where this was asked.
    NoClass,
    /// Operations of its class are not tried for now.
    Breaker,
    /// The work of its class is slowed down.
    Throttle,
    /// As many operations of its class run as may.
    Concurrency,
    /// No worker asks for the work of its class.
    NoWorker,
    /// Others are due too.
    Queue,
}

impl BlockKind {
    /// The word, as JSON and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Hold => "hold",
            Self::Halted => "halted",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::Backoff => "backoff",
            Self::NoClass => "no_class",
            Self::Breaker => "breaker",
            Self::Throttle => "throttle",
            Self::Concurrency => "concurrency",
            Self::NoWorker => "no_worker",
            Self::Queue => "queue",
        }
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// What it is, as a part of a sentence.
    pub what: String,
    /// What will be done, if something will without anyone asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Not before this, if something is planned. A time that is over means as soon as may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// A command that would help now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Help {
    /// As it is typed.
    pub command: String,
    /// What it would do.
    pub why: String,
}

/// Explains a tenant at a time of the store's clock; `class` is how its class stands on the server
/// that answers, or `None` if it is not configured there. Total.
pub fn explain(record: &Record, class: Option<&ClassView>, now: Timestamp) -> Explanation {
    let case = Case::new(record, class, now);
    let blocked_by = case.blocked_by();
    let next = case.next(&blocked_by);
    let tenant = &record.tenant;
    Explanation {
        id: tenant.id,
        name: tenant.name.clone(),
        class: tenant.class.clone(),
        at: now,
        summary: case.summary(&next),
        state: tenant.state,
        since: tenant.state_since,
        reason: tenant.reason.clone(),
        message: tenant.message.clone(),
        conditions: tenant.conditions.kinds(),
        last: case.last(),
        blocked_by,
        next,
        commands: case.commands(),
    }
}
