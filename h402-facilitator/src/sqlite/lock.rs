//! One process at a time: a lock file beside the database, which also says whether that was closed in order.

use super::OpenError;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a taken lock is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// What the file says of a database that was closed in order. Nothing is said while it is open: emptying a file
/// needs no room on the disk.
const CLOSED: &[u8] = b"closed\n";

/// The lock; dropping it lets the next process in. The file stays, since removing it would let two in.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// Whether the last process closed the database in order, or found it to be whole.
    pub(super) was_closed: bool,
}

impl Lock {
    /// Takes the lock of the database at `path`, waiting at most so long.
    pub(super) async fn take(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        let io = |source| OpenError::Io { path: lock_path.clone(), source };
        let mut file = private_file(&lock_path).map_err(io)?;
        let deadline = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(AGAIN).await,
                Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.to_owned(), lock: lock_path.clone() }),
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
        }
        let mut said = Vec::new();
        file.read_to_end(&mut said).and_then(|_| file.set_len(0)).map_err(io)?;
        Ok(Self { file, was_closed: said == CLOSED })
    }

    /// Lets go of a database that was closed in order.
    pub(super) fn release_closed(mut self) {
        if let Err(error) = self.file.rewind().and_then(|()| self.file.write_all(CLOSED)) {
            tracing::warn!(%error, "the next open will check the ledger");
        }
    }
}

/// Opens a file that only its owner may read, creating it if it is not there.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
