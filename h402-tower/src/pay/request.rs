//! A request that can be sent several times.

use super::SignedPayment;
use bytes::Bytes;
use h402_core::wire::h402;
use http::{HeaderName, Request, request::Parts};
use http_body_util::Full;

/// The name of the header that carries a payment.
pub(super) const PAYMENT: HeaderName = HeaderName::from_static(h402::PAYMENT_HEADER);

/// A request with its body read whole, so that every sending is the same request.
pub(super) struct Replay {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Replay {
    /// The request as the caller made it.
    pub(super) fn unpaid(&self) -> Request<Full<Bytes>> {
        Request::from_parts(self.parts.clone(), Full::new(self.body.clone()))
    }

    /// The request with a payment.
    pub(super) fn paid(&self, payment: &SignedPayment) -> Request<Full<Bytes>> {
        let mut request = self.unpaid();
        request.headers_mut().insert(PAYMENT, payment.header());
        request
    }
}
