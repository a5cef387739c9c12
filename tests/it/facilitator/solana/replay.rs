//! One payment, many copies: at once, with other bytes, as another kind of proof.

use super::{PRICE, bytes, calls, settle, verify, ways, with_bytes};
use futures_util::future::join_all;
use h402_tests::cluster::{ClusterRig, PAYER, SPONSOR};
use std::collections::HashSet;

/// T072: of 64 copies of one payment at once, from two callers, one caller succeeds, one transaction is sent, and the price
/// is paid once. Its twin: each of 64 payments is settled for itself.
#[tokio::test(flavor = "multi_thread")]
async fn t072_a_transaction_is_settled_once() {
    let rig = ClusterRig::start().await;
    for (asset, sponsor) in ways(&rig) {
        let (before, sent) = (rig.received(&asset), calls(&rig, "sendTransaction"));
        let payment = rig.payment(PAYER, &asset, PRICE, sponsor);
        let copies = (0..64).map(|copy| {
            let (rig, payment, asset) = (&rig, &payment, &asset);
            async move { settle(rig, payment, asset, Some(if copy % 2 == 0 { "one" } else { "two" })).await }
        });
        let replies = join_all(copies).await;
        let settled: Vec<_> = replies.iter().filter(|reply| reply.is_settled()).collect();
        let others: HashSet<String> = replies.iter().filter(|reply| !reply.is_settled()).map(super::Reply::word).collect();
        assert_eq!(settled.len(), 32, "{} {sponsor:?}: one of the two callers, whenever it asks", asset.symbol);
        assert_eq!(others, HashSet::from(["duplicate_settlement".to_owned()]));
        assert_eq!(calls(&rig, "sendTransaction") - sent, 1);
        assert_eq!(u128::from(rig.received(&asset) - before), PRICE);
    }
    let before = rig.received(&rig.usdc);
    let payments: Vec<_> = (0..12).map(|_| rig.payment(PAYER, &rig.usdc, PRICE, None)).collect();
    let replies = join_all(payments.iter().map(|payment| settle(&rig, payment, &rig.usdc, Some("one")))).await;
    assert!(replies.iter().all(super::Reply::is_settled), "{replies:?}");
    assert_eq!(u128::from(rig.received(&rig.usdc) - before), 12 * PRICE);
}

/// T073: where we pay the fee, the first slot is anybody's to fill: a hundred random signatures there make no other payment.
/// One of them is settled, for one caller; the transaction on chain has our own signature.
#[tokio::test(flavor = "multi_thread")]
async fn t073_the_fee_payers_slot_makes_no_other_payment() {
    let rig = ClusterRig::start().await;
    let before = rig.received(&rig.usdc);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    let copies: Vec<_> = (0..100)
        .map(|_| {
            let mut transaction = bytes(&payment).transaction.to_vec();
            getrandom::fill(&mut transaction[1..65]).unwrap();
            with_bytes(&payment, transaction)
        })
        .collect();
    let verified = join_all(copies.iter().map(|copy| verify(&rig, copy, &rig.usdc, Some("shop")))).await;
    let ids: HashSet<String> = verified.iter().map(super::Reply::payment_id).collect();
    assert!(verified.iter().all(super::Reply::is_valid), "{verified:?}");
    assert_eq!(ids.len(), 1, "all are one payment");
    let callers: Vec<String> = (0..100).map(|copy| format!("shop-{copy}")).collect();
    let replies = join_all(copies.iter().zip(&callers).map(|(copy, caller)| settle(&rig, copy, &rig.usdc, Some(caller)))).await;
    let settled: Vec<_> = replies.iter().filter(|reply| reply.is_settled()).collect();
    assert_eq!(settled.len(), 1, "{replies:?}");
    assert_eq!(calls(&rig, "sendTransaction"), 1);
    assert_eq!(u128::from(rig.received(&rig.usdc) - before), PRICE);
    // The payer's own signature is no such slot.
    let mut transaction = bytes(&payment).transaction.to_vec();
    transaction[65] ^= 1;
    let bent = verify(&rig, &with_bytes(&payment, transaction), &rig.usdc, Some("shop")).await;
    assert_eq!(bent.word(), "invalid_exact_solana_payload_signature");
}
