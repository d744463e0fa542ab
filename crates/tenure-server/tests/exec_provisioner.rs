//! Exec provisioners that misbehave: each has its own reason, and nothing is ever left behind.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tenure::{
    Change, Clock as _, Command, Context, Decision, Document, Fence, Message, Operation, Step,
    StepState, SystemClock, Tenant, TenantId, Wanted, decide,
};
use tenure_server::config::Exec;
use tenure_server::ids::{IdSource as _, SystemIds};
use tenure_server::provisioner::{
    Answer, CONTRACT, Call, ExecProvisioner, Failure, Fault, Progress, Provisioner, SecretSources,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Far more than any run here needs: a run that hangs fails its test instead of stopping all.
const PATIENCE: Duration = Duration::from_mins(1);

fn tenant(name: &str, annotation: &str) -> Tenant {
    wanted(name, annotation, r#"{"plan":"gold"}"#)
}

fn wanted(name: &str, annotation: &str, desired: &str) -> Tenant {
    let context = Context {
        at: SystemClock.now(),
        actor: "user:test".parse().unwrap(),
        request_id: SystemIds.fresh(),
        message: Message::none(),
    };
    let wanted = Wanted {
        id: TenantId::new(SystemIds.fresh()),
        name: name.parse().unwrap(),
        class: None,
        labels: None,
        annotations: Some(
            tenure::Annotations::parse([("note".to_owned(), annotation.to_owned())].into())
                .unwrap(),
        ),
        desired: Document::parse(desired).unwrap(),
        running: None,
    };
    let Decision::Change(change) = decide(None, &Command::Create(wanted), &context) else {
        panic!("a tenant can be created")
    };
    Change::tenant(&change).clone()
}

/// A folder with a program in it, and one call to run it for.
struct Scene {
    folder: TempDir,
    call: Call,
    deadline: Duration,
    secrets: SecretSources,
    /// Whether the script is run as a program itself. Usually a shell reads it: a file that was just
    /// written can't be run while another test's child has not let go of it yet.
    direct: bool,
}

impl Scene {
    /// A shell script: `$op` is the operation's name, `say RESULT FIELDS` prints a line of an answer.
    fn script(body: &str) -> Self {
        let scene = Self::new();
        let mut text = String::from("#!/bin/sh\n");
        writeln!(
            text,
            "read -r request\nop=$(printf %s \"$request\" | sed 's/.*\"operation_id\":\"\\([^\"]*\\)\".*/\\1/')\n\
             say() {{ printf '{{\"contract\":\"{CONTRACT}\",\"operation_id\":\"%s\",\"result\":\"%s\"%s}}\\n' \
             \"$op\" \"$1\" \"$2\"; }}\n{body}"
        )
        .unwrap();
        std::fs::write(scene.program(), text).unwrap();
        scene
    }

    fn new() -> Self {
        let call = Call {
            operation: Operation::Apply,
            tenant: tenant("acme", "plain"),
            fence: Fence::new(7),
        };
        Self {
            folder: TempDir::new().unwrap(),
            call,
            deadline: PATIENCE,
            secrets: SecretSources::default(),
            direct: false,
        }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("provision")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn provisioner(&self) -> ExecProvisioner {
        let (program, arguments) = if self.direct {
            (self.program(), Vec::new())
        } else {
            (PathBuf::from("sh"), vec!["provision".to_owned()])
        };
        let path = std::env::var_os("PATH").unwrap();
        let exec = Exec {
            program,
            arguments,
            folder: self.folder.path().to_owned(),
            environment: BTreeMap::from([("PATH".to_owned(), path)]),
        };
        ExecProvisioner::new(exec, self.deadline).with_secrets(self.secrets.clone())
    }

    async fn run(&self) -> Answer {
        self.run_with(&CancellationToken::new()).await
    }

    async fn run_with(&self, stop: &CancellationToken) -> Answer {
        let (progress, _told) = watch::channel(Progress::default());
        let provisioner = self.provisioner();
        let run = provisioner.run(&self.call, &progress, stop);
        let answer = timeout(PATIENCE, run).await.expect("the run ends");
        assert_eq!(
            self.left_behind(),
            Vec::<String>::new(),
            "processes of the run are left"
        );
        answer
    }

    async fn fails(&self, reason: &str, says: &str) -> Failure {
        match self.run().await {
            Answer::Failed(failure) => {
                assert_eq!(failure.reason.as_str(), reason, "{}", failure.message);
                assert!(
                    failure.message.as_str().contains(says),
                    "{}",
                    failure.message
                );
                failure
            }
            other => panic!("{other:?} instead of {reason}"),
        }
    }

    /// The living processes that name this run's operation, and zombies among this test's children.
    fn left_behind(&self) -> Vec<String> {
        let mark = format!("TENURE_OPERATION_ID={}", self.call.operation_id());
        let marked = |path: &Path| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        };
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes
            .filter(|entry| marked(&entry.path()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

/// Whether a process is there, be it as a zombie.
fn exists(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

/// Waits until a file is there, which a running program writes.
async fn appears(path: &Path) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ if Instant::now() > end => panic!("{} never appeared", path.display()),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

#[test]
fn the_reference_has_every_fault() {
    let reference = include_str!("../../../docs/reference/provisioner.md");
    for fault in Fault::ALL {
        assert!(
            reference.contains(&format!("| `{}` |", fault.reason())),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_good_answer_is_taken_with_all_it_says() {
    let scene = Scene::script(
        r#"say progress ',"message":"half","steps":[{"name":"a","state":"done"},{"name":"b","state":"running"}]'
        say done ',"observed":{"plan":"gold"},"resources":["db:acme"],"message":"made","steps":[{"name":"b","state":"done"}]'"#,
    );
    let (progress, told) = watch::channel(Progress::default());
    let answer = scene
        .provisioner()
        .run(&scene.call, &progress, &CancellationToken::new())
        .await;
    let Answer::Done {
        observed,
        resources,
        message,
    } = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(observed.unwrap().as_str(), r#"{"plan":"gold"}"#);
    assert_eq!(resources.unwrap(), ["db:acme"]);
    let step = |name| Step::new(name, StepState::Done, Message::none(), None).unwrap();
    let progress = Progress {
        message: Message::lossy("half"),
        steps: vec![step("a"), step("b")],
    };
    assert_eq!((message.as_str(), &*told.borrow()), ("made", &progress));
}

#[tokio::test]
async fn the_request_is_the_contract_and_the_environment_is_bare() {
    let mut scene =
        Scene::script("printf %s \"$request\" >request; env >env; pwd >folder; say done");
    let hostile = "$(touch pwned); `id` ' \" \\ LD_PRELOAD=x ../../etc \n -rf ";
    scene.call.tenant = tenant("acme", hostile);
    assert!(matches!(scene.run().await, Answer::Done { .. }));
    let request: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(scene.path("request")).unwrap()).unwrap();
    let tenant = &scene.call.tenant;
    let expected = serde_json::json!({
        "contract": "tenure.provisioner/v1",
        "operation": "apply",
        "operation_id": format!("{}/1/7/apply", tenant.id),
        "tenant": {
            "id": tenant.id, "name": "acme", "class": "default",
            "labels": {}, "annotations": {"note": hostile},
        },
        "generation": 1, "fence": 7, "desired": {"plan": "gold"}, "running": true,
        "observed": null, "resources": [],
    });
    assert_eq!(request, expected);
    let environment = std::fs::read_to_string(scene.path("env")).unwrap();
    // What a shell sets by itself is not ours.
    let ours: Vec<&str> = environment
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name))
        .collect();
    assert!(
        ours.iter()
            .all(|name| ["PATH", "TENURE_OPERATION_ID"].contains(name)),
        "{ours:?}"
    );
    assert!(!scene.path("pwned").exists());
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let mut scene = Scene::new();
    scene.direct = true;
    scene.fails("ProvisionerMissing", "correct `exec`").await;
}

#[tokio::test]
async fn a_program_that_may_not_be_run_is_named() {
    let mut scene = Scene::script("say done");
    scene.direct = true;
    std::fs::set_permissions(scene.program(), PermissionsExt::from_mode(0o644)).unwrap();
    scene.fails("ProvisionerNotExecutable", "chmod +x").await;
}

#[tokio::test]
async fn rubbish_is_no_answer() {
    Scene::script("echo hello")
        .fails("AnswerMalformed", "notes go to stderr")
        .await;
}

#[tokio::test]
async fn binary_rubbish_is_no_answer() {
    Scene::script("head -c 5000 /dev/urandom; echo")
        .fails("AnswerMalformed", "no JSON")
        .await;
}

#[tokio::test]
async fn silence_is_no_answer() {
    Scene::script("echo oops >&2")
        .fails("AnswerMissing", "it said: oops")
        .await;
}

#[tokio::test]
async fn p11_a_flood_is_cut() {
    let scene = Scene::script("head -c 104857600 /dev/zero; say done");
    scene.fails("OutputTooLarge", "1048576 bytes").await;
}

#[tokio::test]
async fn p11_a_flood_of_good_lines_is_cut() {
    let scene = Scene::script(r#"while :; do say progress ',"message":"on and on"'; done"#);
    scene.fails("OutputTooLarge", "1048576 bytes").await;
}

#[tokio::test]
async fn p11_a_flood_of_notes_is_read_and_forgotten() {
    let scene = Scene::script("head -c 104857600 /dev/zero >&2; echo the end >&2; exit 3");
    let failure = scene.fails("ProvisionerCrashed", "exit status: 3").await;
    assert!(
        failure.message.as_str().contains("the end"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_program_that_never_ends_is_killed_at_its_deadline() {
    let mut scene = Scene::script("echo waiting >&2; exec sleep 1000");
    scene.deadline = Duration::from_millis(300);
    let failure = scene
        .fails("DeadlineExceeded", "raise deadline_seconds")
        .await;
    assert!(!failure.permanent);
}

#[tokio::test]
async fn a_program_that_ignores_signals_is_killed_at_its_deadline() {
    let mut scene = Scene::script("trap '' TERM INT HUP; while :; do sleep 1000; done");
    scene.deadline = Duration::from_millis(300);
    scene.fails("DeadlineExceeded", "was killed").await;
}

#[tokio::test]
async fn an_answer_does_not_excuse_from_ending() {
    let mut scene = Scene::script("say done; exec sleep 1000");
    scene.deadline = Duration::from_millis(500);
    scene.fails("DeadlineExceeded", "did not end").await;
}

#[tokio::test]
async fn a_death_by_signal_is_told() {
    Scene::script("say done; kill -KILL $$")
        .fails("ProvisionerCrashed", "signal: 9")
        .await;
    Scene::script("kill -SEGV $$")
        .fails("ProvisionerCrashed", "signal: 11")
        .await;
}

#[tokio::test]
async fn an_exit_status_is_told_with_the_last_words() {
    Scene::script("echo 'no such plan' >&2; exit 137")
        .fails(
            "ProvisionerCrashed",
            "exit status: 137; it said: no such plan",
        )
        .await;
}

#[tokio::test]
async fn a_told_failure_counts_whatever_the_exit_status() {
    let scene = Scene::script(
        r#"say failed ',"reason":"QuotaExceeded","message":"full","permanent":true'; exit 1"#,
    );
    assert!(scene.fails("QuotaExceeded", "full").await.permanent);
}

#[tokio::test]
async fn p6_an_answer_for_another_operation_is_refused() {
    let scene = Scene::script("op=tnt_of_someone_else/1/1; say done");
    scene
        .fails("AnswerForAnotherOperation", "tnt_of_someone_else/1/1")
        .await;
}

#[tokio::test]
async fn an_answer_of_another_contract_is_refused() {
    let scene = Scene::script(r#"echo '{"contract":"tenure.provisioner/v9","result":"done"}'"#);
    scene
        .fails("ContractUnknown", "tenure.provisioner/v1")
        .await;
}

#[tokio::test]
async fn a_request_that_is_not_read_is_no_fault() {
    let scene = Scene::script("say done");
    // Answers without reading: larger than a pipe holds, the request can't be written to its end.
    let body = format!(
        "#!/bin/sh\nprintf '{{\"contract\":\"{CONTRACT}\",\"operation_id\":\"{}\",\"result\":\"done\"}}\\n'\n",
        scene.call.operation_id()
    );
    std::fs::write(scene.program(), body).unwrap();
    assert!(matches!(scene.run().await, Answer::Done { .. }));
}

#[tokio::test]
async fn children_in_the_background_are_gone_when_the_run_ends() {
    let scene = Scene::script("(sleep 1000 & echo $! >child) & wait; say done");
    assert!(matches!(scene.run().await, Answer::Done { .. }));
    let child = appears(&scene.path("child")).await;
    gone(&child).await;
}

#[tokio::test]
async fn a_daemon_that_left_the_group_is_gone_when_the_run_ends() {
    // Forks twice, into a session of its own, and lets go of every pipe.
    let scene = Scene::script(
        "setsid sh -c 'sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >child' </dev/null\nsay done",
    );
    assert!(matches!(scene.run().await, Answer::Done { .. }));
    let child = appears(&scene.path("child")).await;
    gone(&child).await;
}

#[tokio::test]
async fn a_daemon_that_holds_the_pipes_does_not_hold_the_run() {
    let mut scene =
        Scene::script("setsid sh -c 'sleep 1000 & echo $! >child'\nsay done\nexec sleep 1000");
    scene.deadline = Duration::from_millis(500);
    scene.fails("DeadlineExceeded", "").await;
    let child = appears(&scene.path("child")).await;
    gone(&child).await;
}

#[tokio::test]
async fn p6_a_run_that_is_stopped_is_gone_and_gives_no_result() {
    let scene = Scene::script("sleep 1000 & echo $! >child; say done; wait");
    let stop = CancellationToken::new();
    let stopper = async {
        let child = appears(&scene.path("child")).await;
        stop.cancel();
        child
    };
    let (answer, child) = tokio::join!(scene.run_with(&stop), stopper);
    assert_eq!(answer, Answer::Stopped);
    gone(&child).await;
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_nothing_in_its_group() {
    let scene = Scene::script("sleep 1000 & echo $! >child; wait");
    let provisioner = scene.provisioner();
    let (progress, _told) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let file = scene.path("child");
    let child = tokio::select! {
        answer = provisioner.run(&scene.call, &progress, &stop) => panic!("{answer:?}"),
        child = appears(&file) => child,
    };
    gone(&child).await;
}

/// A scene whose tenant wants a password that stands in a file, as the variable `$p` of the script.
fn with_secret(body: &str, secret: &str) -> Scene {
    let find = r#"p=$(printf %s "$request" | sed 's/.*"password":"\([^"]*\)".*/\1/')"#;
    let mut scene = Scene::script(&format!("{find}\n{body}"));
    let file = format!("file:{}", scene.path("password").display());
    std::fs::write(scene.path("password"), format!("{secret}\n")).unwrap();
    let desired = format!(r#"{{"password":{{"secret_ref":"{file}"}}}}"#);
    scene.call.tenant = wanted("acme", "plain", &desired);
    scene.secrets = SecretSources::parse([file]).unwrap();
    scene
}

#[tokio::test]
async fn a_secret_is_given_and_never_comes_back() {
    let secret = "hunter2-of-acme";
    let answers = [
        r#"say done ",\"observed\":{\"$p\":[\"is $p.\"]},\"resources\":[\"db:$p\"],\"message\":\"$p\"""#,
        r#"say failed ",\"reason\":\"Full\",\"message\":\"no $p\"""#,
        r#"say progress ",\"message\":\"$p\",\"steps\":[{\"name\":\"$p\",\"state\":\"done\"}]"; echo "[secret]""#,
        r#"echo "no JSON $p""#,
        r#"echo "$request" >&2; echo "$p" >&2; exit 3"#,
        r#"echo "$p" >&2"#,
    ];
    for body in answers {
        let scene = with_secret(&format!("printf %s \"$p\" >given; {body}"), secret);
        let (progress, told) = watch::channel(Progress::default());
        let provisioner = scene.provisioner();
        let stop = CancellationToken::new();
        let answer = provisioner.run(&scene.call, &progress, &stop).await;
        let all = format!(
            "{answer:?} {:?} {provisioner:?} {:?}",
            *told.borrow(),
            scene.call
        );
        assert!(!all.contains(secret), "{body}: {all}");
        assert!(all.contains("[secret]"), "{body}: {all}");
        let given = std::fs::read_to_string(scene.path("given")).unwrap();
        assert_eq!(given, secret);
    }
}

#[tokio::test]
async fn a_secret_that_is_not_allowed_or_not_there_is_named_and_nothing_runs() {
    let mut scene = with_secret("echo >ran; say done", "hunter2-of-acme");
    std::fs::remove_file(scene.path("password")).unwrap();
    scene.fails("SecretMissing", "/password").await;
    scene.secrets = SecretSources::default();
    let failure = scene.fails("SecretRefused", "/password").await;
    assert!(!failure.permanent);
    assert!(!scene.path("ran").exists());
}

/// Waits until a killed process has left the table: whoever adopts an orphan reaps it, not Tenure.
async fn gone(pid: &str) {
    let end = Instant::now() + PATIENCE;
    while exists(pid) && !is_zombie(pid) {
        assert!(Instant::now() < end, "process {pid} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_zombie(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z"))
    })
}
