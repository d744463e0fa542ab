//! Provisioners that are programs: a request on stdin, the answer on stdout, notes on stderr.
//!
//! Each run is a process group of its own, so that it can be killed whole. The group is killed when
//! the run ends, however it ends: at the deadline, when the lease is lost, when the program breaks the
//! contract, and also when all went well, for what it leaves in the background belongs to no one.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::group::Group;
use super::reading::{OUTPUT_MAX, Reading};
use super::tail::Tail;
use super::{
    Alter, Answer, Call, Failure, Fault, Progress, Provisioner, SecretSources, contract, secrets,
    unaltered,
};
use crate::config::Exec;

/// How long the pipes of a killed group may stay open: only strays can hold them, and those are
/// killed too, so this is never waited for in full.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs the program of a class.
#[derive(Clone, Debug)]
pub struct ExecProvisioner {
    exec: Exec,
    deadline: Duration,
    secrets: SecretSources,
}

/// Why a run ended.
enum End {
    Exited(io::Result<ExitStatus>),
    Faulted(Failure),
    Late,
    Stopped,
}

impl ExecProvisioner {
    /// Runs this program, and gives it so long for each operation. Its tenants may refer to no
    /// secrets.
    pub fn new(exec: Exec, deadline: Duration) -> Self {
        Self {
            exec,
            deadline,
            secrets: SecretSources::default(),
        }
    }

    /// Lets tenants refer to these secrets.
    #[must_use]
    pub fn with_secrets(self, secrets: SecretSources) -> Self {
        Self { secrets, ..self }
    }

    /// What is run.
    pub(crate) const fn exec(&self) -> &Exec {
        &self.exec
    }

    fn not_started(&self, error: &io::Error) -> Failure {
        let program = self.exec.program.display();
        let folder = self.exec.folder.display();
        match error.kind() {
            io::ErrorKind::NotFound => Fault::ProvisionerMissing.failure(&format!(
                "there is no program {program}, or its interpreter or the folder {folder} is \
                 missing; correct `exec` of the class in tenure.toml, or install the program"
            )),
            io::ErrorKind::PermissionDenied => Fault::ProvisionerNotExecutable.failure(&format!(
                "{program} may not be run: {error}; make it executable with chmod +x"
            )),
            _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
                Fault::ProvisionerNotExecutable.failure(&format!(
                    "{program} is no program that this system can run; a script needs a first line \
                     such as #!/usr/bin/env python3"
                ))
            }
            _ => Fault::ProvisionerNotStarted.failure(&format!(
                "{program} could not be started: {error}; it is tried again by itself"
            )),
        }
    }

    fn late(&self, said: &str) -> Failure {
        Fault::DeadlineExceeded.failure(&format!(
            "the provisioner did not end within {} s and was killed{said}; make it faster, or raise \
             deadline_seconds of the class",
            self.deadline.as_secs()
        ))
    }
}

#[async_trait]
impl Provisioner for ExecProvisioner {
    async fn run(
        &self,
        call: &Call,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer {
        self.run_altered(call, unaltered, progress, stop).await
    }
}

impl ExecProvisioner {
    /// As [`Provisioner::run`], with a request that is altered on its way.
    pub(crate) async fn run_altered(
        &self,
        call: &Call,
        alter: Alter,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer {
        let operation_id = call.operation_id();
        let resolved = match secrets::resolve_document(&call.tenant.desired, &self.secrets).await {
            Ok(resolved) => resolved,
            Err(failure) => return Answer::Failed(failure),
        };
        let redactor = Arc::new(resolved.redactor);
        let request = match contract::request(call, &resolved.desired) {
            Ok(request) => alter(request),
            Err(error) => return Answer::Failed(Fault::AnswerRefused.failure(&error.to_string())),
        };
        let mut group = match Group::start(&self.exec, &operation_id) {
            Ok(group) => group,
            Err(error) => return Answer::Failed(self.not_started(&error)),
        };
        let (faulted, mut fault) = oneshot::channel();
        let asking = group
            .child
            .stdin
            .take()
            .map(|pipe| spawn(ask(pipe, request)));
        let reading = Reading::new(operation_id.clone(), Arc::clone(&redactor));
        let answers = group
            .child
            .stdout
            .take()
            .map(|pipe| spawn(listen(pipe, reading, progress.clone(), faulted)));
        let notes = group
            .child
            .stderr
            .take()
            .map(|pipe| spawn(Tail::read(pipe, redactor.longest())));

        let end = tokio::select! {
            biased;
            () = stop.cancelled() => End::Stopped,
            Ok(failure) = &mut fault => End::Faulted(failure),
            status = group.child.wait() => End::Exited(status),
            () = sleep(self.deadline) => End::Late,
        };
        group.end(operation_id).await;
        drop(asking);
        let answer = drained(answers).await.flatten();
        let said = match drained(notes).await {
            Some(tail) => tail.said(&redactor),
            None => String::new(),
        };
        match end {
            End::Stopped => Answer::Stopped,
            End::Late => Answer::Failed(self.late(&said)),
            End::Faulted(failure) => Answer::Failed(failure),
            End::Exited(status) => match fault.try_recv() {
                Ok(failure) => Answer::Failed(failure),
                Err(_) => exited(&status, answer, &said),
            },
        }
    }
}

fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// What a reader has read, once the pipe that it reads has no writer any more.
async fn drained<T>(reader: Option<AbortOnDropHandle<T>>) -> Option<T> {
    timeout(DRAIN, reader?).await.ok()?.ok()
}

/// Writes the request. A program that does not read it, or not all of it, may have its reasons.
async fn ask(mut pipe: ChildStdin, request: Vec<u8>) {
    if let Err(error) = pipe.write_all(&request).await {
        tracing::debug!(%error, "the provisioner did not read its request to the end");
    }
}

/// Reads answers to the end of the pipe, or to the first line that breaks the contract.
async fn listen(
    pipe: ChildStdout,
    mut reading: Reading,
    progress: watch::Sender<Progress>,
    faulted: oneshot::Sender<Failure>,
) -> Option<Answer> {
    // One byte more than is allowed tells a full measure from too much.
    let mut pipe = BufReader::new(pipe).take(OUTPUT_MAX + 1);
    let mut line = Vec::new();
    let fault = loop {
        line.clear();
        match pipe.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return reading.take_answer(),
            Ok(_) if pipe.limit() == 0 => {
                break Fault::OutputTooLarge.failure(&format!(
                    "the provisioner wrote more than {OUTPUT_MAX} bytes to stdout and was killed; let \
                     it print answers only, notes go to stderr"
                ));
            }
            Ok(_) => match reading.line(&line) {
                Ok(false) => {}
                Ok(true) => drop(progress.send_replace(reading.progress().clone())),
                Err(failure) => break failure,
            },
        }
    };
    // Nobody listens any more if the run has ended meanwhile.
    drop(faulted.send(fault));
    None
}

/// What a program's end means, given what it said before.
fn exited(status: &io::Result<ExitStatus>, answer: Option<Answer>, said: &str) -> Answer {
    let (status, good) = match status {
        Ok(status) => (status.to_string(), status.success()),
        Err(error) => (error.to_string(), false),
    };
    match answer {
        // A program that says how it failed may also say so by its exit status.
        Some(answer @ Answer::Failed(_)) => answer,
        Some(answer) if good => answer,
        None if good => Answer::Failed(Fault::AnswerMissing.failure(&format!(
            "the provisioner ended well without an answer{said}; let it print one line with \"result\": \
             \"done\" or \"failed\" before it ends"
        ))),
        _ => Answer::Failed(Fault::ProvisionerCrashed.failure(&format!(
            "the provisioner ended with {status}{said}; correct what it says, it is tried again by itself"
        ))),
    }
}
