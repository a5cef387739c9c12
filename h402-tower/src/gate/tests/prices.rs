//! Prices that change, that depend on the request, and that depend on its body.

use super::kit::*;
use crate::gate::{CollectBody, CollectedBody, Payee, Price, PriceError, Pricing, Quote};
use h402_core::{Amount, Assets, Clock as _, Network, Offer};
use http::{Request, Response};
use http_body_util::Full;
use std::{convert::Infallible, sync::atomic::Ordering::SeqCst, time::Duration};
use tower::{Layer as _, ServiceBuilder, service_fn};

/// What was quoted within the last minute can be paid; before that, it cannot.
#[tokio::test]
async fn a_quoted_price_is_honoured_for_its_time_and_no_longer() {
    let shop = Shop::new();
    let (price, handle) = price_of(100).changeable();
    let service = shop.open(shop.gate_at(price).with_quote_ttl(Duration::from_secs(60)), hello);
    let pays = |nonce, value| paid(&Cheque { nonce, value, ..Cheque::default() }.header());
    assert_eq!(send(&service, pays(1, 100)).await.status, 200);
    handle.set_at(price_of(200), shop.clock.now()).unwrap();
    let challenge = send(&service, get("/item")).await.json();
    assert_eq!(challenge["accepts"][0]["amountRequired"], 200);
    shop.clock.move_on(59);
    assert_eq!(send(&service, pays(2, 100)).await.status, 200, "quoted a moment ago");
    assert_eq!(send(&service, pays(3, 99)).await.status, 402, "never quoted");
    assert_eq!(send(&service, pays(4, 200)).await.status, 200);
    shop.clock.move_on(1);
    let late = send(&service, pays(5, 100)).await;
    assert_eq!(late.status, 402, "quoted a minute ago");
    assert!(late.error().starts_with("invalid_exact_evm_payload_authorization_value: "), "{}", late.error());
    // The facilitator is asked for what was quoted, not for what was paid above it.
    assert_eq!(shop.bank.asked().iter().map(|(_, amount, _)| *amount).collect::<Vec<_>>(), [100, 100, 200].map(Amount::from_atomic));
}

/// A minute's changes are all honoured, up to 64 versions; payees and assets that are gone too.
#[tokio::test]
async fn the_last_64_versions_are_honoured() {
    let shop = Shop::new();
    let elsewhere = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let other_payee = Price::offers([Offer::new(usdc(), Amount::from_atomic(1), elsewhere.parse().unwrap()).unwrap()]).unwrap();
    let (price, handle) = other_payee.changeable();
    let service = shop.open(shop.gate_at(price), hello);
    for version in 1..=63 {
        handle.set_at(price_of(1000 + version), shop.clock.now()).unwrap();
    }
    let first = Cheque { value: 1, to: elsewhere, ..Cheque::default() };
    assert_eq!(send(&service, paid(&first.header())).await.status, 200);
    handle.set_at(price_of(5000), shop.clock.now()).unwrap();
    let gone = Cheque { nonce: 2, value: 1, to: elsewhere, ..Cheque::default() };
    assert_eq!(send(&service, paid(&gone.header())).await.status, 402);
    assert_eq!(send(&service, paid(&Cheque { nonce: 3, value: 1001, ..Cheque::default() }.header())).await.status, 200);
    assert_eq!(send(&service, paid(&Cheque { nonce: 4, value: 1000, ..Cheque::default() }.header())).await.status, 402);
}

/// A 402 that was written before says the price and the URL of the request at hand, with more prices than are kept.
#[tokio::test]
async fn every_402_is_of_its_own_request() {
    let shop = Shop::new();
    let quotes: Vec<_> = (1..=20).map(|amount| price_of(amount).quote().unwrap()).collect();
    let price = Price::per_request(move |request| {
        let at: usize = request.uri.query().and_then(|query| query.parse().ok()).ok_or(PriceError::NotFound)?;
        quotes.get(at - 1).cloned().ok_or(PriceError::NotFound)
    });
    let service = shop.open(shop.gate_at(price), hello);
    let rounds = (1..=20).chain(1..=20).chain([3, 3, 20, 3]);
    for (at, amount) in rounds.enumerate() {
        let path = format!("/item{at}?{amount}");
        let answer = send(&service, get(&path)).await;
        let accepts = &answer.json()["accepts"];
        assert_eq!(answer.status, 402, "{path}");
        assert_eq!(accepts.as_array().map(Vec::len), Some(1), "{path}");
        assert_eq!(accepts[0]["amountRequired"], amount, "{path}");
        assert_eq!(accepts[0]["resource"], format!("https://api.example{path}"), "{path}");
    }
}

#[tokio::test]
async fn a_price_is_computed_from_the_request() {
    let shop = Shop::new();
    let (small, large) = (price_of(100).quote().unwrap(), price_of(900).quote().unwrap());
    let price = Price::per_request(move |request| match request.uri.query() {
        None => Ok(Quote::Free),
        Some("size=small") => Ok(small.clone()),
        Some("size=large") => Ok(large.clone().upfront()),
        Some("size=none") => Err(PriceError::NotFound),
        Some("size=later") => Err(PriceError::Unavailable),
        Some(_) => Err(PriceError::BadRequest("size is small or large".to_owned())),
    });
    let service = shop.open(shop.gate_at(price), hello);
    for (path, status, word) in [
        ("/item", 200, ""),
        ("/item?size=none", 404, "not_found"),
        ("/item?size=later", 503, "price_unavailable"),
        ("/item?size=huge", 400, "bad_request"),
    ] {
        let answer = send(&service, get(path)).await;
        assert_eq!((answer.status, answer.error().as_str()), (status, word), "{path}");
    }
    let pays = |path, nonce, value| with_payment(get(path), &Cheque { nonce, value, ..Cheque::default() }.header());
    assert_eq!(send(&service, pays("/item?size=small", 1, 100)).await.status, 200);
    assert_eq!(send(&service, pays("/item?size=large", 2, 100)).await.status, 402);
    assert_eq!(send(&service, pays("/item?size=large", 3, 900)).await.status, 200);
}

/// T104, T016: where the price depends on the body, the payment opens this body and no other.
#[tokio::test]
async fn t104_a_payment_opens_one_body() {
    let shop = Shop::new();
    let price = Price::by_body(|_, body| {
        let quantity: u128 =
            std::str::from_utf8(body).ok().and_then(|text| text.parse().ok()).ok_or(PriceError::BadRequest("a number".into()))?;
        Ok(price_of(quantity * 100).quote().unwrap())
    });
    let runs = shop.runs.clone();
    let service = ServiceBuilder::new()
        .layer(CollectBody::new(16))
        .layer(shop.gate_at(price).with_collected_body().build().unwrap())
        .service(service_fn(move |request: Request<CollectedBody>| {
            runs.fetch_add(1, SeqCst);
            let bytes = request.into_body().into_bytes();
            async move { Ok::<_, Infallible>(Response::new(Full::new(bytes))) }
        }));
    let post = |body: &'static str, header: Option<&str>| {
        let request = Request::post("/order").header("host", "api.example").body(full(body)).unwrap();
        header.map_or(request.clone(), |header| with_payment(request, header))
    };
    assert_eq!(send(&service, post("3", None)).await.json()["accepts"][0]["amountRequired"], 300);
    let header = Cheque { value: 300, ..Cheque::default() }.header();
    assert_eq!(send(&service, post("5", Some(&header))).await.status, 402, "too little for five");
    let first = send(&service, post("3", Some(&header))).await;
    assert_eq!((first.status, &first.body[..]), (200, &b"3"[..]));
    for other in ["2", "03", "3 ", "1"] {
        let answer = send(&service, post(other, Some(&header))).await;
        assert!(
            matches!((answer.status, answer.error().as_str()), (409, "payment_already_used") | (400, "bad_request")),
            "{other}: {answer:?}"
        );
    }
    // Even where the other body costs more than was paid, the payment is known: no second one is asked for.
    assert_eq!(send(&service, post("5", Some(&header))).await.error(), "payment_already_used");
    assert_eq!(send(&service, post("3", Some(&header))).await, first);
    assert_eq!(send(&service, post("12345678901234567", None)).await.status, 413);
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
}

/// Dollars become every pegged asset of the payees' networks, those that need no gas first, exactly or not at all.
#[test]
fn dollars_are_expanded_exactly() {
    let assets = Assets::known();
    let payee = |chain| Payee::new(Network::Evm(chain), PAYEE.parse().unwrap());
    let Some(Quote::Offers(base_and_bsc)) = Price::usd("0.01").to(&[payee(8453), payee(56)], &assets).unwrap().quote() else { panic!() };
    let offers: Vec<_> =
        base_and_bsc.offers.iter().map(|offer| (offer.network(), offer.asset.symbol.as_str(), offer.amount.to_string())).collect();
    let (base, bsc) = (Network::Evm(8453), Network::Evm(56));
    let want = [(base, "USDC", "10000"), (base, "USDT", "10000"), (bsc, "USDC", "10000000000000000"), (bsc, "USDT", "10000000000000000")];
    assert_eq!(offers, want.map(|(network, symbol, amount)| (network, symbol, amount.to_owned())));
    let refused = |dollars: &str, payees: &[Payee]| Price::usd(dollars).to(payees, &assets).unwrap_err().to_string();
    assert_eq!(refused("0.0000001", &[payee(8453)]), "price: more fraction digits than the asset's 6 decimals");
    assert_eq!(refused("0", &[payee(8453)]), "price: amount is zero");
    assert_eq!(refused("$1", &[payee(8453)]), "price: not a decimal number");
    assert_eq!(refused("1", &[]), "no offer; a route without a price must say that it is free");
    assert_eq!(refused("1", &[payee(31337)]), "no configured asset on eip155:31337 is pegged to the dollar");
    assert!(refused("1", &[payee(8453), payee(8453)]).starts_with("two offers of USDC on eip155:8453"));
}

#[test]
fn a_new_price_must_fit_the_gate_that_was_built() {
    let by_body = || Price::by_body(|_, _| Ok(Quote::Free));
    let (price, handle) = price().upfront().changeable();
    assert!(!price.reads_body() && !price.may_capture());
    assert!(handle.set(price_of(1)).is_err(), "captures");
    assert!(handle.set(by_body().upfront()).is_err(), "reads the body");
    assert!(handle.set(price_of(1).upfront()).is_ok());
    assert_eq!(price.current(), crate::gate::PriceVersion(1));
    let (_, handle) = by_body().changeable();
    assert!(handle.set(price_of(1)).is_ok());
    assert!(handle.set(by_body()).is_ok());
}

/// The layer and the service are `Clone`, `Send` and `'static` over any body, and a gate is one gate on many routes.
#[tokio::test]
async fn one_gate_on_two_routes_is_one_door_per_payment() {
    let shop = Shop::new();
    let layer = shop.gate().build().unwrap();
    let route = |text: &'static str| {
        layer.layer(service_fn(move |_: Request<Full<bytes::Bytes>>| async move { Ok::<_, Infallible>(Response::new(full(text))) }))
    };
    let (one, two) = (route("one"), route("two"));
    let header = Cheque::default().header();
    assert_eq!(send(&one, with_payment(get("/one"), &header)).await.status, 200);
    assert_eq!(send(&two, with_payment(get("/two"), &header)).await.status, 409);
}
