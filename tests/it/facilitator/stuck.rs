//! Nonces of the facilitator's key that do not get into a block, where only our own chain can be bent so far.

use super::{PRICE, broadcasts, settle, settle_until_ended, told, transfers, until, until_pending, verify};
use alloy_primitives::B256;
use h402_core::{Network, PaymentPayload, Store, TransactionId, TransactionRow, evm::EvmTransaction};
use h402_devnet::{
    Orphans,
    evm::{BlockTime, account},
    fault::{Fault, Times},
};
use h402_facilitator::EngineConfig;
use h402_tests::{
    rig::{self, GAS, PAYER, Rig, RigOptions},
    transactions::GWEI,
};
use serde_json::json;
use std::time::Duration;

const SPIKE: u64 = 30_000_000_000;

async fn with(configure: impl Fn(&mut EngineConfig) + Send + Sync + 'static) -> Rig {
    let engine = Box::new(move |config: &mut EngineConfig| {
        config.answer_within = Duration::from_millis(400);
        configure(config);
    });
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

/// What is stored and not known to be mined, in the order of nonces and signatures.
async fn stored(rig: &Rig) -> Vec<TransactionRow> {
    rig.store.lane(Network::Evm(rig.chain.chain_id()), &account(GAS).address, 0, u32::MAX).await.unwrap().open
}

fn hash(row: &TransactionRow) -> B256 {
    let TransactionId::Evm(hash) = row.id else { panic!("{:?}", row.id) };
    hash
}

/// Settles a payment that no block comes for; the transaction that was sent.
async fn pending(rig: &Rig, payment: &PaymentPayload) -> B256 {
    let had = stored(rig).await.len();
    // On a busy machine the time for an answer may be over before anything is signed.
    settle(rig, payment, Some("shop-1")).await;
    let hash = hash(until_stored(rig, had + 1).await.last().unwrap());
    until("it waits", async || rig.chain.pending().contains(&hash)).await;
    hash
}

async fn until_stored(rig: &Rig, count: usize) -> Vec<TransactionRow> {
    until(&format!("{count} are stored"), async || stored(rig).await.len() == count).await;
    stored(rig).await
}

/// An empty block that nothing of ours can pay for.
async fn spike(rig: &Rig, base_fee: u64) {
    rig.chain.set_next_base_fee(base_fee);
    rig.chain.mine().await;
    // Signatures are this old before anything is raised.
    rig.clock.advance(Duration::from_secs(3));
}

/// T144, G04: the fee was raised, and the first is mined all the same, because the base fee fell again: also after a restart
/// the payment is settled, in the one that was mined, once.
#[tokio::test(flavor = "multi_thread")]
async fn t144_any_of_the_rivals_may_be_mined() {
    for restarted in [false, true] {
        let mut rig = with(|_| ()).await;
        let payment = rig.payment(PAYER, PRICE);
        let first = pending(&rig, &payment).await;
        spike(&rig, SPIKE).await;
        let rivals = until_stored(&rig, 2).await;
        assert_eq!(hash(&rivals[0]), first);
        assert_eq!(rivals[0].nonce, rivals[1].nonce);
        assert_eq!(rivals[0].payments, rivals[1].payments);
        let second = hash(&rivals[1]);
        until("the dearer one waits", async || rig.chain.pending() == [second]).await;
        if restarted {
            rig.stop().await;
        }
        assert!(rig.chain.drop_pending(second));
        rig.chain.set_next_base_fee(1_000_000_000);
        rig.submit(&rivals[0].raw).await.unwrap();
        rig.chain.mine().await;
        if restarted {
            rig.reopen().await;
            rig.until_ready().await;
        }
        let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
        // The dearer one may have been sent again before the block came.
        let mined = if rig.chain.outcome(first).is_some() { first } else { second };
        assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(mined)), "{settled:?}");
        assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
        // What is mined is noted of both.
        settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-2")).await;
        until("the rivals are done", async || stored(&rig).await.iter().map(|row| row.nonce).collect::<Vec<_>>() == [1]).await;
    }
}

/// T144: a fee is raised five times, by an eighth at least each time, and then no more; and never above the operator's limit.
#[tokio::test(flavor = "multi_thread")]
async fn t144_fees_are_raised_five_times_and_to_the_limit() {
    let limit = 40 * GWEI;
    let (patient, limited) = tokio::join!(
        with(|config| rig::evm(config).max_fee_per_gas = 100_000 * GWEI),
        with(move |config| rig::evm(config).max_fee_per_gas = limit)
    );
    let five = async {
        pending(&patient, &patient.payment(PAYER, PRICE)).await;
        for raises in 1..=5 {
            spike(&patient, SPIKE * 3_u64.pow(raises)).await;
            until_stored(&patient, 1 + usize::try_from(raises).unwrap()).await;
        }
        let fees: Vec<u128> = stored(&patient).await.iter().map(|row| EvmTransaction::decode(&row.raw).unwrap().max_fee_per_gas).collect();
        assert!(fees.windows(2).all(|pair| 8 * pair[1] >= 9 * pair[0]), "{fees:?}");
        unraised(&patient, SPIKE * 3_u64.pow(6), 6).await;
    };
    let at_limit = async {
        pending(&limited, &limited.payment(PAYER, PRICE)).await;
        spike(&limited, SPIKE).await;
        let rivals = until_stored(&limited, 2).await;
        assert_eq!(EvmTransaction::decode(&rivals[1].raw).unwrap().max_fee_per_gas, limit);
        unraised(&limited, 2 * SPIKE, 2).await;
        // It is mined once the fee falls.
        limited.chain.set_next_base_fee(SPIKE);
        until_pending(&limited, 1).await;
        limited.chain.mine().await;
        until("it is mined", async || broadcasts(&limited) == 1).await;
    };
    tokio::join!(five, at_limit);
}

/// A spike that nothing is signed for any more, looked at a few times.
async fn unraised(rig: &Rig, base_fee: u64, stored_before: usize) {
    spike(rig, base_fee).await;
    let looked = || rig.chain.faults().calls("eth_getTransactionCount");
    let before = looked();
    until("it was looked at", async || looked() >= before + 2).await;
    assert_eq!(stored(rig).await.len(), stored_before);
}

/// T144: a payment expires while its transaction cannot be mined. No more is paid for it: its nonce is filled by nothing, and
/// those after it go on.
#[tokio::test(flavor = "multi_thread")]
async fn t144_no_fee_is_raised_for_what_has_expired() {
    let rig = with(|_| ()).await;
    let lapsing = rig.payment(PAYER, PRICE);
    let id = verify(&rig, &lapsing, Some("shop-1")).await.payment_id();
    pending(&rig, &lapsing).await;
    rig.clock.advance(Duration::from_secs(130));
    spike(&rig, SPIKE).await;
    let rivals = until_stored(&rig, 2).await;
    let filling = EvmTransaction::decode(&rivals[1].raw).unwrap();
    assert_eq!((filling.nonce, filling.to, filling.gas_limit), (rivals[0].nonce, Some(account(GAS).address), 21_000));
    assert!(filling.input.is_empty() && rivals[1].payments.is_empty());
    until("it waits", async || rig.chain.pending() == [hash(&rivals[1])]).await;
    rig.chain.mine().await;
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 0));
    rig.chain.advance_time(300);
    rig.chain.mine().await;
    until("it has ended", async || told(&rig, &id).await["state"] == "abandoned").await;
}

/// G09, T144: a payment lapses, and the nodes forget what was signed for it. It goes out again although no payment is open any
/// more: the next one would wait for its nonce.
#[tokio::test(flavor = "multi_thread")]
async fn t144_a_nonce_is_used_up_though_no_payment_waits_for_it() {
    let rig = with(|_| ()).await;
    let payment = rig.payment(PAYER, PRICE);
    let id = verify(&rig, &payment, Some("shop-1")).await.payment_id();
    let hash = pending(&rig, &payment).await;
    assert!(rig.chain.drop_pending(hash));
    rig.chain.advance_time(300);
    rig.chain.mine().await;
    until("it has ended", async || told(&rig, &id).await["state"] == "abandoned").await;
    for dropped in rig.chain.pending() {
        assert!(rig.chain.drop_pending(dropped));
    }
    until("it waits for a block again", async || rig.chain.pending() == [hash]).await;
    rig.chain.mine().await;
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 0));
    until("it is over", async || stored(&rig).await.is_empty()).await;
}

/// G09, T144: a nonce that nothing is stored for holds up all later ones: it is filled by nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t144_a_hole_in_the_nonces_is_filled() {
    let mut rig = with(|_| ()).await;
    rig.stop().await;
    // Somebody uses the key, and the block is dropped after the lane has gone on from there.
    rig.send(GAS, rig.native_transfer(GAS, account(5).address, 1)).await;
    rig.chain.mine().await;
    rig.reopen().await;
    rig.until_ready().await;
    let payment = rig.payment(PAYER, PRICE);
    let hash = pending(&rig, &payment).await;
    assert_eq!(stored(&rig).await.iter().map(|row| row.nonce).collect::<Vec<_>>(), [1]);
    assert_eq!(rig.chain.reorg(1, Orphans::Drop), 1);
    let all = until_stored(&rig, 2).await;
    assert_eq!((all[0].nonce, all[0].payments.len()), (0, 0));
    until_pending(&rig, 2).await;
    rig.chain.mine().await;
    let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
    assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(hash)), "{settled:?}");
    assert_eq!((broadcasts(&rig), transfers(&rig)), (2, 1));
}

/// T144, G09: a node that is behind tells an old count of the key's transactions, also at a start. No nonce is given twice.
#[tokio::test(flavor = "multi_thread")]
async fn t144_an_old_count_lowers_no_nonce() {
    let mut rig = Rig::start().await;
    for restarted in [false, true] {
        let settled = settle_until_ended(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await;
        assert!(settled.is_settled(), "{settled:?}");
        rig.chain.faults().add("eth_getTransactionCount", Fault::Answer(json!("0x0")), Times::Always);
        if restarted {
            rig.restart().await;
        }
        for shop in ["shop-2", "shop-3"] {
            let settled = settle_until_ended(&rig, &rig.payment(PAYER, PRICE), Some(shop)).await;
            assert!(settled.is_settled(), "{settled:?}");
        }
        rig.chain.faults().clear();
    }
    assert_eq!((broadcasts(&rig), transfers(&rig)), (6, 6));
}
