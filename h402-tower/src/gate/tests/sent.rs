//! Payments that the payer has sent already.

use super::kit::*;
use crate::gate::Price;
use h402_core::{Amount, Asset, EvmKey, Network, Offer};
use http::{Method, Request};
use http_body_util::Full;

fn resource(answer: &Answer) -> String {
    answer.json()["accepts"][0]["resource"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sent_payments_are_refused_unless_they_are_accepted() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let answer = send(&service, paid(&sent(&payer(), [5; 32], "https://api.example/item"))).await;
    assert_eq!(answer.status, 402);
    assert!(answer.error().starts_with("unsupported_payload_type: "), "{}", answer.error());
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    assert_eq!(resource(&send(&service, get("/item")).await), "https://api.example/item");
}

/// T051, T053: a sent payment answers a challenge of ours, for this request, in time, once; and the money comes first.
#[tokio::test]
async fn t053_a_sent_payment_answers_a_challenge() {
    let shop = Shop::new();
    let bank = shop.bank.clone();
    let service = shop.open(shop.gate().accept_sent_payments([7; 32]), move |request: Request<Full<bytes::Bytes>>| {
        assert_eq!(bank.settled(), 1, "upfront");
        hello(request)
    });
    let ask = async |path: &str| resource(&send(&service, get(path)).await);
    let challenge = ask("/item").await;
    assert!(challenge.starts_with("https://api.example/item?h402="), "{challenge}");
    let bent = [
        ("without a challenge", "https://api.example/item".to_owned()),
        ("for another path", ask("/other").await),
        ("for another query", ask("/item?id=1").await),
        ("cut", challenge[..challenge.len() - 1].to_owned()),
        ("changed", challenge.replace("?h402=", "?h402=0")),
    ];
    for (what, resource) in bent {
        let answer = send(&service, paid(&sent(&payer(), [5; 32], &resource))).await;
        assert_eq!(answer.status, 402, "{what}");
        assert!(answer.error().starts_with("resource_mismatch: "), "{what}: {}", answer.error());
    }
    let mut head = get("/item");
    *head.method_mut() = Method::HEAD;
    let for_head = resource(&send(&service, head).await);
    assert_eq!(send(&service, paid(&sent(&payer(), [5; 32], &for_head))).await.status, 402, "for another method");
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));

    let header = sent(&payer(), [5; 32], &challenge);
    let first = send(&service, paid(&header)).await;
    assert_eq!(first.status, 200);
    assert_eq!(shop.bank.asked()[0].2, challenge, "the facilitator checks the signature over the same text");
    // T051: the hash is used up, under any challenge and on any request.
    assert_eq!(send(&service, paid(&header)).await, first);
    assert_eq!(send(&service, paid(&sent(&payer(), [5; 32], &ask("/item").await))).await, first);
    let elsewhere = sent(&payer(), [5; 32], &ask("/other").await);
    assert_eq!(send(&service, with_payment(get("/other"), &elsewhere)).await.status, 409);
    // A challenge that has expired still finds what it has opened, and opens nothing new.
    shop.clock.move_on(601);
    let again = send(&service, paid(&header)).await;
    assert_eq!((again.status, again.error().as_str()), (409, "payment_already_used"));
    assert_eq!(send(&service, paid(&sent(&payer(), [6; 32], &challenge))).await.status, 402);
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
}

/// Other payments may name the challenged resource or the plain one; they need no challenge.
#[tokio::test]
async fn other_payments_may_carry_a_challenge_and_need_none() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().accept_sent_payments([7; 32]), hello);
    let challenge = resource(&send(&service, get("/item")).await);
    shop.clock.move_on(601);
    for (nonce, resource) in [(1, None), (2, Some("https://api.example/item".to_owned())), (3, Some(challenge))] {
        let cheque = Cheque { nonce, resource, valid_before: NOW / 1000 + 1000, ..Cheque::default() };
        assert_eq!(send(&service, paid(&cheque.header())).await.status, 200, "{cheque:?}");
    }
}

/// The price that was quoted when the transaction was sent is the one it is judged by.
#[tokio::test]
async fn a_sent_payment_is_judged_by_the_price_it_was_told() {
    let shop = Shop::new();
    let (price, handle) = price_of(100).changeable();
    let service = shop.open(shop.gate_at(price).accept_sent_payments([7; 32]), hello);
    let challenge = resource(&send(&service, get("/item")).await);
    handle.set_at(price_of(900), h402_core::Clock::now(&shop.clock)).unwrap();
    assert_eq!(send(&service, paid(&sent(&payer(), [5; 32], &challenge))).await.status, 200);
    shop.clock.move_on(60);
    assert_eq!(send(&service, paid(&sent(&payer(), [6; 32], &challenge))).await.status, 200);
    let asked: Vec<_> = shop.bank.asked().iter().map(|(_, amount, _)| *amount).collect();
    assert_eq!(asked, [Amount::from_atomic(100), Amount::from_atomic(900)]);
}

/// A signed transaction that is not sent yet: the resource signature ties it to its owner's request (T050).
#[tokio::test]
async fn t050_a_signed_transaction_opens_the_request_its_owner_signed() {
    let shop = Shop::new();
    let coin = Asset::native(Network::Evm(8453), "ETH");
    let wei = 1_000_000_000_000_000;
    let offer = Offer::new(std::sync::Arc::new(coin), Amount::from_atomic(wei), PAYEE.parse().unwrap()).unwrap();
    let service = shop.open(shop.gate_at(Price::offers([offer]).unwrap()), hello);
    let transaction = alloy_consensus::TxLegacy {
        chain_id: Some(8453),
        nonce: 3,
        gas_price: 1,
        gas_limit: 21_000,
        to: alloy_primitives::TxKind::Call(PAYEE.parse().unwrap()),
        value: alloy_primitives::U256::from(wei),
        input: Default::default(),
    };
    let raw = payer().sign_legacy(transaction).unwrap().raw;
    let header = |key: &EvmKey, resource: &str| {
        let signed_message = key.sign_message(resource).unwrap();
        let signed = h402_core::SignedEvmTransaction { raw: raw.clone(), signed_message };
        let payload = payload(h402_core::Payload::EvmTransaction(signed), Some("https://api.example/item".to_owned()));
        h402_core::wire::h402::encode_payment(&payload).unwrap()
    };
    let stranger = EvmKey::from_bytes(&[3; 32]).unwrap();
    for (key, resource) in [(&stranger, "https://api.example/item"), (&payer(), "https://api.example/other")] {
        assert_eq!(send(&service, paid(&header(key, resource))).await.status, 402);
    }
    assert_eq!(shop.runs(), 0);
    let mine = header(&payer(), "https://api.example/item");
    let first = send(&service, paid(&mine)).await;
    assert_eq!(first.status, 200);
    assert_eq!(send(&service, paid(&mine)).await, first);
}
