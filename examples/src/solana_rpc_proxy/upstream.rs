//! The nodes behind the proxy: who is asked, in which order, and how they are.

use crate::https::{self, HttpsClient};
use bytes::Bytes;
use h402_facilitator::rpc::Endpoint;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// The first rest after a failure; it doubles with each.
const SHORTEST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How long a node may take to say that it is well.
const PROBE: Duration = Duration::from_secs(5);
/// How long that may be, in bytes.
const PROBE_ANSWER: usize = 64 * 1024;

/// Several nodes with their health.
pub struct Upstreams {
    members: Vec<Upstream>,
    client: HttpsClient,
}

/// One node.
pub(super) struct Upstream {
    endpoint: Endpoint,
    health: Mutex<Health>,
    asked: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Health {
    /// Failures in a row.
    failures: u32,
    /// Not to be asked before this, if there is a choice.
    rests_until: Option<Instant>,
}

/// What is told about one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCount {
    /// Scheme, host and port.
    pub endpoint: String,
    /// Requests sent to it, probes not counted.
    pub asked: u64,
    /// How many of them it failed.
    pub failed: u64,
    /// Whether its last request or probe went well.
    pub healthy: bool,
}

impl Upstreams {
    /// Nodes, first choice first.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        let member = |endpoint| Upstream { endpoint, health: Mutex::default(), asked: AtomicU64::new(0), failed: AtomicU64::new(0) };
        Self { members: endpoints.into_iter().map(member).collect(), client: https::client() }
    }

    /// Whom to ask, in order: the healthy ones as configured, then the others, those first that have rested most. So
    /// nobody is refused while there is anybody left to ask.
    pub(super) fn candidates(&self) -> Vec<&Upstream> {
        let now = Instant::now();
        let mut order: Vec<(Option<Instant>, &Upstream)> =
            self.members.iter().map(|member| (member.health().rests_until.filter(|until| *until > now), member)).collect();
        order.sort_by_key(|(until, _)| *until);
        order.into_iter().map(|(_, member)| member).collect()
    }

    /// Sends a request body as it is. None of the client's headers goes with it but those in `headers`.
    pub(super) async fn send(&self, to: &Upstream, body: Bytes, headers: &HeaderMap) -> Result<Response<Incoming>, ()> {
        to.asked.fetch_add(1, Ordering::Relaxed);
        self.post(&to.endpoint, body, headers).await
    }

    async fn post(&self, endpoint: &Endpoint, body: Bytes, headers: &HeaderMap) -> Result<Response<Incoming>, ()> {
        let mut request = Request::post(endpoint.uri()).body(Full::new(body)).map_err(drop)?;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // An answer has to be read to be judged.
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = endpoint.authorization() {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        self.client.request(request).await.map_err(drop)
    }

    /// Asks every node every so often whether it is well, for ever.
    pub async fn probe(&self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let asked = self.members.iter().map(|member| async move {
                if timeout(PROBE, self.is_well(&member.endpoint)).await == Ok(Some(())) { member.succeeded() } else { member.rest() }
            });
            futures_util::future::join_all(asked).await;
        }
    }

    async fn is_well(&self, endpoint: &Endpoint) -> Option<()> {
        #[derive(Deserialize)]
        struct Health {
            result: String,
        }
        let question = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"getHealth"}"#);
        let answer = self.post(endpoint, question, &HeaderMap::new()).await.ok()?;
        let body = Limited::new(answer.into_body(), PROBE_ANSWER).collect().await.ok()?.to_bytes();
        let health: Health = serde_json::from_slice(&body).ok()?;
        (health.result == "ok").then_some(())
    }

    /// Whether one of them is well.
    #[must_use]
    pub fn any_healthy(&self) -> bool {
        self.members.iter().any(|member| member.health().failures == 0)
    }

    /// How they are.
    #[must_use]
    pub fn counts(&self) -> Vec<UpstreamCount> {
        let count = |member: &Upstream| UpstreamCount {
            endpoint: member.endpoint.to_string(),
            asked: member.asked.load(Ordering::Relaxed),
            failed: member.failed.load(Ordering::Relaxed),
            healthy: member.health().failures == 0,
        };
        self.members.iter().map(count).collect()
    }
}

impl Upstream {
    pub(super) fn succeeded(&self) {
        *self.health() = Health::default();
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.rest();
    }

    fn rest(&self) {
        let mut health = self.health();
        health.failures = health.failures.saturating_add(1);
        let doubled = 2_u32.saturating_pow(health.failures.saturating_sub(1).min(16));
        health.rests_until = Some(Instant::now() + SHORTEST_REST.saturating_mul(doubled).min(LONGEST_REST));
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.endpoint)).finish()
    }
}
