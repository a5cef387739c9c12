//! Durable claims through the store port against a raw append and fdatasync of the same folder.

pub(crate) mod many;
pub(crate) mod postgres;

use crate::measure::{line, median, ratio};
use h402_core::*;
use h402_facilitator::{
    SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::rig::{Folder, nonce};
use std::{
    fs::File,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const SPAN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 9;

pub(crate) async fn run() {
    let folder = Folder::new();
    for callers in [1, 64] {
        let store = SqliteStore::open(folder.path().join(format!("claims-{callers}.sqlite")), OpenOptions::default()).await.unwrap();
        let mut rounds = ([0.0; ROUNDS], [0.0; ROUNDS], [0.0; ROUNDS]);
        for round in 0..ROUNDS {
            let (raw, claimed) = (append(&folder), claims(&store, callers).await);
            (rounds.0[round], rounds.1[round], rounds.2[round]) = (raw, claimed, claimed / raw);
        }
        store.close().await.unwrap();
        line("raw append + fdatasync, per s", format!("{:.0}", median(&mut rounds.0)));
        line(&format!("durable claims at {callers} caller(s), per s"), format!("{:.0}", median(&mut rounds.1)));
        let goal = if callers == 1 { ">= 0.55" } else { ">= 2.5" };
        ratio(&format!("claims at {callers} caller(s) / raw append"), median(&mut rounds.2), goal);
    }
}

/// One record of a claim's size, written and synced, again and again.
fn append(folder: &Folder) -> f64 {
    let mut file = File::create(folder.path().join("raw")).unwrap();
    let start = Instant::now();
    let mut count = 0.0;
    while start.elapsed() < SPAN {
        file.write_all(&[7; 256]).unwrap();
        file.sync_data().unwrap();
        count += 1.0;
    }
    count / start.elapsed().as_secs_f64()
}

async fn claims<S: Store + Clone>(store: &S, callers: usize) -> f64 {
    let count = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, count) = (store.clone(), count.clone());
            tokio::spawn(async move {
                while start.elapsed() < SPAN {
                    let claim = NewPayment { row: row(), aliases: Vec::new() };
                    let applied = store.apply(Change { claim: Some(claim), ..Change::default() }).await.unwrap();
                    assert_eq!(applied, Applied::Applied);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn row() -> PaymentRow {
    let payer = Address::Evm(EvmAddress::repeat_byte(1));
    let (nonce, now) = (nonce(), SystemClock.now());
    PaymentRow {
        key: PaymentId::Eip3009 { chain: 8453, token: EvmAddress::repeat_byte(2), from: EvmAddress::repeat_byte(1), nonce }.key(),
        asset: AssetId { network: Network::Evm(8453), address: Address::Evm(EvmAddress::repeat_byte(2)) },
        payer,
        pay_to: Address::Evm(EvmAddress::repeat_byte(3)),
        amount: Amount::from_atomic(10_000),
        kind: PaymentKind::Authorization,
        nonce: Some(nonce.0),
        caller: Some(CallerKey::from_bytes([4; 32])),
        state: Settlement::Claimed,
        answer: None,
        expires: Some(UnixSeconds(1_800_000_000)),
        last_block_height: None,
        raw: Some(vec![5; 292].into()),
        claimed_at: now,
        updated_at: now,
        version: 1,
    }
}
