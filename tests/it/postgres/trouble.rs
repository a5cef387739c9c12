//! Connections that end, in the middle and between.

use super::{database, open};
use h402_core::{Applied, Change, Fence, LeaseAnswer, LeaseAsk, Network, Store};
use h402_tests::contract;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, Instant};

/// T151: whoever was answered is in the ledger; whoever was not is there whole or not at all, and a second ask tells which.
#[tokio::test(flavor = "multi_thread")]
async fn t151_a_lost_connection_loses_nothing_that_was_answered() {
    let Some(here) = database().await else { return };
    let store = open(&here).await;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..16u64)
        .map(|caller| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut answered, mut unknown) = (Vec::new(), Vec::new());
                for n in (caller * 1_000_000..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    match store.apply(contract::a_claim(n)).await {
                        Ok(Applied::Applied) => answered.push(n),
                        Ok(other) => panic!("{n}: {other:?}"),
                        Err(_) => unknown.push(n),
                    }
                }
                (answered, unknown)
            })
        })
        .collect();
    let start = Instant::now();
    let mut kicked = 0;
    while kicked < 60 && start.elapsed() < Duration::from_secs(40) {
        kicked += here.kick_everybody().await;
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    // Longer than a connection is trusted without a question: some that wait to be used have ended.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (mut answered, mut unknown) = (0, 0);
    for task in tasks {
        let (known, lost) = task.await.unwrap();
        for n in &known {
            let row = store.payment(&contract::a_claim(*n).claim.unwrap().row.key).await.unwrap();
            assert!(row.is_some(), "{n} was answered");
        }
        for n in &lost {
            let key = contract::a_claim(*n).claim.unwrap().row.key;
            let there = store.payment(&key).await.unwrap().is_some();
            assert_eq!(store.is_taken(&key).await, Ok(there), "{n}: whole or not at all");
            let again = store.apply(contract::a_claim(*n)).await.unwrap();
            assert_eq!(again, if there { Applied::Conflict } else { Applied::Applied }, "{n}");
        }
        answered += known.len();
        unknown += lost.len();
    }
    assert!(answered > 0 && unknown > 0, "{answered} answered and {unknown} not, while {kicked} connections were ended");
}

/// A connection that ended while nobody used it is nobody's trouble.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_found_again() {
    let Some(here) = database().await else { return };
    let store = open(&here).await;
    assert_eq!(store.apply(contract::a_claim(1)).await, Ok(Applied::Applied));
    let key = contract::a_claim(1).claim.unwrap().row.key;
    assert!(store.payment(&key).await.unwrap().is_some());
    assert!(here.kick_everybody().await >= 2);
    // Longer than a connection is trusted without a question.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(store.payment(&key).await.unwrap().is_some());
    assert_eq!(store.apply(contract::a_claim(2)).await, Ok(Applied::Applied));
}

/// T153: a process that stops in the middle of a transaction, its locks in hand, does not keep the others waiting: the
/// server ends its session, and nothing of what it did is there.
#[tokio::test(flavor = "multi_thread")]
async fn t153_a_process_stopped_in_the_middle_holds_nobody_up() {
    let Some(here) = database().await else { return };
    let (store, network) = (open(&here).await, Network::Evm(8453));
    let ask = |holder: u8, ttl| LeaseAsk { network, holder: [holder; 16], ttl };
    let held = store.lease(ask(1, Duration::ZERO)).await.unwrap();
    assert!(matches!(held, LeaseAnswer::Held { epoch: 1, .. }), "{held:?}");
    // What the first process's program does, up to where it is stopped: with the session's settings as the store makes them.
    let mut stopped = here.connect().await;
    let begin = "SET idle_in_transaction_session_timeout = '3s'; BEGIN; \
                 SELECT epoch FROM leases WHERE network = 'eip155:8453' AND epoch = 1 FOR KEY SHARE; \
                 INSERT INTO payment_keys (key) VALUES (decode(repeat('07', 32), 'hex'))";
    sqlx::raw_sql(begin).execute(&mut stopped).await.unwrap();
    let asked = Instant::now();
    let taken = store.lease(ask(2, Duration::from_secs(60))).await.unwrap();
    assert!(matches!(taken, LeaseAnswer::Held { epoch: 2, .. }), "{taken:?}");
    assert!(asked.elapsed() >= Duration::from_millis(500), "{:?}: it has waited for the transaction that is open", asked.elapsed());
    assert!(sqlx::raw_sql("COMMIT").execute(&mut stopped).await.is_err(), "it wakes up too late");
    assert_eq!(store.is_taken(&h402_core::PaymentKey::from_bytes([7; 32])).await, Ok(false));
    let late = Change { fence: Some(Fence { network, epoch: 1 }), ..contract::a_claim(5) };
    assert_eq!(store.apply(late).await, Ok(Applied::Fenced));
    // The holder itself renews while somebody writes under its lease.
    let mut writing = here.connect().await;
    let begin = "BEGIN; SELECT epoch FROM leases WHERE network = 'eip155:8453' AND epoch = 2 FOR KEY SHARE";
    sqlx::raw_sql(begin).execute(&mut writing).await.unwrap();
    let renewed = store.lease(ask(2, Duration::from_secs(60))).await.unwrap();
    assert!(matches!(renewed, LeaseAnswer::Held { epoch: 2, .. }), "{renewed:?}");
}
