//! The layer that reads a request's body before the gate, so that price and payment can depend on it.

use super::{
    answer,
    body::{GateBody, NotWhole, gather},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tower_layer::Layer;
use tower_service::Service;

/// Reads each request's body, up to a limit, before anything behind it runs.
///
/// Put it before a gate built with [`super::Gate::with_collected_body`]: then a payment opens a request with exactly
/// this body, and the price may depend on it. Longer bodies are answered 413, slow ones 408, broken ones 400.
///
/// ```
/// use h402_tower::gate::{CollectBody, CollectedBody};
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let service = ServiceBuilder::new().layer(CollectBody::new(4)).service(service_fn(|request: Request<CollectedBody>| async move {
///     Ok::<_, Infallible>(Response::new(request.into_body()))
/// }));
/// assert_eq!(service.clone().oneshot(Request::new("four".to_owned())).await.unwrap().status(), 200);
/// assert_eq!(service.oneshot(Request::new("fives".to_owned())).await.unwrap().status(), 413);
/// # });
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct CollectBody {
    max: usize,
    timeout: Duration,
}

impl CollectBody {
    /// Reads bodies of at most `max` bytes, for at most 10 s.
    pub fn new(max: usize) -> Self {
        Self { max, timeout: Duration::from_secs(10) }
    }

    /// Waits longer or shorter for the end of a body.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<S> Layer<S> for CollectBody {
    type Service = CollectBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CollectBodyService { inner, config: *self }
    }
}

/// The service made by [`CollectBody`].
#[derive(Debug, Clone)]
pub struct CollectBodyService<S> {
    inner: S,
    config: CollectBody,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CollectBodyService<S>
where
    S: Service<Request<CollectedBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    ReqBody: Body + Send + 'static,
    ReqBody::Error: Send,
{
    type Response = Response<GateBody<ResBody>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // The clone has not been polled ready; the original has. Take the original.
        let spare = self.inner.clone();
        let mut ready = mem::replace(&mut self.inner, spare);
        let config = self.config;
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            match collect(&parts, body, config).await {
                Ok(body) => Ok(ready.call(Request::from_parts(parts, body)).await?.map(GateBody::inner)),
                Err((status, word, text)) => Ok(answer::plain(status, word, text).map(GateBody::from)),
            }
        })
    }
}

async fn collect<B: Body>(
    parts: &http::request::Parts,
    body: B,
    config: CollectBody,
) -> Result<CollectedBody, (StatusCode, &'static str, &'static str)> {
    let too_long = (StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", "the request's body is longer than this route takes");
    let stated = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<usize>().ok());
    if stated.is_some_and(|length| length > config.max) {
        return Err(too_long);
    }
    match tokio::time::timeout(config.timeout, gather(body, config.max)).await {
        Ok(Ok(whole)) => Ok(CollectedBody::new(whole.data)),
        Ok(Err(NotWhole::TooLong)) => Err(too_long),
        Ok(Err(NotWhole::BrokeOff(_))) => Err((StatusCode::BAD_REQUEST, "body_broke_off", "the request's body broke off")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the request's body did not come in time")),
    }
}

/// A request's body, read to its end by [`CollectBody`]. Trailers are not kept.
///
/// ```
/// use h402_tower::gate::CollectedBody;
/// let body = CollectedBody::new("{}");
/// assert_eq!(body.bytes(), "{}");
/// ```
#[derive(Clone)]
pub struct CollectedBody {
    bytes: Bytes,
    sent: bool,
}

impl CollectedBody {
    /// Wraps bytes that are the whole body.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), sent: false }
    }

    /// The whole body.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole body.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    fn rest(&self) -> usize {
        if self.sent { 0 } else { self.bytes.len() }
    }
}

impl fmt::Debug for CollectedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollectedBody({} bytes)", self.bytes.len())
    }
}

impl Body for CollectedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let rest = self.rest();
        self.sent = true;
        Poll::Ready((rest > 0).then(|| Ok(Frame::data(self.bytes.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest()).unwrap_or(u64::MAX))
    }
}

/// How a gate sees the bodies of its requests: [`AnyBody`] or [`WholeBody`].
pub trait BodyAccess<B>: Send + Sync + 'static {
    /// The whole body, where the gate may look at it.
    fn bytes(body: &B) -> Option<&Bytes>;
}

/// The gate never touches the body: any type will do, and payments are not bound to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnyBody;

/// The body was collected before the gate: payments are bound to it, and prices may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeBody;

impl<B> BodyAccess<B> for AnyBody {
    fn bytes(_: &B) -> Option<&Bytes> {
        None
    }
}

impl BodyAccess<CollectedBody> for WholeBody {
    fn bytes(body: &CollectedBody) -> Option<&Bytes> {
        Some(body.bytes())
    }
}
