//! Every store keeps the contract of every store.

use h402_facilitator::sqlite::{OpenOptions, SqlGrants, SqliteStore};
use h402_tests::{contract, rig::Folder};
use h402_tower::gate::MemoryGrants;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Paths of databases that are not there yet.
fn fresh(folder: &Folder) -> impl Fn() -> PathBuf {
    let count = AtomicU64::new(0);
    move || folder.path().join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)))
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
    let folder = Folder::new();
    let fresh = fresh(&folder);
    contract::store_contract(async || store(&fresh()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grants_keep_the_contract() {
    let folder = Folder::new();
    let fresh = fresh(&folder);
    contract::grants_contract(async || grants(&fresh()).await).await;
    contract::grants_answers_expire(async || grants(&fresh()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_in_memory_keep_the_contract() {
    contract::grants_contract(async || MemoryGrants::new().unwrap()).await;
}

/// T142: a store that was closed, and one whose handles were only dropped, open again with all that was answered.
#[tokio::test(flavor = "multi_thread")]
async fn t142_a_restart_keeps_everything() {
    let folder = Folder::new();
    let path = |name| folder.path().join(name);
    contract::store_survives(async || store(&path("closed.db")).await, async |store| store.close().await.unwrap()).await;
    contract::store_survives(async || store(&path("dropped.db")).await, async |store| drop(store)).await;
    contract::grants_survive(async || grants(&path("closed-grants.db")).await, async |grants| grants.close().await.unwrap(), true).await;
    contract::grants_survive(async || grants(&path("dropped-grants.db")).await, async |grants| drop(grants), true).await;
}
