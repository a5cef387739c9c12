//! When the handler runs, what counts as delivered, and when the money moves.

use super::kit::*;
use crate::gate::{Delivery, Price};
use bytes::Bytes;
use h402_core::{Amount, GrantState, Reject, SettleError, Undecided};
use http::{Request, Response};
use http_body_util::Full;
use std::{sync::Arc, sync::atomic::AtomicU16, sync::atomic::Ordering::SeqCst, time::Duration};

/// Answers with the status the test has set.
pub(super) fn scripted(
    status: &Arc<AtomicU16>,
) -> impl Fn(Request<Full<Bytes>>) -> std::future::Ready<Response<Full<Bytes>>> + Clone + Send + 'static {
    let status = status.clone();
    move |_| std::future::ready(Response::builder().status(status.load(SeqCst)).body(full("scripted")).unwrap())
}

pub(super) fn status(code: u16) -> Arc<AtomicU16> {
    Arc::new(AtomicU16::new(code))
}

/// T100, T101: only a 2xx is charged; the same payment may be tried again until it is.
#[tokio::test]
async fn t101_nothing_but_a_delivery_is_charged() {
    for code in [301, 304, 400, 404, 416, 500, 503] {
        let (shop, answering) = (Shop::new(), status(code));
        let service = shop.open(shop.gate(), scripted(&answering));
        let header = Cheque::default().header();
        let failed = send(&service, paid(&header)).await;
        assert_eq!((failed.status, &failed.body[..], failed.receipt()), (code, &b"scripted"[..], None));
        assert_eq!(failed.header("cache-control"), Some("private, no-store"));
        assert_eq!(
            (shop.bank.settle_calls(), shop.grants.state(&Cheque::default().key()).await),
            (0, Some(GrantState::Released)),
            "{code}"
        );
        answering.store(206, SeqCst);
        assert_eq!(send(&service, paid(&header)).await.status, 206, "{code}");
        assert_eq!((shop.runs(), shop.bank.settled()), (2, 1), "{code}");
    }
}

#[tokio::test]
async fn the_handler_may_overrule_the_status() {
    // Where the amount is fixed, a handler can say another as often as it likes.
    let for_one = Delivery::DeliveredFor(Amount::from_atomic(1));
    let for_nothing = Delivery::DeliveredFor(Amount::ZERO);
    for (code, said, charged) in [
        (200, None, 1),
        (200, Some(Delivery::NotDelivered), 0),
        (500, Some(Delivery::Delivered), 1),
        (500, Some(for_one), 1),
        (200, Some(for_nothing), 1),
        (500, None, 0),
    ] {
        let shop = Shop::new();
        let service = shop.open(shop.gate(), move |_| async move {
            let mut response = Response::builder().status(code).body(full("x")).unwrap();
            if let Some(said) = said {
                response.extensions_mut().insert(said);
            }
            response
        });
        let answer = send(&service, paid(&Cheque::default().header())).await;
        assert_eq!((answer.status, shop.bank.settled(), answer.receipt().is_some()), (code, charged, charged == 1), "{code} {said:?}");
        assert!(shop.bank.asked().iter().all(|(_, amount, _)| *amount == Amount::from_atomic(PRICE)), "{said:?}");
    }
}

/// A payment whose handler fails every time is let go after three runs.
#[tokio::test]
async fn three_runs_without_a_delivery_are_enough() {
    let (shop, answering) = (Shop::new(), status(500));
    let service = shop.open(shop.gate(), scripted(&answering));
    let header = Cheque::default().header();
    for _ in 0..3 {
        assert_eq!(send(&service, paid(&header)).await.status, 500);
    }
    answering.store(200, SeqCst);
    let over = send(&service, paid(&header)).await;
    assert_eq!((over.status, over.error().as_str()), (409, "payment_runs_exhausted"));
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (3, 0));
}

/// A released payment is verified again before the handler runs for it again.
#[tokio::test]
async fn a_second_run_needs_a_payment_that_is_still_good() {
    let (shop, answering) = (Shop::new(), status(500));
    let service = shop.open(shop.gate(), scripted(&answering));
    let header = Cheque::default().header();
    assert_eq!(send(&service, paid(&header)).await.status, 500);
    shop.bank.next_verify(Reject::AuthorizationUsed);
    assert_eq!(send(&service, paid(&header)).await.status, 402);
    shop.clock.move_on(270);
    assert_eq!(send(&service, paid(&header)).await.status, 402);
    assert_eq!(shop.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_stopped_and_costs_nothing() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_handler_timeout(Duration::from_secs(5)), |_| async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        Response::new(full("late"))
    });
    let begun = tokio::time::Instant::now();
    let answer = send(&service, paid(&Cheque::default().header())).await;
    assert_eq!((answer.status, answer.error().as_str(), answer.receipt()), (503, "handler_timed_out", None));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!((shop.bank.settle_calls(), shop.grants.state(&Cheque::default().key()).await), (0, Some(GrantState::Released)));
    // The honest twin: 4 s are in time.
    let service = shop.open(shop.gate().with_handler_timeout(Duration::from_secs(5)), |_| async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        Response::new(full("in time"))
    });
    assert_eq!(send(&service, paid(&Cheque::nonce(2).header())).await.status, 200);
}

/// T101: a body that breaks off is no delivery.
#[tokio::test]
async fn t101_a_body_that_breaks_off_is_not_charged() {
    struct Breaks(bool);
    impl http_body::Body for Breaks {
        type Data = Bytes;
        type Error = &'static str;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, &'static str>>> {
            let first = !std::mem::replace(&mut self.0, true);
            std::task::Poll::Ready(Some(if first { Ok(http_body::Frame::data("half".into())) } else { Err("broke off") }))
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(8)
        }
    }
    for upfront in [false, true] {
        let shop = Shop::new();
        let price = if upfront { price().upfront() } else { price() };
        let service = shop.open(shop.gate_at(price), |_| async { Response::new(Breaks(false)) });
        let answer = send(&service, paid(&Cheque::default().header())).await;
        assert_eq!((answer.status, answer.error().as_str()), (500, "handler_failed"), "{upfront}");
        assert_eq!((answer.receipt().is_some(), shop.bank.settled()), (upfront, usize::from(upfront)));
        let state = shop.grants.state(&Cheque::default().key()).await;
        assert_eq!(state, Some(if upfront { GrantState::Owed } else { GrantState::Released }));
    }
}

/// T005, T102: of a stream, nothing leaves before the money has moved.
#[tokio::test]
async fn t102_no_byte_of_a_stream_leaves_before_settlement() {
    let polled = Arc::new(AtomicU16::new(0));
    let body = {
        let polled = polled.clone();
        move || {
            let polled = polled.clone();
            let chunks = futures_util::stream::iter(0..3).map(move |at| {
                polled.fetch_add(1, SeqCst);
                Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from(format!("chunk {at}"))))
            });
            http_body_util::StreamBody::new(chunks)
        }
    };
    use futures_util::StreamExt as _;
    let shop = Shop::new();
    let service = shop.open(shop.gate(), move |_| std::future::ready(Response::new(body())));
    shop.bank.next_settle(Reject::AuthorizationUsed);
    let answer = send(&service, paid(&Cheque::default().header())).await;
    assert_eq!((answer.status, polled.load(SeqCst)), (402, 0));
    assert!(!answer.body.windows(5).any(|part| part == b"chunk"));
    let answer = send(&service, paid(&Cheque::nonce(2).header())).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"chunk 0chunk 1chunk 2"[..]));
}

/// T006: upfront the money moves first, and a refusal keeps the handler asleep.
#[tokio::test]
async fn t006_upfront_the_money_moves_before_the_handler_runs() {
    let shop = Shop::new();
    let bank = shop.bank.clone();
    let service = shop.open(shop.gate_at(price().upfront()), move |request: Request<Full<Bytes>>| {
        assert_eq!(bank.settled(), 1);
        assert!(request.extensions().get::<crate::gate::Payment>().unwrap().transaction.is_some());
        std::future::ready(Response::new(full("expensive")))
    });
    let refused = [
        (SettleError::from(Reject::AuthorizationUsed), 402),
        (Undecided::Chain.into(), 503),
        (SettleError::Pending { transaction: None }, 503),
    ];
    for (nonce, (verdict, code)) in (10u8..).zip(refused) {
        shop.bank.next_settle(verdict.clone());
        assert_eq!(send(&service, paid(&Cheque::nonce(nonce).header())).await.status, code, "{verdict:?}");
        assert_eq!(shop.runs(), 0, "{verdict:?}");
    }
    let header = Cheque::default().header();
    let first = send(&service, paid(&header)).await;
    assert_eq!((first.status, first.receipt().unwrap().success), (200, true));
    assert_eq!(send(&service, paid(&header)).await, first);
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
}

/// T006, T101: charged and not delivered: the same payment runs the handler again, free, three times in all; then
/// the receipt is a credit.
#[tokio::test]
async fn t101_a_charge_without_delivery_is_owed() {
    let (shop, answering) = (Shop::new(), status(500));
    let service = shop.open(shop.gate_at(price().upfront()), scripted(&answering));
    let header = Cheque::default().header();
    let failed = send(&service, paid(&header)).await;
    assert_eq!((failed.status, failed.receipt().unwrap().success), (500, true));
    assert_eq!(shop.grants.state(&Cheque::default().key()).await, Some(GrantState::Owed));
    answering.store(200, SeqCst);
    let served = send(&service, paid(&header)).await;
    assert_eq!((served.status, served.receipt()), (200, failed.receipt()));
    assert_eq!(send(&service, paid(&header)).await, served);
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (2, 1));

    answering.store(500, SeqCst);
    let header = Cheque::nonce(2).header();
    let mut receipt = None;
    for _ in 0..3 {
        receipt = send(&service, paid(&header)).await.receipt();
    }
    answering.store(200, SeqCst);
    let credit = send(&service, paid(&header)).await;
    assert_eq!((credit.status, credit.error().as_str(), credit.receipt()), (409, "payment_credited", receipt));
    assert_eq!(shop.grants.state(&Cheque::nonce(2).key()).await, Some(GrantState::Credited));
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (5, 2));
}

/// A refused settlement is final for the payment.
#[tokio::test]
async fn a_refused_payment_is_not_taken_again() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    shop.bank.next_settle(Reject::AuthorizationUsed);
    assert_eq!(send(&service, paid(&header)).await.status, 402);
    let again = send(&service, paid(&header)).await;
    assert_eq!((again.status, again.error().as_str()), (409, "payment_refused"));
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (1, 1));
}

/// T008: a settlement that takes longer than the deadline is pending, and goes on.
#[tokio::test(start_paused = true)]
async fn t008_a_slow_settlement_is_pending_and_goes_on() {
    let shop = Shop::new();
    let brake = shop.bank.brake_settle();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    let begun = tokio::time::Instant::now();
    let answer = send(&service, paid(&header)).await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "settlement_pending"));
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    assert_eq!(send(&service, paid(&header)).await.error(), "payment_in_progress");
    brake.add_permits(1);
    settle_down().await;
    let again = send(&service, paid(&header)).await;
    assert_eq!((again.status, &again.body[..]), (200, &b"hello"[..]));
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (1, 1));
}

/// A facilitator that hangs on verify costs the handler nothing and leaves it its time.
#[tokio::test(start_paused = true)]
async fn a_slow_verify_is_503_while_there_is_still_time_for_the_handler() {
    let shop = Shop::new();
    let _never = shop.bank.brake_verify();
    let service = shop.open(shop.gate(), hello);
    let begun = tokio::time::Instant::now();
    let answer = send(&service, paid(&Cheque::default().header())).await;
    assert_eq!((answer.status, answer.error().as_str(), shop.runs()), (503, "deadline", 0));
    assert_eq!(begun.elapsed(), Duration::from_secs(15));
}

/// T007: pending is told with its hash, and the same payment asks again until it is settled.
#[tokio::test]
async fn t007_a_pending_settlement_is_asked_for_again() {
    let hash = h402_core::TransactionId::Evm([9; 32].into());
    for upfront in [false, true] {
        let shop = Shop::new();
        let service = shop.open(shop.gate_at(if upfront { price().upfront() } else { price() }), hello);
        let header = Cheque::default().header();
        for _ in 0..3 {
            shop.bank.next_settle(SettleError::Pending { transaction: Some(hash) });
            let answer = send(&service, paid(&header)).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
            assert_eq!(answer.receipt().unwrap().transaction, Some(hash));
        }
        let answer = send(&service, paid(&header)).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]), "{upfront}");
        assert_eq!((shop.runs(), shop.bank.settled()), (1, 1), "{upfront}");
    }
}

/// A free route says so, and costs nothing even with a payment.
#[tokio::test]
async fn a_free_route_is_free() {
    let shop = Shop::new();
    let service = shop.open(shop.gate_at(Price::free()), |request: Request<Full<Bytes>>| async move {
        assert!(!request.headers().contains_key("x-payment"));
        hello(request).await
    });
    assert_eq!(send(&service, get("/item")).await.status, 200);
    let answer = send(&service, paid(&Cheque::default().header())).await;
    assert_eq!((answer.status, answer.receipt(), answer.header("cache-control")), (200, None, None));
    assert_eq!((shop.bank.verified(), shop.bank.settle_calls()), (0, 0));
}

/// The facilitator is asked what it can do in the background: once, not once per request, and never by a 402.
#[tokio::test]
async fn a_402_never_waits_for_the_facilitator() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    for _ in 0..10 {
        // One poll is enough: nothing is waited for.
        let answer = futures_util::FutureExt::now_or_never(send(&service, get("/item"))).unwrap();
        assert_eq!(answer.status, 402);
        settle_down().await;
    }
    assert_eq!(shop.bank.supported_calls(), 1);
    shop.clock.move_on(301);
    send(&service, get("/item")).await;
    settle_down().await;
    assert_eq!(shop.bank.supported_calls(), 2);
}
