//! That the schema, the example and the defaults of the table say what the parser does.

use std::path::PathBuf;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::super::keys::{Below, Keys, Kind, Setting};
use super::super::table::ROOT;
use super::*;

fn validator() -> jsonschema::Validator {
    let schema = schema();
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap()
}

fn json(text: &str) -> Json {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

/// Each key that takes a value, in tables that have what they need beside it.
fn settings() -> Vec<(String, &'static Setting)> {
    fn below(all: &mut Vec<(String, &'static Setting)>, keys: &'static Keys, prefix: &str) {
        for key in keys.all {
            let name = format!("{prefix}{}", key.name);
            match &key.below {
                Below::Value(setting) => all.push((name, setting)),
                Below::Table(keys) | Below::Optional(keys) => below(all, keys, &format!("{name}.")),
                Below::Named(keys) => below(all, keys, &format!("{name}.a.")),
            }
        }
    }
    let mut all = Vec::new();
    below(&mut all, &ROOT, "");
    all
}

/// A configuration that says this of a key, and of others what it needs.
fn with(key: &str, value: &str) -> String {
    let class = "classes.a.exec = ['x']\n";
    let needed = match key {
        "classes.a.exec" | "classes.a.http" | "classes.a.pull" => "",
        key if key.starts_with("classes.") => class,
        _ => "",
    };
    format!("{needed}{key} = {value}")
}

#[test]
fn every_default_of_the_table_is_what_the_parser_takes_without_it() {
    let mut seen = 0;
    for (key, setting) in settings() {
        let root = toml::Table::new();
        let Some(default) = setting.absent.value(&root) else {
            continue;
        };
        if key.starts_with("auth.oidc") {
            let oidc =
                "[auth.oidc]\nissuer = 'https://a'\naudience = 'b'\nroles = { c = 'viewer' }\n";
            let (_, name) = key.rsplit_once('.').unwrap();
            let given = parse(&format!("{oidc}{name} = {default}")).unwrap();
            assert_eq!(format!("{given:?}"), format!("{:?}", parse(oidc).unwrap()));
            continue;
        }
        let without = if key.starts_with("classes.") {
            "classes.a.exec = ['x']"
        } else {
            ""
        };
        // As many as the server runs counts the same, and is said otherwise.
        let said = |config: Config| {
            format!("{config:?}").replace("concurrency: Some(8)", "concurrency: None")
        };
        let given = said(parse(&with(&key, &default.to_string())).unwrap());
        assert_eq!(given, said(parse(without).unwrap()), "{key}");
        seen += 1;
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn every_number_has_the_bounds_of_the_table_in_the_parser_and_in_the_schema() {
    let schema = validator();
    for (key, setting) in settings() {
        let Kind::Number(least, most) = setting.kind else {
            continue;
        };
        let (least, most) = (i64::from(least), i64::from(most));
        for (number, is_good) in [
            (least, true),
            (most, true),
            (least - 1, false),
            (most + 1, false),
        ] {
            let text = with(&key, &number.to_string());
            assert_eq!(parse(&text).is_ok(), is_good, "{text}");
            // What is 32 bits long is a bound of the program, not of what is told.
            if most < i64::from(u32::MAX) || number < most {
                assert_eq!(schema.is_valid(&json(&text)), is_good, "{text}");
            }
        }
    }
}

#[test]
fn what_the_parser_refuses_the_schema_refuses_too() {
    let schema = validator();
    let mut texts: Vec<String> = settings()
        .iter()
        .map(|(key, _)| with(&format!("{key}x"), "1"))
        .collect();
    for text in [
        "classes.a = {}",
        "classes.a = { exec = ['x'], pull = true }",
        "classes.a = { exec = [] }",
        "classes.a = { pull = false }",
        "classes.A = { pull = true }",
        "classes.a = { exec = ['x'], drift = { mode = 'on' } }",
        "classes.a = { exec = ['x'], drift = { paths = ['x'] } }",
        "classes.a = { exec = ['x'], env = { A = 1 } }",
        "classes = 3",
        "store = 'a'\nstore_file = 'b'",
        "tls = { cert_file = 'a' }",
        "auth.oidc = { issuer = 'https://a' }",
        "auth.required = 'yes'",
        "concurrency = '8'",
        "telemetry.log_format = 'xml'",
        "workers.w = { classes = ['p'] }",
        "workers.w = { token_sha256 = 'abc', classes = ['p'] }",
        "workers.w = { token_file = 'a' }",
    ] {
        texts.push(text.to_owned());
    }
    for text in texts {
        parse(&text).unwrap_err();
        assert!(!schema.is_valid(&json(&text)), "{text}");
    }
}

#[test]
fn every_configuration_of_the_repository_is_good_by_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    let mut folders = vec![root.join("examples"), root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is = |name: &str| path.extension().is_some_and(|extension| extension == name);
            if path.ends_with(FILE_NAME) {
                texts.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            } else if is("md") {
                let page = std::fs::read_to_string(&path).unwrap();
                let fences = page.split("```toml\n").skip(1);
                for text in fences.map(|rest| rest.split("```").next().unwrap().to_owned()) {
                    texts.push((path.clone(), text));
                }
            }
        }
    }
    let schema = validator();
    let mut seen = 0;
    for (path, text) in texts {
        // Other files are TOML too.
        if text.contains("[dependencies]") {
            continue;
        }
        let whole = json(&text);
        let error = schema.validate(&whole).err();
        assert!(
            error.is_none(),
            "{}: {}\n{text}",
            path.display(),
            error.unwrap()
        );
        seen += 1;
    }
    assert!(seen >= 6, "{seen}");
}

#[test]
fn the_example_is_the_default_and_what_is_commented_out_is_known() {
    let text = example();
    assert_eq!(
        format!("{:?}", parse(&text).unwrap()),
        format!("{:?}", parse("").unwrap())
    );
    assert!(validator().is_valid(&json(&text)));
    let is_key = |line: &&str| line.contains(" = ") || line.contains('[');
    let marked = text
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line));
    let whole: Vec<&str> = marked
        .filter(|line| !line.ends_with('.'))
        .filter(is_key)
        .collect();
    let (mut layers, mut wrong) = (Layers::default(), Vec::new());
    layers.lay_file(&whole.join("\n"), Path::new("x"), &mut wrong);
    assert!(wrong.is_empty(), "{wrong:?}\n{}", whole.join("\n"));
    assert_eq!(layers.origins.len(), settings().len());
    // What has the type that the table says, the parser can read.
    assert!(layers.whole(&[]).is_ok());
}

const SECRETS: &str = "\
store = 'postgres://u:hunter2@h/db?application_name=hunter2'
telemetry.otlp_endpoint = 'https://u:hunter2@otlp.example/v1'
[classes.a]
exec = ['bin/x', '--token=hunter2']
env = { TOKEN = 'hunter2' }
defaults = { password = 'hunter2', seats = 3, deep = [{ key = 'hunter2' }] }
[classes.b]
http = 'https://p.example:8443/hunter2?token=hunter2'
[classes.c]
pull = true
per_minute = 6
[workers.w]
token_sha256 = 'HASH'
classes = ['c']
";

/// What counts of a file in a folder of its own, with a flag over it.
fn shown(text: &str) -> (TempDir, Vec<Effective>) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
    let variables = [("TENURE_LIMITS__REQUESTS_PER_SECOND", "70")];
    let flags = Flags {
        listen: Some("127.0.0.1:9".parse().unwrap()),
        ..Flags::default()
    };
    let sources = Sources::of(Environment::new(folder.path(), variables)).with_flags(flags);
    let all = effective(&sources).unwrap();
    (folder, all)
}

#[test]
fn each_value_that_counts_is_shown_with_where_it_comes_from() {
    let text = SECRETS.replace("HASH", &Hash::of(b"hunter2").to_string());
    let (folder, all) = shown(&text);
    let of = |key: &str| {
        let found = all.iter().find(|each| each.key == key);
        found.map(|each| format!("{} from {}", each.value, each.origin))
    };
    let program = folder.path().join("bin/x");
    for (key, expected) in [
        ("listen", "\"127.0.0.1:9\" from flag --listen"),
        ("concurrency", "8 from default"),
        ("store", "\"postgres://…@h/db\" from tenure.toml:1"),
        (
            "limits.requests_per_second",
            "70 from environment TENURE_LIMITS__REQUESTS_PER_SECOND",
        ),
        ("limits.requests_burst", "140 from default"),
        (
            "telemetry.otlp_endpoint",
            "\"https://…@otlp.example/v1\" from tenure.toml:2",
        ),
        (
            "classes.a.exec",
            &format!("[\"{}\", \"…\"] from tenure.toml:4", program.display()),
        ),
        ("classes.a.env", "{ TOKEN = \"…\" } from tenure.toml:5"),
        ("classes.a.concurrency", "8 from default"),
        ("classes.a.deadlines.updating", "3600 from default"),
        (
            "classes.b.http",
            "\"https://p.example:8443/…\" from tenure.toml:8",
        ),
        ("classes.c.per_minute", "6 from tenure.toml:11"),
        ("workers.w.token_sha256", "\"…\" from tenure.toml:13"),
    ] {
        assert_eq!(of(key).as_deref(), Some(expected), "{key}");
    }
    for absent in [
        "tls.cert_file",
        "classes.a.per_minute",
        "auth.oidc.name_claim",
        "store_file",
    ] {
        assert_eq!(of(absent), None, "{absent}");
    }
}

#[test]
fn p12_nothing_that_may_be_secret_is_shown() {
    let text = SECRETS.replace("HASH", &Hash::of(b"hunter2").to_string());
    let (_folder, all) = shown(&text);
    let tables = tables(&all);
    let shown = format!("{all:?}{}{}", toml::to_string(&tables).unwrap(), tables);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        !shown.contains(&Hash::of(b"hunter2").to_string()),
        "{shown}"
    );
    assert_eq!(
        tables["classes"]["a"]["defaults"]["seats"].as_integer(),
        Some(3)
    );
}

/// What is shown counts the same when it is read, if nothing in it is hidden.
#[test]
fn what_is_shown_can_be_read_again() {
    let text = "concurrency = 3\n[classes.a]\nexec = ['x']\ndrift = { paths = ['/a'] }\n\
                [classes.b]\nhttp = 'https://p.example/'\nca_file = 'ca.pem'";
    let (folder, all) = shown(text);
    let again = toml::to_string(&tables(&all)).unwrap();
    let (_other, twice) = shown(&again);
    let values = |all: &[Effective]| -> Vec<(String, toml::Value)> {
        all.iter()
            .map(|each| (each.key.clone(), each.value.clone()))
            .collect()
    };
    assert_eq!(values(&all), values(&twice), "{again}");
    let ca = folder.path().join("ca.pem");
    assert!(
        again.contains(&format!("ca_file = \"{}\"", ca.display())),
        "{again}"
    );
}
