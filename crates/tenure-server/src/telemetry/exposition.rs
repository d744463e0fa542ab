//! What `/metrics` answers: all that was counted, and how things stand now.
//!
//! # Invariants
//!
//! - However often it is asked, the store counts the fleet at most every [`COUNTED_FOR`].
//! - It answers within a few seconds whatever the store does: what is not known is left out.
//! - Classes that are not configured are one label, so no client can make labels up.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tenure::{Breaker, ClassName, DueWork, Standing, State, Store, Timestamp};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::recorder;
use super::text::Text;
use crate::reconciler::Board;

/// How long a count of the fleet is good for.
const COUNTED_FOR: Duration = Duration::from_secs(10);

/// How long the store may take to count.
const COUNT_MAX: Duration = Duration::from_secs(5);

/// How the fleet stood when it was asked for.
#[derive(Clone, Debug)]
struct Counted {
    at: Instant,
    ready: bool,
    /// With the store's time; `None` if the store could not say.
    standing: Option<(Standing, Timestamp)>,
}

/// Answers scrapes.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    newest: RwLock<Option<Arc<Counted>>>,
    counting: Mutex<()>,
}

impl Exposition {
    /// Everything, in Prometheus's text format; `None` if this process has another recorder.
    pub(crate) async fn text(
        &self,
        store: &dyn Store,
        board: &Board,
        draining: bool,
    ) -> Option<String> {
        let recorded = recorder::recorded()?;
        let counted = self.counted(store).await;
        let mut text = Text::new(recorded.handle.render());
        let version = env!("CARGO_PKG_VERSION");
        text.gauge("tenure_build_info", &[version], 1.0);
        text.gauge("tenure_store_ready", &[], flag(counted.ready));
        text.gauge("tenure_draining", &[], flag(draining));
        pool(&mut text, store);
        if let Some((standing, now)) = &counted.standing {
            let age = counted.at.elapsed();
            text.gauge("tenure_standing_age_seconds", &[], age.as_secs_f64());
            fleet(&mut text, standing, now.plus(age));
            work(&mut text, standing, (board, now.plus(age)));
        }
        classes(&mut text, board);
        text.gauge("process_start_time_seconds", &[], recorded.since);
        process(&mut text);
        Some(text.into())
    }

    fn newest(&self) -> Option<Arc<Counted>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest
            .clone()
            .filter(|counted| counted.at.elapsed() < COUNTED_FOR)
    }

    /// How the fleet stands, counted a moment ago; of many who ask, one counts.
    async fn counted(&self, store: &dyn Store) -> Arc<Counted> {
        if let Some(newest) = self.newest() {
            return newest;
        }
        let _counting = self.counting.lock().await;
        if let Some(newest) = self.newest() {
            return newest;
        }
        let at = Instant::now();
        let ask = async {
            let ready = store.readiness().await.is_ready();
            let both = async {
                Ok::<_, tenure::StoreError>((store.standing().await?, store.now().await?))
            };
            match both.await {
                Ok(standing) => (ready, Some(standing)),
                Err(error) => {
                    tracing::debug!(%error, "the fleet can't be counted");
                    (ready, None)
                }
            }
        };
        let (ready, standing) = timeout(COUNT_MAX, ask).await.unwrap_or((false, None));
        let counted = Arc::new(Counted {
            at,
            ready,
            standing,
        });
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        *newest = Some(Arc::clone(&counted));
        drop(newest);
        counted
    }
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// A count as Prometheus has it; beyond what anybody has tenants, it is not exact.
fn number(count: u64) -> f64 {
    let (high, low) = (count >> 32, count & u64::from(u32::MAX));
    let half = |part| f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    half(high).mul_add(4_294_967_296.0, half(low))
}

fn age(oldest: Option<Timestamp>, now: Timestamp) -> f64 {
    oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64())
}

fn pool(text: &mut Text, store: &dyn Store) {
    let Some(pool) = store.pool() else { return };
    let count = |count: usize| number(u64::try_from(count).unwrap_or(u64::MAX));
    let busy = pool.open.saturating_sub(pool.idle);
    text.gauge("tenure_pool_connections", &["busy"], count(busy));
    text.gauge("tenure_pool_connections", &["idle"], count(pool.idle));
    text.gauge("tenure_pool_connections_max", &[], count(pool.most));
    text.gauge("tenure_pool_waiting", &[], count(pool.waiting));
}

fn fleet(text: &mut Text, standing: &Standing, now: Timestamp) {
    for (state, of) in &standing.states {
        text.gauge("tenure_tenants", &[state.as_str()], number(of.tenants));
    }
    for (state, of) in &standing.states {
        let rests = matches!(state, State::Ready | State::Suspended | State::Deleted);
        if !rests {
            let age = age(of.oldest, now);
            text.gauge("tenure_oldest_in_state_seconds", &[state.as_str()], age);
        }
    }
    for kind in tenure::ConditionKind::ALL {
        let count = standing.conditions.get(&kind).copied().unwrap_or_default();
        let name = "tenure_tenants_with_condition";
        text.gauge(name, &[kind.as_str()], number(count));
    }
    let kept_back = standing.kept_back;
    text.gauge(
        "tenure_feed_kept_back_changes",
        &[],
        number(kept_back.changes),
    );
    text.gauge("tenure_feed_lag_seconds", &[], age(kept_back.oldest, now));
}

/// The classes that are configured here, and one more word for all others that there are.
fn words(board: &Board) -> BTreeMap<ClassName, String> {
    let names = board.all().into_keys();
    names
        .map(|class| (class.clone(), class.to_string()))
        .collect()
}

const OTHER: &str = "other";

fn work(text: &mut Text, standing: &Standing, (board, now): (&Board, Timestamp)) {
    let known = words(board);
    let word = |class: &ClassName| known.get(class).map_or(OTHER, String::as_str);
    let fold = |due: &BTreeMap<ClassName, DueWork>| {
        let mut by_word: BTreeMap<String, DueWork> = known
            .values()
            .map(|word| (word.clone(), DueWork::default()))
            .collect();
        for (class, work) in due {
            let all = by_word.entry(word(class).to_owned()).or_default();
            all.tenants += work.tenants;
            all.oldest = all.oldest.into_iter().chain(work.oldest).min();
        }
        by_word
    };
    let kinds = [
        ("change", fold(&standing.due)),
        ("check", fold(&standing.checks_due)),
    ];
    for (kind, by_word) in &kinds {
        for (class, work) in by_word {
            text.gauge("tenure_work_due", &[class, kind], number(work.tenants));
        }
    }
    for (kind, by_word) in &kinds {
        for (class, work) in by_word {
            text.gauge(
                "tenure_work_lag_seconds",
                &[class, kind],
                age(work.oldest, now),
            );
        }
    }
    let mut leases: BTreeMap<&str, u64> = known.values().map(|word| (word.as_str(), 0)).collect();
    for (class, leased) in &standing.leased {
        *leases.entry(word(class)).or_default() += leased;
    }
    for (class, leased) in leases {
        text.gauge("tenure_leases", &[class], number(leased));
    }
}

fn classes(text: &mut Text, board: &Board) {
    let all = board.all();
    for (class, view) in &all {
        let running = f64::from(view.status.running);
        text.gauge("tenure_operations_running", &[class.as_str()], running);
    }
    for (class, view) in &all {
        let open = view.status.breaker != Breaker::Closed;
        text.gauge("tenure_breaker_open", &[class.as_str()], flag(open));
    }
}

/// What Linux says of this process; elsewhere nothing.
fn process(text: &mut Text) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = resident.and_then(|rest| rest.trim().strip_suffix(" kB"));
    if let Some(kilobytes) = kilobytes.and_then(|text| text.trim().parse::<u64>().ok()) {
        let bytes = number(kilobytes.saturating_mul(1024));
        text.gauge("process_resident_memory_bytes", &[], bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let open = u64::try_from(open.count()).unwrap_or_default();
        text.gauge("process_open_fds", &[], number(open));
    }
}

#[cfg(test)]
mod tests {
    use tenure::ClassView;

    use super::*;

    #[test]
    fn ages_are_told_and_classes_of_others_are_one() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let before = |seconds| Some(now.minus(Duration::from_secs(seconds)));
        let mut standing = Standing::none();
        for (what, word, tenants, oldest) in [
            ("state", "provisioning", 2, before(60)),
            ("state", "ready", 7, before(3000)),
            ("condition", "held", 1, None),
            ("due", "shared", 3, before(90)),
            ("due", "made-up", 1, before(10)),
            ("due", "made-up-too", 1, before(20)),
            ("check", "shared", 4, before(5)),
            ("leased", "made-up", 2, None),
            ("kept_back", "feed", 5, before(30)),
        ] {
            standing.add(what, word, tenants, oldest).unwrap();
        }
        let board = Board::default();
        board.set("shared".parse().unwrap(), ClassView::default());
        let mut text = Text::new(String::new());
        fleet(&mut text, &standing, now);
        work(&mut text, &standing, (&board, now));
        let text = String::from(text);
        for line in [
            "tenure_tenants{state=\"ready\"} 7",
            "tenure_oldest_in_state_seconds{state=\"provisioning\"} 60",
            "tenure_oldest_in_state_seconds{state=\"deleting\"} 0",
            "tenure_tenants_with_condition{condition=\"held\"} 1",
            "tenure_tenants_with_condition{condition=\"failing\"} 0",
            "tenure_work_due{class=\"shared\",kind=\"change\"} 3",
            "tenure_work_due{class=\"other\",kind=\"change\"} 2",
            "tenure_work_lag_seconds{class=\"shared\",kind=\"change\"} 90",
            "tenure_work_lag_seconds{class=\"other\",kind=\"change\"} 20",
            "tenure_work_lag_seconds{class=\"shared\",kind=\"check\"} 5",
            "tenure_leases{class=\"shared\"} 0",
            "tenure_leases{class=\"other\"} 2",
            "tenure_feed_kept_back_changes 5",
            "tenure_feed_lag_seconds 30",
        ] {
            assert!(text.lines().any(|is| is == line), "no {line} in\n{text}");
        }
        assert!(!text.contains("made-up"), "{text}");
        assert!(!text.contains("seconds{state=\"ready\"}"), "{text}");
    }

    #[test]
    fn counts_are_exact_as_far_as_anybody_counts() {
        for count in [0_u32, 1, 41, u32::MAX] {
            assert!((number(count.into()) - f64::from(count)).abs() < f64::EPSILON);
        }
        assert!((number(1 << 40) - 1_099_511_627_776.0).abs() < f64::EPSILON);
    }
}
