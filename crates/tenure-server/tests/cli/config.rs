//! `tenure config`, and the layers of the configuration as the program reads them.

use crate::support::{Background, Ended, Project, tenure};

/// Runs a command with these variables of the environment.
fn run_in(project: &Project, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = tenure(project.path(), arguments);
    command
        .envs(variables.iter().copied())
        .output()
        .unwrap()
        .into()
}

#[test]
fn each_layer_goes_before_the_next_and_show_says_which_did() {
    let project = Project::small();
    project.write(
        "tenure.toml",
        "listen = '127.0.0.1:2'\nconcurrency = 2\n[auth]\nrequired = true\n",
    );
    let variables = [
        ("TENURE_LISTEN", "127.0.0.1:3"),
        ("TENURE_CONCURRENCY", "3"),
    ];
    let show = |more: &[&str]| {
        let arguments = [&["config", "show"], more].concat();
        run_in(&project, &variables, &arguments).with(0)
    };
    let shown = show(&["--origin", "--listen", "127.0.0.1:4"]).out;
    let lines: Vec<String> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "KEY VALUE FROM",
        "listen \"127.0.0.1:4\" flag --listen",
        "concurrency 3 environment TENURE_CONCURRENCY",
        "auth.required true tenure.toml:4",
        "limits.body_seconds 20 default",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line}\n{shown}");
    }
    let json = show(&["-o", "json"]).json();
    assert_eq!(json["listen"], "127.0.0.1:3");
    assert_eq!(json["limits"]["requests_burst"], 400);
    let path = show(&["-o", "jsonpath={.auth.required}"]).out;
    assert_eq!(path.trim(), "true");
    let items = show(&["--origin", "-o", "json"]).json();
    assert_eq!(items["items"][0]["origin"], "default");
    // What is shown is a configuration itself.
    project.write("again.toml", &show(&[]).out);
    let again = project.run(&["config", "show", "--config", "again.toml"]);
    assert_eq!(again.with(0).out, show(&[]).out);
}

#[test]
fn a_server_listens_where_the_environment_says_and_a_flag_goes_before() {
    let project = Project::small();
    project.write("conf.toml", "listen = '127.0.0.1:1'\n");
    let mut command = tenure(project.path(), &["serve"]);
    command
        .env("TENURE_CONFIG", "conf.toml")
        .env("TENURE_LISTEN", "127.0.0.1:0")
        .env("TENURE_STORE_FILE", "url");
    project.write("url", "sqlite:elsewhere.db\n");
    let mut server = Background::start(command);
    let url = server.url();
    project.run(&["counts", "--server", &url]).with(0);
    assert!(project.path().join("elsewhere.db").exists());
    assert!(!project.database().exists());
    server.kill();

    let mut command = tenure(project.path(), &["serve", "--listen", "127.0.0.1:0"]);
    command.env("TENURE_LISTEN", "127.0.0.1:1");
    let mut server = Background::start(command);
    assert!(server.url().starts_with("http://127.0.0.1:"));
}

#[test]
fn up_and_doctor_go_by_the_environment_too() {
    let project = Project::small();
    let unknown = [("TENURE_CONCURENCY", "3")];
    let says = "unknown environment variable TENURE_CONCURENCY; did you mean TENURE_CONCURRENCY?";
    let commands: [&[&str]; 5] = [
        &["up", "."],
        &["serve"],
        &["doctor", "--store", "sqlite:none.db"],
        &["config", "show"],
        &["config", "check"],
    ];
    for command in commands {
        run_in(&project, &unknown, command).with(1).saying(&[says]);
    }
    // What goes to a server has no configuration, and goes there; but the variable is meant for something.
    let whoami = ["whoami", "--server", "http://127.0.0.1:1"];
    run_in(&project, &unknown, &whoami)
        .with(1)
        .saying(&["warning: ", says, "no server answers"]);
}

/// So that no password stands in a command line, which every user of a machine can read.
#[test]
fn migrate_and_doctor_take_the_store_of_the_environment() {
    let project = Project::small();
    project.write("url", "sqlite:elsewhere.db\n");
    let of_file = [("TENURE_STORE_FILE", "url")];
    run_in(&project, &of_file, &["migrate"]).with(0);
    assert!(project.path().join("elsewhere.db").exists());
    run_in(&project, &of_file, &["doctor"]).with(0);
    run_in(
        &project,
        &[("TENURE_STORE", "sqlite:elsewhere.db")],
        &["doctor"],
    )
    .with(0);
    let flag = ["doctor", "--store", "sqlite:gone.db"];
    run_in(&project, &of_file, &flag)
        .with(1)
        .saying(&["gone.db"]);
    let says = ["name it with --store URL, or TENURE_STORE_FILE"];
    project.run(&["migrate"]).with(2).saying(&says);
    let gone = [("TENURE_STORE_FILE", "gone")];
    let says = ["environment variable TENURE_STORE_FILE: can't be read"];
    run_in(&project, &gone, &["migrate"]).with(1).saying(&says);
}

#[test]
fn check_finds_every_mistake_in_what_the_configuration_names() {
    let project = Project::small();
    let check = ["config", "check"];
    let good = project.run(&check).with(0);
    assert_eq!(good.out, "ok: tenure.toml: 1 class, 0 workers\n");
    assert!(!project.database().exists());

    project.write("tenure.toml", "listne = 'x'\nconcurrency = 'many'\n");
    let ended = project.run(&check).with(1);
    assert_eq!(
        ended.err,
        "error: 2 mistakes in the configuration\n  \
         tenure.toml:1: unknown key listne; did you mean listen?\n  \
         tenure.toml:2: concurrency must be 1 to 1000\n"
    );
    project.write(
        "tenure.toml",
        "listen = '0.0.0.0:1'\n\
         [tls]\ncert_file = 'cert.pem'\nkey_file = 'key.pem'\n\
         [auth.oidc]\nissuer = 'https://id.example'\naudience = 'a'\nroles = { a = 'viewer' }\n\
         ca_file = 'id.pem'\n\
         [classes.a]\nexec = ['./gone']\n\
         [classes.b]\nhttp = 'https://p.example'\nsigning_secret_file = 'signing'\n\
         [classes.c]\nhttp = 'https://p.example'\nca_file = 'ca.pem'\n",
    );
    let lines = [
        "a server can't use this configuration",
        "tenure.toml:1: 0.0.0.0:1 can be reached from other machines",
        "tenure.toml:3: tls.cert_file: can't read",
        "tenure.toml:9: auth.oidc.ca_file: can't read",
        "tenure.toml:11: classes.a.exec: there is no program",
        "tenure.toml:14: the class b: can't read signing_secret_file",
        "tenure.toml:17: the class c: ca_file",
    ];
    let ended = project.run(&check).with(1).saying(&lines);
    let places = lines.map(|line| ended.err.find(line));
    assert!(places.is_sorted(), "{}", ended.err);
    let missing = ["config", "check", "--config", "none.toml"];
    project
        .run(&missing)
        .with(1)
        .saying(&["can't read none.toml"]);
}

#[test]
fn the_example_and_the_schema_are_what_check_goes_by() {
    let project = Project::small();
    let example = project.run(&["config", "example"]).with(0).out;
    project.write("tenure.toml", &example);
    let good = project.run(&["config", "check"]).with(0);
    assert_eq!(good.out, "ok: tenure.toml: 0 classes, 0 workers\n");
    let shown = |config: &str| {
        let run = project.run(&["config", "show", "--config", config]);
        run.with(0).out
    };
    project.write("empty.toml", "");
    assert_eq!(shown("tenure.toml"), shown("empty.toml"));
    let schema = project.run(&["config", "schema"]).with(0).json();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let show = ["config", "show", "-o", "json"];
    let whole = project.run(&show).with(0).json();
    assert!(validator.is_valid(&whole), "{whole}");
    assert!(!validator.is_valid(&serde_json::json!({ "listne": "x" })));
}

/// Whether a configuration is good, bad or of no use, no password in it is ever told.
#[test]
fn p12_no_command_tells_a_password() {
    let project = Project::small();
    let url = "postgres://u:hunter2@127.0.0.1:1/db?application_name=hunter2";
    let secrets = "exec = ['sh', '--token=hunter2']\nenv = { TOKEN = 'hunter2' }\n\
                   defaults = { password = 'hunter2' }\n";
    project.write("url", url);
    let file = |store: &str| format!("listen = '127.0.0.1:0'\n{store}\n[classes.a]\n{secrets}");
    let in_file = file(&format!("store = '{url}'"));
    let unclosed = file(&format!("store = '{url}"));
    let no_text = file(&format!("store = ['{url}']"));
    let plain = file("");
    for (text, variables) in [
        (&in_file, vec![]),
        (&unclosed, vec![]),
        (&no_text, vec![]),
        (&plain, vec![("TENURE_STORE", url)]),
        (&plain, vec![("TENURE_STORE_FILE", "url")]),
        (
            &plain,
            vec![("TENURE_STORE", url), ("TENURE_STORE_FILE", "url")],
        ),
        (&plain, vec![("TENURE_LISTEN", url)]),
        (&plain, vec![("TENURE_STROE", url)]),
        (&plain, vec![("TENURE_AUTH__OIDC__ROLES", url)]),
    ] {
        project.write("tenure.toml", text);
        let commands: [&[&str]; 6] = [
            &["config", "show"],
            &["config", "show", "--origin"],
            &["config", "show", "-o", "json"],
            &["config", "show", "--origin", "-o", "yaml"],
            &["config", "check"],
            &["serve"],
        ];
        for command in commands {
            let ended = run_in(&project, &variables, command);
            let told = format!("{}{}", ended.out, ended.err);
            assert!(
                !told.contains("hunter2"),
                "{command:?} {variables:?}: {told}"
            );
            assert!(!told.is_empty());
        }
    }
}
