//! The gate in real stacks: over services that demand readiness, and as a layer of an axum route.

use super::kit::*;
use crate::gate::{CollectBody, Payment, Price, PriceError};
use axum::{Extension, Router, body::Body, routing::get as route};
use h402_core::{
    Attestation, CallerKey, Checked, Claimed, Facilitator, Lookup, PaymentKey, Receipt, SettleError, Supported, Undecided, Verified,
    VerifyError,
};
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use tower::{Layer, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};

/// tower's `ConcurrencyLimit` panics when a clone is called that was never polled ready.
#[tokio::test]
async fn the_ready_service_is_called_and_not_its_clone() {
    let shop = Shop::new();
    let runs = shop.runs.clone();
    let service = ServiceBuilder::new().layer(shop.gate().build().unwrap()).layer(ConcurrencyLimitLayer::new(1)).service(service_fn(
        move |request: Request<Full<bytes::Bytes>>| {
            runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move { Ok::<_, Infallible>(hello(request).await) }
        },
    ));
    let all = (1..=8).map(|nonce| send(&service, paid(&Cheque::nonce(nonce).header())));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.status, 200);
    }
    // A 402 gives its permit back, and so does a refused payment.
    for _ in 0..3 {
        assert_eq!(send(&service, get("/item")).await.status, 402);
        assert_eq!(send(&service, paid("junk")).await.status, 402);
    }
    assert_eq!(send(&service, paid(&Cheque::nonce(9).header())).await.status, 200);
    assert_eq!((shop.runs(), shop.bank.settled()), (9, 9));
}

#[tokio::test]
async fn an_axum_route_is_sold() {
    let shop = Shop::new();
    let paid_route = route(|Extension(payment): Extension<Payment>| async move { format!("for {}", payment.amount) });
    let by_body = Price::by_body(|_, body| match body.len() {
        0 => Err(PriceError::BadRequest("a body".into())),
        length => Ok(price_of(u128::try_from(length).unwrap()).quote().unwrap()),
    });
    let order = ServiceBuilder::new().layer(CollectBody::new(100)).layer(shop.gate_at(by_body).with_collected_body().build().unwrap());
    let app = Router::new()
        .route("/item", paid_route.layer(shop.gate().build().unwrap()))
        .route("/order", axum::routing::post(|body: String| async move { body }).layer(order))
        .route("/free", route(|| async { "free" }));
    let call = async |request: Request<Body>| read(app.clone().oneshot(request).await.unwrap()).await;
    let request = |method: &str, path: &str, body: &'static str| {
        Request::builder().method(method).uri(path).header("host", "api.example").body(Body::from(body)).unwrap()
    };
    assert_eq!(call(request("GET", "/free", "")).await.status, 200);
    assert_eq!(call(request("GET", "/item", "")).await.status, 402);
    assert_eq!(call(request("HEAD", "/item", "")).await.status, 402);
    // A path the router does not know never reaches a handler, paid or not (T093).
    for path in ["/item/", "//item", "/Item", "/%69tem/"] {
        assert_eq!(call(with_payment(request("GET", path, ""), &Cheque::default().header())).await.status, 404, "{path}");
    }
    let answer = call(with_payment(request("GET", "/item", ""), &Cheque::default().header())).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"for 10000"[..]));
    assert_eq!(call(request("POST", "/order", "four")).await.json()["accepts"][0]["amountRequired"], 4);
    let header = Cheque { nonce: 2, value: 4, ..Cheque::default() }.header();
    let answer = call(with_payment(request("POST", "/order", "four"), &header)).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"four"[..]));
    assert_eq!(call(with_payment(request("POST", "/order", "more"), &header)).await.status, 409);
}

/// A gate without a runtime says so instead of panicking.
#[test]
fn a_gate_needs_a_runtime() {
    let shop = Shop::new();
    let service = shop.open(shop.gate(), hello);
    let call = |request| futures_util::FutureExt::now_or_never(send(&service, request)).unwrap();
    assert_eq!(call(get("/item")).status, 402);
    let answer = call(paid(&Cheque::default().header()));
    assert_eq!((answer.status, answer.error().as_str()), (500, "misconfigured"));
}

/// A facilitator that vouches for another payment than it was asked about is not believed (T112).
#[tokio::test]
async fn t112_a_facilitator_that_vouches_for_something_else_is_not_believed() {
    #[derive(Clone, Copy)]
    enum About {
        Nothing,
        ThePayment,
        ThePayer,
    }
    struct Confused(About);
    impl Facilitator for Confused {
        async fn supported(&self) -> Result<Supported, Undecided> {
            Err(Undecided::Facilitator)
        }
        async fn verify(&self, payment: Checked, _: CallerKey) -> Result<Verified, VerifyError> {
            let matched = payment.matched();
            let mut attestation = Attestation { key: matched.key(), aliases: vec![], payer: matched.payer(), transaction: None };
            match self.0 {
                About::Nothing => {}
                About::ThePayment => attestation.key = PaymentKey::from_bytes([1; 32]),
                About::ThePayer => attestation.payer = PAYEE.parse().unwrap(),
            }
            Ok(Verified::attested(payment, attestation))
        }
        async fn settle(&self, payment: &Claimed, _: CallerKey) -> Result<Receipt, SettleError> {
            Ok(receipt_of(&payment.grant().key, payment.matched().payer()))
        }
        async fn lookup(&self, _: &PaymentKey) -> Result<Lookup, Undecided> {
            Ok(Lookup::Unknown)
        }
    }
    for (about, status) in [(About::Nothing, 200), (About::ThePayment, 503), (About::ThePayer, 503)] {
        let shop = Shop::new();
        let origin = crate::gate::Origin::parse("https://api.example").unwrap();
        let gate = crate::gate::Gate::new(Confused(about), shop.grants.clone(), origin, price()).with_clock(shop.clock.clone());
        let service = gate
            .build()
            .unwrap()
            .layer(service_fn(|_: Request<Full<bytes::Bytes>>| async { Ok::<_, Infallible>(Response::new(full("hello"))) }));
        assert_eq!(send(&service, paid(&Cheque::default().header())).await.status, status);
    }
}
