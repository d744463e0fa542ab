//! Every metric that a server exposes: one table, which the reference is made from.

use std::fmt::Write as _;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "Prometheus has these")]
pub enum Kind {
    /// It only grows, from zero at the start of the server.
    Counter,
    /// How it stands.
    Gauge,
    /// How many took how long; these are the buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word, as Prometheus has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a row of a table")]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels. None of them ever holds an id, a name or a path of a client's.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// From half a millisecond to ten seconds: one statement.
const STATEMENT: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// From a millisecond to half a minute: one request.
const REQUEST: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// From a tenth of a second to an hour: one run of a provisioner.
const RUN: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

const fn row(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

/// The table.
pub static METRICS: &[Metric] = &[
    row(
        "tenure_build_info",
        Kind::Gauge,
        &["version"],
        "Always 1; the label says which Tenure runs.",
    ),
    row(
        "tenure_store_ready",
        Kind::Gauge,
        &[],
        "1 if the store can be reached and its schema fits, 0 if not.",
    ),
    row(
        "tenure_draining",
        Kind::Gauge,
        &[],
        "1 while the server stops: from the signal on, while it still serves.",
    ),
    row(
        "tenure_http_requests_total",
        Kind::Counter,
        &["method", "route", "status"],
        "Requests that were answered. `route` is the pattern, `none` if there is no such route; `status` is `gone` if the client did not wait.",
    ),
    row(
        "tenure_http_request_duration_seconds",
        Kind::Histogram(REQUEST),
        &["method", "route"],
        "Time until an answer began.",
    ),
    row(
        "tenure_http_requests_in_flight",
        Kind::Gauge,
        &[],
        "Requests that are not answered yet.",
    ),
    row(
        "tenure_auth_refusals_total",
        Kind::Counter,
        &["reason"],
        "Requests that were turned away because of who asked.",
    ),
    row(
        "tenure_commits_total",
        Kind::Counter,
        &["result"],
        "Changes sent to the store, by what became of them: `applied`, what was in the way (`conflict`, `name_taken`, `key_used`, `lease_lost`, `not_found`, `id_taken`), or the code of an error. A lost race is run again, so a conflict here need not be one for a client.",
    ),
    row(
        "tenure_store_operation_duration_seconds",
        Kind::Histogram(STATEMENT),
        &["operation", "outcome"],
        "Time of each call of the store, by method; `outcome` is `ok`, the code of an error, or `dropped` if whoever asked did not wait for it.",
    ),
    row(
        "tenure_pool_connections",
        Kind::Gauge,
        &["use"],
        "Open connections to PostgreSQL of this server, `busy` and `idle`.",
    ),
    row(
        "tenure_pool_connections_max",
        Kind::Gauge,
        &[],
        "How many connections to PostgreSQL this server may open.",
    ),
    row(
        "tenure_pool_waiting",
        Kind::Gauge,
        &[],
        "Calls that wait for a connection to PostgreSQL.",
    ),
    row(
        "tenure_standing_age_seconds",
        Kind::Gauge,
        &[],
        "How old the counts of the fleet are; they are counted anew at most every 10 s, and missing while the store can't be asked.",
    ),
    row(
        "tenure_tenants",
        Kind::Gauge,
        &["state"],
        "Tenants in each state, the deleted too.",
    ),
    row(
        "tenure_tenants_with_condition",
        Kind::Gauge,
        &["condition"],
        "Living tenants with each condition.",
    ),
    row(
        "tenure_oldest_in_state_seconds",
        Kind::Gauge,
        &["state"],
        "How long the tenant that has been in a state longest has been there; for states that work must end.",
    ),
    row(
        "tenure_work_due",
        Kind::Gauge,
        &["class", "kind"],
        "Tenants whose work is due and that nobody works on; `kind` is `change` if somebody waits for it, `check` for routine. `class` is `other` for those that are not configured here.",
    ),
    row(
        "tenure_work_lag_seconds",
        Kind::Gauge,
        &["class", "kind"],
        "How long the longest due of them has been so.",
    ),
    row(
        "tenure_leases",
        Kind::Gauge,
        &["class"],
        "Tenants that somebody works on.",
    ),
    row(
        "tenure_feed_kept_back_changes",
        Kind::Gauge,
        &[],
        "Changes that are written but not in the feed yet, because an older transaction is open. Always 0 on SQLite.",
    ),
    row(
        "tenure_feed_lag_seconds",
        Kind::Gauge,
        &[],
        "How long the oldest of them has waited.",
    ),
    row(
        "tenure_operations_running",
        Kind::Gauge,
        &["class"],
        "Operations that run in this server.",
    ),
    row(
        "tenure_operation_duration_seconds",
        Kind::Histogram(RUN),
        &["class", "operation", "outcome"],
        "Time of each run of a provisioner in this server; `outcome` is `done`, `failed`, `failed_for_good`, `stopped`, `unwanted` (something else was wanted meanwhile) or `lease_lost`.",
    ),
    row(
        "tenure_pull_reports_total",
        Kind::Counter,
        &["class", "outcome"],
        "Results that workers reported which pull their work: `done`, `failed` or `failed_for_good`.",
    ),
    row(
        "tenure_breaker_open",
        Kind::Gauge,
        &["class"],
        "1 while this server begins no work of a class because its target fails for everybody; also while one operation tries again.",
    ),
    row(
        "tenure_lease_steals_total",
        Kind::Counter,
        &["class"],
        "Claims of work that somebody else had let run out: a worker that died, hung or lost the store.",
    ),
    row(
        "tenure_leases_lost_total",
        Kind::Counter,
        &["class"],
        "Runs of this server whose result was dropped, because their lease had ended.",
    ),
    row(
        "tenure_drift_found_total",
        Kind::Counter,
        &["class"],
        "Times that a tenant was found to have drifted.",
    ),
    row(
        "tenure_trace_exports_total",
        Kind::Counter,
        &["outcome"],
        "Batches of spans for the collector: `sent` or `failed`; those that failed are lost.",
    ),
    row(
        "process_start_time_seconds",
        Kind::Gauge,
        &[],
        "When the server started, in seconds since 1970.",
    ),
    row(
        "process_resident_memory_bytes",
        Kind::Gauge,
        &[],
        "Memory that it occupies; on Linux.",
    ),
    row(
        "process_open_fds",
        Kind::Gauge,
        &[],
        "Files and sockets that it has open; on Linux.",
    ),
];

/// The metric of this name.
pub(super) fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// The table, in Markdown.
pub fn reference() -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for Metric {
        name,
        kind,
        labels,
        help,
    } in METRICS
    {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string can't fail.
        let _written = writeln!(
            text,
            "| `{name}` | {} | {} | {help} |",
            kind.as_str(),
            labels.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/metrics.md"
    );

    #[test]
    fn the_reference_has_the_table() {
        let (begin, end) = (
            "<!-- made from the table: begin -->\n",
            "<!-- made from the table: end -->\n",
        );
        let text = std::fs::read_to_string(PAGE).unwrap();
        let (before, rest) = text.split_once(begin).unwrap();
        let (is, after) = rest.split_once(end).unwrap();
        let would_be = reference();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(PAGE, format!("{before}{begin}{would_be}{end}{after}")).unwrap();
            return;
        }
        assert!(is == would_be, "run this test with UPDATE_SNAPSHOTS=1");
    }

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for (n, metric) in METRICS.iter().enumerate() {
            let name = metric.name;
            assert!(
                name.starts_with("tenure_") || name.starts_with("process_"),
                "{name}"
            );
            let counts = metric.kind == Kind::Counter;
            assert_eq!(name.ends_with("_total"), counts, "{name}");
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(name.ends_with("_seconds") && buckets.is_sorted(), "{name}");
            }
            assert!(
                metric.help.ends_with('.') && !metric.help.contains('|'),
                "{name}"
            );
            assert!(
                METRICS.iter().skip(n + 1).all(|other| other.name != name),
                "{name}"
            );
        }
    }
}
