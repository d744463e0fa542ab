//! A tenant that exists for one case only.

use tenure::{
    Annotations, Change, Clock as _, Command, Context, Decision, Document, Fence, Generation,
    Labels, Message, Operation, SystemClock, Tenant, TenantId, decide,
};

use super::bench::{Bench, Ended};
use super::rules::Rule;
use super::sight::{Seen, Wanted, described};
use crate::ids::{IdSource as _, SystemIds};
use crate::provisioner::{Answer, Call};

/// A tenant, and what was last said of it.
#[derive(Clone)]
pub(super) struct Subject<'a> {
    bench: &'a Bench<'a>,
    pub(super) tenant: Tenant,
    fence: u64,
}

impl<'a> Subject<'a> {
    /// A tenant that was never there, wanted as `--desired` says.
    pub(super) fn new(bench: &'a Bench<'a>) -> Self {
        Self {
            bench,
            tenant: fresh(bench),
            fence: 0,
        }
    }

    /// What is wanted now.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            desired: self.tenant.desired.clone(),
            running: self.tenant.running,
        }
    }

    /// Wants something else.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.tenant.desired = wanted.desired;
        self.tenant.running = wanted.running;
        self.tenant.generation = Generation::new(self.tenant.generation.get() + 1);
    }

    /// The next operation, under a fence that is higher than any before.
    pub(super) fn next(&mut self, operation: Operation) -> Call {
        self.fence += 1;
        self.under(operation, self.fence)
    }

    /// An operation under a fence of its own.
    pub(super) fn under(&mut self, operation: Operation, fence: u64) -> Call {
        self.fence = self.fence.max(fence);
        Call {
            operation,
            tenant: self.tenant.clone(),
            fence: Fence::new(fence),
        }
    }

    /// Asks, and takes up what is said.
    pub(super) async fn ask(&mut self, call: &Call) -> Result<Answer, Ended> {
        let answer = self.bench.ask(call).await?;
        self.hear(&answer);
        Ok(answer)
    }

    /// Takes up what was said, as Tenure does.
    pub(super) fn hear(&mut self, answer: &Answer) {
        if let Answer::Done {
            observed,
            resources,
            ..
        } = answer
        {
            if let Some(observed) = observed {
                self.tenant.observed = Some(observed.clone());
            }
            if let Some(resources) = resources {
                self.tenant.resources.clone_from(resources);
            }
        }
    }

    /// All that is known of it.
    pub(super) fn seen(&self) -> Seen {
        Seen::of(&self.tenant)
    }

    /// Asks, and holds it to the rule that it must be done.
    pub(super) async fn must(
        &mut self,
        call: &Call,
        when: &str,
        rule: Rule,
    ) -> Result<Seen, Ended> {
        match self.ask(call).await? {
            Answer::Done { .. } => Ok(self.seen()),
            other => Err(rule.breach(did(call, when), described(&other))),
        }
    }

    /// Applies under the next fence; it must be done, and nothing that is reported may contradict it.
    pub(super) async fn apply(&mut self, when: &str, rule: Rule) -> Result<Seen, Ended> {
        let call = self.next(Operation::Apply);
        let seen = self.must(&call, when, rule).await?;
        agrees(&seen, &self.wanted(), &call, when, rule)?;
        Ok(seen)
    }

    /// Observes under the next fence; it must be done.
    pub(super) async fn observe(&mut self, when: &str, rule: Rule) -> Result<Seen, Ended> {
        let call = self.next(Operation::Observe);
        self.must(&call, when, rule).await
    }

    /// Destroys under the next fence; it must be done.
    pub(super) async fn destroy(&mut self, when: &str, rule: Rule) -> Result<(), Ended> {
        let call = self.next(Operation::Destroy);
        self.must(&call, when, rule).await.map(drop)
    }
}

/// Breaks the rule if what is seen contradicts what is wanted.
pub(super) fn agrees(
    seen: &Seen,
    wanted: &Wanted,
    call: &Call,
    when: &str,
    rule: Rule,
) -> Result<(), Ended> {
    let contradictions = seen.contradictions(wanted);
    if contradictions.is_empty() {
        return Ok(());
    }
    Err(rule.breach(did(call, when), contradictions.join("; ")))
}

/// What was asked, in words.
pub(super) fn did(call: &Call, when: &str) -> String {
    let (operation, generation) = (call.operation.as_str(), call.tenant.generation);
    let space = if when.is_empty() { "" } else { " " };
    format!(
        "{operation} of generation {generation} under fence {}{space}{when}",
        call.fence
    )
}

/// A tenant whose name and id nobody else has.
fn fresh(bench: &Bench<'_>) -> Tenant {
    let id = SystemIds.fresh();
    let context = Context {
        at: SystemClock.now(),
        actor: "system:kit"
            .parse()
            .unwrap_or_else(|_: tenure::Invalid| unreachable!("system:kit is an actor")),
        request_id: id,
        message: Message::none(),
    };
    let digits = id.simple().to_string();
    let wanted = tenure::Wanted {
        id: TenantId::new(id),
        // The last digits of an id are the random ones.
        name: format!("kit-{}", digits.get(16..).unwrap_or(&digits))
            .parse()
            .unwrap_or_else(|_: tenure::Invalid| unreachable!("hexadecimal digits are a name")),
        class: Some(bench.asked.class.clone()),
        labels: Some(Labels::default()),
        annotations: Some(Annotations::default()),
        desired: bench.asked.desired.clone(),
        running: Some(true),
    };
    match decide(None, &Command::Create(wanted), &context) {
        Decision::Change(change) => Change::tenant(&change).clone(),
        _ => unreachable!("a tenant can be created where there is none"),
    }
}

/// Another acceptable wish: what `--changed` says, or that it shall not run.
pub(super) fn other(bench: &Bench<'_>) -> Wanted {
    let changed: Option<&Document> = bench.asked.changed.as_ref();
    Wanted {
        desired: changed.unwrap_or(&bench.asked.desired).clone(),
        running: changed.is_some(),
    }
}
