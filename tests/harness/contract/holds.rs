//! What several processes must see of each other: claims that nobody drives yet, and what payments promise.

use super::fixture::{BASE, address, key, payment, usdc};
use super::store::{claim, update};
use alloy_primitives::B256;
use futures_util::future::join_all;
use h402_core::{Amount, Applied, BlockRef, HoldAnswer, HoldAsk, Network, PaymentKind, PaymentRow, Settlement, Store, TransactionId};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Whoever drives finds what was claimed and not changed since, in pages, on its own network.
pub(super) async fn what_nobody_has_touched_is_found<S: Store>(store: S) {
    let untouched = async |after, limit| store.untouched(BASE, after, limit).await.unwrap();
    assert_eq!(untouched(None, 10).await, []);
    for n in [5, 1, 4, 2, 3] {
        assert_eq!(store.apply(claim(payment(key(n)), &[])).await, Ok(Applied::Applied));
    }
    let ended = PaymentRow { state: Settlement::Rejected, ..payment(key(6)) };
    assert_eq!(store.apply(claim(ended, &[])).await, Ok(Applied::Applied));
    let mut keys: Vec<_> = (1..=5).map(key).collect();
    keys.sort();
    assert_eq!(untouched(None, 10).await, keys);
    assert_eq!(untouched(None, 2).await, keys[..2]);
    assert_eq!(untouched(Some(keys[1]), 2).await, keys[2..4]);
    assert_eq!(untouched(Some(keys[4]), 2).await, []);
    assert_eq!(store.untouched(Network::Evm(1), None, 10).await, Ok(Vec::new()));
    let touched = PaymentRow { version: 2, ..payment(keys[2]) };
    assert_eq!(store.apply(update(touched)).await, Ok(Applied::Applied));
    keys.remove(2);
    assert_eq!(untouched(None, 10).await, keys);
}

fn ask(n: u64, amount: u128) -> HoldAsk {
    let PaymentRow { payer, asset, .. } = payment(key(n));
    HoldAsk { key: key(n), payer, asset, amount: Amount::from_atomic(amount), exclusive: false, block: 10, ttl: MINUTE }
}

async fn others<S: Store>(store: &S, ask: HoldAsk) -> Vec<u128> {
    match store.hold(ask).await.unwrap() {
        HoldAnswer::Held { others, .. } => {
            let mut others: Vec<u128> = others.into_iter().map(|amount| amount.to_string().parse().unwrap()).collect();
            others.sort_unstable();
            others
        }
        HoldAnswer::Taken => panic!("taken"),
    }
}

/// T024 over processes: each hold and each claim counts against the next, once, as long as the balance does not show it.
pub(super) async fn holds_and_claims_add_up<S: Store>(store: S) {
    assert_eq!(others(&store, ask(1, 10)).await, []);
    assert_eq!(others(&store, ask(1, 10)).await, [], "its own repetition does not count");
    assert_eq!(others(&store, ask(2, 5)).await, [10]);
    assert_eq!(others(&store, HoldAsk { payer: address(99), ..ask(3, 1) }).await, [], "another payer");
    let elsewhere = h402_core::AssetId { network: Network::Evm(1), ..usdc() };
    assert_eq!(others(&store, HoldAsk { asset: elsewhere, ..ask(4, 1) }).await, [], "another network's token");
    // Claimed, it counts as what it is, once.
    let row = PaymentRow { amount: Amount::from_atomic(10), ..payment(key(1)) };
    assert_eq!(store.apply(claim(row.clone(), &[])).await, Ok(Applied::Applied));
    assert_eq!(others(&store, ask(2, 5)).await, [10]);
    let sent = PaymentRow { kind: PaymentKind::EvmSent, amount: Amount::from_atomic(1000), ..payment(key(7)) };
    assert_eq!(store.apply(claim(sent, &[])).await, Ok(Applied::Applied));
    assert_eq!(others(&store, ask(2, 5)).await, [10], "what has moved promises nothing");
    // In a block it counts for balances that were read before that one.
    let transaction = TransactionId::Evm(B256::repeat_byte(1));
    let included = Settlement::Included { transaction, block: BlockRef { number: 11, hash: B256::ZERO } };
    assert_eq!(store.apply(update(PaymentRow { state: included, version: 2, ..row.clone() })).await, Ok(Applied::Applied));
    assert_eq!(others(&store, ask(2, 5)).await, [10]);
    assert_eq!(others(&store, HoldAsk { block: 11, ..ask(2, 5) }).await, []);
    let reorged = Settlement::Reorged { transaction };
    assert_eq!(store.apply(update(PaymentRow { state: reorged, version: 3, ..row.clone() })).await, Ok(Applied::Applied));
    assert_eq!(others(&store, HoldAsk { block: 11, ..ask(2, 5) }).await, [10], "its block is gone");
    let abandoned = Settlement::Abandoned { transaction: Some(transaction) };
    assert_eq!(store.apply(update(PaymentRow { state: abandoned, version: 4, ..row })).await, Ok(Applied::Applied));
    assert_eq!(others(&store, ask(2, 5)).await, []);
    // A hold ends when it is let go of, and by itself.
    assert_eq!(others(&store, ask(8, 3)).await, [5]);
    assert_eq!(store.is_held(&key(2)).await, Ok(true));
    assert_eq!(store.let_go(&key(2)).await, Ok(()));
    assert_eq!(store.is_held(&key(2)).await, Ok(false));
    assert_eq!(others(&store, ask(8, 3)).await, []);
    assert_eq!(others(&store, HoldAsk { ttl: Duration::ZERO, ..ask(9, 7) }).await, [3]);
    assert_eq!((others(&store, ask(8, 3)).await, store.is_held(&key(9)).await), (vec![], Ok(false)));
}

/// T003 over processes: of any number of callers without a name one holds a payment; whoever has a name is not kept out.
pub(super) async fn one_caller_without_a_name_holds_a_payment<S: Store>(store: S) {
    let store = Arc::new(store);
    for n in 0..20 {
        let ask = HoldAsk { exclusive: true, ..ask(100 + n, 1) };
        let held = join_all((0..16).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { matches!(store.hold(ask).await.unwrap(), HoldAnswer::Held { is_new: true, .. }) })
        }));
        let held = held.await.into_iter().filter(|held| *held.as_ref().unwrap()).count();
        assert_eq!(held, 1, "{n}");
        assert_eq!(store.hold(ask).await, Ok(HoldAnswer::Taken));
        let named = HoldAsk { exclusive: false, ..ask };
        assert!(matches!(store.hold(named).await, Ok(HoldAnswer::Held { is_new: false, .. })));
        assert_eq!(store.hold(ask).await, Ok(HoldAnswer::Taken), "and takes it from nobody");
        store.let_go(&ask.key).await.unwrap();
        assert!(matches!(store.hold(ask).await, Ok(HoldAnswer::Held { is_new: true, .. })));
    }
    // Of two payments that come at once at least one learns of the other.
    for n in 0..20 {
        let payer = address(200 + n);
        let both = [1, 2].map(|at| {
            let (store, ask) = (store.clone(), HoldAsk { payer, ..ask(1000 + 2 * u64::from(n) + at, 1) });
            tokio::spawn(async move { others(&*store, ask).await.len() })
        });
        let learned: usize = join_all(both).await.into_iter().map(Result::unwrap).sum();
        assert!(learned >= 1, "{n}");
    }
}
