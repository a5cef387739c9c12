//! `POST /solana-rpc`: a few JSON-RPC methods of a Solana node, for clients in browsers that have none.
//!
//! Off unless it is configured. Every member of a request is checked before the node hears of any, and the bytes that were
//! checked are the bytes that are sent: nothing is written anew, neither the request nor the answer.

mod check;
mod limit;

use super::body::{self, Unread};
use crate::rpc::{Node, Rpc, RpcConfig};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Extension, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    routing::post,
};
use check::Refused;
use limit::Limiter;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How the proxy is set up.
#[derive(Debug, Clone)]
pub struct SolanaRpcConfig {
    /// The node that is asked, and within what limits.
    pub upstream: RpcConfig,
    /// Whether `sendTransaction` is passed on, too.
    pub allow_send: bool,
    /// Most calls in one request.
    pub max_batch: u32,
    /// Calls a second that one client may make, on average. A client is an IPv4 address or an IPv6 network of 64 bits.
    pub per_client: u32,
    /// Calls a second for all clients together, on average.
    pub overall: u32,
}

impl SolanaRpcConfig {
    /// The usual limits: no sending, 20 calls in a request, 10 calls a second for a client, 200 for all; a node has 5 s and 1 MiB.
    #[must_use]
    pub fn new(mut upstream: RpcConfig) -> Self {
        upstream.timeout = Duration::from_secs(5);
        upstream.max_body = 1 << 20;
        Self { upstream, allow_send: false, max_batch: 20, per_client: 10, overall: 200 }
    }
}

/// The proxy, ready to serve. Cheap to clone.
///
/// ```
/// use h402_facilitator::{rpc::RpcConfig, server::{SolanaRpc, SolanaRpcConfig}};
/// let upstream = RpcConfig::new(vec!["https://rpc.example/secret-key".parse()?]);
/// let proxy = SolanaRpc::new(SolanaRpcConfig { allow_send: true, ..SolanaRpcConfig::new(upstream) });
/// assert!(!format!("{proxy:?}").contains("secret-key"));
/// # Ok::<(), h402_facilitator::rpc::BadEndpoint>(())
/// ```
#[derive(Debug, Clone)]
pub struct SolanaRpc(Arc<Proxy>);

#[derive(Debug)]
struct Proxy {
    upstream: Rpc,
    allow_send: bool,
    max_batch: u32,
    limiter: Limiter,
}

impl SolanaRpc {
    /// Makes the proxy; nothing is sent yet.
    #[must_use]
    pub fn new(config: SolanaRpcConfig) -> Self {
        let upstream = Rpc::new(config.upstream.clone());
        Self::by(&config, upstream)
    }

    /// As [`SolanaRpc::new`], with a node in this process at every endpoint.
    #[must_use]
    pub fn over(config: SolanaRpcConfig, node: Arc<dyn Node>) -> Self {
        let upstream = Rpc::over(config.upstream.clone(), node);
        Self::by(&config, upstream)
    }

    fn by(config: &SolanaRpcConfig, upstream: Rpc) -> Self {
        let SolanaRpcConfig { allow_send, max_batch, per_client, overall, .. } = *config;
        let limiter = Limiter::new(per_client, overall, max_batch);
        Self(Arc::new(Proxy { upstream, allow_send, max_batch, limiter }))
    }

    pub(super) fn routes(self) -> Router {
        Router::new().route("/solana-rpc", post(relay).options(preflight)).with_state(self)
    }
}

/// What a browser asks before it lets a page of another origin send the request.
async fn preflight() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    allow_any_origin(answer.headers_mut());
    answer
}

async fn relay(State(proxy): State<SolanaRpc>, client: Option<Extension<ConnectInfo<SocketAddr>>>, body: Body) -> Response<Body> {
    let client = client.map(|Extension(ConnectInfo(address))| address.ip());
    let mut answer = match pass_on(&proxy.0, client, body).await {
        Ok(body) => {
            let mut answer = Response::new(Body::from(body));
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            answer
        }
        Err(refused) => refused.into_answer(),
    };
    allow_any_origin(answer.headers_mut());
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

async fn pass_on(proxy: &Proxy, client: Option<std::net::IpAddr>, body: Body) -> Result<Bytes, Refused> {
    let body = body::read(body).await.map_err(Refused::Unread)?;
    let calls = check::check(&body, proxy.allow_send, proxy.max_batch)?;
    if !proxy.limiter.take(client, calls) {
        return Err(Refused::TooMany);
    }
    proxy.upstream.relay(&body).await.map_err(Refused::Undecided)
}

impl Refused {
    fn into_answer(self) -> Response<Body> {
        let status = match &self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Method { .. } => StatusCode::FORBIDDEN,
            Self::Unread(Unread::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread(Unread::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Undecided(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut answer = Response::new(Body::from(self.to_json()));
        *answer.status_mut() = status;
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type, Solana-Client"));
}
