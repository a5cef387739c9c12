//! The whole proxy: who may ask what, and in which order it is looked at.

use super::{
    Calls, Forwarded, Metrics, Outcome, PriceTable, Upstreams,
    calls::BadCall,
    forward::{Forward, refuse},
};
use axum::{Router, body::Body, routing};
use h402_core::{Facilitator, Grants};
use h402_tower::gate::{ALLOWED_HEADERS, CollectBody, CollectedBody, EXPOSED_HEADERS, Gate, GateConfigError, Origin};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, UPGRADE},
};
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_http::cors::{Any, CorsLayer};

/// Settling takes as long as this in bad times, on top of the upstream's time.
const SETTLING: Duration = Duration::from_secs(15);
/// The gate waits a moment longer than we do, so that a late upstream is told in JSON-RPC.
const GRACE: Duration = Duration::from_secs(1);

/// What a proxy is made of.
#[derive(Debug)]
pub struct Settings {
    /// What payers know it by.
    pub origin: Origin,
    /// Hosts that requests may be addressed to; none is the origin's own.
    pub allowed_hosts: Vec<String>,
    /// What each method costs.
    pub prices: PriceTable,
    /// The nodes, first choice first.
    pub upstreams: Arc<Upstreams>,
    /// How long they may take to answer, all together; from 1 s to 19 s.
    pub timeout: Duration,
    /// The longest request, in bytes.
    pub max_body: usize,
    /// The most calls in a batch.
    pub max_batch: usize,
    /// Requests at the upstreams at once; more are answered 503.
    pub max_in_flight: usize,
    /// How often an answer that was too long to be kept is fetched again for its payer.
    pub redeliveries: u8,
}

/// Makes the routes: `POST /` for calls, `GET /health` for load balancers. The metrics are for another listener.
///
/// # Errors
/// [`GateConfigError`].
pub fn routes<F: Facilitator, G: Grants>(settings: Settings, facilitator: F, grants: G) -> Result<(Router, Metrics), GateConfigError> {
    let Settings { origin, allowed_hosts, prices, upstreams, timeout, max_body, max_batch, max_in_flight, redeliveries } = settings;
    let metrics = Metrics::new(&prices, upstreams.clone());
    let mut gate = Gate::new(facilitator, grants, origin, prices.clone())
        .with_collected_body()
        .with_description("Solana RPC")
        .with_mime_type("application/json")
        .with_handler_timeout(timeout + GRACE)
        .with_deadline(timeout + GRACE + SETTLING)
        .with_redelivery(redeliveries);
    if !allowed_hosts.is_empty() {
        gate = gate.with_allowed_hosts(allowed_hosts);
    }
    let forward = Arc::new(Forward { upstreams: upstreams.clone(), timeout, permits: Arc::new(Semaphore::new(max_in_flight)) });
    let behind = service_fn(move |request: Request<CollectedBody>| {
        let forward = forward.clone();
        async move { Ok::<_, Infallible>(forward.call(request).await) }
    });
    let gated = gate.build()?.layer(behind);
    let front = Arc::new(Front { prices, metrics: metrics.clone(), max_batch });
    let entry = service_fn(move |request: Request<CollectedBody>| {
        let (front, gated) = (front.clone(), gated.clone());
        async move { Ok::<_, Infallible>(front.answer(request, gated).await) }
    });
    let health = routing::get(async move || match upstreams.any_healthy() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "no upstream is well"),
    });
    let router = Router::new().route_service("/", CollectBody::new(max_body).layer(entry)).route("/health", health).layer(cors());
    Ok((router, metrics))
}

/// Browsers may ask, pay, and read what came of it. There are no cookies, so any page may.
fn cors() -> CorsLayer {
    let from_clients = ALLOWED_HEADERS.iter().cloned().chain([HeaderName::from_static("solana-client"), CONTENT_TYPE]);
    let to_clients = EXPOSED_HEADERS.iter().cloned().chain([RETRY_AFTER]);
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers(from_clients.collect::<Vec<_>>())
        .expose_headers(to_clients.collect::<Vec<_>>())
        .max_age(Duration::from_secs(3600))
}

/// What stands before the gate: nothing that it could be misled by gets there.
#[derive(Debug)]
struct Front {
    prices: PriceTable,
    metrics: Metrics,
    max_batch: usize,
}

impl Front {
    async fn answer<S, B>(&self, mut request: Request<CollectedBody>, gated: S) -> Response<Body>
    where
        S: Service<Request<CollectedBody>, Response = Response<B>, Error = Infallible>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let started = Instant::now();
        let calls = match check_http(&request).and_then(|()| Calls::read(request.body().bytes(), self.max_batch)) {
            Ok(calls) => Arc::new(calls),
            Err(bad) => {
                self.metrics.unread();
                let mut response = refuse(&bad).map(Body::new);
                if bad.status == StatusCode::METHOD_NOT_ALLOWED {
                    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                }
                return response;
            }
        };
        if let Err(bad) = self.prices.check(&calls) {
            self.metrics.count(&self.prices, &calls, Outcome::Refused, started.elapsed());
            return refuse(&bad).map(Body::new);
        }
        request.extensions_mut().insert(calls.clone());
        let Ok(response) = gated.oneshot(request).await;
        self.metrics.count(&self.prices, &calls, outcome(&response), started.elapsed());
        response.map(Body::new)
    }
}

/// What can be said before the body is looked at.
fn check_http<B>(request: &Request<B>) -> Result<(), BadCall> {
    let refuse = |status, message: &str| Err(BadCall { status, code: -32600, id: None, message: message.to_owned() });
    if request.method() == Method::CONNECT || wants_upgrade(request) {
        let text = "WebSocket and other upgrades are not offered here, so there are no subscriptions; send JSON-RPC calls as HTTP POST";
        return refuse(StatusCode::NOT_IMPLEMENTED, text);
    }
    if request.method() != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "send JSON-RPC calls as HTTP POST");
    }
    if request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body uncompressed");
    }
    Ok(())
}

/// Some libraries send `Upgrade: h2c` with every request and do not mind when nothing comes of it.
fn wants_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().get_all(UPGRADE).iter().any(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

fn outcome<B>(response: &Response<B>) -> Outcome {
    match (response.extensions().get::<Forwarded>(), response.status()) {
        (Some(Forwarded { delivered: false, .. }), _) => Outcome::Failed,
        (Some(Forwarded { paid: true, .. }), _) => Outcome::Paid,
        (Some(_), _) => Outcome::Free,
        (None, StatusCode::PAYMENT_REQUIRED) => Outcome::Asked,
        (None, status) if status.is_success() => Outcome::Repeated,
        (None, _) => Outcome::Refused,
    }
}
