use super::fixture::{BASE, Names, address, hash, key, payment, shared};
use super::{ended, holds, lease, reconciled};
use alloy_primitives::{B256, U256};
use h402_core::{
    Address, Amount, Applied, AssetId, BlockRef, Change, EvmAddress, LanePosition, Network, NewPayment, PaymentKey, PaymentKind,
    PaymentRow, PaymentUpdate, SentState, Settlement, SettlementAnswer, Store, TransactionId, TransactionRow, UnixMillis,
};
use std::sync::Arc;
use std::time::Duration;

/// Runs every case that needs no restart.
pub async fn store_contract<S: Store>(make: impl AsyncFn() -> S) {
    one_of_fifty_claims_is_applied(make().await).await;
    every_pair_of_names_conflicts(&make).await;
    a_conflict_leaves_nothing_behind(&make).await;
    rows_come_back_as_they_went(make().await).await;
    an_update_needs_the_version_before(make().await).await;
    one_of_twenty_updates_wins(make().await).await;
    our_transactions_take_their_names(&make).await;
    unfinished_payments_come_in_pages(make().await).await;
    lanes_stand_where_they_stood(make().await).await;
    ended::failed_payments_are_found(make().await).await;
    ended::signed_payments_come_in_pages(make().await).await;
    many_kinds_of_change_at_once(make().await).await;
    reconciled::final_payments_come_in_pages(make().await).await;
    reconciled::differences_are_kept_until_they_are_accepted(make().await).await;
    reconciled::totals_are_of_what_is_stored(make().await).await;
    lease::one_holder_at_a_time(make().await).await;
    lease::one_of_eight_holders_wins(make().await).await;
    lease::leases_lapse_by_themselves(make().await).await;
    lease::a_fenced_change_does_nothing(&make).await;
    lease::what_was_spent_adds_up(make().await).await;
    holds::what_nobody_has_touched_is_found(make().await).await;
    // Whoever has a store alone keeps them in memory.
    if make().await.is_shared() {
        holds::holds_and_claims_add_up(make().await).await;
        holds::one_caller_without_a_name_holds_a_payment(make().await).await;
    }
    let store = make().await;
    assert_eq!(store.apply(Change::default()).await, Ok(Applied::Applied), "no change at all");
    assert_eq!(store.ready().await, Ok(()));
}

/// The claim of the payment with this number.
pub fn a_claim(n: u64) -> Change {
    claim(payment(key(n)), &[])
}

pub(super) fn claim(row: PaymentRow, aliases: &[PaymentKey]) -> Change {
    Change { claim: Some(NewPayment { row, aliases: aliases.to_vec() }), ..Change::default() }
}

pub(super) fn update(row: PaymentRow) -> Change {
    Change { updates: vec![PaymentUpdate { row }], ..Change::default() }
}

pub(super) fn sign(row: TransactionRow) -> Change {
    Change { transactions: vec![row], ..Change::default() }
}

fn sent(id: TransactionId, done: bool) -> Change {
    Change { sent: vec![SentState { network: BASE, id, done, cost: None }], ..Change::default() }
}

pub(super) fn transaction(n: u64, nonce: u64) -> TransactionRow {
    TransactionRow {
        network: BASE,
        id: hash(n),
        sender: EvmAddress::repeat_byte(1),
        nonce,
        raw: vec![2, u8::try_from(n).unwrap_or(0), 0].into(),
        payments: vec![key(n), key(n + 1)],
        done: false,
        cost: None,
        signed_at: UnixMillis(1_800_000_000_000),
    }
}

pub(super) async fn apply<S: Store>(store: &S, change: Change) -> Applied {
    store.apply(change).await.unwrap()
}

pub(super) async fn payment_of<S: Store>(store: &S, key: PaymentKey) -> Option<PaymentRow> {
    store.payment(&key).await.unwrap()
}

async fn one_of_fifty_claims_is_applied<S: Store>(store: S) {
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let (store, row) = (store.clone(), PaymentRow { payer: address(n), ..payment(key(1)) });
            let aliases = if n % 2 == 0 { vec![key(2)] } else { vec![] };
            tokio::spawn(async move { (apply(&*store, claim(row.clone(), &aliases)).await, row) })
        })
        .collect();
    let mut applied = Vec::new();
    for task in tasks {
        let (answer, row) = task.await.unwrap();
        if answer == Applied::Applied {
            applied.push(row);
        }
    }
    assert_eq!(applied.len(), 1, "exactly one claim is applied");
    assert_eq!(payment_of(&*store, key(1)).await, applied.pop(), "and it is the stored one");
}

/// T173: a payment is found under each of its names, and none of them can be claimed again.
async fn every_pair_of_names_conflicts<S: Store>(make: impl AsyncFn() -> S) {
    let as_key: Names = |n| (shared(), vec![key(n)]);
    let as_alias: Names = |n| (key(n), vec![key(n + 1), shared(), key(n + 2)]);
    let as_bare_key: Names = |_| (shared(), vec![]);
    let shapes: [(&str, Names); 3] = [("key", as_key), ("alias", as_alias), ("bare key", as_bare_key)];
    for (first_name, first) in shapes {
        for (second_name, second) in shapes {
            let case = format!("{first_name}, then {second_name}");
            let store = make().await;
            let (first_key, first_aliases) = first(100);
            let (second_key, second_aliases) = second(200);
            let row = payment(first_key);
            assert_eq!(apply(&store, claim(row.clone(), &first_aliases)).await, Applied::Applied, "{case}");
            assert_eq!(apply(&store, claim(payment(second_key), &second_aliases)).await, Applied::Conflict, "{case}");
            for name in [first_key].into_iter().chain(first_aliases) {
                assert_eq!(payment_of(&store, name).await.as_ref(), Some(&row), "{case}: found under {name}");
                assert_eq!(store.is_taken(&name).await, Ok(true), "{case}: {name}");
            }
            for name in [second_key].into_iter().chain(second_aliases).filter(|name| *name != shared()) {
                assert_eq!(payment_of(&store, name).await, None, "{case}: {name} was left behind");
                assert_eq!(store.is_taken(&name).await, Ok(false), "{case}: {name} was left behind");
                assert_eq!(apply(&store, claim(payment(name), &[])).await, Applied::Applied, "{case}: {name} is free");
            }
            assert_eq!(apply(&store, claim(payment(key(300)), &[key(301)])).await, Applied::Applied, "{case}: other names");
        }
    }
    let store = make().await;
    assert_eq!(apply(&store, claim(payment(key(1)), &[key(1), key(2), key(2)])).await, Applied::Applied, "a name given twice is one name");
}

/// One bad part spoils the whole change, whichever part it is.
async fn a_conflict_leaves_nothing_behind<S: Store>(make: impl AsyncFn() -> S) {
    let moved = |n: u64, version: u64| PaymentUpdate { row: PaymentRow { version, state: Settlement::Rejected, ..payment(key(n)) } };
    let whole = || Change {
        claim: Some(NewPayment { row: payment(key(10)), aliases: vec![key(11)] }),
        updates: vec![moved(1, 2), moved(2, 2)],
        transactions: vec![transaction(20, 0), transaction(21, 1)],
        sent: vec![SentState { network: BASE, id: hash(5), done: true, cost: None }],
        fence: None,
    };
    let mut taken_key = whole();
    taken_key.claim = Some(NewPayment { row: payment(key(1)), aliases: vec![key(11)] });
    let mut taken_alias = whole();
    taken_alias.claim = Some(NewPayment { row: payment(key(10)), aliases: vec![key(11), key(2)] });
    let mut stale_first = whole();
    stale_first.updates = vec![moved(1, 3), moved(2, 2)];
    let mut stale_last = whole();
    stale_last.updates = vec![moved(1, 2), moved(2, 1)];
    let mut unknown = whole();
    unknown.updates.push(moved(99, 2));
    let mut same_transaction = whole();
    same_transaction.transactions.push(transaction(5, 0));
    let mut transaction_twice = whole();
    transaction_twice.transactions = vec![transaction(20, 0), transaction(20, 1)];
    let mut taken_by_payment = whole();
    let own_name = PaymentKey::of_transaction(BASE, &hash(21));
    taken_by_payment.claim = Some(NewPayment { row: payment(key(10)), aliases: vec![own_name] });
    let bad = [
        ("taken key", taken_key),
        ("taken alias", taken_alias),
        ("first update is stale", stale_first),
        ("last update is stale", stale_last),
        ("unknown payment", unknown),
        ("stored transaction", same_transaction),
        ("transaction twice", transaction_twice),
        ("the claim takes the transaction's name", taken_by_payment),
    ];
    for (case, change) in bad {
        let store = make().await;
        for n in [1, 2] {
            assert_eq!(apply(&store, claim(payment(key(n)), &[])).await, Applied::Applied);
        }
        assert_eq!(apply(&store, sign(transaction(5, 5))).await, Applied::Applied);
        assert_eq!(apply(&store, change).await, Applied::Conflict, "{case}");
        for n in [1, 2] {
            assert_eq!(payment_of(&store, key(n)).await, Some(payment(key(n))), "{case}: payment {n} is as it was");
        }
        for free in [key(10), key(11), own_name, PaymentKey::of_transaction(BASE, &hash(20))] {
            assert_eq!(store.is_taken(&free).await, Ok(false), "{case}: {free} was left behind");
        }
        for n in [20, 21] {
            assert_eq!(store.transaction(BASE, &hash(n)).await, Ok(None), "{case}: transaction {n} was left behind");
        }
        assert_eq!(store.transaction(BASE, &hash(5)).await, Ok(Some(transaction(5, 5))), "{case}: transaction 5 is as it was");
        // The honest twin: the same change without the bad part.
        assert_eq!(apply(&store, whole()).await, Applied::Applied, "{case}");
        assert_eq!(payment_of(&store, key(11)).await, Some(payment(key(10))), "{case}");
        assert_eq!(payment_of(&store, key(2)).await, Some(moved(2, 2).row), "{case}");
        let mined = TransactionRow { done: true, ..transaction(5, 5) };
        assert_eq!(store.transaction(BASE, &hash(5)).await, Ok(Some(mined)), "{case}");
    }
}

pub(super) fn every_state() -> Vec<Settlement> {
    let (transaction, block) = (hash(77), BlockRef { number: 123_456_789, hash: B256::repeat_byte(8) });
    vec![
        Settlement::Claimed,
        Settlement::Signed { transaction },
        Settlement::Broadcast { transaction },
        Settlement::Included { transaction, block },
        Settlement::Final { transaction, block },
        Settlement::Reorged { transaction },
        Settlement::Reverted { transaction, block },
        Settlement::Failed { transaction, block },
        Settlement::Rejected,
        Settlement::Abandoned { transaction: None },
        Settlement::Abandoned { transaction: Some(TransactionId::Solana([9; 64])) },
    ]
}

fn every_kind_of_row() -> Vec<PaymentRow> {
    let mut rows: Vec<_> = (100u64..).zip(every_state()).map(|(n, state)| PaymentRow { state, ..payment(key(n)) }).collect();
    let refused = |word: &str, text: &str| SettlementAnswer::Refused { word: word.to_owned(), text: text.to_owned() };
    let solana: Network = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".parse().unwrap();
    rows.extend([
        PaymentRow { kind: PaymentKind::EvmTransaction, nonce: None, caller: None, expires: None, raw: None, ..payment(key(200)) },
        PaymentRow { kind: PaymentKind::EvmSent, raw: Some(vec![0; 100_000].into()), ..payment(key(201)) },
        PaymentRow { answer: Some(SettlementAnswer::Settled), amount: Amount::from(U256::MAX), ..payment(key(202)) },
        PaymentRow { answer: Some(refused("transfer_reverts", "transfer reverts: «no»")), amount: Amount::ZERO, ..payment(key(203)) },
        PaymentRow { kind: PaymentKind::SolanaSent, last_block_height: Some(321_000_150), ..payment(key(206)) },
        PaymentRow { answer: Some(refused("", "")), raw: Some(Vec::new().into()), ..payment(key(204)) },
        PaymentRow {
            asset: AssetId { network: solana, address: Address::Solana([0; 32].into()) },
            payer: Address::Solana([1; 32].into()),
            pay_to: Address::Solana([2; 32].into()),
            ..payment(key(205))
        },
    ]);
    rows
}

async fn rows_come_back_as_they_went<S: Store>(store: S) {
    for row in every_kind_of_row() {
        assert_eq!(apply(&store, claim(row.clone(), &[])).await, Applied::Applied);
        assert_eq!(payment_of(&store, row.key).await, Some(row), "claimed");
    }
    let last = PaymentRow { version: 1, ..payment(key(1)) };
    assert_eq!(apply(&store, claim(last, &[])).await, Applied::Applied);
    for (version, row) in (2..).zip(every_kind_of_row()) {
        let changed = PaymentRow { key: key(1), version, updated_at: UnixMillis(1_800_000_000_000 + version), ..row };
        assert_eq!(apply(&store, update(changed.clone())).await, Applied::Applied);
        assert_eq!(payment_of(&store, key(1)).await, Some(changed), "updated");
    }
    assert_eq!(payment_of(&store, key(2)).await, None);
    assert_eq!(store.is_taken(&key(2)).await, Ok(false));
}

async fn an_update_needs_the_version_before<S: Store>(store: S) {
    let row = payment(key(1));
    assert_eq!(apply(&store, update(PaymentRow { version: 2, ..row.clone() })).await, Applied::Conflict, "nobody claimed it");
    assert_eq!(apply(&store, claim(row.clone(), &[])).await, Applied::Applied);
    for version in [0, 1, 3, 4] {
        let wrong = PaymentRow { version, state: Settlement::Rejected, ..row.clone() };
        assert_eq!(apply(&store, update(wrong)).await, Applied::Conflict, "{version}");
        assert_eq!(payment_of(&store, key(1)).await, Some(row.clone()), "{version} changed nothing");
    }
    let right = PaymentRow { version: 2, state: Settlement::Rejected, ..row };
    assert_eq!(apply(&store, update(right.clone())).await, Applied::Applied);
    assert_eq!(apply(&store, update(right.clone())).await, Applied::Conflict, "the same once more is too late");
    // Two steps of one payment in one change follow each other.
    let two = [3, 4].map(|version| PaymentUpdate { row: PaymentRow { version, ..right.clone() } });
    assert_eq!(apply(&store, Change { updates: two.to_vec(), ..Change::default() }).await, Applied::Applied);
    assert_eq!(payment_of(&store, key(1)).await.map(|row| row.version), Some(4));
}

async fn one_of_twenty_updates_wins<S: Store>(store: S) {
    let store = Arc::new(store);
    assert_eq!(apply(&*store, claim(payment(key(1)), &[])).await, Applied::Applied);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (store, row) = (store.clone(), PaymentRow { version: 2, payer: address(n), ..payment(key(1)) });
            tokio::spawn(async move { (apply(&*store, update(row.clone())).await, row) })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        let (answer, row) = task.await.unwrap();
        if answer == Applied::Applied {
            won.push(row);
        }
    }
    assert_eq!(won.len(), 1, "exactly one changes it");
    assert_eq!(payment_of(&*store, key(1)).await, won.pop());
}

/// T173: a hash of ours is no proof of payment for anybody, and a hash that was one is not signed over.
async fn our_transactions_take_their_names<S: Store>(make: impl AsyncFn() -> S) {
    let name = PaymentKey::of_transaction(BASE, &hash(5));
    let store = make().await;
    assert_eq!(apply(&store, sign(transaction(5, 0))).await, Applied::Applied);
    assert_eq!(store.is_taken(&name).await, Ok(true));
    assert_eq!(payment_of(&store, name).await, None, "it is nobody's payment");
    assert_eq!(apply(&store, claim(payment(name), &[])).await, Applied::Conflict, "as a key");
    assert_eq!(apply(&store, claim(payment(key(1)), &[name])).await, Applied::Conflict, "as another name");
    assert_eq!(store.is_taken(&key(1)).await, Ok(false));
    let elsewhere = PaymentKey::of_transaction(Network::Evm(1), &hash(5));
    assert_eq!(apply(&store, claim(payment(elsewhere), &[])).await, Applied::Applied, "the same hash on another network");
    assert_eq!(apply(&store, sign(transaction(5, 0))).await, Applied::Conflict, "the same transaction once more");
    let bump = TransactionRow { id: hash(6), ..transaction(5, 0) };
    assert_eq!(apply(&store, sign(bump.clone())).await, Applied::Applied, "the same nonce at another price");
    assert_eq!(store.transaction(BASE, &hash(5)).await, Ok(Some(transaction(5, 0))));
    assert_eq!(store.transaction(BASE, &hash(6)).await, Ok(Some(bump)));
    assert_eq!(store.transaction(Network::Evm(1), &hash(5)).await, Ok(None));

    for (row, aliases) in [(payment(name), vec![]), (payment(key(1)), vec![name])] {
        let store = make().await;
        assert_eq!(apply(&store, claim(row, &aliases)).await, Applied::Applied);
        assert_eq!(apply(&store, sign(transaction(5, 0))).await, Applied::Conflict, "somebody has paid with it");
        assert_eq!(store.transaction(BASE, &hash(5)).await, Ok(None));
        assert_eq!(apply(&store, sign(transaction(6, 0))).await, Applied::Applied, "another transaction");
    }
}

async fn unfinished_payments_come_in_pages<S: Store>(store: S) {
    let mut expected = Vec::new();
    for (n, state) in (0u64..).zip(every_state().into_iter().cycle().take(60)) {
        // Younger keys are older payments, and three payments each are of one age.
        let row = PaymentRow { state, claimed_at: UnixMillis(1_800_000_000_000 - n / 3), ..payment(key(1000 + n)) };
        assert_eq!(apply(&store, claim(row.clone(), &[])).await, Applied::Applied);
        let open = ["claimed", "signed", "broadcast", "included", "reorged", "reverted"].contains(&state.as_str());
        if open {
            expected.push(row);
        }
        let elsewhere = PaymentRow { asset: AssetId { network: Network::Evm(1), ..super::fixture::usdc() }, ..payment(key(5000 + n)) };
        assert_eq!(apply(&store, claim(elsewhere, &[])).await, Applied::Applied);
    }
    expected.sort_by_key(|row| (row.claimed_at, row.key));
    assert_eq!(expected.len(), 34);
    assert_eq!(store.unfinished(BASE, None, 1000).await.as_ref(), Ok(&expected), "all at once");
    assert_eq!(store.unfinished(BASE, None, 0).await, Ok(vec![]));
    let PaymentRow { payer, asset, .. } = expected[0];
    let mut promised = store.promised(&payer, asset).await.unwrap();
    promised.sort_by_key(|row| (row.claimed_at, row.key));
    assert_eq!(promised, expected, "they are all of one payer");
    let other = Address::Evm(EvmAddress::repeat_byte(0xee));
    assert_eq!(store.promised(&other, asset).await, Ok(vec![]));
    assert_eq!(store.promised(&payer, AssetId { address: other, ..asset }).await, Ok(vec![]));
    for limit in [1, 2, 7, 30] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.unfinished(BASE, after, limit).await.unwrap();
            assert!(page.len() <= usize::try_from(limit).unwrap());
            let Some(last) = page.last() else { break };
            after = Some(last.key);
            found.extend(page);
            assert!(found.len() <= expected.len(), "pages of {limit} do not end");
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
    // A payment that finishes while the pages are read leaves no gap.
    let gone = PaymentRow { state: Settlement::Rejected, version: 2, ..expected[9].clone() };
    assert_eq!(apply(&store, update(gone)).await, Applied::Applied);
    assert_eq!(store.unfinished(BASE, Some(expected[9].key), 5).await.as_deref(), Ok(&expected[10..15]));
    assert_eq!(store.unfinished(BASE, Some(expected[8].key), 5).await.as_deref(), Ok(&expected[10..15]));
    assert_eq!(store.unfinished(Network::Evm(2), None, 5).await, Ok(vec![]));
}

async fn lanes_stand_where_they_stood<S: Store>(store: S) {
    let sender = EvmAddress::repeat_byte(1);
    assert_eq!(store.lane(BASE, &sender, 0, u32::MAX).await, Ok(LanePosition::default()), "nothing was ever signed");
    for (n, nonce) in [(12, 2), (10, 0), (11, 1), (9, u64::from(u32::MAX) + 5)] {
        assert_eq!(apply(&store, sign(transaction(n, nonce))).await, Applied::Applied);
    }
    let other = TransactionRow { sender: EvmAddress::repeat_byte(2), ..transaction(30, 8) };
    let elsewhere = TransactionRow { network: Network::Evm(1), ..transaction(31, 9) };
    let both = Change { transactions: vec![other.clone(), elsewhere], ..Change::default() };
    assert_eq!(apply(&store, both).await, Applied::Applied);
    let greatest = Some(u64::from(u32::MAX) + 5);
    let open = vec![transaction(10, 0), transaction(11, 1), transaction(12, 2), transaction(9, u64::from(u32::MAX) + 5)];
    assert_eq!(store.lane(BASE, &sender, 0, u32::MAX).await, Ok(LanePosition { open: open.clone(), greatest }), "in nonce order");
    let some = LanePosition { open: open[1..3].to_vec(), greatest };
    assert_eq!(store.lane(BASE, &sender, 1, 2).await, Ok(some), "from a nonce on, and no more than asked for");
    let last = LanePosition { open: open[3..].to_vec(), greatest };
    assert_eq!(store.lane(BASE, &sender, 3, 2).await, Ok(last));
    assert_eq!(store.lane(BASE, &sender, u64::MAX, 2).await, Ok(LanePosition { open: vec![], greatest }), "the greatest is known anyhow");
    assert_eq!(apply(&store, sent(hash(11), true)).await, Applied::Applied);
    assert_eq!(apply(&store, sent(hash(9), true)).await, Applied::Applied);
    let left = vec![open[0].clone(), open[2].clone()];
    assert_eq!(
        store.lane(BASE, &sender, 0, u32::MAX).await,
        Ok(LanePosition { open: left, greatest }),
        "mined ones count for the greatest nonce"
    );
    for n in [10, 12] {
        assert_eq!(apply(&store, sent(hash(n), true)).await, Applied::Applied);
    }
    assert_eq!(store.lane(BASE, &sender, 0, u32::MAX).await, Ok(LanePosition { open: vec![], greatest }));
    assert_eq!(apply(&store, sent(hash(12), false)).await, Applied::Applied);
    assert_eq!(store.lane(BASE, &sender, 0, u32::MAX).await.map(|lane| lane.open), Ok(vec![open[2].clone()]), "its block is gone");
    assert_eq!(apply(&store, sent(hash(999), true)).await, Applied::Applied, "news of a stranger's transaction is none");
    assert_eq!(store.transaction(BASE, &hash(999)).await, Ok(None));
    let theirs = LanePosition { open: vec![other], greatest: Some(8) };
    assert_eq!(store.lane(BASE, &EvmAddress::repeat_byte(2), 0, u32::MAX).await, Ok(theirs));
}

/// Changes of every kind that arrive together do not spoil each other.
async fn many_kinds_of_change_at_once<S: Store>(store: S) {
    let store = Arc::new(store);
    for n in 0..100 {
        assert_eq!(apply(&*store, claim(payment(key(n)), &[])).await, Applied::Applied);
    }
    let change = |n: u64| match n % 5 {
        0 => claim(payment(key(1000 + n)), &[]),
        1 => claim(payment(key(1000 + n)), &[key(2000 + n)]),
        2 => update(PaymentRow { version: 2, ..payment(key(n)) }),
        3 => sign(transaction(3000 + 10 * n, n)),
        // Spoiled: the claim is good and the update is not.
        _ => Change { updates: update(PaymentRow { version: 9, ..payment(key(n)) }).updates, ..claim(payment(key(1000 + n)), &[]) },
    };
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let (store, change) = (store.clone(), change(n));
            tokio::spawn(async move { apply(&*store, change).await })
        })
        .collect();
    for (n, task) in (0u64..).zip(tasks) {
        let want = if n % 5 == 4 { Applied::Conflict } else { Applied::Applied };
        assert_eq!(task.await.unwrap(), want, "{n}");
        assert_eq!(store.is_taken(&key(1000 + n)).await, Ok(n % 5 < 2), "{n}");
        assert_eq!(store.is_taken(&key(2000 + n)).await, Ok(n % 5 == 1), "{n}");
        let version = payment_of(&*store, key(n)).await.map(|row| row.version);
        assert_eq!(version, Some(if n % 5 == 2 { 2 } else { 1 }), "{n}");
        let signed = store.transaction(BASE, &hash(3000 + 10 * n)).await.unwrap().is_some();
        assert_eq!(signed, n % 5 == 3, "{n}");
    }
}

/// What was answered as done is there after `leave` has taken the store away and `open` has opened it again.
pub async fn store_survives<S: Store>(open: impl AsyncFn() -> S, leave: impl AsyncFn(S)) {
    let store = open().await;
    let mut rows = Vec::new();
    for row in every_kind_of_row() {
        let alias = PaymentKey::of_transaction(Network::Evm(7), &TransactionId::Evm((*row.key.as_bytes()).into()));
        assert_eq!(apply(&store, claim(row.clone(), &[alias])).await, Applied::Applied);
        let changed = PaymentRow { version: 2, ..row };
        assert_eq!(apply(&store, update(changed.clone())).await, Applied::Applied);
        rows.push((alias, changed));
    }
    assert_eq!(apply(&store, sign(transaction(5, 5))).await, Applied::Applied);
    assert_eq!(apply(&store, sign(transaction(6, 6))).await, Applied::Applied);
    assert_eq!(apply(&store, sent(hash(6), true)).await, Applied::Applied);
    let paid = SentState { network: BASE, id: hash(6), done: true, cost: Some(U256::MAX) };
    assert_eq!(apply(&store, Change { sent: vec![paid], ..Change::default() }).await, Applied::Applied);
    assert_eq!(lease::take(&store, 1, Duration::ZERO).await, Some(1));
    let unfinished = store.unfinished(BASE, None, 1000).await.unwrap();
    assert!(unfinished.len() >= 5);
    leave(store).await;
    let store = open().await;
    for (alias, row) in rows {
        for name in [row.key, alias] {
            assert_eq!(payment_of(&store, name).await, Some(row.clone()));
            assert_eq!(apply(&store, claim(payment(name), &[])).await, Applied::Conflict, "T142: still taken");
        }
        assert_eq!(apply(&store, update(PaymentRow { version: 2, ..row.clone() })).await, Applied::Conflict);
        assert_eq!(apply(&store, update(PaymentRow { version: 3, ..row })).await, Applied::Applied, "the version counts on");
    }
    let lane = store.lane(BASE, &EvmAddress::repeat_byte(1), 0, u32::MAX).await.unwrap();
    assert_eq!(lane, LanePosition { open: vec![transaction(5, 5)], greatest: Some(6) });
    assert_eq!(store.is_taken(&PaymentKey::of_transaction(BASE, &hash(5))).await, Ok(true));
    assert_eq!(store.spent(BASE, &EvmAddress::repeat_byte(1), UnixMillis(0)).await, Ok(U256::MAX));
    assert_eq!(lease::take(&store, 2, Duration::ZERO).await, Some(2), "epochs count on");
    let keys = |rows: &[PaymentRow]| rows.iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(keys(&store.unfinished(BASE, None, 1000).await.unwrap()), keys(&unfinished));
    leave(store).await;
}
