//! A sound run of clients, readers and workers, one fault planted in it, and what is found then.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::planted::life;
use super::*;
use crate::*;

/// What a run left behind.
struct Run {
    entries: Vec<Entry>,
    histories: Histories,
    feed: Vec<Line>,
    resumed: Vec<Line>,
    known: BTreeMap<TenantId, Revision>,
    sink: Vec<SinkEntry>,
    walk: Vec<TenantId>,
    records: Vec<Record>,
}

fn id(number: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(number))
}

/// One tenant that rests, and one that is held.
fn records(mut tenants: [Tenant; 2]) -> Vec<Record> {
    tenants[0].conditions.held = None;
    tenants[0].state = State::Suspended;
    tenants[0].observed_generation = tenants[0].generation;
    let work = WorkFacts::default();
    tenants
        .map(|tenant| Record {
            tenant,
            work: work.clone(),
        })
        .into()
}

/// Two tenants of nine revisions, written one after the other, each line by a call of its own that
/// runs from `10 × n` to `10 × n + 5`; a read after each call; a refusal at the end.
fn run() -> Run {
    let lives = [life(1, 9), life(2, 9)];
    let histories: Histories = lives
        .iter()
        .map(|k| (k.tenant.id, k.lines.clone()))
        .collect();
    let feed: Vec<Line> = (0..9)
        .flat_map(|n| lives.each_ref().map(|k| k.lines[n].clone()))
        .collect();
    let mut entries = Vec::new();
    let mut clock = 0;
    for line in &feed {
        clock += 10;
        let Line {
            tenant,
            revision,
            hash,
            request_id,
            ..
        } = *line;
        let entry = |client, called, outcome, request_id| Entry {
            client,
            tenant,
            request_id,
            called,
            returned: Some(called + 5),
            outcome,
        };
        entries.push(entry(
            1,
            clock,
            Seen::Acknowledged { revision, hash },
            request_id,
        ));
        let read = Uuid::from_u128(90_000 + u128::from(clock));
        entries.push(entry(2, clock + 7, Seen::Read { revision }, read));
    }
    let refused = Uuid::from_u128(80_000);
    entries.push(Entry {
        request_id: refused,
        outcome: Seen::Refused,
        ..entries[0].clone()
    });
    let sunk = |fence, operation, accepted| SinkEntry {
        tenant: id(1),
        fence: Fence::new(fence),
        operation: Uuid::from_u128(operation),
        accepted,
    };
    Run {
        entries,
        resumed: feed[5..].to_vec(),
        feed,
        known: BTreeMap::new(),
        sink: vec![
            sunk(1, 1, true),
            sunk(2, 2, true),
            sunk(1, 3, false),
            sunk(2, 2, true),
        ],
        walk: histories.keys().copied().collect(),
        histories,
        records: records(lives.map(|kept| kept.tenant)),
    }
}

/// Every validator's findings, after the log went through a file.
fn found(run: &Run) -> Vec<(&'static str, u64)> {
    let mut log = ClientLog::new();
    run.entries.iter().for_each(|entry| log.push(entry.clone()));
    let log = ClientLog::from_json_lines(&log.to_json_lines()).unwrap();
    let throughout: BTreeSet<TenantId> = run.histories.keys().copied().collect();
    let mut findings = [
        durable(&log, &run.histories),
        once(&log, &run.histories),
        no_ghost(&log, &run.histories),
        linearizable(&log, &run.histories),
        feed(&run.feed, &run.histories, &run.known),
        feed_order(&run.feed, &log),
        feed_resumes(&run.feed, 5, &run.resumed),
        fences(&run.sink),
        pages(&run.walk, &throughout),
        converge(&run.records),
    ]
    .concat();
    findings.extend(run.histories.values().flat_map(|lines| legal(lines)));
    findings
        .iter()
        .map(|f| (f.rule, f.revision.map_or(0, Revision::get)))
        .collect()
}

/// The entry of the write that made a revision of the first tenant.
fn write(run: &mut Run, revision: usize) -> &mut Entry {
    &mut run.entries[(revision - 1) * 4]
}

/// A further write, at the time of the first tenant's ninth.
fn writes(run: &mut Run, request_id: u128, revision: u64) {
    let hash = run.histories[&id(1)]
        .iter()
        .find(|line| line.revision.get() == revision)
        .unwrap()
        .hash;
    let outcome = Seen::Acknowledged {
        revision: Revision::new(revision),
        hash,
    };
    let request_id = Uuid::from_u128(request_id);
    run.entries.push(Entry {
        client: 3,
        request_id,
        outcome,
        ..run.entries[32].clone()
    });
}

/// Makes the first tenant's last line one of another request, wherever it was seen.
fn rewrite(run: &mut Run, request_id: u128) {
    let lines = run.histories.get_mut(&id(1)).unwrap();
    let previous = lines[7].hash;
    lines[8].request_id = Uuid::from_u128(request_id);
    lines[8].hash = lines[8].digest(Some(previous), None);
    run.feed[16] = lines[8].clone();
    run.resumed = run.feed[5..].to_vec();
}

/// Changes what the feed's reader saw, and a resumed reader alike.
fn refeed(run: &mut Run, fault: fn(&mut Vec<Line>)) {
    fault(&mut run.feed);
    run.resumed = run.feed[5..].to_vec();
}

type Row = (&'static str, &'static [(&'static str, u64)], fn(&mut Run));

fn check(rows: &[Row]) {
    assert_eq!(found(&run()), [], "a sound run");
    for (what, expected, fault) in rows {
        let mut run = run();
        fault(&mut run);
        assert_eq!(found(&run), *expected, "{what}");
    }
}

#[test]
fn p2_a_broken_word_to_a_client_is_found() {
    check(&[
        (
            "a lost acknowledged line",
            &[("durable", 9), ("feed", 9)],
            |run| {
                run.histories.get_mut(&id(1)).unwrap().pop();
            },
        ),
        (
            "a line of another request",
            &[("durable", 9), ("once", 9)],
            |run| rewrite(run, 2009),
        ),
        (
            "another content than acknowledged",
            &[("durable", 9)],
            |run| {
                let hash = Hash::of(b"another");
                write(run, 9).outcome = Seen::Acknowledged {
                    revision: Revision::new(9),
                    hash,
                };
            },
        ),
        ("a line that nobody asked for", &[("ghost", 9)], |run| {
            rewrite(run, 70_000);
            run.entries.remove(32);
        }),
        ("a refusal that left a line", &[("ghost", 9)], |run| {
            write(run, 9).outcome = Seen::Refused;
        }),
    ]);
}

#[test]
fn p5_a_doubled_effect_is_found() {
    check(&[
        (
            "one request, two lines",
            &[("once", 9), ("feed", 8)],
            |run| {
                rewrite(run, 1008);
                run.entries.remove(32);
            },
        ),
        (
            "one line, two requests",
            &[("durable", 9), ("once", 9)],
            |run| writes(run, 70_000, 9),
        ),
        (
            "two answers",
            &[("durable", 8), ("once", 8), ("once", 8)],
            |run| writes(run, 1009, 8),
        ),
        ("the same answer again", &[], |run| writes(run, 1009, 9)),
    ]);
}

#[test]
fn p4_an_impossible_order_is_found() {
    check(&[
        ("a stale read", &[("linearizable", 8)], |run| {
            run.entries[33].outcome = Seen::Read {
                revision: Revision::new(8),
            };
        }),
        (
            "a write in the past",
            &[("linearizable", 8), ("linearizable", 8), ("feed", 8)],
            |run| (write(run, 8).called, write(run, 8).returned) = (400, Some(405)),
        ),
        (
            "a lost write in the past",
            &[("linearizable", 8), ("linearizable", 8), ("feed", 8)],
            |run| {
                let entry = write(run, 8);
                (entry.called, entry.returned, entry.outcome) = (400, None, Seen::Unknown);
            },
        ),
        (
            "a read of the future",
            &[("linearizable", 9), ("linearizable", 9)],
            |run| {
                (run.entries[33].called, run.entries[33].returned) = (166, Some(168));
            },
        ),
        ("a write without an answer", &[], |run| {
            let entry = write(run, 9);
            (entry.returned, entry.outcome) = (None, Seen::Unknown);
        }),
        ("a request without effect", &[], |run| {
            let request_id = Uuid::from_u128(70_000);
            let entry = run.entries[32].clone();
            run.entries.push(Entry {
                request_id,
                outcome: Seen::Unknown,
                ..entry
            });
        }),
    ]);
}

#[test]
fn p10_a_feed_that_misleads_is_found() {
    check(&[
        ("a skipped change", &[("feed", 7)], |run| {
            refeed(run, |feed| drop(feed.remove(10)));
        }),
        ("a missing end", &[("feed", 9)], |run| {
            refeed(run, |feed| drop(feed.remove(16)));
        }),
        ("a change that comes twice", &[("feed", 6)], |run| {
            refeed(run, |feed| feed.insert(11, feed[10].clone()));
        }),
        ("tenants out of order", &[("feed", 6)], |run| {
            refeed(run, |feed| feed.swap(10, 11));
        }),
        (
            "revisions out of order",
            &[("feed", 7), ("feed", 6), ("feed", 6), ("feed", 7)],
            |run| refeed(run, |feed| feed.swap(10, 12)),
        ),
        ("another content", &[("feed", 6)], |run| {
            refeed(run, |feed| feed[10].message = Message::lossy("edited"));
        }),
        (
            "a change that history lacks",
            &[("feed", 10), ("feed", 9)],
            |run| {
                refeed(run, |feed| {
                    feed.push(Line {
                        revision: Revision::new(10),
                        ..feed[16].clone()
                    });
                });
            },
        ),
        ("a reader that knew the first five", &[], |run| {
            run.known = run
                .histories
                .keys()
                .map(|id| (*id, Revision::new(5)))
                .collect();
            refeed(run, |feed| drop(feed.drain(..10)));
        }),
        (
            "a reader that knew only four",
            &[("feed", 6), ("feed", 6)],
            |run| {
                run.known = run
                    .histories
                    .keys()
                    .map(|id| (*id, Revision::new(4)))
                    .collect();
                refeed(run, |feed| drop(feed.drain(..10)));
            },
        ),
        ("a resumed reader that misses one", &[("feed", 4)], |run| {
            drop(run.resumed.remove(0));
        }),
        ("a resumed reader that ends early", &[("feed", 9)], |run| {
            drop(run.resumed.pop());
        }),
        ("a resumed reader that sees more", &[("feed", 1)], |run| {
            run.resumed.push(run.feed[0].clone());
        }),
    ]);
}

#[test]
fn p6_a_stale_worker_a_bad_page_and_a_dead_end_are_found() {
    check(&[
        ("a stale fence with an effect", &[("fence", 0)], |run| {
            run.sink[2].accepted = true;
        }),
        ("two operations under one fence", &[("fence", 0)], |run| {
            run.sink[3].operation = Uuid::from_u128(9);
        }),
        ("a page that skips", &[("pages", 0)], |run| {
            run.walk.truncate(1);
        }),
        ("a page that repeats", &[("pages", 0)], |run| {
            run.walk.push(run.walk[0]);
        }),
        ("a tenant left alone", &[("converge", 9)], |run| {
            run.records[1].tenant.conditions.held = None;
        }),
        ("a tenant that rests too early", &[("converge", 9)], |run| {
            run.records[0].tenant.observed_generation = Generation::new(1);
        }),
        ("a halted tenant", &[], |run| {
            let conditions = &mut run.records[1].tenant.conditions;
            let held = conditions.held.take().unwrap();
            conditions.failing = Some(Failing {
                reason: "Broken".parse().unwrap(),
                message: held.message,
                since: held.since,
                halted: true,
            });
        }),
    ]);
}

#[test]
fn only_the_last_line_of_a_log_may_be_cut() {
    let run = run();
    let line = run.entries[0].to_json_line();
    let log = ClientLog::from_json_lines(&format!("{line}\n{{\"client\":1")).unwrap();
    assert_eq!(log.entries(), &run.entries[..1]);
    let error = ClientLog::from_json_lines(&format!("{{\"client\":1\n{line}\n")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("line 1 of the log must be an entry"),
        "{error}"
    );
}
