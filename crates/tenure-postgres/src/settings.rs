//! What a connection URL says, and what stands beside it.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use tenure::Invalid;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::tls::Trust;

/// How statements are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol knows no third way")]
pub enum Statements {
    /// Prepared once for each connection: fastest. For direct connections, and for poolers that
    /// follow prepared statements (PgBouncer 1.21 and later with `max_prepared_statements`).
    #[default]
    Named,
    /// Parsed anew each time: works behind every pooler, in transaction mode too.
    Unnamed,
}

/// How the adapter uses its database. URL parameters of the same names go before these.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Most connections. About four for each core of the database's machine serve best.
    pub pool_size: usize,
    /// How long a call waits for a connection before it fails with
    /// [`StoreError::Overloaded`](tenure::StoreError::Overloaded).
    pub pool_wait: Duration,
    /// How long a call may take in all.
    pub deadline: Duration,
    /// How statements are sent.
    pub statements: Statements,
    /// Whether connections ask the server for its own timeouts, as a net below the deadline.
    /// Poolers refuse this; there, set `statement_timeout` on the role. Off for unnamed statements
    /// unless the URL says otherwise.
    pub server_timeouts: bool,
    /// How long a read of the feed waits for transactions that are still open, if they keep back
    /// changes that are committed.
    pub feed_wait: Duration,
    /// How long a good answer to "does the schema fit" is trusted.
    pub readiness_ttl: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            pool_size: (4 * cores).clamp(8, 64),
            pool_wait: Duration::from_secs(2),
            deadline: Duration::from_secs(5),
            statements: Statements::Named,
            server_timeouts: true,
            feed_wait: Duration::from_millis(100),
            readiness_ttl: Duration::from_secs(5),
        }
    }
}

/// A URL taken apart: what the driver takes, what is ours.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) options: Options,
}

impl Settings {
    /// Reads a URL such as `postgres://user:password@host1,host2/database?sslmode=verify-full`.
    pub(crate) fn parse(url: &str, options: Options) -> Result<Self, Invalid> {
        let ours = Ours::parse(url, options)?;
        let mut config: Config = ours.rest.parse().map_err(|_| {
            // The driver's words may repeat the password.
            invalid("must be postgres://user@host/database with parameters that PostgreSQL knows")
        })?;
        if config.get_hosts().is_empty() {
            return Err(invalid("must name a host"));
        }
        config.ssl_mode(ours.trust.mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(3));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(2 * ours.options.deadline);
        }
        if config.get_application_name().is_none() {
            config.application_name("tenure");
        }
        if config.get_hosts().len() > 1 && !url.contains("target_session_attrs") {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if ours.options.server_timeouts {
            let given = config.get_options().unwrap_or_default();
            let with = format!("{given} {}", server_timeouts(ours.options.deadline));
            config.options(with.trim());
        }
        Ok(Self {
            config,
            trust: ours.trust,
            options: ours.options,
        })
    }
}

/// What the server is asked for: timeouts a little below ours, and the isolation that the
/// statements are written for.
fn server_timeouts(deadline: Duration) -> String {
    let statement = deadline.as_millis() * 9 / 10;
    let lock = deadline.as_millis() / 2;
    format!(
        "-c statement_timeout={statement} -c lock_timeout={lock} \
         -c idle_in_transaction_session_timeout={statement} \
         -c default_transaction_isolation=read\\ committed"
    )
}

struct Ours {
    rest: String,
    trust: Trust,
    options: Options,
}

impl Ours {
    fn parse(url: &str, mut options: Options) -> Result<Self, Invalid> {
        let scheme = ["postgres://", "postgresql://"];
        if !scheme.iter().any(|scheme| url.starts_with(scheme)) {
            return Err(invalid("must begin with postgres://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut trust = Trust::default();
        let mut rest = Vec::new();
        let mut timeouts = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, raw) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(raw)
                .decode_utf8()
                .map_err(|_| invalid("must hold UTF-8 behind its percent signs"))?;
            match key {
                "sslmode" => trust.set_mode(&value)?,
                "sslrootcert" => trust.root = Some(value.as_ref().into()),
                "statements" => options.statements = statements(&value)?,
                "server_timeouts" => timeouts = Some(on_off(&value)?),
                "pool_size" => options.pool_size = whole(key, &value)?,
                "deadline_ms" => options.deadline = millis(key, &value)?,
                "pool_wait_ms" => options.pool_wait = millis(key, &value)?,
                _ => rest.push(pair),
            }
        }
        options.server_timeouts =
            timeouts.unwrap_or(options.server_timeouts && options.statements == Statements::Named);
        trust.check()?;
        let rest = if rest.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", rest.join("&"))
        };
        Ok(Self {
            rest,
            trust,
            options,
        })
    }
}

pub(crate) fn invalid(rule: impl Into<String>) -> Invalid {
    Invalid::new("database url", rule)
}

fn statements(value: &str) -> Result<Statements, Invalid> {
    match value {
        "named" => Ok(Statements::Named),
        "unnamed" => Ok(Statements::Unnamed),
        _ => Err(invalid("must have statements=named or statements=unnamed")),
    }
}

fn on_off(value: &str) -> Result<bool, Invalid> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(invalid(
            "must have server_timeouts=on or server_timeouts=off",
        )),
    }
}

fn whole(key: &str, value: &str) -> Result<usize, Invalid> {
    match value.parse() {
        Ok(number @ 1..=100_000) => Ok(number),
        _ => Err(invalid(format!(
            "must have a whole number from 1 to 100000 for {key}"
        ))),
    }
}

fn millis(key: &str, value: &str) -> Result<Duration, Invalid> {
    let number = whole(key, value)?;
    Ok(Duration::from_millis(
        u64::try_from(number).unwrap_or(u64::MAX),
    ))
}

pub(crate) fn ssl_mode(value: &str) -> Option<(SslMode, crate::tls::Check)> {
    use crate::tls::Check;
    Some(match value {
        "disable" => (SslMode::Disable, Check::Nothing),
        "prefer" => (SslMode::Prefer, Check::Nothing),
        "require" => (SslMode::Require, Check::Nothing),
        "verify-ca" => (SslMode::Require, Check::Chain),
        "verify-full" => (SslMode::Require, Check::ChainAndName),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Settings, Invalid> {
        Settings::parse(url, Options::default())
    }

    #[test]
    fn our_parameters_are_taken_out_before_the_driver_reads_the_rest() {
        let url = "postgres://u:p@a,b/d?statements=unnamed&pool_size=3&deadline_ms=700&application_name=x";
        let settings = parse(url).unwrap();
        assert_eq!(settings.options.statements, Statements::Unnamed);
        assert_eq!(settings.options.pool_size, 3);
        assert_eq!(settings.options.deadline, Duration::from_millis(700));
        assert_eq!(settings.config.get_application_name(), Some("x"));
        assert_eq!(settings.config.get_hosts().len(), 2);
    }

    #[test]
    fn several_hosts_mean_the_one_that_takes_writes() {
        let attrs = |url| parse(url).unwrap().config.get_target_session_attrs();
        assert_eq!(attrs("postgres://a,b/d"), TargetSessionAttrs::ReadWrite);
        assert_eq!(
            attrs("postgres://a,b/d?target_session_attrs=any"),
            TargetSessionAttrs::Any
        );
        assert_eq!(attrs("postgres://a/d"), TargetSessionAttrs::Any);
    }

    #[test]
    fn unnamed_statements_ask_for_no_startup_options() {
        let options = |url| parse(url).unwrap().config.get_options().map(str::to_owned);
        assert!(
            options("postgres://a/d")
                .unwrap()
                .contains("statement_timeout=4500")
        );
        assert_eq!(options("postgres://a/d?statements=unnamed"), None);
        let both = "postgres://a/d?statements=unnamed&server_timeouts=on";
        assert!(options(both).unwrap().contains("statement_timeout"));
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_its_password() {
        for url in [
            "mysql://u:secret@h/d",
            "postgres://u:secret@h/d?sslmode=maybe",
            "postgres://u:secret@h/d?sslmode=verify-full",
            "postgres://u:secret@h/d?statements=both",
            "postgres://u:secret@h/d?pool_size=0",
            "postgres://u:secret@h/d?nonsense=1",
            "postgres://u:secret@h:port/d",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
