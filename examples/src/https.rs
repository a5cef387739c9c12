//! The HTTP client of both programs: pooled connections, HTTP/1.1 and HTTP/2, TLS with the web's roots.

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::time::Duration;

/// A client for requests whose bodies are in memory.
pub type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Shorter than what servers keep idle connections for, so that a request seldom meets a closing one.
const IDLE: Duration = Duration::from_secs(20);
/// A host that is down often says nothing at all.
const CONNECT: Duration = Duration::from_secs(3);

/// A new client with its own connections.
#[must_use]
pub fn client() -> HttpsClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    let https = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().enable_http2().wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        // Sends again only what never left on a pooled connection that turned out to be closed.
        .retry_canceled_requests(true)
        .build(https)
}
