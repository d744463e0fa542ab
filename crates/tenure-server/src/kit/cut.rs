//! Runs that are interfered with: killed right after a line that they said, or paused half-way.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::bench::{Bench, Ended};
use super::rules;
use super::subject::did;
use super::target::Way;
use crate::config::Exec;
use crate::provisioner::{Answer, Call, Group, OUTPUT_MAX, Progress, request};

/// A program that was started for a call, and asked.
struct Run {
    group: Group,
    operation_id: String,
    said: Option<Lines<BufReader<tokio::io::Take<ChildStdout>>>>,
    /// Write its request and read its notes, so that it never waits for either.
    _pipes: Vec<AbortOnDropHandle<()>>,
}

impl Run {
    fn start(exec: &Exec, call: &Call) -> Result<Self, Ended> {
        let failed = |error: String| rules::MADE.breach(did(call, ""), error);
        let request = request(call, &call.tenant.desired.to_value())
            .map_err(|error| failed(error.to_string()))?;
        let operation_id = call.operation_id();
        let mut group =
            Group::start(exec, &operation_id).map_err(|error| failed(error.to_string()))?;
        let mut pipes = Vec::new();
        if let Some(mut stdin) = group.child.stdin.take() {
            // A program that does not read it may have its reasons.
            let asking = async move { drop(stdin.write_all(&request).await) };
            pipes.push(AbortOnDropHandle::new(tokio::spawn(asking)));
        }
        if let Some(mut stderr) = group.child.stderr.take() {
            let reading =
                async move { drop(tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await) };
            pipes.push(AbortOnDropHandle::new(tokio::spawn(reading)));
        }
        let said = group.child.stdout.take();
        Ok(Self {
            group,
            operation_id,
            said: said.map(|pipe| BufReader::new(pipe.take(OUTPUT_MAX)).lines()),
            _pipes: pipes,
        })
    }

    /// Reads so many lines, or all there are; says how many.
    async fn read(&mut self, lines: usize) -> usize {
        let mut read = 0;
        let Some(said) = &mut self.said else { return 0 };
        while read < lines {
            match said.next_line().await {
                Ok(Some(line)) => read += usize::from(!line.trim().is_empty()),
                Ok(None) | Err(_) => break,
            }
        }
        read
    }
}

/// Runs an operation until it has said so many lines, and kills it, or drops its connection, right
/// then. Says how many lines there were.
pub(super) async fn after_lines(
    bench: &Bench<'_>,
    call: &Call,
    lines: usize,
) -> Result<usize, Ended> {
    bench.begin(call);
    match &bench.asked.target.way {
        Way::Exec(exec) => {
            let mut run = Run::start(exec.exec(), call)?;
            let read = tokio::select! {
                () = bench.stop().cancelled() => Err(Ended::Stopped),
                read = timeout(bench.asked.target.deadline, run.read(lines)) => {
                    read.map_err(|_late| {
                        let came = format!("it did not say {lines} lines in time");
                        rules::MADE.breach(did(call, ""), came)
                    })
                }
            };
            run.group.end(run.operation_id).await;
            read
        }
        Way::Http(_) => dropped(bench, call, lines).await,
    }
}

/// As [`after_lines`], for an endpoint: what it says as progress is counted, and the answer as one.
async fn dropped(bench: &Bench<'_>, call: &Call, lines: usize) -> Result<usize, Ended> {
    let progress = watch::Sender::new(Progress::default());
    let mut told = progress.subscribe();
    let cut = bench.stop().child_token();
    let target = &bench.asked.target;
    let run = target.run(call, |request| request, &progress, &cut);
    tokio::pin!(run);
    let mut count = 0;
    let answer = loop {
        tokio::select! {
            answer = &mut run => break answer,
            Ok(()) = told.changed() => {
                count += 1;
                if count == lines {
                    cut.cancel();
                }
            }
        }
    };
    match answer {
        _ if bench.stop().is_cancelled() => Err(Ended::Stopped),
        Answer::Stopped => Ok(count),
        _ => Ok(count + 1),
    }
}

/// Runs two operations of one tenant at once; the first, if it is a program, stands still from a
/// moment on until the second has ended or waited long enough. Gives the second's answer.
pub(super) async fn overtaken(
    bench: &Bench<'_>,
    (first, second): (&Call, &Call),
    moment: Duration,
    wait: Duration,
) -> Result<Answer, Ended> {
    let exec = match &bench.asked.target.way {
        Way::Exec(exec) => exec.exec(),
        Way::Http(_) => {
            let late = async {
                sleep(moment).await;
                bench.ask(second).await
            };
            let (first, second) = tokio::join!(bench.ask(first), late);
            return first.and(second);
        }
    };
    bench.begin(first);
    let mut run = Run::start(exec, first)?;
    sleep(moment).await;
    run.group.pause(true);
    let asked = bench.ask(second);
    tokio::pin!(asked);
    let early = timeout(wait, &mut asked).await;
    run.group.pause(false);
    let answer = match early {
        Ok(answer) => answer,
        Err(_waited) => asked.await,
    };
    tokio::select! {
        () = bench.stop().cancelled() => {}
        _ = timeout(bench.asked.target.deadline, run.read(usize::MAX)) => {}
    }
    // What it does after its last words counts too.
    drop(timeout(bench.asked.target.deadline, run.group.child.wait()).await);
    run.group.end(run.operation_id).await;
    answer
}
