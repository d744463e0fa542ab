//! How a class wants its tenants to be treated: the part of its configuration that the rules go by.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backoff::share;
use crate::{Pointer, RetryPolicy, State, Tenant, TenantId, Timestamp};

/// All of a class that the rules go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How often, and how soon, a failed operation is tried again.
    pub retry: RetryPolicy,
    /// What counts as drift, and what becomes of it.
    pub drift: DriftPolicy,
    /// How long a tenant may stand in a state before it is overdue.
    pub deadlines: Deadlines,
}

/// What becomes of drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriftMode {
    /// Nobody looks.
    Off,
    /// It is recorded.
    #[default]
    Observe,
    /// It is recorded and repaired, within the budget of the class.
    Correct,
}

impl DriftMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Observe, Self::Correct];

    /// The word, as the configuration spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Correct => "correct",
        }
    }
}

/// How two lists are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListsAs {
    /// Order and repeats don't matter.
    Set,
    /// They are lists of objects, each named by the value of this key; order doesn't matter.
    Keyed(String),
}

/// What counts as drift, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftPolicy {
    /// What becomes of it.
    pub mode: DriftMode,
    /// How long a tenant rests between two looks; each wait is up to a fifth longer or shorter.
    pub interval: Duration,
    /// Most automatic corrections of the class in an hour, over all servers.
    pub corrections_per_hour: u32,
    /// The parts of `desired` that count, with all below them; none means all of it.
    pub paths: Vec<Pointer>,
    /// The parts that don't count, with all below them.
    pub ignore: Vec<Pointer>,
    /// The lists that are not compared element by element in order.
    pub lists: BTreeMap<Pointer, ListsAs>,
}

impl Default for DriftPolicy {
    /// Observe every hour; at most 10 corrections an hour if it is to correct.
    fn default() -> Self {
        Self {
            mode: DriftMode::Observe,
            interval: Duration::from_hours(1),
            corrections_per_hour: 10,
            paths: Vec::new(),
            ignore: Vec::new(),
            lists: BTreeMap::new(),
        }
    }
}

impl DriftPolicy {
    /// How long until a tenant that rests is looked at again, from a time: the interval, up to a fifth
    /// longer or shorter, so that tenants that came to rest together are not looked at together.
    ///
    /// Equal arguments give an equal wait.
    pub fn wait(&self, tenant: TenantId, at: Timestamp) -> Duration {
        let seed = format!("{tenant}/{}", at.as_micros());
        self.interval.mul_f64(0.4_f64.mul_add(share(&seed), 0.8))
    }
}

/// How long a tenant may stand in each state. A state that is not named has no deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines(BTreeMap<State, Duration>);

impl Deadlines {
    /// Deadlines by state; those of resting states are never reached and left out.
    pub fn new(deadlines: impl IntoIterator<Item = (State, Duration)>) -> Self {
        let active = deadlines
            .into_iter()
            .filter(|(state, _)| !state.is_resting());
        Self(active.collect())
    }

    /// How long until a tenant is overdue in its state: nothing if it is and does not say so yet,
    /// `None` if it says so already, or can't be.
    pub fn left(&self, tenant: &Tenant, now: Timestamp) -> Option<Duration> {
        let deadline = self.of(tenant.state)?;
        let stood = now.max(tenant.updated_at).since(tenant.state_since);
        let told = tenant.conditions.overdue.is_some();
        (!told).then(|| deadline.saturating_sub(stood))
    }

    /// The deadline of a state, if it has one.
    pub fn of(&self, state: State) -> Option<Duration> {
        self.0.get(&state).copied()
    }
}

impl Default for Deadlines {
    /// An hour for every state that does not rest.
    fn default() -> Self {
        Self::new(State::ALL.map(|state| (state, Duration::from_hours(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_that_came_to_rest_together_are_not_looked_at_together() {
        let (policy, now) = (DriftPolicy::default(), Timestamp::EPOCH);
        let mut minutes = [0_u32; 73];
        for number in 0..10_000 {
            let tenant = TenantId::new(uuid::Uuid::from_u128(number));
            let wait = policy.wait(tenant, now);
            let minute = usize::try_from(wait.as_secs() / 60).unwrap();
            *minutes.get_mut(minute).unwrap() += 1;
        }
        // 24 minutes from 48 to 72 share them: about 417 each.
        assert!(minutes.iter().all(|count| *count < 500), "{minutes:?}");
        assert_eq!(minutes.iter().filter(|count| **count > 300).count(), 24);
    }
}
