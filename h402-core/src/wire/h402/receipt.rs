//! Signed receipts over HTTP: `GET /payments/{id}/receipt` and `GET /receipts/key`, which are ours.

use crate::{
    ReceiptIssuer, SignedReceipt,
    wire::{WireError, json},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Writes the body of `GET /payments/{id}/receipt`.
///
/// # Errors
/// None in practice; see [`WireError`].
pub fn encode_signed_receipt(receipt: &SignedReceipt) -> Result<Vec<u8>, WireError> {
    json::write(&ReceiptBody { receipt: Cow::Owned(receipt.to_string()) })
}

/// Reads the body of `GET /payments/{id}/receipt`. Nothing of the receipt is proved yet.
///
/// # Errors
/// [`WireError::Field`] if it holds no receipt.
pub fn decode_signed_receipt(body: &[u8]) -> Result<SignedReceipt, WireError> {
    let wire: ReceiptBody<'_> = json::read_bytes(body)?;
    wire.receipt.parse().map_err(|_| WireError::Field("receipt cannot be read"))
}

/// Writes the body of `GET /receipts/key`.
///
/// # Errors
/// None in practice; see [`WireError`].
///
/// ```
/// use h402_core::{ReceiptKey, wire::h402};
/// let issuer = ReceiptKey::from_seed(&[7; 32]).issuer();
/// assert_eq!(h402::decode_receipt_issuer(&h402::encode_receipt_issuer(&issuer)?)?, issuer);
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
pub fn encode_receipt_issuer(issuer: &ReceiptIssuer) -> Result<Vec<u8>, WireError> {
    json::write(&IssuerBody { algorithm: Cow::Borrowed("ed25519"), key: Cow::Owned(issuer.to_string()) })
}

/// Reads the body of `GET /receipts/key`. Whoever reads it over a connection that others can change trusts those others.
///
/// # Errors
/// [`WireError::Field`] if it is no ed25519 key.
pub fn decode_receipt_issuer(body: &[u8]) -> Result<ReceiptIssuer, WireError> {
    let wire: IssuerBody<'_> = json::read_bytes(body)?;
    match wire.algorithm.as_ref() {
        "ed25519" => wire.key.parse().map_err(|_| WireError::Field("key cannot be read")),
        _ => Err(WireError::Field("algorithm is not ed25519")),
    }
}

#[derive(Serialize, Deserialize)]
struct ReceiptBody<'a> {
    #[serde(borrow)]
    receipt: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct IssuerBody<'a> {
    #[serde(borrow)]
    algorithm: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
}
