//! What each path answers.

use super::{
    SolanaRpc,
    body::{self, Unread},
    books, receipts,
};
use crate::Engine;
use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header},
    routing::{get, post},
};
use h402_core::{
    CallerKey, Clock, Matched, PaymentKey, PaymentRow, Reject, SettleError, Store, TransactionId, Undecided, VerifyError,
    wire::h402::{self, RequestError, SettleAnswer, VerifyAnswer, WireError},
};
use tower_service::Service;

/// Longest `Idempotency-Key` in bytes.
const MAX_CALLER_KEY: usize = 255;

pub(super) type Answer = Response<Body>;

/// The server as a service, for any listener.
///
/// `//verify` (a configured URL with a trailing slash) and `/api/verify` reach the same routes. The proxy tells clients apart by
/// `ConnectInfo<SocketAddr>`; where the listener does not give that, all are one.
pub fn router<S: Store, C: Clock>(engine: Engine<S, C>, solana_rpc: Option<SolanaRpc>) -> Router {
    let routes = Router::new()
        .route("/verify", post(verify::<S, C>))
        .route("/settle", post(settle::<S, C>))
        .route("/supported", get(supported::<S, C>))
        .route("/health", get(health::<S, C>))
        .route("/ready", get(ready::<S, C>))
        .route("/payments/{id}", get(payment::<S, C>))
        .route("/payments/{id}/receipt", get(receipts::receipt::<S, C>))
        .route("/receipts/key", get(receipts::issuer::<S, C>))
        .route("/reconciliation", get(books::reconciliation::<S, C>))
        .route("/metrics", get(books::metrics::<S, C>))
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
    if plain == path { None } else { plain.parse().ok() }
}

async fn verify<S: Store, C: Clock>(State(engine): State<Engine<S, C>>, headers: HeaderMap, body: Body) -> Answer {
    let caller = match caller(&headers) {
        Ok(caller) => caller,
        Err(answer) => return answer,
    };
    let payment = match read(&engine, body).await {
        Ok(Ok(payment)) => payment,
        Ok(Err(reject)) => return json(StatusCode::OK, h402::encode_verify(&VerifyAnswer::failed(&reject.into(), None))),
        Err(answer) => return answer,
    };
    let payer = payment.payer();
    match engine.verify(payment, caller).await {
        Ok(verified) => json(StatusCode::OK, h402::encode_verify(&VerifyAnswer::verified(&verified))),
        Err(VerifyError::Undecided(why)) => undecided(&why),
        Err(refused) => json(StatusCode::OK, h402::encode_verify(&VerifyAnswer::failed(&refused, Some(payer)))),
    }
}

async fn settle<S: Store, C: Clock>(State(engine): State<Engine<S, C>>, headers: HeaderMap, body: Body) -> Answer {
    let caller = match caller(&headers) {
        Ok(caller) => caller,
        Err(answer) => return answer,
    };
    let payment = match read(&engine, body).await {
        Ok(Ok(payment)) => payment,
        // Who has a key was told that the payment is good, and has given something for it: it may be on its way since before a
        // change of configuration, and must not be refused for that.
        Ok(Err(Reject::Network(_) | Reject::Asset)) if caller.is_some() => return undecided(&Undecided::NotConfigured),
        Ok(Err(reject)) => return json(StatusCode::OK, h402::encode_settle(&SettleAnswer::failed(&reject.into(), None, None))),
        Err(answer) => return answer,
    };
    let (network, payer) = (payment.network(), payment.payer());
    match engine.settle(payment, caller).await {
        Ok(receipt) => json(StatusCode::OK, h402::encode_settle(&SettleAnswer::settled(&receipt))),
        Err(SettleError::Undecided(why)) => undecided(&why),
        Err(failed) => json(StatusCode::OK, h402::encode_settle(&SettleAnswer::failed(&failed, network, Some(payer)))),
    }
}

async fn supported<S: Store, C: Clock>(State(engine): State<Engine<S, C>>) -> Answer {
    json(StatusCode::OK, h402::encode_supported(&engine.supported().await))
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

/// Reads the body and matches the payload with its one requirement.
async fn read<S: Store, C: Clock>(engine: &Engine<S, C>, body: Body) -> Result<Result<Matched, Reject>, Answer> {
    let body = body::read(body).await.map_err(|unread| {
        let status = match unread {
            Unread::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
        };
        error(status, "invalid_request", unread.text())
    })?;
    match h402::decode_request(&body, engine.assets()) {
        Ok(request) if engine.takes_contracts(request.network()) => Ok(request.matched_with_contracts()),
        Ok(request) => Ok(request.matched()),
        Err(RequestError::Malformed(why)) => Err(error(StatusCode::BAD_REQUEST, "invalid_request", why)),
        Err(RequestError::Rejected(reject)) => Ok(Err(reject)),
    }
}

fn caller(headers: &HeaderMap) -> Result<Option<CallerKey>, Answer> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let refuse = || error(StatusCode::BAD_REQUEST, "invalid_request", "Idempotency-Key is one header of at most 255 visible characters");
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => match key.to_str() {
            Ok(text) if !text.is_empty() && text.len() <= MAX_CALLER_KEY => Ok(Some(CallerKey::of_text(text))),
            _ => Err(refuse()),
        },
        (Some(_), Some(_)) => Err(refuse()),
    }
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
