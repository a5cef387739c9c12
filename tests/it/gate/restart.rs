//! A shop that ends and starts again on the same file: what it owes, it owes; what was used stays used.

use super::{
    Door,
    held::{Held, SECRET},
    sells_all,
};
use alloy_primitives::U256;
use axum::{Router, routing::any};
use h402_core::{Authorization, Clock as _, PaymentPayload};
use h402_facilitator::sqlite::SqlGrants;
use h402_tests::{
    raw::{Ask, Line},
    rig::{Folder, PAYER, Rig, RigClock},
    shop::{ORIGIN, PRICE, Runs, Shop, get, grants, header, price, remote},
};
use h402_tower::gate::{Gate, GateLayer, Origin};
use h402_tower::remote::RemoteFacilitator;
use std::time::Duration;

/// A gate on the file of a folder.
async fn gate(rig: &Rig, folder: &Folder, upfront: bool) -> GateLayer<RemoteFacilitator, SqlGrants> {
    let price = if upfront { price(rig, PRICE).upfront() } else { price(rig, PRICE) };
    let grants = grants(&folder.path().join("grants.sqlite"), &rig.clock).await;
    let gate = Gate::new(remote(rig), grants, Origin::parse(ORIGIN).unwrap(), price).with_clock(rig.clock.clone());
    // Of all that is configured, what a payment's time is checked against.
    gate.with_handler_timeout(Duration::from_secs(5)).build().unwrap()
}

/// A payment that is good for as long as payments may be, by the rig's clock.
fn long(rig: &Rig, payer: usize) -> PaymentPayload {
    let now = rig.clock.now().seconds().0;
    let times = Authorization { valid_before: U256::from(now + 590), ..rig.authorization(payer, PRICE) };
    PaymentPayload { resource: None, ..rig.signed(payer, times) }
}

fn advance(rig: &Rig, seconds: u64) {
    rig.clock.advance(Duration::from_secs(seconds));
    rig.chain.advance_time(seconds);
}

/// T001, T013: after a restart a payment still gets its answer, byte for byte; when the answer is gone it still opens
/// nothing, here or elsewhere; and when the payment itself has lapsed it opens nothing for that reason.
#[tokio::test(flavor = "multi_thread")]
async fn t013_a_used_payment_stays_used_for_as_long_as_it_could_be_settled() {
    let rig = Rig::start().await;
    for upfront in [false, true] {
        let folder = Folder::new();
        let runs = Runs::default();
        let before = Door::look(&rig, &runs);
        let payment = header(&long(&rig, PAYER));
        let (ask, elsewhere) = (get("/a").paying(&payment), get("/b").paying(&payment));
        let shop = Shop::open(sells_all(gate(&rig, &folder, upfront).await, &runs)).await;
        let first = shop.ask(&ask).await;
        assert_eq!(first.status, 200);
        drop(shop);
        // Valid for 590 s, answered again for 600 s, remembered for 600 s longer than valid, and then perhaps forgotten.
        for (later, at, status) in [
            (0, 0, 200),
            (1, 1, 200),
            (299, 300, 200),
            (290, 590, 200),
            (25, 615, 409),
            (565, 1180, 409),
            (30, 1210, 402),
            (86_400, 87_610, 402),
        ] {
            advance(&rig, later);
            let shop = Shop::open(sells_all(gate(&rig, &folder, upfront).await, &runs)).await;
            let again = shop.ask(&ask).await;
            assert!(again.status == status || (at > 1190 && again.status == 409), "after {at} s: {again:?}");
            if status == 200 {
                assert_eq!(again.content(), first.content(), "after {at} s");
            }
            assert!(matches!(shop.ask(&elsewhere).await.status, 402 | 409), "after {at} s");
            assert_eq!(before.since(&rig, &runs), Door::OPENED, "after {at} s");
        }
        // Honest twin: the shop sells as before.
        let shop = Shop::open(sells_all(gate(&rig, &folder, upfront).await, &runs)).await;
        assert_eq!(shop.ask(&elsewhere.without("X-PAYMENT").paying(&header(&long(&rig, PAYER)))).await.status, 200);
    }
}

/// Where a shop ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Verifying,
    Running,
    Sending,
    Sent,
}

/// T014: a shop that ends at any step leaves nobody out: the same payment is served by the next one, once, and
/// charged once.
#[tokio::test(flavor = "multi_thread")]
async fn t014_whenever_a_shop_ends_the_next_one_serves_what_was_paid() {
    let steps = [At::Verifying, At::Running, At::Sending, At::Sent];
    futures_util::future::join_all(steps.into_iter().flat_map(|at| [end_at(at, false), end_at(at, true)])).await;
}

async fn end_at(at: At, upfront: bool) {
    let what = format!("{at:?}, upfront: {upfront}");
    let rig = Rig::start().await;
    let folder = Folder::new();
    let held = Held::new();
    let payment = header(&long(&rig, PAYER));
    let ask: Ask = get("/a").paying(&payment);
    let before = Door::look(&rig, &held.runs);
    let shop = held.shop(gate(&rig, &folder, upfront).await).await;
    let hold = match at {
        At::Verifying => Some(rig.chain.faults().hold("eth_getCode")),
        At::Running => None,
        At::Sending => Some(rig.chain.faults().hold("eth_sendRawTransaction")),
        At::Sent => Some(rig.chain.faults().hold_answer("eth_sendRawTransaction")),
    };
    let mut line = Line::open(shop.address).await;
    line.send(&ask.bytes()).await;
    match &hold {
        Some(hold) => {
            held.go_all();
            hold.reached(1).await;
        }
        None => held.entered().await,
    }
    // The end of the process: no task of it goes on.
    drop(shop);
    drop(line);
    if let Some(hold) = hold {
        hold.open();
    }
    held.go_all();

    let shop = held.shop(gate(&rig, &folder, upfront).await).await;
    let early = shop.ask(&ask).await;
    assert!(early.status == 200 || h402_tests::shop::is_wait(&early), "{what}: {early:?}");
    let served = shop.ask_until_decided(&ask).await;
    assert_eq!((served.status, served.text().as_str()), (200, SECRET), "{what}: {served:?}");
    assert_eq!(shop.ask(&ask).await.content(), served.content(), "{what}");
    let since = before.since(&rig, &held.runs);
    assert_eq!(since.transfers, 1, "{what}");
    assert!((1..=2).contains(&since.runs), "{what}: {since:?}");
}

/// T014: what was charged and not delivered by one shop is delivered by the next, for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn t014_what_is_owed_is_delivered_after_a_restart() {
    let rig = Rig::start().await;
    let folder = Folder::new();
    let runs = Runs::default();
    let open = async || {
        let runs = runs.clone();
        let handler = any(async move || match runs.add() {
            3 => (axum::http::StatusCode::OK, SECRET),
            _ => (axum::http::StatusCode::BAD_GATEWAY, ""),
        });
        Shop::open(Router::new().route("/a", handler).route_layer(gate(&rig, &folder, true).await)).await
    };
    let before = Door::look(&rig, &runs);
    let ask = get("/a").paying(&header(&long(&rig, PAYER)));
    let mut receipts = Vec::new();
    for status in [502, 502, 200, 200] {
        let shop = open().await;
        let reply = shop.ask_until_decided(&ask).await;
        assert_eq!(reply.status, status, "{reply:?}");
        receipts.push(reply.receipt().to_owned());
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(before.since(&rig, &runs), Door { runs: 3, transfers: 1 });
}

/// T014: grants on another file are another shop's, whose payments mean nothing here; and a file has one owner.
#[tokio::test(flavor = "multi_thread")]
async fn t014_a_file_has_one_owner() {
    let folder = Folder::new();
    let path = folder.path().join("grants.sqlite");
    let first = grants(&path, &RigClock::default()).await;
    assert!(SqlGrants::open(&path, h402_facilitator::sqlite::OpenOptions::default()).await.is_err());
    first.close().await.unwrap();
    assert!(SqlGrants::open(&path, h402_facilitator::sqlite::OpenOptions::default()).await.is_ok());
}
