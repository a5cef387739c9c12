//! The reference client's choices, as they were captured from the h402-axios and h402-fetch packages. Its
//! transactions are signed deterministically, so where we choose alike, the header is the captured one to the byte.

use super::*;
use crate::pay::Unusable;
use serde::Deserialize;

#[derive(Deserialize)]
struct Capture {
    name: String,
    challenge: String,
    /// The captured `X-PAYMENT`; none if the reference client did not pay.
    payment: Option<String>,
}

/// What the chain said when the captures were made.
fn captured_hints(gas: u64) -> FixedHints {
    FixedHints(TransactionHints { nonce: 1, gas_price: 0x6fc8_17ba, gas })
}

fn captures() -> Vec<Capture> {
    serde_json::from_str(include_str!("captures.json")).unwrap()
}

async fn pay_captured(name: &str, gas: u64) -> (Outcome, Shop, Option<String>) {
    let capture = captures().into_iter().find(|capture| capture.name == name).unwrap();
    let shop = Shop::new([answer(402, capture.challenge.clone()), answer(200, "ok")]);
    let wallet = EvmWallet::from_key(key()).with_transactions(captured_hints(gas), Amount::from_atomic(u128::MAX));
    // The greatest price among the captures is 0.2 USDT.
    let usdt = Assets::known().by_symbol(Network::Evm(8453), "USDT").unwrap().clone();
    let pay = Pay::new(wallet, cap().allow(usdt, Amount::from_atomic(200_000)));
    let origin: serde_json::Value = serde_json::from_str(&capture.challenge).unwrap();
    let port = if origin.to_string().contains(":4031/") { 4031 } else { 4041 };
    let port = if origin.to_string().contains(":4032/") { 4032 } else { port };
    let request = Request::get(format!("http://127.0.0.1:{port}/called")).body(Full::default()).unwrap();
    let outcome = call(&pay, &shop, request).await;
    (outcome, shop, capture.payment)
}

#[tokio::test]
async fn the_captured_payments_are_made_byte_for_byte() {
    let cases = [
        ("client-axios-always402", 0xc99e),
        ("client-axios-maxok", 0xc99e),
        ("client-fetch-maxok", 0xc99e),
        ("client-axios-max", 0xc9aa),
        // No resource: both sign the text with the time.
        ("client-axios-extra", 0xc99e),
        ("fetch-max-ignored", 0xc99e),
        ("express-evm-native-axios", 0x5208),
        ("express-price-axios", 0xc99e),
    ];
    for (name, gas) in cases {
        let (outcome, shop, captured) = pay_captured(name, gas).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
        assert_eq!(shop.payments(), [None, captured], "{name}");
    }
}

/// Where the reference client crashes or pays what its own servers refuse, we do better on purpose.
#[tokio::test]
async fn wanted_differences_to_the_reference_client() {
    let captured_payment = |name: &str| captures().into_iter().find(|capture| capture.name == name).unwrap().payment.unwrap();

    // It throws on a price written as a string, and on `accepts` as an object: both mean what they say.
    for name in ["client-axios-str", "client-axios-obj"] {
        let (outcome, shop, captured) = pay_captured(name, 0xc99e).await;
        assert!(outcome.is_ok() && captured.is_none(), "{name}: {outcome:?}");
        assert_eq!(shop.payment(), captured_payment("client-axios-always402"), "{name}");
    }

    // It cannot express 0.01 of a coin in wei.
    let (outcome, shop, captured) = pay_captured("ref-full-evm-native-atomic", 0x5208).await;
    assert!(outcome.is_ok() && captured.is_none(), "{outcome:?}");
    let paid = transfer(&shop.payment());
    assert_eq!((paid.value, paid.input.len()), (Amount::from_units("0.01", 18).unwrap().to_u256(), 0));

    // Of native coin and stablecoin on one network it pays the stablecoin, and the server, which looks at the
    // first offer of the network only, refuses it. We pay the first.
    let (outcome, shop, captured) = pay_captured("ref-multi-evm", 0x5208).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(transfer(&captured.unwrap()).to.unwrap().to_string(), "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2");
    assert_eq!(transfer(&shop.payment()).to.unwrap().to_string(), PAYEE);
}

#[tokio::test]
async fn what_the_reference_client_does_not_pay_we_do_not_pay() {
    for name in ["client-axios-float", "client-axios-noscheme", "client-axios-otherns", "client-axios-1", "client-axios-43114"] {
        let (outcome, shop, captured) = pay_captured(name, 0xc99e).await;
        assert!(
            matches!(&outcome, Err(PayError::NothingAffordable(why)) if matches!(why[..], [Unusable::Skipped(_)])),
            "{name}: {outcome:?}"
        );
        assert_eq!((shop.payments().len(), captured), (1, None), "{name}");
    }
    // Its resource is "not a url".
    let (outcome, shop, captured) = pay_captured("client-axios-nodesc", 0xc99e).await;
    assert!(matches!(outcome, Err(PayError::ForeignResource { .. })), "{outcome:?}");
    assert_eq!((shop.payments().len(), captured), (1, None));
}

/// The reference's limit of 1 did not stop this payment.
#[tokio::test]
async fn a_cap_of_one_unit_stops_the_payment_it_is_for() {
    let capture = captures().into_iter().find(|capture| capture.name == "fetch-max-ignored").unwrap();
    let shop = Shop::new([answer(402, capture.challenge)]);
    let usdt = Assets::known().by_symbol(Network::Evm(8453), "USDT").unwrap().clone();
    let wallet = EvmWallet::from_key(key()).with_transactions(captured_hints(1), Amount::from_atomic(u128::MAX));
    let pay = Pay::new(wallet, Cap::new().allow(usdt, Amount::from_atomic(1)));
    let request = Request::get("http://127.0.0.1:4031/evm").body(Full::default()).unwrap();
    let outcome = call(&pay, &shop, request).await;
    assert!(matches!(outcome, Err(PayError::OverCap { price, .. }) if price == Amount::from_atomic(10_000)), "{outcome:?}");
}

fn transfer(header: &str) -> h402_core::evm::EvmTransaction {
    match h402::decode_payment(header.as_bytes()).unwrap().payload {
        Payload::EvmTransaction(signed) => h402_core::evm::EvmTransaction::decode(&signed.raw).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_capture_is_used() {
    assert_eq!(captures().len(), 18);
}
