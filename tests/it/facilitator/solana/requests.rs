//! What payments cost the node.

use super::{PRICE, calls, settle, until, verify, ways, with_bytes};
use futures_util::future::join_all;
use h402_devnet::{BlockTime, solana::Delivery};
use h402_tests::cluster::{ClusterRig, PAYER, solana};
use std::time::Duration;

/// A facilitator that looks seldom, so that its looks do not count among what a payment costs.
async fn seldom() -> ClusterRig {
    ClusterRig::with(|config| {
        solana(config).poll = Duration::from_secs(3600);
        config.answer_within = Duration::from_millis(200);
    })
    .await
}

/// A verify is one HTTP request, a settle after it one more; a settle without a verify two. Junk costs none.
#[tokio::test(flavor = "multi_thread")]
async fn a_verify_is_one_request_and_a_settle_one_more() {
    let rig = seldom().await;
    for (asset, sponsor) in ways(&rig) {
        let payment = rig.payment(PAYER, &asset, PRICE, sponsor);
        rig.chain.faults().reset_counts();
        let junk = verify(&rig, &with_bytes(&payment, vec![1; 200]), &asset, Some("shop")).await;
        assert!(!junk.is_valid());
        assert_eq!(rig.chain.faults().requests(), 0, "{} {sponsor:?}: junk", asset.symbol);
        assert!(verify(&rig, &payment, &asset, Some("shop")).await.is_valid());
        assert_eq!(rig.chain.faults().requests(), 1, "{} {sponsor:?}: verify", asset.symbol);
        settle(&rig, &payment, &asset, Some("shop")).await;
        assert_eq!((rig.chain.faults().requests(), calls(&rig, "sendTransaction")), (2, 1), "{} {sponsor:?}", asset.symbol);
        let fresh = rig.payment(PAYER, &asset, PRICE, sponsor);
        rig.chain.faults().reset_counts();
        settle(&rig, &fresh, &asset, Some("shop")).await;
        assert_eq!(rig.chain.faults().requests(), 2, "{} {sponsor:?}: settle alone", asset.symbol);
        // What was read a while ago is read again.
        let old = rig.payment(PAYER, &asset, PRICE, sponsor);
        assert!(verify(&rig, &old, &asset, Some("shop")).await.is_valid());
        rig.clock.advance(Duration::from_secs(6));
        rig.chain.faults().reset_counts();
        settle(&rig, &old, &asset, Some("shop")).await;
        assert_eq!(rig.chain.faults().requests(), 2, "{} {sponsor:?}: settle later", asset.symbol);
    }
}

/// Two hundred settlements in flight cost one request for each look, and two more for sending them again.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_in_flight_cost_three_requests_a_look() {
    let rig = ClusterRig::with(|config| {
        config.answer_within = Duration::from_millis(100);
        config.max_open_per_payer = 200;
        solana(config).poll = Duration::from_millis(250);
    })
    .await;
    rig.chain.set_slot_time(BlockTime::Manual);
    rig.chain.set_delivery(Delivery::Drop);
    let payments: Vec<_> = (0..200).map(|number| rig.payment(PAYER + number % 4, &rig.usdc, PRICE, None)).collect();
    // Some are answered before they are claimed; what was asked for goes on.
    join_all(payments.iter().map(|payment| settle(&rig, payment, &rig.usdc, Some("shop")))).await;
    until("all are sent", async || rig.chain.sent().len() >= 200).await;
    // Until everything was sent again at least once.
    rig.chain.faults().reset_counts();
    until("all are sent again", async || calls(&rig, "sendTransaction") >= 200).await;
    let (looks, requests) = (calls(&rig, "getSignatureStatuses"), rig.chain.faults().requests());
    assert!(requests <= 3 * looks, "{requests} requests in {looks} looks");
    assert!(calls(&rig, "getBlockHeight") >= looks);
}
