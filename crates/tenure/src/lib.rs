#![doc = include_str!("../README.md")]

mod access;
mod backoff;
mod change;
pub mod check;
mod class_rules;
mod condition;
#[cfg(feature = "conformance")]
pub mod conformance;
mod copy;
mod cursor;
mod decide;
mod document;
pub mod drift;
mod engine;
mod error;
mod explain;
mod history;
mod invalid;
mod labels;
mod lifecycle;
mod names;
mod pointer;
mod policy;
mod query;
mod readiness;
mod selector;
mod step;
mod store;
mod tenant;
mod time;
mod upkeep;

pub use access::{Revoked, Role, Token, Tokens};
pub use backoff::RetryPolicy;
pub use change::{Change, IdempotencyKey, Under, Wake};
pub use class_rules::ClassRules;
pub use condition::{ConditionKind, Conditions, Drifted, Failing, Held, Since, Unknown};
pub use copy::{Copied, CopyError, copy};
pub use cursor::Cursor;
pub use decide::{
    Command, Context, Correction, Decision, Operation, Outcome, Refusal, RefusalCode, Report,
    Wanted, allowed_commands, decide, decide_report,
};
pub use document::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, Document, Hash};
pub use drift::Difference;
pub use engine::{Answer, Effect, Engine, EngineError, Reported, Request};
pub use error::{Advice, Source, StoreError, Written};
pub use explain::{
    Block, BlockKind, Breaker, ClassStatus, ClassView, Explanation, Help, Last, LastResult, Next,
    explain,
};
pub use history::{Kind, Line};
pub use invalid::Invalid;
pub use labels::{ANNOTATIONS_BYTES_MAX, Annotations, LABELS_MAX, Labels};
pub use lifecycle::State;
pub use names::{
    Actor, ClassName, Fence, Generation, Message, Reason, Revision, TenantId, TenantName,
};
pub use pointer::Pointer;
pub use policy::{Deadlines, DriftMode, DriftPolicy, ListsAs, Policy};
pub use query::{Between, Direction, Filter, Page, PageSize, Query};
pub use readiness::{Readiness, SchemaLevels};
pub use selector::{Requirement, Selector};
pub use step::{STEPS_MAX, Step, StepState};
pub use store::{
    AsOf, Attempt, Changes, Commit, Freshness, HistoryQuery, LEASES_MAX, Lease, Loaded, Prior,
    Queries, ROUTINE_PATIENCE, Record, Records, Result, Room, Store, TenantRef, Work, WorkFacts,
};
pub use tenant::{Details, Metadata, Summary, Tenant, Waiver};
pub use time::{Clock, SystemClock, Timestamp};
pub use upkeep::{
    Capabilities, DueWork, Facets, InState, KeptBack, PoolUse, Standing, Sweep, Upkeep,
};
