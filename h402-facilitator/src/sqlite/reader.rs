//! A few connections that only read. What was answered as written is seen by every read that begins later.

use h402_core::StoreUnavailable;
use sqlx::{Connection as _, SqliteConnection};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many reads run at once; the next one waits.
pub(super) const READERS: u32 = 4;

/// The reading connections.
pub(super) struct Readers {
    free: Mutex<Vec<SqliteConnection>>,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn new(connections: Vec<SqliteConnection>) -> Self {
        Self { permits: Semaphore::new(connections.len()), free: Mutex::new(connections) }
    }

    /// Lends a connection for one statement: then a caller that goes away leaves nothing open behind.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, StoreUnavailable> {
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let connection = self.pop().ok_or_else(closed)?;
        Ok(Lent { readers: self, connection: Some(connection), _permit: permit })
    }

    /// Waits for the reads that run, and closes.
    pub(super) async fn close(&self) {
        let _all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        while let Some(connection) = self.pop() {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "reading connection was not closed cleanly");
            }
        }
    }

    fn pop(&self) -> Option<SqliteConnection> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// A connection on loan; given back whatever becomes of the read, and before the permit.
pub(super) struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<SqliteConnection>,
    _permit: SemaphorePermit<'a>,
}

impl Lent<'_> {
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, StoreUnavailable> {
        self.connection.as_mut().ok_or_else(closed)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

fn closed() -> StoreUnavailable {
    StoreUnavailable("closed".to_owned())
}
