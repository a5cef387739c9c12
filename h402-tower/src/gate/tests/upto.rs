//! Scheme `upto`: the handler says what it costs, the gate sees that it is never more than was agreed.

use super::{
    dialects::{challenge, signed},
    kit::*,
};
use crate::gate::{Delivery, Price};
use alloy_primitives::U256;
use bytes::Bytes;
use h402_core::{
    Address, Amount, Dialect, EvmAddress, GrantState, Network, Offer, PaymentId, PaymentKey, Permit2Authorization, Permit2Witness, Reject,
    Scheme, SettleError, SupportedKind, evm,
};
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
};
use tower::Service;

const FACILITATOR: EvmAddress = EvmAddress::repeat_byte(0xfa);

fn atomic(amount: u128) -> Amount {
    Amount::from_atomic(amount)
}

fn upto() -> Price {
    let offer = Offer::new(usdc(), atomic(PRICE), PAYEE.parse().unwrap()).unwrap();
    Price::offers([offer.upto()]).unwrap()
}

/// A shop whose facilitator settles `upto`.
fn shop() -> Shop {
    let shop = Shop::new();
    let network = Network::Evm(8453);
    let kind = SupportedKind { dialect: Dialect::X402V2, scheme: Scheme::Upto, network, solana: None, facilitator: Some(FACILITATOR) };
    shop.bank.can(Some(vec![kind]));
    shop
}

/// What the handler says of each request, in turn; then nothing.
type Says = Arc<Mutex<Vec<Option<Delivery>>>>;

fn saying(said: &[Option<Delivery>]) -> Says {
    Arc::new(Mutex::new(said.iter().rev().copied().collect()))
}

fn metered(says: &Says) -> impl Fn(Request<Full<Bytes>>) -> Ready<Response<Full<Bytes>>> + Clone + Send + 'static {
    let says = says.clone();
    move |_| {
        let mut response = Response::new(full("goods"));
        if let Some(said) = says.lock().unwrap().pop().flatten() {
            response.extensions_mut().insert(said);
        }
        ready(response)
    }
}

/// A payment of at most `most` for the first offer of a 402, spelled by hand.
fn payment(asked: &Value, most: u128, nonce: u64) -> Value {
    let deadline = NOW / 1000 + 300;
    let authorization = Permit2Authorization {
        from: payer().address(),
        token: usdc().id.address.evm().unwrap(),
        amount: atomic(most),
        spender: evm::UPTO_PROXY,
        nonce: U256::from(nonce),
        deadline: U256::from(deadline),
        witness: Permit2Witness {
            to: PAYEE.parse::<Address>().unwrap().evm().unwrap(),
            valid_after: U256::ZERO,
            facilitator: Some(FACILITATOR),
        },
    };
    let signed = payer().sign_permit2(authorization, 8453).unwrap();
    json!({
        "x402Version": 2,
        "resource": asked["resource"],
        "accepted": asked["accepts"][0],
        "payload": {"signature": signed.signature, "permit2Authorization": {
            "permitted": {"token": usdc().id.address.to_string(), "amount": most.to_string()},
            "from": Address::from(payer().address()).to_string(),
            "spender": Address::from(evm::UPTO_PROXY).to_string(),
            "nonce": nonce.to_string(),
            "deadline": deadline.to_string(),
            "witness": {"to": PAYEE, "facilitator": Address::from(FACILITATOR).to_string(), "validAfter": "0"},
        }},
    })
}

fn key(nonce: u64) -> PaymentKey {
    PaymentId::Permit2 { chain: 8453, owner: payer().address(), nonce: U256::from(nonce) }.key()
}

/// The 402 once the facilitator has said who settles; before, nobody could pay.
async fn asked<S, B>(service: &S) -> Value
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let first = send(service, get("/item")).await;
    assert_eq!((first.status, first.header("payment-required")), (402, None));
    settle_down().await;
    let answer = send(service, get("/item")).await;
    assert_eq!(answer.json()["accepts"], json!([]), "h402 has no words for it");
    let asked = challenge(&answer);
    let offer = &asked["accepts"][0];
    assert_eq!((&offer["scheme"], &offer["amount"]), (&json!("upto"), &json!(PRICE.to_string())));
    assert_eq!(offer["extra"]["facilitatorAddress"], Address::from(FACILITATOR).to_string());
    asked
}

/// T035: what is charged is what the handler says, and the whole if it says nothing; never more than was agreed, however much the
/// payer has signed.
#[tokio::test]
async fn t035_the_handler_says_what_it_costs_and_the_offer_how_much_at_most() {
    let cases = [
        (None, PRICE),
        (Some(Delivery::Delivered), PRICE),
        (Some(Delivery::DeliveredFor(atomic(1))), 1),
        (Some(Delivery::DeliveredFor(atomic(4_000))), 4_000),
        (Some(Delivery::DeliveredFor(atomic(PRICE))), PRICE),
        (Some(Delivery::DeliveredFor(atomic(PRICE + 1))), PRICE),
        (Some(Delivery::DeliveredFor(U256::MAX.into())), PRICE),
    ];
    for signed_for in [PRICE, 100 * PRICE] {
        for (said, charged) in cases {
            let shop = shop();
            let service = shop.open(shop.gate_at(upto()), metered(&saying(&[said])));
            let asked = asked(&service).await;
            let payment = payment(&asked, signed_for, 7);
            let answer = send(&service, signed(&payment)).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b"goods"[..]), "{said:?}");
            assert!(answer.header("payment-response").is_some(), "{said:?}");
            let settled: Vec<Amount> = shop.bank.asked().into_iter().map(|(_, amount, _)| amount).collect();
            assert_eq!(settled, [atomic(charged)], "{said:?}");
            let row = shop.grants.row(&key(7)).await.unwrap();
            assert_eq!((row.state, row.amount), (GrantState::Served, atomic(charged)), "{said:?}");
            // Again: the same answer, and no charge.
            assert_eq!(send(&service, signed(&payment)).await.status, 200);
            assert_eq!((shop.runs(), shop.bank.settle_calls()), (1, 1), "{said:?}");
        }
    }
}

/// What costs nothing is given for nothing, and what was signed stays good for the same request and no other.
#[tokio::test]
async fn what_costs_nothing_is_not_settled() {
    let shop = shop();
    let free = Some(Delivery::DeliveredFor(Amount::ZERO));
    let service = shop.open(shop.gate_at(upto()), metered(&saying(&[free, Some(Delivery::DeliveredFor(atomic(500)))])));
    let asked = asked(&service).await;
    let payment = payment(&asked, PRICE, 7);
    let answer = send(&service, signed(&payment)).await;
    assert_eq!((answer.status, answer.header("payment-response"), shop.bank.settle_calls()), (200, None, 0));
    assert_eq!(shop.grants.state(&key(7)).await, Some(GrantState::Released));
    let mut elsewhere = signed(&payment);
    *elsewhere.uri_mut() = "/other".parse().unwrap();
    assert_eq!(send(&service, elsewhere).await.status, 409);
    assert_eq!(send(&service, signed(&payment)).await.status, 200);
    assert_eq!(shop.bank.asked()[0].1, atomic(500));
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (2, 1));
}

/// A settlement whose outcome is unknown is asked for again with the amount that is on record, whatever a later run would say.
#[tokio::test]
async fn an_amount_that_was_asked_for_stays() {
    let shop = shop();
    let says = saying(&[Some(Delivery::DeliveredFor(atomic(700))), Some(Delivery::DeliveredFor(atomic(9_000)))]);
    let service = shop.open(shop.gate_at(upto()), metered(&says));
    let asked = asked(&service).await;
    let payment = payment(&asked, PRICE, 7);
    shop.bank.next_settle(SettleError::Pending { transaction: None });
    assert_eq!(send(&service, signed(&payment)).await.status, 503);
    assert_eq!(send(&service, signed(&payment)).await.status, 200);
    let amounts: Vec<Amount> = shop.bank.asked().into_iter().map(|(_, amount, _)| amount).collect();
    assert_eq!(amounts, [atomic(700), atomic(700)]);
    assert_eq!(shop.runs(), 1);
}

/// T004: who could not pay twice after the handler ran is not trusted with a bill that is made afterwards; and where the money
/// moves first, what is metered still moves afterwards.
#[tokio::test]
async fn t004_upto_is_settled_after_the_handler_and_not_for_everybody() {
    let shop = shop();
    let service = shop.open(shop.gate_at(upto().upfront()), metered(&saying(&[Some(Delivery::DeliveredFor(atomic(3)))])));
    let asked = asked(&service).await;
    assert_eq!(asked["accepts"][0]["extra"].get("paymentFlow"), None);
    assert_eq!(send(&service, signed(&payment(&asked, PRICE, 7))).await.status, 200);
    assert_eq!(shop.bank.asked()[0].1, atomic(3));
    for nonce in [8, 9] {
        shop.bank.next_settle(Reject::Reverts("x".to_owned()));
        assert_eq!(send(&service, signed(&payment(&asked, PRICE, nonce))).await.status, 402);
    }
    let runs = shop.runs();
    let refused = send(&service, signed(&payment(&asked, PRICE, 10))).await;
    assert_eq!((refused.status, shop.runs()), (402, runs));
    assert!(refused.error().starts_with("gas_wasted"), "{refused:?}");
}
