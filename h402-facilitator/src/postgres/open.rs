//! Opening a database: schema, writers, readers, and the task that forgets.

use super::connect::{Connector, Readers, in_time};
use super::fault::closed;
use super::writer::{Message, Writer};
use super::{answers, grants, schema};
use crate::SystemClock;
use crate::sql::job::{Job, Outcome};
use h402_core::{Clock, StoreUnavailable, StoredAnswer, UnixMillis};
use sqlx::{PgConnection, postgres::PgConnectOptions};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, str::FromStr as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// So many requests may wait; the next one waits to wait.
const QUEUE: usize = 4096;
/// How often rows that are not needed any more are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// How soon again, if there were more than go at once.
const TIDY_MORE: Duration = Duration::from_millis(50);
/// At most so many of them go at once.
const TIDY_ROWS: u32 = 500;
/// A grant is kept so long after its payment can no longer be presented.
const GRANTS_KEPT: Duration = Duration::from_secs(600);

/// How a database is opened.
///
/// ```
/// use h402_facilitator::postgres::OpenOptions;
/// let options = OpenOptions::default().with_writers(8).with_answer_budget(64 << 20);
/// # let _ = options;
/// ```
#[must_use]
#[derive(Clone)]
pub struct OpenOptions {
    answer_budget: u64,
    writers: u32,
    readers: u32,
    clock: Arc<dyn Clock>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { answer_budget: 256 << 20, writers: 4, readers: 4, clock: Arc::new(SystemClock) }
    }
}

impl OpenOptions {
    /// Keeps at most so many bytes of handlers' answers, and an eighth more for each process; the oldest go first. By
    /// default 256 MiB.
    pub fn with_answer_budget(mut self, bytes: u64) -> Self {
        self.answer_budget = bytes;
        self
    }

    /// Writes over so many connections. By default four, at the least one.
    pub fn with_writers(mut self, connections: u32) -> Self {
        self.writers = connections.max(1);
        self
    }

    /// Reads over at most so many connections, made when they are needed. By default four, at the least one.
    pub fn with_readers(mut self, connections: u32) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// Takes the time, by which answers and grants grow old, from another clock than the machine's. Leases go by the
    /// server's.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answer_budget, writers, readers, .. } = self;
        let mut debug = f.debug_struct("OpenOptions");
        debug.field("answer_budget", answer_budget).field("writers", writers).field("readers", readers).finish_non_exhaustive()
    }
}

/// Why a database cannot be opened. No text holds a password.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What should be the address of a database is none.
    #[error("that is no address of a PostgreSQL database (postgres://user@host/database)")]
    Address,
    /// A later version of this program has written it.
    #[error("{server} has schema version {found}, this program knows {known}: it belongs to a newer version")]
    Newer {
        /// Host, port and database.
        server: String,
        /// Its schema version.
        found: i64,
        /// The last version this program knows.
        known: i64,
    },
    /// It is a database of some other program.
    #[error("{server} holds tables of another program; name an empty database, or a schema by ?options[search_path]=…")]
    Foreign {
        /// Host, port and database.
        server: String,
    },
    /// The server may lose what it has answered.
    #[error("{server} runs with {setting} off, and would lose payments when it crashes")]
    NotDurable {
        /// Host, port and database.
        server: String,
        /// The server's setting.
        setting: &'static str,
    },
    /// The server cannot be reached, or refuses.
    #[error("{server}: {reason}")]
    Database {
        /// Host, port and database.
        server: String,
        /// PostgreSQL's words.
        reason: String,
    },
}

impl OpenError {
    pub(super) fn database(server: &str, error: &sqlx::Error) -> Self {
        Self::Database { server: server.to_owned(), reason: error.to_string() }
    }
}

/// An open database, shared by the handles to it.
pub(super) struct Database {
    server: String,
    pub(super) identity: [u8; 32],
    /// None when it is closed.
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    tasks: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
    pub(super) readers: Readers,
    tidy: Arc<Tidy>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Database {
    pub(super) async fn open(url: &str, options: OpenOptions) -> Result<Self, OpenError> {
        let connector = Connector::new(PgConnectOptions::from_str(url).map_err(|_| OpenError::Address)?);
        let server = connector.name();
        let failed = |error: sqlx::Error| OpenError::database(&server, &error);
        let mut conn = connector.connect().await.map_err(failed)?;
        let identity = schema::migrate(&mut conn, &server).await?;
        let _closed = sqlx::Connection::close(conn).await;

        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = Arc::new(tokio::sync::Mutex::new(receiver));
        let tidy = Arc::new(Tidy { answer_budget: options.answer_budget, written: AtomicU64::new(0), wake: Notify::new() });
        let mut tasks = Vec::new();
        for _ in 0..options.writers {
            let writer = Writer { connector: connector.clone(), queue: queue.clone(), tidy: tidy.clone(), rested: None };
            tasks.push(tokio::spawn(writer.run()));
        }
        // Ends with the last sender, as the writers do.
        let open = sender.downgrade();
        tasks.push(tokio::spawn(forget(open, tidy.clone(), connector.clone(), options.clock.clone())));
        let readers = Readers::new(connector, options.readers);
        let (queue, tasks) = (Mutex::new(Some(sender)), tokio::sync::Mutex::new(tasks));
        Ok(Self { server, identity, queue, tasks, readers, tidy, clock: options.clock })
    }

    pub(super) async fn write(&self, job: Job) -> Result<Outcome, StoreUnavailable> {
        let sender = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let (reply, outcome) = oneshot::channel();
        sender.send(Message { job, reply }).await.map_err(|_| closed())?;
        drop(sender);
        outcome.await.map_err(|_| closed())?
    }

    pub(super) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.tidy.wake.notify_one();
        for task in self.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the ledger has failed");
            }
        }
        self.readers.close().await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.tidy.wake.notify_one();
    }
}

/// What writers tell the task that forgets.
pub(super) struct Tidy {
    answer_budget: u64,
    /// Bytes of answers written since they were counted last.
    written: AtomicU64,
    wake: Notify,
}

impl Tidy {
    /// Counts an answer that was written. An eighth of the budget is a reason to look at once.
    pub(super) fn count(&self, answer: &StoredAnswer) {
        let headers: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let bytes = u64::try_from(answer.body.len().saturating_add(headers)).unwrap_or(u64::MAX);
        if self.written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.answer_budget / 8 {
            self.wake.notify_one();
        }
    }
}

/// Deletes what is not needed any more, a little at a time, as long as the database is open.
async fn forget(open: mpsc::WeakSender<Message>, tidy: Arc<Tidy>, connector: Connector, clock: Arc<dyn Clock>) {
    let mut again = Instant::now() + TIDY_EVERY;
    loop {
        let _woken = timeout_at(again, tidy.wake.notified()).await;
        if open.upgrade().is_none() {
            return;
        }
        let tidied = async {
            let mut conn = connector.connect().await?;
            let after = in_time(forget_some(&mut conn, &tidy, clock.now())).await?;
            let _closed = sqlx::Connection::close(conn).await;
            Ok::<_, sqlx::Error>(after)
        };
        let after = tidied.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "old rows could not be deleted");
            TIDY_EVERY
        });
        again = Instant::now() + after;
    }
}

/// Says after how long to do it again.
pub(super) async fn forget_some(conn: &mut PgConnection, tidy: &Tidy, now: UnixMillis) -> sqlx::Result<Duration> {
    let before = |kept: Duration| UnixMillis(now.0.saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX)));
    let answers = answers::forget_old(conn, before(Duration::from_secs(StoredAnswer::KEPT_SECONDS)), TIDY_ROWS).await?;
    let grants = grants::forget(conn, before(GRANTS_KEPT), TIDY_ROWS).await?;
    tidy.written.store(0, Ordering::Relaxed);
    if answers::total(conn).await? > tidy.answer_budget {
        // Room for a while, so that not every answer costs a look at all of them.
        answers::forget_beyond(conn, tidy.answer_budget - tidy.answer_budget / 8).await?;
    }
    Ok(if answers.max(grants) < u64::from(TIDY_ROWS) { TIDY_EVERY } else { TIDY_MORE })
}
