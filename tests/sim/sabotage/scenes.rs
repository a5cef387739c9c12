//! Short stories on a local chain, each with the one ending that is right.

pub(super) mod chain;
pub(super) mod doors;
pub(super) mod payers;

use alloy_primitives::Bytes;
use axum::{Extension, Router, routing::any};
use h402_core::{Amount, Applied, Authorization, Change, Network, NewPayment, Store as _};
use h402_devnet::evm::{BlockTime, account};
use h402_facilitator::EngineConfig;
use h402_tests::{
    rig::{self, GAS, PAYEE, PAYER, Rig, RigOptions, now},
    shop::{PRICE, Runs, Shop, gate, get, header, price},
    transactions::sign,
};
use h402_tower::gate::Payment;
use serde_json::Value;
use std::{future::Future, pin::Pin, time::Duration};

/// One of the stories below.
pub(super) type Scene = Pin<Box<dyn Future<Output = ()>>>;

async fn settle(rig: &Rig, payment: &h402_core::PaymentPayload, amount: u128, caller: Option<&str>) -> Value {
    let (_, text) = rig.post("/settle", payment, amount, caller).await;
    serde_json::from_str(&text).unwrap()
}

/// A facilitator that answers soon, on a chain that makes blocks when it is told to.
async fn slow_chain(configure: impl Fn(&mut EngineConfig) + Send + Sync + 'static) -> Rig {
    let engine = Box::new(move |config: &mut EngineConfig| {
        config.answer_within = Duration::from_millis(500);
        configure(config);
    });
    Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await
}

/// Told without a name, a success is told once (T009).
pub(super) async fn a_success_is_told_once() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    assert_eq!(settle(&rig, &payment, PRICE, None).await["success"], true);
    assert_eq!(settle(&rig, &payment, PRICE, None).await["success"], false);
}

/// A success is told to whoever began the settlement, and to nobody else (T011).
pub(super) async fn a_success_is_told_to_its_caller() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    assert_eq!(settle(&rig, &payment, PRICE, Some("shop-1")).await["success"], true);
    assert_eq!(settle(&rig, &payment, PRICE, Some("shop-2")).await["success"], false);
}

/// What is taken on is in the ledger before the chain has it (T014).
pub(super) async fn a_payment_is_in_the_ledger() {
    let rig = slow_chain(|_| ()).await;
    let payment = rig.payment(PAYER, PRICE);
    let (_, verified) = rig.post("/verify", &payment, PRICE, Some("shop")).await;
    let id = serde_json::from_str::<Value>(&verified).unwrap()["paymentId"].as_str().unwrap().to_owned();
    settle(&rig, &payment, PRICE, Some("shop")).await;
    assert_eq!(rig.get(&format!("/payments/{id}")).await.0, 200);
}

/// A payment is found by the hash of its transaction (T173).
pub(super) async fn a_payment_is_known_by_its_transaction() {
    let rig = Rig::start().await;
    let transaction = sign(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE));
    let payment = rig.by_transaction(PAYER, &transaction);
    assert_eq!(settle(&rig, &payment, PRICE, Some("shop")).await["success"], true);
    assert_eq!(rig.get(&format!("/payments/{}", transaction.hash)).await.0, 200);
}

/// A nonce that was signed for little and is used up does not pay for more (T012).
pub(super) async fn a_nonce_signed_for_more_is_not_paid_yet() {
    let rig = Rig::start().await;
    let little = rig.authorization(PAYER, PRICE);
    let more = Authorization { value: Amount::from_atomic(PRICE * 2), ..little.clone() };
    assert_eq!(settle(&rig, &rig.signed(PAYER, little), PRICE, Some("shop")).await["success"], true);
    assert_eq!(settle(&rig, &rig.signed(PAYER, more), PRICE * 2, Some("shop")).await["success"], false);
}

/// What one payment has promised of a balance, another cannot promise (T022).
pub(super) async fn a_balance_is_promised_once() {
    let rig = Rig::start().await;
    let balance = u128::try_from(rig.chain.balance_of(rig.chain.usdc(), account(PAYER).address)).unwrap();
    let most = balance / 3 * 2;
    let mut valid = Vec::new();
    for caller in ["shop-1", "shop-2"] {
        let (_, text) = rig.post("/verify", &rig.payment(PAYER, most), most, Some(caller)).await;
        valid.push(serde_json::from_str::<Value>(&text).unwrap()["isValid"].as_bool().unwrap());
    }
    assert_eq!(valid, [true, false]);
}

/// A transaction that succeeds and moves nothing pays for nothing (T061).
pub(super) async fn a_transaction_without_its_events_is_no_payment() {
    let rig = slow_chain(|_| ()).await;
    let payment = rig.payment(PAYER, PRICE);
    assert_eq!(settle(&rig, &payment, PRICE, Some("shop")).await["success"], false);
    until(|| !rig.chain.pending().is_empty()).await;
    // From now on the token does nothing, and does it successfully.
    rig.chain.set_code(rig.chain.usdc(), Bytes::from_static(&[0])).unwrap();
    rig.chain.mine().await;
    for _ in 0..3 {
        assert_eq!(settle(&rig, &payment, PRICE, Some("shop")).await["success"], false);
    }
}

/// Two payments that are settled one after the other do not take each other's place (T141).
pub(super) async fn two_payments_have_two_nonces() {
    let rig = slow_chain(|_| ()).await;
    for sent in 1..=2 {
        settle(&rig, &rig.payment(PAYER + sent, PRICE), PRICE, Some("shop")).await;
        let stored = async || rig.store.lane(Network::Evm(rig.chain.chain_id()), &account(GAS).address, 0, u32::MAX).await.unwrap().open;
        let mut nonces: Vec<u64> = Vec::new();
        for _ in 0..1000 {
            nonces = stored().await.iter().map(|row| row.nonce).collect();
            if nonces.len() >= sent {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(nonces, (0..sent as u64).collect::<Vec<_>>());
    }
}

/// A settlement is no success before as many blocks are on top of it as the operator wants (T057).
pub(super) async fn a_shallow_block_does_not_count() {
    let rig = slow_chain(|config| rig::evm(config).accept_depth = 3).await;
    let payment = rig.payment(PAYER, PRICE);
    settle(&rig, &payment, PRICE, Some("shop")).await;
    rig.chain.mine().await;
    for _ in 0..6 {
        assert_eq!(settle(&rig, &payment, PRICE, Some("shop")).await["success"], false);
    }
}

/// A payment opens one request (T002).
pub(super) async fn a_payment_opens_one_request() {
    let (rig, shop) = shop().await;
    let paid = rig.pay(PAYER);
    assert_eq!(shop.ask(&get("/a").paying(&paid)).await.status, 200);
    assert_eq!(shop.ask(&get("/b").paying(&paid)).await.status, 409);
}

/// The same payment for the same request gets the same answer (T001).
pub(super) async fn the_same_answer_is_given_again() {
    let (rig, shop) = shop().await;
    let ask = get("/a").paying(&rig.pay(PAYER));
    assert_eq!(shop.ask(&ask).await.content(), shop.ask(&ask).await.content());
}

/// What expires before it can be settled opens nothing (T019). The handler has ten seconds, settling twenty-five.
pub(super) async fn a_payment_outlasts_its_handler() {
    let (rig, shop) = shop().await;
    let short = Authorization { valid_before: alloy_primitives::U256::from(now() + 25), ..rig.authorization(PAYER, PRICE) };
    let payment = h402_core::PaymentPayload { resource: None, ..rig.signed(PAYER, short) };
    assert_eq!(shop.ask(&get("/a").paying(&header(&payment))).await.status, 402);
}

/// While nobody knows what became of a payment, its payer is told to come back with it (T008).
pub(super) async fn an_unknown_outcome_is_waited_for() {
    let rig = slow_chain(|_| ()).await;
    let shop = open(&rig).await;
    let ask = get("/a").paying(&rig.pay(PAYER));
    for _ in 0..2 {
        assert_eq!(shop.ask(&ask).await.status, 503);
    }
    rig.chain.mine().await;
    assert_eq!(shop.ask_until_decided(&ask).await.status, 200);
}

/// What the ledger has cannot be claimed again (T003).
pub(super) async fn a_payment_is_claimed_once() {
    let rig = Rig::start().await;
    let payment = rig.payment(PAYER, PRICE);
    let (_, verified) = rig.post("/verify", &payment, PRICE, Some("shop")).await;
    let id = serde_json::from_str::<Value>(&verified).unwrap()["paymentId"].as_str().unwrap().parse().unwrap();
    assert_eq!(settle(&rig, &payment, PRICE, Some("shop")).await["success"], true);
    let row = rig.engine.payment(&id).await.unwrap().expect("it is in the ledger");
    let again = Change { claim: Some(NewPayment { row, aliases: Vec::new() }), ..Change::default() };
    assert_eq!(rig.store.apply(again).await, Ok(Applied::Conflict));
}

/// What has expired a moment ago may still be in a block that is not seen yet (T019).
pub(super) async fn an_expired_payment_is_waited_for() {
    let rig = slow_chain(|_| ()).await;
    let payment = rig.payment(PAYER, PRICE);
    settle(&rig, &payment, PRICE, Some("shop")).await;
    until(|| !rig.chain.pending().is_empty()).await;
    assert!(rig.chain.drop_pending(rig.chain.pending()[0]));
    rig.chain.advance_time(130);
    rig.chain.mine().await;
    for _ in 0..4 {
        let told = settle(&rig, &payment, PRICE, Some("shop")).await;
        assert!(told["error"].as_str().is_some_and(|error| error.starts_with("settlement_pending")), "{told}");
    }
}

async fn shop() -> (Rig, Shop) {
    let rig = Rig::start().await;
    let shop = open(&rig).await;
    (rig, shop)
}

/// A shop with grants of its own.
async fn open(rig: &Rig) -> Shop {
    let runs = Runs::default();
    let handler = async move |payment: Extension<Payment>| format!("goods {} for {}", runs.add(), payment.payer);
    let layer = gate(rig, price(rig, PRICE)).build().unwrap();
    Shop::open(Router::new().route("/{*path}", any(handler)).route_layer(layer)).await
}

async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never so");
}
