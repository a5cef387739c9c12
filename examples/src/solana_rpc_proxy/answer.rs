//! The body of an upstream's answer: what was looked at, then the rest as it comes.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    collections::VecDeque,
    fmt,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};

/// How long an upstream may pause in the middle of an answer.
const PAUSE: Duration = Duration::from_secs(30);

/// A body in memory, or the beginning of one whose rest is still to come from an upstream.
#[must_use]
pub struct Answer {
    read: VecDeque<Bytes>,
    rest: Option<Rest>,
    /// Given back when the body has been sent or dropped.
    permit: Option<OwnedSemaphorePermit>,
}

struct Rest {
    body: Incoming,
    paused: Pin<Box<Sleep>>,
}

/// The upstream's answer broke off; so does ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's answer broke off")]
pub struct BrokeOff;

impl Answer {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { read: VecDeque::from([bytes.into()]), rest: None, permit: None }
    }

    /// What was read, and what is to come unless the body has ended.
    pub(super) fn begun(read: VecDeque<Bytes>, rest: Option<Incoming>) -> Self {
        Self { read, rest: rest.map(|body| Rest { body, paused: Box::pin(sleep(PAUSE)) }), permit: None }
    }

    /// Keeps a place until it has been sent.
    pub(super) fn holding(self, permit: OwnedSemaphorePermit) -> Self {
        Self { permit: Some(permit), ..self }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        while let Some(chunk) = self.read.pop_front() {
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
        }
        loop {
            let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
            let Poll::Ready(frame) = Pin::new(&mut rest.body).poll_frame(cx) else {
                if rest.paused.as_mut().poll(cx).is_ready() {
                    self.rest = None;
                    return Poll::Ready(Some(Err(BrokeOff)));
                }
                return Poll::Pending;
            };
            rest.paused.as_mut().reset(Instant::now() + PAUSE);
            match frame {
                None => self.rest = None,
                Some(Err(_)) => {
                    self.rest = None;
                    return Poll::Ready(Some(Err(BrokeOff)));
                }
                // Trailers are between the upstream and us.
                Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                Some(Ok(_)) => {}
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.iter().all(Bytes::is_empty) && self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.iter().map(|chunk| u64::try_from(chunk.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(read.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(read.saturating_add(upper));
        }
        hint
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("size", &self.size_hint()).field("permit", &self.permit.is_some()).finish_non_exhaustive()
    }
}
