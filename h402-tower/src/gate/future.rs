use super::body::GateBody;
use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The response of a gate. Nothing is boxed unless there is a payment.
    pub struct ResponseFuture<Fut, B, E> {
        #[pin]
        kind: Kind<Fut, B, E>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<Fut, B, E> {
        Answer { response: Option<Response<Bytes>> },
        Free { #[pin] inner: Fut },
        Paid { admission: BoxFuture<Result<Response<GateBody<B>>, E>> },
    }
}

impl<Fut, B, E> ResponseFuture<Fut, B, E> {
    pub(super) fn answer(response: Response<Bytes>) -> Self {
        Self { kind: Kind::Answer { response: Some(response) } }
    }

    pub(super) fn free(inner: Fut) -> Self {
        Self { kind: Kind::Free { inner } }
    }

    pub(super) fn paid(admission: impl Future<Output = Result<Response<GateBody<B>>, E>> + Send + 'static) -> Self {
        Self { kind: Kind::Paid { admission: Box::pin(admission) } }
    }
}

impl<Fut, B, E> Future for ResponseFuture<Fut, B, E>
where
    Fut: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<GateBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Answer { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response.map(GateBody::from))),
                // Polled after it was ready: there is nothing left to say.
                None => Poll::Pending,
            },
            KindProjection::Free { inner } => Poll::Ready(ready!(inner.poll(cx)).map(|response| response.map(GateBody::inner))),
            KindProjection::Paid { admission } => admission.as_mut().poll(cx),
        }
    }
}

impl<Fut, B, E> fmt::Debug for ResponseFuture<Fut, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Answer { .. } => "ResponseFuture(answer)",
            Kind::Free { .. } => "ResponseFuture(free)",
            Kind::Paid { .. } => "ResponseFuture(paid)",
        })
    }
}
