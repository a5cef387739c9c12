//! x402 version 2: `PAYMENT-REQUIRED`, `PAYMENT-SIGNATURE`, `PAYMENT-RESPONSE`, and what facilitators are asked and answer.
//!
//! ```
//! use h402_core::wire::x402::v2;
//! assert!(v2::decode_payment(b"e30=").is_err());
//! ```

mod challenge;
mod payment;

pub use super::MAX_HEADER;
pub use challenge::{Challenge, EncodedChallenge, MAX_CHALLENGE, ReadChallenge, ReadOffer, decode_challenge, encode_challenge};
pub use payment::{Payment, decode_payment, encode_payment};

pub(super) use payment::parse as parse_payment;

use super::{Request, SettleAnswer, Terms, VerifyAnswer, Version, answer, request};
use crate::{
    Assets,
    wire::{WireError, h402::RequestError},
};

/// Carries the challenge from server to client, in lower case.
pub const CHALLENGE_HEADER: &str = "payment-required";
/// Carries a payment from client to server, in lower case.
pub const PAYMENT_HEADER: &str = "payment-signature";
/// Carries the receipt from server to client, in lower case.
pub const RECEIPT_HEADER: &str = "payment-response";

/// Reads the body of `POST /verify` or `POST /settle`. The asset is looked up in `assets` by network and address.
///
/// # Errors
/// As [`crate::wire::h402::decode_request`].
pub fn decode_request(body: &[u8], assets: &Assets) -> Result<Request, RequestError> {
    request::decode(body, Version::V2, assets)
}

/// Writes the body of `POST /verify` or `POST /settle`.
///
/// # Errors
/// [`WireError::Field`] if this version cannot say it.
pub fn encode_request(payment: &Payment, terms: &Terms) -> Result<Vec<u8>, WireError> {
    request::encode(payment::PaymentOut::new(payment)?, terms, Version::V2)
}

/// Writes the answer to `POST /verify`.
///
/// # Errors
/// None in practice; see [`WireError`].
pub fn encode_verify(answer: &VerifyAnswer) -> Result<Vec<u8>, WireError> {
    answer::encode_verify(answer)
}

/// Reads the answer to `POST /verify`.
///
/// # Errors
/// [`WireError`] if `isValid` is no JSON boolean or another field cannot be read.
pub fn decode_verify(body: &[u8]) -> Result<VerifyAnswer, WireError> {
    answer::decode_verify(body)
}

/// Writes the answer to `POST /settle`.
///
/// # Errors
/// None in practice; see [`WireError`].
pub fn encode_settle(answer: &SettleAnswer) -> Result<Vec<u8>, WireError> {
    answer::encode_settle(answer, Version::V2)
}

/// Reads the answer to `POST /settle`.
///
/// # Errors
/// [`WireError`] if `success` is no JSON boolean or the transaction cannot be read.
pub fn decode_settle(body: &[u8]) -> Result<SettleAnswer, WireError> {
    answer::decode_settle(core::str::from_utf8(body).map_err(|_| WireError::Json)?, Version::V2)
}

/// Writes a receipt header.
///
/// # Errors
/// [`WireError::TooLong`] if it would be longer than [`MAX_HEADER`].
pub fn encode_receipt(receipt: &SettleAnswer) -> Result<String, WireError> {
    answer::encode_receipt(receipt, Version::V2)
}

/// Reads a receipt header.
///
/// # Errors
/// [`WireError`].
pub fn decode_receipt(header: &[u8]) -> Result<SettleAnswer, WireError> {
    answer::decode_receipt(header, Version::V2)
}
