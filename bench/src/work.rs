//! The changes that the contenders write, made by the rules like any others.

use tenure::{
    Change, Clock, Command, Context, Decision, Document, Message, SystemClock, Tenant, TenantId,
    Wanted, decide,
};
use uuid::Uuid;

/// A document of 866 bytes, the size of a realistic small tenant's.
pub(crate) fn document() -> Document {
    let text = serde_json::json!({"plan": "gold", "note": "x".repeat(838)}).to_string();
    Document::parse(&text).unwrap()
}

/// A new id.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench is the caller that brings the ids"
)]
pub(crate) fn id() -> Uuid {
    Uuid::now_v7()
}

fn context() -> Context {
    Context {
        at: SystemClock.now(),
        actor: "user:bench".parse().unwrap(),
        request_id: id(),
        message: Message::none(),
    }
}

fn changed(tenant: Option<&Tenant>, command: &Command) -> Change {
    match decide(tenant, command, &context()) {
        Decision::Change(change) => *change,
        other => panic!("{other:?}"),
    }
}

/// Asks for a tenant of a name that nobody else has.
pub(crate) fn create(desired: &Document) -> Change {
    let id = id();
    let wanted = Wanted {
        id: TenantId::new(id),
        name: format!("t{}", id.simple()).parse().unwrap(),
        class: None,
        labels: None,
        annotations: None,
        desired: desired.clone(),
        running: None,
    };
    changed(None, &Command::Create(wanted))
}

/// A tenant that is ready.
pub(crate) fn ready(requested: &Tenant) -> [Change; 2] {
    let report = |tenant: &Tenant, outcome| {
        let report = tenure::Report {
            operation: tenure::Operation::Apply,
            generation: tenant.generation,
            running: tenant.running,
            outcome,
            steps: Vec::new(),
            policy: tenure::Policy::default(),
            correction: tenure::Correction::None,
        };
        match tenure::decide_report(tenant, &report, &context()) {
            Decision::Change(change) => *change,
            other => panic!("{other:?}"),
        }
    };
    let started = report(requested, tenure::Outcome::Started);
    let done = tenure::Outcome::Succeeded {
        observed: Some(requested.desired.clone()),
        resources: None,
        message: Message::none(),
    };
    let ready = report(started.tenant(), done);
    [started, ready]
}

/// Moves a tenant to another state, without a new document: suspend and resume in turn.
pub(crate) fn transition(tenant: &Tenant) -> Change {
    let command = if tenant.running {
        Command::Suspend
    } else {
        Command::Resume
    };
    changed(Some(tenant), &command)
}
