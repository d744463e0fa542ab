//! What must hold from one line of history to the next.

use super::Finding;
use crate::{ClassName, Generation, Kind, Line, Revision, State, TenantId, TenantName};

/// Most findings that are kept of one tenant: when everything is wrong, the first are enough.
pub(super) const FINDINGS_MAX: usize = 100;

/// The lines of one tenant, checked one by one in the order of reading.
#[derive(Debug)]
pub(super) struct Chain {
    tenant: TenantId,
    previous: Option<Line>,
    pub(super) findings: Vec<Finding>,
}

impl Chain {
    pub(super) const fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            previous: None,
            findings: Vec::new(),
        }
    }

    /// The revision of the newest line that was checked.
    pub(super) fn revision(&self) -> Revision {
        self.previous
            .as_ref()
            .map_or(Revision::new(0), |line| line.revision)
    }

    pub(super) fn find(
        &mut self,
        revision: impl Into<Option<Revision>>,
        rule: &'static str,
        detail: impl Into<String>,
    ) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings
                .push(Finding::new(self.tenant, revision.into(), rule, detail));
        }
    }

    /// Checks a line against the one before it. Without the identity, the first hash is taken as
    /// it is.
    pub(super) fn push(&mut self, line: &Line, identity: Option<(&TenantName, &ClassName)>) {
        let previous = self.previous.take();
        let awaited = previous
            .as_ref()
            .map_or(Revision::new(1), |line| line.revision.next());
        if line.tenant != self.tenant {
            self.find(
                line.revision,
                "record",
                format!("the line belongs to {}", line.tenant),
            );
        }
        if line.revision < awaited {
            self.find(
                line.revision,
                "gap",
                "the line stands twice, or out of order",
            );
            self.previous = previous;
            return;
        }
        if line.revision == awaited {
            self.hash(previous.as_ref(), line, identity);
            self.step(previous.as_ref(), line);
        } else {
            // What follows a gap can't be compared with what stood before it.
            self.find(
                line.revision,
                "gap",
                format!("revision {awaited} was due here"),
            );
        }
        self.alone(line);
        self.previous = Some(line.clone());
    }

    fn hash(
        &mut self,
        previous: Option<&Line>,
        line: &Line,
        identity: Option<(&TenantName, &ClassName)>,
    ) {
        let expected = match (previous, identity) {
            (Some(previous), _) => line.digest(Some(previous.hash), None),
            (None, Some(_)) => line.digest(None, identity),
            (None, None) => return,
        };
        if line.hash != expected {
            let detail = "the line was changed after it was written, or one before it was";
            self.find(line.revision, "hash", detail);
        }
    }

    /// What must hold between a line and the one before it.
    fn step(&mut self, previous: Option<&Line>, line: &Line) {
        let at = line.revision;
        if (line.kind == Kind::Created) != previous.is_none() {
            self.find(
                at,
                "kind",
                format!("a line of kind {} can't stand here", line.kind),
            );
        }
        let Some(previous) = previous else {
            if line.from.is_some() || line.to != State::Requested {
                self.find(
                    at,
                    "edge",
                    "the first line must lead from nothing to requested",
                );
            }
            if line.generation != Generation::new(1) {
                self.find(at, "generation", "the first generation must be 1");
            }
            return;
        };
        if line.from != Some(previous.to) {
            let from = line.from.map_or("nothing", State::as_str);
            let detail = format!("it leads from {from}, but the tenant was {}", previous.to);
            self.find(at, "edge", detail);
        }
        if !previous.to.may_become(line.to) {
            let detail = format!("{} can't become {}", previous.to, line.to);
            self.find(at, "edge", detail);
        }
        if line.at < previous.at {
            let detail = format!(
                "{} is before {}, the time of the line before",
                line.at, previous.at
            );
            self.find(at, "time", detail);
        }
        if previous.to != line.to && !matches!(line.kind, Kind::Desired | Kind::State) {
            let detail = format!("a line of kind {} can't move the state", line.kind);
            self.find(at, "kind", detail);
        }
        self.counts(previous, line);
    }

    /// Generations count what is wanted: they move by one, with it, and in its lines only.
    fn counts(&mut self, previous: &Line, line: &Line) {
        let at = line.revision;
        let moved = line.generation != previous.generation;
        if moved && line.generation != previous.generation.next() {
            let detail = format!(
                "the generation went from {} to {}",
                previous.generation, line.generation
            );
            self.find(at, "generation", detail);
        }
        if moved != (line.kind == Kind::Desired) {
            let detail = format!("a line of kind {} has the wrong generation", line.kind);
            self.find(at, "generation", detail);
        }
        let wanted = line.desired != previous.desired || line.running != previous.running;
        if wanted && !moved {
            self.find(
                at,
                "generation",
                "what is wanted changed within one generation",
            );
        }
        if line.observed_generation < previous.observed_generation {
            self.find(at, "generation", "the observed generation went back");
        }
    }

    /// What must hold of any line, whatever stands before it.
    fn alone(&mut self, line: &Line) {
        let at = line.revision;
        if line.observed_generation > line.generation {
            self.find(
                at,
                "generation",
                "a generation was observed that was never asked for",
            );
        }
        let reached = line.observed_generation == line.generation;
        let broken = match line.to {
            State::Ready if !reached => "ready, but the newest generation is not reached",
            State::Ready if !line.running => "ready, but it should not run",
            State::Suspended if !reached => "suspended, but the newest generation is not reached",
            State::Suspended | State::Suspending if line.running => "stopped, but it should run",
            State::Resuming if !line.running => "resuming, but it should not run",
            State::Deleted if !reached => "deleted, but the newest generation is not reached",
            _ => return,
        };
        self.find(at, "invariant", broken);
    }
}

/// Checks one tenant's lines, given oldest first, by themselves: dense, hashed, legal, in order.
///
/// [`verify`](super::verify) checks the same and more; this needs no store. The hash of the first
/// line is not checked, since it covers the tenant's name and class, which stand in no line.
pub fn legal(lines: &[Line]) -> Vec<Finding> {
    let Some(first) = lines.first() else {
        return Vec::new();
    };
    let mut chain = Chain::new(first.tenant);
    for line in lines {
        chain.push(line, None);
    }
    chain.findings
}
