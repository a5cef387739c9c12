//! One payment, one request, one run of the handler.

use super::{Door, payer_of, sells_all, spelling::Spelling};
use axum::Router;
use h402_core::{Payload, PaymentPayload, SentEvmTransaction};
use h402_devnet::evm::account;
use h402_tests::{
    raw::{Ask, Line},
    rig::{PAYEE, PAYER, Rig, RigOptions, key},
    shop::{HOST, ORIGIN, PRICE, Runs, Shop, gate, get, header, post, price},
    transactions::sign,
};
use h402_tower::gate::{CollectBody, CollectedBody};

/// T001: one payment fifty times, by every kind of proof: one run, one transfer, the same answer every time.
#[tokio::test(flavor = "multi_thread")]
async fn t001_a_payment_again_gets_the_same_answer_again() {
    let rig = Rig::with(RigOptions { engine: Box::new(|engine| engine.accept_sent = true), ..RigOptions::default() }).await;
    let runs = Runs::default();
    let plain = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let upfront = Shop::open(sells_all(gate(&rig, price(&rig, PRICE).upfront()).build().unwrap(), &runs)).await;
    let takes_sent = gate(&rig, price(&rig, PRICE)).accept_sent_payments([7; 32]).build().unwrap();
    let takes_sent = Shop::open(sells_all(takes_sent, &runs)).await;

    let payee = account(PAYEE).address;
    let transaction = sign(3, rig.token_transfer(3, payee, PRICE));
    let challenged = rig.offered(&takes_sent.ask(&get("/sent")).await).url;
    assert!(challenged.starts_with(&format!("{ORIGIN}/sent?h402=")), "{challenged}");
    let hash = rig.send(4, rig.token_transfer(4, payee, PRICE)).await;
    let sent = SentEvmTransaction { hash, signed_message: key(4).sign_message(&challenged).unwrap() };
    let sent = PaymentPayload { resource: Some(challenged), ..rig.payload(Payload::EvmSent(sent)) };

    let cases = [
        ("authorization", &plain, "/a", rig.pay(PAYER), 1),
        ("authorization, upfront", &upfront, "/a", rig.pay(PAYER), 1),
        ("signed transaction", &plain, "/signed", header(&rig.pay_by_transaction(3, &transaction, "/signed")), 1),
        // Its transfer is on chain already.
        ("sent transaction", &takes_sent, "/sent", header(&sent), 0),
    ];
    for (name, shop, target, payment, transfers) in cases {
        let before = Door::look(&rig, &runs);
        let ask = get(target).paying(&payment);
        let first = shop.ask(&ask).await;
        assert_eq!(first.status, 200, "{name}: {first:?}");
        assert_eq!(first.text(), format!("goods {} for {}", before.runs + 1, payer_of(&first)), "{name}");
        for _ in 1..50 {
            assert_eq!(shop.ask(&ask).await.content(), first.content(), "{name}");
        }
        assert_eq!(before.since(&rig, &runs), Door { runs: 1, transfers }, "{name}");
    }
}

/// T001: one after the other on one connection, before the first answer is read.
#[tokio::test(flavor = "multi_thread")]
async fn t001_a_payment_in_a_pipeline_opens_one_door() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let before = Door::look(&rig, &runs);
    let payment = rig.pay(PAYER);
    let [a, b] = ["/a", "/b"].map(|target| get(target).paying(&payment).bytes());
    let mut line = Line::open(shop.address).await;
    line.send(&[a.clone(), a.clone(), b, a].concat()).await;
    let mut replies = Vec::new();
    for _ in 0..4 {
        replies.push(line.reply(false).await.unwrap());
    }
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200, 409, 200]);
    assert_eq!((replies[1].content(), replies[3].content()), (replies[0].content(), replies[0].content()));
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
}

/// What opens something else than what was paid for.
fn variations() -> Vec<Ask> {
    let ask = |method, target| Ask::new(method, target, HOST);
    let mut others: Vec<Ask> = [
        "/b",
        "/a?",
        "/a?id=2",
        "/a?id=1&",
        "/a?id=1&id=2",
        "/a?id=%31",
        "/a?ID=1",
        "/%61?id=1",
        "/A?id=1",
        "/a/?id=1",
        "//a?id=1",
        "/./a?id=1",
        "/b/../a?id=1",
        "/a;v=1?id=1",
    ]
    .into_iter()
    .map(get)
    .collect();
    others.extend(["HEAD", "PUT", "DELETE", "PATCH", "TRACE", "get", "PROPFIND"].map(|method| ask(method, "/a?id=1")));
    others.push(post("/a?id=1", "{}"));
    others
}

/// T002, T016: a payment that opened one request opens no other, whatever differs, before and after; a fresh one does.
#[tokio::test(flavor = "multi_thread")]
async fn t002_t016_a_payment_opens_one_request_and_no_other() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    for price in [price(&rig, PRICE), price(&rig, PRICE).upfront()] {
        let shop = Shop::open(sells_all(gate(&rig, price).build().unwrap(), &runs)).await;
        let used = rig.pay(PAYER);
        let first = shop.ask(&get("/a?id=1").paying(&used)).await;
        assert_eq!(first.status, 200);
        for other in variations() {
            let what = String::from_utf8_lossy(&other.bytes()).lines().next().unwrap().to_owned();
            let before = Door::look(&rig, &runs);
            let refused = shop.ask(&other.clone().paying(&used)).await;
            assert_eq!(refused.status, 409, "{what}: {refused:?}");
            assert!(!refused.has("x-payment-response"), "{what}");
            if !what.starts_with("HEAD") {
                assert_eq!(refused.word(), "payment_already_used", "{what}");
            }
            assert_eq!(before.since(&rig, &runs), Door::SHUT, "{what}");
            // Honest twin: the same request with a payment of its own. That then opens nothing else either.
            let fresh = rig.pay(PAYER);
            let bought = shop.ask(&other.paying(&fresh)).await;
            assert_eq!(bought.status, 200, "{what}: {bought:?}");
            assert_eq!(shop.ask(&get("/a?id=1").paying(&fresh)).await.status, 409, "{what}");
            assert_eq!(before.since(&rig, &runs), Door::OPENED, "{what}");
        }
        assert_eq!(shop.ask(&get("/a?id=1").paying(&used)).await.content(), first.content());
    }
}

/// T002: to two requests at once, a hundred times over.
#[tokio::test(flavor = "multi_thread")]
async fn t002_of_two_requests_at_once_one_is_opened() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    for round in 0..100 {
        let before = Door::look(&rig, &runs);
        let payment = rig.pay(PAYER);
        let [a, b] = ["/a", "/b"].map(|target| get(target).paying(&payment));
        let (a, b) = tokio::join!(shop.ask(&a), shop.ask(&b));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}: {a:?} {b:?}");
        assert_eq!(before.since(&rig, &runs), Door::OPENED);
    }
}

/// T002: what a payment says it is for binds it too: presented elsewhere first, it is refused and not used up.
#[tokio::test(flavor = "multi_thread")]
async fn t002_a_payment_for_one_resource_is_not_taken_for_another() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let payment = header(&PaymentPayload { resource: Some(format!("{ORIGIN}/a")), ..rig.bearer(PAYER, PRICE) });
    let transaction = sign(3, rig.token_transfer(3, account(PAYEE).address, PRICE));
    let by_transaction = header(&rig.pay_by_transaction(3, &transaction, "/a"));
    for payment in [payment, by_transaction] {
        let before = Door::look(&rig, &runs);
        for target in ["/b", "/a?", "/A"] {
            let refused = shop.ask(&get(target).paying(&payment)).await;
            assert_eq!(refused.status, 402, "{refused:?}");
        }
        assert_eq!(before.since(&rig, &runs), Door::SHUT);
        assert_eq!(shop.ask(&get("/a").paying(&payment)).await.status, 200);
        assert_eq!(before.since(&rig, &runs), Door::OPENED);
    }
}

/// T016, T104: where the body is collected, it belongs to what was paid for, byte by byte.
#[tokio::test(flavor = "multi_thread")]
async fn t016_t104_a_payment_opens_one_body_and_no_other() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = async move |request: axum::extract::Request<CollectedBody>| {
        counted.add();
        format!("ordered {}", String::from_utf8_lossy(request.into_body().bytes()))
    };
    let gate = gate(&rig, price(&rig, PRICE)).with_collected_body().build().unwrap();
    let sells = tower::ServiceBuilder::new().layer(CollectBody::new(64)).layer(gate).service(tower::service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, std::convert::Infallible>(axum::response::IntoResponse::into_response(handler(request).await)) }
    }));
    let shop = Shop::open(Router::new().route_service("/order", sells)).await;
    let used = rig.pay(PAYER);
    let first = shop.ask(&post("/order", r#"{"qty":1}"#).paying(&used)).await;
    assert_eq!((first.status, first.text().as_str()), (200, r#"ordered {"qty":1}"#));
    for other in [r#"{"qty":1000}"#, r#"{"qty":1} "#, r#"{ "qty":1}"#, "{}", ""] {
        let before = Door::look(&rig, &runs);
        let refused = shop.ask(&post("/order", other).paying(&used)).await;
        assert_eq!((refused.status, refused.word().as_str()), (409, "payment_already_used"), "{other}");
        assert_eq!(before.since(&rig, &runs), Door::SHUT);
        let bought = shop.ask(&post("/order", other).paying(&rig.pay(PAYER))).await;
        assert_eq!((bought.status, bought.text()), (200, format!("ordered {other}")));
        assert_eq!(before.since(&rig, &runs), Door::OPENED);
    }
    assert_eq!(shop.ask(&post("/order", r#"{"qty":1}"#).paying(&used)).await.content(), first.content());
    // Longer than the route takes: refused before anybody looks at the payment.
    let unused = rig.pay(PAYER);
    let before = Door::look(&rig, &runs);
    assert_eq!(shop.ask(&post("/order", &"x".repeat(65)).paying(&unused)).await.status, 413);
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    assert_eq!(shop.ask(&post("/order", &"x".repeat(64)).paying(&unused)).await.status, 200);
}

/// T012, T028: whatever spelling comes first and whichever second: one door, and the second gets the first's answer.
#[tokio::test(flavor = "multi_thread")]
async fn t012_other_spellings_of_a_payment_are_the_same_payment() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let spellings = Spelling(&rig.bearer(PAYER, PRICE)).equivalents().len();
    assert!(spellings >= 17);
    for index in 0..spellings {
        for plain_first in [true, false] {
            let payment = rig.bearer(PAYER, PRICE);
            let plain = header(&payment);
            let (name, other) = Spelling(&payment).equivalents().swap_remove(index);
            assert_ne!(plain, other, "{name}");
            let before = Door::look(&rig, &runs);
            let (one, two) = if plain_first { (plain, other) } else { (other, plain) };
            let first = shop.ask(&get("/a").paying(&one)).await;
            assert_eq!(first.status, 200, "{name}: {first:?}");
            assert_eq!(shop.ask(&get("/a").paying(&two)).await.content(), first.content(), "{name}");
            assert_eq!(shop.ask(&get("/b").paying(&two)).await.status, 409, "{name}");
            assert_eq!(before.since(&rig, &runs), Door::OPENED, "{name}");
        }
    }
}

/// T012: all spellings at once.
#[tokio::test(flavor = "multi_thread")]
async fn t012_all_spellings_at_once_open_one_door() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    for _ in 0..10 {
        let payment = rig.bearer(PAYER, PRICE);
        let before = Door::look(&rig, &runs);
        let asks: Vec<Ask> = Spelling(&payment).equivalents().into_iter().map(|(_, spelling)| get("/a").paying(&spelling)).collect();
        let replies = futures_util::future::join_all(asks.iter().map(|ask| shop.ask_until_decided(ask))).await;
        assert!(replies.iter().all(|reply| reply.content() == replies[0].content() && reply.status == 200), "{replies:?}");
        assert_eq!(before.since(&rig, &runs), Door::OPENED);
    }
}

/// T097: what two parsers could read differently is refused, and so is what is no spelling at all. Nothing reaches
/// the facilitator, and the payment itself is as good as before.
#[tokio::test(flavor = "multi_thread")]
async fn t097_what_parsers_could_read_differently_is_refused() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let shop = Shop::open(sells_all(gate(&rig, price(&rig, PRICE)).build().unwrap(), &runs)).await;
    let payment = rig.bearer(PAYER, PRICE);
    // The engine looks at its chain now and then by itself; what a payment needs is the account's code.
    let asked = rig.chain.faults().calls("eth_getCode");
    let before = Door::look(&rig, &runs);
    for (name, spelling) in Spelling(&payment).ambiguous() {
        let refused = shop.ask(&get("/a").with("X-PAYMENT", &spelling)).await;
        assert!(matches!(refused.status, 400 | 402), "{name}: {refused:?}");
        assert!(refused.has("cache-control"), "{name}: the gate's own answer");
    }
    assert_eq!(before.since(&rig, &runs), Door::SHUT);
    assert_eq!(rig.chain.faults().calls("eth_getCode"), asked);
    assert_eq!(shop.ask(&get("/a").paying(&header(&payment))).await.status, 200);
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
}
