//! The receipt that comes with an answer.

use h402_core::{
    Dialect,
    wire::{
        h402::{self, SettleAnswer},
        x402::{self, refusal, v1, v2},
    },
};
use http::{HeaderMap, HeaderName};

const X_PAYMENT_RESPONSE: HeaderName = HeaderName::from_static(h402::RECEIPT_HEADER);
const PAYMENT_RESPONSE: HeaderName = HeaderName::from_static(v2::RECEIPT_HEADER);

/// The receipt for a payment in `dialect`, if there is one that can be read. Some servers of x402 use the header of the other
/// version.
pub(super) fn receipt(headers: &HeaderMap, dialect: Dialect) -> Option<SettleAnswer> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.as_bytes());
    match dialect {
        Dialect::H402V1 => h402::decode_receipt(value(X_PAYMENT_RESPONSE)?).ok(),
        Dialect::X402V1 => v1::decode_receipt(value(X_PAYMENT_RESPONSE).or(value(PAYMENT_RESPONSE))?).ok().map(said),
        _ => v2::decode_receipt(value(PAYMENT_RESPONSE).or(value(X_PAYMENT_RESPONSE))?).ok().map(said),
    }
}

/// A receipt of x402, as one of h402.
fn said(answer: x402::SettleAnswer) -> SettleAnswer {
    let x402::SettleAnswer { success, transaction, network, payer, reason, message, signed, credit, .. } = answer;
    let (mut h402_reason, mut error) = (None, None);
    if !success {
        let reject = refusal(reason.as_deref(), message.as_deref());
        h402_reason = Some(reject.reason());
        error = reason.map(|word| format!("{word}: {reject}")).or(message);
    }
    SettleAnswer { success, transaction, network, payer, reason: h402_reason, error, signed, credit }
}
