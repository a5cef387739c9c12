//! Forks that take a confirmed block away.

use super::{PRICE, settle, signature, state, until_state, verify, ways};
use crate::facilitator::{Reply, until};
use h402_devnet::solana::{Delivery, Orphans};
use h402_tests::cluster::{ClusterRig, PAYER, address, pubkey};
use std::time::Duration;

async fn impatient() -> ClusterRig {
    ClusterRig::with(|config| config.answer_within = Duration::from_millis(300)).await
}

/// T057, T150: a fork of any depth takes a confirmed settlement away, with somebody looking or not: while its blockhash lives
/// the same bytes land again, and the payment is made once.
#[tokio::test(flavor = "multi_thread")]
async fn t057_t150_a_settlement_that_a_fork_took_away_lands_again() {
    for depth in 1..=5 {
        let restarted = depth % 2 == 0;
        let mut rig = impatient().await;
        for (asset, sponsor) in ways(&rig) {
            let before = rig.received(&asset);
            let payment = rig.payment(PAYER, &asset, PRICE, sponsor);
            let verified = verify(&rig, &payment, &asset, Some("shop")).await;
            let settled = settle(&rig, &payment, &asset, Some("shop")).await;
            assert!(settled.is_settled(), "{settled:?}");
            if restarted {
                rig.stop().await;
            }
            rig.chain.advance_slots(depth - 1);
            // The block of the settlement and what confirmed it.
            let hash: h402_devnet::solana::Signature = settled.json()["transaction"].as_str().unwrap().parse().unwrap();
            assert!(rig.chain.fork_away(&hash, Orphans::Drop));
            assert_eq!(rig.received(&asset), before);
            rig.chain.advance_slots(3);
            if restarted {
                rig.reopen().await;
                rig.until_ready().await;
            }
            until("it is there again", async || rig.chain.outcome(&hash).is_some()).await;
            rig.chain.finalize();
            until_state(&rig, &verified.payment_id(), "final").await;
            assert_eq!(settle(&rig, &payment, &asset, Some("shop")).await.text, settled.text);
            assert_eq!(u128::from(rig.received(&asset) - before), PRICE, "{depth} {}", asset.symbol);
            let sent = rig.chain.sent();
            assert!(sent.iter().filter(|sent| **sent == hash).count() >= 2, "the same bytes");
        }
    }
}

/// T149, T150: what a fork took away and did not land again before its blockhash died is lost. It was delivered for: the
/// ledger keeps it as its payer's debt, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn t149_t150_a_settlement_that_never_lands_again_is_a_debt() {
    for restarted in [false, true] {
        let mut rig = impatient().await;
        let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
        let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
        assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
        rig.chain.set_delivery(Delivery::Drop);
        assert!(rig.chain.fork_away(&signature(&payment), Orphans::Drop));
        rig.chain.advance_slots(3);
        until_state(&rig, &verified.payment_id(), "reorged").await;
        assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
        if restarted {
            rig.restart().await;
            assert_eq!(state(&rig, &verified.payment_id()).await, "reorged");
        }
        (0..3).for_each(|_| rig.chain.expire_blockhashes());
        until_state(&rig, &verified.payment_id(), "abandoned").await;
        let told = Reply::from(rig.get(&format!("/payments/{}", verified.payment_id())).await).json();
        assert!(told["error"].as_str().unwrap().starts_with("payment_lost: "), "{told}");
        let answer = settle(&rig, &payment, &rig.usdc, Some("shop")).await;
        assert_eq!((answer.is_settled(), answer.word().as_str()), (false, "payment_lost"), "{answer:?}");
        assert!(rig.engine.ready().await.is_ready());
    }
}

/// T057: a payment that failed in a block that a fork took away has not failed for good.
#[tokio::test(flavor = "multi_thread")]
async fn t057_a_failure_that_a_fork_took_away_is_looked_at_again() {
    let rig = impatient().await;
    let before = rig.received(&rig.usdc);
    rig.chain.set_delivery(Delivery::Hold);
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    let id = verify(&rig, &payment, &rig.usdc, Some("shop")).await.payment_id();
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "settlement_pending");
    let (payer, mint) = (pubkey(address(PAYER)), pubkey(rig.usdc.id.address.solana().unwrap()));
    rig.chain.set_frozen(payer, mint, true).unwrap();
    rig.chain.release();
    until_state(&rig, &id, "reverted").await;
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "transfer_reverts");
    rig.chain.set_delivery(Delivery::Land);
    rig.chain.set_frozen(payer, mint, false).unwrap();
    assert!(rig.chain.fork_away(&signature(&payment), Orphans::Drop));
    rig.chain.advance_slots(3);
    until_state(&rig, &id, "included").await;
    assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
    assert_eq!(u128::from(rig.received(&rig.usdc) - before), PRICE);
}
