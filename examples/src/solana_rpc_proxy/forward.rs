//! What is behind the gate: the request goes to an upstream, and the answer says whether it is to be charged.

use super::{Answer, Calls, Judge, Upstreams, Verdict, calls::BadCall, upstream::Upstream};
use bytes::Bytes;
use h402_tower::gate::{CollectedBody, Delivery, Payment};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// What nodes are told about a client: which library it is. No cookie, no credential, no address, no payment.
const PASSED_ON: [HeaderName; 1] = [HeaderName::from_static("solana-client")];
/// What a client is told about an answer beside its body.
const PASSED_BACK: [HeaderName; 2] = [header::CONTENT_TYPE, header::RETRY_AFTER];
/// Calls that a second node might carry out a second time. A transaction that is sent twice is still one.
const ONCE: [&str; 1] = ["requestAirdrop"];

/// How a request that reached the upstreams ended, in the answer's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) paid: bool,
    pub(super) delivered: bool,
}

/// Asks one upstream after the other until one answers.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) upstreams: Arc<Upstreams>,
    /// When the client is answered at the latest.
    pub(super) timeout: Duration,
    /// Requests that may be under way at once, until the last byte of their answers.
    pub(super) permits: Arc<Semaphore>,
}

/// Why an upstream has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nothing came, or nothing that can be passed on. The request may have arrived.
    Silent,
    /// It has too much to do.
    Busy,
}

impl Forward {
    pub(super) async fn call(&self, request: Request<CollectedBody>) -> Response<Answer> {
        let paid = request.extensions().get::<Payment>().is_some();
        let Some(calls) = request.extensions().get::<Arc<Calls>>().cloned() else {
            return refuse(&trouble(StatusCode::INTERNAL_SERVER_ERROR, None, "the request was not read"));
        };
        let headers = passed_on(request.headers());
        let body = request.into_body().into_bytes();
        let (mut response, delivered) = match self.permits.clone().try_acquire_owned() {
            Err(_) => (refuse(&trouble(StatusCode::SERVICE_UNAVAILABLE, calls.id().map(str::to_owned), "too much to do")), false),
            Ok(permit) => match self.ask(body, &headers, &calls).await {
                Ok((response, verdict)) => (response.map(|body| body.holding(permit)), verdict == Verdict::Result),
                Err(bad) => (refuse(&bad), false),
            },
        };
        response.extensions_mut().insert(Forwarded { paid, delivered });
        response.extensions_mut().insert(if delivered { Delivery::Delivered } else { Delivery::NotDelivered });
        response
    }

    async fn ask(&self, body: Bytes, headers: &HeaderMap, calls: &Calls) -> Result<(Response<Answer>, Verdict), BadCall> {
        let deadline = Instant::now() + self.timeout;
        let once = calls.iter().any(|call| ONCE.contains(&call.method.as_str()));
        let candidates = self.upstreams.candidates();
        let mut busy = false;
        for (at, upstream) in candidates.iter().enumerate() {
            let now = Instant::now();
            // While there is another one to ask, a silent one gets half of what is left.
            let until = if once || at + 1 == candidates.len() { deadline } else { now + deadline.saturating_duration_since(now) / 2 };
            let asked = timeout_at(until, self.ask_one(upstream, body.clone(), headers, calls.iter().len())).await;
            match asked.unwrap_or(Err(Failure::Silent)) {
                Ok(answer) => {
                    upstream.succeeded();
                    return Ok(answer);
                }
                Err(failure) => {
                    upstream.failed();
                    tracing::warn!(%upstream, ?failure, "upstream does not answer");
                    busy |= failure == Failure::Busy;
                    if once {
                        break;
                    }
                }
            }
        }
        let id = calls.id().map(str::to_owned);
        Err(match busy {
            true => trouble(StatusCode::SERVICE_UNAVAILABLE, id, "all upstreams are busy"),
            false if Instant::now() >= deadline => trouble(StatusCode::GATEWAY_TIMEOUT, id, "no upstream answers in time"),
            false => trouble(StatusCode::BAD_GATEWAY, id, "no upstream answers"),
        })
    }

    async fn ask_one(
        &self,
        upstream: &Upstream,
        body: Bytes,
        headers: &HeaderMap,
        calls: usize,
    ) -> Result<(Response<Answer>, Verdict), Failure> {
        let answer = self.upstreams.send(upstream, body, headers).await.map_err(|()| Failure::Silent)?;
        let status = answer.status();
        match status {
            StatusCode::OK => {}
            // The request is at fault, and another node would say the same.
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {}
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => return Err(Failure::Busy),
            _ => return Err(Failure::Silent),
        }
        let (parts, body) = answer.into_parts();
        let encoded = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        if encoded {
            tracing::warn!(%upstream, "answer is compressed though nobody asked for that");
            return Err(Failure::Silent);
        }
        let (body, verdict) = judged(body, calls).await?;
        if status == StatusCode::OK && verdict == Verdict::Nonsense {
            return Err(Failure::Silent);
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        for name in PASSED_BACK {
            if let Some(value) = parts.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok((response, if status == StatusCode::OK { verdict } else { Verdict::Error }))
    }
}

/// Reads as much of an answer as it takes to judge it.
async fn judged(mut body: Incoming, calls: usize) -> Result<(Answer, Verdict), Failure> {
    let mut judge = Judge::new(calls);
    let mut read = VecDeque::new();
    loop {
        match body.frame().await {
            None => return Ok((Answer::begun(read, None), judge.end())),
            Some(Err(_)) => return Err(Failure::Silent),
            Some(Ok(frame)) => {
                let Ok(chunk) = frame.into_data() else { continue };
                let verdict = judge.read(&chunk);
                read.push_back(chunk);
                if let Some(verdict) = verdict {
                    return Ok((Answer::begun(read, Some(body)), verdict));
                }
            }
        }
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for name in PASSED_ON {
        if let Some(value) = headers.get(&name) {
            passed.insert(name, value.clone());
        }
    }
    passed
}

fn trouble(status: StatusCode, id: Option<String>, message: &str) -> BadCall {
    // -32000 to -32099 are a server's own.
    BadCall { status, code: -32050, id, message: message.to_owned() }
}

/// A JSON-RPC error as an answer.
pub(super) fn refuse(bad: &BadCall) -> Response<Answer> {
    let id = bad.id.as_deref().unwrap_or("null");
    let message = serde_json::Value::from(bad.message.as_str());
    let text = format!(r#"{{"jsonrpc":"2.0","error":{{"code":{},"message":{message}}},"id":{id}}}"#, bad.code);
    let mut response = Response::new(Answer::whole(text));
    *response.status_mut() = bad.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(bad.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
