//! One process at a time: a lock file beside the database.

use super::OpenError;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a taken lock is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// The lock; dropping it lets the next process in. The file stays, since removing it would let two in.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// Takes the lock of the database at `path`, waiting at most so long.
    pub(super) async fn take(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        let io = |source| OpenError::Io { path: lock_path.clone(), source };
        let file = private_file(&lock_path).map_err(io)?;
        let deadline = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(AGAIN).await,
                Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.to_owned(), lock: lock_path.clone() }),
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
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
