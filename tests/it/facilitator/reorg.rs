//! Blocks that are dropped from the chain, at every stage of a settlement.

use super::{PRICE, broadcasts, settle, settle_until_ended, told, transfers, until, until_pending, verify};
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, TxKind, U256};
use h402_core::{Amount, Authorization, PaymentPayload};
use h402_devnet::{
    Orphans,
    evm::{BlockTime, account},
};
use h402_facilitator::EngineConfig;
use h402_tests::{
    rig::{self, PAYER, Rig, RigOptions},
    transactions::{GWEI, sign},
};
use std::time::Duration;

const FINAL: u64 = 8;

/// A facilitator on a chain without blocks of its own, that answers soon.
async fn with(configure: impl Fn(&mut EngineConfig) + Send + Sync + 'static) -> Rig {
    let engine = Box::new(move |config: &mut EngineConfig| {
        config.answer_within = Duration::from_millis(400);
        rig::evm(config).final_depth = FINAL;
        configure(config);
    });
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

/// Settles a payment that no block comes for; the transaction that was sent.
async fn pending(rig: &Rig, payment: &PaymentPayload) -> B256 {
    let id = verify(rig, payment, Some("shop-1")).await.payment_id();
    // On a busy machine the time for an answer may be over before anything is signed.
    settle(rig, payment, Some("shop-1")).await;
    until("it was sent", async || told(rig, &id).await["transaction"].is_string()).await;
    let hash = told(rig, &id).await["transaction"].as_str().unwrap().parse().unwrap();
    until("it waits", async || rig.chain.pending().contains(&hash)).await;
    hash
}

async fn until_state(rig: &Rig, id: &str, state: &str) {
    until(state, async || told(rig, id).await["state"] == state).await;
}

/// Settles a payment, in a block with `above` blocks on it.
async fn settled(rig: &Rig, payment: &PaymentPayload, above: usize) -> (String, B256) {
    let id = verify(rig, payment, Some("shop-1")).await.payment_id();
    let hash = pending(rig, payment).await;
    rig.chain.mine().await;
    assert!(settle_until_ended(rig, payment, Some("shop-1")).await.is_settled());
    for _ in 0..above {
        rig.chain.mine().await;
    }
    (id, hash)
}

/// T057, T149: whatever number of blocks is dropped above a settlement, with its transaction or without, and whether anybody
/// was looking then: the same bytes are in a block at most two blocks later, and the payment is made once.
#[tokio::test(flavor = "multi_thread")]
async fn t057_t149_a_settlement_whose_block_is_dropped_lands_again() {
    let cases = (1..=5).flat_map(|depth| [(depth, Orphans::Drop, false), (depth, Orphans::Return, false), (depth, Orphans::Drop, true)]);
    let all = futures_util::future::join_all(cases.map(async |(depth, orphans, restarted)| {
        let mut rig = with(|_| ()).await;
        let payment = rig.payment(PAYER, PRICE);
        let (id, hash) = settled(&rig, &payment, depth - 1).await;
        if restarted {
            rig.stop().await;
        }
        assert_eq!(rig.chain.reorg(depth, orphans), depth);
        assert_eq!(transfers(&rig), 0);
        let dropped = rig.chain.block_number();
        if restarted {
            rig.reopen().await;
        }
        if matches!(orphans, Orphans::Drop) {
            // Only another block in its place proves that it is gone.
            rig.chain.mine().await;
        }
        if matches!(orphans, Orphans::Drop) && !restarted {
            until_state(&rig, &id, "reorged").await;
            let pending = settle(&rig, &payment, Some("shop-1")).await;
            assert_eq!((pending.word().as_str(), pending.transaction()), ("settlement_pending", Some(hash)), "{depth}");
        }
        until_pending(&rig, 1).await;
        assert_eq!(rig.chain.pending(), [hash], "the same bytes, {depth} {orphans:?}");
        rig.chain.mine().await;
        until_state(&rig, &id, "included").await;
        assert!(rig.chain.block_number() <= dropped + 2);
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await.transaction(), Some(hash));
        for _ in 1..FINAL {
            rig.chain.mine().await;
        }
        until_state(&rig, &id, "final").await;
        assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
    }))
    .await;
    assert_eq!(all.len(), 15);
}

/// T057: at a depth of three a block that is dropped before its third has told nobody anything. The payment is pending until
/// it is in another, three deep.
#[tokio::test(flavor = "multi_thread")]
async fn t057_a_block_dropped_before_it_counts_was_never_told() {
    let rig = with(|config| rig::evm(config).accept_depth = 3).await;
    let payment = rig.payment(PAYER, PRICE);
    let hash = pending(&rig, &payment).await;
    for round in 0..2 {
        until_pending(&rig, 1).await;
        rig.chain.mine().await;
        rig.chain.mine().await;
        assert_eq!(transfers(&rig), 1);
        assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "settlement_pending", "{round}");
        if round == 0 {
            assert_eq!(rig.chain.reorg(2, Orphans::Drop), 2);
            rig.chain.mine().await;
        }
    }
    rig.chain.mine().await;
    let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
    assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(hash)), "{settled:?}");
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
}

/// T057: above an amount that the operator names, a settlement is answered only once it is final; below it at once.
#[tokio::test(flavor = "multi_thread")]
async fn t057_a_large_amount_is_settled_when_it_is_final() {
    let rig = with(|config| {
        let asset = config.assets.iter().next().unwrap().id.address;
        rig::evm(config).large_amounts = vec![(asset, Amount::from_atomic(2 * PRICE))];
    })
    .await;
    let (small, large) = (rig.payment(PAYER, PRICE), rig.payment(PAYER, 2 * PRICE));
    for payment in [&small, &large] {
        pending(&rig, payment).await;
    }
    rig.chain.mine().await;
    assert!(settle_until_ended(&rig, &small, Some("shop-1")).await.is_settled());
    for _ in 1..FINAL {
        assert_eq!(settle(&rig, &large, Some("shop-1")).await.word(), "settlement_pending");
        rig.chain.mine().await;
    }
    assert!(settle_until_ended(&rig, &large, Some("shop-1")).await.is_settled());
}

/// What the payer does with the nonce of an authorization before our transaction comes again: pays somebody else.
fn elsewhere(rig: &Rig, authorization: Authorization) -> TxEip1559 {
    let thief = account(6).address;
    let domain = rig.asset.eip712_domain().unwrap();
    let signed = rig::key(PAYER).sign_authorization(Authorization { to: thief, ..authorization }, &domain).unwrap();
    let payload = rig.payload(h402_core::Payload::Authorization(signed));
    let requirements = super::requirements(&rig.asset, thief, PRICE);
    let body = h402_core::wire::h402::encode_request(&payload, &requirements).unwrap();
    let matched = h402_core::wire::h402::decode_request(&body, rig.engine.assets()).unwrap().matched().unwrap();
    let (_, input) = h402_facilitator::evm::EvmChain::settlement_call(&matched).unwrap();
    TxEip1559 {
        to: TxKind::Call(rig.chain.usdc()),
        value: U256::ZERO,
        input,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: 50 * GWEI,
        ..rig.native_transfer(PAYER, thief, 0)
    }
}

/// T149: the payer's money went elsewhere in the branch that won. The payment was delivered for and cannot come back: it ends
/// as lost, which the ledger keeps and tells, also after a restart, and nobody is charged again.
#[tokio::test(flavor = "multi_thread")]
async fn t149_a_settlement_that_cannot_come_back_is_a_debt() {
    for own_transaction in [false, true] {
        let mut rig = with(|_| ()).await;
        let authorization = rig.authorization(PAYER, PRICE);
        let conflicting = if own_transaction {
            let other = rig.native_transfer(PAYER, account(6).address, 1);
            TxEip1559 { max_fee_per_gas: 100 * GWEI, max_priority_fee_per_gas: 50 * GWEI, ..other }
        } else {
            elsewhere(&rig, authorization.clone())
        };
        let payment = if own_transaction {
            rig.by_transaction(PAYER, &sign(PAYER, rig.token_transfer(PAYER, account(rig::PAYEE).address, PRICE)))
        } else {
            rig.signed(PAYER, authorization)
        };
        let (id, hash) = settled(&rig, &payment, 0).await;
        rig.chain.reorg(1, Orphans::Drop);
        rig.chain.mine().await;
        until_state(&rig, &id, "reorged").await;
        rig.send(PAYER, conflicting).await;
        if !own_transaction {
            // Both in one block: the payer pays more to be the first.
            until_pending(&rig, 2).await;
        }
        for _ in 0..FINAL + 1 {
            rig.chain.mine().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ended = if own_transaction { "abandoned" } else { "failed" };
        until_state(&rig, &id, ended).await;
        rig.restart().await;
        let told = told(&rig, &id).await;
        assert_eq!((told["state"].as_str().unwrap(), told["transaction"].as_str().unwrap()), (ended, hash.to_string().as_str()));
        assert!(told["error"].as_str().unwrap().starts_with("payment_lost: "), "{told}");
        let answer = settle(&rig, &payment, Some("shop-1")).await;
        assert_eq!((answer.is_settled(), answer.word().as_str()), (false, "payment_lost"), "{answer:?}");
        assert_eq!(transfers(&rig), 0);
        assert!(rig.engine.ready().await.is_ready(), "one payer's debt stops nobody else");
        let honest = rig.payment(PAYER + 1, PRICE);
        pending(&rig, &honest).await;
        rig.chain.mine().await;
        assert!(settle_until_ended(&rig, &honest, Some("shop-1")).await.is_settled());
    }
}

/// T057: a payment that failed in a block that was dropped has not failed for good: what becomes of the same bytes counts.
#[tokio::test(flavor = "multi_thread")]
async fn t057_a_failure_whose_block_is_dropped_is_looked_at_again() {
    let rig = with(|_| ()).await;
    let payment = rig.payment(PAYER, PRICE);
    let id = verify(&rig, &payment, Some("shop-1")).await.payment_id();
    let hash = pending(&rig, &payment).await;
    let (token, payer) = (rig.chain.usdc(), account(PAYER).address);
    rig.chain.blacklist(token, payer, true).unwrap();
    rig.chain.mine().await;
    until_state(&rig, &id, "reverted").await;
    assert_eq!(settle(&rig, &payment, Some("shop-1")).await.word(), "transfer_reverts");
    rig.chain.reorg(1, Orphans::Return);
    rig.chain.blacklist(token, payer, false).unwrap();
    rig.chain.mine().await;
    until_state(&rig, &id, "included").await;
    let settled = settle(&rig, &payment, Some("shop-1")).await;
    assert_eq!((settled.is_settled(), settled.transaction()), (true, Some(hash)), "{settled:?}");
    assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
}

/// T024, T057: money that is with its payer again is promised again.
#[tokio::test(flavor = "multi_thread")]
async fn t057_a_dropped_settlement_is_still_promised() {
    const POOR: usize = 9;
    let rig = with(|_| ()).await;
    rig.chain.mint(rig.chain.usdc(), account(POOR).address, U256::from(PRICE)).unwrap();
    let (id, _) = settled(&rig, &rig.payment(POOR, PRICE), 0).await;
    rig.chain.reorg(1, Orphans::Drop);
    rig.chain.mine().await;
    until_state(&rig, &id, "reorged").await;
    let second = rig.payment(POOR, PRICE);
    assert_eq!(verify(&rig, &second, Some("shop-2")).await.word(), "insufficient_funds");
}
