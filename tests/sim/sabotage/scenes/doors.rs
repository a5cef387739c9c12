//! What a gate never lets happen, with real sockets, a real facilitator and a local chain.

use super::until;
use alloy_primitives::U256;
use axum::{Router, http::StatusCode, routing::any};
use h402_core::{Payload, PaymentPayload, SentEvmTransaction};
use h402_devnet::evm::account;
use h402_tests::{
    raw::Reply,
    rig::{PAYEE, PAYER, Rig, RigOptions, key},
    shop::{ORIGIN, PRICE, RemoteGate, Runs, Shop, gate, get, header, price, remote},
    transactions::sign,
};
use h402_tower::gate::{Gate, MemoryGrants, Origin};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Barrier, Semaphore};

/// A payment whose handler always fails runs it three times (T006).
pub(in super::super) async fn a_failing_handler_is_not_run_for_ever() {
    let rig = Rig::start().await;
    let layer = gate(&rig, price(&rig, PRICE)).build().unwrap();
    let routes = Router::new().route("/a", any(async || StatusCode::INTERNAL_SERVER_ERROR)).route_layer(layer);
    let shop = Shop::open(routes).await;
    let ask = get("/a").paying(&rig.pay(PAYER));
    for status in [500, 500, 500, 409] {
        assert_eq!(shop.ask(&ask).await.status, status);
    }
}

/// What a transaction bought is given again to who shows its hash, and nobody is asked about it (T173).
pub(in super::super) async fn a_transaction_is_known_by_its_hash() {
    let mut rig = Rig::with(RigOptions { engine: Box::new(|engine| engine.accept_sent = true), ..RigOptions::default() }).await;
    let layer = gate(&rig, price(&rig, PRICE)).accept_sent_payments([7; 32]).build().unwrap();
    let shop = Shop::open(Router::new().route("/a", any(async || "goods")).route_layer(layer)).await;
    let transaction = sign(PAYER, rig.token_transfer(PAYER, account(PAYEE).address, PRICE));
    let signed = header(&rig.pay_by_transaction(PAYER, &transaction, "/a"));
    assert_eq!(shop.ask(&get("/a").paying(&signed)).await.status, 200);
    let resource = rig.offered(&shop.ask(&get("/a")).await).url;
    let sent = SentEvmTransaction { hash: transaction.hash, signed_message: key(PAYER).sign_message(&resource).unwrap() };
    let by_hash = header(&PaymentPayload { resource: Some(resource), ..rig.payload(Payload::EvmSent(sent)) });
    rig.stop().await;
    let again = shop.ask(&get("/a").paying(&by_hash)).await;
    assert_eq!(again.status, 200, "{again:?}");
}

/// Whoever could not pay twice, after the handler had run, pays first from then on (T004).
pub(in super::super) async fn who_could_not_pay_pays_first() {
    let rig = Arc::new(Rig::start().await);
    let spent = rig.clone();
    // While the handler works, its payer spends everything.
    let handler = any(async move || {
        let all = spent.chain.balance_of(spent.chain.usdc(), account(PAYER).address);
        spent.send(PAYER, spent.token_transfer(PAYER, account(8).address, all.try_into().unwrap())).await;
        "goods"
    });
    let layer = gate(&rig, price(&rig, PRICE)).with_clock(rig.clock.clone()).build().unwrap();
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(layer)).await;
    for status in [402, 402, 200] {
        assert_eq!(shop.ask(&get("/a").paying(&rig.pay(PAYER))).await.status, status);
        rig.chain.mint(rig.chain.usdc(), account(PAYER).address, U256::from(PRICE * 100)).unwrap();
        // A balance that was too small is believed for a moment.
        rig.clock.advance(Duration::from_secs(5));
    }
}

/// A handler whose first run waits until it may go on.
#[derive(Clone)]
struct Held {
    runs: Runs,
    go: Arc<Semaphore>,
}

impl Held {
    fn new() -> Self {
        Self { runs: Runs::default(), go: Arc::new(Semaphore::new(0)) }
    }

    async fn shop(&self, gate: RemoteGate) -> Shop {
        let held = self.clone();
        let handler = any(async move || {
            if held.runs.add() == 1 {
                drop(held.go.acquire().await);
            }
            "goods"
        });
        Shop::open(Router::new().route("/a", handler).route_layer(gate.build().unwrap())).await
    }

    /// What `other` gets while the first run goes on.
    async fn meanwhile(&self, shop: &Shop, payment: &str, other: (&Shop, &str)) -> Reply {
        let ask = get("/a").paying(payment);
        let during = async {
            until(|| self.runs.count() == 1).await;
            let reply = other.0.ask(&get("/a").paying(other.1)).await;
            self.go.add_permits(1);
            reply
        };
        let (sold, reply) = tokio::join!(shop.ask(&ask), during);
        assert!(matches!(sold.status, 200 | 409), "{sold:?}");
        reply
    }
}

/// A payer has no more open at a gate than it allows (T004, T166).
pub(in super::super) async fn a_payer_has_so_much_open_and_no_more() {
    let rig = Rig::start().await;
    let held = Held::new();
    let shop = held.shop(gate(&rig, price(&rig, PRICE)).with_max_unsettled(1)).await;
    let other = rig.pay(PAYER);
    let refused = held.meanwhile(&shop, &rig.pay(PAYER), (&shop, &other)).await;
    assert_eq!((refused.status, refused.word().as_str()), (409, "too_many_open_payments"));
}

/// Of two gates with the same grants, one works on a payment (T003).
pub(in super::super) async fn what_one_gate_works_on_another_leaves_alone() {
    let rig = Rig::start().await;
    let (held, grants) = (Held::new(), MemoryGrants::new().unwrap());
    let one = held.shop(with_grants(&rig, grants.clone())).await;
    let other = held.shop(with_grants(&rig, grants)).await;
    let payment = rig.pay(PAYER);
    let refused = held.meanwhile(&one, &payment, (&other, &payment)).await;
    assert_eq!((refused.status, refused.word().as_str()), (409, "payment_in_progress"));
}

/// Of two gates that know nothing of each other, one sells for a payment (T011).
pub(in super::super) async fn a_payment_is_settled_for_one_gate() {
    let rig = Rig::start().await;
    let both = Arc::new(Barrier::new(2));
    let mut shops = Vec::new();
    for _ in 0..2 {
        let both = both.clone();
        // Both have verified it before either settles.
        let handler = any(async move || {
            drop(tokio::time::timeout(Duration::from_secs(5), both.wait()).await);
            "goods"
        });
        let layer = with_grants(&rig, MemoryGrants::new().unwrap()).build().unwrap();
        shops.push(Shop::open(Router::new().route("/a", handler).route_layer(layer)).await);
    }
    let ask = get("/a").paying(&rig.pay(PAYER));
    let (one, other) = tokio::join!(shops[0].ask(&ask), shops[1].ask(&ask));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one:?} {other:?}");
}

fn with_grants(rig: &Rig, grants: MemoryGrants) -> RemoteGate {
    Gate::new(remote(rig), grants, Origin::parse(ORIGIN).unwrap(), price(rig, PRICE))
}
