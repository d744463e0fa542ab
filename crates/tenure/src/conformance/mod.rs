//! The conformance suite: what every store must do, as tests that run on any adapter.
//!
//! An adapter's test file names how to make a fresh database, and the macro does the rest:
//!
//! ```ignore
//! use std::sync::Arc;
//! use tenure::conformance::{Database, Factory, store_conformance};
//!
//! struct Files;
//!
//! #[async_trait::async_trait]
//! impl Factory for Files {
//!     async fn fresh(&self) -> Arc<dyn Database> {
//!         Arc::new(File::create_and_migrate().await)
//!     }
//! }
//!
//! store_conformance!(Files);
//! ```
//!
//! [`store_conformance!`] expands to one `#[test]` per case; the name of the test is the rule that
//! it checks, and a number in front (`p4_…`) is that of the promise that it keeps. Cases run in
//! parallel, each on a database of its own.
//!
//! What an adapter can't do is told by [`Capabilities`](crate::Capabilities) and by the `None`
//! answers of [`Database`]. A case that can't run for that reason says so on standard error, with
//! its name and the reason, and passes.
//!
//! Beside the cases stand the [`MemoryStore`], which is the port's documentation in code and the
//! oracle of the model cases, and [`Faulty`], which makes any store fail on a schedule.
//!
//! # Invariants
//!
//! - Cases use nothing but the port, the engine and [`Database`]: they run on every adapter.
//! - No case waits for real time where [`Database::advance`] can move the clock instead.

#![expect(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a case fails by panicking, and its text says what is wrong"
)]

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Store;

pub mod batch;
mod clock;
pub mod commit;
pub mod copying;
pub mod create;
pub mod cursors;
mod dice;
pub mod errors;
mod faulty;
pub mod feed;
pub mod filters;
mod fixture;
mod fleet;
pub mod guards;
pub mod history;
pub mod idempotency;
pub mod lanes;
pub mod leases;
mod lockstep;
mod memory;
pub mod model;
pub mod queries;
pub mod races;
pub mod repeats;
pub mod tokens;
mod trace;
pub mod work;

pub use crate::store_conformance;
pub use clock::ManualClock;
pub use faulty::{Fault, Faulty, Trouble};
pub use fixture::{
    DAY, Everything, Setup, applied, change, fingerprint, key, patch, report, room, start,
    succeeded, together,
};
pub use memory::{MemoryDatabase, MemoryFactory, MemoryStore};
pub use trace::{export, trace};

/// How an adapter gives the suite its databases.
#[async_trait]
pub trait Factory: Send + Sync {
    /// A fresh, empty database that is ready for use and that no other case sees.
    ///
    /// It may be torn down when the answer is dropped.
    async fn fresh(&self) -> Arc<dyn Database>;
}

/// One database, and what the suite may do to it beside the port.
#[async_trait]
pub trait Database: Send + Sync + fmt::Debug {
    /// Opens a store on it. The suite calls this once, and again only after it closed that store.
    ///
    /// The first call must succeed. `None` where a database ends with its store, so that it can't
    /// be opened again.
    async fn open(&self) -> Option<Arc<dyn Store>>;

    /// Opens another store beside the one that is open, as another process would; `None` where the
    /// adapter allows only one.
    async fn second(&self) -> Option<Arc<dyn Store>> {
        None
    }

    /// Runs one SQL statement beside the port, for the cases that try to break the database's own
    /// guards: how many rows it touched, or in what words it was refused. `None` without SQL.
    ///
    /// The statements name tables and columns as Tenure's own adapters do: `tenants`, `history`
    /// and the words of [`Tenant`](crate::Tenant) and [`Line`](crate::Line). `None` as well for an
    /// adapter that names them otherwise.
    async fn raw(&self, sql: &str) -> Option<Result<u64, String>> {
        let _ = sql;
        None
    }

    /// Moves the clock of all stores on it forward; `None` where it can't be moved. Leases and
    /// idempotency keys go by this clock.
    async fn advance(&self, by: Duration) -> Option<()> {
        let _ = by;
        None
    }
}

/// How long one case may take. Far more than any needs: a case that hangs must fail and say so.
const CASE_MAX: Duration = Duration::from_mins(5);

tokio::task_local! {
    static CASE: &'static str;
}

/// Says on standard error that the case can't run on this adapter, and why. The case then returns.
///
/// It writes past the capture of the test harness, so that a skip is seen without being asked for.
pub fn skip(reason: &str) {
    let case = CASE.try_with(|case| *case).unwrap_or("a case");
    // A harness that closed standard error has nobody to tell.
    drop(writeln!(std::io::stderr(), "skipped {case}: {reason}"));
}

/// Runs one case to its end. What [`store_conformance!`] expands to calls it.
#[doc(hidden)]
pub fn run(name: &'static str, case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime for {name}: {error}"));
    let ended =
        runtime.block_on(CASE.scope(name, async { tokio::time::timeout(CASE_MAX, case).await }));
    assert!(ended.is_ok(), "{name} did not end within {CASE_MAX:?}");
}

/// Expands to one `#[test]` per case of the conformance suite, on the databases of a [`Factory`].
///
/// Takes an expression that gives a factory; it is evaluated once for each case. See the
/// [module](crate::conformance) for an example. Case names are unique, so the tests stand side by
/// side in the module that calls the macro.
#[macro_export]
macro_rules! store_conformance {
    ($factory:expr) => {
        $crate::conformance_cases_create!([$crate::store_conformance] $factory);
        $crate::conformance_cases_commit!([$crate::store_conformance] $factory);
        $crate::conformance_cases_races!([$crate::store_conformance] $factory);
        $crate::conformance_cases_batch!([$crate::store_conformance] $factory);
        $crate::conformance_cases_guards!([$crate::store_conformance] $factory);
        $crate::conformance_cases_history!([$crate::store_conformance] $factory);
        $crate::conformance_cases_idempotency!([$crate::store_conformance] $factory);
        $crate::conformance_cases_repeats!([$crate::store_conformance] $factory);
        $crate::conformance_cases_queries!([$crate::store_conformance] $factory);
        $crate::conformance_cases_cursors!([$crate::store_conformance] $factory);
        $crate::conformance_cases_filters!([$crate::store_conformance] $factory);
        $crate::conformance_cases_feed!([$crate::store_conformance] $factory);
        $crate::conformance_cases_work!([$crate::store_conformance] $factory);
        $crate::conformance_cases_lanes!([$crate::store_conformance] $factory);
        $crate::conformance_cases_leases!([$crate::store_conformance] $factory);
        $crate::conformance_cases_errors!([$crate::store_conformance] $factory);
        $crate::conformance_cases_model!([$crate::store_conformance] $factory);
        $crate::conformance_cases_copying!([$crate::store_conformance] $factory);
        $crate::conformance_cases_tokens!([$crate::store_conformance] $factory);
    };
    (@cases $topic:ident [$($case:ident),* $(,)?] $factory:expr) => {
        $(
            #[test]
            fn $case() {
                let factory = $factory;
                $crate::conformance::run(
                    stringify!($case),
                    $crate::conformance::$topic::$case(&factory),
                );
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    macro_rules! names {
        (@cases $topic:ident [$($case:ident),* $(,)?] $source:expr) => {
            (stringify!($topic), vec![$(stringify!($case)),*], $source)
        };
    }

    #[test]
    fn every_case_is_in_its_list() {
        for (topic, listed, source) in [
            crate::conformance_cases_create!([names] include_str!("create.rs")),
            crate::conformance_cases_commit!([names] include_str!("commit.rs")),
            crate::conformance_cases_races!([names] include_str!("races.rs")),
            crate::conformance_cases_batch!([names] include_str!("batch.rs")),
            crate::conformance_cases_guards!([names] include_str!("guards.rs")),
            crate::conformance_cases_history!([names] include_str!("history.rs")),
            crate::conformance_cases_idempotency!([names] include_str!("idempotency.rs")),
            crate::conformance_cases_repeats!([names] include_str!("repeats.rs")),
            crate::conformance_cases_queries!([names] include_str!("queries.rs")),
            crate::conformance_cases_cursors!([names] include_str!("cursors.rs")),
            crate::conformance_cases_filters!([names] include_str!("filters.rs")),
            crate::conformance_cases_feed!([names] include_str!("feed.rs")),
            crate::conformance_cases_work!([names] include_str!("work.rs")),
            crate::conformance_cases_lanes!([names] include_str!("lanes.rs")),
            crate::conformance_cases_leases!([names] include_str!("leases.rs")),
            crate::conformance_cases_errors!([names] include_str!("errors.rs")),
            crate::conformance_cases_model!([names] include_str!("model.rs")),
            crate::conformance_cases_copying!([names] include_str!("copying.rs")),
            crate::conformance_cases_tokens!([names] include_str!("tokens.rs")),
        ] {
            let listed: BTreeSet<&str> = listed.into_iter().collect();
            let written: BTreeSet<&str> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "))
                .filter_map(|rest| rest.split('(').next())
                .collect();
            assert_eq!(
                listed, written,
                "the list of {topic} and its functions differ"
            );
        }
    }
}
