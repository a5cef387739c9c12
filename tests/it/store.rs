//! The SQLite store keeps the contract of every store, and the promises of its own.

use h402_facilitator::sqlite::{OpenOptions, SqlGrants, SqliteStore};
use h402_tests::contract;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A directory of its own for each test, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("h402-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Paths of databases that are not there yet.
    fn fresh(&self) -> impl Fn() -> PathBuf {
        let count = AtomicU64::new(0);
        move || self.0.join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whoever held the file may need a moment to let go of it.
fn patient() -> OpenOptions {
    OpenOptions::default().with_lock_wait(Duration::from_secs(20))
}

async fn store(path: &Path) -> SqliteStore {
    SqliteStore::open(path, patient()).await.unwrap()
}

async fn grants(path: &Path) -> SqlGrants {
    SqlGrants::open(path, patient()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_keeps_the_contract() {
    let directory = Directory::new();
    let fresh = directory.fresh();
    contract::store_contract(async || store(&fresh()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grants_keep_the_contract() {
    let directory = Directory::new();
    let fresh = directory.fresh();
    contract::grants_contract(async || grants(&fresh()).await).await;
    contract::grants_answers_expire(async || grants(&fresh()).await).await;
}

/// T142: a store that was closed, and one whose handles were only dropped, open again with all that was answered.
#[tokio::test(flavor = "multi_thread")]
async fn t142_a_restart_keeps_everything() {
    let directory = Directory::new();
    let path = |name| directory.0.join(name);
    contract::store_survives(async || store(&path("closed.db")).await, async |store| store.close().await.unwrap()).await;
    contract::store_survives(async || store(&path("dropped.db")).await, async |store| drop(store)).await;
    contract::grants_survive(async || grants(&path("closed-grants.db")).await, async |grants| grants.close().await.unwrap()).await;
    contract::grants_survive(async || grants(&path("dropped-grants.db")).await, async |grants| drop(grants)).await;
}
