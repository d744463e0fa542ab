//! The provisioner that is put to the proof.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tenure::Invalid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Exec};
use crate::provisioner::{
    Alter, Answer, Call, ExecProvisioner, HttpOptions, HttpProvisioner, Progress,
};

/// A provisioner, and how long it may take for one operation.
#[derive(Debug)]
pub struct Target {
    pub(super) way: Way,
    pub(super) deadline: Duration,
}

/// How a provisioner is reached.
#[derive(Debug)]
pub(super) enum Way {
    Exec(ExecProvisioner),
    Http(Box<HttpProvisioner>),
}

impl Target {
    /// A program, run as a class whose `tenure.toml` lies in `folder` would run it.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if no program is named.
    pub fn exec(
        command: &[String],
        folder: &Path,
        env: BTreeMap<String, String>,
        deadline: Duration,
    ) -> Result<Self, Invalid> {
        let named = command.split_first().filter(|(name, _)| !name.is_empty());
        let (program, arguments) =
            named.ok_or_else(|| Invalid::new("command", "must name a program"))?;
        let mut environment = config::inherited();
        let own = env
            .into_iter()
            .map(|(name, value)| (name, OsString::from(value)));
        environment.extend(own);
        let exec = Exec {
            program: config::resolve_program(program, folder),
            arguments: arguments.to_vec(),
            folder: folder.to_owned(),
            environment,
        };
        Ok(Self {
            way: Way::Exec(ExecProvisioner::new(exec, deadline)),
            deadline,
        })
    }

    /// An endpoint.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the option, and what it must be.
    pub fn http(options: HttpOptions) -> Result<Self, Invalid> {
        let deadline = options.deadline;
        Ok(Self {
            way: Way::Http(Box::new(HttpProvisioner::new(options)?)),
            deadline,
        })
    }

    pub(super) async fn run(
        &self,
        call: &Call,
        alter: Alter,
        progress: &watch::Sender<Progress>,
        stop: &CancellationToken,
    ) -> Answer {
        match &self.way {
            Way::Exec(exec) => exec.run_altered(call, alter, progress, stop).await,
            Way::Http(http) => http.run_altered(call, alter, progress, stop).await,
        }
    }
}
