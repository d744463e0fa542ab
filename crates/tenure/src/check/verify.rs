//! Reading a tenant back and checking all that is kept of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Finding;
use super::chain::Chain;
use super::fold::{Fold, documents_of};
use crate::{
    Direction, Facets, Filter, Freshness, Hash, HistoryQuery, Line, PageSize, Query, Record,
    Revision, Store, StoreError, Tenant, TenantId, TenantRef,
};

/// How many documents are asked for at once: together they can be this many MiB.
const DOCUMENTS_AT_ONCE: usize = 16;

/// How often the copies of a tenant are looked at anew because it changed meanwhile.
const LOOKS_MAX: u32 = 5;

/// Checks one tenant: every line of its history, every document, and whether they add up to the
/// record and to the copies that lists go by. Nothing found means that all is well.
///
/// Safe beside writers: the tenant is checked as it was at one revision, and what is written
/// meanwhile is never mistaken for damage. Copies of a tenant that does not stand still are left
/// to the next look. Needs memory for a page of lines, not for the history; keeps the first 100
/// findings.
///
/// ```no_run
/// # async fn example(store: &dyn tenure::Store, id: tenure::TenantId) -> tenure::Result<()> {
/// for finding in tenure::check::verify(store, id).await? {
///     eprintln!("{finding}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Trouble on the way to the store, as its advice says. Damage is no error but a finding.
pub async fn verify(store: &dyn Store, tenant: TenantId) -> Result<Vec<Finding>, StoreError> {
    let mut exam = Exam {
        store,
        tenant,
        chain: Chain::new(tenant),
    };
    let head = exam.get().await?.map(|record| record.tenant);
    let fold = exam.walk(head.as_ref()).await?;
    match head {
        Some(head) => {
            exam.ends(&head).await?;
            exam.compare(&head, fold).await?;
            exam.copies().await?;
        }
        // A record that can't be read was found already.
        None if exam.chain.findings.is_empty() => exam.find(None, "record", "there is none"),
        None => {}
    }
    Ok(exam.chain.findings)
}

/// What was done so far by [`verify_all`], after each tenant.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The tenant that was just checked.
    pub tenant: TenantId,
    /// How many were checked so far, this one included.
    pub checked: u64,
    /// What was found at this one.
    pub findings: &'a [Finding],
}

/// What [`verify_all`] went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many tenants were checked.
    pub tenants: u64,
    /// How many of them were in order.
    pub sound: u64,
    /// How many findings there were in all.
    pub findings: u64,
}

/// Checks every tenant, the deleted too, in the order of their ids, and tells of each as it goes.
///
/// Needs memory for a page of tenants, however many there are: findings are handed to `progress`
/// and not kept.
///
/// # Errors
///
/// As [`verify`]. What was told before the error stands.
pub async fn verify_all<F>(store: &dyn Store, mut progress: F) -> Result<Verified, StoreError>
where
    F: FnMut(Progress<'_>) + Send,
{
    let filter = Filter {
        include_deleted: true,
        ..Filter::default()
    };
    let mut query = Query {
        filter,
        limit: PageSize::MAX,
        ..Query::default()
    };
    let mut verified = Verified::default();
    loop {
        let page = store.list(&query).await?;
        for summary in page.items {
            let findings = verify(store, summary.id).await?;
            verified.tenants += 1;
            verified.sound += u64::from(findings.is_empty());
            verified.findings += u64::try_from(findings.len()).unwrap_or(u64::MAX);
            progress(Progress {
                tenant: summary.id,
                checked: verified.tenants,
                findings: &findings,
            });
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(verified),
        }
    }
}

/// One tenant under examination.
struct Exam<'a> {
    store: &'a dyn Store,
    tenant: TenantId,
    chain: Chain,
}

impl Exam<'_> {
    fn find(
        &mut self,
        revision: impl Into<Option<Revision>>,
        rule: &'static str,
        detail: impl Into<String>,
    ) {
        self.chain.find(revision, rule, detail);
    }

    /// Takes an answer of the store, where damage is a finding and no error.
    fn sound<T>(&mut self, answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(StoreError::Corrupt { what }) => {
                self.find(None, "record", what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn get(&mut self) -> Result<Option<Record>, StoreError> {
        let answer = self
            .store
            .get(&TenantRef::Id(self.tenant), Freshness::Primary)
            .await;
        Ok(self.sound(answer)?.flatten())
    }

    /// Walks the whole history, and folds it as far as the record goes.
    async fn walk(&mut self, head: Option<&Tenant>) -> Result<Option<Fold>, StoreError> {
        let mut fold = head.map(|head| Fold::new(head.name.clone(), head.class.clone()));
        let mut known = BTreeSet::new();
        let mut query = HistoryQuery {
            after: None,
            direction: Direction::Ascending,
            transitions_only: false,
            kinds: BTreeSet::new(),
            limit: PageSize::MAX,
        };
        loop {
            let answer = self.store.history(self.tenant, &query).await;
            let Some(lines) = self.sound(answer)? else {
                return Ok(None);
            };
            let Some(last) = lines.last() else {
                return Ok(fold);
            };
            self.documents(&lines, &mut known).await?;
            for line in &lines {
                self.chain
                    .push(line, head.map(|head| (&head.name, &head.class)));
                if let (Some(fold), Some(head)) = (&mut fold, head)
                    && line.revision <= head.revision
                {
                    fold.push(line);
                }
            }
            // A page that does not lead on would be walked for ever; its lines were found wrong.
            if query.after.is_some_and(|after| last.revision <= after) {
                return Ok(fold);
            }
            query.after = Some(last.revision);
        }
    }

    /// Checks that the documents of these lines are there and are what their hashes say.
    ///
    /// `known` holds those of the page before, which the first lines of this one mostly share.
    async fn documents(
        &mut self,
        lines: &[Line],
        known: &mut BTreeSet<Hash>,
    ) -> Result<(), StoreError> {
        let mut first_named = BTreeMap::new();
        for line in lines {
            for hash in documents_of(line)
                .into_iter()
                .filter(|hash| !known.contains(hash))
            {
                first_named.entry(hash).or_insert(line.revision);
            }
        }
        known.clear();
        known.extend(lines.iter().flat_map(documents_of));
        let hashes: Vec<Hash> = first_named.keys().copied().collect();
        for some in hashes.chunks(DOCUMENTS_AT_ONCE) {
            let found = match self.store.documents(self.tenant, some).await {
                // One of them is damaged; asked for one by one, the others say that they are not.
                Err(StoreError::Corrupt { .. }) => None,
                other => Some(other?),
            };
            for hash in some {
                let one = match &found {
                    Some(found) => found.iter().any(|document| document.hash() == *hash),
                    None => self.document(*hash).await?,
                };
                if !one {
                    let detail = format!("the document {hash} is missing or damaged");
                    self.find(first_named.get(hash).copied(), "document", detail);
                }
            }
        }
        Ok(())
    }

    async fn document(&self, hash: Hash) -> Result<bool, StoreError> {
        match self.store.documents(self.tenant, &[hash]).await {
            Err(StoreError::Corrupt { .. }) => Ok(false),
            other => Ok(other?.iter().any(|document| document.hash() == hash)),
        }
    }

    /// Checks that history and record end at the same revision.
    async fn ends(&mut self, head: &Tenant) -> Result<(), StoreError> {
        let newest = self.chain.revision();
        if newest < head.revision {
            let detail = format!("the history ends at {newest}, the record does not");
            self.find(head.revision, "gap", detail);
        }
        if newest > head.revision {
            // Written after the record was read, unless the record still does not know of it.
            let now = self.get().await?.map(|record| record.tenant.revision);
            if let Some(now) = now.filter(|now| *now < newest) {
                self.find(
                    newest,
                    "gap",
                    format!("the record ends at {now}, the history does not"),
                );
            }
        }
        Ok(())
    }

    /// Checks that the lines add up to the record.
    async fn compare(&mut self, head: &Tenant, fold: Option<Fold>) -> Result<(), StoreError> {
        let Some(fold) = fold.filter(|fold| fold.revision() == Some(head.revision)) else {
            return Ok(());
        };
        let answer = self.store.documents(self.tenant, &fold.needs()).await;
        let Some(documents) = self.sound(answer)? else {
            return Ok(());
        };
        match fold.tenant(&documents) {
            Ok(folded) => {
                let folded = folded.as_ref();
                if folded != Some(head) {
                    let fields = folded
                        .map(|folded| differing(folded, head))
                        .unwrap_or_default();
                    let detail = format!("history and record differ in {}", fields.join(", "));
                    self.find(head.revision, "fold", detail);
                }
            }
            Err(error) => self.find(head.revision, "fold", error.to_string()),
        }
        Ok(())
    }

    /// Checks the copies that lists and names go by, once the tenant stands still for a moment.
    async fn copies(&mut self) -> Result<(), StoreError> {
        for _ in 0..LOOKS_MAX {
            let Some(before) = self.get().await? else {
                return Ok(());
            };
            let answer = self.store.facets(self.tenant).await;
            let Some(facets) = self.sound(answer)? else {
                return Ok(());
            };
            let name = TenantRef::Name(before.tenant.name.clone());
            let answer = self.store.get(&name, Freshness::Primary).await;
            let Some(named) = self.sound(answer)? else {
                return Ok(());
            };
            let Some(after) = self.get().await? else {
                return Ok(());
            };
            if before.tenant.revision == after.tenant.revision {
                self.facets(&before.tenant, &facets);
                let by_name = named.is_some_and(|named| named.tenant.id == self.tenant);
                if by_name != before.tenant.is_living() {
                    let detail = if by_name {
                        "it is deleted, but its name still leads to it"
                    } else {
                        "it lives, but its name does not lead to it"
                    };
                    self.find(before.tenant.revision, "name", detail);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn facets(&mut self, tenant: &Tenant, facets: &Facets) {
        let at = tenant.revision;
        let labels = facets
            .labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        if !labels.eq(tenant.labels.iter()) {
            self.find(at, "facet", "the label rows differ from the labels");
        }
        let mut kinds = facets.conditions.clone();
        kinds.sort_unstable();
        if kinds != tenant.conditions.kinds() {
            self.find(at, "facet", "the condition rows differ from the conditions");
        }
        if let Some(state) = facets.state.filter(|state| *state != tenant.state) {
            let detail = format!("lists take it for {state}, but it is {}", tenant.state);
            self.find(at, "facet", detail);
        }
        // Old entries are taken away in time, so there may be fewer than revisions, or none.
        let (entries, newest) = facets.feed;
        if entries > at.get() {
            self.find(
                at,
                "facet",
                format!("{entries} feed entries stand for {at} revisions"),
            );
        }
        if newest != (entries > 0).then_some(at) {
            self.find(at, "facet", "the feed does not end at the newest revision");
        }
    }
}

/// The names of the fields in which two records differ.
fn differing(folded: &Tenant, head: &Tenant) -> Vec<String> {
    let object = |tenant: &Tenant| match serde_json::to_value(tenant) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let (folded, head) = (object(folded), object(head));
    head.into_iter()
        .filter(|(field, value)| folded.get(field) != Some(value))
        .map(|(field, _)| field)
        .collect()
}
