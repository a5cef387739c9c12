//! One HTTP exchange with a facilitator: bounded in time and size, without redirects.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::crypto::ring;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a connection is kept that nothing is asked on: less than what our own server keeps it, so that no request meets its end.
const IDLE: Duration = Duration::from_secs(20);
/// How long it may take until a TCP connection stands: short, because what fails here was surely not sent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a text is not the URL of a facilitator. Does not repeat the text, which may hold a secret.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFacilitatorUrl {
    /// Not a URL.
    #[error("not a URL")]
    Syntax,
    /// Neither `http` nor `https`.
    #[error("neither http nor https")]
    Scheme,
    /// A password belongs into a header, where it is not shown.
    #[error("holds a user name or password; use with_headers")]
    Credentials,
    /// Paths are added to it, so there can be no query and no fragment.
    #[error("has a query or a fragment")]
    Query,
    /// TLS cannot be set up on this machine.
    #[error("TLS: {0}")]
    Tls(String),
}

/// An HTTP answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// There was no connection: nothing was sent.
    NotSent,
    /// Something may have been sent.
    Unknown,
}

/// Speaks to one facilitator.
#[derive(Clone)]
pub(super) struct HttpClient {
    /// Without a trailing slash.
    base: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Makes headers for one request.
    made: Option<Arc<MakeHeaders>>,
}

type MakeHeaders = dyn Fn(&Method, &Uri) -> HeaderMap + Send + Sync;

impl HttpClient {
    pub(super) fn new(url: &str) -> Result<Self, BadFacilitatorUrl> {
        let url = Url::parse(url).map_err(|_| BadFacilitatorUrl::Syntax)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadFacilitatorUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadFacilitatorUrl::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadFacilitatorUrl::Query);
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        // The provider is named: with two of them in one program rustls would not know which to take.
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(Arc::new(ring::default_provider()))
            .map_err(|error| BadFacilitatorUrl::Tls(error.to_string()))?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector);
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), client, made: None })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn make_headers(&mut self, make: impl Fn(&Method, &Uri) -> HeaderMap + Send + Sync + 'static) {
        self.made = Some(Arc::new(make));
    }

    /// Asks once. The body of the answer is read before the deadline or not at all.
    pub(super) async fn post(&self, path: &str, headers: HeaderMap, body: Vec<u8>, deadline: Instant) -> Result<Answer, NoAnswer> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = http::Method::POST;
        self.ask(request, path, headers, deadline).await
    }

    pub(super) async fn get(&self, path: &str, headers: HeaderMap, deadline: Instant) -> Result<Answer, NoAnswer> {
        self.ask(Request::default(), path, headers, deadline).await
    }

    async fn ask(&self, mut request: Request<Full<Bytes>>, path: &str, headers: HeaderMap, deadline: Instant) -> Result<Answer, NoAnswer> {
        *request.uri_mut() = format!("{}{path}", self.base).parse::<Uri>().map_err(|_| NoAnswer::NotSent)?;
        *request.headers_mut() = headers;
        if let Some(make) = &self.made {
            let made = secret(make(request.method(), request.uri()));
            request.headers_mut().extend(made);
        }
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| if error.is_connect() { NoAnswer::NotSent } else { NoAnswer::Unknown })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|_| NoAnswer::Unknown)?;
            Ok(Answer { status, body: body.to_bytes() })
        };
        timeout_at(deadline, exchange).await.unwrap_or(Err(NoAnswer::Unknown))
    }
}

/// Headers that no log shows.
pub(super) fn secret(mut headers: HeaderMap) -> HeaderMap {
    headers.values_mut().for_each(|value| value.set_sensitive(true));
    headers
}
