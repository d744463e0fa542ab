//! The kit: proves that a provisioner keeps the contract, by running it through all that may happen.
//!
//! Ordinary operations go through the provisioners that the reconciler uses, so their limits and faults
//! are the real ones. Each case has tenants of its own, whose names and ids nobody else has, and
//! destroys them in the end, also if it is stopped.

mod bench;
mod cases;
mod cut;
mod report;
mod rules;
mod sight;
mod subject;
mod target;

use std::time::Duration;

use tenure::{ClassName, Document};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::bench::{Bench, Ended};
pub use self::cases::Case;
pub use self::report::{Breach, CaseReport, Report, Verdict};
pub use self::target::Target;

/// What is proved, and how.
#[derive(Debug)]
pub struct Asked {
    /// The provisioner.
    pub target: Target,
    /// The class that its tenants are said to have.
    pub class: ClassName,
    /// What is wanted of a tenant.
    pub desired: Document,
    /// Something else that may be wanted of it; without, only `running` is changed.
    pub changed: Option<Document>,
    /// Alters the target behind the provisioner's back; without, nothing is learned about drift.
    pub tamper: Option<Tamper>,
    /// How many moments of an apply it is killed at.
    pub kills: u32,
    /// The cases to run; all if it is empty.
    pub only: Vec<Case>,
}

/// A program that alters what a tenant has. It is told the tenant by `TENURE_TENANT_NAME` and
/// `TENURE_TENANT_ID`.
#[derive(Clone, Debug)]
pub struct Tamper {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, beside that of the kit itself.
    pub environment: Vec<(String, String)>,
    /// How long it may take.
    pub deadline: Duration,
}

/// What the kit tells while it works.
#[derive(Debug)]
pub enum Event<'a> {
    /// A case begins.
    Begun(Case),
    /// A case has ended.
    Ended(&'a CaseReport),
}

/// Runs the cases, one after the other, and says how each of them ended.
///
/// After `stop` it begins no more cases and destroys what the current one has made; the report then
/// has only the cases that ended.
pub async fn run(
    asked: &Asked,
    stop: &CancellationToken,
    mut tell: impl FnMut(&Event<'_>) + Send,
) -> Report {
    let mut report = Report::default();
    for case in Case::ALL {
        let is_asked = asked.only.is_empty() || asked.only.contains(&case);
        if !is_asked || stop.is_cancelled() {
            continue;
        }
        tell(&Event::Begun(case));
        let bench = Bench::new(asked, stop.clone());
        let began = Instant::now();
        let ended = cases::run(case, &bench).await;
        let took = began.elapsed();
        let left = bench.clear().await;
        if matches!(ended, Err(Ended::Stopped)) {
            report.left.extend(left);
            continue;
        }
        let done = CaseReport::new(case, took, ended, &left);
        tell(&Event::Ended(&done));
        report.push(done);
    }
    report.is_whole = !stop.is_cancelled();
    report
}
