//! How each mistake in `tenure.toml` is named.

use tenure::Hash;

use super::{PULL, parse, parse_in};

#[test]
fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_known() {
    for (text, expected) in [
        (
            "store = 'sqlite:a.db'\nlissten = 'x'",
            "demo/tenure.toml:2: unknown key lissten; did you mean listen?",
        ),
        (
            "[classes.a]\nexec = ['x']\ndeadline_second = 3",
            "demo/tenure.toml:3: unknown key classes.a.deadline_second; \
             did you mean classes.a.deadline_seconds?",
        ),
        (
            "classes.a.exec = ['x']\n[classes.a.drift]\nintervall = 3",
            "demo/tenure.toml:3: unknown key classes.a.drift.intervall; \
             did you mean classes.a.drift.interval_seconds?",
        ),
        (
            "[classes.a]\nexec = ['x']\ndeadlines = { provision = 3 }",
            "demo/tenure.toml:3: unknown key classes.a.deadlines.provision; \
             did you mean classes.a.deadlines.provisioning?",
        ),
        (
            "classes.a.exec = ['x']\n[classes.a.breaker]\nfailure = 3",
            "demo/tenure.toml:3: unknown key classes.a.breaker.failure; \
             did you mean classes.a.breaker.failures?",
        ),
        (
            "[workers.w]\ntoken = 'x'",
            "demo/tenure.toml:2: unknown key workers.w.token; did you mean workers.w.token_file?",
        ),
        (
            "zzz = 1",
            "demo/tenure.toml:1: unknown key zzz; \
             known are store, store_file, listen, concurrency, behind_proxy, require_if_match, \
             drain_delay_seconds, tls, auth, limits, telemetry, classes, workers",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), expected);
    }
}

#[test]
fn a_value_that_breaks_a_rule_is_named() {
    for (text, key) in [
        ("[classes.A]\nexec = ['x']", "classes.A must be"),
        ("concurrency = 0", "concurrency must be 1 to 1000"),
        (
            "drain_delay_seconds = 3601",
            "drain_delay_seconds must be 0 to 3600",
        ),
        (
            "listen = 'nowhere'",
            "tenure.toml:1: listen must be an IP address and a port",
        ),
        (
            "[classes.a]\nexec = 'x'",
            "tenure.toml:2: classes.a.exec must be a list of strings",
        ),
        (
            "[classes.a]",
            "classes.a must have exactly one of exec, http and pull",
        ),
        (
            "[classes.a]\nexec = ['x']\npull = true",
            "classes.a must have exactly one of",
        ),
        ("[classes.a]\npull = false", "classes.a.pull must be true"),
        (
            "[classes.a]\npull = true\nenv = { A = 'b' }",
            "classes.a.env is for exec only",
        ),
        (
            "[classes.a]\nexec = ['x']\nca_file = 'x'",
            "classes.a.ca_file is for http only",
        ),
        (
            "[classes.a]\npull = true\nallow_private_addresses = true",
            "classes.a.allow_private_addresses is for http only",
        ),
        (
            "[classes.a]\nexec = ['x']\nsigning_secret_file = 'x'",
            "classes.a.signing_secret_file is for http only",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(key), "{text}: {error}");
    }
}

#[test]
fn a_program_that_can_not_be_run_is_named() {
    for (exec, says) in [
        ("exec = []", "classes.a.exec must name a program"),
        ("exec = ['']", "classes.a.exec must name a program"),
        (
            "exec = ['x']\nenv = { 'A=B' = 'c' }",
            "classes.a.env has the name",
        ),
    ] {
        let error = parse(&format!("[classes.a]\n{exec}")).unwrap_err();
        assert!(error.contains(says), "{exec}: {error}");
    }
}

#[test]
fn an_address_that_can_not_be_used_is_named_without_its_secrets() {
    for (url, says) in [
        ("http://p.example/x", "needs allow_private_addresses = true"),
        ("p.example", "must start with https://"),
        ("ftp://p.example", "must start with https://"),
        ("https://", "must be a URL"),
        ("https://p.example/#hunter2", "have no fragment"),
        ("https://u:hunter2@p.example/", "must hold no user"),
    ] {
        let error = parse(&format!("[classes.a]\nhttp = '{url}'")).unwrap_err();
        assert!(error.contains("classes.a.http"), "{url}: {error}");
        assert!(error.contains(says), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let plain = "[classes.a]\nhttp = 'http://127.0.0.1:9/x'\nallow_private_addresses = true";
    assert!(parse(plain).is_ok());
}

/// Each of these, in a class with a program, is refused with these words.
fn all_refused(cases: &[(&str, &str)]) {
    for (rest, says) in cases {
        let error = parse(&format!("[classes.a]\nexec = ['x']\n{rest}")).unwrap_err();
        assert!(error.contains(says), "{rest}: {error}");
    }
}

#[test]
fn each_number_of_a_class_has_its_bounds() {
    all_refused(&[
        (
            "deadline_seconds = 0",
            "classes.a.deadline_seconds must be 1 to 86400",
        ),
        (
            "lease_seconds = 86401",
            "classes.a.lease_seconds must be 1 to",
        ),
        (
            "attempts_max = 0",
            "classes.a.attempts_max must be 1 or more",
        ),
        ("concurrency = 0", "classes.a.concurrency must be 1 to 1000"),
        (
            "concurrency = 1001",
            "classes.a.concurrency must be 1 to 1000",
        ),
        ("per_minute = 0", "classes.a.per_minute must be 1 to"),
        (
            "checks_per_minute = 0",
            "classes.a.checks_per_minute must be 1 to",
        ),
        (
            "breaker = { failures = 0 }",
            "classes.a.breaker.failures must be",
        ),
        (
            "breaker = { cooldown_seconds = 0 }",
            "classes.a.breaker.cooldown_seconds must be",
        ),
        (
            "deadlines = { updating = 2592001 }",
            "classes.a.deadlines.updating must be 0 (none) to",
        ),
    ]);
}

#[test]
fn what_drift_can_not_be_is_named() {
    all_refused(&[
        (
            "drift = { mode = 'on' }",
            "classes.a.drift.mode must be off, observe or correct",
        ),
        (
            "drift = { interval_seconds = 0 }",
            "classes.a.drift.interval_seconds must be",
        ),
        (
            "drift = { corrections_per_hour = 0 }",
            "classes.a.drift.corrections_per_hour must be",
        ),
        (
            "drift = { paths = ['seats'] }",
            "classes.a.drift.paths has \"seats\", which must be",
        ),
        (
            "drift = { ignore = ['/~'] }",
            "classes.a.drift.ignore has \"/~\", which must",
        ),
        (
            "drift = { lists = { a = 'set' } }",
            "classes.a.drift.lists has \"a\", which must be",
        ),
        (
            "drift = { lists = { '/a' = 'bag' } }",
            "classes.a.drift.lists has \"bag\"",
        ),
        (
            "drift = { lists = { '/a' = 'key:' } }",
            "classes.a.drift.lists has \"key:\"",
        ),
    ]);
}

#[test]
fn secrets_and_defaults_that_can_not_be_are_named() {
    all_refused(&[
        (
            "secrets = ['SHOP']",
            "classes.a.secrets has \"SHOP\", which must be env:NAME",
        ),
        ("secrets = ['env:']", "classes.a.secrets has \"env:\""),
        ("secrets = ['env:A*B']", "classes.a.secrets has \"env:A*B\""),
        ("secrets = ['file:x']", "classes.a.secrets has \"file:x\""),
        (
            "secrets = ['file:/a/../b']",
            "classes.a.secrets has \"file:/a/../b\"",
        ),
        (
            "defaults = { a = { b = nan } }",
            "classes.a.defaults.a.b must be a number",
        ),
        (
            "defaults = { day = 2026-11-22 }",
            "classes.a.defaults.day must be something that JSON",
        ),
        (
            "defaults = { n = 9007199254740993 }",
            "classes.a.defaults must hold whole numbers",
        ),
        ("defaults = 3", "classes.a.defaults must be a table"),
    ]);
}

#[test]
fn what_is_no_schema_is_named_with_its_file() {
    let text = "[classes.a]\nexec = ['x']\nschema = 'a.json'";
    for (schema, says) in [
        (None, "No such file"),
        (Some("{"), "it must be JSON"),
        (Some("true"), "it must be a JSON object"),
        (
            Some(r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#),
            "its $schema must be https://json-schema.org/draft/2020-12/schema",
        ),
        (
            Some(r#"{"properties": {"a": {"type": "integr"}}}"#),
            "it is no JSON Schema 2020-12: /properties/a/type breaks the rule",
        ),
        (Some(r#"{"pattern": "("}"#), "it is no JSON Schema 2020-12"),
        (
            Some(r#"{"properties": {"a": {"$ref": "https://example.com/a.json"}}}"#),
            "a $ref must lead to a place in the same file",
        ),
        (
            Some(r##"{"$ref": "#/$defs/none"}"##),
            "a $ref must lead to a place in the same file",
        ),
        (
            Some(r#"{"$ref": "other.json"}"#),
            "a $ref must lead to a place in the same file",
        ),
    ] {
        let files: Vec<_> = schema
            .map(|schema| ("a.json", schema))
            .into_iter()
            .collect();
        let error = parse_in(text, &files).unwrap_err();
        assert!(error.contains("classes.a.schema names "), "{error}");
        assert!(
            error.contains("a.json") && error.contains(says),
            "{schema:?}: {error}"
        );
    }
    let good = r##"{"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}"##;
    let config = parse_in(text, &[("a.json", good)]).unwrap();
    assert!(
        config
            .classes
            .into_values()
            .all(|class| class.schema.is_some())
    );
}

#[test]
fn a_worker_that_can_not_be_is_named() {
    let digest = Hash::of(b"t").to_string();
    let good = format!("token_sha256 = '{digest}'\nclasses = ['p']");
    for (worker, says) in [
        (
            "[workers.w]\nclasses = ['p']".to_owned(),
            "workers.w must have exactly one of token_sha256 and token_file",
        ),
        (
            format!("[workers.w]\n{good}\ntoken_file = 'x'"),
            "workers.w must have exactly one of",
        ),
        (
            "[workers.w]\ntoken_sha256 = 'abc'\nclasses = ['p']".to_owned(),
            "workers.w.token_sha256 must be 64 hexadecimal digits",
        ),
        (
            "[workers.w]\ntoken_file = 'none'\nclasses = ['p']".to_owned(),
            "workers.w.token_file can't be read",
        ),
        (
            "[workers.w]\ntoken_file = 'short'\nclasses = ['p']".to_owned(),
            "workers.w.token_file must name a file with one token",
        ),
        (
            format!("[workers.w]\ntoken_sha256 = '{digest}'"),
            "workers.w.classes must name the classes",
        ),
        (
            format!("[workers.w]\ntoken_sha256 = '{digest}'\nclasses = ['e']"),
            "workers.w.classes names e, which workers don't make; give it pull = true",
        ),
        (
            format!("[workers.w]\ntoken_sha256 = '{digest}'\nclasses = ['q']"),
            "workers.w.classes names q, which there is not; add [classes.q]",
        ),
        (format!("[workers.\"w w\"]\n{good}"), "workers.w w must be"),
        (
            format!("[workers.v]\n{good}\n[workers.w]\n{good}"),
            "workers.w has the token of workers.v",
        ),
    ] {
        let error = parse_in(&format!("{PULL}{worker}"), &[("short", "hunter2")]).unwrap_err();
        assert!(error.contains(says), "{worker}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_provider_of_identities_is_reached_by_tls_or_on_this_machine() {
    let of = |issuer: &str| {
        let rest = "audience = 'a'\nroles = { a = 'viewer' }";
        parse(&format!("[auth.oidc]\nissuer = '{issuer}'\n{rest}"))
    };
    for good in [
        "https://id.example",
        "http://127.0.0.1:9/x",
        "http://[::1]:9",
    ] {
        of(good).unwrap();
    }
    for bad in [
        "http://id.example",
        "http://127.0.0.1.id.example",
        "http://127.0.0.1:9@id.example",
        "id.example",
    ] {
        let error = of(bad).unwrap_err();
        assert!(
            error.contains("auth.oidc.issuer must be the https://"),
            "{error}"
        );
    }
}

#[test]
fn every_mistake_is_said_at_once_in_the_order_of_its_lines() {
    let text = "store = 'postgre://u:hunter2@db/x'\n\
                concurrency = 0\n\
                [limits]\n\
                body_seconds = 0\n\
                requests_burst = 0\n\
                [auth.oidc]\n\
                issuer = 'x'\n\
                [classes.a]\n\
                exec = ['x']\n\
                deadline_seconds = 0\n\
                lease_seconds = 0\n\
                [classes.b]\n\
                [classes.b.drift]\n\
                mode = 'on'\n\
                [classes.c]\n\
                exce = ['x']\n\
                lease_seconds = 0\n";
    let error = parse(text).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    let lines: Vec<&str> = error
        .lines()
        .skip(1)
        .map(|line| line.trim().split(' ').next().unwrap())
        .collect();
    let at = |line: u32| format!("demo/tenure.toml:{line}:");
    assert_eq!(
        lines,
        [1, 2, 4, 5, 6, 6, 7, 10, 11, 12, 14, 16].map(at),
        "{error}"
    );
    assert!(error.contains("1: store must be"), "{error}");
    assert!(
        error.contains("classes.c.exce; did you mean classes.c.exec?"),
        "{error}"
    );
}

#[test]
fn a_store_that_no_server_could_open_is_refused_with_its_key() {
    for (text, says) in [
        (
            "store = 'postgre://u:hunter2@db/x'",
            "1: store must be sqlite:PATH or postgres://",
        ),
        (
            "store = 'postgres://u:hunter2@db/x?bogus=1'",
            "1: store must be postgres://",
        ),
        (
            "store = 'postgres://u:hunter2@db/x?pool_size=no'",
            "1: store must have a whole number",
        ),
        ("\nstore_file = 'url'", "2: store_file names "),
    ] {
        let error = parse_in(text, &[("url", "mysql://u:hunter2@db/x")]).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
