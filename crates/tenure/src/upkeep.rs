//! Keeping a store in order, and watching how the fleet in it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::store::Result;
use crate::{
    ClassName, ConditionKind, PageSize, Readiness, Revision, State, StoreError, TenantId, Timestamp,
};

/// What an adapter can do beyond what every adapter must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Several processes may write at once.
    pub multi_process: bool,
    /// A strong read costs a barrier, because there may be several nodes.
    pub multi_node: bool,
}

/// How much a sweep may take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Rows of each kind at most.
    pub batch: PageSize,
    /// Feed entries older than this are taken away; `None` keeps them all.
    pub feed_retention: Option<Duration>,
}

/// The copies that a store keeps beside the record so that lists are fast. They must agree with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// The label rows.
    pub labels: BTreeMap<String, String>,
    /// The condition rows.
    pub conditions: Vec<ConditionKind>,
    /// The state that lists by state go by, if the store keeps one.
    pub state: Option<State>,
    /// How many feed entries point at the tenant, and the newest revision among them.
    pub feed: (u64, Option<Revision>),
}

/// How many tenants are in a state, and since when the one that has been there longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InState {
    /// How many.
    pub tenants: u64,
    /// The earliest `state_since` among them.
    pub oldest: Option<Timestamp>,
}

/// The work of one class that is due and that nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DueWork {
    /// How many tenants, by the store's clock.
    pub tenants: u64,
    /// When the longest due of them became so.
    pub oldest: Option<Timestamp>,
}

/// Committed changes that the feed does not serve yet, because a transaction that is older than they
/// is still open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeptBack {
    /// How many.
    pub changes: u64,
    /// When the oldest was written, by the store's clock.
    pub oldest: Option<Timestamp>,
}

/// How busy the connections are that an adapter shares between its callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolUse {
    /// How many there may be.
    pub most: usize,
    /// How many are open.
    pub open: usize,
    /// How many of the open ones nobody uses.
    pub idle: usize,
    /// How many callers wait for one.
    pub waiting: usize,
}

/// How the fleet stands: every state is present, conditions and classes only where there are some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The tenants of each state, the deleted too.
    pub states: BTreeMap<State, InState>,
    /// The living tenants with each condition.
    pub conditions: BTreeMap<ConditionKind, u64>,
    /// What somebody waits for, by class.
    pub due: BTreeMap<ClassName, DueWork>,
    /// Routine checks, by class.
    pub checks_due: BTreeMap<ClassName, DueWork>,
    /// Live leases, by class.
    pub leased: BTreeMap<ClassName, u64>,
    /// What the feed keeps back.
    pub kept_back: KeptBack,
}

impl Standing {
    /// No tenants: every state with none.
    pub fn none() -> Self {
        let none = |state| (state, InState::default());
        Self {
            states: State::ALL.into_iter().map(none).collect(),
            ..Self::default()
        }
    }

    /// Adds a row as adapters count them: `what` is `state`, `condition`, `due`, `check`,
    /// `leased` or `kept_back`, and `word` which one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if the words are none of ours.
    pub fn add(
        &mut self,
        what: &str,
        word: &str,
        tenants: u64,
        oldest: Option<Timestamp>,
    ) -> Result<()> {
        let corrupt = || StoreError::Corrupt {
            what: format!("standing counts {what} {word}"),
        };
        match what {
            "state" => {
                let state = word.parse().map_err(|_| corrupt())?;
                self.states.insert(state, InState { tenants, oldest });
            }
            "condition" => {
                let kind = word.parse().map_err(|_| corrupt())?;
                self.conditions.insert(kind, tenants);
            }
            "kept_back" => {
                let changes = tenants;
                self.kept_back = KeptBack { changes, oldest };
            }
            "leased" => {
                let class = word.parse().map_err(|_| corrupt())?;
                self.leased.insert(class, tenants);
            }
            "due" | "check" => {
                let class = word.parse().map_err(|_| corrupt())?;
                let lane = if what == "due" {
                    &mut self.due
                } else {
                    &mut self.checks_due
                };
                lane.insert(class, DueWork { tenants, oldest });
            }
            _ => return Err(corrupt()),
        }
        Ok(())
    }
}

/// Keeping the store in order.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// What this adapter can do.
    fn capabilities(&self) -> Capabilities;

    /// How busy its connections are, if it has a pool of them. Asks no database.
    fn pool(&self) -> Option<PoolUse> {
        None
    }

    /// Whether it can serve. Never migrates, never fails: trouble is an answer.
    async fn readiness(&self) -> Readiness;

    /// The store's clock.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn now(&self) -> Result<Timestamp>;

    /// Takes away expired idempotency keys and old feed entries, up to a batch of each; returns
    /// how many rows it took. Safe to run anywhere at any time; call again while it returns any.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn sweep(&self, sweep: Sweep) -> Result<u64>;

    /// How the fleet stands now, to be watched. Costs a scan of the narrow tables.
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn standing(&self) -> Result<Standing>;

    /// The copies that are kept beside a tenant's record, for [`verify`](crate::check::verify).
    ///
    /// # Errors
    ///
    /// As its advice says.
    async fn facets(&self, tenant: TenantId) -> Result<Facets>;

    /// Lets what runs finish and ends; every later call fails with [`StoreError::Closed`].
    /// Closing twice is harmless.
    async fn close(&self);
}
