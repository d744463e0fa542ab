//! What `tenure.toml` may say, and that the reference says the same.

mod describe;
mod layers;
mod mistakes;

use tempfile::TempDir;
use tenure::{DriftMode, Hash, ListsAs, State};

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    let (path, folder) = (Path::new("demo/tenure.toml"), Path::new("/srv/demo"));
    parse_at(text, path, folder)
}

fn parse_at(text: &str, path: &Path, folder: &Path) -> Result<Config, String> {
    let (mut layers, mut wrong) = (Layers::default(), Vec::new());
    layers.lay_file(text, path, &mut wrong);
    Config::of(&layers, Ok(folder.to_owned()), wrong).map_err(|e| e.to_string())
}

/// The one class of a configuration, with `exec` unless it says otherwise.
fn class(rest: &str) -> Class {
    let text = format!("[classes.a]\nexec = ['x']\n{rest}");
    let config = parse(&text).unwrap();
    config.classes.into_values().next().unwrap()
}

fn exec(class: &Class) -> &Exec {
    match &class.transport {
        Transport::Exec(exec) => exec,
        other => panic!("no program: {other:?}"),
    }
}

/// A configuration in a folder of its own, with these files beside it.
fn parse_in(text: &str, files: &[(&str, &str)]) -> Result<Config, String> {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    parse_at(text, Path::new("tenure.toml"), folder.path())
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.store, "sqlite:/srv/demo/.tenure/tenure.db");
    assert_eq!(config.listen, LISTEN);
    assert_eq!(config.drain_delay.as_secs(), 5);
    assert!(config.classes.is_empty() && config.workers.is_empty());
    let at_once = parse("drain_delay_seconds = 0").unwrap();
    assert!(at_once.drain_delay.is_zero());
}

#[test]
fn a_class_that_says_nothing_has_the_defaults_of_the_reference() {
    let class = class("");
    assert_eq!(class.policy, tenure::Policy::default());
    assert_eq!((class.deadline.as_secs(), class.lease.as_secs()), (300, 30));
    assert_eq!(class.concurrency, None);
    assert_eq!((class.per_minute, class.checks_per_minute), (None, 600));
    assert_eq!(class.breaker, Breaker::default());
    assert!(class.schema.is_none() && class.secrets.is_empty());
    assert_eq!(class.defaults.as_str(), "{}");
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(
        "store = 'sqlite:a.db'\n[classes.a]\nexec = ['bin/make', 'x']\n[classes.b]\nexec = ['sh']\n\
         [classes.c]\nhttp = 'https://p.example'\nca_file = 'ca.pem'\nsigning_secret_file = '/s'",
    )
    .unwrap();
    assert_eq!(config.store, "sqlite:/srv/demo/a.db");
    let classes: Vec<_> = config.classes.values().collect();
    assert_eq!(
        exec(classes[0]).program,
        PathBuf::from("/srv/demo/bin/make")
    );
    assert_eq!(exec(classes[1]).program, PathBuf::from("sh"));
    let Transport::Http(http) = &classes[2].transport else {
        panic!("no address")
    };
    assert_eq!(http.ca_file, Some("/srv/demo/ca.pem".into()));
    assert_eq!(http.signing_secret_file, Some("/s".into()));
    assert_eq!(
        resolve_store("sqlite:/x.db", Path::new("/y")),
        "sqlite:/x.db"
    );
    assert_eq!(
        resolve_store("postgres://h/db", Path::new("/y")),
        "postgres://h/db"
    );
}

#[test]
fn all_of_a_class_is_read() {
    let class = class(
        r#"
        secrets = ["env:SHOP_*", "file:/etc/shop/*", "env:KEY"]
        defaults = { plan = "free", limits = { seats = 3, ratio = 0.5 }, tags = ["a", true] }
        attempts_max = 7
        concurrency = 1000
        per_minute = 60
        checks_per_minute = 5
        deadlines = { provisioning = 600, deleting = 0 }
        [classes.a.drift]
        mode = "correct"
        interval_seconds = 60
        corrections_per_hour = 2
        paths = ["/plan"]
        ignore = ["/plan/x"]
        lists = { "/users" = "set", "/rules" = "key:name" }
        [classes.a.breaker]
        failures = 3
        cooldown_seconds = 9
        "#,
    );
    assert_eq!(class.secrets, ["env:SHOP_*", "file:/etc/shop/*", "env:KEY"]);
    assert_eq!(
        class.defaults.as_str(),
        r#"{"limits":{"ratio":0.5,"seats":3},"plan":"free","tags":["a",true]}"#
    );
    assert_eq!(class.policy.retry.attempts_max, 7);
    assert_eq!(class.concurrency, Some(1000));
    assert_eq!((class.per_minute, class.checks_per_minute), (Some(60), 5));
    let deadline = |state| class.policy.deadlines.of(state).map(|time| time.as_secs());
    assert_eq!(deadline(State::Provisioning), Some(600));
    assert_eq!(deadline(State::Deleting), None);
    assert_eq!(deadline(State::Updating), Some(3600));
    assert_eq!(deadline(State::Ready), None);
    let drift = &class.policy.drift;
    assert_eq!(drift.mode, DriftMode::Correct);
    assert_eq!(drift.interval.as_secs(), 60);
    assert_eq!(drift.corrections_per_hour, 2);
    assert_eq!(drift.paths, ["/plan".parse().unwrap()]);
    assert_eq!(drift.ignore, ["/plan/x".parse().unwrap()]);
    assert_eq!(
        drift.lists,
        [
            ("/users".parse().unwrap(), ListsAs::Set),
            ("/rules".parse().unwrap(), ListsAs::Keyed("name".to_owned())),
        ]
        .into()
    );
    assert_eq!(class.breaker.failures, 3);
    assert_eq!(class.breaker.cooldown.as_secs(), 9);
}

#[test]
fn every_state_that_does_not_rest_can_have_a_deadline() {
    for state in State::ALL {
        let text = format!("[classes.a]\nexec = ['x']\ndeadlines = {{ {state} = 7 }}");
        match parse(&text) {
            Ok(config) => {
                let deadline = config.classes[&"a".parse().unwrap()]
                    .policy
                    .deadlines
                    .of(state);
                assert_eq!(deadline, Some(Duration::from_secs(7)));
            }
            Err(error) => assert!(state.is_resting(), "{error}"),
        }
    }
}

const PULL: &str = "[classes.p]\npull = true\n[classes.e]\nexec = ['x']\n";

#[test]
fn a_worker_is_known_by_the_hash_of_its_token() {
    let token = "0123456789abcdef-secret";
    let hash = Hash::of(token.as_bytes());
    let text = format!(
        "{PULL}[workers.a]\ntoken_file = 'token'\nclasses = ['p']\n\
         [workers.b]\ntoken_sha256 = '{}'\nclasses = ['p']",
        Hash::of(b"other").to_string().to_uppercase()
    );
    let config = parse_in(&text, &[("token", &format!("{token}\n"))]).unwrap();
    assert_eq!(config.workers["a"].token, hash);
    assert_eq!(config.workers["b"].token, Hash::of(b"other"));
    assert_eq!(config.workers["a"].classes, ["p".parse().unwrap()].into());
    let shown = format!("{config:?} {config:#?}");
    assert!(
        !shown.contains(token) && !shown.contains(&hash.to_string()),
        "{shown}"
    );
}

#[test]
fn a_provisioner_inherits_a_path_and_nothing_that_is_not_named() {
    let class = class("env = { TOKEN = 't' }");
    let names: Vec<_> = exec(&class).environment.keys().collect();
    assert!(names.iter().any(|name| *name == "TOKEN"));
    let inherited = ["PATH", "HOME", "LANG", "TMPDIR"];
    assert!(
        names
            .iter()
            .all(|n| *n == "TOKEN" || inherited.contains(&n.as_str())),
        "{names:?}"
    );
}

#[test]
fn p12_nothing_that_may_be_secret_is_in_debug() {
    let config = parse(
        "store = 'postgres://u:hunter2@h/db'\n\
         [classes.a]\nexec = ['x', '--token=hunter2']\nenv = { TOKEN = 'hunter2' }\n\
         defaults = { password = 'hunter2' }\n\
         [classes.b]\nhttp = 'https://p.example/hunter2?token=hunter2'\nsigning_secret_file = 's'",
    )
    .unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("TOKEN") && shown.contains("p.example"),
        "{shown}"
    );
}
