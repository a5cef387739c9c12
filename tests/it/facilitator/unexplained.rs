//! Payments of which a node does not say what became of them, and nodes that say so of what they have not seen yet.

use super::{
    PRICE,
    batch::{cancelling, hasty},
    broadcasts, sends, settle, settle_until_ended, settlement_call, told, transfers, until, verify,
};
use alloy_consensus::TxEip1559;
use alloy_primitives::B256;
use h402_core::{Network, PaymentPayload, Store};
use h402_devnet::{
    Orphans, RpcError,
    evm::{BlockTime, account},
    fault::{Fault, Times},
};
use h402_facilitator::EngineConfig;
use h402_tests::{
    rig::{self, GAS, PAYER, Rig, RigOptions},
    transactions::{GWEI, sign},
};
use serde_json::json;
use std::time::Duration;

const SPIKE: u64 = 30_000_000_000;

/// A facilitator on a chain without blocks of its own, that answers soon.
async fn rig() -> Rig {
    let engine = Box::new(move |config: &mut EngineConfig| {
        config.answer_within = Duration::from_millis(400);
        rig::evm(config).final_depth = 8;
    });
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

/// Settles a payment that no block comes for: its id, and the transaction that was sent.
async fn pending(rig: &Rig, payment: &PaymentPayload) -> (String, B256) {
    let id = verify(rig, payment, Some("shop-1")).await.payment_id();
    // On a busy machine the time for an answer may be over before anything is signed.
    settle(rig, payment, Some("shop-1")).await;
    until("it was sent", async || told(rig, &id).await["transaction"].is_string()).await;
    let hash = told(rig, &id).await["transaction"].as_str().unwrap().parse().unwrap();
    until("it waits", async || rig.chain.pending().contains(&hash)).await;
    (id, hash)
}

async fn until_state(rig: &Rig, id: &str, state: &str) {
    until(state, async || told(rig, id).await["state"] == state).await;
}

/// How many transactions are signed and not known to be mined.
async fn stored(rig: &Rig) -> usize {
    rig.store.lane(Network::Evm(rig.chain.chain_id()), &account(GAS).address, 0, 1000).await.unwrap().open.len()
}

/// T057, T144, T149: a payer cancels its authorization so that it lands before our transaction, and no node can say what used
/// it; some refuse to look for logs at all. Meanwhile the block of another payment is dropped, and a third does not get into
/// one: both are settled two blocks later, long before the first is given up.
#[tokio::test(flavor = "multi_thread")]
async fn t149_a_payment_that_nobody_explains_holds_up_no_other() {
    let refused = || Fault::Error(RpcError { code: -32005, message: "query exceeds max block range".into(), data: None });
    let all = futures_util::future::join_all([false, true].map(async |mute| {
        let rig = rig().await;
        if mute {
            rig.chain.faults().add("eth_getLogs", refused(), Times::Always);
        }
        let authorization = rig.authorization(PAYER, PRICE);
        let cancelled = rig.signed(PAYER, authorization.clone());
        let (cancelled, _) = pending(&rig, &cancelled).await;
        rig.send(PAYER, cancelling(&rig, PAYER, authorization.nonce)).await;
        let first = rig.chain.mine().await;

        let dropped = rig.payment(PAYER + 1, PRICE);
        let (dropped_id, hash) = pending(&rig, &dropped).await;
        rig.chain.mine().await;
        // Nothing is told of it while the first is not explained.
        until_state(&rig, &dropped_id, "included").await;
        assert_eq!(rig.chain.reorg(1, Orphans::Drop), 1);
        rig.chain.mine().await;
        until("it goes out again", async || rig.chain.pending().contains(&hash)).await;
        rig.chain.mine().await;
        let settled = settle_until_ended(&rig, &dropped, Some("shop-1")).await;
        assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(hash)), "{settled:?}");

        let stuck = rig.payment(PAYER + 2, PRICE);
        let (_, cheap) = pending(&rig, &stuck).await;
        let before = stored(&rig).await;
        rig.chain.set_next_base_fee(SPIKE);
        rig.chain.mine().await;
        // Signatures are this old before anything is raised.
        rig.clock.advance(Duration::from_secs(3));
        until("its fee is raised", async || stored(&rig).await > before).await;
        until("the dearer one waits", async || rig.chain.pending().iter().all(|hash| *hash != cheap) && !rig.chain.pending().is_empty())
            .await;
        let last = rig.chain.mine().await;
        assert!(settle_until_ended(&rig, &stuck, Some("shop-1")).await.is_settled());
        assert!(last < first + 6, "what is not explained was not given up by then");
        assert!(["signed", "broadcast"].contains(&told(&rig, &cancelled).await["state"].as_str().unwrap()));
        assert_eq!((broadcasts(&rig), transfers(&rig)), (3, 2));
        for _ in 0..7 {
            rig.chain.mine().await;
        }
        if mute {
            // Nobody can say that it was not paid, until somebody looks.
            until_state(&rig, &dropped_id, "final").await;
            assert!(["signed", "broadcast"].contains(&told(&rig, &cancelled).await["state"].as_str().unwrap()));
            rig.chain.faults().clear();
        }
        until_state(&rig, &cancelled, "reverted").await;
    }))
    .await;
    assert_eq!(all.len(), 2);
}

/// Waits until a method was asked so many times more.
async fn until_asked(rig: &Rig, method: &str, times: u64) {
    let asked = rig.chain.faults().calls(method);
    until(method, async || rig.chain.faults().calls(method) >= asked + times).await;
}

/// T010, T147: somebody brings the payment to the chain first, and the node that is asked who is a block behind the one that
/// had our receipt: what it does not know is not taken for a failure. Where nobody did, it is one as soon as the node knows.
#[tokio::test(flavor = "multi_thread")]
async fn t010_t147_a_node_that_is_behind_does_not_say_who_was_first() {
    let all = futures_util::future::join_all([true, false].map(async |paid| {
        let rig = rig().await;
        let payment = rig.payment(PAYER, PRICE);
        let (id, hash) = pending(&rig, &payment).await;
        let carrier = if paid {
            rig.send(5, hasty(&rig, 5, settlement_call(&rig, &payment))).await
        } else {
            rig.chain.blacklist(rig.chain.usdc(), account(PAYER).address, true).unwrap();
            hash
        };
        rig.chain.faults().add("eth_call", Fault::Behind(1), Times::Always);
        rig.chain.mine().await;
        until_asked(&rig, "eth_call", 3).await;
        assert_eq!(told(&rig, &id).await["state"], "broadcast");
        rig.chain.mine().await;
        let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
        assert_eq!((settled.is_settled(), settled.transaction()), (paid, Some(carrier)), "{settled:?}");
        assert_eq!((broadcasts(&rig), transfers(&rig)), (1, usize::from(paid)));
    }))
    .await;
    assert_eq!(all.len(), 2);
}

/// T044, T147: a payer's own transaction is mined, and the node that is asked for its receipt is a block behind the one that
/// counts the payer's transactions: it was not replaced. One that was is ended as soon as the node knows.
#[tokio::test(flavor = "multi_thread")]
async fn t044_t147_a_node_that_is_behind_does_not_say_that_one_was_replaced() {
    let all = futures_util::future::join_all([true, false].map(async |paid| {
        let rig = rig().await;
        let transfer = rig.token_transfer(PAYER, account(rig::PAYEE).address, PRICE);
        let payment = rig.by_transaction(PAYER, &sign(PAYER, transfer.clone()));
        let (id, hash) = pending(&rig, &payment).await;
        if !paid {
            let other = TxEip1559 { max_fee_per_gas: 100 * GWEI, max_priority_fee_per_gas: 50 * GWEI, ..transfer };
            rig.send(PAYER, TxEip1559 { input: Default::default(), ..other }).await;
        }
        rig.chain.faults().add("eth_getTransactionReceipt", Fault::Behind(1), Times::Always);
        rig.chain.mine().await;
        // How many transactions the payer has is asked after each time that the same bytes were sent again.
        until_asked(&rig, "eth_getTransactionCount", 2).await;
        assert_eq!(told(&rig, &id).await["state"], "broadcast");
        if paid {
            rig.chain.mine().await;
        } else {
            rig.chain.faults().clear();
        }
        until_state(&rig, &id, if paid { "included" } else { "abandoned" }).await;
        let settled = settle(&rig, &payment, Some("shop-1")).await;
        assert_eq!((settled.is_settled(), settled.transaction()), (paid, Some(hash)), "{settled:?}");
    }))
    .await;
    assert_eq!(all.len(), 2);
}

/// T057, T147: the nodes that are asked fall behind the block of a payment. It is not taken for dropped, and nothing is sent
/// again. [`super::reorg`] has those that are.
#[tokio::test(flavor = "multi_thread")]
async fn t057_t147_a_block_that_a_node_does_not_have_yet_is_not_gone() {
    let rig = rig().await;
    let payment = rig.payment(PAYER, PRICE);
    let (id, _) = pending(&rig, &payment).await;
    rig.chain.mine().await;
    until_state(&rig, &id, "included").await;
    let sent = sends(&rig);
    for behind in [1, 2] {
        rig.chain.faults().add("eth_getBlockByNumber", Fault::Behind(behind), Times::Always);
        until_asked(&rig, "eth_getBlockByNumber", 6).await;
        assert_eq!((told(&rig, &id).await["state"].as_str().unwrap(), sends(&rig)), ("included", sent));
        rig.chain.faults().clear();
        rig.chain.mine().await;
        until_asked(&rig, "eth_getBlockByNumber", 3).await;
    }
    for _ in 0..6 {
        rig.chain.mine().await;
    }
    until_state(&rig, &id, "final").await;
    assert_eq!((sends(&rig), transfers(&rig)), (sent, 1));
}

/// T010, T147: a payment has expired, is used, and the node does not have the log that tells by whom. It is not ended before
/// logs must be there; one that nobody has used ends at once.
#[tokio::test(flavor = "multi_thread")]
async fn t010_t147_an_expired_payment_without_a_log_is_not_ended_at_once() {
    let all = futures_util::future::join_all([true, false].map(async |paid| {
        let rig = rig().await;
        let payment = rig.payment(PAYER, PRICE);
        let (id, hash) = pending(&rig, &payment).await;
        // Ours never gets there.
        rig.chain.faults().add("eth_sendRawTransaction", Fault::Answer(json!(hash)), Times::Always);
        assert!(rig.chain.drop_pending(hash));
        if paid {
            rig.chain.faults().clear();
            rig.send(5, hasty(&rig, 5, settlement_call(&rig, &payment))).await;
            rig.chain.faults().add("eth_sendRawTransaction", Fault::Answer(json!(hash)), Times::Always);
            rig.chain.faults().add("eth_getLogs", Fault::Answer(json!([])), Times::Always);
        }
        rig.chain.mine().await;
        rig.chain.advance_time(300);
        rig.chain.mine().await;
        if paid {
            until_asked(&rig, "eth_getLogs", 3).await;
            assert!(["signed", "broadcast"].contains(&told(&rig, &id).await["state"].as_str().unwrap()));
            rig.chain.faults().clear();
        }
        until_state(&rig, &id, if paid { "included" } else { "abandoned" }).await;
        assert_eq!(transfers(&rig), usize::from(paid));
    }))
    .await;
    assert_eq!(all.len(), 2);
}

/// T010, T148: a node that looks through ten blocks at once and no more, and a payment that a stranger has brought to the chain
/// many blocks ago: it is found.
#[tokio::test(flavor = "multi_thread")]
async fn t010_t148_a_log_is_found_in_ranges_that_the_node_takes() {
    let rig = rig().await;
    rig.chain.set_log_range(Some(10));
    let payment = rig.payment(PAYER, PRICE);
    let (id, hash) = pending(&rig, &payment).await;
    assert!(rig.chain.drop_pending(hash));
    rig.chain.faults().add("eth_getTransactionReceipt", Fault::Answer(json!(null)), Times::Always);
    rig.send(5, hasty(&rig, 5, settlement_call(&rig, &payment))).await;
    for _ in 0..1_500 {
        rig.chain.mine().await;
    }
    rig.chain.advance_time(300);
    rig.chain.mine().await;
    rig.chain.faults().clear();
    until_state(&rig, &id, "included").await;
    assert_eq!(transfers(&rig), 1);
}
