//! A start with a long ledger.

use super::{broadcasts, sends, settlement_call, transfers_to_payee, until};
use alloy_consensus::TxEip1559;
use alloy_primitives::{TxKind, U256};
use futures_util::future::join_all;
use h402_core::{
    Address, Applied, Authorization, Change, Clock, Network, NewPayment, PaymentId, PaymentKind, PaymentRow, Settlement, Store,
    TransactionId, TransactionRow,
};
use h402_devnet::{
    evm::{BlockTime, account},
    fault::{Fault, Gate, Times},
};
use h402_facilitator::{
    SystemClock,
    sqlite::{OpenOptions, SqliteStore},
};
use h402_tests::{
    rig::{GAS, PAYEE, Rig, RigOptions, now},
    transactions::{GWEI, sign},
};
use std::{collections::BTreeSet, time::Duration};

const ROWS: u64 = 1500;

/// What an authorization leaves that was claimed, signed for and sent by a process that died: a genuine transaction of
/// ours, which no node knows any more.
fn under_way(rig: &Rig, nonce: u64) -> Change {
    let payer = 2 + usize::try_from(nonce % 7).unwrap();
    let authorization = Authorization { valid_before: U256::from(now() + 3600), ..rig.authorization(payer, super::PRICE) };
    let network = Network::Evm(rig.chain.chain_id());
    let input = settlement_call(rig, &rig.signed(payer, authorization.clone()));
    let transaction = TxEip1559 {
        nonce,
        gas_limit: 150_000,
        max_fee_per_gas: 10 * GWEI,
        to: TxKind::Call(rig.chain.usdc()),
        value: U256::ZERO,
        input: input.clone(),
        ..rig.native_transfer(GAS, rig.chain.usdc(), 0)
    };
    let signed = sign(GAS, transaction);
    let id = TransactionId::Evm(signed.hash);
    let (from, claimed_at) = (account(payer).address, SystemClock.now());
    let key = PaymentId::Eip3009 { chain: rig.chain.chain_id(), token: rig.chain.usdc(), from, nonce: authorization.nonce }.key();
    let row = PaymentRow {
        key,
        asset: rig.asset.id,
        payer: Address::Evm(from),
        pay_to: Address::Evm(account(PAYEE).address),
        amount: authorization.value,
        kind: PaymentKind::Authorization,
        nonce: Some(authorization.nonce.0),
        caller: None,
        state: Settlement::Broadcast { transaction: id },
        answer: None,
        expires: Some(h402_core::UnixSeconds(now() + 3600)),
        last_block_height: None,
        raw: Some(input),
        claimed_at,
        updated_at: claimed_at,
        version: 1,
    };
    let sender = account(GAS).address;
    let sent =
        TransactionRow { network, id, sender, nonce, raw: signed.raw, payments: vec![key], done: false, cost: None, signed_at: claimed_at };
    Change { claim: Some(NewPayment { row, aliases: Vec::new() }), transactions: vec![sent], ..Change::default() }
}

/// T014: with thousands of payments under way a start is ready although the node takes no transaction and shows no receipt;
/// then all of them are driven on, receipts are asked for many at a time, and each payment is made once.
#[tokio::test(flavor = "multi_thread")]
async fn t014_a_long_ledger_is_driven_on_after_the_start() {
    let mut rig = Rig::with(RigOptions { block_time: BlockTime::Manual, ..RigOptions::default() }).await;
    rig.stop().await;
    let options = OpenOptions::default().with_lock_wait(Duration::from_secs(20));
    let store = SqliteStore::open(rig.folder.path().join("ledger.sqlite"), options).await.unwrap();
    let applied = join_all((0..ROWS).map(|nonce| store.apply(under_way(&rig, nonce)))).await;
    assert!(applied.into_iter().all(|applied| applied == Ok(Applied::Applied)));
    store.close().await.unwrap();

    let (sending, showing) = (Gate::new(), Gate::new());
    rig.chain.faults().add("eth_sendRawTransaction", Fault::Hold(sending.clone()), Times::Always);
    rig.chain.faults().add("eth_getTransactionReceipt", Fault::Hold(showing.clone()), Times::Always);
    rig.reopen().await;
    rig.until_ready().await;
    rig.chain.faults().clear();
    sending.open();
    showing.open();

    until("all are with the node", async || rig.chain.pending().len() == usize::try_from(ROWS).unwrap()).await;
    until("all are paid", async || {
        rig.chain.mine().await;
        transfers_to_payee(&rig.chain).len() >= usize::try_from(ROWS).unwrap()
    })
    .await;
    let network = Network::Evm(rig.chain.chain_id());
    until("all are over", async || {
        rig.chain.mine().await;
        rig.store.unfinished(network, None, 1).await.unwrap().is_empty()
    })
    .await;
    let paid = transfers_to_payee(&rig.chain);
    let hashes: BTreeSet<_> = paid.iter().map(|transfer| transfer.tx_hash).collect();
    assert_eq!((paid.len(), hashes.len()), (usize::try_from(ROWS).unwrap(), usize::try_from(ROWS).unwrap()));
    assert_eq!(broadcasts(&rig), ROWS, "one transaction each");
    let ended = rig.store.totals().await.unwrap();
    assert_eq!(ended.iter().map(|total| (total.state, total.count)).collect::<Vec<_>>(), [("final", ROWS)]);
    let receipts = rig.chain.faults().calls("eth_getTransactionReceipt");
    let requests = rig.chain.faults().requests() - sends(&rig);
    assert!(receipts >= ROWS && requests < receipts / 2, "{requests} requests for {receipts} receipts");
}
