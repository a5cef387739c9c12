//! What becomes of a transaction after it was sent.

use super::{PRICE, send, settle, settle_held, signature, state, until_state, verify, ways};
use crate::facilitator::{Reply, until};
use h402_core::{Address, Amount};
use h402_devnet::{
    fault::{Fault, Times},
    solana::{Delivery, Orphans},
};
use h402_facilitator::solana::Commitment;
use h402_tests::cluster::{ClusterRig, PAYER, address, pubkey, solana};
use std::time::{Duration, Instant};

/// Moves all of an account's token away, as if in a faster bundle.
pub(super) fn drain(rig: &ClusterRig, payer: usize) {
    let mint = pubkey(rig.usdc.id.address.solana().unwrap());
    let source = rig.chain.token_account(pubkey(address(payer)), mint).unwrap();
    rig.chain.set_account(source, h402_devnet::solana::Account::default()).unwrap();
}

/// T075: a transaction that was sent is not settled: it is held, its payer drains the account, it fails in a block, and the
/// answer is a failure with its reason. The twin lands, and is settled no sooner than it is confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn t075_sent_is_not_settled() {
    let rig = ClusterRig::start().await;
    rig.chain.set_delivery(Delivery::Hold);
    let before = rig.received(&rig.usdc);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let settled = settle_held(&rig, &payment, || drain(&rig, PAYER)).await;
    assert!(!settled.is_settled(), "{settled:?}");
    assert_eq!(settled.word(), "transfer_reverts", "{settled:?}");
    assert_eq!(rig.received(&rig.usdc), before);

    let payment = rig.payment(PAYER + 1, &rig.usdc, PRICE, None);
    let settled = settle_held(&rig, &payment, || assert_eq!(rig.received(&rig.usdc), before)).await;
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!(u128::from(rig.received(&rig.usdc) - before), PRICE);
}

/// T076: what fails on chain is answered within seconds, and what is lost is answered as pending when the time for an answer
/// is over: neither hangs. It is sent again, and lands then.
#[tokio::test(flavor = "multi_thread")]
async fn t076_a_failed_or_lost_transaction_hangs_nobody() {
    let rig = ClusterRig::with(|config| config.answer_within = Duration::from_secs(1)).await;
    rig.chain.set_delivery(Delivery::Hold);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
    drain(&rig, PAYER);
    let began = Instant::now();
    let settled = settle_held(&rig, &payment, || ()).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((settled.word().as_str(), state(&rig, &verified.payment_id()).await.as_str()), ("transfer_reverts", "reverted"));

    rig.chain.set_delivery(Delivery::Land);
    for (asset, sponsor) in ways(&rig) {
        rig.chain.deliver_next(1, Delivery::Drop);
        let payment = rig.payment(PAYER + 1, &asset, PRICE, sponsor);
        let began = Instant::now();
        let settled = settle(&rig, &payment, &asset, Some("shop")).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{} {sponsor:?}", asset.symbol);
        assert_eq!(settled.word(), "settlement_pending", "{settled:?}");
        until("it is settled", async || settle(&rig, &payment, &asset, Some("shop")).await.is_settled()).await;
        let sent = rig.chain.sent();
        assert_eq!(sent[sent.len() - 1], sent[sent.len() - 2], "the same bytes");
    }
}

/// A block that is gone takes a settlement back, and the same bytes go out again until they are in another.
#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_block_is_noticed_and_the_payment_lands_again() {
    let rig = ClusterRig::start().await;
    let before = rig.received(&rig.usdc);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
    assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
    rig.chain.set_delivery(Delivery::Hold);
    assert!(rig.chain.fork_away(&signature(&payment), Orphans::Drop));
    assert_eq!(rig.received(&rig.usdc), before);
    rig.chain.advance_slots(3);
    until("it is sent again", async || !rig.chain.held().is_empty()).await;
    rig.chain.release();
    rig.chain.finalize();
    until_state(&rig, &verified.payment_id(), "final").await;
    assert_eq!(u128::from(rig.received(&rig.usdc) - before), PRICE);
}

/// Above an amount that the operator names, a settlement is answered once its block cannot be undone; below it at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_amount_is_settled_when_it_is_finalized() {
    let rig = ClusterRig::with(|config| {
        config.answer_within = Duration::from_secs(1);
        let network = solana(config);
        assert_eq!(network.accept, Commitment::Confirmed);
        let usdc = Address::Solana("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU".parse().unwrap());
        network.large_amounts = vec![(usdc, Amount::from_atomic(2 * PRICE))];
    })
    .await;
    let small = rig.payment(PAYER, &rig.usdc, PRICE, None);
    assert!(settle(&rig, &small, &rig.usdc, Some("shop")).await.is_settled());
    let large = rig.payment(PAYER, &rig.usdc, 2 * PRICE, None);
    let terms = rig.requirements(&rig.usdc, 2 * PRICE);
    let pending = Reply::from(rig.post("/settle", &large, &terms, Some("shop")).await);
    assert_eq!(pending.word(), "settlement_pending", "{pending:?}");
    assert_eq!(rig.chain.outcome(&signature(&large)).unwrap().error, None, "it is in a block");
    rig.chain.finalize();
    until("it is settled", async || Reply::from(rig.post("/settle", &large, &terms, Some("shop")).await).is_settled()).await;
}

/// T007: whatever the node says to a send, the chain decides.
#[tokio::test(flavor = "multi_thread")]
async fn t007_what_a_node_says_to_a_send_decides_nothing() {
    let faults = [
        Fault::Error(h402_devnet::RpcError::new(-32002, "Transaction simulation failed: Blockhash not found")),
        Fault::Error(h402_devnet::RpcError::new(-32005, "Node is behind by 42 slots")),
        Fault::DropRequest,
        Fault::DropAnswer,
        Fault::Html,
    ];
    for fault in faults {
        let rig = ClusterRig::start().await;
        let before = rig.received(&rig.usdc);
        rig.chain.faults().add("sendTransaction", fault.clone(), Times::Once);
        let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
        let settled = settle(&rig, &payment, &rig.usdc, Some("shop")).await;
        assert!(settled.is_settled(), "{fault:?}: {settled:?}");
        assert_eq!(u128::from(rig.received(&rig.usdc) - before), PRICE, "{fault:?}");
    }
}

/// T045: a payment that its payer brings to the chain between verify and settle is settled all the same; one that was never
/// verified here is not, for it may be old.
#[tokio::test(flavor = "multi_thread")]
async fn t045_a_payment_that_its_payer_has_sent_is_settled() {
    let rig = ClusterRig::start().await;
    for verified_before in [true, false] {
        let before = rig.received(&rig.usdc);
        let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
        if verified_before {
            assert!(verify(&rig, &payment, &rig.usdc, Some("shop")).await.is_valid());
        }
        send(&rig, &payment).await;
        assert_eq!(u128::from(rig.received(&rig.usdc) - before), PRICE);
        // What was read at the verify is old news by now, and the payment still held.
        rig.clock.advance(Duration::from_secs(10));
        let settled = settle(&rig, &payment, &rig.usdc, Some("shop")).await;
        assert_eq!(settled.is_settled(), verified_before, "{settled:?}");
        assert_eq!(u128::from(rig.received(&rig.usdc) - before), PRICE);
    }
}

/// T156: no block comes for a while, though a payment waits for one: new payments are told to come again, and what waits goes
/// on waiting. Once it has its block all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn t156_a_cluster_that_stands_still_takes_no_new_payments() {
    let rig = ClusterRig::with(|config| {
        config.answer_within = Duration::from_millis(300);
        solana(config).max_block_age = Duration::from_secs(1);
    })
    .await;
    rig.chain.set_delivery(Delivery::Hold);
    let (waiting, late) = (rig.payment(PAYER, &rig.usdc, PRICE, None), rig.payment(PAYER + 1, &rig.usdc, PRICE, None));
    assert_eq!(settle(&rig, &waiting, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    until("it is noticed", async || verify(&rig, &late, &rig.usdc, Some("late")).await.status == 503).await;
    assert_eq!(settle(&rig, &late, &rig.usdc, Some("late")).await.status, 503);
    assert_eq!(settle(&rig, &waiting, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    rig.chain.set_delivery(Delivery::Land);
    rig.chain.release();
    until("it is settled", async || settle(&rig, &waiting, &rig.usdc, Some("shop")).await.is_settled()).await;
    until("new ones are taken", async || verify(&rig, &late, &rig.usdc, Some("late")).await.status == 200).await;
    assert!(settle(&rig, &late, &rig.usdc, Some("late")).await.is_settled());
}
