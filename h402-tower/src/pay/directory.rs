//! A journal in a directory: one file per call.

use super::{CallKey, Journal, JournalUnavailable, SignedPayment};
use h402_core::Assets;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Keeps signed payments in a directory, one file per call, on disk before it returns.
///
/// The files hold payments that whoever reads them can spend at their payees: they are readable by their owner only.
/// Nothing is ever deleted, because a call key is good for one payment; delete files of calls that are long over.
///
/// ```
/// use h402_core::Assets;
/// use h402_tower::pay::DirectoryJournal;
///
/// let directory = std::env::temp_dir().join("h402-doc-journal");
/// let journal = DirectoryJournal::open(&directory, Assets::known())?;
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DirectoryJournal {
    directory: Arc<Path>,
    assets: Assets,
}

impl DirectoryJournal {
    /// Opens a directory, made if need be. `assets` are those the payments may be in: at least the cap's.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(directory: &Path, assets: Assets) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.into(), assets })
    }

    fn file(&self, call: &CallKey) -> PathBuf {
        // Call keys are free text, file names are not.
        let name = Sha256::digest(call.as_str().as_bytes()).iter().fold(String::with_capacity(64), |mut name, byte| {
            // Writing to a string does not fail.
            write!(name, "{byte:02x}").ok();
            name
        });
        self.directory.join(name)
    }

    fn load(&self, path: &Path) -> Result<Option<SignedPayment>, JournalUnavailable> {
        match fs::read_to_string(path) {
            Ok(record) => SignedPayment::from_record(&record, &self.assets).map(Some).map_err(unavailable),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }
}

impl Journal for DirectoryJournal {
    async fn find(&self, call: &CallKey) -> Result<Option<SignedPayment>, JournalUnavailable> {
        let (journal, path) = (self.clone(), self.file(call));
        tokio::task::spawn_blocking(move || journal.load(&path)).await.map_err(unavailable)?
    }

    async fn signed(&self, call: &CallKey, payment: SignedPayment) -> Result<SignedPayment, JournalUnavailable> {
        let (journal, path) = (self.clone(), self.file(call));
        let write = move || match store(&journal.directory, &path, &payment.to_record()).map_err(unavailable)? {
            Stored::Now => Ok(payment),
            Stored::Before => journal.load(&path)?.ok_or_else(|| unavailable("a record is gone")),
        };
        tokio::task::spawn_blocking(write).await.map_err(unavailable)?
    }
}

fn unavailable(error: impl ToString) -> JournalUnavailable {
    JournalUnavailable(error.to_string())
}

enum Stored {
    Now,
    Before,
}

/// A record appears under its name whole or not at all, and once: the link to the finished file is what counts.
fn store(directory: &Path, path: &Path, record: &str) -> io::Result<Stored> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| io::Error::other("the system has no randomness"))?;
    let draft = directory.join(format!("draft-{:016x}", u64::from_be_bytes(random)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(record.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Stored::Before),
        Err(error) => return Err(error),
    }
    // The name is durable once its directory is.
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    Ok(Stored::Now)
}
