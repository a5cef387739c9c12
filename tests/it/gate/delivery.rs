//! Handlers that fail, and clients that go away: what is charged is delivered, and what is not delivered is not charged.

use super::{
    Door,
    held::{Held, SECRET},
    payer_of,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{Response, StatusCode},
    routing::any,
};
use futures_util::stream;
use h402_devnet::fault::Gate as Hold;
use h402_tests::{
    raw::Line,
    rig::{PAYER, Rig},
    shop::{PRICE, Runs, Shop, gate, get, is_wait, price},
};
use h402_tower::gate::Delivery;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// How a handler fails to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Status(u16),
    /// A success, but the handler says it is none.
    NotDelivered,
    Panics,
    Hangs,
    /// The body ends with an error, after as many bytes as were announced less one.
    BreaksOff,
    /// The body never goes on.
    Stalls,
}

impl Failure {
    const ALL: [Self; 14] = [
        Self::Status(301),
        Self::Status(302),
        Self::Status(304),
        Self::Status(400),
        Self::Status(404),
        Self::Status(416),
        Self::Status(402),
        Self::Status(500),
        Self::Status(503),
        Self::NotDelivered,
        Self::Panics,
        Self::Hangs,
        Self::BreaksOff,
        Self::Stalls,
    ];

    async fn happen(self) -> Response<Body> {
        let body = match self {
            Self::Panics => panic!("the handler fails, as this test wants"),
            Self::Hangs => std::future::pending().await,
            Self::BreaksOff => Body::new(Broken { sent: false, stalls: false }),
            Self::Stalls => Body::new(Broken { sent: false, stalls: true }),
            Self::Status(_) | Self::NotDelivered => Body::from("nothing of worth"),
        };
        let mut response = Response::new(body);
        match self {
            Self::Status(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
            Self::NotDelivered => drop(response.extensions_mut().insert(Delivery::NotDelivered)),
            _ => {}
        }
        response
    }

    /// What the client gets; `None` if the connection ends.
    fn status(self) -> Option<u16> {
        Some(match self {
            Self::Status(status) => status,
            Self::NotDelivered => 200,
            Self::Panics => return None,
            Self::BreaksOff => 500,
            Self::Hangs | Self::Stalls => 503,
        })
    }
}

/// A short body that does not come to its end.
struct Broken {
    sent: bool,
    stalls: bool,
}

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (std::mem::replace(&mut self.sent, true), self.stalls) {
            (false, _) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(SECRET.as_bytes()))))),
            (true, false) => Poll::Ready(Some(Err(io::Error::other("broke off")))),
            (true, true) => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(SECRET.len() as u64 + 1)
    }
}

/// A shop whose handler fails the first `times` times in one way, and then delivers.
async fn failing(rig: &Rig, failure: Failure, times: u64, upfront: bool) -> (Shop, Runs) {
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = any(async move || match counted.add() {
        run if run <= times => failure.happen().await,
        run => Response::new(Body::from(format!("goods {run}"))),
    });
    let price = if upfront { price(rig, PRICE).upfront() } else { price(rig, PRICE) };
    let gate = gate(rig, price).with_handler_timeout(Duration::from_millis(300)).build().unwrap();
    (Shop::open(Router::new().route("/a", handler).route_layer(gate)).await, runs)
}

/// T006, T101: settled after the handler: what was not delivered is not charged, and the same payment runs it again,
/// twice at most. What is never delivered is never charged.
#[tokio::test(flavor = "multi_thread")]
async fn t006_t101_what_is_not_delivered_is_not_charged() {
    let rig = Rig::start().await;
    for (index, failure) in Failure::ALL.into_iter().enumerate() {
        let (shop, runs) = failing(&rig, failure, 2, false).await;
        let before = Door::look(&rig, &runs);
        let ask = get("/a").paying(&rig.pay(PAYER + index % 6));
        for run in 1..=2 {
            let failed = shop.try_ask_in_turn(&ask).await;
            assert_eq!(failed.as_ref().map(|reply| reply.status), failure.status(), "{failure:?}");
            if let Some(reply) = failed {
                assert!(!reply.has("x-payment-response") && !reply.text().contains(SECRET), "{failure:?}: {reply:?}");
            }
            assert_eq!(before.since(&rig, &runs), Door { runs: run, transfers: 0 }, "{failure:?}");
        }
        let served = shop.ask_until_decided(&ask).await;
        assert_eq!((served.status, served.text().as_str()), (200, "goods 3"), "{failure:?}");
        assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 1 }, "{failure:?}");
        assert_eq!(shop.ask(&ask).await.content(), served.content(), "{failure:?}");
    }
    for (index, failure) in [Failure::Status(500), Failure::Panics, Failure::Hangs, Failure::BreaksOff].into_iter().enumerate() {
        let (shop, runs) = failing(&rig, failure, 100, false).await;
        let before = Door::look(&rig, &runs);
        let ask = get("/a").paying(&rig.pay(PAYER + index));
        for _ in 0..3 {
            let failed = shop.try_ask_in_turn(&ask).await;
            assert_eq!(failed.map(|reply| reply.status), failure.status(), "{failure:?}");
        }
        for _ in 0..3 {
            let over = shop.ask_until_decided(&ask).await;
            assert_eq!((over.status, over.word().as_str()), (409, "payment_runs_exhausted"), "{failure:?}");
        }
        assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 0 }, "{failure:?}");
    }
}

/// T006, T101: settled before the handler: what was charged and not delivered is owed. The same payment runs the
/// handler again, for nothing; after three failures it is a credit, with its receipt.
#[tokio::test(flavor = "multi_thread")]
async fn t006_t101_what_is_charged_is_delivered_or_a_credit() {
    let rig = Rig::start().await;
    for (index, failure) in Failure::ALL.into_iter().enumerate() {
        let (shop, runs) = failing(&rig, failure, 2, true).await;
        let before = Door::look(&rig, &runs);
        let ask = get("/a").paying(&rig.pay(PAYER + index % 6));
        let mut receipts = Vec::new();
        for run in 1..=2 {
            let failed = shop.try_ask_in_turn(&ask).await;
            assert_eq!(failed.as_ref().map(|reply| reply.status), failure.status(), "{failure:?}");
            receipts.extend(failed.map(|reply| reply.receipt().to_owned()));
            assert_eq!(before.since(&rig, &runs), Door { runs: run, transfers: 1 }, "{failure:?}");
        }
        let served = shop.ask_until_decided(&ask).await;
        assert_eq!((served.status, served.text().as_str()), (200, "goods 3"), "{failure:?}");
        assert!(receipts.iter().all(|receipt| receipt == served.receipt()), "{failure:?}: one receipt all along");
        assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 1 }, "{failure:?}");
        assert_eq!(shop.ask(&ask).await.content(), served.content(), "{failure:?}");
    }
    for (index, failure) in [Failure::Status(500), Failure::Panics, Failure::Hangs, Failure::BreaksOff].into_iter().enumerate() {
        let (shop, runs) = failing(&rig, failure, 100, true).await;
        let before = Door::look(&rig, &runs);
        let ask = get("/a").paying(&rig.pay(PAYER + index));
        for _ in 0..3 {
            let failed = shop.try_ask_in_turn(&ask).await;
            assert_eq!(failed.map(|reply| reply.status), failure.status(), "{failure:?}");
        }
        for _ in 0..3 {
            let credit = shop.ask_until_decided(&ask).await;
            assert_eq!((credit.status, credit.word().as_str()), (409, "payment_credited"), "{failure:?}");
            assert!(!payer_of(&credit).is_empty());
        }
        assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 1 }, "{failure:?}");
    }
}

/// T101: the handler's word counts more than its status.
#[tokio::test(flavor = "multi_thread")]
async fn t101_the_handler_may_say_that_it_delivered() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = any(async move |request: Request| {
        counted.add();
        let mut response = Response::new("no such record".to_owned());
        *response.status_mut() = StatusCode::NOT_FOUND;
        if request.uri().query() == Some("charge") {
            response.extensions_mut().insert(Delivery::Delivered);
        }
        response
    });
    for price in [price(&rig, PRICE), price(&rig, PRICE).upfront()] {
        let shop = Shop::open(Router::new().route("/a", handler.clone()).route_layer(gate(&rig, price).build().unwrap())).await;
        let before = Door::look(&rig, &runs);
        let ask = get("/a?charge").paying(&rig.pay(PAYER));
        let first = shop.ask(&ask).await;
        assert_eq!((first.status, first.text().as_str()), (404, "no such record"));
        assert!(!payer_of(&first).is_empty());
        assert_eq!(shop.ask(&ask).await.content(), first.content());
        assert_eq!(before.since(&rig, &runs), Door::OPENED);
    }
}

/// T101: a body whose length nobody announced is settled for when its head is there. If it breaks off after that,
/// the payer holds a receipt.
#[tokio::test(flavor = "multi_thread")]
async fn t101_a_stream_that_breaks_off_leaves_a_receipt() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = any(async move || {
        counted.add();
        let pieces = [Ok(Bytes::from_static(b"some of it")), Err(io::Error::other("broke off"))];
        Response::new(Body::from_stream(stream::iter(pieces)))
    });
    let shop = Shop::open(Router::new().route("/a", handler).route_layer(gate(&rig, price(&rig, PRICE)).build().unwrap())).await;
    let before = Door::look(&rig, &runs);
    let ask = get("/a").paying(&rig.pay(PAYER));
    // How much of it gets out is hyper's matter.
    let broken = shop.try_ask(&ask).await;
    assert!(broken.is_none_or(|reply| (reply.status, reply.whole) == (200, false)));
    for _ in 0..2 {
        let again = shop.ask(&ask).await;
        assert_eq!((again.status, again.word().as_str()), (409, "payment_already_used"));
        assert!(!payer_of(&again).is_empty());
    }
    assert_eq!(before.since(&rig, &runs), Door::OPENED);
}

/// When a client hangs up.
#[derive(Debug, Clone, Copy)]
enum When {
    /// As soon as the request is sent.
    AtOnce,
    /// While the facilitator reads the chain.
    Verifying,
    /// While the handler runs.
    Running,
    /// While the settlement is being sent.
    Settling,
    /// Once the answer begins to come.
    Answered,
}

/// T101, T141: whenever a client hangs up, the same payment gets it what it paid for, once.
#[tokio::test(flavor = "multi_thread")]
async fn t101_whenever_a_client_hangs_up_it_is_served_once() {
    let points = [When::AtOnce, When::Verifying, When::Running, When::Settling, When::Answered];
    for upfront in [false, true] {
        for politely in [false, true] {
            futures_util::future::join_all(points.map(|when| hang_up(when, upfront, politely))).await;
        }
    }
}

async fn hang_up(when: When, upfront: bool, politely: bool) {
    let what = format!("{when:?}, upfront: {upfront}, politely: {politely}");
    let rig = Rig::start().await;
    let held = Held::new();
    let price = if upfront { price(&rig, PRICE).upfront() } else { price(&rig, PRICE) };
    let shop = held.shop(gate(&rig, price).build().unwrap()).await;
    let before = Door::look(&rig, &held.runs);
    let ask = get("/a").paying(&rig.pay(PAYER));
    let mut hold: Option<Hold> = None;
    match when {
        When::Verifying => hold = Some(rig.chain.faults().hold("eth_getCode")),
        When::Settling => hold = Some(rig.chain.faults().hold_answer("eth_sendRawTransaction")),
        _ => {}
    }
    if !matches!(when, When::Running) {
        held.go_all();
    }
    let mut line = Line::open(shop.address).await;
    line.send(&ask.bytes()).await;
    match (when, &hold) {
        (When::AtOnce, _) => {}
        (_, Some(hold)) => hold.reached(1).await,
        (When::Running, _) => held.entered().await,
        (_, None) => assert!(line.until(b"HTTP/1.1 200").await),
    }
    if politely {
        line.shut().await;
    }
    drop(line);
    if let Some(hold) = hold {
        hold.open();
    }
    held.go_all();
    let served = shop.ask_until_decided(&ask).await;
    assert_eq!((served.status, served.text().as_str()), (200, SECRET), "{what}");
    let since = before.since(&rig, &held.runs);
    assert_eq!(since.transfers, 1, "{what}");
    let runs = if matches!(when, When::Running) { 1..=2 } else { 1..=1 };
    assert!(runs.contains(&since.runs), "{what}: {since:?}");
    assert_eq!(shop.ask(&ask).await.content(), served.content(), "{what}");
    assert!(!is_wait(&served));
}
