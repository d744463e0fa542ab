//! Rounds, medians and ratios.

use std::time::{Duration, Instant};

/// How long to measure what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) span: Duration,
    pub(crate) rounds: usize,
    pub(crate) tenants: u64,
}

/// One contender's speed in each round, in operations a second.
#[derive(Clone, Debug)]
pub(crate) struct Speeds {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<f64>,
}

impl Speeds {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            rounds: Vec::new(),
        }
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.rounds.clone())
    }

    /// The median of the ratios to another contender, round by round: what disturbs a round
    /// disturbs both.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let ratios = self
            .rounds
            .iter()
            .zip(&other.rounds)
            .map(|(ours, theirs)| ours / theirs);
        median(ratios.collect())
    }
}

pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The geometric mean.
pub(crate) fn mean(numbers: &[f64]) -> f64 {
    let sum: f64 = numbers.iter().map(|n| n.ln()).sum();
    (sum / numbers.len() as f64).exp()
}

/// Lets `callers` tasks call `operation` one after the other for `span`; returns operations a second.
pub(crate) async fn speed<F, R>(callers: usize, span: Duration, operation: F) -> f64
where
    F: Fn(usize, u64) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let operation = operation.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while begin.elapsed() < span {
                    operation(caller, count).await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.unwrap();
    }
    total as f64 / begin.elapsed().as_secs_f64()
}

/// Prints a table row of a measurement: the medians, and the ratios to the first of them.
pub(crate) fn print(title: &str, contenders: &[&Speeds]) {
    let Some(base) = contenders.first() else {
        return;
    };
    print!("{title:<28}");
    for contender in contenders {
        print!(" {} {:>7.0}/s", contender.name, contender.median());
    }
    for contender in &contenders[1..] {
        print!(
            "  {}÷{} {:.2}",
            base.name,
            contender.name,
            base.ratio_to(contender)
        );
    }
    println!();
}
