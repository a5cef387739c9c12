//! Between a client and a gate: sees what is presented, and bends what is asked for.

use crate::relay::Relay;
use axum::{
    Router,
    extract::{Request, State},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, HOST},
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Headers that carry a payment.
const PAYMENTS: [&str; 2] = ["payment-signature", "x-payment"];

/// What is done to what passes.
#[derive(Clone)]
pub(super) enum Mode {
    /// Nothing.
    Pass,
    /// The client is asked for so much less, and the gate is told that it was not.
    Less(u64),
    /// The gate's facilitator is away while the next payment is presented, and back then.
    Away(Arc<Relay>),
}

struct Shared {
    gate: String,
    mode: Mutex<Mode>,
    presented: Mutex<Vec<Presented>>,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

/// A payment as it was presented.
#[derive(Clone)]
pub(super) struct Presented {
    name: HeaderName,
    value: HeaderValue,
    /// What the gate answered; `None` if it did not.
    pub(super) status: Option<u16>,
    /// The beginning of what it said.
    pub(super) said: String,
}

/// One address in front of a gate, for one cell.
pub(super) struct Middle {
    address: SocketAddr,
    shared: Arc<Shared>,
    served: JoinHandle<()>,
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Middle {
    pub(super) async fn open(gate: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let shared = Arc::new(Shared { gate: gate.to_owned(), mode: Mutex::new(Mode::Pass), presented: Mutex::default(), client });
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(pass).with_state(shared.clone());
        Self { address, shared, served: tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// What was presented since this was asked last.
    pub(super) fn presented(&self) -> Vec<Presented> {
        std::mem::take(&mut self.shared.presented.lock().unwrap())
    }

    /// Presents a payment again, as it was; the status of the answer.
    pub(super) async fn again(&self, payment: &Presented, path: &str) -> Option<u16> {
        let request = http::Request::get(self.url(path)).header(payment.name.clone(), payment.value.clone());
        let status = crate::http::try_send(request.body(Full::default()).unwrap()).await.map(|(status, _)| status);
        self.presented();
        status.filter(|status| *status != SILENCE.as_u16())
    }
}

/// How much of an answer is kept, in characters.
const SAID: usize = 400;
/// The answer for a gate that gave none; no gate uses it.
const SILENCE: StatusCode = StatusCode::IM_A_TEAPOT;

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let mode = shared.mode.lock().unwrap().clone();
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let payment = PAYMENTS.map(HeaderName::from_static).into_iter().find_map(|name| {
        let value = head.headers.get(&name)?.clone();
        Some(Presented { name, value, status: None, said: String::new() })
    });
    if let Mode::Less(less) = mode {
        bend(&mut head.headers, |json| move_amount(json.get_mut("accepted"), |amount| amount + less));
    }
    let lead = match &mode {
        Mode::Away(relay) if payment.is_some() => {
            *shared.mode.lock().unwrap() = Mode::Pass;
            Some(relay.leave())
        }
        _ => None,
    };
    let target = format!("{}{}", shared.gate, head.uri.path_and_query().map_or("/", |path| path.as_str()));
    let mut onward = http::Request::builder().method(head.method).uri(target).body(Full::new(body)).unwrap();
    *onward.headers_mut() = head.headers;
    // As behind a proxy that says whom it passes on to: our gate sells in its own name only.
    onward.headers_mut().remove(HOST);
    let answer = shared.client.request(onward).await;
    drop(lead);
    let answer = match answer {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            body.collect().await.ok().map(|body| (parts, body.to_bytes()))
        }
        Err(_) => None,
    };
    if let Some(payment) = payment {
        let status = answer.as_ref().map(|(parts, _)| parts.status.as_u16());
        let said = answer.as_ref().map_or_else(String::new, |(_, body)| String::from_utf8_lossy(body).chars().take(SAID).collect());
        shared.presented.lock().unwrap().push(Presented { status, said, ..payment });
    }
    let Some((mut parts, mut body)) = answer else {
        return Response::builder().status(SILENCE).body(Default::default()).unwrap();
    };
    if let Mode::Less(less) = mode {
        bend(&mut parts.headers, |json| move_offers(json, less));
        if let Ok(mut json) = serde_json::from_slice::<Value>(&body)
            && move_offers(&mut json, less)
        {
            body = json.to_string().into();
        }
        parts.headers.remove(CONTENT_LENGTH);
    }
    Response::from_parts(parts, body.into())
}

/// Bends each header that holds JSON in base64.
fn bend(headers: &mut HeaderMap, mut change: impl FnMut(&mut Value) -> bool) {
    for value in headers.values_mut() {
        let decoded = BASE64_STANDARD.decode(value.as_bytes()).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some(mut json) = decoded.filter(Value::is_object)
            && change(&mut json)
        {
            *value = BASE64_STANDARD.encode(json.to_string()).parse().unwrap();
        }
    }
}

/// Asks for less in every offer of a challenge.
fn move_offers(challenge: &mut Value, less: u64) -> bool {
    let Some(offers) = challenge.get_mut("accepts").and_then(Value::as_array_mut) else { return false };
    // All of them, not only the first.
    offers.iter_mut().filter_map(|offer| move_amount(Some(offer), |amount| amount - less).then_some(())).count() > 0
}

/// Changes the amount of an offer, under any of its names.
fn move_amount(offer: Option<&mut Value>, change: impl Fn(u64) -> u64) -> bool {
    let Some(offer) = offer else { return false };
    let mut moved = false;
    for name in ["amount", "maxAmountRequired", "amountRequired"] {
        let Some(amount) = offer.get_mut(name) else { continue };
        // h402 writes numbers, x402 texts.
        let (number, text) = (amount.as_u64(), amount.as_str().and_then(|text| text.parse().ok()));
        if let Some(was) = number.or(text) {
            *amount = if number.is_some() { change(was).into() } else { change(was).to_string().into() };
            moved = true;
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use serde_json::json;

    fn encoded(value: &Value) -> String {
        BASE64_STANDARD.encode(value.to_string())
    }

    fn decoded(text: &HeaderValue) -> Value {
        serde_json::from_slice(&BASE64_STANDARD.decode(text).unwrap()).unwrap()
    }

    /// Asks for 10000 under both names, and says in a header what it was presented with.
    async fn gate(headers: HeaderMap) -> Response {
        let accepts = json!({ "accepts": [{ "amount": "10000" }, { "maxAmountRequired": "10000" }, { "amountRequired": 10000 }] });
        let told = headers.get("payment-signature").cloned().unwrap_or(HeaderValue::from_static(""));
        (
            StatusCode::PAYMENT_REQUIRED,
            [("payment-required", encoded(&accepts)), ("told", told.to_str().unwrap().to_owned())],
            axum::Json(accepts),
        )
            .into_response()
    }

    #[tokio::test]
    async fn the_client_is_asked_for_less_and_the_gate_does_not_hear_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(gate)).await });
        let middle = Middle::open(&upstream).await;
        for (less, shown, number) in [(0, "10000", 10000), (1, "9999", 9999)] {
            middle.set(Mode::Less(less));
            let payment = json!({ "accepted": { "amount": shown }, "payload": { "value": shown } });
            let request = http::Request::get(middle.url("/evm")).header("payment-signature", encoded(&payment));
            let answer = crate::http::exchange(request.body(Full::default()).unwrap()).await;
            let asked = json!({ "accepts": [{ "amount": shown }, { "maxAmountRequired": shown }, { "amountRequired": number }] });
            assert_eq!(decoded(&answer.headers()["payment-required"]), asked);
            assert_eq!(serde_json::from_str::<Value>(answer.body()).unwrap(), asked);
            let told = json!({ "accepted": { "amount": "10000" }, "payload": { "value": shown } });
            assert_eq!(decoded(&answer.headers()["told"]), told);
            let presented = middle.presented();
            assert_eq!(presented.iter().map(|one| one.status).collect::<Vec<_>>(), [Some(402)]);
        }
        served.abort();
    }
}
