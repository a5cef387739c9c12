//! Payments that payers have sent themselves.

use super::{PRICE, send, settle, signature, verify};
use crate::facilitator::Reply;
use h402_core::{Asset, Payload, PaymentPayload, SentSolanaTransaction, SolanaClaim};
use h402_devnet::solana::Signature;
use h402_tests::cluster::{ClusterRig, PAYER, SPONSOR, key};
use std::sync::Arc;

/// The proof that a payment was sent, claimed by this account.
fn proof(rig: &ClusterRig, payment: &PaymentPayload, claimant: usize) -> PaymentPayload {
    proof_of(rig, signature(payment), claimant)
}

fn proof_of(rig: &ClusterRig, signature: Signature, claimant: usize) -> PaymentPayload {
    let key = key(claimant);
    let claim = SolanaClaim { signer: key.address(), signed_message: key.sign(b"http://127.0.0.1/paid") };
    rig.presented(Payload::SolanaSent(SentSolanaTransaction { signature: signature.into(), claim: Some(claim) }))
}

async fn accepting() -> ClusterRig {
    ClusterRig::with(|config| config.accept_sent = true).await
}

/// Off unless it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn sent_payments_are_off_by_default() {
    let rig = ClusterRig::start().await;
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    send(&rig, &payment).await;
    rig.chain.finalize();
    let refused = verify(&rig, &proof(&rig, &payment, PAYER), &rig.usdc, Some("shop")).await;
    assert_eq!(refused.word(), "unsupported_payload_type", "{refused:?}");
    assert_eq!(rig.chain.faults().calls("getTransaction"), 0);
}

/// T088, T092: a sent payment counts once it is finalized, for whoever made it, and once.
#[tokio::test(flavor = "multi_thread")]
async fn t088_a_sent_payment_is_its_payers_and_counts_once() {
    let rig = accepting().await;
    for asset in [rig.sol.clone(), rig.usdc.clone()] {
        let payment = rig.payment(PAYER, &asset, PRICE, None);
        let own = proof(&rig, &payment, PAYER);
        let unknown = verify(&rig, &own, &asset, Some("shop")).await;
        assert_eq!((unknown.status, unknown.word().as_str()), (503, "payment_unconfirmed"), "{unknown:?}");
        send(&rig, &payment).await;
        assert_eq!(verify(&rig, &own, &asset, Some("shop")).await.status, 503, "confirmed is not final");
        rig.chain.finalize();
        let stolen = settle(&rig, &proof(&rig, &payment, PAYER + 1), &asset, Some("thief")).await;
        assert_eq!(stolen.word(), "invalid_exact_solana_payload_signature", "{stolen:?}");
        assert!(verify(&rig, &own, &asset, Some("shop")).await.is_valid());
        let settled = settle(&rig, &own, &asset, Some("shop")).await;
        assert!(settled.is_settled(), "{settled:?}");
        assert_eq!(settled.json()["transaction"].as_str().unwrap(), signature(&payment).to_string());
        assert_eq!(settle(&rig, &own, &asset, Some("shop")).await.text, settled.text);
        assert_eq!(settle(&rig, &own, &asset, Some("other")).await.word(), "duplicate_settlement");
    }
}

/// T173: a transaction and its signature are one payment, whichever of the two comes first.
#[tokio::test(flavor = "multi_thread")]
async fn t173_a_signed_transaction_and_its_signature_are_one_payment() {
    let rig = accepting().await;
    let refused = async |payment: &PaymentPayload, asset: &Arc<Asset>| {
        let reply: Reply = settle(&rig, payment, asset, Some("other")).await;
        assert!(!reply.is_settled(), "{reply:?}");
        reply.word()
    };
    let signed_first = rig.payment(PAYER, &rig.usdc, PRICE, None);
    assert!(settle(&rig, &signed_first, &rig.usdc, Some("shop")).await.is_settled());
    rig.chain.finalize();
    assert_eq!(refused(&proof(&rig, &signed_first, PAYER), &rig.usdc).await, "duplicate_settlement");

    // Where we pay the fee, the first signature is ours.
    let sponsored = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    let settled = settle(&rig, &sponsored, &rig.usdc, Some("shop")).await;
    let ours: Signature = settled.json()["transaction"].as_str().unwrap().parse().unwrap();
    rig.chain.finalize();
    assert_eq!(refused(&proof_of(&rig, ours, PAYER), &rig.usdc).await, "duplicate_settlement");

    let sent_first = rig.payment(PAYER, &rig.usdc, PRICE, None);
    send(&rig, &sent_first).await;
    rig.chain.finalize();
    assert!(settle(&rig, &proof(&rig, &sent_first, PAYER), &rig.usdc, Some("shop")).await.is_settled());
    assert_eq!(refused(&sent_first, &rig.usdc).await, "duplicate_settlement");
}
