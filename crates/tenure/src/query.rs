//! What lists select and how they are read, page by page.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{ClassName, ConditionKind, Cursor, Hash, Invalid, Selector, State, Timestamp};

/// How many items a page has at most: 1 to 500.
///
/// ```
/// use tenure::PageSize;
/// assert!(PageSize::new(500).is_ok());
/// assert!(PageSize::new(0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// The largest page.
    pub const MAX: Self = Self(500);

    /// Takes a size.
    ///
    /// # Errors
    ///
    /// [`Invalid`] outside of 1 to 500.
    pub fn new(size: u64) -> Result<Self, Invalid> {
        match u16::try_from(size) {
            Ok(size @ 1..=500) => Ok(Self(size)),
            _ => Err(Invalid::new("page_size", "must be 1 to 500")),
        }
    }

    /// The size.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for PageSize {
    /// 50.
    fn default() -> Self {
        Self(50)
    }
}

/// The order of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// A stretch of time: from `from` on, up to but without `until`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Between {
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
}

impl Between {
    /// Whether a time is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Whether it excludes nothing.
    pub const fn is_unbounded(&self) -> bool {
        self.from.is_none() && self.until.is_none()
    }
}

/// What a list selects: tenants for which every part holds. The default is all the living.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// In any of these states; any state if empty. Naming `deleted` includes the deleted.
    pub states: BTreeSet<State>,
    /// Of this class.
    pub class: Option<ClassName>,
    /// With names that begin so; any name if empty.
    pub name_prefix: String,
    /// With labels that match.
    pub selector: Selector,
    /// With all of these conditions.
    pub conditions: BTreeSet<ConditionKind>,
    /// Created in this time.
    pub created: Between,
    /// Last changed in this time.
    pub updated: Between,
    /// In its state since this time.
    pub state_since: Between,
    /// Deleted in this time. A bound includes the deleted and excludes the living.
    pub deleted: Between,
    /// The deleted too.
    pub include_deleted: bool,
}

impl Filter {
    /// Whether deleted tenants can match.
    pub fn includes_deleted(&self) -> bool {
        self.include_deleted
            || self.states.contains(&State::Deleted)
            || !self.deleted.is_unbounded()
    }

    /// Whether a tenant matches: what every store's list must agree with.
    pub fn matches(&self, tenant: &crate::Tenant) -> bool {
        let kinds = tenant.conditions.kinds();
        (self.includes_deleted() || tenant.is_living())
            && (self.states.is_empty() || self.states.contains(&tenant.state))
            && self
                .class
                .as_ref()
                .is_none_or(|class| *class == tenant.class)
            && tenant.name.as_str().starts_with(&self.name_prefix)
            && self.selector.matches(&tenant.labels)
            && self.conditions.iter().all(|kind| kinds.contains(kind))
            && self.created.contains(tenant.created_at)
            && self.updated.contains(tenant.updated_at)
            && self.state_since.contains(tenant.state_since)
            && (self.deleted.is_unbounded()
                || tenant
                    .deleted_at
                    .is_some_and(|at| self.deleted.contains(at)))
    }
}

/// A list, from a point on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What it selects.
    pub filter: Filter,
    /// The order of reading.
    pub direction: Direction,
    /// Where the page before ended; `None` starts.
    pub after: Option<Cursor>,
    /// How many at most.
    pub limit: PageSize,
}

impl Query {
    /// What a cursor of this query is bound to: filter and order.
    pub fn fingerprint(&self) -> Hash {
        let value = serde_json::json!({"filter": self.filter, "direction": self.direction});
        Hash::of(
            serde_json_canonicalizer::to_string(&value)
                .unwrap_or_default()
                .as_bytes(),
        )
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where to read on; `None` at the end.
    pub next: Option<Cursor>,
}
