//! What a server logs where no terminal is: JSON, a line an event, that tells each request apart.

use serde_json::{Value, json};

use crate::metrics::ask;
use crate::support::{Background, Ended, Project, tenure};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A provisioner with something to hide, whose target is away when it is first asked.
const TELLING: &str = r#"#!/bin/sh
read -r request
op=$(printf %s "$request" | sed 's/.*"operation_id":"\([^"]*\)".*/\1/')
say() { printf '{"contract":"tenure.provisioner/v1","operation_id":"%s",%s}\n' "$op" "$1"; }
failed='"result":"failed","message":"a word of the target"'
case $request in
*'"plan":"broken"'*) say "$failed,\"reason\":\"PlanBroken\",\"permanent\":true" ;;
*) if [ -e "$0.up" ]; then say '"result":"done","message":"a word of the target"'
   else touch "$0.up"; say "$failed,\"reason\":\"Away\""; fi ;;
esac
"#;

/// The lines about operations that have ended.
pub(crate) fn ended(said: &[String]) -> Vec<Value> {
    let lines = said.iter().map(|line| parsed(line));
    lines
        .filter(|line| line["message"] == "an operation has ended")
        .collect()
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Serves until `during` is over; all that it said.
fn said(project: &Project, arguments: &[&str], during: impl FnOnce(&str)) -> Vec<String> {
    let mut server = Background::start(tenure(project.path(), arguments));
    let url = server.url();
    during(url.trim_end_matches('"'));
    server.terminate();
    std::mem::take(&mut server.said)
}

#[test]
fn each_line_is_json_and_says_which_request_it_is_about() {
    let project = Project::small();
    let headers = format!(
        "tenure-actor: user:me\r\nx-request-id: theirs\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"
    );
    let mut ids = Vec::new();
    let said = said(&project, &["serve"], |url| {
        let (head, _) = ask(url, "POST", "/v1/tenants/nobody/hold", &headers);
        assert!(head.contains(" 404 "), "{head}");
        let id = |line: &str| Some(line.split_once("tenure-request-id: ")?.1.to_owned());
        ids.extend(head.lines().find_map(id));
        ask(url, "GET", "/v1/tenants", "");
    });
    let lines: Vec<Value> = said.iter().map(|line| parsed(line)).collect();
    for line in &lines {
        for key in ["time", "level", "target", "message"] {
            assert!(line[key].is_string(), "no {key}: {line}");
        }
    }
    let open = |line: &&Value| {
        line["message"]
            .as_str()
            .unwrap()
            .contains("auth.required = true")
    };
    assert_eq!(lines.iter().find(open).unwrap()["level"], "warn");
    let requests: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "request")
        .collect();
    let [line] = requests.as_slice() else {
        panic!("reading is for those who ask: {requests:#?}")
    };
    assert_eq!(
        Some(line["request_id"].as_str().unwrap()),
        ids.first().map(String::as_str)
    );
    let expected = json!({
        "level": "info", "trace_id": TRACE, "method": "POST", "actor": "user:me",
        "route": "/v1/tenants/{tenant}/hold", "status": 404, "code": "tenant_not_found",
        "client_id": "theirs",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} of {line}");
    }
    assert!(
        !said.join("\n").contains("nobody"),
        "paths are no business of logs"
    );
}

#[test]
fn whoever_asks_for_more_is_told_of_reading_with_a_trace_of_its_own() {
    let project = Project::small();
    let said = said(&project, &["serve", "-v"], |url| {
        ask(url, "GET", "/v1/tenants", "traceparent: 00-garbage\r\n");
    });
    let lines = said.iter().map(|line| parsed(line));
    let line = lines
        .into_iter()
        .find(|line| line["route"] == "/v1/tenants")
        .unwrap();
    let id = line["request_id"].as_str().unwrap().replace('-', "");
    assert_eq!(
        (&line["trace_id"], &line["level"]),
        (&id.into(), &"debug".into())
    );
}

#[test]
fn people_who_want_text_get_text() {
    let project = Project::small();
    let config = project.read("tenure.toml");
    project.write(
        "tenure.toml",
        &format!("{config}\n[telemetry]\nlog_format = 'text'\n"),
    );
    let said = said(&project, &["serve"], |_| ());
    assert!(said.iter().all(|line| !line.starts_with('{')), "{said:#?}");
    assert!(
        said.iter()
            .any(|line| line.starts_with("serving on http://")),
        "{said:#?}"
    );
}

#[test]
fn each_operation_that_ends_is_a_line_and_so_is_a_breaker_that_turns() {
    let project = Project::small();
    project.write("provision.sh", TELLING);
    let config = project.read("tenure.toml");
    let breaker = "breaker = { failures = 1, cooldown_seconds = 1 }\n";
    project.write("tenure.toml", &format!("{config}{breaker}"));
    let mut ids = Vec::new();
    let said = said(&project, &["serve"], |url| {
        let run = |arguments: &[&str]| project.run(&[arguments, &["--server", url]].concat());
        for (name, plan, exit) in [("acme", "gold", 0), ("initech", "broken", 1)] {
            let manifest = format!("name: {name}\nclass: shared\ndesired: {{plan: {plan}}}\n");
            let apply = ["apply", "-f", "-", "--server", url];
            project.run_with(&apply, &manifest).with(0);
            run(&["wait", name, "--timeout", "100s"]).with(exit);
            let got = run(&["get", name, "-o", "json"]).with(0).json();
            ids.push(got["id"].clone());
        }
    });
    let ended = ended(&said);
    let expected = [
        json!({"tenant": ids[0], "level": "warn", "outcome": "failed", "reason": "Away", "attempt": 1}),
        json!({"tenant": ids[0], "level": "info", "outcome": "done", "reason": "Provisioned", "attempt": 2}),
        json!({"tenant": ids[1], "level": "warn", "outcome": "halted", "reason": "PlanBroken", "attempt": 1}),
    ];
    assert_eq!(ended.len(), expected.len(), "{ended:#?}");
    for (line, expected) in ended.iter().zip(&expected) {
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&line[key], value, "{key} of {line}");
        }
        assert_eq!(
            (&line["class"], &line["operation"]),
            (&json!("shared"), &json!("apply"))
        );
        assert!(
            line["fence"].is_string() && line["took_ms"].is_u64(),
            "{line}"
        );
    }
    let level = |words: &str| {
        let mut lines = said.iter().map(|line| parsed(line));
        let line = lines.find(|line| line["message"].as_str().unwrap().contains(words));
        line.map(|line| (line["level"].clone(), line["class"].clone()))
    };
    let of_class = |level| Some((json!(level), json!("shared")));
    assert_eq!(level("the breaker has opened"), of_class("warn"));
    assert_eq!(level("the breaker has closed"), of_class("info"));
    assert!(
        !said.join("\n").contains("a word of the target"),
        "{said:#?}"
    );
}

#[test]
fn an_error_that_ends_a_server_is_told_in_the_format_of_its_log() {
    let project = Project::small();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = project.run(&["serve", "--listen", &address]).with(1);
    let lines: Vec<Value> = ended.err.lines().map(parsed).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "error");
    let why = format!("can't listen on {address}");
    assert!(
        last["message"].as_str().unwrap().starts_with(&why),
        "{last}"
    );

    let config = project.read("tenure.toml");
    let log_format = |format: &str| {
        let telemetry = format!("[telemetry]\nlog_format = '{format}'\n");
        project.write("tenure.toml", &format!("{config}{telemetry}"));
    };
    log_format("text");
    let ended = project.run(&["serve", "--listen", &address]).with(1);
    ended.saying(&[&format!("error: {why}")]);
    log_format("json");
    let manifest = "name: acme\nclass: shared\ndesired: {plan: gold}\n";
    project.write("tenants.yaml", manifest);
    let ended = project.run(&["up", ".", "--listen", &address]).with(1);
    let last = parsed(ended.err.lines().last().unwrap());
    assert!(
        last["message"].as_str().unwrap().starts_with(&why),
        "{last}"
    );
    // Nothing is silent: who wants no log is told as by any command.
    let mut quiet = tenure(project.path(), &["serve", "--listen", &address]);
    let ended: Ended = quiet.env("TENURE_LOG", "off").output().unwrap().into();
    ended.with(1).saying(&[&format!("error: {why}")]);
}
