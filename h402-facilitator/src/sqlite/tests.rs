//! What only the SQLite store promises. What every store must do is tests/harness/contract.rs.

use super::*;
use h402_core::{Amount, Clock, Fingerprint, Flow, GrantState, NewPayment, PaymentKind, PaymentUpdate, Settlement, TransactionId as Id};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod crash;
mod forgetting;
mod opening;
mod trouble;

pub(super) const BASE: Network = Network::Evm(8453);

/// A directory of its own for each test, gone with it.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("h402-sqlite-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    async fn store(&self) -> SqliteStore {
        self.store_with(OpenOptions::default()).await
    }

    async fn store_with(&self, options: OpenOptions) -> SqliteStore {
        SqliteStore::open(self.path("a.db"), options).await.unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A connection as any tool opens it.
pub(super) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

pub(super) fn key(n: u64) -> PaymentKey {
    PaymentKey::from_bytes(alloy_primitives::B256::from(alloy_primitives::U256::from(n)).0)
}

pub(super) fn payment(n: u64) -> PaymentRow {
    PaymentRow {
        key: key(n),
        asset: AssetId { network: BASE, address: Address::Evm([2; 20].into()) },
        payer: Address::Evm([1; 20].into()),
        pay_to: Address::Evm([9; 20].into()),
        amount: Amount::from_atomic(10_000),
        kind: PaymentKind::Authorization,
        nonce: Some([3; 32]),
        caller: None,
        state: Settlement::Claimed,
        answer: None,
        expires: None,
        last_block_height: None,
        raw: Some(vec![7; 300].into()),
        claimed_at: UnixMillis(1_800_000_000_000),
        updated_at: UnixMillis(1_800_000_000_000),
        version: 1,
    }
}

pub(super) fn claim(n: u64) -> Change {
    claim_with(n, &[])
}

pub(super) fn claim_with(n: u64, aliases: &[u64]) -> Change {
    let aliases = aliases.iter().copied().map(key).collect();
    Change { claim: Some(NewPayment { row: payment(n), aliases }), ..Change::default() }
}

pub(super) fn update(n: u64, version: u64) -> Change {
    Change { updates: vec![PaymentUpdate { row: PaymentRow { version, ..payment(n) } }], ..Change::default() }
}

pub(super) fn signed(n: u64) -> TransactionRow {
    TransactionRow {
        network: BASE,
        id: Id::Evm((*key(n).as_bytes()).into()),
        sender: [1; 20].into(),
        nonce: n,
        raw: vec![1].into(),
        payments: vec![],
        done: false,
        cost: None,
        signed_at: UnixMillis(1),
    }
}

pub(super) fn new_grant(n: u64) -> NewGrant {
    let grant = Grant {
        key: key(n),
        fingerprint: Fingerprint::from_bytes([7; 32]),
        flow: Flow::Capture,
        payer: Address::Evm([1; 20].into()),
        asset: AssetId { network: BASE, address: Address::Evm([2; 20].into()) },
        amount: Amount::from_atomic(1),
        state: GrantState::Running,
        runs: 1,
        busy_until: UnixMillis(0),
        receipt: None,
        claimed_at: UnixMillis(1000),
        updated_at: UnixMillis(1000),
        expires_at: UnixMillis(301_000),
        version: 1,
    };
    NewGrant { grant, aliases: vec![], max_unsettled: 100_000 }
}

async fn apply(store: &SqliteStore, change: Change) -> Applied {
    store.apply(change).await.unwrap()
}

async fn is_there(store: &SqliteStore, n: u64) -> bool {
    store.payment(&key(n)).await.unwrap().is_some()
}

/// Polls once, and nobody will be woken.
fn is_pending(future: std::pin::Pin<&mut impl Future>) -> bool {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending()
}

#[test]
fn handles_show_nothing_but_the_path() {
    let options = OpenOptions::default().with_max_bytes(5);
    assert_eq!(format!("{options:?}"), "OpenOptions { lock_wait: 0ns, answer_budget: 268435456, max_bytes: Some(5), .. }");
}

#[tokio::test]
async fn a_write_whose_caller_went_away_is_made_all_the_same() {
    let directory = Directory::new();
    let store = directory.store().await;
    let mut claimed = Box::pin(store.apply(claim(1)));
    // Polled once, it is queued; dropped, it has no caller any more.
    assert!(is_pending(claimed.as_mut()));
    drop(claimed);
    store.ready().await.unwrap();
    assert!(is_there(&store, 1).await);
    let never_polled = store.apply(claim(2));
    drop(never_polled);
    store.ready().await.unwrap();
    assert!(!is_there(&store, 2).await, "nobody asked for it");
}

#[tokio::test]
async fn a_read_whose_caller_went_away_gives_its_connection_back() {
    let directory = Directory::new();
    let store = directory.store().await;
    apply(&store, claim(1)).await;
    for _ in 0..20 {
        let mut read = Box::pin(store.unfinished(BASE, None, 10));
        // A quick read may be done by now; most are not.
        let _pending = is_pending(read.as_mut());
        drop(read);
    }
    assert!(is_there(&store, 1).await);
}

/// What is queued when a store is closed is written; what comes later is refused.
#[tokio::test]
async fn closing_writes_what_waits() {
    let directory = Directory::new();
    let store = directory.store().await;
    let writes: Vec<_> = (0..600)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.apply(claim(n)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    let mut applied = 0;
    for (n, write) in (0..).zip(writes) {
        match write.await.unwrap() {
            Ok(answer) => {
                assert_eq!(answer, Applied::Applied, "{n}");
                applied += 1;
            }
            Err(refused) => assert_eq!(refused, StoreUnavailable("closed".to_owned()), "{n}"),
        }
    }
    assert!(applied > 0);
    assert!(store.apply(claim(1000)).await.is_err());
    assert!(store.payment(&key(0)).await.is_err());
    assert!(store.ready().await.is_err());
    assert_eq!(store.close().await, Ok(()), "closing twice is closing once");
    assert!(!directory.path("a.db-wal").exists(), "the file is whole by itself");
    let store = directory.store().await;
    assert_eq!(store.unfinished(BASE, None, 1000).await.unwrap().len(), applied);
}

#[tokio::test]
async fn a_number_beyond_sqlite_is_refused_alone() {
    let directory = Directory::new();
    let store = directory.store().await;
    let beyond = u64::try_from(i64::MAX).unwrap() + 1;
    let mut impossible = claim(1);
    impossible.claim.as_mut().unwrap().row.version = beyond;
    assert!(store.apply(impossible).await.is_err());
    let transaction = TransactionRow { nonce: beyond, ..signed(1) };
    assert!(store.apply(Change { transactions: vec![transaction.clone()], ..Change::default() }).await.is_err());
    assert!(!is_there(&store, 1).await);
    let greatest = TransactionRow { nonce: beyond - 1, ..transaction };
    assert_eq!(apply(&store, Change { transactions: vec![greatest], ..Change::default() }).await, Applied::Applied);
    assert_eq!(store.lane(BASE, &[1; 20].into(), 0, u32::MAX).await.unwrap().greatest, Some(beyond - 1));
}
