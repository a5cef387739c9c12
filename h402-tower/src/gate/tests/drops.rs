//! Clients that go away, handlers that panic, processes that end: at every point, nothing is lost or doubled.

use super::kit::*;
use h402_core::{Clock as _, GrantState, Undecided};
use http::Response;
use std::{
    future::Future,
    pin::pin,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst},
    task::{Context, Poll, Waker},
};

/// Polls a call `polls` times, with a turn for everybody else in between; `None` if it was dropped unfinished.
async fn polled<F: Future>(call: F, polls: usize) -> Option<F::Output> {
    let mut call = Box::pin(call);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = call.as_mut().poll(&mut context) {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// T141, T014: a call dropped at any await point loses no claim and doubles no charge; the same payment, presented
/// again at once, is served.
#[tokio::test]
async fn t141_a_call_dropped_at_any_point_loses_nothing() {
    for upfront in [false, true] {
        let mut finished = false;
        let mut dropped_states = std::collections::BTreeSet::new();
        for polls in 0..200 {
            let shop = Shop::new();
            let delivered = Arc::new(AtomicUsize::new(0));
            let price = if upfront { price().upfront() } else { price() };
            let service = shop.open(shop.gate_at(price), {
                let delivered = delivered.clone();
                move |request| {
                    let delivered = delivered.clone();
                    async move {
                        let answer = hello(request).await;
                        delivered.fetch_add(1, SeqCst);
                        answer
                    }
                }
            });
            let header = Cheque::default().header();
            let first = polled(send(&service, paid(&header)), polls).await;
            settle_down().await;
            dropped_states.insert(shop.grants.state(&Cheque::default().key()).await.map(GrantState::as_str));
            let again = send(&service, paid(&header)).await;
            assert_eq!((again.status, &again.body[..]), (200, &b"hello"[..]), "upfront {upfront}, dropped after {polls} polls");
            assert_eq!(shop.bank.settled(), 1, "upfront {upfront}, dropped after {polls} polls");
            assert_eq!(send(&service, paid(&header)).await, again);
            if let Some(first) = first {
                assert_eq!(first, again);
                assert_eq!(shop.runs(), 1);
                finished = true;
                break;
            }
            // A handler that had begun may have been cancelled, but one that had delivered is not run again, unless
            // its answer was dropped with the call.
            assert!(shop.runs() <= 2 && delivered.load(SeqCst) <= 2, "{polls}: {} runs", shop.runs());
        }
        assert!(finished, "the call ends within 200 polls");
        let want: Vec<Option<&str>> =
            if upfront { vec![None, Some("owed"), Some("running"), Some("served")] } else { vec![None, Some("released"), Some("served")] };
        assert_eq!(dropped_states.into_iter().collect::<Vec<_>>(), want, "upfront {upfront}: the drops hit every stage");
    }
}

/// T101: a handler that panics takes the call with it and not the claim.
#[tokio::test]
async fn t101_a_handler_that_panics_does_not_lose_the_claim() {
    for upfront in [false, true] {
        let shop = Shop::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let price = if upfront { price().upfront() } else { price() };
        let service = shop.open(shop.gate_at(price), move |request| {
            let first = calls.fetch_add(1, SeqCst) == 0;
            async move {
                tokio::task::yield_now().await;
                if first {
                    panic!("scripted");
                }
                hello(request).await
            }
        });
        let header = Cheque::default().header();
        let call = tokio::spawn({
            let (service, request) = (service.clone(), paid(&header));
            async move { send(&service, request).await }
        });
        assert!(call.await.unwrap_err().is_panic());
        settle_down().await;
        let want = if upfront { GrantState::Owed } else { GrantState::Released };
        assert_eq!(shop.grants.state(&Cheque::default().key()).await, Some(want));
        assert_eq!(send(&service, paid(&header)).await.status, 200);
        assert_eq!((shop.runs(), shop.bank.settled()), (2, 1));
    }
}

/// The handler's own error passes through as it is, and nothing is charged.
#[tokio::test]
async fn the_inner_error_is_preserved() {
    use tower::{Layer as _, ServiceExt as _};
    #[derive(Debug, PartialEq)]
    struct Own(u8);
    let shop = Shop::new();
    let service = shop.gate().build().unwrap().layer(tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
        Err::<Response<http_body_util::Full<bytes::Bytes>>, _>(Own(7))
    }));
    let error = service.oneshot(paid(&Cheque::default().header())).await.map(|_| ()).unwrap_err();
    assert_eq!(error, Own(7));
    assert_eq!((shop.bank.settle_calls(), shop.grants.state(&Cheque::default().key()).await), (0, Some(GrantState::Released)));
}

/// T014: whatever state a crash left the row in, the same payment goes on from there in a new process, or waits
/// until the row has lapsed.
#[tokio::test]
async fn t014_a_new_process_goes_on_from_every_state() {
    // Crash points: the old process is a gate whose runtime is shut down at that point.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Crash {
        InHandler,
        InSettle,
        AfterSettle,
        BeforeServed,
    }
    for upfront in [false, true] {
        for crash in [Crash::InHandler, Crash::InSettle, Crash::AfterSettle, Crash::BeforeServed] {
            let shop = Shop::new();
            let price = || if upfront { price().upfront() } else { price() };
            let header = Cheque::default().header();
            let doomed = shop.clone();
            let brake = (crash == Crash::InSettle).then(|| shop.bank.brake_settle());
            match crash {
                // Writes: settling, settled. Upfront also: served.
                Crash::AfterSettle => shop.grants.fail_writes(2, 1000),
                Crash::BeforeServed if upfront => shop.grants.fail_writes(3, 1000),
                Crash::BeforeServed => continue,
                _ => {}
            }
            let (price_there, header_there) = (price(), header.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
                runtime.block_on(async {
                    let service = doomed.open(doomed.gate_at(price_there), move |request| async move {
                        if crash == Crash::InHandler {
                            std::future::pending::<()>().await;
                        }
                        hello(request).await
                    });
                    let mut call = pin!(send(&service, paid(&header_there)));
                    for _ in 0..100 {
                        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                });
                // The task that would put the payment back is spawned on a runtime that never runs again.
                runtime.shutdown_background();
            })
            .join()
            .unwrap();
            shop.grants.fail_writes(0, 0);
            let runs_before = shop.runs();
            if let Some(brake) = brake {
                brake.add_permits(100);
            }
            let service = shop.open(shop.gate_at(price()), hello);
            let mut answer = send(&service, paid(&header)).await;
            if answer.status == 409 {
                assert_eq!(answer.error(), "payment_in_progress", "{crash:?}");
                shop.clock.move_on(31);
                answer = send(&service, paid(&header)).await;
            }
            assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]), "upfront {upfront}, {crash:?}");
            assert_eq!(shop.bank.settled(), 1, "upfront {upfront}, {crash:?}");
            if !upfront && crash != Crash::InHandler {
                assert_eq!(shop.runs(), runs_before, "the answer was stored: {crash:?}");
            }
            assert_eq!(send(&service, paid(&header)).await, answer);
        }
    }
}

/// Rows as a crash or another replica may leave them, each presented to a new gate.
#[tokio::test]
async fn every_row_is_answered() {
    use GrantState as S;
    // (flow, state, runs, busy) → (status, word, runs of the handler now)
    let cases = [
        (false, S::Running, 1, true, 409, "payment_in_progress", 0),
        (false, S::Running, 1, false, 200, "", 1),
        (false, S::Running, 3, false, 409, "payment_runs_exhausted", 0),
        (false, S::Released, 2, false, 200, "", 1),
        (false, S::Settling, 1, true, 409, "payment_in_progress", 0),
        (false, S::Settling, 1, false, 200, "", 1),
        (false, S::Settling, 3, false, 200, "", 1),
        (false, S::Served, 1, false, 409, "payment_already_used", 0),
        (false, S::Owed, 1, false, 200, "", 1),
        (false, S::Refused, 1, false, 409, "payment_refused", 0),
        (true, S::Running, 1, true, 409, "payment_in_progress", 0),
        (true, S::Running, 1, false, 200, "", 1),
        (true, S::Settling, 1, false, 200, "", 1),
        (true, S::Owed, 1, true, 409, "payment_in_progress", 0),
        (true, S::Owed, 2, false, 200, "", 1),
        (true, S::Owed, 3, false, 409, "payment_credited", 0),
        (true, S::Credited, 3, false, 409, "payment_credited", 0),
    ];
    for (upfront, state, runs, busy, status, word, now) in cases {
        let shop = Shop::new();
        let price = if upfront { price().upfront() } else { price() };
        // A row of the right shape is made by a first call that leaves it released or owed.
        let first = shop.open(shop.gate_at(price.clone()), fails);
        send(&first, paid(&Cheque::default().header())).await;
        let mut row = shop.grants.row(&Cheque::default().key()).await.unwrap();
        row.state = state;
        row.runs = runs;
        row.busy_until = if busy { shop.clock.now().plus(std::time::Duration::from_secs(10)) } else { h402_core::UnixMillis(0) };
        row.receipt = matches!(state, S::Served | S::Owed | S::Credited).then(|| receipt_of(&row.key, row.payer));
        row.version += 1;
        assert!(h402_core::Grants::update(&shop.grants.memory, &row, None).await.unwrap());
        let before = shop.runs();
        let service = shop.open(shop.gate_at(price), hello);
        let answer = send(&service, paid(&Cheque::default().header())).await;
        let case = format!("upfront {upfront}, {state:?}, {runs} runs, busy {busy}");
        assert_eq!((answer.status, answer.error().as_str(), shop.runs() - before), (status, word, now), "{case}");
        if word == "payment_credited" {
            assert!(answer.receipt().unwrap().success, "{case}");
        }
    }
}

/// A settlement that is refused when it is asked for again is 409: what the first call sent is not known here.
#[tokio::test]
async fn a_settlement_refused_in_the_second_attempt_is_no_402() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    shop.bank.next_settle(Undecided::Facilitator);
    assert_eq!(send(&service, paid(&header)).await.status, 503);
    shop.bank.next_settle(h402_core::Reject::AuthorizationUsed);
    let answer = send(&service, paid(&header)).await;
    assert_eq!((answer.status, answer.error().as_str()), (409, "authorization_used"));
    assert!(!answer.receipt().unwrap().success);
}

/// Durable before visible: an answer whose settlement cannot be recorded waits until it can.
#[tokio::test(start_paused = true)]
async fn a_settlement_that_cannot_be_recorded_is_503_with_the_receipt() {
    for upfront in [false, true] {
        // The second write records the settlement, the third, upfront, that it was served.
        for after in if upfront { vec![1, 2] } else { vec![1] } {
            let shop = Shop::new();
            let price = if upfront { price().upfront() } else { price() };
            let service = shop.open(shop.gate_at(price), hello);
            let header = Cheque::default().header();
            // The first write is the claim.
            shop.grants.fail_writes(after + 1, 6);
            let answer = send(&service, paid(&header)).await;
            assert_eq!((answer.status, answer.error().as_str()), (503, "settlement_pending"), "{upfront} {after}");
            assert!(answer.receipt().unwrap().success);
            shop.grants.fail_writes(0, 0);
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            let again = send(&service, paid(&header)).await;
            let again = if again.status == 409 {
                shop.clock.move_on(31);
                send(&service, paid(&header)).await
            } else {
                again
            };
            assert_eq!((again.status, again.receipt()), (200, answer.receipt()), "{upfront} {after}");
            assert_eq!(shop.bank.settled(), 1);
        }
    }
    // The honest twin: two failures are bridged.
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    shop.grants.fail_writes(2, 2);
    assert_eq!(send(&service, paid(&Cheque::default().header())).await.status, 200);
}

/// Nothing is sent before the intent is stored.
#[tokio::test(start_paused = true)]
async fn nothing_is_settled_before_it_is_stored() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    shop.grants.fail_writes(1, 1);
    assert_eq!(send(&service, paid(&header)).await.status, 503);
    assert_eq!(shop.bank.settle_calls(), 0);
    settle_down().await;
    assert_eq!(send(&service, paid(&header)).await.status, 200);
    assert_eq!((shop.runs(), shop.bank.settled()), (2, 1));
}

/// T006, T141: an answer too long to be kept goes with its client; the charge is remembered and the handler runs again.
#[tokio::test]
async fn t141_a_long_answer_dropped_while_settling_is_owed() {
    let shop = Shop::new();
    let long = h402_core::StoredAnswer::MAX_BODY + 1;
    let service = shop.open(shop.gate(), move |_| async move { Response::new(full(vec![b'x'; long])) });
    let header = Cheque::default().header();
    let brake = shop.bank.brake_settle();
    assert!(polled(send(&service, paid(&header)), 100).await.is_none());
    // The client has gone; then the money moves.
    brake.add_permits(100);
    settle_down().await;
    assert_eq!(shop.bank.settled(), 1);
    assert_eq!(send(&service, paid(&header)).await.status, 200);
    assert_eq!(shop.bank.settled(), 1, "charged once");
    // Delivered now, and not kept: the twin of a payment whose client stayed.
    let after = send(&service, paid(&header)).await;
    assert_eq!((after.status, after.error().as_str()), (409, "payment_already_used"));
}
