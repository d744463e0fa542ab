//! Connections: how they are made, driven, and thrown away.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tenure::Invalid;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::settings::{Settings, invalid};

/// Makes the pool. It connects when the first call asks for it.
pub(crate) fn build(settings: &Settings) -> Result<Pool, Invalid> {
    let connector = Driven {
        tls: settings.trust.connector()?,
    };
    let config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_connect(settings.config.clone(), connector, config);
    Pool::builder(manager)
        .max_size(settings.options.pool_size)
        .wait_timeout(Some(settings.options.pool_wait))
        .create_timeout(Some(settings.options.deadline))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|e| invalid(format!("can't be pooled: {e}")))
}

/// Connects, and drives the connection itself so that notices are seen.
struct Driven {
    tls: MakeRustlsConnect,
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Driven {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            Ok((client, tokio::spawn(drive(connection))))
        })
    }
}

/// Drives a connection until it ends, or until the server says that it gave up waiting for its
/// standby.
///
/// That notice comes after the rows of a commit and before the server is ready again. Ending the
/// connection there makes the reply a lost one, which is what it is: the commit stands on this node
/// only, and a failover would take it back.
async fn drive<S, T>(mut connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) if gave_up_waiting(&notice) => {
                tracing::warn!("the database gave up waiting for its standby; reply dropped");
                return;
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %crate::error::cause(&error), "a connection broke");
                return;
            }
            None => return,
        }
    }
}

/// Whether a notice says that a commit is not on the standby. The server's function is asked for as
/// well as its words, because those may be translated.
fn gave_up_waiting(notice: &DbError) -> bool {
    let warning = *notice.code() == SqlState::WARNING || *notice.code() == SqlState::ADMIN_SHUTDOWN;
    warning
        && (notice.routine() == Some("SyncRepWaitForLSN")
            || notice.message().contains("synchronous replication"))
}
