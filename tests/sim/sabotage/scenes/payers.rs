//! What a paying client never does, whatever a server says.

use bytes::Bytes;
use h402_core::{Amount, Assets, EvmKey, Network};
use h402_tower::pay::{Budget, CallKey, Cap, EvmWallet, Journal, JournalUnavailable, Paid, Pay, PayError, SignedPayment};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

const URL: &str = "https://api.example/item";
/// What the server asks for.
const PRICE: u128 = 10_000;

type Server = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;
type Outcome = Result<Response<Full<Bytes>>, PayError<Infallible>>;

/// The payments that a server was shown, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    /// A server that asks for a payment and answers the first so many with 503.
    fn server(&self, unknown: usize) -> Server {
        let seen = self.0.clone();
        Server::new(service_fn(move |request: Request<Full<Bytes>>| {
            let (status, body) = match request.headers().get("x-payment") {
                None => (StatusCode::PAYMENT_REQUIRED, challenge()),
                Some(payment) => {
                    let mut seen = seen.lock().unwrap();
                    seen.push(payment.to_str().unwrap().to_owned());
                    (if seen.len() > unknown { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, String::new())
                }
            };
            let mut response = Response::new(Full::new(body.into()));
            *response.status_mut() = status;
            ready(Ok(response))
        }))
    }

    fn payments(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn challenge() -> String {
    format!(
        r#"{{"h402Version":1,"error":"X-PAYMENT header is required","accepts":[{{"scheme":"exact","namespace":"evm","networkId":"8453","amountRequired":{PRICE},"amountRequiredFormat":"smallestUnit","payToAddress":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","tokenAddress":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","tokenDecimals":6,"tokenSymbol":"USDC","resource":"{URL}","estimatedProcessingTime":70,"extra":{{"name":"USD Coin","version":"2"}}}}]}}"#
    )
}

#[derive(Clone, Default)]
struct Records(Arc<Mutex<HashMap<String, SignedPayment>>>);

impl Journal for Records {
    async fn find(&self, call: &CallKey) -> Result<Option<SignedPayment>, JournalUnavailable> {
        Ok(self.0.lock().unwrap().get(call.as_str()).cloned())
    }

    async fn signed(&self, call: &CallKey, payment: SignedPayment) -> Result<SignedPayment, JournalUnavailable> {
        Ok(self.0.lock().unwrap().entry(call.as_str().to_owned()).or_insert(payment).clone())
    }
}

fn payer(most: &str) -> Pay<EvmWallet> {
    Pay::new(EvmWallet::from_key(EvmKey::from_bytes(&[7; 32]).unwrap()), Cap::usd(most, &Assets::known()).unwrap())
}

fn get() -> Request<Full<Bytes>> {
    Request::get(URL).body(Full::default()).unwrap()
}

/// What costs more than the cap is not paid (T115).
pub(in super::super) async fn a_price_above_the_cap_is_not_paid() {
    let seen = Seen::default();
    let outcome: Outcome = payer("0.005").layer(seen.server(0)).oneshot(get()).await;
    assert!(matches!(outcome, Err(PayError::OverCap { .. })), "{outcome:?}");
    assert!(payer("0.02").layer(seen.server(0)).oneshot(get()).await.is_ok());
}

/// What costs more than is left of the budget is not paid (G28).
pub(in super::super) async fn a_budget_is_spent_once() {
    let seen = Seen::default();
    let usdc = Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().id;
    let budget = Budget::per(Duration::from_secs(3600)).allow(usdc, Amount::from_atomic(PRICE * 3 / 2));
    let service = payer("0.02").with_budget(budget).layer(seen.server(0));
    assert!(service.clone().oneshot(get()).await.is_ok());
    let outcome: Outcome = service.oneshot(get()).await;
    assert!(matches!(outcome, Err(PayError::OverBudget { .. })), "{outcome:?}");
}

/// A call that is made again pays with the payment that was written down for it (T122).
pub(in super::super) async fn a_call_made_again_sends_the_same_payment() {
    let seen = Seen::default();
    let service = payer("0.02").with_journal(Records::default()).layer(seen.server(0));
    for _ in 0..2 {
        let mut request = get();
        request.extensions_mut().insert(CallKey::new("order-1"));
        assert!(service.clone().oneshot(request).await.is_ok());
    }
    let payments = seen.payments();
    assert!(payments.len() == 2 && payments[0] == payments[1]);
}

/// A payment is shown to the server that it was made for, and to no other (T120).
pub(in super::super) async fn a_payment_is_shown_where_it_belongs() {
    let seen = Seen::default();
    let service = payer("0.02").layer(seen.server(0));
    let paid = service.clone().oneshot(get()).await.unwrap();
    let payment = paid.extensions().get::<Paid>().expect("it was paid").payment.clone();
    let again = |url: &str| {
        let mut request = Request::get(url).body(Full::<Bytes>::default()).unwrap();
        request.extensions_mut().insert(payment.clone());
        service.clone().oneshot(request)
    };
    assert!(again(URL).await.is_ok());
    let outcome: Outcome = again("https://other.example/item").await;
    assert!(matches!(outcome, Err(PayError::Resume { .. })), "{outcome:?}");
    assert_eq!(seen.payments().len(), 2);
}

/// While a server does not know what became of a payment, it is asked again with the same one (T123).
pub(in super::super) async fn a_failing_server_is_asked_again() {
    let seen = Seen::default();
    let outcome: Outcome = payer("0.02").layer(seen.server(1)).oneshot(get()).await;
    assert_eq!(outcome.unwrap().status(), StatusCode::OK);
    let payments = seen.payments();
    assert!(payments.len() == 2 && payments[0] == payments[1]);
}
