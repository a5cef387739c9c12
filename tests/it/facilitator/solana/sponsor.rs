//! Paying the fee of others.

use super::{PRICE, outcome::drain, settle, settle_held, verify};
use h402_devnet::solana::{Account, Delivery};
use h402_tests::cluster::{ClusterRig, PAYER, SPONSOR, address, pubkey, solana};
use std::time::Duration;

/// A sponsor that cannot pay takes nothing on and says so; payers that pay their own fee are served all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_poor_sponsor_takes_nothing_on() {
    let rig = ClusterRig::start().await;
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    rig.chain.set_account(pubkey(address(SPONSOR)), Account { lamports: 1_000_000, ..Account::default() }).unwrap();
    assert!(!rig.engine.ready().await.is_ready());
    assert_eq!(rig.get("/ready").await.0, 503);
    let refused = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.status, 503);
    let own = rig.payment(PAYER, &rig.usdc, PRICE, None);
    assert!(settle(&rig, &own, &rig.usdc, Some("shop")).await.is_settled());
    rig.chain.airdrop(pubkey(address(SPONSOR)), 1_000_000_000).unwrap();
    rig.until_ready().await;
    assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
}

/// A fee is paid for others by the configured account only, and only up to the configured limit.
#[tokio::test(flavor = "multi_thread")]
async fn the_fee_is_paid_by_the_sponsor_and_up_to_a_limit() {
    let rig = ClusterRig::start().await;
    let stranger = rig.payment(PAYER, &rig.usdc, PRICE, Some(PAYER + 1));
    assert_eq!(verify(&rig, &stranger, &rig.usdc, Some("shop")).await.word(), "solana_fee_payer_unknown");
    let before = rig.chain.lamports(pubkey(address(SPONSOR)));
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
    let paid = before - rig.chain.lamports(pubkey(address(SPONSOR)));
    assert!((10_000..=100_000).contains(&paid), "two signatures, and next to nothing for the units: {paid}");

    let rig = ClusterRig::with(|config| solana(config).max_fee_lamports = 9_999).await;
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    assert_eq!(verify(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "solana_fee_exceeds_limit");

    let rig = ClusterRig::with(|config| solana(config).sponsor = None).await;
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    assert_eq!(verify(&rig, &payment, &rig.usdc, Some("shop")).await.word(), "solana_fee_payer_unknown");
    assert_eq!(rig.hints().await.fee_payer, None);
}

/// T077: a payer that makes its payments fail once they are sent wastes the sponsor's lamports, twice an hour and no more. It
/// may go on at its own cost, and so may others at the sponsor's.
#[tokio::test(flavor = "multi_thread")]
async fn t077_a_payer_that_wastes_fees_pays_its_own() {
    let rig = ClusterRig::start().await;
    let mint = pubkey(rig.usdc.id.address.solana().unwrap());
    let refill = || rig.chain.mint_to(pubkey(address(PAYER)), mint, 100 * u64::try_from(PRICE).unwrap()).unwrap();
    let before = rig.chain.lamports(pubkey(address(SPONSOR)));
    for _ in 0..2 {
        rig.chain.set_delivery(Delivery::Hold);
        let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
        let settled = settle_held(&rig, &payment, || drain(&rig, PAYER)).await;
        assert_eq!(settled.word(), "transfer_reverts", "{settled:?}");
        rig.chain.set_delivery(Delivery::Land);
        refill();
    }
    let wasted = before - rig.chain.lamports(pubkey(address(SPONSOR)));
    assert!(wasted >= 20_000, "the fees are gone: {wasted}");
    let third = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    for reply in [verify(&rig, &third, &rig.usdc, Some("shop")).await, settle(&rig, &third, &rig.usdc, Some("shop")).await] {
        assert_eq!(reply.word(), "solana_fee_wasted", "{reply:?}");
    }
    for (payer, sponsor) in [(PAYER, None), (PAYER + 1, Some(SPONSOR))] {
        let payment = rig.payment(payer, &rig.usdc, PRICE, sponsor);
        assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled(), "{payer} {sponsor:?}");
    }
    rig.clock.advance(Duration::from_secs(3_601));
    assert!(settle(&rig, &third, &rig.usdc, Some("shop")).await.is_settled());
}

/// `/supported` tells payers who pays the fee and a blockhash to use; a payment with it is settled.
#[tokio::test(flavor = "multi_thread")]
async fn supported_tells_what_payers_need() {
    let rig = ClusterRig::start().await;
    let hints = rig.hints().await;
    assert_eq!(hints.fee_payer, Some(address(SPONSOR)));
    let (hash, last) = rig.chain.latest_blockhash();
    assert_eq!((hints.blockhash, hints.last_valid_block_height), (Some(hash.to_bytes()), Some(last)));
    let (status, body) = rig.get("/supported").await;
    assert_eq!(status, 200);
    for part in ["feePayer", "recentBlockhash", "lastValidBlockHeight", &hash.to_string(), &address(SPONSOR).to_string()] {
        assert!(body.contains(part), "{part}: {body}");
    }
}

/// T172: the fees that are paid for others within a day are bounded, also across a restart; whoever pays its own is served.
#[tokio::test(flavor = "multi_thread")]
async fn t172_fees_for_others_have_a_daily_budget() {
    let mut rig = ClusterRig::with(|config| {
        solana(config).max_fee_lamports = 20_000;
        solana(config).daily_budget = Some(50_000);
    })
    .await;
    for _ in 0..2 {
        let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
        assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
    }
    for restarted in [false, true] {
        if restarted {
            rig.restart().await;
        }
        let third = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
        for reply in [verify(&rig, &third, &rig.usdc, Some("shop")).await, settle(&rig, &third, &rig.usdc, Some("shop")).await] {
            assert_eq!((reply.status, reply.text.contains("daily budget")), (503, true), "{reply:?}");
        }
        let own = rig.payment(PAYER, &rig.usdc, PRICE, None);
        assert!(settle(&rig, &own, &rig.usdc, Some("shop")).await.is_settled());
    }
    rig.clock.advance(Duration::from_secs(25 * 3600));
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, Some(SPONSOR));
    assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled(), "a day later");
}
