//! Several keys that settle on one network.

use super::*;
use h402_facilitator::Signer;
use h402_tests::rig::key;

/// The second key.
const SPARE: usize = 8;

async fn two_keys(block_time: BlockTime) -> Rig {
    let engine: rig::Configure = Box::new(|config| {
        config.answer_within = Duration::from_millis(400);
        rig::evm(config).signers.push(Signer::Local(key(SPARE)));
    });
    Rig::with(RigOptions { block_time, engine, ..RigOptions::default() }).await
}

fn sent_by(rig: &Rig, index: usize) -> u64 {
    rig.chain.nonce(account(index).address)
}

/// The first key settles as long as it has nothing to do; while its transaction waits, the second does.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_with_the_least_to_do_settles() {
    let rig = two_keys(BlockTime::Manual).await;
    let payments = [rig.payment(PAYER, PRICE), rig.payment(PAYER, PRICE)];
    for (index, payment) in payments.iter().enumerate() {
        assert_eq!(settle(&rig, payment, Some(&format!("shop-{index}"))).await.word(), "settlement_pending");
    }
    rig.chain.mine().await;
    for (index, payment) in payments.iter().enumerate() {
        let settled = super::super::settle_until_ended(&rig, payment, Some(&format!("shop-{index}"))).await;
        assert!(settled.is_settled(), "{settled:?}");
    }
    assert_eq!((sent_by(&rig, GAS), sent_by(&rig, SPARE)), (1, 1));
}

/// T145: a key without coin is passed over; with no coin anywhere payments are refused before anything is claimed, and
/// the facilitator says that it is not ready. With coin again it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn t145_a_drained_key_is_passed_over_and_drained_keys_take_nothing() {
    let mut rig = two_keys(BlockTime::Auto).await;
    rig.chain.set_balance(account(GAS).address, U256::ZERO).unwrap();
    rig.restart().await;
    let first = settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await;
    assert!(first.is_settled(), "{first:?}");
    assert_eq!((sent_by(&rig, GAS), sent_by(&rig, SPARE)), (0, 1));

    rig.chain.set_balance(account(SPARE).address, U256::ZERO).unwrap();
    rig.stop().await;
    rig.reopen().await;
    until("recovered", async || !rig.get("/ready").await.1.contains("starting")).await;
    let (status, text) = rig.get("/ready").await;
    assert_eq!(status, 503, "{text}");
    let payment = rig.payment(PAYER, PRICE);
    let refused = settle(&rig, &payment, Some("shop-2")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let claimed = rig.engine.payment(&super::super::matched(&rig, &payment).key()).await.unwrap();
    assert_eq!(claimed, None, "nothing was claimed");

    rig.chain.set_balance(account(GAS).address, U256::from(10).pow(U256::from(18))).unwrap();
    until("ready", async || rig.get("/ready").await.0 == 200).await;
    let settled = settle(&rig, &payment, Some("shop-2")).await;
    assert!(settled.is_settled(), "{settled:?}");
    assert_eq!((sent_by(&rig, GAS), sent_by(&rig, SPARE)), (1, 1));
}

/// T145: not ready below what twenty settlements may cost: 20 x 150 000 gas at the fee that would be offered.
#[tokio::test(flavor = "multi_thread")]
async fn t145_it_is_not_ready_below_twenty_settlements_of_gas() {
    let rig = Rig::start().await;
    let fees = rig::network(&rig.chain).chain.fees().await.unwrap();
    let twenty = U256::from(20 * 150_000 * fees.max_fee_per_gas);
    rig.chain.set_balance(account(GAS).address, twenty - U256::from(1)).unwrap();
    assert_eq!(rig.get("/ready").await.0, 503);
    assert!(settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await.is_settled(), "it can still pay for some");
    rig.chain.set_balance(account(GAS).address, twenty * U256::from(2)).unwrap();
    assert_eq!(rig.get("/ready").await.0, 200);
}

/// T144: what was signed goes on with the key that signed it, also after a restart; new payments with the one that has
/// less to do.
#[tokio::test(flavor = "multi_thread")]
async fn t144_after_a_restart_each_lane_goes_on_with_its_own() {
    let mut rig = two_keys(BlockTime::Manual).await;
    let payments: Vec<_> = (0..3).map(|_| rig.payment(PAYER, PRICE)).collect();
    for payment in &payments {
        assert_eq!(settle(&rig, payment, Some("shop-1")).await.word(), "settlement_pending");
    }
    let mut pending = rig.chain.pending();
    pending.sort_unstable();
    assert_eq!(pending.len(), 3);
    rig.stop().await;
    for hash in &pending {
        assert!(rig.chain.drop_pending(*hash));
    }
    rig.reopen().await;
    rig.until_ready().await;
    until("the same bytes wait again", async || {
        let mut again = rig.chain.pending();
        again.sort_unstable();
        again == pending
    })
    .await;
    let next = rig.payment(PAYER, PRICE);
    assert_eq!(settle(&rig, &next, Some("shop-2")).await.word(), "settlement_pending");
    rig.chain.mine().await;
    for (payment, caller) in payments.iter().map(|payment| (payment, "shop-1")).chain([(&next, "shop-2")]) {
        let settled = super::super::settle_until_ended(&rig, payment, Some(caller)).await;
        assert!(settled.is_settled(), "{settled:?}");
    }
    assert_eq!((sent_by(&rig, GAS), sent_by(&rig, SPARE)), (2, 2));
    assert_eq!(transfers(&rig), 4);
}
