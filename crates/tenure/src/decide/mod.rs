//! The rules: what a command or a report does to a tenant. Pure and total.
//!
//! [`decide`] and [`decide_report`] take the tenant as it is and give a [`Change`] that a store can
//! write, or say that all is as asked, or refuse and say what is possible instead. They ask no
//! clock and draw no number: the [`Context`] brings both, so a repeat decides alike.
//!
//! # Invariants
//!
//! - A change raises the revision by one; only commands raise the generation.
//! - A tenant is `ready` only if `observed_generation = generation` and it should run.
//! - `suspending` and `suspended` mean that it should not run; `resuming` that it should.
//! - From every state a delete leads to `deleted`, and nothing leads out of it.

mod commands;
mod looks;
#[cfg(test)]
mod looks_table;
mod reports;
#[cfg(test)]
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::history::Draft;
use crate::{
    Actor, Annotations, Change, ClassName, Document, Generation, IdempotencyKey, Invalid, Kind,
    Labels, Message, Pointer, Policy, Reason, State, Tenant, TenantId, TenantName, Timestamp, Wake,
};

pub use commands::decide;
pub use reports::decide_report;

/// What is wanted of a tenant, as create and apply say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The id that the tenant gets if it is created.
    pub id: TenantId,
    /// Its name.
    pub name: TenantName,
    /// Its class, fixed from then on. `None` means the class it has, or `default`.
    pub class: Option<ClassName>,
    /// All its labels; `None` leaves those that it has.
    pub labels: Option<Labels>,
    /// All its annotations; `None` leaves those that it has.
    pub annotations: Option<Annotations>,
    /// What is wanted of it, whole.
    pub desired: Document,
    /// Whether it should run; `None` leaves it as it is, or `true`: a manifest that says nothing
    /// about running must not resume what an operator has suspended.
    pub running: Option<bool>,
}

/// What people ask for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Make a tenant that is not there.
    Create(Wanted),
    /// Make it, or make it so.
    Apply(Wanted),
    /// Change a part of `desired` by RFC 7396: `null` removes.
    Patch(Map<String, Value>),
    /// Change labels and annotations; `None` removes a key.
    Annotate {
        /// Labels to set or remove.
        labels: BTreeMap<String, Option<String>>,
        /// Annotations to set or remove.
        annotations: BTreeMap<String, Option<String>>,
    },
    /// Stop it.
    Suspend,
    /// Start it again.
    Resume,
    /// Tear it down. Its record and history stay.
    Delete,
    /// Try a failing tenant again, now, with attempts counted from zero; bring one that has drifted,
    /// or that can't be looked at, to what is wanted once more.
    Retry,
    /// Pause reconciliation.
    Hold,
    /// Let reconciliation go on.
    Release,
    /// Take what was observed at the drifted paths over into `desired`.
    Accept,
    /// Let drift at a path not count until a time; a time that is over ends the waiver.
    Waive {
        /// The place in `desired`, with all below it.
        path: Pointer,
        /// Until when.
        until: Timestamp,
    },
}

impl Command {
    /// The word, as the API and the command line spell it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Apply(_) => "apply",
            Self::Patch(_) => "patch",
            Self::Annotate { .. } => "annotate",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Delete => "delete",
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Accept => "accept",
            Self::Waive { .. } => "waive",
        }
    }
}

/// What a worker was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Make it as it should be.
    Apply,
    /// Look at it.
    Observe,
    /// Tear it down.
    Destroy,
}

impl Operation {
    /// The word, as the contract spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Observe => "observe",
            Self::Destroy => "destroy",
        }
    }
}

/// What a worker says about one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it was doing.
    pub operation: Operation,
    /// The generation that it was doing it for.
    pub generation: Generation,
    /// Whether the tenant should run, as it was told.
    pub running: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// How far it is, if the provisioner tells of steps; none leaves those that it told of before.
    pub steps: Vec<crate::Step>,
    /// How the tenant's class wants it to be treated.
    pub policy: Policy,
    /// Whether drift may be corrected that this report finds.
    pub correction: Correction,
}

/// Whether drift may be corrected, where the class corrects at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Correction {
    /// It is only recorded.
    #[default]
    None,
    /// It may be, and then this key is used up: one of those that are the budget of its class.
    Granted(IdempotencyKey),
    /// The budget of the class is spent.
    Spent,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It begins.
    Started,
    /// Nothing came of it yet; only the clock was looked at.
    Waiting,
    /// It goes on.
    Progressed {
        /// How far it is.
        message: Message,
    },
    /// It is done.
    Succeeded {
        /// What was seen; `None` leaves what was seen before.
        observed: Option<Document>,
        /// What exists now; `None` leaves what existed before.
        resources: Option<Vec<String>>,
        /// In a sentence.
        message: Message,
    },
    /// It failed.
    Failed {
        /// Why, in a word.
        reason: Reason,
        /// What happened and what to do about it.
        message: Message,
        /// Trying again can't help.
        permanent: bool,
        /// The provisioner's own wish when to try again.
        retry_after: Option<Duration>,
        /// Which attempt this was, from 1.
        attempt: u32,
    },
}

/// When, by whom, why: what a decision needs beside the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The time now.
    pub at: Timestamp,
    /// Who asks.
    pub actor: Actor,
    /// The request's own id, new for each intent and the same for each send of it.
    pub request_id: Uuid,
    /// Why, in the asker's words; may be empty.
    pub message: Message,
}

/// What becomes of a command or report.
#[derive(Clone, Debug)]
pub enum Decision {
    /// This is to be written.
    Change(Box<Change>),
    /// All is as asked; nothing is written. For a report, plan the work so.
    AlreadySo {
        /// When the work is due next.
        wake: Wake,
    },
    /// It can't be.
    Refused(Refusal),
}

/// Why a command can't be, and what is possible instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word.
    pub code: RefusalCode,
    /// The state that the tenant is in, if there is one.
    pub state: Option<State>,
    /// The commands that are possible instead.
    pub allowed: &'static [&'static str],
    /// A sentence that says what to do.
    pub detail: String,
}

/// The stable words for refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCode {
    /// There is no such tenant.
    TenantNotFound,
    /// The tenant to be created is there already.
    TenantExists,
    /// The tenant is being torn down.
    TenantDeleting,
    /// The tenant is gone.
    TenantDeleted,
    /// A tenant's class can't change.
    ClassFixed,
    /// The result would break a rule.
    Invalid,
    /// The result would not be as the class asks.
    SchemaViolation,
    /// The report does not fit what the tenant is going through.
    ReportOutOfOrder,
}

impl RefusalCode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TenantNotFound,
        Self::TenantExists,
        Self::TenantDeleting,
        Self::TenantDeleted,
        Self::ClassFixed,
        Self::Invalid,
        Self::SchemaViolation,
        Self::ReportOutOfOrder,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantNotFound => "tenant_not_found",
            Self::TenantExists => "tenant_exists",
            Self::TenantDeleting => "tenant_deleting",
            Self::TenantDeleted => "tenant_deleted",
            Self::ClassFixed => "class_fixed",
            Self::Invalid => "invalid",
            Self::SchemaViolation => "schema_violation",
            Self::ReportOutOfOrder => "report_out_of_order",
        }
    }
}

impl Refusal {
    /// Refuses a command to this tenant, or to the lack of one.
    pub(crate) fn new(
        code: RefusalCode,
        tenant: Option<&Tenant>,
        detail: impl Into<String>,
    ) -> Self {
        let state = tenant.map(|tenant| tenant.state);
        Self {
            code,
            state,
            allowed: allowed_commands(state),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The commands that a tenant in this state takes (`None`: a tenant that is not there).
pub const fn allowed_commands(state: Option<State>) -> &'static [&'static str] {
    match state {
        None => &["create", "apply"],
        Some(State::Deleted) => &["delete"],
        Some(State::Deleting) => &["annotate", "delete", "retry", "hold", "release", "waive"],
        Some(
            State::Requested
            | State::Provisioning
            | State::Ready
            | State::Updating
            | State::Suspending
            | State::Suspended
            | State::Resuming,
        ) => &[
            "apply", "patch", "annotate", "suspend", "resume", "delete", "retry", "hold",
            "release", "accept", "waive",
        ],
    }
}

fn refuse(code: RefusalCode, tenant: Option<&Tenant>, detail: impl Into<String>) -> Decision {
    Decision::Refused(Refusal::new(code, tenant, detail))
}

fn refuse_invalid(tenant: Option<&Tenant>, invalid: &Invalid) -> Decision {
    refuse(RefusalCode::Invalid, tenant, invalid.to_string())
}

/// What a step of the rules adds to the tenant that it leads to.
struct Step {
    kind: Kind,
    reason: Reason,
    message: Message,
    wake: Wake,
    attempts_reset: bool,
}

impl Step {
    fn new(kind: Kind, reason: &'static str, message: &Message) -> Self {
        Self {
            kind,
            reason: Reason::of(reason),
            message: message.clone(),
            wake: Wake::Unchanged,
            attempts_reset: false,
        }
    }

    fn wake(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    fn attempts_reset(mut self) -> Self {
        self.attempts_reset = true;
        self
    }

    /// Leads from `before` to `after`, filling in what every change does alike.
    fn lead(self, before: &Tenant, mut after: Tenant, context: &Context) -> Decision {
        after.revision = before.revision.next();
        after.updated_at = context.at.max(before.updated_at);
        if after.state != before.state {
            after.state_since = after.updated_at;
            after.conditions.overdue = None;
        }
        if after.state == State::Deleted {
            after.deleted_at = Some(after.updated_at);
        }
        self.write(Some(before), after, context)
    }

    fn write(self, before: Option<&Tenant>, mut after: Tenant, context: &Context) -> Decision {
        if self.kind.says_why() {
            after.reason = self.reason.clone();
            after.message = self.message.clone();
        }
        let draft = Draft {
            kind: self.kind,
            reason: self.reason,
            message: self.message,
            actor: &context.actor,
            request_id: context.request_id,
        };
        match Change::build(before, after, draft) {
            Ok(change) => Decision::Change(Box::new(
                change
                    .with_wake(self.wake)
                    .with_attempts_reset(self.attempts_reset),
            )),
            Err(invalid) => refuse_invalid(before, &invalid),
        }
    }
}

/// When a tenant at rest is looked at again: never, while someone holds it.
fn at_rest(tenant: &Tenant, policy: &Policy, at: Timestamp) -> Wake {
    if tenant.conditions.held.is_some() {
        Wake::Never
    } else {
        Wake::Check(policy.drift.wait(tenant.id, at))
    }
}

/// When work is due that should be done at once: never, while someone holds the tenant.
fn at_once(tenant: &Tenant) -> Wake {
    if tenant.conditions.held.is_some() {
        Wake::Never
    } else {
        Wake::Now
    }
}
