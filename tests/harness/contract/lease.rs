//! Leases, the writes they fence, and what was spent under them.

use super::fixture::{BASE, hash, key, payment};
use super::store::{apply, claim, payment_of, sign, transaction, update};
use alloy_primitives::U256;
use h402_core::{
    Applied, Change, EvmAddress, Fence, LeaseAnswer, LeaseAsk, Network, PaymentRow, SentState, Settlement, Store, TransactionRow,
    UnixMillis,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

async fn ask<S: Store>(store: &S, network: Network, holder: u8, ttl: Duration) -> LeaseAnswer {
    store.lease(LeaseAsk { network, holder: [holder; 16], ttl }).await.unwrap()
}

/// The epoch of a lease that was held, with all its time left.
pub(super) async fn take<S: Store>(store: &S, holder: u8, ttl: Duration) -> Option<u64> {
    match ask(store, BASE, holder, ttl).await {
        LeaseAnswer::Held { epoch, left } => {
            assert!(left <= ttl && left + Duration::from_secs(60) > ttl, "{left:?} of {ttl:?}");
            Some(epoch)
        }
        LeaseAnswer::Other { .. } => None,
    }
}

/// T153: taken, refused, renewed, given back.
pub(super) async fn one_holder_at_a_time<S: Store>(store: S) {
    assert_eq!(store.release(BASE, [1; 16]).await, Ok(()), "nobody ever had it");
    assert_eq!(take(&store, 1, HOUR).await, Some(1));
    let LeaseAnswer::Other { left } = ask(&store, BASE, 2, HOUR * 2).await else { panic!("two have it") };
    assert!(left <= HOUR && left > HOUR / 2, "{left:?}: the holder's time, not the asker's");
    assert_eq!(take(&store, 1, HOUR / 4).await, Some(1), "renewed under its epoch");
    let LeaseAnswer::Other { left } = ask(&store, BASE, 2, HOUR).await else { panic!("two have it") };
    assert!(left <= HOUR / 4, "{left:?}: as it was renewed last");
    assert!(matches!(ask(&store, Network::Evm(1), 2, HOUR).await, LeaseAnswer::Held { epoch: 1, .. }), "another network is another lease");
    assert_eq!(store.release(BASE, [2; 16]).await, Ok(()), "not its lease");
    assert_eq!(take(&store, 2, HOUR).await, None);
    assert_eq!(store.release(BASE, [1; 16]).await, Ok(()));
    assert_eq!(take(&store, 2, HOUR).await, Some(2), "given back, so there is nothing to wait for");
    assert_eq!(store.release(BASE, [1; 16]).await, Ok(()), "given back long ago");
    assert_eq!(take(&store, 1, HOUR).await, None);
    assert_eq!(store.release(BASE, [2; 16]).await, Ok(()));
    assert_eq!(take(&store, 2, HOUR).await, Some(3), "who gave it back comes as anybody else");
    assert!(matches!(ask(&store, Network::Evm(1), 1, HOUR).await, LeaseAnswer::Other { .. }), "the other lease stood all the time");
}

pub(super) async fn one_of_eight_holders_wins<S: Store>(store: S) {
    let store = Arc::new(store);
    for round in 1..=20 {
        let tasks: Vec<_> = (1..=8)
            .map(|holder| {
                let store = store.clone();
                tokio::spawn(async move { take(&*store, holder, HOUR).await.map(|epoch| (holder, epoch)) })
            })
            .collect();
        let mut held = Vec::new();
        for task in tasks {
            held.extend(task.await.unwrap());
        }
        let [(holder, epoch)] = held[..] else { panic!("{held:?} in round {round}") };
        assert_eq!(epoch, round);
        assert_eq!(store.release(BASE, [holder; 16]).await, Ok(()));
    }
}

/// T153: by the store's clock, and with no help of the holder.
pub(super) async fn leases_lapse_by_themselves<S: Store>(store: S) {
    // Over at once.
    assert_eq!(take(&store, 1, Duration::ZERO).await, Some(1));
    assert_eq!(take(&store, 1, Duration::ZERO).await, Some(1), "nobody else was there: the same holder, the same epoch");
    assert_eq!(take(&store, 2, Duration::from_millis(300)).await, Some(2));
    let asked = Instant::now();
    loop {
        match ask(&store, BASE, 1, HOUR).await {
            LeaseAnswer::Held { epoch, .. } => {
                assert_eq!(epoch, 3);
                break;
            }
            LeaseAnswer::Other { left } => {
                assert!(left <= Duration::from_millis(300), "{left:?}");
                assert!(asked.elapsed() < Duration::from_secs(60), "it never lapses");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    assert_eq!(take(&store, 2, HOUR).await, None, "who was late is not the holder");
}

/// T153: a process that has slept while another took over writes nothing, whatever it writes.
pub(super) async fn a_fenced_change_does_nothing<S: Store>(make: impl AsyncFn() -> S) {
    let moved = || PaymentRow { version: 2, state: Settlement::Rejected, ..payment(key(1)) };
    let mined = SentState { network: BASE, id: hash(5), done: true, cost: Some(U256::from(7)) };
    let changes = [
        ("a claim", claim(payment(key(10)), &[key(11)])),
        ("an update", update(moved())),
        ("a transaction", sign(transaction(20, 0))),
        ("news", Change { sent: vec![mined.clone()], ..Change::default() }),
        ("all of it", Change { updates: update(moved()).updates, sent: vec![mined], ..claim(payment(key(10)), &[key(11)]) }),
        ("nothing", Change::default()),
    ];
    for (case, change) in changes {
        let store = make().await;
        assert_eq!(apply(&store, claim(payment(key(1)), &[])).await, Applied::Applied);
        assert_eq!(apply(&store, sign(transaction(5, 5))).await, Applied::Applied);
        let write = async |network, epoch| apply(&store, Change { fence: Some(Fence { network, epoch }), ..change.clone() }).await;
        let untouched = async |when: &str| {
            assert_eq!(payment_of(&store, key(1)).await, Some(payment(key(1))), "{case}, {when}");
            for free in [key(10), key(11)] {
                assert_eq!(store.is_taken(&free).await, Ok(false), "{case}, {when}: {free} was left behind");
            }
            assert_eq!(store.transaction(BASE, &hash(20)).await, Ok(None), "{case}, {when}");
            assert_eq!(store.transaction(BASE, &hash(5)).await, Ok(Some(transaction(5, 5))), "{case}, {when}");
        };
        for epoch in [0, 1] {
            assert_eq!(write(BASE, epoch).await, Applied::Fenced, "{case}: there is no lease");
        }
        assert!(matches!(ask(&store, Network::Evm(1), 2, HOUR).await, LeaseAnswer::Held { epoch: 1, .. }));
        assert_eq!(write(BASE, 1).await, Applied::Fenced, "{case}: another network's lease");
        assert_eq!(take(&store, 1, Duration::ZERO).await, Some(1));
        assert_eq!(take(&store, 2, HOUR).await, Some(2));
        for epoch in [0, 1, 3, u64::MAX] {
            assert_eq!(write(BASE, epoch).await, Applied::Fenced, "{case}: {epoch} is not the epoch");
        }
        untouched("taken over").await;
        assert_eq!(store.release(BASE, [2; 16]).await, Ok(()));
        assert_eq!(write(BASE, 2).await, Applied::Fenced, "{case}: given back");
        untouched("given back").await;
        // The honest twin: the same change by the holder, also when its time is over and nobody has come.
        assert_eq!(take(&store, 2, Duration::ZERO).await, Some(3));
        assert_eq!(write(BASE, 3).await, Applied::Applied, "{case}");
    }
    let store = make().await;
    assert_eq!(take(&store, 1, HOUR).await, Some(1));
    let stale = |epoch| Change { fence: Some(Fence { network: BASE, epoch }), ..update(moved()) };
    assert_eq!(apply(&store, stale(1)).await, Applied::Conflict, "the lease is right and the version is not");
    assert_eq!(apply(&store, stale(2)).await, Applied::Fenced, "neither is right: the lease is asked for first");
}

/// A budget counts what was paid, by key, by network and by day.
pub(super) async fn what_was_spent_adds_up<S: Store>(store: S) {
    let sender = EvmAddress::repeat_byte(1);
    let at = |n: u64| UnixMillis(1_800_000_000_000 + n);
    let spent = async |since| store.spent(BASE, &sender, since).await.unwrap();
    assert_eq!(spent(at(0)).await, U256::ZERO);
    for n in 0..5 {
        assert_eq!(apply(&store, sign(TransactionRow { signed_at: at(n), ..transaction(n, n) })).await, Applied::Applied);
    }
    let others = [
        TransactionRow { sender: EvmAddress::repeat_byte(2), cost: Some(U256::from(1000)), ..transaction(50, 0) },
        TransactionRow { network: Network::Evm(1), cost: Some(U256::from(1000)), ..transaction(51, 0) },
    ];
    for other in others {
        assert_eq!(apply(&store, sign(other)).await, Applied::Applied);
    }
    assert_eq!(spent(at(0)).await, U256::ZERO, "nothing is known yet, and others pay for themselves");
    let news = async |n, done, cost: Option<u128>| {
        let sent = SentState { network: BASE, id: hash(n), done, cost: cost.map(U256::from) };
        assert_eq!(apply(&store, Change { sent: vec![sent], ..Change::default() }).await, Applied::Applied);
    };
    // More than 64 bits hold, as on chains whose fees are in 18 decimals.
    let big = 1u128 << 80;
    for (n, cost) in [(0, 1), (1, 20), (2, 300), (3, big)] {
        news(n, true, Some(cost)).await;
    }
    for (since, sum) in [(0, 321 + big), (1, 320 + big), (3, big), (4, 0), (u64::MAX / 4, 0)] {
        assert_eq!(spent(at(since)).await, U256::from(sum), "since {since}");
    }
    news(1, false, None).await;
    let stored = store.transaction(BASE, &hash(1)).await.unwrap().unwrap();
    assert_eq!((stored.done, stored.cost), (false, Some(U256::from(20))), "its block is gone, and what it cost is all that is known");
    news(1, true, Some(21)).await;
    assert_eq!(spent(at(1)).await, U256::from(321 + big), "in another block, at another price");
    assert_eq!(store.spent(Network::Evm(1), &sender, at(0)).await, Ok(U256::from(1000)));
}
