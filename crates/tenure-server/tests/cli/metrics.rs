//! What a server that was used tells of itself: every metric is in the table, and the counts are true.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tenure_server::telemetry::METRICS;

use crate::support::{Background, Project, tenure};

const MANIFEST: &str = "\
name: acme
class: shared
desired: {plan: loose}
---
name: globex
class: shared
desired: {plan: tight}
---
name: initech
class: shared
desired: {plan: broken}
";

/// Sends a request without a body, and gives the answer: its head and its body.
pub(crate) fn ask(url: &str, method: &str, path: &str, headers: &str) -> (String, String) {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// One look at `/metrics`.
struct Scrape(String);

impl Scrape {
    fn of(url: &str) -> Self {
        let (head, body) = ask(url, "GET", "/metrics", "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        Self(body)
    }

    fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self
            .0
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series, value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
    }

    /// The sum of all series of a name that have these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let matching = self.samples().filter(|(series, _)| {
            series.split('{').next() == Some(name)
                && labels.iter().all(|label| series.contains(label))
        });
        let sum: f64 = matching.map(|(_, value)| value).sum();
        format!("{sum:.0}").parse().unwrap()
    }
}

#[test]
fn a_server_that_was_used_counts_truly_and_only_what_the_table_has() {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let run = |arguments: &[&str]| project.run(&[arguments, &["--server", &url]].concat());
    let apply = ["apply", "-f", "-", "--server", &url];
    project.run_with(&apply, MANIFEST).with(0);
    run(&["wait", "acme", "globex", "--timeout", "100s"]).with(0);
    run(&["wait", "initech", "--timeout", "100s"]).with(1);
    // A tenant that is not there, a method that nobody has heard of, and a path that is no route.
    assert!(
        ask(&url, "GET", "/v1/tenants/nobody-at-all", "")
            .0
            .contains(" 404 ")
    );
    assert!(ask(&url, "BREW", "/v1/tenants", "").0.contains(" 405 "));
    assert!(ask(&url, "GET", "/secret-path", "").0.contains(" 404 "));

    let scrape = Scrape::of(&url);
    scrape.names_only_what_is_known();
    fleet_of(&scrape);
    requests_of(&scrape);
    server.terminate();
}

impl Scrape {
    fn names_only_what_is_known(&self) {
        let known: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        for (series, _) in self.samples() {
            let name = series.split('{').next().unwrap();
            let stem = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|stem| known.contains(stem));
            assert!(
                known.contains(name) || stem.is_some(),
                "{series} is not in the table"
            );
            for word in [
                "acme", "globex", "initech", "nobody", "secret", "BREW", "tnt_",
            ] {
                assert!(!series.contains(word), "{series} tells {word}");
            }
        }
    }
}

fn fleet_of(scrape: &Scrape) {
    let created = scrape.sum("tenure_tenants", &["state=\"ready\""]);
    let making = scrape.sum("tenure_tenants", &["state=\"provisioning\""]);
    assert_eq!((created, making), (2, 1), "{}", scrape.0);
    let with = |condition: &str| {
        let label = format!("condition=\"{condition}\"");
        scrape.sum("tenure_tenants_with_condition", &[&label])
    };
    assert_eq!((with("failing"), with("drifted"), with("held")), (1, 1, 0));
    let made = |labels: &[&str]| scrape.sum("tenure_operation_duration_seconds_count", labels);
    assert_eq!(
        made(&[
            "class=\"shared\"",
            "operation=\"apply\"",
            "outcome=\"done\""
        ]),
        2
    );
    assert_eq!(made(&["outcome=\"failed_for_good\""]), 1);
    assert_eq!(
        scrape.sum("tenure_drift_found_total", &["class=\"shared\""]),
        1
    );
    // Each tenant is created, begun, and ends some way.
    assert_eq!(
        scrape.sum("tenure_commits_total", &["result=\"applied\""]),
        9
    );
    assert_eq!(
        scrape.sum(
            "tenure_store_operation_duration_seconds_count",
            &["operation=\"commit\""]
        ),
        scrape.sum("tenure_commits_total", &[]),
    );
    assert_eq!(scrape.sum("tenure_store_ready", &[]), 1);
    assert_eq!(scrape.sum("tenure_breaker_open", &["class=\"shared\""]), 0);
}

fn requests_of(scrape: &Scrape) {
    let requests = |labels: &[&str]| scrape.sum("tenure_http_requests_total", labels);
    let missed = [
        "method=\"GET\"",
        "route=\"/v1/tenants/{tenant}\"",
        "status=\"404\"",
    ];
    assert!(requests(&missed) >= 1, "{}", scrape.0);
    assert_eq!(requests(&["method=\"other\"", "status=\"405\""]), 1);
    assert_eq!(requests(&["route=\"none\"", "status=\"404\""]), 1);
    // The scrape itself, which is not answered yet.
    assert_eq!(scrape.sum("tenure_http_requests_in_flight", &[]), 1);
}

#[test]
fn what_was_counted_of_the_fleet_is_not_counted_again_for_each_scrape() {
    let project = Project::small();
    let mut server = Background::start(tenure(project.path(), &["serve"]));
    let url = server.url();
    let counted = |scrape: &Scrape| {
        let labels = ["operation=\"standing\""];
        scrape.sum("tenure_store_operation_duration_seconds_count", &labels)
    };
    Scrape::of(&url);
    let storm: Vec<u64> = (0..50).map(|_| counted(&Scrape::of(&url))).collect();
    assert_eq!(storm.first(), Some(&1));
    // On a slow machine the storm may last longer than a count.
    assert!(storm.last().unwrap() <= &3, "{storm:?}");
    server.terminate();
}
