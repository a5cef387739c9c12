//! What a facilitator answers, and the receipt that a server passes on.

mod settle;
mod verify;

pub(in crate::wire) use settle::{belongs, is_of};

pub use settle::{SettleAnswer, decode_receipt, decode_settle, encode_receipt, encode_settle};
pub use verify::{VerifyAnswer, decode_verify, encode_verify};

use super::refusal::shorten;
use crate::{Address, ErrorReason, TransactionId, wire::WireError};

/// Others write an empty text for none, and hashes in either case.
pub(in crate::wire) fn transaction(text: Option<String>) -> Result<Option<TransactionId>, WireError> {
    let Some(mut text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.starts_with("0x") {
        text.make_ascii_lowercase();
    }
    text.parse().map(Some).map_err(|_| WireError::Field("transaction cannot be read"))
}

/// Informs only, so an address of another kind (Arkade's) is as good as none.
pub(in crate::wire) fn payer(text: Option<String>) -> Option<Address> {
    text.and_then(|text| text.parse().ok())
}

/// A reason word that h402 does not have is text.
fn reason(word: Option<String>, text: Option<String>) -> (Option<ErrorReason>, Option<String>) {
    let reason = word.as_deref().and_then(ErrorReason::from_word);
    let text = text.or(if reason.is_none() { word } else { None });
    (reason, text.as_deref().map(shorten))
}
