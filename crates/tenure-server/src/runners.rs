//! What the configuration says of classes, made ready to run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tenure::{ClassName, SystemClock};

use crate::config::{Class, Config, Http, Transport};
use crate::ids::SystemIds;
use crate::provisioner::{
    ExecProvisioner, HttpOptions, HttpProvisioner, Provisioner, SecretSources, SigningSecret,
};
use crate::reconciler::{Board, BreakerPolicy, ClassLimits, ClassRunner, Options};

/// How long runs may go on once the server is asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// The reconciler's options. Classes whose work is pulled are not among its classes.
///
/// # Errors
///
/// The class and the file or option that can't be used, and why.
pub(crate) fn options(config: &Config, board: Board) -> anyhow::Result<Options> {
    let mut options = Options {
        classes: std::collections::BTreeMap::new(),
        concurrency: config.concurrency,
        grace: GRACE,
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        board,
    };
    for (name, class) in &config.classes {
        let provisioner = provisioner(class).with_context(|| format!("the class {name}"))?;
        if let Some(provisioner) = provisioner {
            let runner = ClassRunner {
                provisioner,
                lease: class.lease,
                policy: class.policy.clone(),
                limits: limits(class, config.concurrency),
            };
            options.classes.insert(name.clone(), runner);
        }
    }
    Ok(options)
}

/// What is wrong with what classes name: files that can't be read, and programs that are not there;
/// each with the class.
pub(crate) fn unusable(config: &Config) -> Vec<(ClassName, anyhow::Error)> {
    let mut wrong = Vec::new();
    for (name, class) in &config.classes {
        let made = provisioner(class).with_context(|| format!("the class {name}"));
        wrong.extend(made.err().map(|error| (name.clone(), error)));
        // A bare name is looked up when it is run, maybe on another machine than this.
        if let Transport::Exec(exec) = &class.transport
            && exec.program.is_absolute()
            && !exec.program.is_file()
        {
            let program = exec.program.display();
            let why = anyhow::anyhow!("classes.{name}.exec: there is no program {program}");
            wrong.push((name.clone(), why));
        }
    }
    wrong
}

/// How much of a class may run here.
pub(crate) fn limits(class: &Class, concurrency: usize) -> ClassLimits {
    let concurrency = class.concurrency.unwrap_or(concurrency);
    ClassLimits {
        concurrency: u16::try_from(concurrency).unwrap_or(u16::MAX),
        per_minute: class.per_minute,
        checks_per_minute: class.checks_per_minute,
        breaker: BreakerPolicy {
            failures: class.breaker.failures,
            cooldown: class.breaker.cooldown,
        },
    }
}

fn provisioner(class: &Class) -> anyhow::Result<Option<Arc<dyn Provisioner>>> {
    let secrets = SecretSources::parse(&class.secrets)?;
    Ok(match &class.transport {
        Transport::Exec(exec) => Some(Arc::new(
            ExecProvisioner::new(exec.clone(), class.deadline).with_secrets(secrets),
        )),
        Transport::Http(http) => Some(Arc::new(endpoint(http, class.deadline, secrets)?)),
        Transport::Pull => None,
    })
}

fn endpoint(
    http: &Http,
    deadline: Duration,
    secrets: SecretSources,
) -> anyhow::Result<HttpProvisioner> {
    let signing_secret = match &http.signing_secret_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("can't read signing_secret_file {}", path.display()))?;
            Some(SigningSecret::parse(text.trim())?)
        }
    };
    Ok(HttpProvisioner::new(HttpOptions {
        url: http.url.to_string(),
        signing_secret,
        deadline,
        allow_private_addresses: http.allow_private_addresses,
        ca_file: http.ca_file.clone(),
        secrets,
    })?)
}
