//! What clients write down while they work, so that they can be held against the store.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Direction, Fence, Filter, Hash, HistoryQuery, Invalid, Line, PageSize, Query, Revision, Store,
    StoreError, TenantId,
};

/// One call of one client, and what it was told.
///
/// Calls are placed in time by `called` and `returned`, which must come from one clock for all
/// clients: microseconds of one machine's clock will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "clients build it field by field")]
pub struct Entry {
    /// Who called. A client makes one call at a time.
    pub client: u64,
    /// The tenant that it was about.
    pub tenant: TenantId,
    /// The request's own id, the same for each send of one intent; a read has its own as well.
    pub request_id: Uuid,
    /// When it was sent.
    pub called: u64,
    /// When the answer came; `None` while there is none.
    pub returned: Option<u64>,
    /// What the answer was.
    pub outcome: Seen,
}

/// What a client learned from a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", deny_unknown_fields)]
#[expect(clippy::exhaustive_enums, reason = "clients make each of them")]
pub enum Seen {
    /// The request changed the tenant, now or when it was sent before.
    Acknowledged {
        /// The revision that it made.
        revision: Revision,
        /// The hash of the line that it wrote, as the answered tenant bears it.
        hash: Hash,
    },
    /// The tenant was read strongly, or found to be as asked for already; nothing was written.
    Read {
        /// The revision that it was at; 0 if there was none.
        revision: Revision,
    },
    /// A definite no: nothing was written.
    Refused,
    /// No answer came, or one that leaves it open.
    Unknown,
}

/// One result that reached the outside world, as its receiver wrote it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::exhaustive_structs,
    reason = "receivers build it field by field"
)]
pub struct SinkEntry {
    /// Whose.
    pub tenant: TenantId,
    /// The fence that it came with.
    pub fence: Fence,
    /// What was to be done. A repeat of the same operation bears the same id.
    pub operation: Uuid,
    /// Whether it had an effect.
    pub accepted: bool,
}

/// What all clients of a run wrote down.
///
/// A client that may be killed writes an entry with [`Seen::Unknown`] *before* it sends, and the
/// same entry with the answer after it: of the entries that agree in client, request and `called`,
/// the last counts. Kept as JSON lines, so that other processes can append to a file.
///
/// ```
/// use tenure::check::{ClientLog, Entry, Seen};
/// use tenure::TenantId;
/// use uuid::Uuid;
///
/// let tenant = TenantId::new(Uuid::from_u128(1));
/// let before = Entry {
///     client: 1,
///     tenant,
///     request_id: Uuid::from_u128(2),
///     called: 10,
///     returned: None,
///     outcome: Seen::Unknown,
/// };
/// let after = Entry { returned: Some(12), outcome: Seen::Refused, ..before.clone() };
/// let text = format!("{}\n{}\n{{\"cut", before.to_json_line(), after.to_json_line());
/// let log = ClientLog::from_json_lines(&text)?;
/// assert_eq!(log.entries(), [after]);
/// # Ok::<(), tenure::Invalid>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLog {
    entries: Vec<Entry>,
    places: BTreeMap<(u64, Uuid, u64), usize>,
}

impl Entry {
    /// The entry as a line of JSON, without a line feed.
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl ClientLog {
    /// A log of no calls.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or puts it in the place of an earlier one of the same call.
    pub fn push(&mut self, entry: Entry) {
        let call = (entry.client, entry.request_id, entry.called);
        let next = self.entries.len();
        let at = *self.places.entry(call).or_insert(next);
        if let Some(place) = self.entries.get_mut(at) {
            *place = entry;
        } else {
            self.entries.push(entry);
        }
    }

    /// Adds all entries of another log.
    pub fn extend(&mut self, other: Self) {
        other.entries.into_iter().for_each(|entry| self.push(entry));
    }

    /// What was written down, a call once.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Reads JSON lines. A last line that was cut by the death of its writer is left out.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if any other line is no entry.
    pub fn from_json_lines(text: &str) -> Result<Self, Invalid> {
        let mut log = Self::new();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            match serde_json::from_str(line) {
                Ok(entry) => log.push(entry),
                Err(_) if !line.ends_with('\n') => {}
                Err(error) => {
                    let field = format!("line {} of the log", number + 1);
                    return Err(Invalid::new(field, format!("must be an entry: {error}")));
                }
            }
        }
        Ok(log)
    }

    /// All entries as JSON lines.
    pub fn to_json_lines(&self) -> String {
        self.entries
            .iter()
            .map(|entry| entry.to_json_line() + "\n")
            .collect()
    }
}

/// The history of every tenant of a store, oldest line first.
pub type Histories = BTreeMap<TenantId, Vec<Line>>;

/// The line of a revision.
pub(super) fn line_at(
    histories: &Histories,
    tenant: TenantId,
    revision: Revision,
) -> Option<&Line> {
    let lines = histories.get(&tenant)?;
    let at = lines.partition_point(|line| line.revision < revision);
    lines.get(at).filter(|line| line.revision == revision)
}

/// Reads all histories into memory: for the end of a test, not for a fleet.
///
/// # Errors
///
/// Trouble with the store, as its advice says.
pub async fn histories(store: &dyn Store) -> Result<Histories, StoreError> {
    let filter = Filter {
        include_deleted: true,
        ..Filter::default()
    };
    let mut query = Query {
        filter,
        limit: PageSize::MAX,
        ..Query::default()
    };
    let mut all = Histories::new();
    loop {
        let page = store.list(&query).await?;
        for summary in page.items {
            all.insert(summary.id, history(store, summary.id).await?);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(all),
        }
    }
}

async fn history(store: &dyn Store, tenant: TenantId) -> Result<Vec<Line>, StoreError> {
    let mut all: Vec<Line> = Vec::new();
    loop {
        let query = HistoryQuery {
            after: all.last().map(|line| line.revision),
            direction: Direction::Ascending,
            transitions_only: false,
            kinds: BTreeSet::new(),
            limit: PageSize::MAX,
        };
        let lines = store.history(tenant, &query).await?;
        if lines.is_empty() {
            return Ok(all);
        }
        all.extend(lines);
    }
}
