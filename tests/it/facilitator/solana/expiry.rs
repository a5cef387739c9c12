//! Payments that have expired, or are about to.

use super::{PRICE, rpc, settle, signature, state, until_state, verify, ways};
use crate::facilitator::until;
use h402_devnet::{
    RpcError,
    fault::{Fault, Times},
    solana::{Delivery, Hash},
};
use h402_tests::cluster::{ClusterRig, PAYER};
use serde_json::json;
use std::time::Duration;

/// T084: a payment with fewer than twenty blocks left is refused before anything is sent; with twenty it is taken.
#[tokio::test(flavor = "multi_thread")]
async fn t084_a_payment_about_to_expire_is_refused() {
    let rig = ClusterRig::start().await;
    for (asset, sponsor) in ways(&rig) {
        let payment = rig.payment(PAYER, &asset, PRICE, sponsor);
        rig.chain.advance_slots(131);
        let refused = verify(&rig, &payment, &asset, Some("shop")).await;
        assert_eq!(refused.word(), "invalid_exact_solana_payload_authorization_valid_before", "{refused:?}");
        assert!(!settle(&rig, &payment, &asset, Some("shop")).await.is_settled());
        let payment = rig.payment(PAYER, &asset, PRICE, sponsor);
        rig.chain.advance_slots(130);
        assert!(verify(&rig, &payment, &asset, Some("shop")).await.is_valid());
    }
    assert_eq!(rig.chain.sent(), []);
}

/// T084, T076: what was sent and is lost is pending until its blockhash is dead in a finalized block, the finalized height is
/// past its own, and no block has it; then it has failed, and the payer may sign again.
#[tokio::test(flavor = "multi_thread")]
async fn t084_a_lost_payment_ends_when_it_has_expired_and_not_before() {
    let rig = ClusterRig::with(|config| config.answer_within = Duration::from_millis(300)).await;
    rig.chain.set_delivery(Delivery::Drop);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    // Its blockhash is dead, and not finally so.
    rig.chain.advance_slots(152);
    let asked = rig.chain.faults().calls("getSignatureStatuses");
    until("it was looked for", async || rig.chain.faults().calls("getSignatureStatuses") > asked + 3).await;
    assert_eq!(state(&rig, &verified.payment_id()).await, "broadcast");
    // A node without history proves nothing.
    rig.chain.faults().add("isBlockhashValid", Fault::Error(RpcError::new(-32011, "Transaction history is not available")), Times::Next(2));
    rig.chain.expire_blockhashes();
    until_state(&rig, &verified.payment_id(), "abandoned").await;
    let failed = settle(&rig, &payment, &rig.usdc, Some("shop")).await;
    assert_eq!(failed.word(), "invalid_exact_solana_payload_authorization_valid_before", "{failed:?}");
    assert!(rig.chain.outcome(&signature(&payment)).is_none());
    rig.chain.set_delivery(Delivery::Land);
    let again = rig.payment(PAYER, &rig.usdc, PRICE, None);
    assert!(settle(&rig, &again, &rig.usdc, Some("shop")).await.is_settled());
}

/// T084, T014: what landed while nobody looked is found however late, and is no failure though its blockhash is long dead.
#[tokio::test(flavor = "multi_thread")]
async fn t084_what_has_landed_in_time_is_settled_however_late_it_is_seen() {
    let mut rig = ClusterRig::with(|config| config.answer_within = Duration::from_millis(300)).await;
    rig.chain.set_delivery(Delivery::Hold);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    rig.stop().await;
    rig.chain.release();
    rig.chain.expire_blockhashes();
    rig.chain.expire_blockhashes();
    rig.reopen().await;
    until_state(&rig, &verified.payment_id(), "final").await;
    assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
}

/// T084: a blockhash that is too new for a confirmed block is not an expired one: whoever asks again soon has it accepted.
#[tokio::test(flavor = "multi_thread")]
async fn t084_a_blockhash_that_is_not_confirmed_yet_is_waited_for() {
    let rig = ClusterRig::start().await;
    let newest = rpc(&rig, "getLatestBlockhash", json!([{ "commitment": "processed" }])).await;
    let hash: Hash = newest["value"]["blockhash"].as_str().unwrap().parse().unwrap();
    let payment = rig.payment_with(hash.to_bytes(), PAYER, &rig.usdc, PRICE, None);
    assert_eq!(verify(&rig, &payment, &rig.usdc, Some("shop")).await.status, 503);
    rig.chain.advance_slots(1);
    assert!(verify(&rig, &payment, &rig.usdc, Some("shop")).await.is_valid());
    let never = rig.payment_with([7; 32], PAYER, &rig.usdc, PRICE, None);
    let refused = verify(&rig, &never, &rig.usdc, Some("shop")).await;
    assert_eq!(refused.word(), "invalid_exact_solana_payload_authorization_valid_before", "{refused:?}");
}

/// T084, T147: a node that is behind does not know a payment, and that proves nothing, since it is not past the payment's
/// last block either.
#[tokio::test(flavor = "multi_thread")]
async fn t084_a_node_that_is_behind_proves_no_expiry() {
    let rig = ClusterRig::with(|config| config.answer_within = Duration::from_millis(300)).await;
    rig.chain.set_delivery(Delivery::Drop);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    let behind = rig.chain.block_height() - 40;
    rig.chain.expire_blockhashes();
    rig.chain.faults().add("getBlockHeight", Fault::Answer(json!(behind)), Times::Always);
    let asked = rig.chain.faults().calls("getBlockHeight");
    until("it was looked for", async || rig.chain.faults().calls("getBlockHeight") > asked + 5).await;
    assert_eq!(state(&rig, &verified.payment_id()).await, "broadcast");
    rig.chain.faults().clear();
    until_state(&rig, &verified.payment_id(), "abandoned").await;
}

/// T150: what has expired is only known to have failed by a node that remembers all of its life. One that has forgotten, or came
/// later, leaves it pending; the twin that remembers ends it.
#[tokio::test(flavor = "multi_thread")]
async fn t150_a_node_that_remembers_too_little_proves_no_expiry() {
    let rig = ClusterRig::with(|config| config.answer_within = Duration::from_millis(300)).await;
    rig.chain.set_delivery(Delivery::Drop);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    // Its ledger begins with the block that is open now.
    rig.chain.faults().add("getFirstAvailableBlock", Fault::Answer(json!(rig.chain.slot())), Times::Always);
    rig.chain.expire_blockhashes();
    let asked = rig.chain.faults().calls("getFirstAvailableBlock");
    until("it was looked for", async || rig.chain.faults().calls("getFirstAvailableBlock") > asked + 3).await;
    assert_eq!(state(&rig, &verified.payment_id()).await, "broadcast");
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    rig.chain.faults().clear();
    until_state(&rig, &verified.payment_id(), "abandoned").await;
}
