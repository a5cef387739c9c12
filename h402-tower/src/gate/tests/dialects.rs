//! One route, three dialects.

use super::kit::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use h402_core::{Amount, Offer};
use http::{HeaderName, Request};
use http_body_util::Full;
use serde_json::{Value, json};

/// A header as it is spelled, without our own reader.
pub(super) fn decoded(header: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(header).unwrap()).unwrap()
}

pub(super) fn encoded(json: &Value) -> String {
    STANDARD.encode(serde_json::to_vec(json).unwrap())
}

pub(super) fn challenge(answer: &Answer) -> Value {
    decoded(answer.header("payment-required").expect("PAYMENT-REQUIRED"))
}

/// What a payer of version 2 sends for the first offer of a 402: the offer as it stood there, and the authorization.
pub(super) fn in_v2(challenge: &Value, cheque: &Cheque) -> Value {
    let authorization = decoded(&cheque.header())["payload"].clone();
    json!({
        "x402Version": 2,
        "resource": challenge["resource"],
        "accepted": challenge["accepts"][0],
        "payload": {"signature": authorization["signature"], "authorization": authorization["authorization"]},
    })
}

pub(super) fn in_v1(cheque: &Cheque) -> Value {
    let authorization = decoded(&cheque.header())["payload"].clone();
    json!({
        "x402Version": 1, "scheme": "exact", "network": "base",
        "payload": {"signature": authorization["signature"], "authorization": authorization["authorization"]},
    })
}

pub(super) fn with(name: &'static str, value: &str) -> Request<Full<Bytes>> {
    let mut request = get("/item");
    request.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
    request
}

pub(super) fn signed(payment: &Value) -> Request<Full<Bytes>> {
    with("payment-signature", &encoded(payment))
}

/// One 402 asks in h402 and in x402 version 2; the words on the wire are from the reference programs' captures.
#[tokio::test]
async fn one_402_asks_in_h402_and_in_x402() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_description("weather"), hello);
    let answer = send(&service, get("/item?id=1")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (402, Some("no-store")));
    assert_eq!(answer.header("access-control-expose-headers"), Some("PAYMENT-REQUIRED"));
    assert_eq!(answer.json()["h402Version"], 1);
    let want = json!({
        "x402Version": 2,
        "error": "Payment required",
        "resource": {"url": "https://api.example/item?id=1", "description": "weather"},
        "accepts": [{
            "scheme": "exact", "network": "eip155:8453", "amount": "10000",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "payTo": PAYEE, "maxTimeoutSeconds": 70,
            "extra": {"name": "USD Coin", "version": "2"},
        }],
    });
    assert_eq!(challenge(&answer), want);
}

/// The body speaks h402 or x402 version 1, the header x402 version 2 with either.
#[tokio::test]
async fn the_bodys_dialect_is_configured() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_x402_v1_body(), hello);
    let answer = send(&service, get("/item")).await;
    let want = json!({
        "x402Version": 1,
        "error": "X-PAYMENT header is required",
        "accepts": [{
            "scheme": "exact", "network": "base", "maxAmountRequired": "10000", "resource": "https://api.example/item",
            "description": "", "mimeType": "", "payTo": PAYEE, "maxTimeoutSeconds": 70,
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "extra": {"name": "USD Coin", "version": "2"},
        }],
    });
    assert_eq!(answer.json(), want);
    assert_eq!(challenge(&answer)["x402Version"], 2);
    let refused = send(&service, with("x-payment", &encoded(&in_v1(&Cheque { value: 9_999, ..Cheque::default() })))).await;
    assert!(refused.error().starts_with("invalid_exact_evm_payload_authorization_value: "), "{}", refused.error());
    assert_eq!(refused.json()["x402Version"], 1);
}

/// Answers come in the dialect that was paid in, whatever the body of the 402 speaks.
#[tokio::test]
async fn receipts_speak_the_payers_dialect() {
    let shop = Shop::new();
    for gate in [shop.gate(), shop.gate().with_x402_v1_body()] {
        let service = shop.open(gate, hello);
        let asked = challenge(&send(&service, get("/item")).await);
        let runs = u8::try_from(shop.runs()).unwrap();
        let cheque = |at: u8| Cheque::nonce(runs + at);
        let transaction = |cheque: &Cheque| format!("0x{}", cheque.key());
        for (at, request, header, network) in [
            (1, paid(&cheque(1).header()), "x-payment-response", None),
            (2, with("x-payment", &encoded(&in_v1(&cheque(2)))), "x-payment-response", Some("base")),
            (3, signed(&in_v2(&asked, &cheque(3))), "payment-response", Some("eip155:8453")),
        ] {
            let answer = send(&service, request).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]), "{at}");
            assert_eq!(answer.header("access-control-expose-headers").map(str::to_lowercase).as_deref(), Some(header), "{at}");
            let receipt = decoded(answer.header(header).unwrap());
            assert_eq!((&receipt["success"], &receipt["transaction"]), (&json!(true), &json!(transaction(&cheque(at)))), "{at}");
            if let Some(network) = network {
                let payer = h402_core::Address::from(payer().address()).to_string();
                assert_eq!((&receipt["network"], &receipt["payer"]), (&json!(network), &json!(payer)), "{at}");
            }
            let other = if header == "payment-response" { "x-payment-response" } else { "payment-response" };
            assert_eq!((answer.header(other), answer.header("payment-required")), (None, None), "{at}");
        }
    }
}

/// T012, T111: a payment is what was signed and not how it is spelled: in any two dialects it opens one door.
#[tokio::test]
async fn t012_t111_one_authorization_in_every_dialect_opens_one_door() {
    let dialects = ["h402", "x402 version 1", "x402 version 2"];
    for first in dialects {
        for second in dialects {
            let shop = Shop::new();
            let service = shop.open(shop.gate(), hello);
            let asked = challenge(&send(&service, get("/item")).await);
            let request = |dialect: &str, path: &str| {
                let cheque = Cheque::default();
                let mut request = match dialect {
                    "h402" => paid(&cheque.header()),
                    "x402 version 1" => with("x-payment", &encoded(&in_v1(&cheque))),
                    _ => signed(&in_v2(&asked, &cheque)),
                };
                *request.uri_mut() = path.parse().unwrap();
                request
            };
            assert_eq!(send(&service, request(first, "/item")).await.status, 200, "{first}");
            let again = send(&service, request(second, "/item")).await;
            assert_eq!((again.status, &again.body[..]), (200, &b"hello"[..]), "{first}, {second}: what was kept");
            let receipt = if second == "x402 version 2" { "payment-response" } else { "x-payment-response" };
            assert_eq!(decoded(again.header(receipt).unwrap())["success"], true, "{first}, {second}");
            assert_eq!(send(&service, request(second, "/other")).await.status, 409, "{first}, {second}: another request");
            assert_eq!((shop.runs(), shop.bank.settled()), (1, 1), "{first}, {second}");
            // Twin: another authorization opens the other request.
            let twin = send(&service, {
                let mut r = paid(&Cheque::nonce(2).header());
                *r.uri_mut() = "/other".parse().unwrap();
                r
            })
            .await;
            assert_eq!((twin.status, shop.runs()), (200, 2));
        }
    }
}

/// T111: the header and the version in it say which decoder reads it, and no other does.
#[tokio::test]
async fn t111_every_payment_has_one_dialect() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    let (v1, v2) = (in_v1(&Cheque::default()), in_v2(&asked, &Cheque::default()));
    let h402 = decoded(&Cheque::default().header());
    let bent = |json: &Value, field: &str, value: Value| {
        let mut json = json.clone();
        json[field] = value;
        encoded(&json)
    };
    let games = [
        ("version 2 in the header of version 1", "x-payment", encoded(&v2), 402),
        ("version 1 in the header of version 2", "payment-signature", encoded(&v1), 400),
        ("h402 in the header of version 2", "payment-signature", encoded(&h402), 400),
        ("both versions", "x-payment", bent(&v1, "h402Version", json!(1)), 402),
        ("both versions", "x-payment", bent(&h402, "x402Version", json!(1)), 402),
        ("both versions", "payment-signature", bent(&v2, "h402Version", json!(1)), 400),
        ("version 0", "x-payment", bent(&v1, "x402Version", json!(0)), 402),
        ("version 3", "payment-signature", bent(&v2, "x402Version", json!(3)), 402),
        ("version as a text", "payment-signature", bent(&v2, "x402Version", json!("2")), 402),
        (
            "a name of version 1 in version 2",
            "payment-signature",
            {
                let mut v2 = v2.clone();
                v2["accepted"]["network"] = json!("base");
                encoded(&v2)
            },
            400,
        ),
        ("CAIP-2 in version 1", "x-payment", bent(&v1, "network", json!("eip155:8453")), 402),
        ("not base64", "payment-signature", "{}".to_owned(), 400),
        ("not JSON", "payment-signature", "eA==".to_owned(), 400),
        ("nothing in it", "payment-signature", encoded(&json!({})), 400),
    ];
    for (game, name, value, status) in games {
        let answer = send(&service, with(name, &value)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-store")), "{game}");
        assert_eq!(answer.header("payment-required").is_some(), status == 402, "{game}");
    }
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    // Twins: as they were.
    assert_eq!(send(&service, with("x-payment", &encoded(&v1))).await.status, 200);
    assert_eq!(send(&service, signed(&v2)).await.status, 200);
}

/// T096: one payment header of one dialect, once; whatever else there is, nothing is looked at.
#[tokio::test]
async fn t096_payment_signature_is_one_header_too() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    let (one, two) = (encoded(&in_v2(&asked, &Cheque::nonce(1))), encoded(&in_v2(&asked, &Cheque::nonce(2))));
    let also = |name: &'static str, value: &str| {
        let mut request = with("payment-signature", &one);
        request.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
        request
    };
    for (game, request) in [
        ("two of them", also("payment-signature", &two)),
        ("the same twice", also("payment-signature", &one)),
        ("with X-PAYMENT", also("x-payment", &encoded(&in_v1(&Cheque::nonce(1))))),
        ("with an empty X-PAYMENT", also("x-payment", "")),
        ("joined", with("payment-signature", &format!("{one},{two}"))),
        ("named in Connection", also("connection", "keep-alive, Payment-Signature")),
    ] {
        let answer = send(&service, request).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_payload"), "{game}");
    }
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    assert_eq!(send(&service, also("connection", "keep-alive")).await.status, 200);
    let long = with("payment-signature", &"A".repeat(16 * 1024 + 1));
    assert_eq!(send(&service, long).await.status, 431);
}

/// T106: no payment header reaches the handler, and no handler says what only a gate may say.
#[tokio::test]
async fn t106_payments_stop_at_the_gate_and_so_do_others_challenges() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), |request: Request<Full<Bytes>>| async move {
        let seen = ["x-payment", "payment-signature", "payment-response", "payment-required"]
            .iter()
            .any(|name| request.headers().contains_key(*name));
        http::Response::builder()
            .header("payment-required", "e30=")
            .header("payment-response", "e30=")
            .body(full(seen.to_string()))
            .unwrap()
    });
    let asked = challenge(&send(&service, get("/item")).await);
    let mut request = signed(&in_v2(&asked, &Cheque::default()));
    request.headers_mut().insert("payment-response", "e30=".parse().unwrap());
    let answer = send(&service, request).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"false"[..]));
    assert_eq!(answer.header("payment-required"), None);
    assert_eq!(decoded(answer.header("payment-response").unwrap())["success"], true);
}

/// T110: `accepted` selects and does not decide. What it says must be an offer of ours, and what was signed must pay that.
#[tokio::test]
async fn t110_accepted_selects_and_the_signature_decides() {
    let shop = Shop::new();
    let other = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let offer = |amount, payee: &str| Offer::new(usdc(), Amount::from_atomic(amount), payee.parse().unwrap()).unwrap();
    let price = crate::gate::Price::offers([offer(PRICE, PAYEE), offer(5_000, other)]).unwrap();
    let service = shop.open(shop.gate_at(price), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    let honest = in_v2(&asked, &Cheque::default());
    let bent = |field: &str, value: Value| {
        let mut bent = honest.clone();
        *bent["accepted"].pointer_mut(field).unwrap() = value;
        signed(&bent)
    };
    let mut second = honest.clone();
    second["accepted"] = asked["accepts"][1].clone();
    for (game, request) in [
        ("a lower amount", bent("/amount", json!("9999"))),
        ("another payee", bent("/payTo", json!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"))),
        ("another asset", bent("/asset", json!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"))),
        ("another network", bent("/network", json!("eip155:1"))),
        ("another scheme", bent("/scheme", json!("upto"))),
        ("another token name", bent("/extra/name", json!("USDC"))),
        ("another flow", {
            let mut bent = honest.clone();
            bent["accepted"]["extra"]["paymentFlow"] = json!("upfront");
            signed(&bent)
        }),
        ("another offer than was signed for", signed(&second)),
    ] {
        let answer = send(&service, request).await;
        assert_eq!(answer.status, 402, "{game}");
        assert_eq!(challenge(&answer)["accepts"], asked["accepts"], "{game}");
    }
    assert_eq!((shop.runs(), shop.bank.verified()), (0, 0));
    // Twins: what a reference client adds or leaves out is nobody's business; the second offer, paid.
    let mut lenient = honest.clone();
    lenient["accepted"]["extra"] = json!({"name": "USD Coin", "version": "2", "memo": "hello"});
    lenient["accepted"]["maxTimeoutSeconds"] = json!(1);
    lenient["resource"] = json!({"url": "https://elsewhere.example/"});
    assert_eq!(send(&service, signed(&lenient)).await.status, 200);
    second["payload"] = in_v2(&asked, &Cheque { value: 5_000, to: other, nonce: 2, ..Cheque::default() })["payload"].clone();
    assert_eq!(send(&service, signed(&second)).await.status, 200);
    assert_eq!(shop.bank.asked().iter().map(|(_, amount, _)| *amount).collect::<Vec<_>>(), [PRICE, 5_000].map(Amount::from_atomic));
}

/// T008: a payment that was taken is known again by a gate that has been started anew with another price or another flow, in x402 as
/// in h402: its payer, told to come back with it, must not be asked to pay again. What was not taken is refused.
#[tokio::test]
async fn t008_a_taken_payment_is_known_whatever_is_offered_now() {
    let shop = Shop::new();
    let asked = challenge(&send(&shop.open(shop.gate(), hello), get("/item")).await);
    let payment = in_v2(&asked, &Cheque::nonce(1));
    assert_eq!(send(&shop.open(shop.gate(), hello), signed(&payment)).await.status, 200);
    for gate in [shop.gate_at(price_of(2 * PRICE)), shop.gate_at(price_of(PRICE / 2)), shop.gate_at(price().upfront())] {
        let service = shop.open(gate, hello);
        let again = send(&service, signed(&payment)).await;
        assert_eq!((again.status, &again.body[..], shop.runs()), (200, &b"hello"[..], 1), "{}", again.error());
        assert_eq!(send(&service, signed(&in_v2(&asked, &Cheque::nonce(2)))).await.status, 402);
    }
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
}

/// A price that changed is honoured in x402 as in h402: `accepted` repeats the one that the payer was told.
#[tokio::test]
async fn a_price_of_a_moment_ago_can_be_paid_in_x402() {
    let shop = Shop::new();
    let (price, handle) = price().changeable();
    let service = shop.open(shop.gate_at(price), hello);
    let asked = challenge(&send(&service, get("/item")).await);
    handle.set_at(price_of(2 * PRICE), h402_core::Clock::now(&shop.clock)).unwrap();
    shop.clock.move_on(59);
    assert_eq!(challenge(&send(&service, get("/item")).await)["accepts"][0]["amount"], "20000");
    let honoured = send(&service, signed(&in_v2(&asked, &Cheque::nonce(1)))).await;
    assert_eq!(honoured.status, 200, "{}", honoured.error());
    shop.clock.move_on(2);
    let refused = send(&service, signed(&in_v2(&asked, &Cheque::nonce(2)))).await;
    assert_eq!((refused.status, shop.runs()), (402, 1));
}
