//! A request that can be sent several times.

use super::SignedPayment;
use bytes::Bytes;
use h402_core::{
    Dialect,
    wire::{h402, x402::v2},
};
use http::{HeaderMap, HeaderName, Request, request::Parts};
use http_body_util::Full;

const X_PAYMENT: HeaderName = HeaderName::from_static(h402::PAYMENT_HEADER);
const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static(v2::PAYMENT_HEADER);

/// The name of the header that carries a payment.
fn payment_header(dialect: Dialect) -> HeaderName {
    if dialect == Dialect::X402V2 { PAYMENT_SIGNATURE } else { X_PAYMENT }
}

/// Whether the caller has made a payment itself.
pub(super) fn pays_for_itself(headers: &HeaderMap) -> bool {
    headers.contains_key(X_PAYMENT) || headers.contains_key(PAYMENT_SIGNATURE)
}

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
        request.headers_mut().insert(payment_header(payment.dialect()), payment.header());
        request
    }
}
