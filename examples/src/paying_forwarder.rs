//! A local HTTP server that passes every request on to one origin and pays where that asks for it: the way to pay for
//! programs that know nothing of payments.
//!
//! It spends its owner's money for whoever reaches it. So it listens on loopback only, and turns browsers away: any
//! web page can make a browser send requests to a port of its own machine.

use axum::{Router, body::Body};
use h402_tower::pay::{Paid, PayError};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONNECTION, CONTENT_TYPE, HOST, ORIGIN, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery, Scheme},
};
use std::{convert::Infallible, error::Error, net::IpAddr, str::FromStr};
use tower::{Service, ServiceExt as _, service_fn};

/// Headers that are between two neighbours, and not between the ends.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Where everything goes: scheme, host and port.
///
/// ```
/// use h402_examples::paying_forwarder::Destination;
/// let to: Destination = "https://rpc.example".parse()?;
/// assert!("https://rpc.example/path".parse::<Destination>().is_err());
/// # drop(to);
/// # Ok::<(), h402_examples::paying_forwarder::BadDestination>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    scheme: Scheme,
    authority: Authority,
}

/// A text that is no destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a destination is http or https, a host, perhaps a port, and nothing else")]
pub struct BadDestination;

impl FromStr for Destination {
    type Err = BadDestination;

    fn from_str(text: &str) -> Result<Self, BadDestination> {
        let parts = text.parse::<Uri>().map_err(|_| BadDestination)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(BadDestination) };
        let bare = parts.path_and_query.is_none_or(|path| path == "/");
        let known = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        if bare && known && !authority.as_str().contains('@') { Ok(Self { scheme, authority }) } else { Err(BadDestination) }
    }
}

/// Passes everything on to `to` through `agent`, a client with the pay layer.
pub fn routes<S, B, E>(to: Destination, agent: S) -> Router
where
    S: Service<Request<Body>, Response = Response<B>, Error = PayError<E>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
    E: Error + Send + Sync + 'static,
{
    let forward = service_fn(move |request: Request<Body>| {
        let (to, agent) = (to.clone(), agent.clone());
        async move { Ok::<_, Infallible>(forward(&to, agent, request).await) }
    });
    Router::new().fallback_service(forward)
}

async fn forward<S, B, E>(to: &Destination, agent: S, mut request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<B>, Error = PayError<E>>,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
    E: Error + 'static,
{
    if let Err((status, why)) = check(&request) {
        return refuse(status, why);
    }
    strip(request.headers_mut());
    // The client writes the host of the destination.
    request.headers_mut().remove(HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(to.scheme.clone());
    parts.authority = Some(to.authority.clone());
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    match Uri::from_parts(parts) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return refuse(StatusCode::BAD_REQUEST, "the request's target is no path"),
    }
    match agent.oneshot(request).await {
        Ok(mut response) => {
            if let Some(paid) = response.extensions().get::<Paid>() {
                told(paid);
            }
            strip(response.headers_mut());
            response.map(Body::new)
        }
        Err(error) => failed(&error),
    }
}

fn check<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    if request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site") {
        return Err((StatusCode::FORBIDDEN, "a browser may not spend this money"));
    }
    // A name that somebody else has pointed to this machine is not this machine.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    let local = host.is_none_or(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    if !local {
        return Err((StatusCode::MISDIRECTED_REQUEST, "this is a forwarder on loopback, and no other host"));
    }
    if request.method() == Method::CONNECT || request.headers().get(UPGRADE).is_some_and(|protocol| protocol != "h2c") {
        return Err((StatusCode::NOT_IMPLEMENTED, "upgrades are not forwarded"));
    }
    Ok(())
}

/// Takes off what is meant for this hop only, and what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(',').filter_map(|name| name.trim().parse().ok()).collect::<Vec<_>>())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn told(paid: &Paid) {
    let offer = &paid.requirements.offer;
    let (amount, symbol, network) = (paid.amount.to_units(offer.asset.decimals), &offer.asset.symbol, offer.network());
    if paid.receipt.as_ref().is_some_and(|receipt| receipt.success) {
        tracing::info!(amount, symbol, %network, payee = %offer.pay_to, "paid");
    } else {
        tracing::info!(amount, symbol, %network, payee = %offer.pay_to, "a payment was signed and, so the server says, not charged");
    }
}

fn failed<E: Error>(error: &PayError<E>) -> Response<Body> {
    match error {
        PayError::Inner(_) => refuse(StatusCode::BAD_GATEWAY, "the destination does not answer"),
        PayError::BodyTooLarge { .. } => refuse(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()),
        PayError::RequestBody(_) => refuse(StatusCode::BAD_REQUEST, "the request's body broke off"),
        PayError::OutcomeUnknown { transaction, .. } => {
            tracing::error!(transaction = transaction.map(tracing::field::display), "a payment's outcome is unknown");
            refuse(StatusCode::GATEWAY_TIMEOUT, &error.to_string())
        }
        // Whoever asks cannot pay himself: what the owner has not allowed is forbidden.
        _ => refuse(StatusCode::FORBIDDEN, &error.to_string()),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("paying-forwarder: {why}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
