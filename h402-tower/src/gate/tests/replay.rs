//! The same payment again: on the same request, on another, at the same time.

use super::kit::*;
use crate::gate::Delivery;
use bytes::Bytes;
use h402_core::{EvmKey, GrantState};
use http::{Method, Request, Response};
use http_body_util::{Full, StreamBody};
use std::convert::Infallible;

/// T001: fifty times the same request: one run, one settlement, fifty equal answers.
#[tokio::test]
async fn t001_a_replayed_payment_gets_the_stored_answer() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), |_| async {
        Response::builder().header("x-own", "1").header("set-cookie", "a=1").header("set-cookie", "b=2").body(full("hello")).unwrap()
    });
    let header = Cheque::default().header();
    let first = send(&service, paid(&header)).await;
    assert_eq!(first.status, 200);
    for round in 0..50 {
        assert_eq!(send(&service, paid(&header)).await, first, "round {round}");
    }
    assert_eq!((shop.runs(), shop.bank.verified(), shop.bank.settle_calls(), shop.bank.settled()), (1, 1, 1, 1));
    // The honest twin: another nonce is another payment.
    assert_eq!(send(&service, paid(&Cheque::nonce(2).header())).await.status, 200);
    assert_eq!((shop.runs(), shop.bank.settled()), (2, 2));
}

/// T012: other bytes of the same payment are the same payment.
#[tokio::test]
async fn t012_another_spelling_of_a_payment_is_the_same_payment() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    let first = send(&service, paid(&header)).await;
    let bare = header.trim_end_matches('=');
    let url_safe = header.replace('+', "-").replace('/', "_");
    let named = Cheque { resource: Some("https://api.example/item".into()), ..Cheque::default() }.header();
    for again in [bare, &url_safe, &named] {
        assert_eq!(send(&service, paid(again)).await, first, "{again}");
    }
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
}

/// T002, T016: one payment opens one method, path and query; everything else is another door.
#[tokio::test]
async fn t016_a_payment_opens_one_request_and_no_other() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    assert_eq!(send(&service, with_payment(get("/item?id=1"), &header)).await.status, 200);
    for path in
        ["/item?id=2", "/item", "/item?id=1&", "/item?ID=1", "/Item?id=1", "/item/?id=1", "//item?id=1", "/%69tem?id=1", "/item?id=%31"]
    {
        let answer = send(&service, with_payment(get(path), &header)).await;
        assert_eq!((answer.status, answer.error().as_str()), (409, "payment_already_used"), "{path}");
        assert_eq!(answer.receipt(), None, "{path}");
    }
    for method in [Method::POST, Method::HEAD, Method::PUT, Method::DELETE] {
        let mut request = with_payment(get("/item?id=1"), &header);
        *request.method_mut() = method.clone();
        assert_eq!(send(&service, request).await.status, 409, "{method}");
    }
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
    assert_eq!(send(&service, with_payment(get("/item?id=1"), &header)).await.status, 200);
    // Sold to one request, in the other order too.
    let other = Cheque::nonce(2).header();
    assert_eq!(send(&service, with_payment(get("/item?id=2"), &other)).await.status, 200);
    assert_eq!(send(&service, with_payment(get("/item?id=1"), &other)).await.status, 409);
}

/// T003: sixty-four copies at once: one run, one settlement; the others are told to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t003_of_64_copies_at_once_one_opens_the_door() {
    for round in 0..20 {
        let shop = Shop::new();
        let service = shop.open(shop.gate(), hello);
        let header = Cheque::default().header();
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(64));
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (service, barrier, request) = (service.clone(), barrier.clone(), paid(&header));
                tokio::spawn(async move {
                    barrier.wait().await;
                    send(&service, request).await
                })
            })
            .collect();
        let mut served = 0;
        for task in tasks {
            let answer = task.await.unwrap();
            match answer.status {
                200 => served += 1,
                409 => assert_eq!((answer.error().as_str(), answer.header("retry-after")), ("payment_in_progress", Some("1"))),
                status => panic!("{status}"),
            }
        }
        // Who came late enough got the stored answer.
        assert!(served >= 1, "round {round}");
        assert_eq!((shop.runs(), shop.bank.settle_calls(), shop.bank.settled()), (1, 1, 1), "round {round}");
        assert_eq!(send(&service, paid(&header)).await.status, 200, "round {round}");
        assert_eq!(shop.runs(), 1);
    }
}

/// T011: two gates on one store, each with flights of its own: the store's one insert decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t011_two_replicas_on_one_store_open_one_door() {
    for round in 0..20 {
        let shop = Shop::new();
        let replicas = [shop.open(shop.gate(), hello), shop.open(shop.gate(), hello)];
        let header = Cheque::default().header();
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(32));
        let tasks: Vec<_> = (0..32)
            .map(|at| {
                let (service, barrier, request) = (replicas[at % 2].clone(), barrier.clone(), paid(&header));
                tokio::spawn(async move {
                    barrier.wait().await;
                    send(&service, request).await.status
                })
            })
            .collect();
        let answers = futures_util::future::join_all(tasks).await;
        assert!(answers.iter().all(|status| matches!(status, Ok(200 | 409))), "round {round}: {answers:?}");
        assert_eq!((shop.runs(), shop.bank.settled()), (1, 1), "round {round}");
    }
}

/// While one flies, the next is told to come back; the first is not disturbed.
#[tokio::test]
async fn a_payment_in_flight_is_in_progress() {
    let shop = Shop::new();
    let brake = shop.bank.brake_settle();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque::default().header();
    let first = tokio::spawn({
        let (service, request) = (service.clone(), paid(&header));
        async move { send(&service, request).await }
    });
    settle_down().await;
    let second = send(&service, paid(&header)).await;
    assert_eq!((second.status, second.error().as_str()), (409, "payment_in_progress"));
    brake.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
}

fn stream(parts: Vec<Bytes>) -> StreamBody<impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, Infallible>>> {
    StreamBody::new(futures_util::stream::iter(parts.into_iter().map(|part| Ok(http_body::Frame::data(part)))))
}

/// Bodies that are too long to keep, or of unknown length, are given once; then the receipt is all there is.
#[tokio::test]
async fn an_answer_too_large_to_keep_is_given_once() {
    let largest = h402_core::StoredAnswer::MAX_BODY;
    let (shop, header) = (Shop::new(), Cheque::default().header());
    let service = shop.open(shop.gate(), move |_| async move { Response::new(full(vec![b'x'; largest])) });
    let kept = send(&service, paid(&header)).await;
    assert_eq!((kept.status, kept.body.len()), (200, largest));
    assert_eq!(send(&service, paid(&header)).await, kept);

    let (shop, header) = (Shop::new(), Cheque::default().header());
    let service = shop.open(shop.gate(), move |_| async move { Response::new(full(vec![b'x'; largest + 1])) });
    let streamed = Shop::new();
    let streaming = streamed.open(streamed.gate(), |_| async { Response::new(stream(vec!["a".into(), "b".into()])) });
    let first = send(&service, paid(&header)).await;
    assert_eq!((first.status, first.body.len()), (200, largest + 1));
    assert_eq!(&send(&streaming, paid(&header)).await.body[..], b"ab");
    for (again, shop) in [(send(&service, paid(&header)).await, &shop), (send(&streaming, paid(&header)).await, &streamed)] {
        assert_eq!((again.status, again.error().as_str()), (409, "payment_already_used"));
        assert_eq!(again.receipt(), first.receipt());
        assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
    }
}

#[tokio::test]
async fn a_route_may_deliver_a_large_answer_again_so_many_times() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().with_redelivery(2), |_| async { Response::new(stream(vec!["a".into(), "b".into()])) });
    let header = Cheque::default().header();
    let first = send(&service, paid(&header)).await;
    for _ in 0..2 {
        assert_eq!(send(&service, paid(&header)).await, first);
    }
    let over = send(&service, paid(&header)).await;
    assert_eq!((over.status, over.receipt()), (409, first.receipt()));
    assert_eq!((shop.runs(), shop.bank.settle_calls()), (3, 1));
}

/// T013: the answer is kept ten minutes, the row longer: a replay is never served anew.
#[tokio::test]
async fn t013_after_the_answer_is_forgotten_the_payment_is_still_known() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let header = Cheque { valid_before: NOW / 1000 + 600, ..Cheque::default() }.header();
    assert_eq!(send(&service, paid(&header)).await.status, 200);
    shop.clock.move_on(599);
    assert_eq!(send(&service, paid(&header)).await.status, 200);
    shop.clock.move_on(2);
    let later = send(&service, paid(&header)).await;
    assert_eq!((later.status, later.error().as_str()), (409, "payment_already_used"));
    assert!(later.receipt().unwrap().success);
    // Once the row may go too, the payment itself has lapsed.
    shop.clock.move_on(600);
    assert_eq!(send(&service, paid(&Cheque { valid_before: NOW / 1000 + 1500, ..Cheque::nonce(2) }.header())).await.status, 200);
    assert_eq!(send(&service, paid(&header)).await.status, 402);
    assert_eq!((shop.runs(), shop.bank.settled()), (2, 2));
}

/// A handler may say that an error was the service; it is charged, kept and given again like any other.
#[tokio::test]
async fn a_delivered_404_is_given_again() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), |_| async {
        let mut response = Response::builder().status(404).body(full("no such name")).unwrap();
        response.extensions_mut().insert(Delivery::Delivered);
        response
    });
    let header = Cheque::default().header();
    let first = send(&service, paid(&header)).await;
    assert_eq!((first.status, first.receipt().unwrap().success), (404, true));
    assert_eq!(send(&service, paid(&header)).await, first);
    assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
    assert_eq!(shop.grants.state(&Cheque::default().key()).await, Some(GrantState::Served));
}

/// A retry after the price went up finds the answer it paid for, not a demand to pay again.
#[tokio::test]
async fn a_replay_survives_a_new_price() {
    for flow in ["served", "pending"] {
        let shop = Shop::new();
        let (price, handle) = price().changeable();
        let service = shop.open(shop.gate_at(price), hello);
        let header = Cheque::default().header();
        if flow == "pending" {
            shop.bank.next_settle(h402_core::SettleError::Pending { transaction: None });
            assert_eq!(send(&service, paid(&header)).await.status, 503);
        } else {
            assert_eq!(send(&service, paid(&header)).await.status, 200);
        }
        handle.set_at(price_of(10 * PRICE), h402_core::Clock::now(&shop.clock)).unwrap();
        shop.clock.move_on(120);
        let again = send(&service, paid(&header)).await;
        assert_eq!((again.status, &again.body[..]), (200, &b"hello"[..]), "{flow}");
        assert_eq!((shop.runs(), shop.bank.settled()), (1, 1), "{flow}");
        assert!(shop.bank.asked().iter().all(|(_, amount, _)| *amount == h402_core::Amount::from_atomic(PRICE)), "{flow}");
        // The honest twin: a new payment at the old price comes too late.
        let late = send(&service, paid(&Cheque { nonce: 2, ..Cheque::default() }.header())).await;
        assert_eq!(late.status, 402, "{flow}");
    }
}

/// The same key for every call about one payment, another for another store.
#[tokio::test]
async fn a_gate_asks_under_one_caller_key_per_request_and_store() {
    let (shop, other) = (Shop::new(), Shop::new());
    let header = Cheque::default().header();
    for shop in [&shop, &other] {
        shop.bank.next_settle(h402_core::Undecided::Chain);
        let service = shop.open(shop.gate(), hello);
        assert_eq!(send(&service, paid(&header)).await.status, 503);
        assert_eq!(send(&service, paid(&header)).await.status, 200);
    }
    let [first, second] = shop.bank.asked().try_into().unwrap();
    assert_eq!(first, second);
    assert_ne!(first.0, other.bank.asked()[0].0);
}

/// T015: what is on record about a payment is told to its payer only.
#[tokio::test]
async fn t015_a_stranger_gets_nothing_with_somebodys_transaction_hash() {
    let shop = Shop::new();
    let service = shop.open(shop.gate().accept_sent_payments([7; 32]), hello);
    let hash = [5; 32];
    let resource = |answer: &Answer| answer.json()["accepts"][0]["resource"].as_str().unwrap().to_owned();
    let challenge = resource(&send(&service, get("/item")).await);
    let mine = sent(&payer(), hash, &challenge);
    let stranger = EvmKey::from_bytes(&[3; 32]).unwrap();
    // While the stranger's claim is looked at, the payer is not kept waiting (the facilitator refuses the stranger).
    shop.bank.next_verify(h402_core::Reject::Signature("not the sender"));
    assert_eq!(send(&service, paid(&sent(&stranger, hash, &challenge))).await.status, 402);
    let first = send(&service, paid(&mine)).await;
    assert_eq!(first.status, 200);
    let theirs = send(&service, paid(&sent(&stranger, hash, &challenge))).await;
    assert_eq!((theirs.status, theirs.receipt()), (402, None));
    assert!(theirs.error().starts_with("invalid_exact_evm_payload_signature: "));
    assert_eq!(send(&service, paid(&mine)).await, first);
    assert_eq!(shop.runs(), 1);
}

#[tokio::test]
async fn the_handler_gets_the_payment_and_never_the_header() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), |request: Request<Full<Bytes>>| async move {
        let payment = request.extensions().get::<crate::gate::Payment>().unwrap().clone();
        assert!(request.headers().keys().all(|name| !name.as_str().contains("payment")));
        let text = format!("{} {} {} {} {}", payment.payer, payment.amount, payment.asset.symbol, payment.network, payment.run);
        assert_eq!(payment.idempotency_key(), payment.key.to_string());
        assert_eq!(payment.transaction, None);
        Response::new(full(text))
    });
    let mut request = paid(&Cheque { value: PRICE + 5, ..Cheque::default() }.header());
    request.headers_mut().insert("x-payment-response", "forged".parse().unwrap());
    let answer = send(&service, request).await;
    assert_eq!(answer.body, format!("{} 10005 USDC eip155:8453 1", payer().address()));
}

/// T001: where nothing is kept, a payment copied from its transaction gets nothing of the answer; its twin does.
#[tokio::test]
async fn t001_without_kept_answers_a_copy_gets_the_receipt_only() {
    for (kept, status) in [(false, 409), (true, 200)] {
        let shop = Shop::new();
        let gate = if kept { shop.gate() } else { shop.gate().without_kept_answers() };
        let service = shop.open(gate, hello);
        let header = Cheque::default().header();
        let first = send(&service, paid(&header)).await;
        assert_eq!(first.status, 200);
        let copy = send(&service, paid(&header)).await;
        assert_eq!((copy.status, copy.receipt()), (status, first.receipt()));
        assert_eq!(copy.body == first.body, kept);
        assert_eq!((shop.runs(), shop.bank.settled()), (1, 1));
    }
}
