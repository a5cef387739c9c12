//! Prices over real sockets: static, by request, by body, in dollars, changed while somebody pays.

use super::{Door, sells_all};
use axum::{Extension, Router, extract::Request, routing::any};
use h402_core::{Amount, Asset, Assets, Clock as _, Network, Offer, Peg, asset_id, wire::h402};
use h402_devnet::evm::{Chain, TokenKind, account};
use h402_tests::{
    raw::{Ask, Reply},
    rig::{self, PAYEE, PAYER, Rig, RigOptions},
    shop::{PRICE, Runs, Shop, gate, get, header, post, price},
};
use h402_tower::gate::{CollectBody, CollectedBody, Payee, Payment, Price, PriceError, Quote};
use std::{convert::Infallible, time::Duration};

/// A fresh payment of so much, as a header.
fn pay(rig: &Rig, amount: u128) -> String {
    header(&rig.bearer(PAYER, amount))
}

/// What a 402 asks for, in atomic units, offer by offer.
fn asked(rig: &Rig, reply: &Reply) -> Vec<Amount> {
    assert_eq!(reply.status, 402, "{reply:?}");
    let assets = Assets::none().with((*rig.asset).clone());
    let challenge = h402::decode_challenge(&reply.body, &assets).unwrap();
    challenge.offers.into_iter().map(|offer| offer.requirements.unwrap().offer.amount).collect()
}

/// A static price: less is refused and told so, as much is taken, more is taken and shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_paid_in_full() {
    let rig = Rig::start().await;
    let tell = async |payment: Extension<Payment>| format!("{} {} {:?}", payment.payer, payment.amount, payment.run);
    let shop = Shop::open(Router::new().route("/a", any(tell)).route_layer(gate(&rig, price(&rig, PRICE)).build().unwrap())).await;
    assert_eq!(asked(&rig, &shop.ask(&get("/a")).await), [Amount::from_atomic(PRICE)]);
    for less in [1, PRICE - 1] {
        let refused = shop.ask(&get("/a").paying(&pay(&rig, less))).await;
        assert_eq!((refused.status, refused.word().as_str()), (402, "invalid_exact_evm_payload_authorization_value"), "{less}");
    }
    let before = rig.received();
    for enough in [PRICE, PRICE + 1, 7 * PRICE] {
        let sold = shop.ask(&get("/a").paying(&pay(&rig, enough))).await;
        assert_eq!(sold.status, 200, "{sold:?}");
        assert_eq!(sold.text(), format!("{} {enough} 1", account(PAYER).address));
    }
    assert_eq!(rig.received() - before, alloy_primitives::U256::from(9 * PRICE + 1));
}

/// A price by request: what is dearer is not opened with what pays for the cheaper, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_price_by_request_is_that_request_s() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let [small, large] = [PRICE, 5 * PRICE].map(|amount| price(&rig, amount).quote().unwrap());
    let by_size = Price::per_request(move |parts| match parts.uri.query() {
        Some("large") => Ok(large.clone()),
        Some("small") => Ok(small.clone()),
        Some("free") => Ok(Quote::Free),
        Some("gone") => Err(PriceError::NotFound),
        Some("later") => Err(PriceError::Unavailable),
        _ => Err(PriceError::BadRequest("size is small or large".to_owned())),
    });
    let counted = runs.clone();
    let handler = any(async move |payment: Option<Extension<Payment>>| {
        counted.add();
        if payment.is_some() { "paid" } else { "free" }
    });
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(gate(&rig, by_size).build().unwrap())).await;
    assert_eq!(asked(&rig, &shop.ask(&get("/a?small")).await), [Amount::from_atomic(PRICE)]);
    assert_eq!(asked(&rig, &shop.ask(&get("/a?large")).await), [Amount::from_atomic(5 * PRICE)]);
    let before = Door::look(&rig, &runs);
    let cheap = pay(&rig, PRICE);
    for (target, status) in [("/a?large", 402), ("/a?gone", 404), ("/a?later", 503), ("/a?other", 400), ("/a", 400)] {
        assert_eq!(shop.ask(&get(target).paying(&cheap)).await.status, status, "{target}");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    assert_eq!(shop.ask(&get("/a?free")).await.text(), "free");
    assert_eq!(shop.ask(&get("/a?small").paying(&cheap)).await.text(), "paid");
    assert_eq!(shop.ask(&get("/a?large").paying(&pay(&rig, 5 * PRICE))).await.text(), "paid");
    assert_eq!(shop.ask(&get("/a?large").paying(&cheap)).await.status, 409);
    assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 2 });
}

/// T104: a price by body is that body's: the one for one piece does not buy a thousand.
#[tokio::test(flavor = "multi_thread")]
async fn t104_a_price_by_body_is_that_body_s() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let offer = Offer::clone(&rig.offer(1));
    let by_pieces = Price::by_body(move |_, body| {
        let pieces = std::str::from_utf8(body).ok().and_then(|text| text.parse::<u128>().ok()).filter(|pieces| *pieces > 0);
        let pieces = pieces.ok_or_else(|| PriceError::BadRequest("how many?".to_owned()))?;
        let offer = Offer::new(offer.asset.clone(), Amount::from_atomic(pieces * PRICE), offer.pay_to);
        let offers = offer.and_then(|offer| h402_core::Offers::new(vec![offer.into()]));
        Ok(Quote::offers(offers.map_err(|error| PriceError::BadRequest(error.to_string()))?))
    });
    let counted = runs.clone();
    let handler = tower::service_fn(move |request: Request<CollectedBody>| {
        counted.add();
        let text = format!("{} pieces", String::from_utf8_lossy(request.into_body().bytes()));
        async move { Ok::<_, Infallible>(axum::response::Response::new(axum::body::Body::from(text))) }
    });
    let gate = gate(&rig, by_pieces).with_collected_body().build().unwrap();
    let sells = tower::ServiceBuilder::new().layer(CollectBody::new(8)).layer(gate).service(handler);
    let shop = Shop::open(Router::new().route_service("/a", sells)).await;
    assert_eq!(asked(&rig, &shop.ask(&post("/a", "1")).await), [Amount::from_atomic(PRICE)]);
    assert_eq!(asked(&rig, &shop.ask(&post("/a", "1000")).await), [Amount::from_atomic(1000 * PRICE)]);
    assert_eq!(shop.ask(&post("/a", "none")).await.status, 400);
    assert_eq!(shop.ask(&post("/a", "100000000")).await.status, 413);
    let announced = Ask::new("POST", "/a", h402_tests::shop::HOST).with("Expect", "100-continue").with("Content-Length", "9");
    let refused = shop.ask(&announced).await;
    assert_eq!((refused.status, refused.interim.as_slice()), (413, [].as_slice()), "nobody asks for what is too long");
    let before = Door::look(&rig, &runs);
    let one = pay(&rig, PRICE);
    assert_eq!(shop.ask(&post("/a", "1000").paying(&one)).await.status, 402);
    assert_eq!(shop.ask(&post("/a", "1").paying(&one)).await.text(), "1 pieces");
    assert_eq!(shop.ask(&post("/a", "1000").paying(&one)).await.status, 409);
    assert_eq!(shop.ask(&post("/a", "1000").paying(&pay(&rig, 1000 * PRICE))).await.text(), "1000 pieces");
    assert_eq!(before.since(&rig, &runs), Door { runs: 2, transfers: 2 });
}

/// A price in dollars is offered in each pegged asset, and each of them pays it; not another, and not too little.
#[tokio::test(flavor = "multi_thread")]
async fn t110_a_price_in_dollars_is_paid_in_any_pegged_asset() {
    let chain = Chain::builder().start().await.unwrap();
    let [euro, other, unpegged] = ["Euro", "Other Dollar", "Points"].map(|name| (name, chain.deploy(TokenKind::usdc(name)).unwrap()));
    for (_, token) in [euro, other, unpegged] {
        chain.mint(token, account(PAYER).address, alloy_primitives::U256::from(10_000_000)).unwrap();
    }
    let token = |(name, address): (&str, alloy_primitives::Address)| {
        let id = asset_id(Network::Evm(chain.chain_id()), &address.to_string()).unwrap();
        Asset::new(id, 6, name).with_eip3009(name, "2")
    };
    let more_assets = vec![token(euro), token(other).with_peg(Peg::Usd), token(unpegged)];
    let assets = more_assets.iter().cloned().fold(Assets::none().with(rig::usdc(&chain)), Assets::with);
    let rig = Rig::with(RigOptions { chain: Some(chain.clone()), more_assets: more_assets.clone(), ..RigOptions::default() }).await;
    let payee = Payee::new(Network::Evm(chain.chain_id()), account(PAYEE).address.into());
    let runs = Runs::default();
    let price = Price::usd("0.01").to(&[payee], &assets).unwrap();
    let shop = Shop::open(sells_all(gate(&rig, price).build().unwrap(), &runs)).await;
    let challenge = h402::decode_challenge(&shop.ask(&get("/a")).await.body, &assets).unwrap();
    let offered: Vec<_> = challenge.offers.iter().map(|offer| offer.requirements.clone().unwrap().offer).collect();
    let mut symbols: Vec<_> = offered.iter().map(|offer| (offer.asset.symbol.to_string(), offer.amount)).collect();
    symbols.sort_unstable();
    let cent = Amount::from_atomic(PRICE);
    assert_eq!(symbols, [("Other Dollar".to_owned(), cent), ("USDC".to_owned(), cent)]);
    let payment = |asset: &Asset, amount| {
        let authorization = rig.authorization(PAYER, amount);
        let signed = rig::key(PAYER).sign_authorization(authorization, &asset.eip712_domain().unwrap()).unwrap();
        header(&h402_core::PaymentPayload { resource: None, ..rig.payload(h402_core::Payload::Authorization(signed)) })
    };
    for offer in offered {
        assert_eq!(shop.ask(&get("/a").paying(&payment(&offer.asset, PRICE - 1))).await.status, 402, "{offer:?}");
        let held = chain.balance_of(offer.asset.id.address.evm().unwrap(), account(PAYEE).address);
        assert_eq!(shop.ask(&get("/a").paying(&payment(&offer.asset, PRICE))).await.status, 200, "{offer:?}");
        let now = chain.balance_of(offer.asset.id.address.evm().unwrap(), account(PAYEE).address);
        assert_eq!(now - held, alloy_primitives::U256::from(PRICE));
    }
    for asset in [&more_assets[0], &more_assets[2]] {
        assert_eq!(shop.ask(&get("/a").paying(&payment(asset, 100 * PRICE))).await.status, 402, "{asset:?}");
    }
    assert_eq!(runs.count(), 2);
}

/// A price that is raised: whoever was told the old one may pay it for a minute, and no longer. One that is lowered
/// is asked for at once, and more is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_quoted_price_is_honoured_for_a_minute() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let (changing, handle) = price(&rig, PRICE).changeable();
    let shop = Shop::open(sells_all(gate(&rig, changing).with_clock(rig.clock.clone()).build().unwrap(), &runs)).await;
    let set = |amount| handle.set_at(price(&rig, amount), rig.clock.now()).unwrap();
    let status = async |amount| shop.ask(&get("/a").paying(&fresh(&rig, amount))).await.status;
    set(3 * PRICE);
    assert_eq!(asked(&rig, &shop.ask(&get("/a")).await), [Amount::from_atomic(3 * PRICE)]);
    assert_eq!(status(PRICE).await, 200, "quoted a moment ago");
    assert_eq!(status(PRICE - 1).await, 402, "never quoted");
    assert_eq!(status(3 * PRICE).await, 200);
    advance(&rig, 59);
    assert_eq!(status(PRICE).await, 200, "59 s later");
    let taken = fresh(&rig, PRICE);
    let served = shop.ask(&get("/a").paying(&taken)).await;
    assert_eq!(served.status, 200);
    advance(&rig, 2);
    let late = shop.ask(&get("/a").paying(&fresh(&rig, PRICE))).await;
    assert_eq!(asked(&rig, &late), [Amount::from_atomic(3 * PRICE)], "61 s later");
    assert_eq!(status(3 * PRICE).await, 200);
    assert_eq!(shop.ask(&get("/a").paying(&taken)).await.content(), served.content(), "it was taken in time");
    set(2 * PRICE);
    assert_eq!(asked(&rig, &shop.ask(&get("/a")).await), [Amount::from_atomic(2 * PRICE)]);
    assert_eq!((status(2 * PRICE).await, status(3 * PRICE).await, status(PRICE).await), (200, 200, 402));
    assert_eq!(runs.count(), 7);
}

fn advance(rig: &Rig, seconds: u64) {
    rig.clock.advance(Duration::from_secs(seconds));
    rig.chain.advance_time(seconds);
}

/// A payment that is good by the rig's clock.
fn fresh(rig: &Rig, amount: u128) -> String {
    let now = rig.clock.now().seconds().0;
    let times = h402_core::Authorization {
        valid_after: alloy_primitives::U256::from(now - 60),
        valid_before: alloy_primitives::U256::from(now + 120),
        ..rig.authorization(PAYER, amount)
    };
    header(&h402_core::PaymentPayload { resource: None, ..rig.signed(PAYER, times) })
}

/// T019, T020, T021: a payment must outlast its handler and the settlement, and not by too much.
#[tokio::test(flavor = "multi_thread")]
async fn t019_t020_t021_a_payment_must_outlast_its_handler() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let gate = gate(&rig, price(&rig, PRICE)).with_handler_timeout(Duration::from_secs(20)).build().unwrap();
    let shop = Shop::open(sells_all(gate, &runs)).await;
    // Handler and settlement take 45 s at most; 600 s are the most that is accepted. Seconds may pass meanwhile.
    let cases = [
        (-60, 0, 402),
        (-60, 12, 402),
        (-60, 30, 402),
        (-60, 44, 402),
        (-60, 55, 200),
        (-60, 595, 200),
        (-60, 660, 402),
        (-60, 3600, 402),
        (30, 120, 402),
        (3600, 120, 402),
        (-3600, 120, 200),
    ];
    for (after, before, status) in cases {
        let door = Door::look(&rig, &runs);
        let now = i64::try_from(rig::now()).unwrap();
        let seconds = |from_now: i64| alloy_primitives::U256::from(u64::try_from(now + from_now).unwrap());
        let times =
            h402_core::Authorization { valid_after: seconds(after), valid_before: seconds(before), ..rig.authorization(PAYER, PRICE) };
        let payment = h402_core::PaymentPayload { resource: None, ..rig.signed(PAYER, times) };
        let reply = shop.ask(&get("/a").paying(&header(&payment))).await;
        assert_eq!(reply.status, status, "{after} {before}: {reply:?}");
        let expected = if status == 200 { Door::OPENED } else { Door::SHUT };
        assert_eq!(door.since(&rig, &runs), expected, "{after} {before}");
    }
}

/// What the handler is told about the payment: all of it true, and the same key in every run.
#[tokio::test(flavor = "multi_thread")]
async fn the_handler_is_told_who_paid_and_what() {
    let rig = Rig::start().await;
    let tell = async |Extension(payment): Extension<Payment>| {
        let status = if payment.run == 1 { 500 } else { 200 };
        let moved = payment.transaction.map(|id| id.to_string()).unwrap_or_default();
        let Payment { payer, amount, asset, network, run, .. } = &payment;
        let told = format!("{payer} {amount} {} {network} {run} {} {moved}", asset.symbol, payment.idempotency_key());
        (axum::http::StatusCode::from_u16(status).unwrap(), told)
    };
    for upfront in [false, true] {
        let price = if upfront { price(&rig, PRICE).upfront() } else { price(&rig, PRICE) };
        let shop = Shop::open(Router::new().route("/a", any(tell)).route_layer(gate(&rig, price).build().unwrap())).await;
        let payment = rig.bearer(PAYER, PRICE);
        let h402_core::Payload::Authorization(signed) = &payment.payload else { panic!("no authorization") };
        let id = h402_core::PaymentId::Eip3009 {
            chain: rig.chain.chain_id(),
            token: rig.chain.usdc(),
            from: account(PAYER).address,
            nonce: signed.authorization.nonce,
        };
        let ask: Ask = get("/a").paying(&header(&payment));
        let told = [shop.ask(&ask).await, shop.ask_until_decided(&ask).await];
        assert_eq!(told.each_ref().map(|reply| reply.status), [500, 200]);
        let receipt = h402::decode_receipt(told[1].receipt().as_bytes()).unwrap().transaction.unwrap().to_string();
        for (run, reply) in (1..).zip(&told) {
            let moved = if upfront { receipt.as_str() } else { "" };
            let payer = account(PAYER).address;
            assert_eq!(reply.text(), format!("{payer} {PRICE} USDC {} {run} {} {moved}", Network::Evm(rig.chain.chain_id()), id.key()));
        }
    }
}

/// A route whose price is in a header, which is no part of what a payment opens; its handler fails the first time.
fn by_header(rig: &Rig, runs: &Runs) -> (Price, axum::routing::MethodRouter) {
    let [small, large] = [PRICE, 5 * PRICE].map(|amount| price(rig, amount).quote().unwrap());
    let price = Price::per_request(move |parts| Ok(if parts.headers.contains_key("x-large") { large.clone() } else { small.clone() }));
    let runs = runs.clone();
    let handler = any(async move |headers: axum::http::HeaderMap| {
        let size = if headers.contains_key("x-large") { "large" } else { "small" };
        let status = if runs.add() == 1 { 500 } else { 200 };
        // Of a length that is not announced, so that the answer is not kept.
        let pieces = futures_util::stream::iter([Ok::<_, Infallible>(axum::body::Bytes::from_static(size.as_bytes()))]);
        let response = axum::http::Response::builder().status(status);
        response.body(axum::body::Body::from_stream(pieces)).unwrap()
    });
    (price, handler)
}

/// T016: what is owed, and what may be delivered again, is what was paid for. The same payment with a header that
/// makes the request dearer is told so, and does not get the dearer thing for the price of the cheaper.
#[tokio::test(flavor = "multi_thread")]
async fn t016_what_is_owed_is_not_exchanged_for_something_dearer() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let (by_header, handler) = by_header(&rig, &runs);
    let gate = gate(&rig, by_header.upfront()).with_redelivery(5).build().unwrap();
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(gate)).await;
    let before = Door::look(&rig, &runs);
    let ask = get("/a").paying(&pay(&rig, PRICE));
    let dearer = ask.clone().with("X-Large", "1");
    assert_eq!(shop.ask(&ask).await.status, 500);
    for _ in 0..2 {
        let refused = shop.ask(&dearer).await;
        assert_eq!((refused.status, refused.word().as_str()), (409, "payment_already_used"), "{refused:?}");
    }
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
    let owed = shop.ask(&ask).await;
    assert_eq!((owed.status, owed.text().as_str()), (200, "small"));
    assert_eq!(shop.ask(&dearer).await.status, 409);
    let again = shop.ask(&ask).await;
    assert_eq!((again.status, again.text().as_str()), (200, "small"));
    assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 1 });
    // Honest twin: the dearer thing for its price.
    let bought = shop.ask(&get("/a").with("X-Large", "1").paying(&pay(&rig, 5 * PRICE))).await;
    assert_eq!((bought.status, bought.text().as_str()), (200, "large"));
}

/// What is owed stays owed when the price rises: at once, after the old price is forgotten, and after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_does_not_depend_on_later_prices() {
    let rig = Rig::start().await;
    let folder = rig::Folder::new();
    let origin = || h402_tower::gate::Origin::parse(h402_tests::shop::ORIGIN).unwrap();
    let open = async |price: Price, runs: &Runs| {
        let grants = h402_tests::shop::grants(&folder.path().join("grants.sqlite"), &rig.clock).await;
        let gate = h402_tower::gate::Gate::new(h402_tests::shop::remote(&rig), grants, origin(), price.upfront());
        let runs = runs.clone();
        let handler = any(
            async move || if runs.add() == 1 { (axum::http::StatusCode::BAD_GATEWAY, "") } else { (axum::http::StatusCode::OK, "goods") },
        );
        let gate = gate.with_clock(rig.clock.clone()).build().unwrap();
        Shop::open(Router::new().route("/a", handler).route_layer(gate)).await
    };
    for rises in 0..3 {
        let runs = Runs::default();
        let before = Door::look(&rig, &runs);
        let (changing, handle) = price(&rig, PRICE).changeable();
        let shop = open(changing, &runs).await;
        let ask = get("/a").paying(&pay(&rig, PRICE));
        assert_eq!(shop.ask(&ask).await.status, 502);
        let shop = match rises {
            0 => {
                handle.set_at(price(&rig, 5 * PRICE), rig.clock.now()).unwrap();
                shop
            }
            1 => {
                // More often than prices are remembered.
                for step in 0..70 {
                    handle.set_at(price(&rig, 5 * PRICE + step), rig.clock.now()).unwrap();
                }
                shop
            }
            _ => {
                drop(shop);
                open(price(&rig, 5 * PRICE), &runs).await
            }
        };
        let owed = shop.ask_until_decided(&ask).await;
        assert_eq!((owed.status, owed.text().as_str()), (200, "goods"), "{rises}: {owed:?}");
        assert_eq!(before.since(&rig, &runs), Door { runs: 2, transfers: 1 });
    }
}
