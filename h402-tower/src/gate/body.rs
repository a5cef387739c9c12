//! Response bodies: the gate's own, or the handler's.

use crate::chaos::crash_point;
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

pin_project! {
    /// The body of a gate's response: its own short answer, or the handler's body.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use h402_tower::gate::GateBody;
    /// use http_body::Body as _;
    /// let body: GateBody<String> = GateBody::from(Bytes::from_static(b"{}"));
    /// assert_eq!(body.size_hint().exact(), Some(2));
    /// ```
    #[derive(Debug)]
    pub struct GateBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Whole { data: Option<Bytes>, trailers: Option<HeaderMap> },
        Inner { #[pin] body: B },
    }
}

impl<B> GateBody<B> {
    /// Passes the handler's body through.
    pub(super) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }
}

impl<B> From<Bytes> for GateBody<B> {
    fn from(data: Bytes) -> Self {
        Whole { data, trailers: None }.into()
    }
}

impl<B> From<Whole> for GateBody<B> {
    fn from(whole: Whole) -> Self {
        Self { kind: Kind::Whole { data: Some(whole.data).filter(|data| !data.is_empty()), trailers: whole.trailers } }
    }
}

impl<B: Body> Body for GateBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        crash_point("resp.body");
        match self.project().kind.project() {
            KindProjection::Whole { data, trailers } => {
                let frame = data.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                if data.is_none() && trailers.is_none() {
                    crash_point("resp.end");
                }
                Poll::Ready(frame.map(Ok))
            }
            KindProjection::Inner { body } => {
                body.poll_frame(cx).map_ok(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { data, trailers } => data.is_none() && trailers.is_none(),
            Kind::Inner { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { data, .. } => SizeHint::with_exact(data.as_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX))),
            Kind::Inner { body } => body.size_hint(),
        }
    }
}

/// A body that was read to its end.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) data: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

/// Why a body could not be read to its end.
#[derive(Debug)]
pub(super) enum NotWhole<E> {
    TooLong,
    BrokeOff(E),
}

/// Reads a body to its end unless it is longer than `max` bytes.
pub(super) async fn gather<B: Body>(body: B, max: usize) -> Result<Whole, NotWhole<B::Error>> {
    let mut body = pin!(body);
    let mut data = Bytes::new();
    let mut more = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map_err(NotWhole::BrokeOff)?.into_data() {
            Ok(mut chunk) => {
                let length = chunk.remaining();
                if data.len() + more.len() + length > max {
                    return Err(NotWhole::TooLong);
                }
                if data.is_empty() && more.is_empty() {
                    data = chunk.copy_to_bytes(length);
                } else {
                    more.extend_from_slice(&std::mem::take(&mut data));
                    more.extend_from_slice(&chunk.copy_to_bytes(length));
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Whole { data: if more.is_empty() { data } else { more.freeze() }, trailers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full, StreamBody};
    use std::convert::Infallible;

    fn chunks(parts: &'static [&'static str]) -> impl Body<Data = Bytes, Error = Infallible> {
        StreamBody::new(futures_util::stream::iter(parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))))
    }

    #[tokio::test]
    async fn a_body_is_gathered_up_to_its_limit() {
        let cases: [(&'static [&'static str], Option<&str>); 6] = [
            (&[], Some("")),
            (&["abc"], Some("abc")),
            (&["ab", "", "c"], Some("abc")),
            (&["", "", "abc"], Some("abc")),
            (&["ab", "cd"], None),
            (&["abcd"], None),
        ];
        for (parts, want) in cases {
            let got = gather(chunks(parts), 3).await.ok();
            assert_eq!(got.map(|whole| whole.data), want.map(Bytes::from), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn trailers_survive() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = Full::new(Bytes::from_static(b"x")).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
        let body: GateBody<String> = gather(body, 10).await.unwrap().into();
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "x");
    }
}
