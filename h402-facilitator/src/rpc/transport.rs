//! One POST, one bounded answer: over HTTP, or to a node in this process.

use super::{Endpoint, Node};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::crypto::ring;
use std::{sync::Arc, time::Duration};

/// Why there is no answer. Whatever the peer wrote stays here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The endpoint does not answer, or not in JSON-RPC.
    Endpoint,
    /// It took too long.
    Deadline,
    /// The answer is longer than what is read.
    TooLong,
    /// We have too many requests under way; nothing was sent.
    Busy,
}

pub(super) struct Transport {
    way: Way,
    max_body: usize,
}

enum Way {
    Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    InProcess(Arc<dyn Node>),
    /// There is no TLS to be had, and nothing is sent without.
    None,
}

/// Shorter than what servers keep idle connections for, so that a request seldom meets a closing one.
const IDLE: Duration = Duration::from_secs(20);

impl Transport {
    pub(super) fn http(max_body: usize) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        // The provider is named: with two of them in one program rustls would not know which to take.
        let https = match HttpsConnectorBuilder::new().with_provider_and_webpki_roots(Arc::new(ring::default_provider())) {
            Ok(https) => https.https_or_http().enable_http1().enable_http2().wrap_connector(http),
            Err(error) => {
                tracing::error!(%error, "TLS cannot be set up: no node is asked anything");
                return Self { way: Way::None, max_body };
            }
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            // Sends again only what never left on a pooled connection that turned out to be closed.
            .retry_canceled_requests(true)
            .build(https);
        Self { way: Way::Http(client), max_body }
    }

    pub(super) fn in_process(node: Arc<dyn Node>, max_body: usize) -> Self {
        Self { way: Way::InProcess(node), max_body }
    }

    pub(super) async fn post(&self, endpoint: &Endpoint, body: Bytes) -> Result<Bytes, Failure> {
        let client = match &self.way {
            Way::Http(client) => client,
            Way::None => return Err(Failure::Endpoint),
            Way::InProcess(node) => {
                let answer = node.answer(endpoint, body).await.map_err(|_| Failure::Endpoint)?;
                return if answer.len() > self.max_body { Err(Failure::TooLong) } else { Ok(answer) };
            }
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(endpoint.uri())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(body))
            .map_err(|_| Failure::Endpoint)?;
        if let Some(authorization) = endpoint.authorization() {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let answer = client.request(request).await.map_err(|_| Failure::Endpoint)?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::Endpoint);
        }
        let body = Limited::new(answer.into_body(), self.max_body).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| if error.is::<LengthLimitError>() { Failure::TooLong } else { Failure::Endpoint })
    }
}
