//! Lists: the one place where a statement is assembled, from fixed pieces, with all values bound.
//!
//! A list walks the index that leads straight to what it selects (a label's value, a condition,
//! some states, else the tenants themselves) in the order of ids, and judges each tenant that it
//! meets by the rest of the filter. It stops when the page is full, or when it has met as many as
//! a page may cost: the last of them is given too, so that the next page begins behind it.

use std::collections::BTreeMap;

use tenure::{
    Between, ConditionKind, Cursor, Direction, Filter, Page, Query, Requirement, Result, State,
    Summary, TenantId,
};
use tokio_postgres::types::{ToSql, Type};

use crate::row::{self, Columns};
use crate::session::{Call, Database, Param};
use crate::sql;
use crate::value::At;

/// How many tenants a page looks at, at most.
pub(crate) const SCAN_MAX: i64 = 10_000;

/// How many values of one label a walk merges; with more, the label is judged tenant by tenant.
const LEGS_MAX: usize = 16;

/// What the walk follows.
#[derive(Clone, Copy)]
enum Driver<'a> {
    Label(&'a str, &'a std::collections::BTreeSet<String>),
    Condition(ConditionKind),
    States,
    All,
}

impl<'a> Driver<'a> {
    /// The index that leads to the fewest, as far as that shows without asking the data.
    fn of(filter: &'a Filter) -> Self {
        let labels = filter
            .selector
            .requirements()
            .iter()
            .filter_map(|part| match part {
                Requirement::In(key, values) if (1..=LEGS_MAX).contains(&values.len()) => {
                    Some((key, values))
                }
                _ => None,
            });
        if let Some((key, values)) = labels.min_by_key(|(_, values)| values.len()) {
            return Self::Label(key, values);
        }
        match filter.conditions.first() {
            Some(kind) => Self::Condition(*kind),
            None if filter.states.is_empty() => Self::All,
            None => Self::States,
        }
    }

    /// The sources to walk: each is in the order of ids, and no tenant is in two of them.
    fn legs(self, filter: &Filter, bound: &mut Bound) -> Vec<String> {
        match self {
            Self::Label(key, values) => {
                let key = bound.text(key);
                let leg = |value: &String| {
                    let value = bound.text(value.as_str());
                    format!("{LABELS} WHERE d.key = {key} AND d.value = {value}")
                };
                values.iter().map(leg).collect()
            }
            Self::Condition(kind) => {
                vec![format!(
                    "{CONDITIONS} WHERE d.condition = {}",
                    bound.text(kind.as_str())
                )]
            }
            Self::States => {
                let leg = |state: &State| {
                    format!("{WORK} WHERE d.state = {}", bound.text(state.as_str()))
                };
                filter.states.iter().map(leg).collect()
            }
            Self::All => vec![format!("{TENANTS} WHERE true")],
        }
    }
}

const LABELS: &str = "SELECT d.tenant_id FROM labels AS d";
const CONDITIONS: &str = "SELECT d.tenant_id FROM conditions AS d";
const WORK: &str = "SELECT d.tenant_id FROM work AS d";
const TENANTS: &str = "SELECT d.tenant_id FROM tenants AS d";
const COLUMNS: &str = "t.tenant_id, t.name, t.class, t.running, t.generation, \
    t.observed_generation, t.state, t.state_since, t.reason, t.message, t.revision, t.created_at, \
    t.updated_at, t.deleted_at";
/// Who has conditions has details, and few have.
const KINDS: &str = "CASE WHEN t.details IS NOT NULL THEN ARRAY (SELECT c.condition \
    FROM conditions AS c WHERE c.tenant_id = t.tenant_id) END AS kinds";

/// The values of a statement, in the order of their numbers.
#[derive(Default)]
struct Bound {
    values: Vec<Box<dyn ToSql + Sync + Send>>,
    types: Vec<Type>,
}

impl Bound {
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static, kind: Type) -> String {
        self.values.push(Box::new(value));
        self.types.push(kind);
        format!("${}", self.values.len())
    }

    fn text(&mut self, text: impl Into<String>) -> String {
        self.value(text.into(), Type::TEXT)
    }

    /// Binds a set as one value, so that its size does not change the statement.
    fn set(&mut self, items: impl Iterator<Item = impl Into<String>>) -> String {
        let items: Vec<String> = items.map(Into::into).collect();
        let set = self.value(items, Type::TEXT_ARRAY);
        format!("ANY ({set})")
    }
}

/// What the walk does not see to: the rest of the filter, for one tenant.
fn rest(filter: &Filter, driver: Driver<'_>, bound: &mut Bound) -> String {
    let mut parts = Vec::new();
    if !filter.includes_deleted() {
        parts.push("t.deleted_at IS NULL".to_owned());
    }
    if !filter.states.is_empty() {
        // For a walk by state too: it goes by a copy, and the tenant's own word is the last.
        let states = bound.set(filter.states.iter().map(|state| state.as_str()));
        parts.push(format!("t.state = {states}"));
    }
    if let Some(class) = &filter.class {
        parts.push(format!("t.class = {}", bound.text(class.as_str())));
    }
    if !filter.name_prefix.is_empty() {
        let prefix = bound.text(&filter.name_prefix);
        parts.push(format!("starts_with(t.name, {prefix})"));
    }
    for (column, between) in [
        ("t.created_at", &filter.created),
        ("t.updated_at", &filter.updated),
        ("t.state_since", &filter.state_since),
        ("t.deleted_at", &filter.deleted),
    ] {
        within(column, between, bound, &mut parts);
    }
    for part in filter.selector.requirements() {
        let walked = matches!(
            (driver, part),
            (Driver::Label(label, values), Requirement::In(key, all)) if label == key && values == all
        );
        if !walked {
            parts.push(requirement(part, bound));
        }
    }
    for kind in &filter.conditions {
        if !matches!(driver, Driver::Condition(walked) if walked == *kind) {
            let kind = bound.text(kind.as_str());
            parts.push(format!(
                "EXISTS (SELECT 1 FROM conditions AS c \
                 WHERE c.tenant_id = t.tenant_id AND c.condition = {kind})"
            ));
        }
    }
    if parts.is_empty() {
        "true".to_owned()
    } else {
        parts.join(" AND ")
    }
}

fn within(column: &str, between: &Between, bound: &mut Bound, parts: &mut Vec<String>) {
    for (at, compares) in [(between.from, ">="), (between.until, "<")] {
        if let Some(at) = at {
            let at = bound.value(At(at), Type::TIMESTAMPTZ);
            parts.push(format!("{column} {compares} {at}"));
        }
    }
}

fn requirement(requirement: &Requirement, bound: &mut Bound) -> String {
    let probe = "EXISTS (SELECT 1 FROM labels AS l WHERE l.tenant_id = t.tenant_id AND l.key =";
    match requirement {
        Requirement::In(key, values) => {
            let (key, values) = (bound.text(key), bound.set(values.iter()));
            format!("{probe} {key} AND l.value = {values})")
        }
        Requirement::NotIn(key, values) => {
            let (key, values) = (bound.text(key), bound.set(values.iter()));
            format!("NOT {probe} {key} AND l.value = {values})")
        }
        Requirement::Exists(key) => format!("{probe} {})", bound.text(key)),
        Requirement::Absent(key) => format!("NOT {probe} {})", bound.text(key)),
    }
}

/// A statement that walks from a point on, and its values.
///
/// The walk is numbered, so that the row at which the scan ends can be told and given. The inner
/// `OFFSET 0` keeps the planner to the walk's order: one probe of `tenants` for each step.
fn walk(query: &Query, after: Option<TenantId>, scan_max: i64) -> (String, Bound) {
    let mut bound = Bound::default();
    let driver = Driver::of(&query.filter);
    let (beyond, order) = match query.direction {
        Direction::Ascending => (">", ""),
        Direction::Descending => ("<", " DESC"),
    };
    let from = after.map_or_else(String::new, |after| {
        let id = bound.value(after.as_uuid(), Type::UUID);
        format!(" AND d.tenant_id {beyond} {id}")
    });
    let most = bound.value(scan_max, Type::INT8);
    // Each leg with its own order, or the planner would sort them together.
    let legs: Vec<String> = driver
        .legs(&query.filter, &mut bound)
        .into_iter()
        .map(|leg| format!("({leg}{from} ORDER BY d.tenant_id{order} LIMIT {most})"))
        .collect();
    let legs = legs.join(" UNION ALL ");
    let matches = rest(&query.filter, driver, &mut bound);
    let page = bound.value(i64::from(query.limit.get()) + 1, Type::INT8);
    let text = format!(
        "SELECT {COLUMNS}, t.kinds, t.matches, step.place \
         FROM (SELECT w.tenant_id, row_number() OVER (ORDER BY w.tenant_id{order}) AS place \
         FROM ({legs}) AS w ORDER BY w.tenant_id{order} LIMIT {most}) AS step, \
         LATERAL (SELECT {COLUMNS}, {KINDS}, ({matches}) IS TRUE AS matches FROM tenants AS t \
         WHERE t.tenant_id = step.tenant_id OFFSET 0) AS t \
         WHERE t.matches OR step.place = {most} \
         ORDER BY step.tenant_id{order} LIMIT {page}"
    );
    (text, bound)
}

impl Bound {
    async fn run(
        &self,
        database: &Database,
        operation: &'static str,
        text: &str,
    ) -> Result<Vec<tokio_postgres::Row>> {
        let params: Vec<Param<'_>> = self
            .values
            .iter()
            .map(|value| -> Param<'_> { &**value })
            .collect();
        let call = Call {
            operation,
            text,
            types: &self.types,
            params: &params,
            writes: false,
            barrier: false,
        };
        Ok(database.run(call).await?)
    }
}

/// The statement of a list and the types of its parameters, for the tests that pin its plan.
#[doc(hidden)]
pub fn list_statement(query: &Query, after: Option<TenantId>) -> (String, Vec<Type>) {
    let (text, bound) = walk(query, after, SCAN_MAX);
    (text, bound.types)
}

/// Reads a page, looking at `scan_max` tenants at most.
pub(crate) async fn list(
    database: &Database,
    query: &Query,
    scan_max: i64,
) -> Result<Page<Summary>> {
    let fingerprint = query.fingerprint();
    let after = query
        .after
        .as_ref()
        .map(|cursor| cursor.as_list(fingerprint))
        .transpose()?;
    let (text, bound) = walk(query, after, scan_max);
    let rows = bound.run(database, "list", &text).await?;
    let limit = usize::from(query.limit.get());
    let mut items: Vec<Summary> = Vec::with_capacity(limit.min(rows.len()));
    let mut next = None;
    for row in &rows {
        let mut columns = Columns::from(row, 0, "tenants");
        let mut item = row::summary(&mut columns)?;
        item.conditions = kinds(columns.next()?)?;
        let matches: bool = columns.next()?;
        let place: i64 = columns.next()?;
        if matches && items.len() == limit {
            next = items.last().map(|last| last.id);
            break;
        }
        if place == scan_max {
            next = Some(item.id);
        }
        if matches {
            items.push(item);
        }
    }
    Ok(Page {
        items,
        next: next.map(|id| Cursor::list(fingerprint, id)),
    })
}

/// The kinds of condition in their fixed order.
pub(crate) fn kinds(words: Option<Vec<&str>>) -> Result<Vec<ConditionKind>> {
    let mut kinds = Vec::new();
    for word in words.unwrap_or_default() {
        let what = || "conditions.condition breaks its rule".to_owned();
        let kind = word
            .parse()
            .map_err(|_| tenure::StoreError::Corrupt { what: what() })?;
        kinds.push(kind);
    }
    kinds.sort_unstable();
    Ok(kinds)
}

/// Counts what matches, by state.
pub(crate) async fn count(database: &Database, filter: &Filter) -> Result<BTreeMap<State, u64>> {
    let rows = if asks_for_states_only(filter) {
        database.run(Call::read("count", &sql::COUNT, &[])).await?
    } else {
        let (text, bound) = tally(filter);
        bound.run(database, "count", &text).await?
    };
    let mut counts: BTreeMap<State, u64> = State::ALL.map(|state| (state, 0)).into();
    for row in &rows {
        let mut columns = Columns::from(row, 0, "tenants");
        let (state, tenants): (State, u64) = (columns.parse()?, columns.number()?);
        let counted = (filter.states.is_empty() || filter.states.contains(&state))
            && (filter.includes_deleted() || state != State::Deleted);
        if counted {
            counts.insert(state, tenants);
        }
    }
    Ok(counts)
}

/// Whether one index holds all that the count needs.
fn asks_for_states_only(filter: &Filter) -> bool {
    let Filter {
        states,
        include_deleted,
        ..
    } = filter.clone();
    *filter
        == Filter {
            states,
            include_deleted,
            ..Filter::default()
        }
}

fn tally(filter: &Filter) -> (String, Bound) {
    let mut bound = Bound::default();
    let driver = Driver::of(filter);
    let legs = driver.legs(filter, &mut bound).join(" UNION ALL ");
    let matches = rest(filter, driver, &mut bound);
    let text = format!(
        "SELECT t.state, count(*) FROM ({legs}) AS w \
         JOIN tenants AS t ON t.tenant_id = w.tenant_id WHERE {matches} GROUP BY t.state"
    );
    (text, bound)
}
