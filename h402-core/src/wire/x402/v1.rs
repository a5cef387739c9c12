//! x402 version 1: `X-PAYMENT`, the body of a 402, and what facilitators are asked and answer.
//!
//! ```
//! use h402_core::wire::x402::v1;
//! assert!(v1::decode_payment(b"e30=").is_err());
//! ```

mod challenge;
mod payment;

pub use crate::wire::h402::{MAX_HEADER, PAYMENT_HEADER, RECEIPT_HEADER};
pub use challenge::{Challenge, EncodedChallenge, ReadChallenge, ReadOffer, decode_challenge, encode_challenge};
pub use payment::{decode_payment, encode_payment};

pub(super) use payment::parse as parse_payment;

use super::{Request, SettleAnswer, Terms, VerifyAnswer, Version, answer, name, request};
use crate::{
    Assets, Network, PaymentPayload,
    wire::{WireError, h402::RequestError},
};

/// The network's name, `None` if this version has none for it.
pub(in crate::wire) fn network_name(network: Network) -> Option<String> {
    name::write(network, Version::V1)
}

/// The network of a name; `None` for a name that not all programs mean the same by.
pub(in crate::wire) fn network_of_name(name: &str) -> Option<Network> {
    name::read(name, Version::V1)
}

/// Reads the body of `POST /verify` or `POST /settle`. The asset is looked up in `assets` by network and address.
///
/// # Errors
/// As [`crate::wire::h402::decode_request`].
pub fn decode_request(body: &[u8], assets: &Assets) -> Result<Request, RequestError> {
    request::decode(body, Version::V1, assets)
}

/// Writes the body of `POST /verify` or `POST /settle`.
///
/// # Errors
/// [`WireError::Field`] if this version cannot say it.
pub fn encode_request(payload: &PaymentPayload, terms: &Terms) -> Result<Vec<u8>, WireError> {
    request::encode(payment::PaymentOut::new(payload)?, terms, Version::V1)
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
    answer::encode_settle(answer, Version::V1)
}

/// Reads the answer to `POST /settle`.
///
/// # Errors
/// [`WireError`] if `success` is no JSON boolean or the transaction cannot be read.
pub fn decode_settle(body: &[u8]) -> Result<SettleAnswer, WireError> {
    answer::decode_settle(core::str::from_utf8(body).map_err(|_| WireError::Json)?, Version::V1)
}

/// Writes a receipt header.
///
/// # Errors
/// [`WireError::TooLong`] if it would be longer than [`MAX_HEADER`].
pub fn encode_receipt(receipt: &SettleAnswer) -> Result<String, WireError> {
    answer::encode_receipt(receipt, Version::V1)
}

/// Reads a receipt header.
///
/// # Errors
/// [`WireError`].
pub fn decode_receipt(header: &[u8]) -> Result<SettleAnswer, WireError> {
    answer::decode_receipt(header, Version::V1)
}
