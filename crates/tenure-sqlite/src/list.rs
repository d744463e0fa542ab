//! Lists: the one place where a statement is assembled, from fixed pieces, with all values bound.
//!
//! A list walks the index that leads straight to what it selects (a label's value, a condition,
//! some states, else the tenants themselves) in the order of ids, and judges each tenant that it
//! meets by the rest of the filter. It stops when the page is full, or when it has met as many as
//! a page may cost.

use std::collections::BTreeSet;

use rusqlite::Connection;
use rusqlite::types::Value;
use tenure::{
    Between, ConditionKind, Cursor, Direction, Filter, Page, Query, Requirement, Result, State,
    Summary, TenantId,
};

use crate::error::store_error;
use crate::readers::all;
use crate::row::{self, Columns};
use crate::sql;

/// How many tenants a page looks at, at most.
pub(crate) const SCAN_MAX: usize = 10_000;

/// How many values of one label a walk merges; with more, the label is judged tenant by tenant.
const LEGS_MAX: usize = 16;

/// What the walk follows.
enum Driver<'a> {
    Label(&'a Requirement, &'a str, &'a BTreeSet<String>),
    Condition(ConditionKind),
    States(Vec<State>),
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
                    Some((part, key, values))
                }
                _ => None,
            });
        if let Some((part, key, values)) = labels.min_by_key(|(_, _, values)| values.len()) {
            return Self::Label(part, key, values);
        }
        match filter.conditions.first() {
            Some(kind) => Self::Condition(*kind),
            None if filter.states.is_empty() => Self::All,
            None => Self::States(filter.states.iter().copied().collect()),
        }
    }

    /// The sources to walk: each is in the order of ids, and no tenant is in two of them.
    fn legs(&self, bound: &mut Bound) -> Vec<String> {
        match self {
            Self::Label(_, key, values) => {
                let key = bound.text(*key);
                let leg = |value: &String| {
                    let value = bound.text(value);
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
            Self::States(states) => {
                let leg = |state: &State| {
                    format!("{WORK} WHERE d.state = {}", bound.text(state.as_str()))
                };
                states.iter().map(leg).collect()
            }
            Self::All => vec!["FROM tenants AS t WHERE TRUE".to_owned()],
        }
    }
}

const LABELS: &str = "FROM labels AS d CROSS JOIN tenants AS t ON t.tenant_id = d.tenant_id";
const CONDITIONS: &str =
    "FROM conditions AS d CROSS JOIN tenants AS t ON t.tenant_id = d.tenant_id";
const WORK: &str = "FROM work AS d CROSS JOIN tenants AS t ON t.tenant_id = d.tenant_id";
const COLUMNS: &str = "t.name, t.class, t.running, t.generation, \
    t.observed_generation, t.state, t.state_since, t.reason, t.message, t.revision, t.created_at, \
    t.updated_at, t.deleted_at";

/// The values of a statement, in the order of their numbers.
#[derive(Default)]
struct Bound(Vec<Value>);

impl Bound {
    fn value(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("?{}", self.0.len())
    }

    fn text(&mut self, text: impl Into<String>) -> String {
        self.value(text.into())
    }

    /// Binds a set as one value, so that its size does not change the statement.
    fn set(&mut self, items: impl Iterator<Item = impl AsRef<str>>) -> String {
        let items: Vec<String> = items.map(|item| item.as_ref().to_owned()).collect();
        let set = self.text(serde_json::Value::from(items).to_string());
        format!("(SELECT value FROM json_each({set}))")
    }
}

/// Where the id stands in the walk's row, for the condition on where to go on.
const fn walked(driver: &Driver<'_>) -> &'static str {
    match driver {
        Driver::All => "t.tenant_id",
        Driver::Label(..) | Driver::Condition(_) | Driver::States(_) => "d.tenant_id",
    }
}

/// What the walk does not see to: the rest of the filter, for one tenant.
fn rest(filter: &Filter, driver: &Driver<'_>, bound: &mut Bound) -> String {
    let mut parts = Vec::new();
    if !filter.includes_deleted() {
        parts.push("t.deleted_at IS NULL".to_owned());
    }
    if !filter.states.is_empty() && !matches!(driver, Driver::States(_)) {
        let states = bound.set(filter.states.iter().map(|state| state.as_str()));
        parts.push(format!("t.state IN {states}"));
    }
    if let Some(class) = &filter.class {
        parts.push(format!("t.class = {}", bound.text(class.as_str())));
    }
    if !filter.name_prefix.is_empty() {
        let prefix = bound.text(&filter.name_prefix);
        parts.push(format!("substr(t.name, 1, length({prefix})) = {prefix}"));
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
        if !matches!(driver, Driver::Label(walked, ..) if *walked == part) {
            parts.push(requirement(part, bound));
        }
    }
    for kind in &filter.conditions {
        if !matches!(driver, Driver::Condition(walked) if walked == kind) {
            let kind = bound.text(kind.as_str());
            parts.push(format!(
                "EXISTS (SELECT 1 FROM conditions AS c \
                 WHERE c.tenant_id = t.tenant_id AND c.condition = {kind})"
            ));
        }
    }
    if parts.is_empty() {
        "TRUE".to_owned()
    } else {
        parts.join(" AND ")
    }
}

fn within(column: &str, between: &Between, bound: &mut Bound, parts: &mut Vec<String>) {
    if let Some(from) = between.from {
        parts.push(format!("{column} >= {}", bound.value(from.as_micros())));
    }
    if let Some(until) = between.until {
        parts.push(format!("{column} < {}", bound.value(until.as_micros())));
    }
}

fn requirement(requirement: &Requirement, bound: &mut Bound) -> String {
    let probe = "EXISTS (SELECT 1 FROM labels AS l WHERE l.tenant_id = t.tenant_id AND l.key =";
    match requirement {
        Requirement::In(key, values) => {
            let (key, values) = (bound.text(key), bound.set(values.iter()));
            format!("{probe} {key} AND l.value IN {values})")
        }
        Requirement::NotIn(key, values) => {
            let (key, values) = (bound.text(key), bound.set(values.iter()));
            format!("NOT {probe} {key} AND l.value IN {values})")
        }
        Requirement::Exists(key) => format!("{probe} {})", bound.text(key)),
        Requirement::Absent(key) => format!("NOT {probe} {})", bound.text(key)),
    }
}

/// A statement that walks from a point on, and its values.
fn walk(query: &Query, after: Option<TenantId>) -> (String, Bound) {
    let mut bound = Bound::default();
    let driver = Driver::of(&query.filter);
    let matches = rest(&query.filter, &driver, &mut bound);
    let (beyond, order) = match query.direction {
        Direction::Ascending => (">", ""),
        Direction::Descending => ("<", " DESC"),
    };
    // The walk's own column, or SQLite would sort what is in order already.
    let id = walked(&driver);
    let from = after.map_or_else(String::new, |after| {
        format!(
            " AND {id} {beyond} {}",
            bound.value(after.as_uuid().into_bytes().to_vec())
        )
    });
    let legs: Vec<String> = driver
        .legs(&mut bound)
        .into_iter()
        .map(|leg| {
            format!(
                "SELECT {id} AS tenant_id, {COLUMNS}, ({matches}) IS TRUE AS matches {leg}{from}"
            )
        })
        .collect();
    (
        format!("{} ORDER BY tenant_id{order}", legs.join(" UNION ALL ")),
        bound,
    )
}

/// Reads a page, looking at `scan_max` tenants at most.
pub(crate) fn list(db: &Connection, query: &Query, scan_max: usize) -> Result<Page<Summary>> {
    let fingerprint = query.fingerprint();
    let after = query
        .after
        .as_ref()
        .map(|cursor| cursor.as_list(fingerprint))
        .transpose()?;
    let (statement, bound) = walk(query, after);
    let mut statement = db.prepare_cached(&statement).map_err(store_error)?;
    let mut rows = statement
        .query(rusqlite::params_from_iter(bound.0))
        .map_err(store_error)?;
    let limit = usize::from(query.limit.get());
    let mut items: Vec<Summary> = Vec::new();
    let mut looked_at = 0;
    let mut next = None;
    while let Some(row) = rows.next().map_err(store_error)? {
        looked_at += 1;
        if row.get::<_, bool>(MATCHES).map_err(store_error)? {
            if items.len() == limit {
                next = items.last().map(|last| last.id);
                break;
            }
            items.push(row::listed(row)?);
        }
        if looked_at == scan_max {
            next = Some(Columns::new(row, "tenants").take(row::id)?);
            break;
        }
    }
    for item in &mut items {
        item.conditions = conditions(db, item.id)?;
    }
    Ok(Page {
        items,
        next: next.map(|id| Cursor::list(fingerprint, id)),
    })
}

/// Which column of a walk says whether the tenant matches.
const MATCHES: usize = 14;

fn conditions(db: &Connection, id: TenantId) -> Result<Vec<ConditionKind>> {
    let mut kinds = all(
        db,
        sql::FACET_CONDITIONS,
        [id.as_uuid().into_bytes()],
        |row| Columns::new(row, "conditions").take(row::parsed),
    )?;
    kinds.sort_unstable();
    Ok(kinds)
}

/// Counts what matches, by state; states without a tenant are left out.
pub(crate) fn count(db: &Connection, filter: &Filter) -> Result<Vec<(State, u64)>> {
    let by_state = |row: &rusqlite::Row<'_>| {
        let mut columns = Columns::new(row, "tenants");
        Ok((columns.take(row::parsed)?, columns.take(row::number)?))
    };
    if asks_for_states_only(filter) {
        let mut counts: Vec<(State, u64)> = all(db, sql::COUNT, [], by_state)?;
        counts.retain(|(state, _)| {
            (filter.states.is_empty() || filter.states.contains(state))
                && (filter.includes_deleted() || *state != State::Deleted)
        });
        return Ok(counts);
    }
    let (statement, bound) = tally(filter);
    all(
        db,
        &statement,
        rusqlite::params_from_iter(bound.0),
        by_state,
    )
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
    let matches = rest(filter, &driver, &mut bound);
    let legs: Vec<String> = driver
        .legs(&mut bound)
        .into_iter()
        .map(|leg| format!("SELECT t.state AS state {leg} AND {matches}"))
        .collect();
    let legs = legs.join(" UNION ALL ");
    (
        format!("SELECT state, count(*) FROM ({legs}) GROUP BY state"),
        bound,
    )
}

/// The text of a walk, for the test of plans.
#[cfg(test)]
pub(crate) fn walk_text(query: &Query, after: Option<TenantId>) -> String {
    walk(query, after).0
}

/// The text of a count, for the test of plans.
#[cfg(test)]
pub(crate) fn tally_text(filter: &Filter) -> String {
    tally(filter).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::MIGRATIONS;

    /// A database with so many tenants, one of them of the class `rare`; only what a list reads.
    fn database(size: u32, rare: u32) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        for (_, migration) in MIGRATIONS {
            db.execute_batch(migration).unwrap();
        }
        db.execute_batch("BEGIN").unwrap();
        for number in 1..=size {
            let id = uuid::Uuid::from_u128(number.into()).into_bytes();
            let line = "INSERT INTO history VALUES (?1, 1, 1, 'user:x', 'created', NULL,
                'requested', 'Requested', '', 1, 1, 0, zeroblob(32), NULL, NULL, NULL,
                zeroblob(16), zeroblob(32))";
            db.execute(line, [id]).unwrap();
            let head = "INSERT INTO tenants VALUES (?1, ?2, ?3, 'requested', 1, 'Requested', '',
                1, 1, 0, zeroblob(32), NULL, NULL, NULL, zeroblob(32), 1, 1, 1, NULL)";
            let class = if number == rare { "rare" } else { "default" };
            db.execute(head, rusqlite::params![id, format!("t{number}"), class])
                .unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
        db
    }

    #[test]
    fn p11_a_page_looks_at_so_many_tenants_and_goes_on_where_it_stopped() {
        let db = database(100, 95);
        let filter = Filter {
            class: Some("rare".parse().unwrap()),
            ..Filter::default()
        };
        for (direction, pages) in [(Direction::Ascending, 11), (Direction::Descending, 11)] {
            let mut query = Query {
                filter: filter.clone(),
                direction,
                ..Query::default()
            };
            let mut found = Vec::new();
            let mut walked = 0;
            loop {
                let page = list(&db, &query, 10).unwrap();
                found.extend(
                    page.items
                        .into_iter()
                        .map(|item| item.name.as_str().to_owned()),
                );
                walked += 1;
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            assert_eq!(
                (found.as_slice(), walked),
                (["t95".to_owned()].as_slice(), pages)
            );
        }
    }

    #[test]
    fn a_page_that_is_just_full_has_no_next_one() {
        let db = database(4, 0);
        let limit = tenure::PageSize::new(2).unwrap();
        let mut query = Query {
            limit,
            ..Query::default()
        };
        query.after = list(&db, &query, SCAN_MAX).unwrap().next;
        assert!(query.after.is_some());
        let last = list(&db, &query, SCAN_MAX).unwrap();
        assert_eq!((last.items.len(), last.next), (2, None));
    }
}
