//! Transactions that carry several payments, and one more that was signed for the same nonce.

use super::*;
use h402_core::{Amount, Network, TransactionId, TransactionRow};

/// What is stored and not known to be over, in the order of nonces and signatures.
async fn stored(rig: &Rig) -> Vec<TransactionRow> {
    rig.store.lane(Network::Evm(rig.chain.chain_id()), &account(GAS).address, 0, 1000).await.unwrap().open
}

/// T144: the fee of a transaction with a small and a large payment was raised, and the first is mined all the same. The small
/// one is settled at once, the large one waits for its depth: meanwhile nobody else is believed to have used the nonce, also
/// after a restart, and nothing is signed for it a second time.
#[tokio::test(flavor = "multi_thread")]
async fn t144_a_large_payment_in_a_raised_transaction_is_not_signed_anew() {
    const DEPTH: u64 = 6;
    let chain = Chain::builder().block_time(BlockTime::Manual).start().await.unwrap();
    let patience = patience(&chain, true);
    let engine = Box::new(move |config: &mut EngineConfig| {
        patience(config);
        let asset = config.assets.iter().next().unwrap().id.address;
        rig::evm(config).large_amounts = vec![(asset, Amount::from_atomic(2 * PRICE))];
        rig::evm(config).final_depth = DEPTH;
    });
    let rig = Arc::new(Rig::with(RigOptions { engine, chain: Some(chain), ..RigOptions::default() }).await);
    let (mut crowd, gate) = Crowd::behind(&rig).await;
    crowd.settle(rig.payment(PAYER, PRICE));
    let large = rig.payment(PAYER + 1, 2 * PRICE);
    crowd.settle(large.clone());
    crowd.until_claimed(2).await;
    gate.open();
    crowd.until_sent(2).await;
    let [first] = rig.chain.pending()[..] else { panic!("one transaction") };
    rig.chain.set_next_base_fee(30_000_000_000);
    rig.chain.mine().await;
    // Signatures are this old before anything is raised.
    rig.clock.advance(Duration::from_secs(3));
    until("the fee is raised", async || stored(&rig).await.iter().filter(|row| row.nonce == 1).count() == 2).await;
    let rivals: Vec<TransactionRow> = stored(&rig).await.into_iter().filter(|row| row.nonce == 1).collect();
    let TransactionId::Evm(second) = rivals[1].id else { panic!("{:?}", rivals[1].id) };
    until("the dearer one waits", async || rig.chain.pending() == [second]).await;
    assert!(rig.chain.drop_pending(second));
    rig.chain.set_next_base_fee(1_000_000_000);
    rig.submit(&rivals[0].raw).await.unwrap();
    let block = rig.chain.mine().await;
    // The dearer one may have been sent again before the block came.
    let mined = if rig.chain.outcome(first).is_some() { first } else { second };
    until("the small one is settled", async || states(&rig).await.get("included") == Some(&2)).await;
    crowd.settling.iter().for_each(JoinHandle::abort);
    join_all(std::mem::take(&mut crowd.settling)).await;
    drop(crowd);
    let mut rig = restarts::until_alone(rig).await;
    for restarted in [false, true] {
        if restarted {
            rig.restart().await;
        }
        // By now a stranger would be believed.
        rig.chain.mine().await;
        let looked = rig.chain.faults().calls("eth_getTransactionCount");
        until("it was looked at", async || rig.chain.faults().calls("eth_getTransactionCount") >= looked + 6).await;
        assert_eq!(stored(&rig).await.iter().map(|row| row.nonce).max(), Some(1), "{restarted}");
    }
    while rig.chain.block_number() + 1 < block + DEPTH {
        rig.chain.mine().await;
    }
    let settled = settle(&rig, &large, Some("shop-1")).await;
    assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(mined)), "{settled:?}");
    assert_eq!((broadcasts(&rig), transfers(&rig)), (2, 3));
}
