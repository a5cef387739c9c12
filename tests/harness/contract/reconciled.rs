//! Reconciliation and totals: what a ledger remembers of comparing itself with its chain, and what it counts.

use super::{
    fixture::{BASE, address, hash, key, payment},
    store::{apply, claim, update},
};
use h402_core::{
    Amount, Applied, BlockRef, Difference, DifferenceKind, PaymentKey, PaymentRow, PaymentUpdate, Reconciled, Reconciliation,
    ReconciliationPass, Settlement, Store, UnixMillis,
};
use std::collections::BTreeMap;

fn settled(n: u64) -> Settlement {
    Settlement::Final { transaction: hash(n), block: BlockRef { number: n, hash: [7; 32].into() } }
}

fn difference(n: u64) -> Difference {
    Difference {
        kind: DifferenceKind::ALL[usize::try_from(n).unwrap() % DifferenceKind::ALL.len()],
        transaction: hash(n),
        payment: n.is_multiple_of(2).then(|| key(n)),
        asset: (!n.is_multiple_of(3)).then(|| address(1)),
        pay_to: (!n.is_multiple_of(3)).then(|| address(2)),
        amount: (!n.is_multiple_of(3)).then(|| Amount::from_atomic(n.into())),
        found_at: UnixMillis(n),
    }
}

/// Final payments come in the order in which they became it, page by page; others not at all.
pub(super) async fn final_payments_come_in_pages<S: Store>(store: S) {
    let mut finals = Vec::new();
    for n in 0..20u64 {
        let row = PaymentRow { updated_at: UnixMillis(1000 - n / 3), ..payment(key(n)) };
        assert_eq!(apply(&store, claim(row.clone(), &[])).await, Applied::Applied);
        let state = if n % 4 == 3 { Settlement::Rejected } else { settled(n) };
        let row = PaymentRow { state, version: 2, ..row };
        assert_eq!(apply(&store, update(row.clone())).await, Applied::Applied);
        if n % 4 != 3 {
            finals.push(row);
        }
    }
    finals.sort_by_key(|row| (row.updated_at, row.key));
    let end = UnixMillis(u64::from(u32::MAX));
    assert_eq!(store.finals(BASE, None, end, 100).await.unwrap(), finals);
    let mut pages: Vec<PaymentRow> = Vec::new();
    loop {
        let after = pages.last().map(|row| (row.updated_at, row.key));
        let page = store.finals(BASE, after, end, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, finals);
    let until = UnixMillis(997);
    let early: Vec<PaymentRow> = finals.iter().filter(|row| row.updated_at <= until).cloned().collect();
    assert!(!early.is_empty() && early.len() < finals.len());
    assert_eq!(store.finals(BASE, None, until, 100).await.unwrap(), early);
    assert_eq!(store.finals(h402_core::Network::Evm(1), None, end, 100).await.unwrap(), []);
}

/// A pass stored twice is a pass; nothing goes back; what is accepted is not found again.
pub(super) async fn differences_are_kept_until_they_are_accepted<S: Store>(store: S) {
    assert_eq!(store.reconciliation(BASE).await.unwrap(), Reconciliation::default());
    let pass = |block: Option<u64>, row: Option<(UnixMillis, PaymentKey)>, found: &[u64], at: u64| ReconciliationPass {
        network: BASE,
        reached: Reconciled { block, row },
        found: found.iter().map(|n| difference(*n)).collect(),
        at: UnixMillis(at),
    };
    for _ in 0..2 {
        store.reconcile(pass(Some(10), None, &[1, 2, 3, 4, 5, 6], 50)).await.unwrap();
    }
    let found = store.reconciliation(BASE).await.unwrap();
    assert_eq!((found.reached, found.at, found.open), (Reconciled { block: Some(10), row: None }, Some(UnixMillis(50)), 6));
    assert_eq!(found.differences, (1..=6).map(difference).collect::<Vec<_>>());
    let row = |n: u64, k: u64| Some((UnixMillis(n), key(k)));
    let reached = async || store.reconciliation(BASE).await.unwrap().reached;
    for (block, row_given, want) in [
        (None, row(5, 3), (Some(10), row(5, 3))),
        (Some(9), row(4, 9), (Some(10), row(5, 3))),
        (Some(11), row(5, 2), (Some(11), row(5, 3))),
        (Some(11), row(5, 4), (Some(11), row(5, 4))),
        (Some(12), None, (Some(12), row(5, 4))),
        (None, row(6, 1), (Some(12), row(6, 1))),
    ] {
        store.reconcile(pass(block, row_given, &[], 60)).await.unwrap();
        let (block, row) = want;
        assert_eq!(reached().await, Reconciled { block, row });
    }
    assert_eq!(store.accept_differences(BASE, UnixMillis(70)).await, Ok(6));
    assert_eq!(store.accept_differences(BASE, UnixMillis(71)).await, Ok(0));
    let later = Difference { found_at: UnixMillis(99), ..difference(1) };
    store.reconcile(ReconciliationPass { found: vec![later], ..pass(None, None, &[7], 80) }).await.unwrap();
    assert_eq!(store.reconciliation(BASE).await.unwrap().open, 0, "what was accepted is not found again");
    store.reconcile(pass(None, None, &[7], 81)).await.unwrap();
    let found = store.reconciliation(BASE).await.unwrap();
    assert_eq!((found.open, found.differences), (1, vec![difference(7)]));
    // Many are counted, and some of them shown.
    let many: Vec<u64> = (100..300).collect();
    store.reconcile(pass(None, None, &many, 90)).await.unwrap();
    let found = store.reconciliation(BASE).await.unwrap();
    assert_eq!((found.open, found.differences.len()), (201, 100));
    let other = h402_core::Network::Evm(1);
    assert_eq!(store.reconciliation(other).await.unwrap(), Reconciliation::default(), "of another network");
    assert_eq!(store.accept_differences(other, UnixMillis(91)).await, Ok(0));
    assert_eq!(store.reconciliation(BASE).await.unwrap().open, 201);
}

/// T158: totals are of what is stored: claims that conflict are not counted, changes move a payment from one state to another.
pub(super) async fn totals_are_of_what_is_stored<S: Store>(store: S) {
    let totals = async || -> BTreeMap<&'static str, u64> {
        let totals = store.totals().await.unwrap();
        totals.into_iter().filter(|total| total.network == BASE).map(|total| (total.state, total.count)).collect()
    };
    assert_eq!(totals().await, BTreeMap::new());
    let mut rows: BTreeMap<PaymentKey, PaymentRow> = BTreeMap::new();
    let check = async |rows: &BTreeMap<PaymentKey, PaymentRow>| {
        let mut want = BTreeMap::new();
        rows.values().for_each(|row| *want.entry(row.state.as_str()).or_default() += 1);
        assert_eq!(totals().await, want);
        assert_eq!(totals().await.values().sum::<u64>(), u64::try_from(rows.len()).unwrap(), "received is the sum of all states");
    };
    for n in 0..12u64 {
        let row = payment(key(n % 9));
        let applied = apply(&store, claim(row.clone(), &[])).await;
        assert_eq!(applied == Applied::Applied, rows.insert(row.key, row).is_none());
    }
    check(&rows).await;
    let states = [
        Settlement::Signed { transaction: hash(1) },
        Settlement::Broadcast { transaction: hash(1) },
        settled(1),
        Settlement::Abandoned { transaction: None },
        Settlement::Rejected,
    ];
    for (n, state) in (0..9u64).zip(states.into_iter().cycle()) {
        let next = PaymentRow { state, version: 2, ..payment(key(n)) };
        assert_eq!(apply(&store, update(next.clone())).await, Applied::Applied);
        rows.insert(next.key, next.clone());
        assert_eq!(apply(&store, update(next)).await, Applied::Conflict, "too late");
        check(&rows).await;
    }
    // A change that conflicts as a whole moves nothing.
    let moved = |n: u64, version: u64| PaymentUpdate { row: PaymentRow { state: Settlement::Rejected, version, ..payment(key(n)) } };
    let spoiled = h402_core::Change { updates: vec![moved(0, 3), moved(1, 9)], ..h402_core::Change::default() };
    assert_eq!(apply(&store, spoiled).await, Applied::Conflict);
    check(&rows).await;
}
