//! Connections: made when they are needed, asked whether they still stand after a rest, thrown away after any error.

use super::fault::{closed, has_ended, timed_out, unavailable};
use h402_core::StoreUnavailable;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

/// Within this a connection stands, or the server is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// Within this an operation is done; a little more than the server itself allows a statement.
const ANSWER: Duration = Duration::from_secs(15);
/// After this a connection is asked whether it still stands: the server may have been restarted.
const REST: Duration = Duration::from_secs(1);

/// A commit is on disk when it is answered, whatever the server's default is. A process that stops in the middle of a
/// transaction holds its locks no longer than a take-over may wait. Who waits for a lock sees what its holder did: sums of what is
/// open rely on that, and a role's own default may be another level.
const SESSION: &str = "SET default_transaction_isolation = 'read committed'; \
                       SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
                       SET statement_timeout = '12s'; SET idle_in_transaction_session_timeout = '3s'";

/// A connection and when it was last of use.
pub(super) struct Rested {
    conn: PgConnection,
    since: Instant,
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector(PgConnectOptions);

impl Connector {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self(options.disable_statement_logging().application_name("h402"))
    }

    /// The server and the database, without who asks.
    pub(super) fn name(&self) -> String {
        let host = self.0.get_socket().map_or_else(|| self.0.get_host().to_owned(), |socket| socket.display().to_string());
        format!("{host}:{}/{}", self.0.get_port(), self.0.get_database().unwrap_or_else(|| self.0.get_username()))
    }

    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        let connect = async {
            let mut conn = self.0.connect().await?;
            sqlx::raw_sql(SESSION).execute(&mut conn).await?;
            Ok(conn)
        };
        timeout(CONNECT, connect).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// A connection that stands: the one that rested, or a new one.
    pub(super) async fn wake(&self, rested: Option<Rested>) -> sqlx::Result<PgConnection> {
        match rested {
            Some(Rested { conn, since }) if since.elapsed() < REST => Ok(conn),
            Some(Rested { mut conn, .. }) => match timeout(CONNECT, conn.ping()).await {
                Ok(Ok(())) => Ok(conn),
                Ok(Err(_)) | Err(_) => self.connect().await,
            },
            None => self.connect().await,
        }
    }
}

impl Rested {
    pub(super) fn now(conn: PgConnection) -> Self {
        Self { conn, since: Instant::now() }
    }

    pub(super) async fn close(self) {
        if let Ok(Err(error)) = timeout(CONNECT, self.conn.close()).await {
            tracing::debug!(%error, "connection was not closed cleanly");
        }
    }
}

/// Waits for an operation, but not for ever.
pub(super) async fn in_time<T>(operation: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(ANSWER, operation).await.unwrap_or_else(|_| Err(timed_out()))
}

/// A few connections that only read.
pub(super) struct Readers {
    connector: Connector,
    rested: Mutex<Vec<Rested>>,
    permits: Semaphore,
    most: u32,
}

impl Readers {
    pub(super) fn new(connector: Connector, most: u32) -> Self {
        let permits = Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX));
        Self { connector, rested: Mutex::default(), permits, most }
    }

    /// Lends a connection for one statement.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, StoreUnavailable> {
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let has_rested = rested.is_some();
        let conn = self.connector.wake(rested).await.map_err(|error| unavailable(&error))?;
        Ok(Lent { readers: self, conn, has_rested, _permit: permit })
    }

    /// Waits for the reads that run, and closes.
    pub(super) async fn close(&self) {
        let _all = self.permits.acquire_many(self.most).await;
        self.permits.close();
        let rested = std::mem::take(&mut *self.rested.lock().unwrap_or_else(PoisonError::into_inner));
        for rested in rested {
            rested.close().await;
        }
    }
}

/// A connection on loan. If it is not given back by [`Lent::finish`] it is closed: a caller that went away in the
/// middle of a statement leaves nothing behind that somebody else could read.
pub(super) struct Lent<'a> {
    readers: &'a Readers,
    pub(super) conn: PgConnection,
    has_rested: bool,
    _permit: SemaphorePermit<'a>,
}

impl Lent<'_> {
    /// Gives the connection back, unless the read has failed. `None` if it failed because the connection had ended while
    /// it rested, so that the read is to be made over another one.
    pub(super) fn finish<T>(self, read: sqlx::Result<T>) -> Option<Result<T, StoreUnavailable>> {
        match read {
            Ok(value) => {
                self.readers.rested.lock().unwrap_or_else(PoisonError::into_inner).push(Rested::now(self.conn));
                Some(Ok(value))
            }
            Err(error) if self.has_rested && has_ended(&error) => None,
            Err(error) => Some(Err(unavailable(&error))),
        }
    }
}
