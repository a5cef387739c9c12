//! One payment per call, whatever the server does with it (T121, T123, G27).

use super::*;
use crate::pay::{Paid, Refused, SignedPayment};
use h402_core::TransactionId;
use std::time::Duration;

fn pay() -> (Pay<Spy<EvmWallet>>, Spy<EvmWallet>) {
    let wallet = spy();
    (Pay::new(wallet.clone(), cap()), wallet)
}

const RECEIPT: &str = r#"{"success":true,"transaction":"0x4242424242424242424242424242424242424242424242424242424242424242","namespace":"evm","payer":"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"}"#;

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let six = (bits >> (18 - 6 * at)) & 63;
            out.push(if at > chunk.len() { '=' } else { char::from(ALPHABET[six as usize]) });
        }
    }
    out
}

#[tokio::test]
async fn a_free_call_is_sent_once_and_left_alone() {
    let (pay, wallet) = pay();
    for status in [200, 204, 301, 400, 404, 409, 500, 503] {
        let shop = Shop::new([answer(status, "free")]);
        let response = call(&pay, &shop, get()).await.unwrap();
        assert_eq!((response.status().as_u16(), shop.payments()), (status, vec![None]));
        assert!(response.extensions().get::<Paid>().is_none());
    }
    let shop = Shop::new([Act::Lose]);
    assert!(matches!(call(&pay, &shop, get()).await, Err(PayError::Inner(Lost))));
    assert_eq!((shop.payments().len(), wallet.signatures()), (1, 0));
}

#[tokio::test]
async fn a_paid_call_comes_back_with_its_receipt() {
    let (pay, wallet) = pay();
    let shop = Shop::asking([with(answer(200, "bought"), "x-payment-response", &base64(RECEIPT))]);
    let response = call(&pay, &shop, get()).await.unwrap();
    let paid = response.extensions().get::<Paid>().unwrap();
    let receipt = paid.receipt.as_ref().unwrap();
    assert_eq!((receipt.success, receipt.transaction), (true, Some(TransactionId::Evm([0x42; 32].into()))));
    assert_eq!((paid.amount, paid.requirements.offer.pay_to.to_string().as_str()), (Amount::from_atomic(10_000), PAYEE));
    assert_eq!((shop.payments().len(), wallet.signatures()), (2, 1));
    // Quirk of the reference clients that is not copied: this is a response header.
    let seen = shop.seen.lock().unwrap();
    assert!(seen.iter().all(|request| !request.headers().contains_key("access-control-expose-headers")));
    // Nobody who prints the request or the extension gets the payment.
    let header = seen[1].headers().get("x-payment").unwrap();
    assert!(header.is_sensitive() && !format!("{paid:?}").contains(header.to_str().unwrap()));
}

/// T125: a receipt is shown as it is, and one that cannot be read is none.
#[tokio::test]
async fn t125_receipts_are_not_believed_only_shown() {
    let failed = base64(r#"{"success":false,"transaction":"","errorReason":"insufficient_funds"}"#);
    let cases = [("", None), ("junk", None), ("e30=", None), (failed.as_str(), Some(false)), (&base64(RECEIPT), Some(true))];
    for (header, success) in cases {
        let (pay, _) = pay();
        let shop = Shop::asking([with(answer(200, "bought"), "x-payment-response", header)]);
        let response = call(&pay, &shop, get()).await.unwrap();
        let paid = response.extensions().get::<Paid>().unwrap();
        assert_eq!(paid.receipt.as_ref().map(|receipt| receipt.success), success, "{header}");
    }
}

/// T121: a 402 after the payment is final, and a raised price is not paid either.
#[tokio::test]
async fn t121_a_server_that_always_asks_sees_two_requests() {
    let dearer = challenge().replace("10000", "10100");
    for last in [challenge(), dearer] {
        let (pay, wallet) = pay();
        let shop = Shop::asking([answer(402, last)]);
        let response = call(&pay, &shop, get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
        let refused = response.extensions().get::<Refused>().unwrap();
        assert_eq!((refused.payment.amount(), refused.first_answer), (Amount::from_atomic(10_000), true));
        assert!(response.extensions().get::<Paid>().is_none());
        assert_eq!((shop.payments().len(), wallet.signatures()), (2, 1));
    }
}

/// T123: a refusal that follows a lost answer is not proof that nothing was paid, and says so.
#[tokio::test(start_paused = true)]
async fn t123_a_refusal_after_a_lost_answer_says_so() {
    let (pay, wallet) = pay();
    let shop = Shop::asking([Act::Lose, answer(402, challenge())]);
    let response = call(&pay, &shop, get()).await.unwrap();
    assert!(!response.extensions().get::<Refused>().unwrap().first_answer);
    assert_eq!((shop.payments().len(), wallet.signatures()), (3, 1));
}

/// T123: while the outcome is unknown the same bytes go out again, and nothing is ever signed twice.
#[tokio::test(start_paused = true)]
async fn t123_an_unknown_outcome_is_asked_for_with_the_same_payment() {
    let hash = base64(
        r#"{"success":false,"transaction":"0x4242424242424242424242424242424242424242424242424242424242424242","error":"settlement_pending: x"}"#,
    );
    let cases = [
        ("lost", vec![Act::Lose; 5]),
        ("silence", vec![Act::Hang]),
        ("500", vec![answer(500, "")]),
        ("502 of a proxy", vec![answer(502, "<html>")]),
        ("503", vec![with(answer(503, ""), "retry-after", "1")]),
        ("pending", vec![with(answer(503, ""), "x-payment-response", &hash); 3]),
        ("504", vec![answer(504, "")]),
        ("in progress", vec![with(answer(409, r#"{"error":"payment_in_progress"}"#), "retry-after", "1"); 4]),
        ("rate limit", vec![with(answer(429, ""), "retry-after", "3")]),
        ("a date", vec![with(answer(503, ""), "retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]),
        ("a bit of everything", vec![Act::Lose, answer(503, ""), Act::Hang, with(answer(409, ""), "retry-after", "0")]),
    ];
    for (case, acts) in cases {
        let (pay, wallet) = pay();
        let sends = acts.len() + 1;
        let shop = Shop::asking(acts.into_iter().chain([answer(200, "bought")]));
        let response = call(&pay, &shop, get()).await;
        assert!(response.is_ok_and(|response| response.status() == StatusCode::OK), "{case}");
        assert_eq!(shop.payments().len(), 1 + sends, "{case}");
        shop.payment();
        assert_eq!(wallet.signatures(), 1, "{case}");
    }
}

/// T123: an outcome that stays unknown is an error of its own, within the deadline, and it can be resumed.
#[tokio::test(start_paused = true)]
async fn t123_an_outcome_that_stays_unknown_can_be_resumed() {
    let pending = base64(
        r#"{"success":false,"transaction":"0x4242424242424242424242424242424242424242424242424242424242424242","error":"settlement_pending: x"}"#,
    );
    let acts = [with(with(answer(503, ""), "retry-after", "1"), "x-payment-response", &pending), Act::Hang, Act::Lose];
    for (case, act) in acts.into_iter().enumerate() {
        let (pay, wallet) = pay();
        let shop = Shop::asking([act]);
        let began = tokio::time::Instant::now();
        let error = call(&pay, &shop, get()).await.unwrap_err();
        assert!(began.elapsed() <= Duration::from_secs(90), "case {case} took {:?}", began.elapsed());
        let PayError::OutcomeUnknown { payment, sends, status, transaction, source } = error else { panic!("case {case}: {error:?}") };
        assert_eq!(usize::try_from(sends).unwrap(), shop.payments().len() - 1, "case {case}");
        assert!((2..=25).contains(&sends), "case {case}: {sends} sends");
        assert_eq!(
            (status.map(|status| status.as_u16()), transaction.is_some(), source),
            [(Some(503), true, None), (None, false, None), (None, false, Some(Lost))][case]
        );
        assert!(!format!("{payment:?}").contains(&shop.payment()));

        let recovered = Shop::new([answer(200, "bought")]);
        let mut again = get();
        again.extensions_mut().insert(SignedPayment::clone(&payment));
        assert!(call(&pay, &recovered, again).await.is_ok(), "case {case}");
        assert_eq!((recovered.payments(), wallet.signatures()), (vec![Some(shop.payment())], 1), "case {case}");
    }
}

/// T120: a payment is resumed at the origin it was signed for and nowhere else.
#[tokio::test]
async fn t120_a_payment_is_not_resumed_elsewhere() {
    let (pay, _) = pay();
    let shop = Shop::asking([answer(200, "bought")]);
    let response = call(&pay, &shop, get()).await.unwrap();
    let payment = response.extensions().get::<Paid>().unwrap().payment.clone();
    let elsewhere = Shop::new([answer(200, "thanks")]);
    for url in ["https://other.example/item", "http://api.example/item", "https://api.example:444/item"] {
        let request = Request::get(url).extension(payment.clone()).body(Full::default()).unwrap();
        assert!(matches!(call(&pay, &elsewhere, request).await, Err(PayError::Resume { .. })), "{url}");
    }
    assert_eq!(elsewhere.payments().len(), 0);
    let request = Request::get("https://API.example:443/item").extension(payment).body(Full::default()).unwrap();
    assert!(call(&pay, &elsewhere, request).await.is_ok());
}

/// An answer that ends the call, other than 2xx: the server has the payment, and says what it says.
#[tokio::test]
async fn other_answers_end_the_call() {
    for status in [201, 302, 307, 400, 404, 409, 410, 429] {
        let (pay, wallet) = pay();
        let shop = Shop::asking([answer(status, "")]);
        let response = call(&pay, &shop, get()).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert!(response.extensions().get::<Paid>().is_some());
        assert_eq!((shop.payments().len(), wallet.signatures()), (2, 1), "{status}");
    }
}

#[tokio::test]
async fn bodies_are_replayed_or_refused_before_anything_is_sent() {
    let (pay, _) = pay();
    let post = |length: usize| Request::post(URL).header("x-mine", "1").body(Full::from(vec![7u8; length])).unwrap();
    let shop = Shop::asking([Act::Lose, answer(200, "bought")]);
    call(&pay, &shop, post(1024 * 1024)).await.unwrap();
    for request in shop.seen.lock().unwrap().iter() {
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", URL));
        assert_eq!(request.headers().get("x-mine").unwrap(), "1");
        assert_eq!(http_body::Body::size_hint(request.body()).exact(), Some(1024 * 1024));
    }
    let shop = Shop::asking([]);
    let outcome = call(&pay, &shop, post(1024 * 1024 + 1)).await;
    assert!(matches!(outcome, Err(PayError::BodyTooLarge { limit: 1_048_576 })), "{outcome:?}");
    assert_eq!(shop.payments().len(), 0);
}

/// A caller that brings its own payment pays for itself.
#[tokio::test]
async fn a_payment_of_the_callers_own_is_left_alone() {
    let (pay, wallet) = pay();
    let shop = Shop::asking([]);
    let request = Request::get(URL).header("x-payment", "mine").body(Full::default()).unwrap();
    assert_eq!(call(&pay, &shop, request).await.unwrap().status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!((shop.payments(), wallet.signatures()), (vec![Some("mine".to_owned())], 0));
}

/// Retries wait as long as the server asks and no shorter than they would anyway.
#[tokio::test(start_paused = true)]
async fn pauses_grow_and_obey_retry_after() {
    let pause = async |acts: Vec<Act>| {
        let (pay, _) = pay();
        let shop = Shop::asking(acts.into_iter().chain([answer(200, "bought")]));
        let began = tokio::time::Instant::now();
        call(&pay, &shop, get()).await.unwrap();
        began.elapsed().as_millis()
    };
    assert_eq!(pause(vec![answer(500, "")]).await, 250);
    assert_eq!(pause(vec![answer(500, ""); 3]).await, 250 + 500 + 1000);
    assert_eq!(pause(vec![with(answer(503, ""), "retry-after", "7")]).await, 7000);
    assert_eq!(pause(vec![with(answer(503, ""), "retry-after", "0")]).await, 250);
    // Without an answer the payment is sent again after 35 s.
    assert_eq!(pause(vec![Act::Hang]).await, 35_250);
}

/// T126: more seconds than a clock can hold are too many to wait for, and no reason to forget the payment.
#[tokio::test(start_paused = true)]
async fn t126_an_endless_retry_after_ends_the_call_and_keeps_the_payment() {
    let (pay, _) = pay();
    for (seconds, known) in [("18446744073709551615", false), ("1", true)] {
        let shop = Shop::asking(vec![with(answer(503, ""), "retry-after", seconds), answer(200, "sold")]);
        match call(&pay, &shop, get()).await {
            Ok(_) => assert!(known, "{seconds}"),
            Err(error) => assert!(!known && matches!(error, PayError::OutcomeUnknown { sends: 1, .. }), "{seconds}: {error}"),
        }
    }
}
