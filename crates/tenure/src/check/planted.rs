//! Every check is shown to fail: a sound life, one fault planted in it, and what is found then.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::shelf::{Kept, Shelf};
use super::{Finding, fold, legal, verify, verify_all};
use crate::*;

/// A command of someone, or what a worker says of an operation.
type Step = std::result::Result<Command, (Operation, Outcome)>;

/// All that can happen to a tenant, step by step.
fn steps(number: u128) -> [Step; 12] {
    let document = |text: &str| Document::parse(text).unwrap();
    let wanted = Wanted {
        id: TenantId::new(Uuid::from_u128(number)),
        name: format!("t{number}").parse().unwrap(),
        class: None,
        labels: Some(Labels::parse([("tier".into(), "gold".into())].into()).unwrap()),
        annotations: None,
        desired: document(r#"{"plan":"gold"}"#),
        running: None,
    };
    let done = |seen: &str| Outcome::Succeeded {
        observed: Some(document(seen)),
        resources: Some(vec!["db-1".into()]),
        message: Message::lossy("done"),
    };
    let failed = Outcome::Failed {
        reason: "Timeout".parse().unwrap(),
        message: Message::lossy("no answer"),
        permanent: false,
        retry_after: None,
        attempt: 1,
    };
    let silver = [("tier".to_owned(), Some("silver".to_owned()))].into();
    let patch = [("plan".to_owned(), "silver".into())].into_iter().collect();
    [
        Ok(Command::Create(wanted)),
        Err((Operation::Apply, Outcome::Started)),
        Err((Operation::Apply, done(r#"{"plan":"gold","seen":1}"#))),
        Err((Operation::Observe, failed)),
        Ok(Command::Annotate {
            labels: silver,
            annotations: BTreeMap::new(),
        }),
        Ok(Command::Patch(patch)),
        Err((Operation::Apply, done(r#"{"plan":"silver","seen":2}"#))),
        Ok(Command::Hold),
        Ok(Command::Suspend),
        Err((Operation::Apply, done(r#"{"plan":"silver","seen":3}"#))),
        Ok(Command::Delete),
        Err((Operation::Destroy, done("{}"))),
    ]
}

/// A tenant that lived through the first of these steps.
pub(super) fn life(number: u128, until: u64) -> Kept {
    let mut tenant: Option<Tenant> = None;
    let (mut lines, mut documents) = (Vec::new(), Vec::new());
    for (n, step) in (1..=until).zip(steps(number)) {
        let context = Context {
            at: Timestamp::from_micros(i64::try_from(n).unwrap() * 1_000_000).unwrap(),
            actor: "user:maria".parse().unwrap(),
            request_id: Uuid::from_u128(number * 1000 + u128::from(n)),
            message: Message::lossy("because"),
        };
        let decision = match (step, &tenant) {
            (Ok(command), tenant) => decide(tenant.as_ref(), &command, &context),
            (Err((operation, outcome)), Some(tenant)) => {
                let Tenant {
                    generation,
                    running,
                    ..
                } = *tenant;
                let report = Report {
                    operation,
                    generation,
                    running,
                    outcome,
                    steps: Vec::new(),
                    policy: Policy::default(),
                    correction: Correction::None,
                };
                decide_report(tenant, &report, &context)
            }
            (Err(_), None) => panic!("a life starts with a command"),
        };
        let Decision::Change(change) = decision else {
            panic!("step {n} leads nowhere")
        };
        lines.push(change.line().clone());
        documents.extend_from_slice(change.documents());
        tenant = Some(change.tenant().clone());
    }
    let mut kept = Kept {
        tenant: tenant.unwrap(),
        missing: false,
        named: true,
        lines,
        documents,
        damaged: Vec::new(),
        facets: Facets::default(),
    };
    let tenant = kept.tenant.clone();
    kept.agree();
    assert_eq!(
        kept.tenant, tenant,
        "folding the lines of `decide` gives its tenant"
    );
    kept
}

async fn found(kept: Kept) -> Vec<(&'static str, u64)> {
    let tenant = kept.tenant.id;
    let findings = verify(&Shelf::of(kept), tenant).await.unwrap();
    for finding in &findings {
        assert_eq!(finding.tenant, tenant);
        assert!(finding.to_string().ends_with('.'), "{finding}");
    }
    let brief = |finding: &Finding| (finding.rule, finding.revision.map_or(0, Revision::get));
    findings.iter().map(brief).collect()
}

#[tokio::test]
async fn p3_a_sound_life_has_no_finding_at_any_revision() {
    for until in 1..=12 {
        let kept = life(1, until);
        assert_eq!(legal(&kept.lines), []);
        assert_eq!(found(kept).await, [], "at revision {until}");
    }
}

#[tokio::test]
async fn p3_folding_a_part_gives_the_record_of_that_time() {
    let whole = life(1, 12);
    let Tenant { name, class, .. } = &whole.tenant;
    for until in 1..=12 {
        let lines = &whole.lines[..until];
        let folded = fold(name, class, lines, &whole.documents).unwrap();
        assert_eq!(folded, Some(life(1, until.try_into().unwrap()).tenant));
    }
    assert_eq!(fold(name, class, &[], &[]).unwrap(), None);
}

/// What is planted, in a life of how many revisions, what is found then, and how it is planted.
type Fault = (
    &'static str,
    u64,
    &'static [(&'static str, u64)],
    fn(&mut Kept),
);

/// Faults in what stands beside the lines, or that a hash tells.
const BESIDE: &[Fault] = &[
    ("a missing line", 9, &[("gap", 6)], |k| {
        drop(k.lines.remove(4));
    }),
    ("a missing last line", 9, &[("gap", 9)], |k| {
        drop(k.lines.pop());
    }),
    ("a missing first line", 9, &[("gap", 2), ("fold", 9)], |k| {
        drop(k.lines.remove(0));
    }),
    ("a line that stands twice", 9, &[("gap", 2)], |k| {
        k.lines.insert(2, k.lines[2].clone());
        k.lines[2].revision = Revision::new(2);
    }),
    ("a line beyond the record", 8, &[("gap", 9)], |k| {
        k.lines = life(1, 9).lines;
    }),
    ("a flipped hash", 9, &[("hash", 4), ("hash", 5)], |k| {
        k.lines[3].hash = Hash::of(b"flipped");
    }),
    ("a flipped last hash", 9, &[("hash", 9), ("fold", 9)], |k| {
        k.lines[8].hash = Hash::of(b"flipped");
    }),
    ("an edited message", 9, &[("hash", 5)], |k| {
        k.lines[4].message = Message::lossy("edited");
    }),
    ("an edited actor", 9, &[("hash", 1)], |k| {
        k.lines[0].actor = "user:mallory".parse().unwrap();
    }),
    (
        "a line of another tenant",
        9,
        &[("record", 4), ("hash", 4)],
        |k| {
            k.lines[3].tenant = TenantId::new(Uuid::from_u128(99));
        },
    ),
    ("a renamed tenant", 9, &[("hash", 1)], |k| {
        k.tenant.name = "other".parse().unwrap();
    }),
    ("another class", 9, &[("hash", 1)], |k| {
        k.tenant.class = "other".parse().unwrap();
    }),
    (
        "a record of another state",
        9,
        &[("fold", 9), ("facet", 9)],
        |k| {
            k.tenant.state = State::Ready;
        },
    ),
    ("a record of another reason", 9, &[("fold", 9)], |k| {
        k.tenant.reason = "Other".parse().unwrap();
    }),
    (
        "a record at an older revision",
        9,
        &[("gap", 9), ("facet", 8), ("facet", 8)],
        |k| {
            k.tenant = life(1, 8).tenant;
            k.facets.state = None;
        },
    ),
    ("a deletion without its time", 12, &[("fold", 12)], |k| {
        k.tenant.deleted_at = None;
    }),
    ("no record", 9, &[("record", 0)], |k| k.missing = true),
    (
        "an unreadable record",
        9,
        &[("record", 0), ("document", 6)],
        |k| {
            k.damaged.push(k.tenant.desired.hash());
        },
    ),
    ("a missing document", 9, &[("document", 1)], |k| {
        drop(k.documents.remove(0));
    }),
    ("a damaged document", 9, &[("document", 3)], |k| {
        k.damaged.push(k.lines[2].observed.unwrap());
    }),
    (
        "a missing document of now",
        9,
        &[("document", 8), ("fold", 9)],
        |k| {
            k.documents.retain(|d| Some(d.hash()) != k.lines[8].details);
        },
    ),
    ("a wrong label row", 9, &[("facet", 9)], |k| {
        k.facets.labels.insert("tier".into(), "gold".into());
    }),
    ("a missing condition row", 9, &[("facet", 9)], |k| {
        k.facets.conditions.clear();
    }),
    ("a wrong state copy", 9, &[("facet", 9)], |k| {
        k.facets.state = Some(State::Ready);
    }),
    ("a doubled feed entry", 9, &[("facet", 9)], |k| {
        k.facets.feed.0 = 10;
    }),
    ("a feed that ends early", 9, &[("facet", 9)], |k| {
        k.facets.feed = (8, Some(Revision::new(8)));
    }),
    ("a name that leads nowhere", 9, &[("name", 9)], |k| {
        k.named = false;
    }),
    ("a dead tenant's name", 12, &[("name", 12)], |k| {
        k.named = true;
    }),
];

#[tokio::test]
async fn p3_each_planted_fault_is_found_where_it_is() {
    for (what, until, expected, fault) in BESIDE {
        let mut kept = life(1, *until);
        fault(&mut kept);
        // A renamed tenant is folded under its new name, so that only the hash can tell.
        assert_eq!(found(kept).await, *expected, "{what}");
    }
}

/// Faults that someone covered up by signing all lines anew.
const COVERED: &[Fault] = &[
    ("an illegal edge", 9, &[("edge", 3)], |k| {
        for line in &mut k.lines[2..5] {
            line.to = State::Updating;
        }
        for line in &mut k.lines[3..6] {
            line.from = Some(State::Updating);
        }
    }),
    ("a line that starts elsewhere", 9, &[("edge", 5)], |k| {
        k.lines[4].from = Some(State::Provisioning);
    }),
    ("a first line from somewhere", 9, &[("edge", 1)], |k| {
        k.lines[0].from = Some(State::Requested);
    }),
    ("a way out of deleted", 12, &[("edge", 13)], |k| {
        let mut line = k.lines[11].clone();
        (line.revision, line.from) = (Revision::new(13), Some(State::Deleted));
        k.lines.push(line);
    }),
    ("a time going back", 9, &[("time", 5)], |k| {
        k.lines[4].at = Timestamp::EPOCH;
    }),
    ("a second creation", 9, &[("kind", 5)], |k| {
        k.lines[4].kind = Kind::Created;
    }),
    ("a first line of another kind", 9, &[("kind", 1)], |k| {
        k.lines[0].kind = Kind::State;
    }),
    ("a note that moves the state", 9, &[("kind", 3)], |k| {
        k.lines[2].kind = Kind::Observed;
    }),
    ("a first generation of 0", 1, &[("generation", 1)], |k| {
        k.lines[0].generation = Generation::new(0);
    }),
    ("a skipped generation", 6, &[("generation", 6)], |k| {
        k.lines[5].generation = Generation::new(3);
    }),
    (
        "a generation in a line of state",
        9,
        &[("generation", 6)],
        |k| {
            k.lines[5].kind = Kind::State;
        },
    ),
    (
        "a wish without a generation",
        5,
        &[("generation", 5)],
        |k| {
            k.lines[4].desired = k.lines[3].observed.unwrap();
        },
    ),
    ("an observation going back", 9, &[("generation", 8)], |k| {
        for line in &mut k.lines[7..] {
            (line.observed_generation, line.to) = (Generation::new(1), State::Updating);
            line.from = Some(State::Updating);
        }
        k.lines[6].to = State::Updating;
    }),
    (
        "an observation running ahead",
        2,
        &[("generation", 2)],
        |k| {
            k.lines[1].observed_generation = Generation::new(2);
        },
    ),
    ("ready before its generation", 3, &[("invariant", 3)], |k| {
        k.lines[2].observed_generation = Generation::new(0);
    }),
    ("ready, not running", 3, &[("invariant", 3)], |k| {
        k.lines.iter_mut().for_each(|line| line.running = false);
    }),
    ("suspending, but running", 9, &[("invariant", 9)], |k| {
        k.lines[8].running = true;
    }),
    (
        "suspended, but running",
        10,
        &[("invariant", 9), ("invariant", 10)],
        |k| {
            k.lines[8..].iter_mut().for_each(|line| line.running = true);
        },
    ),
    (
        "suspended before its generation",
        10,
        &[("invariant", 10)],
        |k| {
            k.lines[9].observed_generation = Generation::new(2);
        },
    ),
    (
        "resuming, not running",
        9,
        &[("edge", 9), ("invariant", 9)],
        |k| {
            k.lines[8].to = State::Resuming;
        },
    ),
    (
        "deleted before its generation",
        12,
        &[("invariant", 12)],
        |k| {
            k.lines[11].observed_generation = Generation::new(3);
        },
    ),
];

#[tokio::test]
async fn p3_each_unlawful_line_is_found_though_its_hash_is_right() {
    for (what, until, expected, fault) in COVERED {
        let mut kept = life(1, *until);
        fault(&mut kept);
        kept.agree();
        let lines = kept.lines.clone();
        assert_eq!(found(kept).await, *expected, "{what}");
        // The first hash is the one thing that lines alone can't tell; here it is right.
        assert_eq!(legal(&lines).len(), expected.len(), "{what}");
    }
}

#[tokio::test]
async fn an_unknown_tenant_is_a_finding_and_trouble_is_an_error() {
    let id = TenantId::new(Uuid::from_u128(5));
    let findings = verify(&Shelf::default(), id).await.unwrap();
    assert_eq!(
        findings[0].to_string(),
        format!("{id} breaks the rule record: there is none.")
    );
}

#[tokio::test]
async fn what_is_wrong_everywhere_is_said_a_hundred_times() {
    let mut kept = life(1, 2);
    let last = kept.lines[1].clone();
    for n in 3..=400 {
        kept.lines.push(Line {
            revision: Revision::new(n),
            ..last.clone()
        });
    }
    assert_eq!(found(kept).await.len(), 100);
}

#[tokio::test]
async fn a_walk_over_all_tells_of_each() {
    let mut shelf = Shelf::default();
    for number in 1..=5 {
        let mut kept = life(number, 12 - u64::try_from(number).unwrap());
        if number == 3 {
            kept.facets.conditions = vec![ConditionKind::Unknown];
        }
        shelf.0.insert(kept.tenant.id, kept);
    }
    let mut told = Vec::new();
    let verified = verify_all(&shelf, |progress| {
        told.push((progress.checked, progress.findings.len()));
    });
    let verified = verified.await.unwrap();
    assert_eq!(
        (verified.tenants, verified.sound, verified.findings),
        (5, 4, 1)
    );
    assert_eq!(told, [(1, 0), (2, 0), (3, 1), (4, 0), (5, 0)]);
}
