//! Servers with names, tokens and certificates: where a command goes, and what it shows there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Ended, Project, tenure};

/// The program with a folder of its own for contexts.
fn command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = tenure(project.path(), arguments);
    command.env("XDG_CONFIG_HOME", project.path().join("config"));
    command
}

fn run(project: &Project, arguments: &[&str]) -> Ended {
    command(project, arguments).output().unwrap().into()
}

#[test]
fn contexts_are_kept_listed_used_and_forgotten() {
    let project = Project::small();
    project.write("token", "tnr_of_prod\n");
    let empty = run(&project, &["context", "list"]).with(0);
    assert_eq!(empty.out, "CURRENT  NAME  SERVER  TOKEN FILE\n");
    run(&project, &["context", "show"])
        .with(2)
        .saying(&["context use NAME"]);
    run(&project, &["context", "set", "prod"])
        .with(2)
        .saying(&["--server URL"]);
    let set = [
        "context",
        "set",
        "prod",
        "--server",
        "https://tenure.example.com",
    ];
    let set = [&set[..], &["--token-file", "token"]].concat();
    assert_eq!(
        run(&project, &set).with(0).out,
        "prod set; it is the context now\n"
    );
    let set = [
        "context",
        "set",
        "here",
        "--server",
        "http://127.0.0.1:9",
        "--actor",
        "user:eve",
    ];
    assert_eq!(run(&project, &set).with(0).out, "here set\n");

    let file = project.path().join("config/tenure/contexts.toml");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("tnr_of_prod"), "{text}");

    // The token's file is found from any folder.
    let token = project.path().canonicalize().unwrap().join("token");
    let shown = run(&project, &["context", "show", "-o", "json"])
        .with(0)
        .json();
    assert_eq!(shown["token_file"], token.to_str().unwrap());
    let used = run(&project, &["context", "use", "here"]).with(0);
    assert_eq!(used.out, "here is the context now\n");
    run(&project, &["list"])
        .with(1)
        .saying(&["no server answers at http://127.0.0.1:9"]);
    run(&project, &["context", "use", "nope"])
        .with(2)
        .saying(&["there are here, prod"]);
    // Another server gets nothing that was meant for the one before.
    let moved = [
        "context",
        "set",
        "prod",
        "--server",
        "https://other.example.com",
    ];
    run(&project, &moved).with(0);
    let shown = run(&project, &["context", "show", "prod", "-o", "json"])
        .with(0)
        .json();
    assert!(shown.get("token_file").is_none(), "{shown}");
    let gone = run(&project, &["context", "delete", "here"]).with(0);
    assert_eq!(gone.out, "here deleted; no context is current now\n");
    assert_eq!(
        run(&project, &["context", "list", "-o", "name"])
            .with(0)
            .out,
        "prod\n"
    );
}

#[test]
fn contexts_that_can_not_be_read_are_told_with_what_is_wrong() {
    let project = Project::small();
    let set = [
        "context",
        "set",
        "prod",
        "--server",
        "https://tenure.example.com",
    ];
    run(&project, &set).with(0);
    project.write("config/tenure/contexts.toml", "curent = 'x'\n");
    run(&project, &["list"])
        .with(1)
        .saying(&["contexts.toml", "curent", "correct it"]);
}

#[test]
fn a_flag_counts_before_the_environment_and_that_before_a_context() {
    let project = Project::small();
    let at = |port: &str| format!("http://127.0.0.1:{port}");
    for (name, port) in [("one", "1"), ("two", "2")] {
        run(&project, &["context", "set", name, "--server", &at(port)]).with(0);
    }
    let asked = |arguments: &[&str], env: &[(&str, &str)]| {
        let arguments = [&["list"], arguments].concat();
        let mut command = command(&project, &arguments);
        let ended: Ended = command.envs(env.iter().copied()).output().unwrap().into();
        ended.with(1).err
    };
    let three = at("3");
    for (arguments, env, port) in [
        (&[][..], &[][..], "1"),
        (&[], &[("TENURE_CONTEXT", "two")], "2"),
        (
            &["--context", "two"],
            &[("TENURE_SERVER", "http://127.0.0.1:4")],
            "2",
        ),
        (
            &[],
            &[
                ("TENURE_SERVER", "http://127.0.0.1:4"),
                ("TENURE_CONTEXT", "two"),
            ],
            "4",
        ),
        (
            &["--server", &three],
            &[("TENURE_SERVER", "http://127.0.0.1:4")],
            "3",
        ),
    ] {
        let said = asked(arguments, env);
        assert!(
            said.contains(&format!("answers at {} ", at(port))),
            "{arguments:?}: {said}"
        );
    }
    let both = ["list", "--server", &three, "--context", "two"];
    run(&project, &both).with(2).saying(&["keep one"]);
    let both = ["list", "--store", "sqlite:x.db", "--context", "two"];
    run(&project, &both)
        .with(2)
        .saying(&["--store goes to no server"]);
    let mut nope = command(&project, &["list"]);
    let nope: Ended = nope.env("TENURE_CONTEXT", "nope").output().unwrap().into();
    nope.with(2).saying(&[
        "there is no context nope (TENURE_CONTEXT)",
        "there are one, two",
    ]);
}

#[test]
fn p12_a_token_is_not_sent_where_others_could_read_it_and_never_shown() {
    let project = Project::small();
    project.write("token", "tnr_secret\n");
    project.write("bad", "two words\n");
    let far = [
        "list",
        "--server",
        "http://192.0.2.1:7310",
        "--token-file",
        "token",
    ];
    let ended = run(&project, &far).with(2);
    let ended = ended.saying(&["plain HTTP", "nothing was sent", "--token-file", "ssh -L"]);
    assert!(!ended.err.contains("tnr_secret"), "{}", ended.err);
    let bad = run(&project, &["list", "--token-file", "bad"]).with(2);
    let bad = bad.saying(&["the file bad (--token-file) must hold one token"]);
    assert!(!bad.err.contains("two words"), "{}", bad.err);
    let none = ["list", "--token-file", "no such"];
    run(&project, &none)
        .with(2)
        .saying(&["no such (--token-file)", "name another file"]);
    let mut variable = command(&project, &["list", "--server", "http://192.0.2.1:7310"]);
    let ended: Ended = variable
        .env("TENURE_TOKEN", "tnr_x")
        .output()
        .unwrap()
        .into();
    ended.with(2).saying(&["TENURE_TOKEN"]);
    let name = ["list", "--server", "https://user:pass@x"];
    run(&project, &name)
        .with(2)
        .saying(&["without a path or user name"]);
}

/// Answers one request with a status and a body; gives the head that it read.
fn answer(stream: &mut (impl std::io::Read + std::io::Write), answer: &str) -> String {
    let mut head = String::new();
    let mut reader = BufReader::new(&mut *stream);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let (status, body) = answer.split_once(' ').unwrap();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).unwrap();
    stream.flush().unwrap();
    head.to_lowercase()
}

#[test]
fn p12_who_is_refused_learns_what_to_do() {
    let project = Project::small();
    project.write("token", "tnr_mine\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let refusal = |status: &str, code: &str, arguments: &[&str]| {
        let body = format!(r#"{status} {{"code":"{code}","detail":"no"}}"#);
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| answer(&mut listener.accept().unwrap().0, &body));
            let arguments = [&["list", "--server", &url], arguments].concat();
            let ended = run(&project, &arguments);
            (serving.join().unwrap(), ended)
        })
    };
    let (head, ended) = refusal("401", "unauthenticated", &[]);
    ended
        .with(6)
        .saying(&["--token-file", "tenure token create"]);
    assert!(!head.contains("authorization"), "{head}");
    let (head, ended) = refusal("401", "unauthenticated", &["--token-file", "token"]);
    ended
        .with(6)
        .saying(&["the file token (--token-file) is not taken"]);
    assert!(head.contains("authorization: bearer tnr_mine"), "{head}");
    let (_, ended) = refusal("403", "forbidden", &["--token-file", "token"]);
    ended.with(6).saying(&["tenure whoami"]);
}

/// Makes `key.pem` and the certificate `ca.pem`, and serves an empty list with them. Answers where.
fn speaks_tls(project: &Project, constraints: &str) -> String {
    let path = |name: &str| project.path().join(name);
    let made = Command::new("openssl")
        .args(
            "req -x509 -days 1 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(' '),
        )
        .args([
            "-subj",
            "/CN=tenure-test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", &format!("basicConstraints={constraints}")])
        .arg("-keyout")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("ca.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = CertificateDer::from_pem_file(path("ca.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(path("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream: StreamOwned<_, TcpStream> = StreamOwned::new(connection, stream);
            // A client that does not trust the certificate hangs up.
            if stream.conn.complete_io(&mut stream.sock).is_ok() {
                answer(&mut stream, r#"200 {"items":[],"next":null}"#);
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    });
    url
}

#[test]
fn p12_a_certificate_is_trusted_if_its_authority_is_named() {
    let project = Project::small();
    let url = speaks_tls(&project, "critical,CA:FALSE");
    let trusting = ["list", "--server", &url, "--ca-file", "ca.pem"];
    run(&project, &trusting).with(0);
    run(&project, &["list", "--server", &url])
        .with(1)
        .saying(&["not trusted", "--ca-file"]);
    run(
        &project,
        &[
            "context",
            "set",
            "tls",
            "--server",
            &url,
            "--ca-file",
            "ca.pem",
        ],
    )
    .with(0);
    run(&project, &["list"]).with(0);
    project.write("none.pem", "");
    let bad = ["list", "--server", &url, "--ca-file", "none.pem"];
    run(&project, &bad)
        .with(2)
        .saying(&["none.pem (--ca-file) must be a file of PEM"]);
}

#[test]
fn a_context_that_no_command_could_use_is_not_kept() {
    let project = Project::small();
    project.write("token", "tnr_of_prod\n");
    let set = |arguments: &[&str]| run(&project, &[&["context", "set"], arguments].concat());
    let far = "http://tenure.example.com:7310";
    set(&["prod", "--server", far, "--token-file", "token"])
        .with(2)
        .saying(&["plain HTTP", "context prod"]);
    let near = "http://127.0.0.1:9";
    set(&["prod", "--server", near, "--token-file", "gone"])
        .with(2)
        .saying(&["the token can't be read", "gone"]);
    for bad in ["", "a b", "-x", "ä"] {
        set(&["--server", near, "--", bad])
            .with(2)
            .saying(&["letters, digits"]);
    }
    assert_eq!(run(&project, &["context", "list", "-o", "name"]).out, "");
}

#[test]
fn a_broken_file_of_contexts_is_in_nobodys_way_who_names_a_server() {
    let project = Project::small();
    std::fs::create_dir_all(project.path().join("config/tenure")).unwrap();
    project.write("config/tenure/contexts.toml", "contexts = 3\n");
    let nobody = "no server answers at http://127.0.0.1:9";
    run(&project, &["list", "--server", "http://127.0.0.1:9"])
        .with(1)
        .saying(&[nobody]);
    run(&project, &["list"]).with(1).saying(&["contexts.toml"]);
}

#[test]
fn a_token_that_everybody_can_read_is_warned_of() {
    let project = Project::small();
    project.write("token", "tnr_mine\n");
    let list = [
        "list",
        "--server",
        "http://127.0.0.1:9",
        "--token-file",
        "token",
    ];
    let mode = |mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(project.path().join("token"), permissions).unwrap();
        run(&project, &list).with(1)
    };
    mode(0o644).saying(&["warning: everybody", "chmod 600 token"]);
    assert!(!mode(0o600).err.contains("warning"));
}

#[test]
fn tls_to_a_server_that_speaks_none_is_told_apart() {
    let project = Project::small();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _told = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        // Until the client has gone.
        let _gone = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let url = format!("https://{address}");
    run(&project, &["list", "--server", &url])
        .with(1)
        .saying(&[&format!("try http://{address}")]);
    serving.join().unwrap();
}

#[test]
fn an_authoritys_own_certificate_is_no_servers() {
    let project = Project::small();
    let url = speaks_tls(&project, "critical,CA:TRUE");
    run(&project, &["list", "--server", &url, "--ca-file", "ca.pem"])
        .with(1)
        .saying(&["an authority's own", "CA:FALSE"]);
}
