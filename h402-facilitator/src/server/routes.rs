//! What each path answers.

use super::{Discovery, SolanaRpc, books, payments, receipts};
use crate::Engine;
use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, Request, Response, StatusCode, Uri, header},
    routing::{get, post},
};
use h402_core::{
    Clock, PaymentKey, PaymentRow, Store, TransactionId, Undecided,
    wire::{self, WireError, h402},
};
use tower_service::Service;

pub(super) type Answer = Response<Body>;

/// What is off unless it is configured.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// The proxy for Solana clients, at `/solana-rpc`.
    pub solana_rpc: Option<SolanaRpc>,
    /// What the operator lists, at `/discovery/resources`.
    pub discovery: Option<Discovery>,
}

impl From<Option<SolanaRpc>> for Services {
    fn from(solana_rpc: Option<SolanaRpc>) -> Self {
        Self { solana_rpc, discovery: None }
    }
}

/// The server as a service, for any listener.
///
/// `//verify` (a configured URL with a trailing slash) and `/api/verify` reach the same routes. The proxy tells clients apart by
/// `ConnectInfo<SocketAddr>`; where the listener does not give that, all are one.
pub fn router<S: Store, C: Clock>(engine: Engine<S, C>, services: impl Into<Services>) -> Router {
    let Services { solana_rpc, discovery } = services.into();
    let discover = |discovery: Discovery| {
        let answer = async move |State(engine): State<Engine<S, C>>, uri: Uri| discovery.answer(&engine, &uri).await;
        Router::new().route("/discovery/resources", get(answer))
    };
    let routes = Router::new()
        .route("/verify", post(payments::verify::<S, C>))
        .route("/settle", post(payments::settle::<S, C>))
        .route("/supported", get(supported::<S, C>))
        .route("/health", get(health::<S, C>))
        .route("/ready", get(ready::<S, C>))
        .route("/payments/{id}", get(payment::<S, C>))
        .route("/payments/{id}/receipt", get(receipts::receipt::<S, C>))
        .route("/receipts/key", get(receipts::issuer::<S, C>))
        .route("/reconciliation", get(books::reconciliation::<S, C>))
        .route("/metrics", get(books::metrics::<S, C>))
        .merge(discovery.map_or_else(Router::new, discover))
        .with_state(engine)
        .merge(solana_rpc.map_or_else(Router::new, SolanaRpc::routes))
        .fallback(async || error(StatusCode::NOT_FOUND, "not_found", "no such path"))
        .method_not_allowed_fallback(async || error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method is not allowed here"));
    Router::new().fallback(move |mut request: Request<Body>| {
        if let Some(uri) = plain(request.uri()) {
            *request.uri_mut() = uri;
        }
        let mut routes = routes.clone();
        async move { routes.call(request).await }
    })
}

/// The path without doubled slashes and without `/api`, if it has them.
fn plain(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let single = format!("/{}", path.trim_start_matches('/'));
    let plain = single.strip_prefix("/api").filter(|rest| rest.starts_with('/')).unwrap_or(&single);
    if plain == path {
        return None;
    }
    uri.query().map_or_else(|| plain.parse(), |query| format!("{plain}?{query}").parse()).ok()
}

async fn supported<S: Store, C: Clock>(State(engine): State<Engine<S, C>>) -> Answer {
    json(StatusCode::OK, wire::encode_supported(&engine.supported().await))
}

/// Alive: says nothing about whether payments can be taken.
async fn health<S: Store, C: Clock>(State(_): State<Engine<S, C>>) -> Answer {
    json(StatusCode::OK, Ok(br#"{"status":"ok"}"#.to_vec()))
}

async fn ready<S: Store, C: Clock>(State(engine): State<Engine<S, C>>) -> Answer {
    let readiness = engine.ready().await;
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |state: &Result<(), Undecided>| state.as_ref().map_or_else(|why| why.to_string(), |()| "ok".into());
    let mut parts = vec![("store".to_owned(), word(&readiness.store))];
    for network in &readiness.networks {
        parts.push((network.network.to_string(), word(&network.state)));
        let changed = network.changed.iter().map(|asset| (format!("{}/{asset}", network.network), Undecided::AssetChanged.to_string()));
        parts.extend(changed);
    }
    // Both are ready: who follows verifies and claims, and another process settles.
    let role = |drives| if drives { "drives" } else { "follows" }.to_owned();
    parts.extend(readiness.networks.iter().map(|network| (format!("{} role", network.network), role(network.drives))));
    if readiness.stopping {
        parts.push(("shutdown".to_owned(), Undecided::ShuttingDown.to_string()));
    }
    json(status, h402::encode_readiness(readiness.is_ready(), &parts))
}

async fn payment<S: Store, C: Clock>(State(engine): State<Engine<S, C>>, id: Result<Path<String>, PathRejection>) -> Answer {
    match found(&engine, id).await {
        Ok(row) => json(StatusCode::OK, h402::encode_payment_status(&row)),
        Err(answer) => answer,
    }
}

/// The payment that a path names, or the answer that there is none.
pub(super) async fn found<S: Store, C: Clock>(
    engine: &Engine<S, C>,
    id: Result<Path<String>, PathRejection>,
) -> Result<PaymentRow, Answer> {
    // A path that is no text is no id either.
    let id = id.map(|Path(id)| id).unwrap_or_default();
    match find(engine, &id).await {
        Some(Ok(Some(row))) => Ok(row),
        Some(Ok(None)) => Err(error(StatusCode::NOT_FOUND, h402::UNKNOWN_PAYMENT, "no such payment")),
        Some(Err(why)) => Err(undecided(&why)),
        None => Err(error(StatusCode::BAD_REQUEST, "invalid_request", "neither a payment id of 64 hex digits nor a transaction hash")),
    }
}

/// Finds a payment by its id, or by the transaction that carries it on any network; `None` if `id` is neither.
async fn find<S: Store, C: Clock>(engine: &Engine<S, C>, id: &str) -> Option<Result<Option<PaymentRow>, Undecided>> {
    if let Ok(key) = id.parse::<PaymentKey>() {
        return Some(engine.payment(&key).await);
    }
    let transaction = id.parse::<TransactionId>().ok()?;
    for network in engine.networks() {
        match engine.payment_in(network, &transaction).await {
            Ok(None) => {}
            found => return Some(found),
        }
    }
    Some(Ok(None))
}

pub(super) fn undecided(why: &Undecided) -> Answer {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, why.word(), &why.to_string());
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

pub(super) fn error(status: StatusCode, word: &str, text: &str) -> Answer {
    json(status, Ok(h402::encode_error(word, text)))
}

pub(super) fn json(status: StatusCode, body: Result<Vec<u8>, WireError>) -> Answer {
    // Encoding fails only for amounts that no offer can hold; such an answer is ours to explain.
    let (status, body) = match body {
        Ok(body) => (status, body),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, h402::encode_error("dependency_unavailable", "the answer cannot be written")),
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
