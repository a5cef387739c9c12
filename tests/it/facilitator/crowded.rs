//! More open payments than there is room for in memory: the ledger has the others, and none is forgotten.

use super::{PRICE, Reply, settle, settle_until_ended, transfers, until, verify};
use alloy_primitives::U256;
use futures_util::future::join_all;
use h402_core::{Network, PaymentPayload, Store as _};
use h402_devnet::{
    Orphans,
    evm::{BlockTime, account},
};
use h402_facilitator::EngineConfig;
use h402_tests::rig::{self, PAYER, Rig, RigOptions};
use std::time::Duration;

/// Held for good; one more comes and goes.
const ROOM: usize = 2;
const OPEN: usize = 30;
const FINAL: u64 = 6;
/// An account that holds no tokens at first.
const POOR: usize = 9;

/// A facilitator on a chain without blocks of its own, that answers soon.
async fn crowded() -> Rig {
    let engine = Box::new(|config: &mut EngineConfig| {
        config.open_in_memory = ROOM;
        config.max_open_per_payer = 1024;
        config.answer_within = Duration::from_millis(100);
        rig::evm(config).final_depth = FINAL;
    });
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

/// Many payments that are sent and wait for a block.
async fn waiting(rig: &Rig, payer: impl Fn(usize) -> usize) -> Vec<PaymentPayload> {
    let payments: Vec<PaymentPayload> = (0..OPEN).map(|index| rig.payment(payer(index), PRICE)).collect();
    // A few at once: some of them go alone and some together.
    for some in payments.chunks(5) {
        // On a busy machine the time for an answer may be over before a payment is claimed.
        let is_claimed = async |payment| settle(rig, payment, Some("shop-1")).await.word() == "settlement_pending";
        join_all(some.iter().map(|payment| until("it is claimed", async || is_claimed(payment).await))).await;
    }
    until("all are sent", async || states(rig).await == [("broadcast", OPEN)]).await;
    payments
}

/// The states of the ledger's open payments, and how many are in each.
async fn states(rig: &Rig) -> Vec<(&'static str, usize)> {
    let open = rig.store.unfinished(Network::Evm(rig.chain.chain_id()), None, 1000).await.unwrap();
    let mut states: Vec<&'static str> = open.iter().map(|row| row.state.as_str()).collect();
    states.sort_unstable();
    states.chunk_by(|one, other| one == other).map(|some| (some[0], some.len())).collect()
}

async fn all_settle(rig: &Rig, payments: &[PaymentPayload]) {
    let replies: Vec<Reply> = join_all(payments.iter().map(|payment| settle_until_ended(rig, payment, Some("shop-1")))).await;
    for reply in replies {
        assert!(reply.is_settled(), "{reply:?}");
    }
    assert_eq!(transfers(rig), payments.len(), "each once");
}

/// T014, T057: payments far beyond what is held settle, lose their block, are brought back and become final, each once: in a
/// process that has claimed them, and in one that has found them in its ledger.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t057_what_is_not_held_is_driven_to_its_end() {
    join_all([false, true].map(async |restarted| {
        let mut rig = crowded().await;
        let payments = waiting(&rig, |index| PAYER + index % 5).await;
        if restarted {
            rig.restart().await;
        }
        rig.chain.mine().await;
        until("all are in a block", async || states(&rig).await == [("included", OPEN)]).await;
        assert_eq!(rig.chain.reorg(1, Orphans::Drop), 1);
        assert_eq!(transfers(&rig), 0);
        // Only another block in its place proves that it is gone.
        rig.chain.mine().await;
        if restarted {
            rig.restart().await;
        }
        until("all have lost it", async || states(&rig).await == [("reorged", OPEN)]).await;
        until("what was sent is sent again", async || {
            rig.chain.mine().await;
            transfers(&rig) == OPEN
        })
        .await;
        all_settle(&rig, &payments).await;
        until("all of it is final", async || {
            rig.chain.mine().await;
            states(&rig).await.is_empty()
        })
        .await;
        assert_eq!(transfers(&rig), OPEN);
    }))
    .await;
}

/// T024: what payments promise that are not held counts against the next of their payer, after a restart as before it; and no
/// more than that.
#[tokio::test(flavor = "multi_thread")]
async fn t024_what_is_not_held_is_promised_all_the_same() {
    for (restarted, more) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
        let mut rig = crowded().await;
        let held = PRICE * u128::try_from(OPEN + more).unwrap();
        rig.chain.mint(rig.chain.usdc(), account(POOR).address, U256::from(held)).unwrap();
        let payments = waiting(&rig, |_| POOR).await;
        if restarted {
            rig.restart().await;
        }
        let next = verify(&rig, &rig.payment(POOR, PRICE), Some("shop-2")).await;
        assert_eq!(next.is_valid(), more == 1, "{next:?}, restarted: {restarted}");
        if more == 0 {
            assert_eq!(next.word(), "insufficient_funds");
        }
        rig.chain.mine().await;
        all_settle(&rig, &payments).await;
    }
}
