//! h402 version 1: the `X-PAYMENT` header, the body of a 402, and what facilitators are asked and answer.
//!
//! ```
//! use h402_core::wire::h402;
//! // Too long, not base64, not JSON: three of the ways not to be a payment.
//! assert!(h402::decode_payment(&[b'A'; h402::MAX_HEADER + 1]).is_err());
//! assert!(h402::decode_payment(b"{}").is_err());
//! assert!(h402::decode_payment(b"eA==").is_err());
//! ```

mod answer;
mod challenge;
mod hints;
mod network;
mod payment;
mod readiness;
mod receipt;
mod reconciliation;
mod refusal;
mod request;
mod requirements;
mod status;

pub use super::{SkippedOffer, WireError, decode_supported, encode_supported};
pub use answer::{SettleAnswer, VerifyAnswer, decode_receipt, decode_settle, decode_verify, encode_receipt, encode_settle, encode_verify};
pub use challenge::{Challenge, ChallengeTemplate, ReadChallenge, ReadOffer, decode_challenge, encode_challenge};
pub use payment::{decode_payment, encode_payment};
pub use readiness::encode_readiness;
pub use receipt::{decode_receipt_issuer, decode_signed_receipt, encode_receipt_issuer, encode_signed_receipt};
pub use reconciliation::encode_reconciliations;
pub use refusal::{ErrorAnswer, UNKNOWN_PAYMENT, decode_error, encode_error, refusal};
pub use request::{Request, RequestError, decode_request, encode_request};
pub use status::{decode_payment_status, encode_payment_status};

/// Carries a payment from client to server, in lower case.
pub const PAYMENT_HEADER: &str = "x-payment";
/// Carries the receipt from server to client, in lower case.
pub const RECEIPT_HEADER: &str = "x-payment-response";
/// Longest header value that is read or written, in bytes.
pub const MAX_HEADER: usize = 16 * 1024;

pub(super) use answer::{belongs, is_of, payer, transaction};
pub(super) use hints::{HintsOut, of as hints};
pub(super) use network::{named as supported_network, namespace, network_id};
pub(super) use refusal::shorten;

/// The only version there is.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests;
