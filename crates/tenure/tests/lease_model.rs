//! The lease protocol, as a model whose every state is visited.
//!
//! Two workers, a person who asks for something new twice, leases that end whenever they like, and
//! workers that pause or die between any two steps. What the stores do with `fence`, `dirty` and
//! `due_at` is here in a few lines; the conformance suite holds each store to the same. Two
//! properties hold of every reachable state. Each is also checked with the part of the protocol
//! taken out that it rests on, and must then fail: else the model proves nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use stateright::{Checker, Model, Property};

/// The changes that a person may ask for, beside the first.
const WISHES: u8 = 2;

/// The claims that may be made in all.
const CLAIMS: u8 = 5;

/// The protocol, whole or with a part taken out.
#[derive(Clone, Copy, Debug)]
struct Protocol {
    /// A write under a lease is refused unless its fence is the newest and the lease runs.
    fence_is_checked: bool,
    /// A change that comes in while a lease runs makes the work due when that ends.
    dirty_is_kept: bool,
}

const WHOLE: Protocol = Protocol {
    fence_is_checked: true,
    dirty_is_kept: true,
};

/// What a worker knows of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    fence: u8,
    /// What it loaded: the generation that is wanted, and whether that was reached.
    loaded: Option<(u8, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column or a fact of its own"
)]
struct World {
    generation: u8,
    observed: u8,
    fence: u8,
    due: bool,
    dirty: bool,
    /// The lease of the newest fence runs.
    leased: bool,
    runs: [Option<Run>; 2],
    /// A worker has written whose lease had ended.
    stale_write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ask,
    /// A tenant at rest is to be looked at.
    CheckComesDue,
    Claim(usize),
    Load(usize),
    /// Reports that what was loaded is applied, or that there was nothing to do.
    Finish(usize),
    Die(usize),
    LeaseEnds,
}

impl World {
    fn is_at_rest(&self) -> bool {
        self.observed == self.generation
    }

    fn run(&self, worker: usize) -> Option<Run> {
        self.runs.get(worker).copied().flatten()
    }

    fn set_run(&mut self, worker: usize, run: Option<Run>) {
        *self.runs.get_mut(worker).unwrap() = run;
    }

    /// Ends the lease: due again if it is dirty, or as planned.
    fn end_lease(&mut self, planned: bool, protocol: Protocol) {
        self.due = planned || (self.dirty && protocol.dirty_is_kept);
        self.dirty = false;
        self.leased = false;
    }

    fn finish(&mut self, run: Run, protocol: Protocol) {
        let Some((generation, was_at_rest)) = run.loaded else {
            return;
        };
        let is_live = self.leased && run.fence == self.fence;
        if !is_live {
            if protocol.fence_is_checked {
                return;
            }
            self.stale_write = true;
        }
        if was_at_rest {
            // Released as it was seen, whatever has changed since: only `dirty` tells.
            self.end_lease(false, protocol);
        } else {
            // Committed on the revision as it is now.
            self.observed = self.observed.max(generation);
            let newer = self.generation > generation;
            self.end_lease(newer, protocol);
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            generation: 1,
            observed: 0,
            fence: 0,
            due: true,
            dirty: false,
            leased: false,
            runs: [None; 2],
            stale_write: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.generation <= WISHES {
            steps.push(Step::Ask);
        }
        if world.is_at_rest() && !world.due && !world.leased {
            steps.push(Step::CheckComesDue);
        }
        if world.leased {
            steps.push(Step::LeaseEnds);
        }
        for worker in 0..2 {
            match world.run(worker) {
                None if world.due && world.fence < CLAIMS => steps.push(Step::Claim(worker)),
                None => {}
                Some(Run { loaded: None, .. }) => {
                    steps.extend([Step::Load(worker), Step::Die(worker)]);
                }
                Some(_) => steps.extend([Step::Finish(worker), Step::Die(worker)]),
            }
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Ask => {
                world.generation += 1;
                if world.leased {
                    world.dirty = true;
                } else {
                    world.due = true;
                }
            }
            Step::CheckComesDue => world.due = true,
            Step::Claim(worker) => {
                world.fence += 1;
                let run = Run {
                    fence: world.fence,
                    loaded: None,
                };
                world.set_run(worker, Some(run));
                (world.due, world.dirty, world.leased) = (false, false, true);
            }
            Step::Load(worker) => {
                let loaded = Some((world.generation, world.is_at_rest()));
                let run = world.run(worker)?;
                world.set_run(worker, Some(Run { loaded, ..run }));
            }
            Step::Finish(worker) => {
                let run = world.run(worker)?;
                world.finish(run, *self);
                world.set_run(worker, None);
            }
            Step::Die(worker) => world.set_run(worker, None),
            // The work is due when its lease has ended: its end was its due time.
            Step::LeaseEnds => (world.leased, world.due) = (false, true),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no stale worker writes", |_, world: &World| {
                !world.stale_write
            }),
            Property::always("no work is forgotten", |_, world: &World| {
                world.is_at_rest() || world.due || world.leased
            }),
            Property::sometimes("it comes to rest after every wish", |_, world: &World| {
                world.is_at_rest() && world.generation > WISHES
            }),
        ]
    }
}

/// The properties that fail, by name, and how many states were visited.
fn failing(protocol: Protocol) -> (Vec<&'static str>, usize) {
    let checker = protocol.checker().spawn_bfs().join();
    let discovered = checker.discoveries();
    let failing = protocol.properties().into_iter().filter_map(|property| {
        let found = discovered.contains_key(property.name);
        let expected = matches!(property.expectation, stateright::Expectation::Sometimes);
        (found != expected).then_some(property.name)
    });
    (failing.collect(), checker.unique_state_count())
}

#[test]
fn p6_p7_no_stale_worker_writes_and_no_work_is_forgotten() {
    let (failing, states) = failing(WHOLE);
    assert_eq!(failing, Vec::<&str>::new());
    assert!(states > 1_000, "{states} states are not the whole of it");
}

#[test]
fn p6_without_the_fence_a_stale_worker_writes() {
    let broken = Protocol {
        fence_is_checked: false,
        ..WHOLE
    };
    assert!(failing(broken).0.contains(&"no stale worker writes"));
}

#[test]
fn p7_without_the_dirty_bit_work_is_forgotten() {
    let broken = Protocol {
        dirty_is_kept: false,
        ..WHOLE
    };
    assert_eq!(failing(broken).0, ["no work is forgotten"]);
}
