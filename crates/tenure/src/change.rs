//! A change: the only thing that a store writes.

use std::time::Duration;

use crate::{
    ConditionKind, Document, Fence, Hash, Invalid, Kind, Line, Message, Revision, Tenant, Timestamp,
};

/// When the tenant's work is due after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// As soon as possible, by the store's clock.
    Now,
    /// After this long, by the store's clock.
    After(Duration),
    /// After this long, by the store's clock, as routine: work that somebody waits for goes first.
    Check(Duration),
    /// Not until something else wakes it.
    Never,
    /// As it was planned before.
    Unchanged,
}

/// The worker's claim that a report was made under, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Under {
    /// The fence of the lease. The change is written only while this lease is live.
    pub fence: Fence,
    /// Whether the change ends the lease.
    pub release: bool,
}

/// A client's own name for one intent, so that sending it again has no second effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is; equal keys of different scopes are different keys. At most 255 bytes.
    pub scope: String,
    /// The key, 1 to 255 bytes, compared byte by byte.
    pub key: String,
    /// The hash of the request: the same key with another request is refused.
    pub fingerprint: Hash,
    /// How long the key is remembered, by the store's clock.
    pub ttl: Duration,
}

impl IdempotencyKey {
    /// Takes a key that keeps the rules.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if scope or key are empty, too long, or hold control characters.
    pub fn new(
        scope: impl Into<String>,
        key: impl Into<String>,
        fingerprint: Hash,
        ttl: Duration,
    ) -> Result<Self, Invalid> {
        let (scope, key) = (scope.into(), key.into());
        for (field, text) in [("idempotency scope", &scope), ("idempotency_key", &key)] {
            if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
                return Err(Invalid::new(
                    field,
                    "must be 1 to 255 bytes without control characters",
                ));
            }
        }
        Ok(Self {
            scope,
            key,
            fingerprint,
            ttl,
        })
    }
}

/// One atomic write: the tenant as it will be, its line of history, and all that goes with them.
///
/// Only [`decide`](crate::decide) builds one, so nobody can write a state without its history;
/// [`copy`](crate::copy) rebuilds what it once decided.
/// It carries everything that a store needs; a store adds only times of its own clock.
#[derive(Clone, Debug)]
pub struct Change {
    expected: Option<Revision>,
    tenant: Tenant,
    line: Line,
    labels_removed: Vec<String>,
    labels_set: Vec<(String, String)>,
    conditions_removed: Vec<ConditionKind>,
    conditions_added: Vec<ConditionKind>,
    documents: Vec<Document>,
    wake: Wake,
    attempts_reset: bool,
    under: Option<Under>,
    key: Option<IdempotencyKey>,
}

impl Change {
    /// Builds the change that leads from `before` to `after`, whose hash it fills in.
    pub(crate) fn build(
        before: Option<&Tenant>,
        mut after: Tenant,
        line: crate::history::Draft<'_>,
    ) -> Result<Self, Invalid> {
        let line = line.write(before, &after)?;
        after.hash = line.hash;
        let mut change = Self {
            expected: before.map(|tenant| tenant.revision),
            tenant: after,
            line,
            labels_removed: Vec::new(),
            labels_set: Vec::new(),
            conditions_removed: Vec::new(),
            conditions_added: Vec::new(),
            documents: Vec::new(),
            wake: Wake::Unchanged,
            attempts_reset: false,
            under: None,
            key: None,
        };
        change.compare(before)?;
        Ok(change)
    }

    /// Builds again the change that made `line`, to write it into another store.
    ///
    /// The rules sign it anew, and it must come out as it was: what a store was given wrong, or was
    /// changed later, is found here.
    pub(crate) fn copied(
        before: Option<&Tenant>,
        after: Tenant,
        line: &Line,
    ) -> Result<Self, String> {
        let draft = crate::history::Draft {
            kind: line.kind,
            reason: line.reason.clone(),
            message: line.message.clone(),
            actor: &line.actor,
            request_id: line.request_id,
        };
        let change = Self::build(before, after, draft).map_err(|invalid| invalid.to_string())?;
        if change.line == *line {
            Ok(change)
        } else {
            Err("its hash does not cover what it says".to_owned())
        }
    }

    /// Works out which documents, labels and conditions are not in the store yet.
    fn compare(&mut self, before: Option<&Tenant>) -> Result<(), Invalid> {
        let after = &self.tenant;
        let old_metadata = before.map(Tenant::metadata).transpose()?.flatten();
        let old_details = before.map(Tenant::details).transpose()?.flatten();
        let metadata = after.metadata()?;
        let details = after.details()?;
        let pairs = [
            (before.map(|t| &t.desired), Some(&after.desired)),
            (
                before.and_then(|t| t.observed.as_ref()),
                after.observed.as_ref(),
            ),
            (old_metadata.as_ref(), metadata.as_ref()),
            (old_details.as_ref(), details.as_ref()),
        ];
        let mut documents: Vec<Document> = pairs
            .into_iter()
            .filter(|(old, new)| old.map(Document::hash) != new.map(Document::hash))
            .filter_map(|(_, new)| new.cloned())
            .collect();
        documents.sort_by_key(Document::hash);
        documents.dedup_by_key(|document| document.hash());
        self.documents = documents;

        let old = before.map(|t| t.labels.clone()).unwrap_or_default();
        self.labels_removed = old
            .iter()
            .filter(|(key, _)| after.labels.get(key).is_none())
            .map(|(key, _)| key.to_owned())
            .collect();
        self.labels_set = after
            .labels
            .iter()
            .filter(|(key, value)| old.get(key) != Some(value))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();

        let old = before.map(|t| t.conditions.kinds()).unwrap_or_default();
        let new = after.conditions.kinds();
        self.conditions_removed = old
            .iter()
            .filter(|kind| !new.contains(kind))
            .copied()
            .collect();
        self.conditions_added = new
            .iter()
            .filter(|kind| !old.contains(kind))
            .copied()
            .collect();
        Ok(())
    }

    pub(crate) fn with_wake(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    pub(crate) fn with_attempts_reset(mut self, reset: bool) -> Self {
        self.attempts_reset = reset;
        self
    }

    /// The same change, written only while this lease is live.
    #[must_use]
    pub fn under(mut self, under: Under) -> Self {
        self.under = Some(under);
        self
    }

    /// The same change, with an idempotency key that is recorded in the same commit.
    #[must_use]
    pub fn with_key(mut self, key: Option<IdempotencyKey>) -> Self {
        self.key = key;
        self
    }

    /// The revision that it was decided on, or `None` if it creates the tenant.
    pub const fn expected(&self) -> Option<Revision> {
        self.expected
    }

    /// The tenant as it will be.
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The line of history.
    pub const fn line(&self) -> &Line {
        &self.line
    }

    /// The documents that are not in the store yet, by hash, each once. Storing one again is harmless.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The keys of the labels to take away.
    pub fn labels_removed(&self) -> &[String] {
        &self.labels_removed
    }

    /// The labels to write, new or over an old value.
    pub fn labels_set(&self) -> &[(String, String)] {
        &self.labels_set
    }

    /// The conditions to take away.
    pub fn conditions_removed(&self) -> &[ConditionKind] {
        &self.conditions_removed
    }

    /// The conditions to write.
    pub fn conditions_added(&self) -> &[ConditionKind] {
        &self.conditions_added
    }

    /// When the tenant's work is due after it.
    pub const fn wake(&self) -> Wake {
        self.wake
    }

    /// Whether attempts are counted from zero again and the last error is forgotten.
    pub const fn attempts_reset(&self) -> bool {
        self.attempts_reset
    }

    /// What the attempt that it ends said when it failed: the message of a line about a condition,
    /// or its reason if that is empty. `None` if it ends no lease, or the attempt was in order.
    pub fn last_error(&self) -> Option<Message> {
        let ends = self.under.is_some_and(|under| under.release);
        if !ends || self.attempts_reset || self.line.kind != Kind::Condition {
            return None;
        }
        Some(if self.line.message.as_str().is_empty() {
            Message::lossy(self.line.reason.as_str())
        } else {
            self.line.message.clone()
        })
    }

    /// The lease that it is written under, if it is a worker's.
    pub const fn lease(&self) -> Option<Under> {
        self.under
    }

    /// The idempotency key to record with it.
    pub const fn key(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref()
    }

    /// When, as the line says it.
    pub const fn at(&self) -> Timestamp {
        self.line.at
    }
}
