//! Permit2 on a route: the 402 as the payer reads it, the wallet that signs, the gate, the facilitator, the chain.

use alloy_primitives::U256;
use axum::{Router, routing::any};
use h402_core::{
    Amount, Dialect, Facilitator, Flow, Offer, UnixSeconds,
    wire::x402::v2::{self, Payment, ReadChallenge},
};
use h402_facilitator::{EngineConfig, evm::Permit2Payments};
use h402_tests::{
    raw::{Ask, Reply},
    rig::{self, PAYER, Rig, RigOptions, key, now},
    shop::{ORIGIN, PRICE, Runs, Shop, get, local, remote},
};
use h402_tower::{
    gate::{Delivery, Gate, MemoryGrants, Origin, Price},
    pay::{EvmWallet, HttpHints, Terms, Wallet},
};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

async fn taking_permit2() -> Rig {
    let engine = Box::new(|config: &mut EngineConfig| rig::evm(config).permit2 = Some(Permit2Payments::default()));
    Rig::with(RigOptions { engine, ..RigOptions::default() }).await
}

/// A shop whose handler charges what the query says.
async fn open(rig: &Rig, facilitator: impl Facilitator, runs: &Runs, metered: bool) -> Shop {
    let offer = Offer::clone(&rig.offer(PRICE));
    let price = Price::offers([if metered { offer.upto() } else { offer.with_permit2() }]).unwrap();
    let gate = Gate::new(facilitator, MemoryGrants::new().unwrap(), Origin::parse(ORIGIN).unwrap(), price).build().unwrap();
    gate.prepare().await.unwrap();
    let runs = runs.clone();
    let handler = async move |uri: http::Uri| {
        runs.add();
        let mut response = http::Response::new("goods".to_owned());
        if let Some(cost) = uri.query().and_then(|query| query.strip_prefix("cost=")) {
            response.extensions_mut().insert(Delivery::DeliveredFor(Amount::from_atomic(cost.parse().unwrap())));
        }
        response
    };
    Shop::open(Router::new().route("/{*path}", any(handler)).route_layer(gate)).await
}

/// The 402.
async fn asked(rig: &Rig, shop: &Shop, target: &str) -> ReadChallenge {
    let reply = shop.ask(&get(target)).await;
    assert_eq!(reply.status, 402, "{reply:?}");
    rig.offered_in_x402(&reply)
}

/// Signs for the first offer of a 402 as the wallet does.
async fn pay(wallet: &impl Wallet, asked: &ReadChallenge) -> String {
    let offer = &asked.offers[0];
    let terms = offer.terms.clone().unwrap();
    assert_eq!(terms.flow, Flow::Capture);
    let amount = terms.requirements.offer.amount;
    let terms = Terms {
        requirements: terms.requirements,
        amount,
        resource: asked.resource.url.clone(),
        valid_after: UnixSeconds(now() - 5),
        valid_before: UnixSeconds(now() + 70),
    };
    let payload = wallet.sign(&terms).await.unwrap();
    assert_eq!(payload.dialect, Dialect::X402V2);
    let payment = Payment {
        payload,
        accepted: offer.accepted.clone().unwrap(),
        resource: Some((*asked.resource).clone()),
        extensions: asked.extensions.clone(),
    };
    v2::encode_payment(&payment).unwrap()
}

fn paying(target: &str, payment: &str) -> Ask {
    get(target).with("payment-signature", payment)
}

fn settled(reply: &Reply) -> bool {
    let receipt = reply.header("payment-response").map(|header| v2::decode_receipt(header.as_bytes()).unwrap());
    receipt.is_some_and(|receipt| receipt.success && receipt.transaction.is_some())
}

async fn pays_once(rig: &Rig, facilitator: impl Facilitator) {
    let wallet = EvmWallet::from_key(key(PAYER)).with_permit2();
    let asking = HttpHints::new(Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>())
        .with_rpc(rig.asset.id.network, rig.chain.url().parse().unwrap());
    let sponsored = EvmWallet::from_key(key(PAYER)).with_permit2().with_hints(asking);
    let runs = Runs::default();
    let shop = open(rig, facilitator, &runs, false).await;

    // T033: not approved is 412, and the same payment is good once it is.
    rig.approve_permit2(PAYER, 0).await;
    let asked_for = asked(rig, &shop, "/item").await;
    let payment = pay(&wallet, &asked_for).await;
    let paid = paying("/item", &payment);
    assert_eq!((shop.ask(&paid).await.status, runs.count()), (412, 0));
    rig.approve_permit2(PAYER, 10 * PRICE).await;
    let before = (rig.received(), rig.transfers());
    let reply = shop.ask(&paid).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "goods"), "{reply:?}");
    assert!(settled(&reply), "{reply:?}");
    // T001, T002: the same again gets the same answer, and opens nothing else.
    assert_eq!(shop.ask(&paid).await.content(), reply.content());
    assert_eq!(shop.ask(&paying("/other", &payment)).await.status, 409);
    assert_eq!((rig.received() - before.0, rig.transfers() - before.1, runs.count()), (U256::from(PRICE), 1, 1));

    // With an approval by signature, made because there is none on chain.
    rig.approve_permit2(PAYER, 0).await;
    let reply = shop.ask(&paying("/item", &pay(&sponsored, &asked_for).await)).await;
    assert!(reply.status == 200 && settled(&reply), "{reply:?}");
    assert_eq!((rig.received() - before.0, rig.permit2_allowance(PAYER)), (U256::from(2 * PRICE), U256::ZERO));
}

async fn pays_what_it_costs(rig: &Rig, facilitator: impl Facilitator) {
    rig.approve_permit2(PAYER, 100 * PRICE).await;
    let wallet = EvmWallet::from_key(key(PAYER)).with_permit2();
    let runs = Runs::default();
    let shop = open(rig, facilitator, &runs, true).await;
    for (target, moved) in [("/item?cost=1234", 1234), ("/item?cost=9999999", PRICE), ("/item", PRICE), ("/item?cost=0", 0)] {
        let paid = paying(target, &pay(&wallet, &asked(rig, &shop, target).await).await);
        let before = (rig.received(), runs.count());
        let reply = shop.ask(&paid).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "goods"), "{target}: {reply:?}");
        assert_eq!((settled(&reply), rig.received() - before.0), (moved > 0, U256::from(moved)), "{target}: {reply:?}");
        if moved > 0 {
            assert_eq!(shop.ask(&paid).await.content(), reply.content(), "{target}");
            assert_eq!((runs.count(), rig.received() - before.0), (before.1 + 1, U256::from(moved)), "{target}");
        }
    }
}

/// By scheme `exact`, with the facilitator in the shop's process and over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn t033_a_route_is_paid_through_permit2() {
    let rig = taking_permit2().await;
    pays_once(&rig, local(&rig)).await;
    pays_once(&rig, remote(&rig)).await;
}

/// T035: by scheme `upto`, where the handler says what it costs.
#[tokio::test(flavor = "multi_thread")]
async fn t035_a_route_is_paid_for_what_it_costs() {
    let rig = taking_permit2().await;
    pays_what_it_costs(&rig, local(&rig)).await;
    pays_what_it_costs(&rig, remote(&rig)).await;
}
