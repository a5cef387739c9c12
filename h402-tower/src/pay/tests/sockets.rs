//! The layer over a real client and real sockets.

use super::*;
use crate::{
    loopback::{Behaviour, Server},
    pay::{ChallengeError, Paid},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::time::{Duration, Instant};

fn client(pay: Pay<EvmWallet>) -> crate::pay::PayService<Client<HttpConnector, Full<Bytes>>, EvmWallet> {
    pay.layer(Client::builder(TokioExecutor::new()).build_http())
}

fn pay() -> Pay<EvmWallet> {
    Pay::new(EvmWallet::from_key(key()), cap())
}

/// A challenge without a resource, which fits any address.
fn anywhere() -> String {
    challenge().replace(&format!(r#""resource":"{URL}","#), "")
}

fn request(server: &Server) -> Request<Full<Bytes>> {
    Request::get(server.url("/item")).body(Full::default()).unwrap()
}

/// T123: the answer to the payment is lost on the wire in three ways.
#[tokio::test]
async fn t123_lost_answers_over_a_socket() {
    let mut half = b"HTTP/1.1 200 OK\r\ncontent-le".to_vec();
    half.truncate(20);
    let behaviours = vec![
        Behaviour::json(402, &anywhere()),
        Behaviour::Close,
        Behaviour::Raw(half),
        Behaviour::Stall(Vec::new()),
        Behaviour::json(200, "bought"),
    ];
    let server = Server::start(behaviours).await;
    let response = client(pay().with_attempt_timeout(Duration::from_millis(300))).oneshot(request(&server)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.extensions().get::<Paid>().is_some());
    let received = server.received();
    let payments: Vec<&str> = received.iter().filter_map(|request| request.value("x-payment")).collect();
    assert_eq!(payments.len(), 4);
    assert!(payments.iter().all(|payment| *payment == payments[0]));
    assert_eq!(received[0].value("x-payment"), None);
}

/// T120: whoever the paid answer points to, the payment does not follow.
#[tokio::test]
async fn t120_redirects_do_not_carry_the_payment() {
    let other = Server::start(vec![Behaviour::json(200, "thanks")]).await;
    for status in [301, 302, 303, 307, 308] {
        let away = Behaviour::json(status, "").header("location", &other.url("/take"));
        let server = Server::start(vec![Behaviour::json(402, &anywhere()), away]).await;
        let response = client(pay()).oneshot(request(&server)).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
    assert_eq!(other.received().len(), 0);
}

/// T120: following redirects is a layer of its own, outside; each hop is asked and paid for on its own.
#[tokio::test]
async fn t120_a_redirect_before_the_402_pays_whoever_asks() {
    let shop = Server::start(vec![Behaviour::json(402, &anywhere()), Behaviour::json(200, "bought")]).await;
    let start = Server::start(vec![Behaviour::json(307, "").header("location", &shop.url("/item"))]).await;
    let paying = client(pay());
    let hop = paying.clone().oneshot(request(&start)).await.unwrap();
    let next = Request::get(hop.headers()["location"].to_str().unwrap()).body(Full::<Bytes>::default()).unwrap();
    assert_eq!(paying.oneshot(next).await.unwrap().status(), StatusCode::OK);
    assert!(start.received().iter().all(|request| request.value("x-payment").is_none()));
    assert_eq!(shop.received().iter().filter(|request| request.value("x-payment").is_some()).count(), 1);
}

/// T126: a 402 that announces a gigabyte is not read, and one that drips is given up on.
#[tokio::test]
async fn t126_endless_challenges() {
    let head = b"HTTP/1.1 402 Payment Required\r\ncontent-length: 1000000000\r\n\r\n{";
    let server = Server::start(vec![Behaviour::Stall(head.to_vec())]).await;
    let began = Instant::now();
    let error = client(pay()).oneshot(request(&server)).await.unwrap_err();
    assert!(matches!(error, PayError::Challenge(ChallengeError::TooLarge { .. })), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// T126: what does not announce its length is counted as it arrives, in both directions.
#[tokio::test]
async fn t126_bodies_of_unknown_length() {
    let mut chunked = b"HTTP/1.1 402 Payment Required\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = " ".repeat(0x10000);
    for _ in 0..5 {
        chunked.extend_from_slice(format!("10000\r\n{chunk}\r\n").as_bytes());
    }
    let server = Server::start(vec![Behaviour::Stall(chunked)]).await;
    let error = client(pay()).oneshot(request(&server)).await.unwrap_err();
    assert!(matches!(error, PayError::Challenge(ChallengeError::TooLarge { .. })), "{error:?}");

    let shop = Shop::asking([]);
    let frames = (0..17).map(|_| Ok::<_, Lost>(http_body::Frame::data(Bytes::from(vec![0; 0x10000]))));
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
    let outcome = pay().layer(shop.clone()).oneshot(Request::post(URL).body(body).unwrap()).await;
    assert!(matches!(outcome, Err(PayError::BodyTooLarge { .. })), "{outcome:?}");
    assert_eq!(shop.payments().len(), 0);
}

/// T126: as above, with a clock that does not have to be waited for.
#[tokio::test(start_paused = true)]
async fn t126_a_challenge_that_never_ends_is_given_up_on() {
    type Body = http_body_util::StreamBody<futures_util::stream::Pending<Result<http_body::Frame<Bytes>, Lost>>>;
    let dripping = tower::service_fn(|_: Request<Full<Bytes>>| async {
        let body: Body = http_body_util::StreamBody::new(futures_util::stream::pending());
        Ok::<_, Lost>(Response::builder().status(402).body(body).unwrap())
    });
    let began = tokio::time::Instant::now();
    let outcome = pay().layer(dripping).oneshot(get()).await;
    assert!(matches!(outcome, Err(PayError::Challenge(ChallengeError::TooSlow))));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

/// Any body goes in, and the layer takes part in a stack that limits what is ready.
#[tokio::test]
async fn other_bodies_and_limited_services() {
    let shop = Shop::asking([answer(200, "bought")]);
    let stack = tower::ServiceBuilder::new().layer(pay()).concurrency_limit(1).service(shop.clone());
    let request = Request::post(URL).body(axum::body::Body::from("whole")).unwrap();
    assert_eq!(stack.oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(shop.payments().len(), 2);
}
