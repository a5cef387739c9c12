//! Transactions that carry several payments, and blocks that are dropped.

use super::*;
use h402_devnet::Orphans;

/// T057, T149: the block of many payments in one transaction is dropped, alone or with the one before. The same bytes are in a
/// block again two blocks later at most, and each payment is made once.
#[tokio::test(flavor = "multi_thread")]
async fn t057_t149_many_payments_whose_block_is_dropped_land_again() {
    for depth in [1, 2] {
        let rig = patient(true).await;
        let (mut crowd, gate) = Crowd::behind(&rig).await;
        for index in 0..20 {
            crowd.settle(lucky(&rig, index));
        }
        crowd.until_claimed(20).await;
        gate.open();
        crowd.until_sent(20).await;
        rig.chain.mine().await;
        all_settled(&crowd.ended().await);
        let sent = broadcasts(&rig);
        assert_eq!(rig.chain.reorg(depth, Orphans::Drop), depth);
        let dropped = rig.chain.block_number();
        // Another block is in the place of the first that was dropped.
        rig.chain.mine().await;
        // The first payment was in a block of its own.
        let lost = if depth == 1 { 20 } else { 21 };
        until("all are missed", async || states(&rig).await.get("reorged") == Some(&lost)).await;
        until("the same bytes wait", async || broadcasts(&rig) + rig.chain.pending().len() as u64 == sent).await;
        rig.chain.mine().await;
        until("all are there", async || states(&rig).await == BTreeMap::from([("included", 21)])).await;
        assert!(rig.chain.block_number() <= dropped + 2);
        assert_eq!((broadcasts(&rig), transfers(&rig)), (sent, 21));
    }
}
