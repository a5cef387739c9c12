//! Several processes, each with connections of its own, on one database.

use super::{database, open};
use h402_core::{Applied, Change, LeaseAnswer, LeaseAsk, Network, NewPayment, PaymentKey, PaymentRow, Store};
use h402_facilitator::postgres::PostgresStore;
use h402_tests::{contract, postgres::Database};
use std::time::Duration;

const BASE: Network = Network::Evm(8453);

async fn three(database: &Database) -> [PostgresStore; 3] {
    [open(database).await, open(database).await, open(database).await]
}

fn claim(row: &PaymentRow, n: u64, aliases: &[u64]) -> Change {
    let key = |n: &u64| PaymentKey::from_bytes(alloy_primitives::B256::from(alloy_primitives::U256::from(*n)).0);
    let aliases = aliases.iter().map(key).collect();
    Change { claim: Some(NewPayment { row: PaymentRow { key: key(&n), ..row.clone() }, aliases }), ..Change::default() }
}

fn row() -> PaymentRow {
    contract::a_claim(0).claim.unwrap().row
}

/// T153: 64 claims of one payment by three processes, by its key and by its other names: one is applied.
#[tokio::test(flavor = "multi_thread")]
async fn t153_of_many_claims_by_many_processes_one_is_applied() {
    let Some(here) = database().await else { return };
    let stores = three(&here).await;
    for round in 0..20 {
        let (key, other) = (1000 * round + 1, 1000 * round + 2);
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let store = stores[n % 3].clone();
                // Under its key alone, with its other name, and under its other name alone.
                let change = [claim(&row(), key, &[]), claim(&row(), key, &[other]), claim(&row(), other, &[key])][n % 4 % 3].clone();
                tokio::spawn(async move { (n, store.apply(change).await.unwrap()) })
            })
            .collect();
        let mut applied = Vec::new();
        for task in tasks {
            let (n, answer) = task.await.unwrap();
            if answer == Applied::Applied {
                applied.push(n);
            }
        }
        assert_eq!(applied.len(), 1, "{applied:?} in round {round}");
    }
}

/// Names crosswise: nobody waits for somebody who waits, and each set of names is somebody's.
#[tokio::test(flavor = "multi_thread")]
async fn t153_names_taken_crosswise_are_taken_once() {
    let Some(here) = database().await else { return };
    let stores = three(&here).await;
    let tasks: Vec<_> = (0..300u64)
        .map(|n| {
            let store = stores[usize::try_from(n % 3).unwrap()].clone();
            // A ring of thirty names, each claim taking three that lie side by side, from either end.
            let names = [n % 30, (n + 1) % 30, (n + 2) % 30].map(|name| 100 + name);
            let [first, second, third] = if n % 2 == 0 { names } else { [names[2], names[1], names[0]] };
            tokio::spawn(async move { (names, store.apply(claim(&row(), first, &[second, third])).await.unwrap()) })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        let (names, answer) = task.await.unwrap();
        if answer == Applied::Applied {
            taken.extend(names);
        }
    }
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), count, "no name is taken twice");
    assert!(count >= 18, "{count}: of thirty names side by side no three are left");
    for name in 100..130 {
        let key = claim(&row(), name, &[]).claim.unwrap().row.key;
        assert_eq!(stores[0].is_taken(&key).await, Ok(taken.contains(&name)), "{name}");
    }
}

/// T153: a lease that eight processes ask for again and again is one process's at a time, and every change of holder is
/// a new epoch.
#[tokio::test(flavor = "multi_thread")]
async fn t153_a_lease_is_one_process_at_a_time() {
    let Some(here) = database().await else { return };
    let stores = three(&here).await;
    let tasks: Vec<_> = (0..8u8)
        .map(|n| {
            let store = stores[usize::from(n % 3)].clone();
            tokio::spawn(async move {
                let mut epochs = Vec::new();
                for _ in 0..40 {
                    let ask = LeaseAsk { network: BASE, holder: [n; 16], ttl: Duration::from_secs(60) };
                    if let LeaseAnswer::Held { epoch, .. } = store.lease(ask).await.unwrap() {
                        let fence = Some(h402_core::Fence { network: BASE, epoch });
                        let written = store.apply(Change { fence, ..claim(&row(), 10_000 + epoch, &[]) }).await.unwrap();
                        assert_eq!(written, Applied::Applied, "{n} drives in {epoch}");
                        epochs.push(epoch);
                        store.release(BASE, [n; 16]).await.unwrap();
                    }
                }
                epochs
            })
        })
        .collect();
    let mut epochs = Vec::new();
    for task in tasks {
        epochs.extend(task.await.unwrap());
    }
    epochs.sort_unstable();
    let expected: Vec<u64> = (1..).take(epochs.len()).collect();
    assert_eq!(epochs, expected, "each epoch is held once");
    assert!(epochs.len() >= 5, "{}", epochs.len());
}
