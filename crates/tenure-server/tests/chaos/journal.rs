//! What the provisioner wrote down, and what was done to servers meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tenure::TenantId;

/// Longer than any run that its server has left behind.
const ORPHAN_MAX: Duration = Duration::from_secs(20);

/// A run of the provisioner. Its place in time is that of its lines in the log.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The process that ran it; another number if that was gone already.
    pub(crate) server: u32,
    pub(crate) fence: u64,
    pub(crate) kind: String,
    /// The fence of what had been observed, by the record, when it was claimed.
    pub(crate) known: u64,
    pub(crate) began: usize,
    pub(crate) began_at: f64,
    /// The last sign of life.
    pub(crate) last: usize,
    pub(crate) last_at: f64,
    /// How it ended; nothing if it was killed.
    pub(crate) end: Option<String>,
    process: u32,
}

/// When a server could not do anything. One that is killed stays so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) server: u32,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) to_at: f64,
}

/// All of it, in order.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// In the order of their beginnings.
    pub(crate) runs: BTreeMap<TenantId, Vec<Run>>,
    pub(crate) pauses: Vec<Pause>,
    pub(crate) servers: BTreeSet<u32>,
    pub(crate) kills: usize,
    pub(crate) stops: usize,
}

impl Journal {
    /// Reads it, once no run is left.
    pub(crate) fn read(folder: &Path) -> Self {
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(folder.join("runs.log")).unwrap();
            let journal = Self::parse(&text);
            if !journal.has_living_runs() {
                return journal;
            }
            assert!(began.elapsed() < ORPHAN_MAX, "a run does not end");
            sleep(Duration::from_millis(20));
        }
    }

    /// Most runs at once.
    pub(crate) fn most(&self) -> usize {
        let runs = || self.runs.values().flatten();
        let at_begin = |place| runs().filter(move |run| (run.began..=run.last).contains(&place));
        let counts = runs().map(|run| at_begin(run.began).count());
        counts.max().unwrap_or(0)
    }

    fn has_living_runs(&self) -> bool {
        let unfinished = self.runs.values().flatten().filter(|run| run.end.is_none());
        unfinished
            .map(|run| format!("/proc/{}/cmdline", run.process))
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .any(|command| command.contains("provision.sh"))
    }

    fn parse(text: &str) -> Self {
        let mut journal = Self::default();
        for (place, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let [up, server, operation, process, what, ..] = words[..] else {
                panic!("{line:?} is torn");
            };
            let (at, server) = (number::<f64>(up), number::<u32>(server));
            if operation == "-" {
                journal.disturbed(server, what, (place, at));
                continue;
            }
            let run = journal.run(server, operation, process);
            (run.last, run.last_at) = (place, at);
            match what {
                "begin" => {
                    let begun = run.kind.is_empty();
                    assert!(begun, "{operation} was begun twice");
                    (run.began, run.began_at) = (place, at);
                    words[5].clone_into(&mut run.kind);
                    run.known = number(words[6]);
                }
                "end" => run.end = Some(words[5].to_owned()),
                _ => {}
            }
        }
        journal
    }

    /// The run of an operation. Two runs never bear one fence.
    fn run(&mut self, server: u32, operation: &str, process: &str) -> &mut Run {
        let (tenant, rest) = operation.split_once('/').unwrap();
        let fence = rest.split('/').nth(1).unwrap();
        let (fence, process) = (number(fence), number(process));
        let runs = self.runs.entry(tenant.parse().unwrap()).or_default();
        let which = runs.iter().position(|run| run.fence == fence);
        let which = which.unwrap_or_else(|| {
            runs.push(Run {
                server,
                fence,
                kind: String::new(),
                known: 0,
                began: 0,
                began_at: 0.0,
                last: 0,
                last_at: 0.0,
                end: None,
                process,
            });
            runs.len() - 1
        });
        assert_eq!(runs[which].process, process, "{operation} was run twice");
        &mut runs[which]
    }

    fn disturbed(&mut self, server: u32, what: &str, (place, at): (usize, f64)) {
        match what {
            "serve" => drop(self.servers.insert(server)),
            "cont" => {
                let paused = self.pauses.iter_mut().rfind(|p| p.server == server);
                let paused = paused.unwrap();
                (paused.to, paused.to_at) = (place, at);
            }
            _ => {
                self.stops += usize::from(what == "stop");
                self.kills += usize::from(what == "kill");
                self.pauses.push(Pause {
                    server,
                    from: place,
                    to: usize::MAX,
                    to_at: f64::INFINITY,
                });
            }
        }
    }
}

pub(crate) fn number<T: FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no number"))
}
