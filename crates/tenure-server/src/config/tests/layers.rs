//! Which layer goes before which, and what is wrong with what the environment says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use tempfile::TempDir;

use super::*;

const NOTHING: [(&str, &str); 0] = [];

/// A configuration of a file and an environment, both in a folder of their own, and of flags.
fn load(file: &str, variables: &[(&str, &str)], flags: Flags) -> (TempDir, Result<Config, String>) {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("conf")).unwrap();
    std::fs::write(folder.path().join("conf/tenure.toml"), file).unwrap();
    let environment = Environment::new(folder.path(), variables.iter().copied());
    let sources = Sources::of(environment)
        .with_file(Some("conf/tenure.toml".into()))
        .with_flags(flags);
    let config = Config::load(&sources).map_err(|error| error.to_string());
    (folder, config)
}

fn refused(variables: &[(&str, &str)]) -> String {
    load("", variables, Flags::default()).1.unwrap_err()
}

#[test]
fn a_flag_goes_before_the_environment_that_before_the_file_and_the_file_before_the_default() {
    let listen = |file: &str, variables: &[(&str, &str)], flag: Option<&str>| {
        let flags = Flags {
            listen: flag.map(|flag| flag.parse().unwrap()),
            ..Flags::default()
        };
        let config = load(file, variables, flags).1.unwrap();
        config.listen.to_string()
    };
    let (file, variable) = ("listen = '127.0.0.1:2'", ("TENURE_LISTEN", "127.0.0.1:3"));
    assert_eq!(listen("", &[], None), "127.0.0.1:7310");
    assert_eq!(listen(file, &[], None), "127.0.0.1:2");
    assert_eq!(listen(file, &[variable], None), "127.0.0.1:3");
    assert_eq!(
        listen(file, &[variable], Some("127.0.0.1:4")),
        "127.0.0.1:4"
    );
    assert_eq!(listen(file, &[("TENURE_LISTEN", "")], None), "127.0.0.1:2");
}

#[test]
fn every_key_of_every_type_can_be_given_by_the_environment() {
    let variables = [
        ("TENURE_STORE", "postgres://u@h/db"),
        ("TENURE_CONCURRENCY", "3"),
        ("TENURE_BEHIND_PROXY", "true"),
        ("TENURE_REQUIRE_IF_MATCH", "true"),
        ("TENURE_TLS__CERT_FILE", "cert.pem"),
        ("TENURE_TLS__KEY_FILE", "/key.pem"),
        ("TENURE_AUTH__REQUIRED", "true"),
        ("TENURE_AUTH__OIDC__ISSUER", "https://id.example"),
        ("TENURE_AUTH__OIDC__AUDIENCE", "tenure"),
        ("TENURE_AUTH__OIDC__ROLES", "{ ops = \"operator\" }"),
        ("TENURE_LIMITS__REQUEST_SECONDS", "7"),
        ("TENURE_TELEMETRY__LOG_FORMAT", "json"),
    ];
    let file = "[auth]\nrequired = false\n[limits]\nrequest_seconds = 1\nbody_seconds = 2";
    let (folder, config) = load(file, &variables, Flags::default());
    let config = config.unwrap();
    assert_eq!(config.store, "postgres://u@h/db");
    assert_eq!(config.concurrency, 3);
    assert!(config.behind_proxy && config.require_if_match && config.auth.required);
    // The folder is where the program runs, not where the file is.
    let tls = config.tls.unwrap();
    assert_eq!(tls.cert_file, folder.path().join("cert.pem"));
    assert_eq!(tls.key_file, PathBuf::from("/key.pem"));
    assert_eq!(
        config.auth.oidc.unwrap().roles["ops"],
        tenure::Role::Operator
    );
    let limits = (config.limits.request, config.limits.body);
    assert_eq!(limits, (Duration::from_secs(7), Duration::from_secs(2)));
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
}

#[test]
fn paths_start_from_the_file_in_the_file_and_from_the_working_folder_elsewhere() {
    let store = |file, variables: &[(&str, &str)], flag: Option<&str>| {
        let flags = Flags {
            store: flag.map(str::to_owned),
            ..Flags::default()
        };
        let (folder, config) = load(file, variables, flags);
        let here = format!("sqlite:{}/", folder.path().display());
        config.unwrap().store.replace(&here, "HERE ")
    };
    let (file, variable) = ("store = 'sqlite:a.db'", ("TENURE_STORE", "sqlite:b.db"));
    assert_eq!(store(file, &[], None), "HERE conf/a.db");
    assert_eq!(store(file, &[variable], None), "HERE b.db");
    assert_eq!(store(file, &[variable], Some("sqlite:c.db")), "HERE c.db");
    assert_eq!(store("", &[], None), "HERE conf/.tenure/tenure.db");
    let nothing = Sources::of(Environment::new("/srv", NOTHING));
    assert_eq!(nothing.file(), None);
    let config = Config::load(&nothing).unwrap();
    assert_eq!(config.store, "sqlite:/srv/.tenure/tenure.db");
}

#[test]
fn the_url_of_a_store_may_stand_in_a_file() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let secret = file("secret", "postgres://u:hunter2@h/db\n");
    let of_env = ("TENURE_STORE_FILE", secret.as_str());
    let load = |file: &str, variables: &[(&str, &str)]| load(file, variables, Flags::default()).1;
    let store = |file: &str, variables: &[(&str, &str)]| load(file, variables).unwrap().store;
    let of_file = format!("store_file = '{secret}'");
    assert_eq!(store(&of_file, &[]), "postgres://u:hunter2@h/db");
    // The higher layer goes before the lower, whichever of the two it has.
    assert_eq!(store("store = 'x'", &[of_env]), "postgres://u:hunter2@h/db");
    assert_eq!(
        store(&of_file, &[("TENURE_STORE", "sqlite:/b")]),
        "sqlite:/b"
    );
    let relative = file("relative", "sqlite:c.db");
    let expected = format!("sqlite:{}", folder.path().join("c.db").display());
    assert_eq!(store("", &[("TENURE_STORE_FILE", &relative)]), expected);

    let both = load("", &[of_env, ("TENURE_STORE", "sqlite:/b")]).unwrap_err();
    assert_eq!(
        both,
        "environment variable TENURE_STORE_FILE: stands beside store; keep one of them"
    );
    let both = load(&format!("store = 'x'\n{of_file}"), &[]).unwrap_err();
    assert!(
        both.contains("tenure.toml:2: store_file stands beside store"),
        "{both}"
    );
    let none = load("store_file = 'none'", &[]).unwrap_err();
    assert!(none.contains("store_file can't be read"), "{none}");
    for bad in ["", "postgres://u:hunter2@h/db and more"] {
        let bad = file("bad", bad);
        let error = load("", &[("TENURE_STORE_FILE", &bad)]).unwrap_err();
        assert!(error.contains("must name a file with one URL"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest() {
    for (variable, help) in [
        ("TENURE_LISSTEN", "did you mean TENURE_LISTEN?"),
        (
            "TENURE_TLS_CERT_FILE",
            "did you mean TENURE_TLS__CERT_FILE?",
        ),
        (
            "TENURE_LIMITS__REQUEST_SECOND",
            "did you mean TENURE_LIMITS__REQUEST_SECONDS?",
        ),
        ("TENURE_TOKENFILE", "did you mean TENURE_TOKEN_FILE?"),
        (
            "TENURE_CLASSES__A__PULL",
            "classes stand in the file, as [classes.NAME]",
        ),
        (
            "TENURE_WORKERS",
            "workers stand in the file, as [workers.NAME]",
        ),
        ("TENURE_QQQ", "unset it"),
    ] {
        let error = refused(&[(variable, "hunter2")]);
        let expected = format!("unknown environment variable {variable}; {help}");
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_a_variable_must_be_is_said_and_what_it_is_never() {
    for (variable, rule) in [
        (
            "TENURE_LISTEN",
            "must be an IP address and a port, such as 127.0.0.1:7310",
        ),
        ("TENURE_CONCURRENCY", "must be 1 to 1000"),
        ("TENURE_AUTH__REQUIRED", "must be true or false"),
        (
            "TENURE_AUTH__OIDC__ROLES",
            "must be a table of strings, such as { a = \"b\" }",
        ),
        ("TENURE_TELEMETRY__LOG_FORMAT", "must be auto, text or json"),
        (
            "TENURE_TELEMETRY__OTLP_ENDPOINT",
            "must be an http:// or https:// address",
        ),
    ] {
        let error = refused(&[(variable, "hunter2")]);
        let expected = format!("environment variable {variable}: {rule}");
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    for number in ["0", "1001", "-1", "1.5", " 3", "99999999999999999999"] {
        let error = refused(&[("TENURE_CONCURRENCY", number)]);
        assert!(error.ends_with("must be 1 to 1000"), "{number}: {error}");
    }
    let no_text = OsString::from_vec(vec![0xff]);
    let environment = Environment::new("/", [("TENURE_STORE", no_text)]);
    let error = Config::load(&Sources::of(environment)).unwrap_err();
    let expected = "environment variable TENURE_STORE: must be text in UTF-8";
    assert_eq!(error.to_string(), expected);
    // A key that is missing is missing to the variable that began its table.
    assert_eq!(
        refused(&[("TENURE_TLS__CERT_FILE", "x")]),
        "environment variable TENURE_TLS__CERT_FILE: tls.key_file must name a PEM file"
    );
    let file = "[tls]\nkey_file = 'k'\n";
    let ended = load(
        file,
        &[("TENURE_AUTH__OIDC__ISSUER", "x")],
        Flags::default(),
    );
    let error = ended.1.unwrap_err();
    for line in [
        "toml:1: tls.cert_file must name",
        "variable TENURE_AUTH__OIDC__ISSUER: must be the https://",
        "variable TENURE_AUTH__OIDC__ISSUER: auth.oidc.audience must be",
    ] {
        assert!(error.contains(line), "{line}: {error}");
    }
    let flags = Flags {
        store: Some("hunter2".to_owned()),
        ..Flags::default()
    };
    let error = load("", &NOTHING, flags).1.unwrap_err();
    assert!(
        error.starts_with("flag --store: must be sqlite:PATH"),
        "{error}"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let file = "listen = 'x'\nconcurrency = true\nlisst = 1\n[classes.a]\nexec = 3";
    let error = load(file, &[("TENURE_QQQ", "x")], Flags::default())
        .1
        .unwrap_err();
    for line in [
        "5 mistakes",
        "toml:1: listen",
        "toml:2: conc",
        "toml:3: unk",
        "toml:5: ",
        "_QQQ",
    ] {
        assert!(error.contains(line), "{line}: {error}");
    }
    let rules = "concurrency = 0\nlimits = { body_seconds = 0 }\nclasses = { a = {}, b = {} }";
    let error = parse(rules).unwrap_err();
    assert!(
        error.starts_with("4 mistakes in the configuration\n  demo/tenure.toml:1: conc"),
        "{error}"
    );
}

#[test]
fn what_kubernetes_sets_for_a_service_called_tenure_is_no_mistake() {
    let links = [
        ("TENURE_SERVICE_HOST", "10.0.0.1"),
        ("TENURE_SERVICE_PORT", "7310"),
        ("TENURE_SERVICE_PORT_HTTP", "7310"),
        ("TENURE_PORT", "tcp://10.0.0.1:7310"),
        ("TENURE_PORT_7310_TCP", "tcp://10.0.0.1:7310"),
        ("TENURE_PORT_7310_TCP_ADDR", "10.0.0.1"),
        ("TENURE_STORE_SERVICE_HOST", "10.0.0.1"),
    ];
    load("", &links, Flags::default()).1.unwrap();
    assert!(refused(&[("TENURE_PORT", "7310")]).contains("TENURE_PORT;"));
}

#[test]
fn the_environment_names_the_file() {
    let environment = Environment::new("/srv", [("TENURE_CONFIG", "conf/a.toml")]);
    let sources = Sources::of(environment);
    assert_eq!(sources.file(), Some(Path::new("/srv/conf/a.toml")));
    let sources = sources.with_file(Some("b.toml".into()));
    assert_eq!(sources.file(), Some(Path::new("b.toml")));
}

#[test]
fn p12_no_mistake_in_the_file_shows_what_is_in_its_line() {
    for text in [
        "store = 'postgres://u:hunter2@h/db",
        "store = [\"postgres://u:hunter2@h/db\"]",
        "store = 'postgres://u:hunter2@h/db' x",
        "store = 'a'\nstore = 'postgres://u:hunter2@h/db'",
        "[classes.a]\nexec = ['x']\nenv = 'hunter2'",
        "[classes.a]\nexec = 'hunter2'",
        "listen = 'hunter2'",
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with("demo/tenure.toml:"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let environment = Environment::new("/", [("TENURE_STORE", "postgres://u:hunter2@h/db")]);
    let flags = Flags {
        store: Some("postgres://u:hunter2@h/db".to_owned()),
        ..Flags::default()
    };
    let shown = format!("{:?}", Sources::of(environment).with_flags(flags));
    assert!(
        !shown.contains("hunter2") && shown.contains("TENURE_STORE"),
        "{shown}"
    );
}

/// Every variable that the program reads or sets is known to it when another `tenure` inherits it.
#[test]
fn no_variable_of_tenure_itself_is_unknown() {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What tests make up is not the program's.
                if !path.ends_with("tests") {
                    folders.push(path);
                }
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("\"TENURE_").skip(1) {
                let is_end = |c: char| c != '_' && !c.is_ascii_alphanumeric();
                let name = rest.split(is_end).next().unwrap();
                seen.insert(format!("TENURE_{name}"));
            }
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    let given = seen.iter().map(|name| (name.as_str(), "1"));
    let mut wrong = Vec::new();
    Environment::new("/", given).keys(&mut wrong);
    let unknown = |error: &ConfigError| matches!(error, ConfigError::UnknownVariable { name, .. } if name != "TENURE_");
    assert!(!wrong.iter().any(unknown), "{wrong:?}");
}
