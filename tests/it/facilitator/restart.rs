//! What the ledger keeps when the process does not.

use super::{PRICE, broadcasts, settle, settle_until_ended, told, transfers, verify};
use alloy_primitives::U256;
use h402_core::{Amount, Assets, Authorization};
use h402_devnet::{
    evm::{BlockTime, account},
    fault::{Fault, Times},
};
use h402_tests::rig::{PAYEE, PAYER, Rig, RigOptions, now};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The account that holds no tokens at first.
const POOR: usize = 9;

async fn impatient() -> Rig {
    let engine = Box::new(|config: &mut h402_facilitator::EngineConfig| config.answer_within = Duration::from_millis(400));
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

/// T013: a used payment stays used: after a restart, and long after everything about it has expired.
#[tokio::test(flavor = "multi_thread")]
async fn t013_a_used_payment_stays_used() {
    let mut rig = Rig::start().await;
    let (keyed, keyless) = (rig.payment(PAYER, PRICE), rig.payment(PAYER, PRICE));
    let verified = verify(&rig, &keyed, Some("shop-1")).await;
    let id = verified.payment_id();
    let settled = settle(&rig, &keyed, Some("shop-1")).await;
    assert!(settled.is_settled() && settle(&rig, &keyless, None).await.is_settled());
    let no_more = verify(&rig, &keyed, Some("shop-1")).await;
    assert_eq!(no_more.word(), "duplicate_settlement", "it opens nothing new, for nobody");
    for days in [0, 1, 400] {
        rig.clock.advance(Duration::from_secs(days * 86_400));
        rig.restart().await;
        assert_eq!(settle(&rig, &keyed, Some("shop-1")).await, settled, "the same bytes after {days} days");
        assert_eq!(verify(&rig, &keyed, Some("shop-1")).await, no_more, "the same bytes after {days} days");
        for other in [Some("shop-2"), None] {
            let refused = settle(&rig, &keyed, other).await;
            assert_eq!((refused.word().as_str(), refused.transaction()), ("duplicate_settlement", settled.transaction()));
            assert_eq!(settle(&rig, &keyless, other).await.word(), "duplicate_settlement");
            assert_eq!(verify(&rig, &keyed, other).await.word(), "duplicate_settlement");
        }
        assert_eq!(told(&rig, &id).await["transaction"], settled.transaction().unwrap().to_string());
    }
    assert_eq!((broadcasts(&rig), transfers(&rig)), (2, 2));
}

/// T014: a payment that was under way at a restart ends in the transaction it had.
#[tokio::test(flavor = "multi_thread")]
async fn t014_a_payment_under_way_goes_on_after_a_restart() {
    for caller in [Some("shop-1"), None] {
        let mut rig = impatient().await;
        let payment = rig.payment(PAYER, PRICE);
        let pending = settle(&rig, &payment, caller).await;
        assert_eq!(pending.word(), "settlement_pending");
        rig.restart().await;
        rig.chain.mine().await;
        let settled = settle_until_ended(&rig, &payment, caller).await;
        assert!(settled.is_settled(), "{settled:?}");
        assert_eq!(settled.transaction(), pending.transaction());
        assert_eq!((broadcasts(&rig), transfers(&rig)), (1, 1));
    }
}

/// T008: a payment is under way when its asset, or its network, is taken out of the configuration. Whoever asks for its end is told
/// to come back, and is told the end when it is configured again; who asks with something new is refused.
#[tokio::test(flavor = "multi_thread")]
async fn t008_what_is_not_configured_any_more_is_not_refused() {
    for what in ["asset", "network"] {
        let gone = Arc::new(AtomicBool::new(false));
        let engine = {
            let gone = gone.clone();
            Box::new(move |config: &mut h402_facilitator::EngineConfig| {
                config.answer_within = Duration::from_millis(400);
                if gone.load(Ordering::SeqCst) {
                    config.assets = Assets::none();
                    config.networks.retain(|_| what == "asset");
                }
            })
        };
        let mut rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
        let (payment, new) = (rig.payment(PAYER, PRICE), rig.payment(PAYER, PRICE));
        let pending = settle(&rig, &payment, Some("shop-1")).await;
        assert_eq!(pending.word(), "settlement_pending");
        rig.stop().await;
        gone.store(true, Ordering::SeqCst);
        rig.reopen().await;
        for _ in 0..2 {
            let (status, body) = rig.post("/settle", &payment, PRICE, Some("shop-1")).await;
            assert_eq!(status, 503, "{what}: {body}");
            let (status, body) = rig.post("/settle", &new, PRICE, None).await;
            assert!(status == 200 && body.contains("\"success\":false"), "{what}: {status} {body}");
        }
        rig.stop().await;
        gone.store(false, Ordering::SeqCst);
        rig.reopen().await;
        rig.until_ready().await;
        rig.chain.mine().await;
        let settled = settle_until_ended(&rig, &payment, Some("shop-1")).await;
        assert_eq!((settled.is_settled(), settled.transaction()), (true, pending.transaction()), "{what}: {settled:?}");
    }
}

/// T014: the node forgot the transaction while nobody ran. The stored bytes go out again, never others.
#[tokio::test(flavor = "multi_thread")]
async fn t014_a_forgotten_transaction_is_sent_again_as_it_was() {
    let mut rig = impatient().await;
    let payment = rig.payment(PAYER, PRICE);
    let hash = settle(&rig, &payment, Some("shop-1")).await.transaction().unwrap();
    rig.stop().await;
    assert!(rig.chain.drop_pending(hash));
    rig.reopen().await;
    super::until_pending(&rig, 1).await;
    assert_eq!(rig.chain.pending(), [hash]);
    rig.chain.mine().await;
    assert_eq!(settle_until_ended(&rig, &payment, Some("shop-1")).await.transaction(), Some(hash));
}

/// T014: what only was verified holds nobody up after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn t014_a_hold_ends_with_the_process_and_with_time() {
    let mut rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    assert!(verify(&rig, &payment, None).await.is_valid());
    assert_eq!(verify(&rig, &payment, None).await.word(), "payment_in_progress");
    rig.restart().await;
    assert!(verify(&rig, &payment, None).await.is_valid());
    assert_eq!(verify(&rig, &payment, None).await.word(), "payment_in_progress");
    rig.clock.advance(Duration::from_secs(61));
    assert!(verify(&rig, &payment, None).await.is_valid());
    assert!(settle(&rig, &payment, None).await.is_settled());
}

/// T024: what an open payment has promised of a balance is still promised after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn t024_a_restart_forgets_no_promise() {
    let mut rig = impatient().await;
    rig.chain.mint(rig.chain.usdc(), account(POOR).address, U256::from(PRICE)).unwrap();
    let first = rig.payment(POOR, PRICE);
    assert_eq!(settle(&rig, &first, Some("shop-1")).await.word(), "settlement_pending");
    rig.restart().await;
    let second = rig.payment(POOR, PRICE);
    assert_eq!(verify(&rig, &second, Some("shop-2")).await.word(), "insufficient_funds");
    assert_eq!(settle(&rig, &second, Some("shop-2")).await.word(), "insufficient_funds");
    rig.chain.mint(rig.chain.usdc(), account(POOR).address, U256::from(PRICE)).unwrap();
    assert!(verify(&rig, &second, Some("shop-2")).await.is_valid());
}

/// T014, T144: a payment expired while the node took nothing. Its nonce is still filled with what was signed for it, or
/// nothing that was signed later could ever be mined.
#[tokio::test(flavor = "multi_thread")]
async fn t014_t144_the_nonce_of_a_lapsed_payment_holds_nobody_up() {
    for restarted in [false, true] {
        let mut rig = impatient().await;
        rig.chain.faults().add("eth_sendRawTransaction", Fault::DropRequest, Times::Always);
        let lapsing = rig.payment(PAYER, PRICE);
        assert_eq!(settle(&rig, &lapsing, Some("shop-1")).await.word(), "settlement_pending");
        rig.chain.advance_time(300);
        rig.chain.mine().await;
        let lapsed = settle_until_ended(&rig, &lapsing, Some("shop-1")).await;
        assert_eq!(lapsed.word(), "invalid_exact_evm_payload_authorization_valid_before", "{lapsed:?}");
        rig.chain.faults().clear();
        if restarted {
            rig.restart().await;
        }
        let next = Authorization { valid_before: U256::from(now() + 500), ..rig.authorization(PAYER, PRICE) };
        let next = rig.signed(PAYER, next);
        let mining = async {
            super::until_pending(&rig, 2).await;
            rig.chain.mine().await;
        };
        let (settled, ()) = tokio::join!(settle_until_ended(&rig, &next, Some("shop-2")), mining);
        assert!(settled.is_settled(), "{settled:?}");
        assert_eq!((broadcasts(&rig), transfers(&rig)), (2, 1), "the lapsed one is mined and moves nothing");
        assert_eq!(settle(&rig, &lapsing, Some("shop-1")).await, lapsed);
    }
}

/// T014: what was taken before the operator became stricter still gets its answer; a new payment does not.
#[tokio::test(flavor = "multi_thread")]
async fn t014_a_stricter_configuration_takes_nothing_back() {
    let strict = Arc::new(AtomicBool::new(false));
    let now_strict = strict.clone();
    let engine = Box::new(move |config: &mut h402_facilitator::EngineConfig| {
        let strict = strict.load(Ordering::SeqCst);
        config.accept_sent = !strict;
        let asset = config.assets.iter().next().unwrap().id.address;
        let minimum = if strict { 10 * PRICE } else { 1 };
        h402_tests::rig::evm(config).minimums = vec![(asset, Amount::from_atomic(minimum))];
    });
    let mut rig = Rig::with(RigOptions { engine, ..RigOptions::default() }).await;
    let sent = rig.send(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE)).await;
    let another = rig.send(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE)).await;
    let payments = [rig.payment(PAYER, PRICE), rig.by_hash(PAYER, sent)];
    let mut replies = Vec::new();
    for payment in &payments {
        replies.push((verify(&rig, payment, Some("shop-1")).await, settle(&rig, payment, Some("shop-1")).await));
    }
    now_strict.store(true, Ordering::SeqCst);
    rig.restart().await;
    for (payment, (verified, settled)) in payments.iter().zip(&replies) {
        assert!(verified.is_valid() && settled.is_settled());
        assert_eq!(settle(&rig, payment, Some("shop-1")).await, *settled);
    }
    assert_eq!(settle(&rig, &rig.payment(PAYER, PRICE), Some("shop-1")).await.word(), "settlement_cost_exceeds_limit");
    assert_eq!(settle(&rig, &rig.by_hash(PAYER, another), Some("shop-1")).await.word(), "unsupported_payload_type");
}
