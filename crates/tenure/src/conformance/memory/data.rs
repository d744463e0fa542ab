//! What is kept, and how it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use crate::store::Result;
use crate::{
    Change, ClassName, Commit, ConditionKind, Document, Facets, Fence, Hash, IdempotencyKey, Line,
    Prior, Record, Revision, StoreError, Sweep, Tenant, TenantId, TenantRef, Timestamp, Token,
    Under, Wake, WorkFacts,
};

/// All that a database holds.
pub(super) struct Data {
    pub(super) tenants: BTreeMap<TenantId, Life>,
    pub(super) tokens: BTreeMap<ClassName, Token>,
    /// By scope and key.
    keys: BTreeMap<(String, String), Remembered>,
    /// By position, from 1.
    pub(super) feed: BTreeMap<u64, Entry>,
    /// The newest position that was given out.
    pub(super) feed_end: u64,
    /// The newest position that was swept away.
    pub(super) feed_floor: u64,
    /// Names this feed among all feeds.
    pub(super) epoch: Uuid,
}

/// A tenant through all its revisions, and what is kept beside it.
pub(super) struct Life {
    /// The line and the tenant of each revision, from 1.
    pub(super) past: Vec<(Line, Tenant)>,
    pub(super) documents: BTreeMap<Hash, Document>,
    labels: BTreeMap<String, String>,
    conditions: BTreeSet<ConditionKind>,
    pub(super) work: WorkFacts,
    /// Someone woke the work while it was leased.
    pub(super) dirty: bool,
}

struct Remembered {
    prior: Prior,
    until: Timestamp,
}

/// A place in the feed.
pub(super) struct Entry {
    pub(super) tenant: TenantId,
    pub(super) revision: Revision,
    written_at: Timestamp,
}

impl Life {
    pub(super) fn tenant(&self) -> &Tenant {
        let (_, tenant) = self
            .past
            .last()
            .expect("a life begins with its first revision");
        tenant
    }

    pub(super) fn at(&self, revision: Revision) -> Option<&(Line, Tenant)> {
        let index = usize::try_from(revision.get()).ok()?.checked_sub(1)?;
        self.past.get(index)
    }

    /// The answer to this change if it was written before: its line stands in the history.
    fn own_earlier_send(&self, change: &Change) -> Option<Commit> {
        let revision = change.line().revision;
        let (line, _) = self.at(revision)?;
        (line.hash == change.line().hash).then_some(Commit::Applied { revision })
    }

    pub(super) fn record(&self) -> Record {
        Record {
            tenant: self.tenant().clone(),
            work: self.work.clone(),
        }
    }

    /// Whether a lease runs.
    pub(super) fn is_leased(&self, now: Timestamp) -> bool {
        self.work.holder.is_some() && self.work.lease_until.is_some_and(|until| now < until)
    }

    /// Whether the lease of this fence runs.
    pub(super) fn is_held_under(&self, fence: Fence, now: Timestamp) -> bool {
        self.is_leased(now) && self.work.fence == fence
    }

    pub(super) fn extend_lease(&mut self, length: Duration, now: Timestamp) -> Timestamp {
        let until = now.plus(length);
        self.work.lease_until = Some(until);
        self.work.due_at = Some(until);
        until
    }

    /// Ends the lease, and plans the work.
    pub(super) fn end_lease(&mut self, next: Wake, now: Timestamp) {
        let next = if self.dirty { Wake::Now } else { next };
        self.work.due_at = plan(next, self.work.due_at, now);
        self.work.routine = match next {
            Wake::Check(_) => true,
            Wake::Now | Wake::After(_) | Wake::Never => false,
            Wake::Unchanged => self.work.routine,
        };
        self.work.holder = None;
        self.work.lease_until = None;
        self.dirty = false;
    }

    /// Makes the work due no later than planned, or once its lease ends.
    fn wake_up(&mut self, wake: Wake, now: Timestamp) {
        let Some(asked) = plan(wake, None, now) else {
            return;
        };
        let planned = self.work.due_at;
        let is_sooner = self.is_leased(now) || planned.is_none_or(|planned| asked < planned);
        if matches!(wake, Wake::Check(_)) {
            // Nobody waits for it; but somebody may for what was planned before.
            self.work.routine |= planned.is_none();
        } else if is_sooner || asked <= now {
            self.work.routine = false;
        }
        if self.is_leased(now) {
            self.dirty = true;
        } else if is_sooner {
            self.work.due_at = Some(asked);
        }
    }

    fn plan_work(&mut self, change: &Change, now: Timestamp) {
        if change.attempts_reset() {
            self.work.attempts = 0;
            self.work.last_error = None;
        }
        match change.lease() {
            None => self.wake_up(change.wake(), now),
            Some(Under { release: false, .. }) => {}
            Some(Under { release: true, .. }) => {
                self.end_lease(change.wake(), now);
                if change.attempts_reset() {
                    self.work.checked_at = Some(now);
                }
                if let Some(error) = change.last_error() {
                    self.work.last_error = Some(error);
                }
            }
        }
    }

    fn append(&mut self, change: &Change) {
        for document in change.documents() {
            self.documents.insert(document.hash(), document.clone());
        }
        for key in change.labels_removed() {
            self.labels.remove(key);
        }
        self.labels.extend(change.labels_set().iter().cloned());
        for kind in change.conditions_removed() {
            self.conditions.remove(kind);
        }
        self.conditions.extend(change.conditions_added());
        self.past
            .push((change.line().clone(), change.tenant().clone()));
    }
}

/// When work is due that was planned for `planned`.
fn plan(wake: Wake, planned: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    match wake {
        Wake::Now => Some(now),
        Wake::After(wait) | Wake::Check(wait) => Some(now.plus(wait)),
        Wake::Never => None,
        Wake::Unchanged => planned,
    }
}

/// What a database's own constraints refuse, whoever writes.
fn guard(before: Option<&Tenant>, after: &Tenant) -> Result<()> {
    let edge = match before {
        None => after.state == crate::State::Requested,
        Some(before) => before.state.may_become(after.state),
    };
    let generation = before.map(|before| before.generation).unwrap_or_default();
    let rules = [
        ("state_edge", edge),
        ("generation_grows", generation <= after.generation),
        (
            "observed_generation",
            after.observed_generation <= after.generation,
        ),
        (
            "deleted_at",
            after.deleted_at.is_some() != after.is_living(),
        ),
    ];
    match rules.into_iter().find(|(_, kept)| !kept) {
        None => Ok(()),
        Some((rule, _)) => Err(StoreError::Rejected {
            rule: rule.to_owned(),
        }),
    }
}

/// Records and work.
impl Data {
    pub(super) fn new() -> Self {
        Self {
            tenants: BTreeMap::new(),
            tokens: BTreeMap::new(),
            keys: BTreeMap::new(),
            feed: BTreeMap::new(),
            feed_end: 0,
            feed_floor: 0,
            epoch: Uuid::from_u128(0x7e_4e_52_45),
        }
    }

    pub(super) fn record(&self, who: &TenantRef) -> Option<Record> {
        match who {
            TenantRef::Id(id) => self.tenants.get(id),
            TenantRef::Name(name) => self.tenants.values().find(|life| {
                let tenant = life.tenant();
                tenant.is_living() && tenant.name == *name
            }),
        }
        .map(Life::record)
    }

    pub(super) fn prior(&self, (scope, key): (&str, &str), now: Timestamp) -> Option<Prior> {
        let remembered = self.keys.get(&(scope.to_owned(), key.to_owned()))?;
        (now < remembered.until).then_some(remembered.prior)
    }

    fn is_used(&self, key: &IdempotencyKey, now: Timestamp) -> bool {
        self.prior((&key.scope, &key.key), now).is_some()
    }

    fn keep_key(
        &mut self,
        key: &IdempotencyKey,
        (tenant, revision): (TenantId, Revision),
        wrote: bool,
        now: Timestamp,
    ) {
        let prior = Prior {
            tenant,
            revision,
            wrote,
            fingerprint: key.fingerprint,
        };
        let until = now.plus(key.ttl);
        self.keys.insert(
            (key.scope.clone(), key.key.clone()),
            Remembered { prior, until },
        );
    }

    pub(super) fn commit(&mut self, change: &Change, now: Timestamp) -> Result<Commit> {
        let refused = match change.expected() {
            None => self.refuse_create(change, now),
            Some(expected) => self.refuse_update(change, expected, now),
        };
        if let Some(answer) = refused {
            return Ok(answer);
        }
        let tenant = change.tenant();
        guard(self.tenants.get(&tenant.id).map(Life::tenant), tenant)?;
        let life = self.tenants.entry(tenant.id).or_insert_with(|| Life {
            past: Vec::new(),
            documents: BTreeMap::new(),
            labels: BTreeMap::new(),
            conditions: BTreeSet::new(),
            work: WorkFacts::default(),
            dirty: false,
        });
        life.append(change);
        life.plan_work(change, now);
        let revision = change.line().revision;
        self.feed_end += 1;
        self.feed.insert(
            self.feed_end,
            Entry {
                tenant: tenant.id,
                revision,
                written_at: now,
            },
        );
        if let Some(key) = change.key() {
            self.keep_key(key, (tenant.id, revision), true, now);
        }
        Ok(Commit::Applied { revision })
    }

    /// The answer to a creation that must not be written.
    fn refuse_create(&self, change: &Change, now: Timestamp) -> Option<Commit> {
        let tenant = change.tenant();
        if let Some(life) = self.tenants.get(&tenant.id) {
            return Some(life.own_earlier_send(change).unwrap_or(Commit::IdTaken));
        }
        if self.record(&TenantRef::Name(tenant.name.clone())).is_some() {
            return Some(Commit::NameTaken);
        }
        change
            .key()
            .filter(|key| self.is_used(key, now))
            .map(|_| Commit::KeyUsed)
    }

    /// The answer to a change of a tenant that must not be written.
    fn refuse_update(&self, change: &Change, expected: Revision, now: Timestamp) -> Option<Commit> {
        let Some(life) = self.tenants.get(&change.tenant().id) else {
            return Some(Commit::NotFound);
        };
        let actual = life.tenant().revision;
        if actual != expected {
            let own = life.own_earlier_send(change);
            return Some(own.unwrap_or(Commit::Conflict { actual }));
        }
        if change
            .lease()
            .is_some_and(|under| !life.is_held_under(under.fence, now))
        {
            return Some(Commit::LeaseLost);
        }
        change
            .key()
            .filter(|key| self.is_used(key, now))
            .map(|_| Commit::KeyUsed)
    }

    pub(super) fn remember(
        &mut self,
        tenant: TenantId,
        revision: Revision,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Commit {
        if self
            .tenants
            .get(&tenant)
            .is_none_or(|life| life.at(revision).is_none())
        {
            return Commit::NotFound;
        }
        if self.is_used(key, now) {
            return Commit::KeyUsed;
        }
        self.keep_key(key, (tenant, revision), false, now);
        Commit::Applied { revision }
    }
}

/// Upkeep.
impl Data {
    pub(super) fn sweep(&mut self, sweep: Sweep, now: Timestamp) -> u64 {
        let batch = usize::from(sweep.batch.get());
        let expired: Vec<_> = self
            .keys
            .iter()
            .filter(|(_, remembered)| remembered.until <= now)
            .map(|(key, _)| key.clone())
            .take(batch)
            .collect();
        for key in &expired {
            self.keys.remove(key);
        }
        // Only from the beginning on, so that what is left has no gap.
        let old = |entry: &Entry| {
            sweep
                .feed_retention
                .is_some_and(|keep| now.since(entry.written_at) > keep)
        };
        let ended: Vec<u64> = self
            .feed
            .iter()
            .take_while(|(_, entry)| old(entry))
            .map(|(position, _)| *position)
            .take(batch)
            .collect();
        for position in &ended {
            self.feed.remove(position);
            self.feed_floor = *position;
        }
        u64::try_from(expired.len() + ended.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn facets(&self, tenant: TenantId) -> Facets {
        let Some(life) = self.tenants.get(&tenant) else {
            return Facets::default();
        };
        let entries = || self.feed.values().filter(|entry| entry.tenant == tenant);
        Facets {
            labels: life.labels.clone(),
            conditions: life.conditions.iter().copied().collect(),
            state: Some(life.tenant().state),
            feed: (
                u64::try_from(entries().count()).unwrap_or(u64::MAX),
                entries().map(|entry| entry.revision).max(),
            ),
        }
    }
}
