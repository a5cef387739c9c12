//! Opening a database: lock, schema, check, and what a dead process left.

use super::lock::{Lock, private_file};
use super::reader::{READERS, Readers};
use super::statement::MAX_ROWS;
use super::writer::{Message, Writer};
use super::{answers, grants, leases, schema};
use crate::SystemClock;
use h402_core::Clock;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, sync::Arc};
use tokio::sync::mpsc;

/// How a database is opened.
///
/// ```
/// use h402_facilitator::sqlite::OpenOptions;
/// use std::time::Duration;
/// let options = OpenOptions::default().with_lock_wait(Duration::from_secs(10)).with_answer_budget(64 << 20);
/// # let _ = options;
/// ```
#[must_use]
#[derive(Clone)]
pub struct OpenOptions {
    lock_wait: Duration,
    answer_budget: u64,
    max_bytes: Option<u64>,
    clock: Arc<dyn Clock>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { lock_wait: Duration::ZERO, answer_budget: 256 << 20, max_bytes: None, clock: Arc::new(SystemClock) }
    }
}

impl OpenOptions {
    /// Waits for another process to let go of the database. By default it is an error at once.
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Keeps at most so many bytes of handlers' answers; the oldest go first. By default 256 MiB.
    pub fn with_answer_budget(mut self, bytes: u64) -> Self {
        self.answer_budget = bytes;
        self
    }

    /// Lets the database file grow to at most so many bytes. Beyond that it is as if the disk were full. By default
    /// only the disk is the limit.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Takes the time, by which answers and grants grow old, from another clock than the machine's.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("lock_wait", &self.lock_wait)
            .field("answer_budget", &self.answer_budget)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

/// Why a database cannot be opened.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another handle of this one, has it open.
    #[error("{} is open in another process, which holds {}", path.display(), lock.display())]
    Locked {
        /// The database.
        path: PathBuf,
        /// Its lock file.
        lock: PathBuf,
    },
    /// A later version of this program has written it.
    #[error("{} has schema version {found}, this program knows {known}: it belongs to a newer version", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The last version this program knows.
        known: i64,
    },
    /// It is a database of some other program.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// It is damaged. It is checked whenever it was not closed in order, until it is found to be whole.
    #[error("{} is damaged: {finding}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The first thing SQLite found.
        finding: String,
    },
    /// The file, its directory or its lock file cannot be opened.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite cannot open it.
    #[error("{}: {reason}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's words.
        reason: String,
    },
}

impl OpenError {
    pub(super) fn database(path: &Path, error: &sqlx::Error) -> Self {
        Self::Database { path: path.to_owned(), reason: error.to_string() }
    }
}

/// An open database, shared by the handles to it.
pub(super) struct Database {
    path: PathBuf,
    pub(super) identity: [u8; 32],
    pub(super) writer: mpsc::Sender<Message>,
    pub(super) readers: Arc<Readers>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Database {
    pub(super) async fn open(path: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        let path = real_path(path)?;
        let lock = Lock::take(&path, options.lock_wait).await?;
        private_file(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        // A log is left by who had no time to close, whatever the lock file says.
        let unchecked = !lock.was_closed || fs::metadata(log_path(&path)).is_ok_and(|log| log.len() > 0);
        let failed = |error: sqlx::Error| OpenError::database(&path, &error);

        // fullfsync: on macOS a plain fsync does not reach the disk.
        let writes = connect(&path)
            .pragma("synchronous", "FULL")
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            .pragma("cache_size", "-32768")
            // With less room than a batch has rows, its commit would wait for whoever reads them.
            .row_buffer_size(MAX_ROWS);
        let mut conn = writes.connect().await.map_err(failed)?;
        let (identity, answer_bytes, readers) = match prepare(&mut conn, &path, unchecked, options.max_bytes).await {
            Ok(prepared) => prepared,
            Err(error) => {
                // Not by dropping it, which would close it at some later time. What was wrong is still wrong, and
                // the lock file does not say that the database was closed in order.
                let _closed = conn.close().await;
                return Err(error);
            }
        };
        let readers = Arc::new(readers);
        let clock = options.clock;
        let writer =
            Writer { conn, readers: readers.clone(), clock: clock.clone(), answer_budget: options.answer_budget, answer_bytes, lock };
        Ok(Self { path, identity, writer: writer.start(), readers, clock })
    }
}

/// Makes a database ready to be written: its schema, its health, and what a dead process left. Returns the store's
/// identity, the bytes of answers, and the reading connections.
async fn prepare(
    conn: &mut SqliteConnection,
    path: &Path,
    unchecked: bool,
    max_bytes: Option<u64>,
) -> Result<([u8; 32], u64, Readers), OpenError> {
    let failed = |error: sqlx::Error| OpenError::database(path, &error);
    schema::migrate(conn, path).await?;
    if unchecked {
        quick_check(conn, path).await?;
    }
    if let Some(bytes) = max_bytes {
        limit_pages(conn, bytes).await.map_err(failed)?;
    }
    grants::free_all(conn).await.map_err(failed)?;
    leases::end_all(conn).await.map_err(failed)?;
    let identity = identity(conn).await.map_err(failed)?;
    let answer_bytes = answers::total(conn).await.map_err(failed)?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(connect(path).read_only(true).connect().await.map_err(failed)?);
    }
    Ok((identity, answer_bytes, Readers::new(readers)))
}

fn connect(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).disable_statement_logging()
}

/// The path with links and relative parts resolved, so that one database has one lock file.
fn real_path(path: &Path) -> Result<PathBuf, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    match fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or_else(|| io(error))?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(fs::canonicalize(parent).map_err(io)?.join(name))
        }
        Err(error) => Err(io(error)),
    }
}

fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

async fn quick_check(conn: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    tracing::info!(path = %path.display(), "ledger is checked: it is new or was not closed in order");
    let finding: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(conn).await.map_err(|error| OpenError::database(path, &error))?;
    if finding == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), finding }) }
}

async fn limit_pages(conn: &mut SqliteConnection, bytes: u64) -> sqlx::Result<()> {
    let page: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *conn).await?;
    let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages.clamp(1, 0xffff_fffe)))).execute(conn).await?;
    Ok(())
}

/// The identity of the store; made at random when it is opened for the first time.
async fn identity(conn: &mut SqliteConnection) -> sqlx::Result<[u8; 32]> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).map_err(|error| sqlx::Error::Io(std::io::Error::other(error.to_string())))?;
    sqlx::query("INSERT INTO identity (id, bytes) VALUES (1, ?1) ON CONFLICT DO NOTHING")
        .bind(fresh.as_slice())
        .execute(&mut *conn)
        .await?;
    let row = sqlx::query("SELECT bytes FROM identity").fetch_one(conn).await?;
    crate::sql::columns::Columns(&row).bytes32("bytes")
}
