//! Servers that speak x402, in either version, beside h402 or alone.

use super::*;
use crate::pay::{CallKey, ChallengeError, Paid, Refused, SignedPayment};
use base64::{Engine, engine::general_purpose::STANDARD};
use h402_core::{Dialect, TransactionId};
use serde_json::{Value, json};

fn encoded(json: &Value) -> String {
    STANDARD.encode(serde_json::to_vec(json).unwrap())
}

fn decoded(header: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(header).unwrap()).unwrap()
}

fn offer(amount: &str) -> Value {
    json!({
        "scheme": "exact", "network": "eip155:8453", "amount": amount, "asset": USDC, "payTo": PAYEE, "maxTimeoutSeconds": 60,
        "extra": {"name": "USD Coin", "version": "2", "unheard of": [1]},
    })
}

fn in_v2(accepts: &[Value]) -> Value {
    json!({"x402Version": 2, "error": null, "resource": {"url": URL, "description": "weather"}, "accepts": accepts})
}

fn in_v1(amount: &str) -> Value {
    json!({
        "x402Version": 1, "error": "X-PAYMENT header is required",
        "accepts": [{
            "scheme": "exact", "network": "base", "maxAmountRequired": amount, "asset": USDC, "payTo": PAYEE, "resource": URL,
            "description": "", "mimeType": "", "maxTimeoutSeconds": 60, "extra": {"name": "USD Coin", "version": "2"},
        }],
    })
}

/// A 402 with this header and this body, then `act`.
fn asking(header: Option<&Value>, body: &str, act: Act) -> Shop {
    let challenge = answer(402, body.to_owned());
    Shop::new([header.map_or(challenge.clone(), |header| with(challenge, "payment-required", &encoded(header))), act])
}

fn pay() -> Pay<EvmWallet> {
    Pay::new(EvmWallet::from_key(key()), cap())
}

/// The one payment that a shop was sent in a header.
fn sent(shop: &Shop, name: &str) -> Option<Value> {
    let seen = shop.seen.lock().unwrap();
    let headers: Vec<_> = seen.iter().flat_map(|request| request.headers().get_all(name)).collect();
    assert!(headers.len() < 2, "{headers:?}");
    headers.first().map(|value| decoded(value.to_str().unwrap()))
}

fn value(payment: &Value, field: &str) -> String {
    payment["payload"]["authorization"][field].as_str().unwrap().to_owned()
}

/// What a server of version 2 sent comes back to the letter; the authorization is valid from the first second on, as the reference
/// client has it, and until `maxTimeoutSeconds` have passed.
#[tokio::test]
async fn version_2_is_paid_in_version_2() {
    let mut asked = in_v2(&[offer("10000")]);
    asked["extensions"] = json!({"unheard-of": {"info": {"a": 1}, "schema": {}}});
    let transaction = format!("0x{}", "42".repeat(32));
    let receipt = json!({"success": true, "transaction": transaction, "network": "eip155:8453", "payer": PAYER});
    let shop = asking(Some(&asked), "{}", with(answer(200, "bought"), "payment-response", &encoded(&receipt)));
    let response = call(&pay(), &shop, get()).await.unwrap();
    let payment = sent(&shop, "payment-signature").unwrap();
    assert_eq!(sent(&shop, "x-payment"), None);
    assert_eq!((&payment["x402Version"], &payment["accepted"]), (&json!(2), &asked["accepts"][0]));
    assert_eq!((&payment["resource"], &payment["extensions"]), (&asked["resource"], &asked["extensions"]));
    let now = NOW.0 / 1000;
    assert_eq!((value(&payment, "validAfter"), value(&payment, "validBefore")), ("0".to_owned(), (now + 60).to_string()));
    assert_eq!((value(&payment, "value"), value(&payment, "to")), ("10000".to_owned(), PAYEE.to_owned()));
    let paid = response.extensions().get::<Paid>().unwrap();
    assert_eq!(paid.payment.dialect(), Dialect::X402V2);
    let receipt = paid.receipt.as_ref().unwrap();
    assert_eq!((receipt.success, receipt.transaction), (true, Some(TransactionId::Evm([0x42; 32].into()))));
}

/// Version 1 is paid in its own header, from ten minutes ago on.
#[tokio::test]
async fn version_1_is_paid_in_version_1() {
    let receipt = json!({"success": true, "transaction": format!("0x{}", "42".repeat(32)), "network": "base", "payer": PAYER});
    for name in ["x-payment-response", "payment-response"] {
        let shop = asking(None, &in_v1("10000").to_string(), with(answer(200, "bought"), name, &encoded(&receipt)));
        let response = call(&pay(), &shop, get()).await.unwrap();
        let payment = sent(&shop, "x-payment").unwrap();
        assert_eq!((&payment["x402Version"], &payment["network"], &payment["scheme"]), (&json!(1), &json!("base"), &json!("exact")));
        assert_eq!(value(&payment, "validAfter"), (NOW.0 / 1000 - 600).to_string());
        assert!(response.extensions().get::<Paid>().unwrap().receipt.as_ref().unwrap().success, "{name}");
    }
}

/// The oddities of reference servers: no text as `error`, and `accepts` as an object by index.
#[tokio::test]
async fn the_references_oddities_are_read() {
    let mut odd = in_v1("10000");
    odd["error"] = json!({});
    odd["accepts"] = json!({"0": odd["accepts"][0]});
    let shop = asking(None, &odd.to_string(), answer(200, "bought"));
    assert!(call(&pay(), &shop, get()).await.unwrap().status().is_success());
    assert!(sent(&shop, "x-payment").is_some());
}

/// The header counts and not the body; where nothing in the header can be paid, the body may have something that can.
#[tokio::test]
async fn the_header_wins_over_the_body() {
    for body in [challenge(), in_v1("10000").to_string(), "<html>".to_owned(), String::new()] {
        let shop = asking(Some(&in_v2(&[offer("10000")])), &body, answer(200, "bought"));
        call(&pay(), &shop, get()).await.unwrap();
        assert!(sent(&shop, "payment-signature").is_some() && sent(&shop, "x-payment").is_none(), "{body}");
    }
    let mut elsewhere = offer("10000");
    elsewhere["network"] = json!("eip155:1");
    let shop = asking(Some(&in_v2(&[elsewhere])), &challenge(), answer(200, "bought"));
    call(&pay(), &shop, get()).await.unwrap();
    assert!(sent(&shop, "payment-signature").is_none() && sent(&shop, "x-payment").is_some());
}

/// T124: a header and a body that ask for different things are not paid at all.
#[tokio::test]
async fn t124_contradicting_challenges_are_not_paid() {
    let other_payee = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let with_payee = |mut offer: Value| {
        offer["payTo"] = json!(other_payee);
        offer
    };
    let dear = in_v1("19000").to_string();
    let games = [
        ("dearer body", in_v2(&[offer("10000")]), dear),
        ("dearer header", in_v2(&[offer("19000")]), challenge()),
        ("another payee in the header", in_v2(&[with_payee(offer("10000"))]), challenge()),
        ("another payee in the body", in_v2(&[offer("10000")]), challenge().replace(PAYEE, other_payee)),
    ];
    for (game, header, body) in games {
        let shop = asking(Some(&header), &body, answer(200, "bought"));
        let error = call(&pay(), &shop, get()).await.unwrap_err();
        assert!(matches!(error, PayError::Challenge(ChallengeError::Contradiction)), "{game}: {error:?}");
        assert_eq!(shop.seen.lock().unwrap().len(), 1, "{game}");
    }
    // Twin: the same in both.
    let shop = asking(Some(&in_v2(&[offer("10000")])), &challenge(), answer(200, "bought"));
    assert!(call(&pay(), &shop, get()).await.is_ok());
}

/// The best offer is taken, wherever it stands: what is charged after the service before what is charged first, then the cheaper.
#[tokio::test]
async fn the_best_offer_is_taken_and_not_the_first() {
    let upfront = |amount| {
        let mut offer = offer(amount);
        offer["extra"]["paymentFlow"] = json!("upfront");
        offer
    };
    let mut strange = offer("1");
    strange["extra"]["paymentFlow"] = json!("escrow");
    for (offers, best) in [
        (vec![offer("12000"), offer("9000"), offer("15000")], 1),
        (vec![upfront("9000"), offer("12000")], 1),
        (vec![upfront("9000"), upfront("8000")], 1),
        (vec![strange, offer("12000")], 1),
        (vec![offer("10000"), offer("21000")], 0),
    ] {
        let shop = asking(Some(&in_v2(&offers)), "{}", answer(200, "bought"));
        call(&pay(), &shop, get()).await.unwrap();
        assert_eq!(sent(&shop, "payment-signature").unwrap()["accepted"], offers[best], "{offers:?}");
    }
}

/// Of unknown servers of h402 and of version 1 the first offer of a network is the only one they would take.
#[tokio::test]
async fn only_version_2_says_which_offer_is_paid() {
    let mut two = in_v1("12000");
    let mut cheaper = two["accepts"][0].clone();
    cheaper["maxAmountRequired"] = json!("9000");
    two["accepts"].as_array_mut().unwrap().push(cheaper);
    for (any, amount) in [(false, "12000"), (true, "9000")] {
        let shop = asking(None, &two.to_string(), answer(200, "bought"));
        let pay = if any { pay().with_any_offer() } else { pay() };
        call(&pay, &shop, get()).await.unwrap();
        assert_eq!(value(&sent(&shop, "x-payment").unwrap(), "value"), amount);
    }
}

/// A server that wants payments named is told a name: the same for the same call, another for another.
#[tokio::test]
async fn a_payment_is_named_where_the_server_asks_for_a_name() {
    let mut asked = in_v2(&[offer("10000")]);
    asked["extensions"] = json!({"payment-identifier": {"info": {"required": true}, "schema": {"type": "object"}}});
    let name = async |key: Option<&str>| {
        let shop = asking(Some(&asked), "{}", answer(200, "bought"));
        let mut request = get();
        key.map(|key| request.extensions_mut().insert(CallKey::new(key)));
        call(&pay(), &shop, request).await.unwrap();
        let extension = sent(&shop, "payment-signature").unwrap()["extensions"]["payment-identifier"].clone();
        assert_eq!((&extension["info"]["required"], &extension["schema"]), (&json!(true), &json!({"type": "object"})));
        extension["info"]["id"].as_str().unwrap().to_owned()
    };
    let (one, again, other) = (name(Some("order-17")).await, name(Some("order-17")).await, name(Some("order-18")).await);
    assert_eq!(one, again);
    assert!((16..=128).contains(&one.len()) && one != other && !one.contains("order"));
    assert_ne!(name(None).await, name(None).await);
}

/// Refusals of version 2: 402 without an offer, with the reason in the receipt; 412 before an approval. Neither is paid again.
#[tokio::test]
async fn refusals_of_version_2_are_final() {
    let receipt = json!({"success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "eip155:8453"});
    for status in [402, 412] {
        let act = with(answer(status, "{}"), "payment-response", &encoded(&receipt));
        let shop = asking(Some(&in_v2(&[offer("10000")])), "{}", act);
        let response = call(&pay(), &shop, get()).await.unwrap();
        let refused = response.extensions().get::<Refused>().unwrap_or_else(|| panic!("{status}"));
        let receipt = refused.receipt.as_ref().unwrap();
        assert_eq!((receipt.success, receipt.reason), (false, Some(h402_core::ErrorReason::InsufficientFunds)));
        assert_eq!(shop.seen.lock().unwrap().len(), 2);
    }
}

/// A payment of any dialect survives the journal byte for byte, and goes out in its own header.
#[tokio::test]
async fn records_keep_the_dialect() {
    let cases = [
        (asking(Some(&in_v2(&[offer("10000")])), "{}", answer(200, "")), Dialect::X402V2, "payment-signature"),
        (asking(None, &in_v1("10000").to_string(), answer(200, "")), Dialect::X402V1, "x-payment"),
        (asking(None, &challenge(), answer(200, "")), Dialect::H402V1, "x-payment"),
    ];
    for (shop, dialect, header) in cases {
        let response = call(&pay(), &shop, get()).await.unwrap();
        let payment = response.extensions().get::<Paid>().unwrap().payment.clone();
        let read = SignedPayment::from_record(&payment.to_record(), cap().assets()).unwrap();
        assert_eq!((read.dialect(), &read.to_record()), (dialect, &payment.to_record()));
        let mut again = get();
        again.extensions_mut().insert(read);
        let second = Shop::new([answer(200, "")]);
        call(&pay(), &second, again).await.unwrap();
        assert_eq!(sent(&second, header), sent(&shop, header));
    }
}
