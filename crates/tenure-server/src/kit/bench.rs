//! Where a case works: asks the provisioner, and knows what must be destroyed in the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure::{Fence, Operation, Tenant, TenantId};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::report::Breach;
use super::sight;
use super::{Asked, Tamper};
use crate::provisioner::{Alter, Answer, Call, Progress};

/// Why a case did not end well.
#[derive(Debug)]
pub(super) enum Ended {
    /// The provisioner broke the contract.
    Broke(Box<Breach>),
    /// The case could not be tried.
    Skipped(String),
    /// The kit was told to stop.
    Stopped,
}

/// A tenant that was asked for.
struct Made {
    tenant: Tenant,
    fence: u64,
    /// Whether something of it may be there.
    is_there: bool,
}

/// What one case works with.
pub(super) struct Bench<'a> {
    pub(super) asked: &'a Asked,
    stop: CancellationToken,
    made: Mutex<BTreeMap<TenantId, Made>>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(asked: &'a Asked, stop: CancellationToken) -> Self {
        Self {
            asked,
            stop,
            made: Mutex::default(),
        }
    }

    pub(super) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Asks as Tenure does, and waits for the answer.
    pub(super) async fn ask(&self, call: &Call) -> Result<Answer, Ended> {
        self.ask_altered(call, |request| request).await
    }

    /// As [`Self::ask`], with an altered request.
    pub(super) async fn ask_altered(&self, call: &Call, alter: Alter) -> Result<Answer, Ended> {
        let progress = watch::Sender::new(Progress::default());
        let before = self.begin(call);
        let answer = self
            .asked
            .target
            .run(call, alter, &progress, &self.stop)
            .await;
        if answer == Answer::Stopped {
            return Err(Ended::Stopped);
        }
        self.end(call, &answer, before);
        Ok(answer)
    }

    /// Asks, and kills the run, or drops its connection, after a while. `None` if it was killed.
    pub(super) async fn ask_and_kill(
        &self,
        call: &Call,
        after: Duration,
    ) -> Result<Option<Answer>, Ended> {
        let progress = watch::Sender::new(Progress::default());
        let kill = self.stop.child_token();
        self.begin(call);
        let run = self
            .asked
            .target
            .run(call, |request| request, &progress, &kill);
        tokio::pin!(run);
        let answer = tokio::select! {
            answer = &mut run => answer,
            () = sleep(after) => {
                kill.cancel();
                run.await
            }
        };
        match answer {
            _ if self.stop.is_cancelled() => Err(Ended::Stopped),
            Answer::Stopped => Ok(None),
            answer => Ok(Some(answer)),
        }
    }

    /// Notes that an operation begins; says whether something of the tenant was there, and the highest
    /// fence before.
    pub(super) fn begin(&self, call: &Call) -> (bool, u64) {
        self.with_made(|made| {
            let made = made.entry(call.tenant.id).or_insert_with(|| Made {
                tenant: call.tenant.clone(),
                fence: 0,
                is_there: false,
            });
            let before = (made.is_there, made.fence);
            made.is_there |= call.operation == Operation::Apply;
            made.fence = made.fence.max(call.fence.get());
            before
        })
    }

    fn end(&self, call: &Call, answer: &Answer, (was_there, fence): (bool, u64)) {
        let is_there = match answer {
            Answer::Done { .. } if call.operation == Operation::Destroy => false,
            // It came too late, and was refused.
            Answer::Failed(_) if call.fence.get() < fence => was_there,
            _ => return,
        };
        self.with_made(|made| {
            if let Some(made) = made.get_mut(&call.tenant.id) {
                made.is_there = is_there;
            }
        });
    }

    /// Destroys what is there still; says what could not be destroyed.
    pub(super) async fn clear(self) -> Vec<String> {
        let made = self.with_made(std::mem::take);
        let mut left = Vec::new();
        for (id, made) in made.into_iter().filter(|(_, made)| made.is_there) {
            let call = Call {
                operation: Operation::Destroy,
                tenant: made.tenant,
                fence: Fence::new(made.fence + 1),
            };
            let progress = watch::Sender::new(Progress::default());
            // It is asked for also after a stop.
            let stop = CancellationToken::new();
            let target = &self.asked.target;
            let answer = target.run(&call, |request| request, &progress, &stop).await;
            if !matches!(answer, Answer::Done { .. }) {
                let said = sight::described(&answer);
                left.push(format!("{} ({id}): destroy {said}", call.tenant.name));
            }
        }
        left
    }

    fn with_made<T>(&self, work: impl FnOnce(&mut BTreeMap<TenantId, Made>) -> T) -> T {
        // Nothing that holds the lock can panic half-way.
        work(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tamper {
    /// Runs it for a tenant; if it fails, says how.
    pub(super) async fn run(
        &self,
        tenant: &Tenant,
        stop: &CancellationToken,
    ) -> Result<Result<(), String>, Ended> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("TENURE_TENANT_NAME", tenant.name.as_str())
            .env("TENURE_TENANT_ID", tenant.id.to_string())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output = tokio::select! {
            () = stop.cancelled() => return Err(Ended::Stopped),
            () = sleep(self.deadline) => return Ok(Err("it did not end in time".to_owned())),
            output = command.output() => output,
        };
        Ok(match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = sight::shown(said.trim());
                Err(format!("it ended with {}: {said}", output.status))
            }
            Err(error) => Err(format!("{} can't be run: {error}", self.program)),
        })
    }
}
