//! Folding a history: the record that a tenant's lines add up to.

use serde::de::DeserializeOwned;

use crate::{
    ClassName, Details, Document, Hash, Line, Message, Metadata, Reason, Revision, State, Tenant,
    TenantName, Timestamp,
};

/// Why a history could not be folded to a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// A document that the last line names was not given.
    #[error("the document {role} is missing")]
    Missing {
        /// What it is to the tenant: `desired`, `observed`, `metadata` or `details`.
        role: &'static str,
        /// Its name.
        hash: Hash,
    },
    /// A document is there but is not of the form that its role needs.
    #[error("the document {role} does not have the form that it must have")]
    Misshapen {
        /// What it is to the tenant.
        role: &'static str,
        /// Its name.
        hash: Hash,
    },
}

/// A history, folded as far as it was pushed. Holds one line's worth of memory, however long it is.
///
/// It checks nothing: that is for [`verify`](super::verify). Name and class stand in no line, since
/// they never change; the first line's hash covers them.
#[derive(Clone, Debug)]
pub struct Fold {
    name: TenantName,
    class: ClassName,
    sum: Option<Sum>,
}

/// What the last line alone does not say.
#[derive(Clone, Debug)]
struct Sum {
    created_at: Timestamp,
    state_since: Timestamp,
    deleted_at: Option<Timestamp>,
    reason: Reason,
    message: Message,
    last: Line,
}

impl Fold {
    /// The fold of no lines.
    pub const fn new(name: TenantName, class: ClassName) -> Self {
        Self {
            name,
            class,
            sum: None,
        }
    }

    /// Adds the next line. Lines must come in the order of their revisions, from the first.
    pub fn push(&mut self, line: &Line) {
        let sum = self.sum.get_or_insert_with(|| Sum {
            created_at: line.at,
            state_since: line.at,
            deleted_at: None,
            reason: line.reason.clone(),
            message: line.message.clone(),
            last: line.clone(),
        });
        if line.is_transition() {
            sum.state_since = line.at;
        }
        if line.to == State::Deleted {
            sum.deleted_at = Some(line.at);
        }
        if line.kind.says_why() {
            sum.reason = line.reason.clone();
            sum.message = line.message.clone();
        }
        sum.last = line.clone();
    }

    /// The revision of the newest line.
    pub fn revision(&self) -> Option<Revision> {
        self.sum.as_ref().map(|sum| sum.last.revision)
    }

    /// The documents that [`Fold::tenant`] needs, each once.
    pub fn needs(&self) -> Vec<Hash> {
        self.sum
            .as_ref()
            .map(|sum| documents_of(&sum.last))
            .unwrap_or_default()
    }

    /// The record that the lines add up to; `None` if there were none.
    ///
    /// # Errors
    ///
    /// [`FoldError`] if one of the documents that it [needs](Fold::needs) is not among
    /// `documents`, or is not what it must be.
    pub fn tenant(&self, documents: &[Document]) -> Result<Option<Tenant>, FoldError> {
        let Some(sum) = &self.sum else {
            return Ok(None);
        };
        let last = &sum.last;
        let find = |role: &'static str, hash: Hash| {
            let found = documents.iter().find(|document| document.hash() == hash);
            found.cloned().ok_or(FoldError::Missing { role, hash })
        };
        let observed = last
            .observed
            .map(|hash| find("observed", hash))
            .transpose()?;
        let metadata: Metadata = read("metadata", last.metadata, find)?;
        let details: Details = read("details", last.details, find)?;
        Ok(Some(Tenant {
            id: last.tenant,
            name: self.name.clone(),
            class: self.class.clone(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            desired: find("desired", last.desired)?,
            running: last.running,
            generation: last.generation,
            observed,
            observed_generation: last.observed_generation,
            resources: details.resources,
            state: last.to,
            state_since: sum.state_since,
            reason: sum.reason.clone(),
            message: sum.message.clone(),
            conditions: details.conditions,
            steps: details.steps,
            waivers: details.waivers,
            revision: last.revision,
            created_at: sum.created_at,
            updated_at: last.at,
            deleted_at: sum.deleted_at,
            hash: last.hash,
        }))
    }
}

/// The documents that a line names, each once.
pub(super) fn documents_of(line: &Line) -> Vec<Hash> {
    let mut hashes: Vec<Hash> = [
        Some(line.desired),
        line.observed,
        line.metadata,
        line.details,
    ]
    .into_iter()
    .flatten()
    .collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Reads what a document holds; what has no document is empty.
fn read<T: DeserializeOwned + Default>(
    role: &'static str,
    hash: Option<Hash>,
    find: impl Fn(&'static str, Hash) -> Result<Document, FoldError>,
) -> Result<T, FoldError> {
    let Some(hash) = hash else {
        return Ok(T::default());
    };
    let document = find(role, hash)?;
    serde_json::from_str(document.as_str()).map_err(|_| FoldError::Misshapen { role, hash })
}

/// Folds a whole history, given oldest first, to the record that it adds up to.
///
/// ```
/// use tenure::{Command, Context, Decision, Document, Message, Timestamp, Wanted, check, decide};
/// # let context = Context {
/// #     at: Timestamp::EPOCH,
/// #     actor: "user:maria".parse()?,
/// #     request_id: uuid::Uuid::from_u128(1),
/// #     message: Message::none(),
/// # };
/// # let wanted = Wanted {
/// #     id: tenure::TenantId::new(uuid::Uuid::from_u128(2)),
/// #     name: "acme".parse()?,
/// #     class: None,
/// #     labels: None,
/// #     annotations: None,
/// #     desired: Document::parse(r#"{"plan": "gold"}"#)?,
/// #     running: None,
/// # };
/// let Decision::Change(created) = decide(None, &Command::Create(wanted), &context) else {
///     unreachable!()
/// };
/// let tenant = created.tenant();
/// let lines = [created.line().clone()];
/// let folded = check::fold(&tenant.name, &tenant.class, &lines, created.documents())?;
/// assert_eq!(folded.as_ref(), Some(tenant));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`Fold::tenant`].
pub fn fold(
    name: &TenantName,
    class: &ClassName,
    lines: &[Line],
    documents: &[Document],
) -> Result<Option<Tenant>, FoldError> {
    let mut fold = Fold::new(name.clone(), class.clone());
    for line in lines {
        fold.push(line);
    }
    fold.tenant(documents)
}
