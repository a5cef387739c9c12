//! Outcomes that are not known at once: slow blocks, lost answers, other people's transactions.

use super::{PRICE, broadcasts, settle, settle_until_ended, settlement_call, told, transfers, until, until_pending, verify};
use alloy_consensus::TxEip1559;
use alloy_primitives::{TxKind, U256};
use h402_core::Authorization;
use h402_devnet::{
    RpcError,
    evm::{BlockTime, account},
    fault::{Fault, Gate, Times},
};
use h402_facilitator::sqlite::{OpenError, OpenOptions, SqliteStore};
use h402_tests::{
    rig::{self, PAYEE, PAYER, Rig, RigOptions},
    transactions::GWEI,
};
use serde_json::json;
use std::time::Duration;

/// A facilitator on a chain without blocks, that answers soon.
async fn impatient() -> Rig {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.answer_within = Duration::from_millis(400));
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

async fn manual() -> Rig {
    Rig::with(RigOptions { block_time: BlockTime::Manual, ..RigOptions::default() }).await
}

/// T007, T143: a transaction without a block is neither success nor failure; its hash is told, and the same caller
/// gets the end of the same transaction later.
#[tokio::test(flavor = "multi_thread")]
async fn t007_t143_a_slow_block_is_pending_and_never_a_failure() {
    let rig = impatient().await;
    for caller in [Some("shop-1"), None] {
        let (sent, paid) = (broadcasts(&rig), transfers(&rig));
        let payment = rig.payment(PAYER, PRICE);
        let id = verify(&rig, &payment, caller).await.payment_id();
        let first = settle(&rig, &payment, caller).await;
        assert!(!first.is_settled());
        assert_eq!(first.word(), "settlement_pending");
        let hash = first.transaction().expect("the hash of what was sent");
        assert_eq!(rig.chain.pending(), [hash]);
        let again = settle(&rig, &payment, caller).await;
        assert_eq!((again.word().as_str(), again.transaction()), ("settlement_pending", Some(hash)));
        assert!(["signed", "broadcast"].contains(&told(&rig, &id).await["state"].as_str().unwrap()));
        rig.chain.mine().await;
        let settled = settle_until_ended(&rig, &payment, caller).await;
        assert!(settled.is_settled(), "{settled:?}");
        assert_eq!(settled.transaction(), Some(hash));
        assert_eq!((broadcasts(&rig) - sent, transfers(&rig) - paid), (1, 1));
        assert_eq!(told(&rig, &id).await["transaction"], hash.to_string());
    }
}

/// T007: whatever the node answers to a send, or if it answers at all: the chain decides.
#[tokio::test(flavor = "multi_thread")]
async fn t007_what_a_node_says_to_a_send_decides_nothing() {
    let refusal = |text: &str| Fault::Error(RpcError { code: -32000, message: text.into(), data: None });
    let held = Gate::new();
    let faults = [
        // Taken, and nobody hears of it.
        Fault::DropAnswer,
        Fault::HoldAnswer(held.clone()),
        Fault::StatusAfter(502),
        Fault::Truncated,
        Fault::WrongId,
        // Not taken: the same bytes go out again.
        Fault::DropRequest,
        Fault::Html,
        refusal("nonce too low"),
        refusal("replacement transaction underpriced"),
        refusal("internal error"),
        // Told of a transaction that is not ours.
        Fault::Answer(json!("0x00000000000000000000000000000000000000000000000000000000000000aa")),
    ];
    let settled = futures_util::future::join_all(faults.into_iter().map(async |fault| {
        let rig = Rig::start().await;
        rig.chain.faults().once("eth_sendRawTransaction", fault.clone());
        let settled = settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await;
        assert!(settled.is_settled(), "{fault:?}: {settled:?}");
        assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1), "{fault:?}");
    }))
    .await;
    assert_eq!(settled.len(), 11);
    held.open();
}

/// T007: a receipt that cannot be read is asked for again, and not only when the next block comes.
#[tokio::test(flavor = "multi_thread")]
async fn t007_a_receipt_that_cannot_be_read_is_asked_for_again() {
    for fault in [Fault::DropAnswer, Fault::Truncated, Fault::Error(RpcError { code: -32603, message: "internal".into(), data: None })] {
        let rig = manual().await;
        let payment = rig.payment(PAYER, PRICE);
        let settling = settle(&rig, &payment, Some("shop-1"));
        let mining = async {
            until_pending(&rig, 1).await;
            let asked = rig.chain.faults().calls("eth_getTransactionReceipt");
            until("it was looked for", async || rig.chain.faults().calls("eth_getTransactionReceipt") > asked || asked > 0).await;
            rig.chain.faults().add("eth_getTransactionReceipt", fault.clone(), Times::Next(2));
            // The only block that ever comes.
            rig.chain.mine().await;
        };
        let (settled, ()) = tokio::join!(settling, mining);
        assert!(settled.is_settled(), "{fault:?}: {settled:?}");
        assert_eq!(transfers(&rig), 1);
    }
}

/// T009: a caller that hung up before its answer asks five times: the same bytes, one broadcast.
#[tokio::test(flavor = "multi_thread")]
async fn t009_an_answer_that_was_lost_is_repeated_byte_for_byte() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let gate = rig.chain.faults().hold_answer("eth_sendRawTransaction");
    {
        let hanging_up = settle(&rig, &payment, Some("shop-1"));
        tokio::pin!(hanging_up);
        tokio::select! {
            reply = &mut hanging_up => panic!("answered too early: {reply:?}"),
            () = gate.reached(1) => {}
        }
        // The connection closes with the future.
    }
    gate.open();
    let first = settle(&rig, &payment, Some("shop-1")).await;
    assert!(first.is_settled(), "{first:?}");
    for _ in 0..5 {
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await, first);
    }
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
    let stranger = settle(&rig, &payment, Some("shop-2")).await;
    assert_eq!((stranger.word().as_str(), stranger.transaction()), ("duplicate_settlement", first.transaction()));
    assert!(stranger.json()["error"].as_str().is_some_and(|text| !text.is_empty()));
}

/// What somebody who saw our transaction makes of it: the same call with ten times the tip.
fn copied(rig: &Rig, thief: usize, call: alloy_primitives::Bytes) -> TxEip1559 {
    TxEip1559 {
        to: TxKind::Call(rig.chain.usdc()),
        value: U256::ZERO,
        input: call,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: 50 * GWEI,
        ..rig.native_transfer(thief, rig.chain.usdc(), 0)
    }
}

/// T010: somebody submits the same authorization first. The payee has the money, so it is a success, in that
/// transaction, once.
#[tokio::test(flavor = "multi_thread")]
async fn t010_an_overtaken_settlement_is_a_success_in_the_other_transaction() {
    let mut rig = manual().await;
    let payment = rig.payment(PAYER, PRICE);
    let thief = copied(&rig, 5, settlement_call(&rig, &payment));
    let overtaking = async {
        until_pending(&rig, 1).await;
        let foreign = rig.send(5, thief).await;
        rig.chain.mine().await;
        foreign
    };
    let (settled, foreign) = tokio::join!(settle(&rig, &payment, Some("shop-1")), overtaking);
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!(settled.transaction(), Some(foreign));
    assert_eq!(transfers(&rig), 1);
    assert_eq!(broadcasts(&rig), 1, "ours is mined, too, and moved nothing");
    rig.restart().await;
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await, settled);
    for other in [Some("shop-2"), None] {
        assert_eq!(settle(&rig, &payment, other).await.word(), "duplicate_settlement");
    }
}

/// T010: somebody submits the authorization after it was verified and before we come to send anything. The payee has
/// the money, so it is a success, once, and nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn t010_a_settlement_that_was_not_needed_any_more_is_a_success() {
    let mut rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    assert!(verify(&rig, &payment, Some("shop-1")).await.is_valid());
    let foreign = rig.send(5, copied(&rig, 5, settlement_call(&rig, &payment))).await;
    let settled = settle(&rig, &payment, Some("shop-1")).await;
    assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(foreign)), "{settled:?}");
    assert_eq!((broadcasts(&rig), transfers(&rig)), (0, 1));
    rig.restart().await;
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await, settled);
    assert_eq!(settle(&rig, &payment, Some("shop-2")).await.word(), "duplicate_settlement");
    // Verified too long ago, or never: an old payment is no new one.
    let late = rig.payment(PAYER, PRICE);
    assert!(verify(&rig, &late, Some("shop-1")).await.is_valid());
    rig.send(5, copied(&rig, 5, settlement_call(&rig, &late))).await;
    rig.clock.advance(Duration::from_secs(61));
    assert_eq!(settle(&rig, &late, Some("shop-1")).await.word(), "authorization_used");
    let unseen = rig.signed(PAYER, Authorization { valid_before: U256::from(rig::now() + 500), ..rig.authorization(PAYER, PRICE) });
    rig.send(5, copied(&rig, 5, settlement_call(&rig, &unseen))).await;
    assert_eq!(settle(&rig, &unseen, Some("shop-1")).await.word(), "authorization_used");
    assert_eq!(broadcasts(&rig), 0);
}

/// T010: the node shows that the authorization is used before it has the log that tells by whom. That is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn t010_a_log_that_is_not_indexed_yet_is_waited_for() {
    let rig = manual().await;
    let payment = rig.payment(PAYER, PRICE);
    let thief = copied(&rig, 5, settlement_call(&rig, &payment));
    let overtaking = async {
        until_pending(&rig, 1).await;
        rig.chain.faults().add("eth_getLogs", Fault::Answer(json!([])), Times::Next(2));
        let foreign = rig.send(5, thief).await;
        rig.chain.mine().await;
        foreign
    };
    let (settled, foreign) = tokio::join!(settle(&rig, &payment, Some("shop-1")), overtaking);
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!(settled.transaction(), Some(foreign));
}

/// T010: the payer spends the same nonce on somebody else first. That pays nothing here.
#[tokio::test(flavor = "multi_thread")]
async fn t010_the_same_nonce_spent_elsewhere_is_no_success() {
    let rig = manual().await;
    let authorization = rig.authorization(PAYER, PRICE);
    let payment = rig.signed(PAYER, authorization.clone());
    let elsewhere = Authorization { to: account(6).address, ..authorization };
    let domain = rig.asset.eip712_domain().unwrap();
    let signed = rig::key(PAYER).sign_authorization(elsewhere, &domain).unwrap();
    let other = rig.payload(h402_core::Payload::Authorization(signed));
    let requirements = super::requirements(&rig.asset, account(6).address, PRICE);
    let body = h402_core::wire::h402::encode_request(&other, &requirements).unwrap();
    let matched = h402_core::wire::h402::decode_request(&body, rig.engine.assets()).unwrap().matched().unwrap();
    let (_, call) = h402_facilitator::evm::EvmChain::settlement_call(&matched).unwrap();
    let overtaking = async {
        until_pending(&rig, 1).await;
        rig.send(PAYER, copied(&rig, PAYER, call)).await;
        rig.chain.mine().await;
    };
    let (failed, ()) = tokio::join!(settle(&rig, &payment, Some("shop-1")), overtaking);
    assert!(!failed.is_settled());
    assert_eq!(failed.word(), "transfer_reverts");
    assert!(failed.transaction().is_some(), "what was tried is told: {failed:?}");
    assert_eq!(transfers(&rig), 0);
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await, failed);
}

/// T011: two facilitators with ledgers of their own settle one authorization. The chain moves it once; both say so,
/// naming the same transaction, each to one caller.
#[tokio::test(flavor = "multi_thread")]
async fn t011_two_facilitators_name_the_one_transfer() {
    let one = manual().await;
    let engine = {
        let chain = one.chain.clone();
        Box::new(move |config: &mut h402_facilitator::EngineConfig| config.networks = vec![rig::network_of(&chain, 6).into()])
    };
    let two = Rig::with(RigOptions { chain: Some(one.chain.clone()), engine, ..RigOptions::default() }).await;
    let payment = one.payment(PAYER, PRICE);
    let mining = async {
        until_pending(&one, 2).await;
        one.chain.mine().await;
    };
    let (first, second, ()) = tokio::join!(settle(&one, &payment, Some("shop-1")), settle(&two, &payment, Some("shop-2")), mining);
    assert!(first.is_settled() && second.is_settled(), "{first:?} {second:?}");
    assert_eq!(first.transaction(), second.transaction());
    assert_eq!(transfers(&one), 1);
    assert_eq!(one.chain.balance_of(one.chain.usdc(), account(PAYEE).address), two.received());
    for (rig, other) in [(&one, "shop-2"), (&two, "shop-1")] {
        assert_eq!(settle(rig, &payment, Some(other)).await.word(), "duplicate_settlement");
    }
    // Twins on one ledger there are none: a second process does not get it.
    let twin = SqliteStore::open(one.folder.path().join("ledger.sqlite"), OpenOptions::default()).await;
    assert!(matches!(twin, Err(OpenError::Locked { .. })), "{twin:?}");
}

/// T011: whoever comes with an authorization that another facilitator has settled gets nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t011_what_another_facilitator_has_settled_is_refused_without_a_send() {
    let one = Rig::start().await;
    let engine = {
        let chain = one.chain.clone();
        Box::new(move |config: &mut h402_facilitator::EngineConfig| config.networks = vec![rig::network_of(&chain, 6).into()])
    };
    let two = Rig::with(RigOptions { chain: Some(one.chain.clone()), engine, ..RigOptions::default() }).await;
    let payment = one.payment(PAYER, PRICE);
    assert!(settle(&one, &payment, Some("shop-1")).await.is_settled());
    assert!(!verify(&two, &payment, Some("shop-1")).await.is_valid());
    assert_eq!(settle(&two, &payment, Some("shop-1")).await.word(), "authorization_used");
    assert_eq!(one.chain.nonce(account(6).address), 0);
    let honest = two.payment(PAYER, PRICE);
    assert!(settle(&two, &honest, Some("shop-1")).await.is_settled());
}
