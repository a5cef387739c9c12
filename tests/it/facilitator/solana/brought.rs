//! Transactions that come to the cluster before us, or that it forgets again.

use super::{PRICE, send, settle, signature, until_state, verify};
use crate::facilitator::until;
use h402_devnet::solana::{BlockTime, Delivery, Orphans, SolanaChain, SolanaConfig};
use h402_tests::cluster::{ClusterRig, PAYER};
use std::time::Duration;

/// T050, T088: whoever watches the chain sees a transfer to the payee before its block is confirmed, bytes and signatures,
/// and could present it as a payment of his own. Once the node has it in any block, nobody can. The twin is in none.
#[tokio::test(flavor = "multi_thread")]
async fn t050_t088_a_transaction_that_is_on_its_way_buys_nothing() {
    let chain = SolanaChain::start(SolanaConfig::default().slot_time(BlockTime::Manual)).await.unwrap();
    let rig = ClusterRig::on(&chain, Vec::new(), Box::new(|_| ())).await;
    for asset in [&rig.sol, &rig.usdc] {
        let twin = rig.payment(PAYER, asset, PRICE, None);
        assert!(verify(&rig, &twin, asset, Some("shop")).await.is_valid());
        let before = rig.received(asset);
        let watched = rig.payment(PAYER, asset, PRICE, None);
        send(&rig, &watched).await;
        assert_eq!(u128::from(rig.received(asset) - before), PRICE, "in a block, and not confirmed");
        for reply in [verify(&rig, &watched, asset, Some("thief")).await, settle(&rig, &watched, asset, Some("thief")).await] {
            assert_eq!(reply.word(), "transfer_reverts", "{reply:?}");
        }
        rig.chain.advance_slots(2);
        assert_eq!(verify(&rig, &watched, asset, Some("thief")).await.word(), "transfer_reverts");
        assert_eq!(settle(&rig, &watched, asset, Some("thief")).await.word(), "transfer_reverts");
    }
}

/// T076, T045: a payment that its payer sent is settled, then its block is gone, and it never comes back: it ends, too.
#[tokio::test(flavor = "multi_thread")]
async fn t045_t076_a_payment_that_its_payer_sent_ends_when_its_block_is_gone() {
    for comes_back in [true, false] {
        let rig = ClusterRig::start().await;
        let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
        let verified = verify(&rig, &payment, &rig.usdc, Some("shop")).await;
        send(&rig, &payment).await;
        rig.clock.advance(Duration::from_secs(10));
        assert!(settle(&rig, &payment, &rig.usdc, Some("shop")).await.is_settled());
        rig.chain.set_delivery(if comes_back { Delivery::Land } else { Delivery::Drop });
        assert!(rig.chain.fork_away(&signature(&payment), Orphans::Drop));
        rig.chain.advance_slots(3);
        if comes_back {
            until("it is there again", async || rig.chain.outcome(&signature(&payment)).is_some()).await;
            rig.chain.finalize();
            until_state(&rig, &verified.payment_id(), "final").await;
            continue;
        }
        until_state(&rig, &verified.payment_id(), "reorged").await;
        (0..3).for_each(|_| rig.chain.expire_blockhashes());
        until_state(&rig, &verified.payment_id(), "abandoned").await;
        assert!(rig.chain.outcome(&signature(&payment)).is_none());
    }
}
